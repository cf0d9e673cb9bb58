package runner_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/internal/whatif"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// dozing answers at once, and once asleep only when it is woken or not waited for any more.
type dozing struct {
	name   string
	asleep *atomic.Bool
	wake   chan struct{}
	asked  *atomic.Int64
}

func (m dozing) Reply(ctx context.Context, _ model.Prompt) (model.Reply, error) {
	m.asked.Add(1)
	if m.asleep.Load() {
		select {
		case <-m.wake:
		case <-ctx.Done():
			return model.Reply{}, ctx.Err()
		}
	}
	return model.Reply{
		Stop: model.StopEnd, Text: m.name + " here", Model: m.name + "/1", TTFT: 1,
		Usage: model.Usage{In: 10, Out: 5},
	}, nil
}

// A hedged bench has two models of one price, of which the first is known by what it has answered.
type hedged struct {
	*bench
	first, second dozing
}

func openHedged(t *testing.T, hedge bool) *hedged {
	t.Helper()
	return openHedgedOn(t, hedge, nil)
}

// openHedgedOn is the same on a store of its own, nil for the usual one.
func openHedgedOn(t *testing.T, hedge bool, s journal.Store) *hedged {
	t.Helper()
	h := &hedged{}
	for i, m := range []*dozing{&h.first, &h.second} {
		*m = dozing{[]string{"first", "second"}[i], new(atomic.Bool), make(chan struct{}), new(atomic.Int64)}
	}
	h.bench = openWith(t, replies{}, func(c *runner.Config) {
		if s != nil {
			c.Store = s
		}
		for _, m := range []dozing{h.first, h.second} {
			c.Models = append(c.Models, runner.NamedModel{Model: m, Info: model.Info{
				Name: m.name, Kind: model.KindModel, Provider: "test", Model: m.name + "/1", MaxTokens: 100,
				PriceIn: 1_000_000_000, PriceOut: 1_000_000_000,
			}})
		}
		c.Agents[0].Routes = []agentfile.Route{{ID: "one", Use: "first", Hedge: hedge}, {ID: "two", Use: "second"}}
	})
	for i := range 20 { // what a percentile is made of
		h.until(h.start(fmt.Sprintf("say something, %d", i)), provenance.CloseAnswered)
	}
	return h
}

// ends tells how the questions of a run ended, by their models.
func (h *hedged) ends(run provenance.Link) string {
	h.Helper()
	views, err := h.r.Steps(h.Context(), run, 0, 16)
	if err != nil {
		h.Fatal(err)
	}
	asked, out := map[provenance.Ref]string{}, ""
	for _, v := range views {
		if r, is := v.Step.Event.(*provenance.Reply); is {
			end := "answered"
			if r.Model == nil {
				end = r.Failed
			}
			out += fmt.Sprintf("%s %s; ", asked[r.Of], end)
		}
		for i, e := range v.Step.Does {
			if ask, is := e.(*provenance.AskModel); is {
				asked[provenance.Ref{Seq: v.Step.Seq, Index: uint64(i)}] = ask.Route.Model
			}
		}
	}
	return out
}

// A model that does not begin to answer has another one asked beside it, which answers; the auditor takes the same two
// questions and the same answer, and the ledger has what both may have cost.
func TestASlowModelIsHedged(t *testing.T) {
	h := openHedged(t, true)
	h.first.asleep.Store(true)
	run := h.start("say something else")
	h.until(run, provenance.CloseAnswered)
	if said, ends := h.said(run), h.ends(run); said != "second here" ||
		ends != "first "+string(fault.ModelOutrun)+"; second answered; " && ends != "second answered; first "+string(fault.ModelOutrun)+"; " {
		t.Errorf("said %q; %s", said, ends)
	}
	h.verified(run)
	h.checkSums()
	tried, err := whatif.Try(t.Context(), h.store, whatif.Plan{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ls, err := h.store.Ledgers(t.Context(), []string{"session/" + h.session.ID.String() + "/grant/cost"})
	if err != nil {
		t.Fatal(err)
	}
	if spent := money.Of(money.USD, uint64(tried.Was.Cost)); ls[0].Spent != spent || len(tried.Changed) != 0 ||
		tried.Was.Models["second"] != 1 {
		t.Errorf("under its own rules it cost %s, and the ledger says %s; %+v", spent, ls[0].Spent, tried)
	}
}

// A turn that may write has no second model, nor has one whose route does not say so, nor has each turn: of twenty that
// were asked one may.
func TestHedgesAreForFewThatOnlyRead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hedge  bool
		inputs []string
		want   int64
	}{
		{"a turn that may write", true, []string{"pay 5 USDC to bob"}, 0},
		{"a route that does not say so", false, []string{"say something else"}, 0},
		{"one of twenty", true, []string{"say something else", "say more"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := openHedged(t, tt.hedge)
			h.first.asleep.Store(true)
			for _, input := range tt.inputs {
				run := h.start(input)
				time.Sleep(700 * time.Millisecond) // longer than the least that a model is waited for
				select {
				case h.first.wake <- struct{}{}:
				case <-time.After(10 * time.Millisecond): // it was outrun
				}
				h.until(run, provenance.CloseAnswered)
				h.verified(run)
			}
			if n := h.second.asked.Load(); n != tt.want {
				t.Errorf("the second model was asked %d times, want %d", n, tt.want)
			}
		})
	}
}

// A server that ends while both are asked asks both again, and the run still has one answer.
func TestAHedgedTurnGoesOnAfterARestart(t *testing.T) {
	h := openHedged(t, true)
	h.first.asleep.Store(true)
	h.second.asleep.Store(true)
	run := h.start("say something else")
	for h.second.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	h.r.Close()
	before := h.first.asked.Load()
	h.second.asleep.Store(false)
	h.restart()
	h.until(run, provenance.CloseAnswered)
	if said := h.said(run); said != "second here" || h.first.asked.Load() > before+1 || h.second.asked.Load() != 2 {
		t.Errorf("said %q; the first was asked %d times more, the second %d times in all", said,
			h.first.asked.Load()-before, h.second.asked.Load())
	}
	h.verified(run)
	h.checkSums()
}

// A cutHedge is what a hedged run came to that was cut at one of its writes and taken up again.
type cutHedge struct {
	ends, head, said string
	spent            int64 // of the session, in nano-USD, with what was spent before
	writes           int64
}

// cutHedgedRun runs until its k-th write fails, before it is done or after, and has another process go on. With k = 0
// nothing fails. The first model sleeps as long as the second one is asked beside it.
func cutHedgedRun(t *testing.T, k int64, written bool) cutHedge {
	t.Helper()
	hit := make(chan struct{})
	s := &faulty{Store: storetest.MemoryAt(t, func() time.Time { return start }), written: written,
		hit: func() { close(hit) }}
	s.at.Store(-1)
	h := openHedgedOn(t, true, s)
	for !h.r.IsAtRest() {
		time.Sleep(time.Millisecond)
	}
	h.first.asleep.Store(true)
	req, err := h.request("say something else", "hedge-0001")
	if err != nil {
		t.Fatal(err)
	}
	chance := h.config.Rand.(*counter)
	chance.n.Store(1 << 20) // the run has one nonce, however often it is begun
	before := s.n.Load()
	if k > 0 {
		s.at.Store(before + k)
	}
	info, err := h.r.Start(t.Context(), req)
	if k > 0 {
		select {
		case <-hit:
		case <-time.After(20 * time.Second):
			t.Fatalf("the run made %d writes, and not %d", s.n.Load()-before, k)
		}
		h.r.Close()
		h.restart()
		chance.n.Store(1 << 20)
		info, err = h.r.Start(t.Context(), req)
	}
	if err != nil {
		t.Fatal(err)
	}
	if k > 0 && !h.isHedged(info.ID) { // what the other process knew of its models is gone, so nobody is asked beside it
		close(h.first.wake)
	}
	info = h.until(info.ID, provenance.CloseAnswered)
	h.verified(info.ID)
	out := cutHedge{ends: h.ends(info.ID), head: info.Head.String(), said: h.said(info.ID), spent: h.checkSums("session")}
	for k == 0 && !h.r.IsAtRest() {
		time.Sleep(time.Millisecond)
	}
	out.writes = s.n.Load() - before
	return out
}

// isHedged says whether it is recorded that a second model is asked.
func (h *hedged) isHedged(run provenance.Link) bool {
	h.Helper()
	views, err := h.r.Steps(h.Context(), run, 0, 16)
	if err != nil {
		h.Fatal(err)
	}
	for _, v := range views {
		if lapse, is := v.Step.Event.(*provenance.Lapse); is && lapse.Why == provenance.LapseSlow {
			return true
		}
	}
	return false
}

// Each write of a hedged run fails once, before it is done and after, and another process takes the run up. If it was
// written that the first model is slow, both are asked again and the run ends as one that was not cut: it has the root of
// its story, of which there are two, since which of the two questions ends first is open. If it was not, the first model
// alone is asked again, and answers. The question that was outrun is booked once, and the steps come to the ledger.
func TestAFaultAtEveryWriteOfAHedgedRun(t *testing.T) {
	const outrun, second, first = "first " + string(fault.ModelOutrun) + "; ", "second answered; ", "first answered; "
	const before, answer = 20 * 15_000, 15_000 // in nano-USD: the answers that made the models known, and one more
	whole := cutHedgedRun(t, 0, false)
	lost := whole.spent - before - answer // what was reserved for the question that was outrun
	if whole.ends != outrun+second && whole.ends != second+outrun || whole.writes < 4 || lost <= answer {
		t.Fatalf("without a fault %+v", whole)
	}
	var mu sync.Mutex
	roots, counts := map[string]string{whole.ends: whole.head}, map[string]int{}
	t.Run("cuts", func(t *testing.T) {
		for k := int64(1); k <= whole.writes; k++ {
			for _, written := range []bool{false, true} {
				if testing.Short() && written != (k%2 == 0) {
					continue
				}
				t.Run(fmt.Sprintf("write %d, written %v", k, written), func(t *testing.T) {
					t.Parallel()
					got := cutHedgedRun(t, k, written)
					spent, said := whole.spent, "second here"
					if got.ends == first {
						spent, said = before+answer, "first here"
					}
					if got.ends != outrun+second && got.ends != second+outrun && got.ends != first ||
						got.spent != spent || got.said != said {
						t.Errorf("%q, %q, %d nano-USD; of those that ended so, want %q, %d", got.ends, got.said, got.spent,
							said, spent)
					}
					mu.Lock()
					defer mu.Unlock()
					counts[got.ends]++
					if root, known := roots[got.ends]; known && root != got.head {
						t.Errorf("%q has the root %s, and elsewhere %s", got.ends, got.head, root)
					}
					roots[got.ends] = got.head
				})
			}
		}
	})
	if counts[first] == 0 || counts[outrun+second]+counts[second+outrun] == 0 {
		t.Errorf("a cut on one side of the hedge is missing: %v", counts)
	}
	t.Logf("%d writes, cuts by their ends: %v; %d nano-USD for what was outrun", whole.writes, counts, lost)
}
