package archive

import (
	"testing"

	"github.com/writ-run/writ/provenance"
)

// What the steps of a run leave in doubt is what the operator may say something of: no more, and no less.
func TestWhatIsInDoubt(t *testing.T) {
	call := func(class, phase string) *provenance.Call { return &provenance.Call{Class: class, Phase: phase} }
	result := func(status string) provenance.Event {
		return &provenance.Result{Of: provenance.Ref{Seq: 1}, Status: status}
	}
	lapse := func(why string) provenance.Event {
		return &provenance.Lapse{Of: &provenance.Ref{Seq: 1}, Why: why}
	}
	send, once := call("chain", provenance.PhaseSend), call("once", provenance.PhaseAct)
	for _, test := range []struct {
		name        string
		does        provenance.Effect
		answer      provenance.Event
		found, open int // of those that are answered, and those that are not
		receipt     bool
	}{
		{"a send in doubt", send, result(provenance.StatusInDoubt), 1, 0, false},
		{"a send that timed out", send, result(provenance.StatusTimeout), 1, 0, false},
		{"a send that was done", send, result(provenance.StatusOK), 0, 0, true},
		{"a send that failed", send, result(provenance.StatusError), 0, 0, false},
		{"a wait for its block that failed", call("chain", provenance.PhaseFinal), result(provenance.StatusError), 1, 0, false},
		{"a send that goes on", send, result(provenance.StatusPending), 0, 0, false},
		{"a send under way", send, nil, 0, 1, false},
		{"a simulation", call("chain", provenance.PhaseSimulate), result(provenance.StatusTimeout), 0, 0, false},
		{"a signature", call("chain", provenance.PhaseSign), result(provenance.StatusTimeout), 0, 0, false},
		{"a read in doubt", call("read", provenance.PhaseAct), lapse(provenance.LapseInDoubt), 0, 0, false},
		{"a call once, in doubt", once, lapse(provenance.LapseInDoubt), 1, 0, false},
		{"a call once, cut off", once, lapse(provenance.LapseCancelled), 1, 0, false},
		{"a question that lapsed", &provenance.Seek{}, lapse(provenance.LapseTimeout), 0, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := doubts{open: map[provenance.Ref]asked{}}
			d.take(provenance.Link{}, &provenance.Step{Event: &provenance.Ask{}, At: 1000})
			d.take(provenance.Link{}, &provenance.Step{Seq: 1, At: 2000, Event: &provenance.Reply{}, Does: []provenance.Effect{test.does}})
			if test.answer != nil {
				d.take(provenance.Link{}, &provenance.Step{Seq: 2, At: 3000, Event: test.answer})
			}
			if len(d.found) != test.found || len(d.open) != test.open || (d.receipt != nil) != test.receipt {
				t.Errorf("got %v, open %v, receipt %v", d.found, d.open, d.receipt)
			}
			if len(d.found) == 1 && (d.found[0].Of != provenance.Ref{Seq: 1} || d.found[0].At != 2000) {
				t.Errorf("got %v, want step 1, at 2000", d.found[0])
			}
		})
	}
}
