package doctor

import (
	"encoding/json"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// noAccount lists the runs of all accounts.
var noAccount common.Address

// A happening is an effect of a step, and when that step was.
type happening struct {
	seq uint64
	at  int64  // ms UTC
	why string // a transaction is stuck
}

// A standing is what the steps of a run leave open.
type standing struct {
	last    int64                        // ms UTC, of the newest step
	waiting []happening                  // questions to the wallet that have no answer
	stuck   map[provenance.Ref]happening // transactions that wait, and nothing is done about; by the model's call

	below []provenance.Link // the heads with which sub-agents' runs have ended
	seeks map[provenance.Ref]happening
	sends map[provenance.Ref]provenance.Ref // of the model's calls
}

// take takes in the next step.
func (s *standing) take(step *provenance.Step) {
	if s.seeks == nil {
		s.seeks = map[provenance.Ref]happening{}
		s.stuck, s.sends = map[provenance.Ref]happening{}, map[provenance.Ref]provenance.Ref{}
	}
	s.last = step.At
	if of, ok := provenance.AnsweredBy(step.Event); ok {
		if seek, ok := s.seeks[of]; ok {
			i := slices.Index(s.waiting, seek)
			s.waiting = slices.Delete(s.waiting, i, i+1)
		}
		delete(s.seeks, of)
	}
	if r, is := step.Event.(*provenance.Result); is {
		s.takeSent(step, r)
		if r.Child.Defined() {
			s.below = append(s.below, r.Child)
		}
	}
	for i, e := range step.Does {
		ref := provenance.Ref{Seq: step.Seq, Index: uint64(i)}
		switch e := e.(type) {
		case *provenance.Call:
			if e.Phase == provenance.PhaseSend {
				s.sends[ref] = e.Of
			}
		case *provenance.Seek:
			what := happening{seq: step.Seq, at: step.At}
			s.seeks[ref] = what
			s.waiting = append(s.waiting, what)
		}
	}
}

// takeSent notes what becomes of a transaction that was sent: each answer ends that it is stuck, but the one which says
// so. What is sealed here says nothing.
func (s *standing) takeSent(step *provenance.Step, ev *provenance.Result) {
	of, sent := s.sends[ev.Of]
	if !sent {
		return
	}
	delete(s.sends, ev.Of)
	delete(s.stuck, of)
	out, _ := ev.Output.Bytes()
	var says tools.Stuck
	if ev.Status == provenance.StatusPending && json.Unmarshal(out, &says) == nil && says.State == tools.StateStuck {
		s.stuck[of] = happening{step.Seq, step.At, says.Why}
	}
}
