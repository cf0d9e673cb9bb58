package operations

import (
	"slices"
	"testing"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/costs"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

func TestTimesAreRanks(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []int64
		want Times
	}{
		{"of no call", nil, Times{}},
		{"of one call", []int64{7}, Times{1, 7, 7}},
		{"of two the larger is the 95th", []int64{9, 1}, Times{2, 1, 9}},
		{"of twenty the slowest is not the 95th", ascend(20), Times{20, 10, 19}},
		{"of twenty-one it is the second slowest", ascend(21), Times{21, 11, 20}},
	} {
		if got := timesOf(c.in); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func ascend(n int64) (list []int64) {
	for i := n; i > 0; i-- {
		list = append(list, i)
	}
	return list
}

// What waits is what was asked and not answered in a run that goes on; a wallet's "no" is no rule's denial.
func TestWhatStepsSay(t *testing.T) {
	ids := []provenance.Link{provenance.Sum(0x71, []byte("a")), provenance.Sum(0x71, []byte("b")), provenance.Sum(0x71, []byte("c"))}
	tl := newTally()
	step := func(run int, seq uint64, ev provenance.Event, does ...provenance.Effect) {
		tl.takeStep(journal.RunInfo{ID: ids[run], Agent: "treasurer"},
			&provenance.Step{Seq: seq, At: int64(100*run) + int64(seq), Event: ev, Does: does})
	}
	deny := func(rules ...string) *provenance.Deny {
		return &provenance.Deny{Decisions: []provenance.Decision{{Outcome: "permit", Rules: []string{"other"}},
			{Outcome: "deny", Rules: rules}}}
	}
	step(0, 0, &provenance.Ask{}, &provenance.Seek{Until: 900})
	step(1, 0, &provenance.Ask{}, &provenance.Seek{Until: 901}, &provenance.Seek{Until: 902})
	step(1, 1, &provenance.Verdict{Of: provenance.Ref{Seq: 0, Index: 0}}, deny(loop.RuleRefused))
	step(2, 0, &provenance.Ask{}, deny("grant/max_per_call_usdc", "grant/recipients"), deny("grant/recipients"),
		&provenance.Seek{Until: 903})
	step(2, 1, &provenance.Lapse{}, &provenance.Close{})
	var until []int64
	for _, w := range tl.listWaiting() {
		until = append(until, w.Until)
	}
	if !slices.Equal(until, []int64{900, 902}) {
		t.Errorf("calls wait until %v, want 900 and 902", until)
	}
	want := []Count{{"grant/recipients", 2}, {"grant/max_per_call_usdc", 1}}
	if got := sortCounts(tl.denials); !slices.Equal(got, want) || len(tl.runs) != 3 {
		t.Errorf("got denials %v of %d runs, want %v of 3", got, len(tl.runs), want)
	}
}

func TestModelsAndCourse(t *testing.T) {
	tl := newTally()
	tl.runs = []journal.RunInfo{{Opened: 0}, {Opened: 479}, {Opened: 480}}
	tl.uses = []costs.Use{
		{Run: "a", Route: "rules", Model: "rules", Rules: true, Took: 3, At: 5},
		{Run: "a", Route: "cheap", Model: "small", Cost: 40, Dearest: 100, TTFT: 10, Took: 90, At: 470},
		{Run: "b", Route: "cheap", Model: "small", Failed: true, Code: "model.rate", Doubtful: 7, At: 471},
		{Run: "b", Route: "cheap", Model: "small", Failed: true, At: 472},
		{Run: "b", Route: "cheap", Model: "big", Cost: 100, Dearest: 100, Took: 200, At: 480},
	}
	f := &Figures{}
	if err := tl.addUp(costs.Tariff{Run: 1000}, f); err != nil {
		t.Fatal(err)
	}
	if len(f.Routes) != 2 || f.Routes[0].Of != "cheap" || f.Routes[0].Rules || !f.Routes[1].Rules {
		t.Errorf("got routes %+v", f.Routes)
	}
	small := f.Models[0]
	if small.Of != "small" || small.Calls != 3 || small.Failed != 2 || small.First != (Times{1, 10, 10}) ||
		!slices.Equal(small.Failures, []Count{{"model.rate", 1}, {"unknown", 1}}) {
		t.Errorf("got %+v", small)
	}
	if f.Total.Cost != 140 || f.Total.Doubtful != 7 || f.Total.Saved != 60 || f.Total.Margin != 2000-147 {
		t.Errorf("got in all %+v", f.Total)
	}
	b := tl.fillBuckets(0, 480)
	if len(b) != Buckets || b[0].Runs != 1 || b[47].Runs != 2 || b[47].Cost != 140 {
		t.Errorf("got first %+v and last %+v of %d", b[0], b[len(b)-1], len(b))
	}
}

func TestAmountsAreAddedByAsset(t *testing.T) {
	usdc, eth := money.Asset{Symbol: "USDC", Decimals: 6}, money.Asset{Symbol: "ETH", Decimals: 18}
	var s sums
	for range 2 {
		if err := s.add([]money.Amount{money.Of(usdc, 5), money.Of(eth, 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.list(); len(got) != 2 || got[0].Asset != "ETH" || got[1].Units != "10" {
		t.Errorf("got %+v", got)
	}
}
