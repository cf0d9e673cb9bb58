package doctor

import (
	"crypto/ed25519"
	"path/filepath"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// What the steps of a run leave open is what a person has to look at: no more, and no less.
func TestWhatARunLeavesOpen(t *testing.T) {
	of := provenance.Ref{Seq: 1}
	for _, test := range []struct {
		name    string
		answer  provenance.Event
		waiting int
	}{
		{"a question", nil, 1},
		{"an answered question", &provenance.Verdict{Of: of}, 0},
		{"a question that lapsed", &provenance.Lapse{Of: &of, Why: provenance.LapseTimeout}, 0},
		{"an answer to something else", &provenance.Lapse{Why: provenance.LapseCancelled}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s standing
			s.take(&provenance.Step{Event: &provenance.Ask{}, At: 1000})
			s.take(&provenance.Step{Seq: 1, At: 2000, Event: &provenance.Reply{}, Does: []provenance.Effect{&provenance.Seek{}}})
			if test.answer != nil {
				s.take(&provenance.Step{Seq: 2, At: 3000, Event: test.answer})
			}
			if len(s.waiting) != test.waiting {
				t.Errorf("got questions %v, want %d", s.waiting, test.waiting)
			}
			if len(s.waiting) == 1 && s.waiting[0] != (happening{seq: 1, at: 2000}) {
				t.Errorf("got %v, want step 1, at 2000", s.waiting[0])
			}
		})
	}
}

// A transaction that is stuck needs a person until the chain or an operator has answered.
func TestAStuckTransactionNeedsAPerson(t *testing.T) {
	said := func(status, out string) *provenance.Result {
		return &provenance.Result{Status: status, Output: provenance.NewPayload([]byte(out))}
	}
	const stuck = `{"state":"stuck","why":"ceiling","hash":"0xaa"}`
	for _, test := range []struct {
		name string
		says []*provenance.Result // of one after the other
		why  string
	}{
		{"nothing is said yet", nil, ""},
		{"it is stuck", []*provenance.Result{said(provenance.StatusPending, stuck)}, "ceiling"},
		{"it was replaced", []*provenance.Result{said(provenance.StatusPending, stuck),
			said(provenance.StatusPending, `{"state":"replaced","hash":"0xbb"}`)}, ""},
		{"it was mined", []*provenance.Result{said(provenance.StatusPending, stuck), said(provenance.StatusOK, "{}")}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s standing
			send := []provenance.Effect{&provenance.Call{Class: "chain", Phase: provenance.PhaseSend}}
			s.take(&provenance.Step{Event: &provenance.Ask{}, Does: send})
			for i, r := range test.says {
				r.Of = provenance.Ref{Seq: uint64(i)}
				s.take(&provenance.Step{Seq: uint64(i + 1), Event: r, Does: send})
			}
			why := ""
			for _, x := range s.stuck {
				why = x.why
			}
			if why != test.why {
				t.Errorf("got %q, want %q", why, test.why)
			}
		})
	}
}

// A head that stands in no published log is told of once it is older than the log may be behind.
func TestALogThatIsBehind(t *testing.T) {
	l := look{data: t.TempDir(), cfg: &config.Config{}, now: time.UnixMilli(1_000_000), lag: 5 * time.Minute}
	db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(l.data, datadir.StoreFile))})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	run, err := provenance.Encode(&provenance.PolicySet{Name: "none"})
	if err != nil {
		t.Fatal(err)
	}
	head := &provenance.Head{Run: run.CID, Step: run.CID, At: 700_000}
	if err := head.Sign(key); err != nil {
		t.Fatal(err)
	}
	b, err := provenance.Encode(head)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.AddEntry(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := l.examineLog(t.Context(), db); err != nil || len(l.needs) != 0 {
		t.Fatalf("five minutes old: got %v and %v, want nothing", l.needs, err)
	}
	l.now = l.now.Add(time.Millisecond)
	if err := l.examineLog(t.Context(), db); err != nil || len(l.needs) != 1 || l.needs[0].Kind != needLog {
		t.Errorf("older: got %v and %v, want a log that is behind", l.needs, err)
	}
}
