package loop

import (
	"github.com/writ-run/writ/agent/decision"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// A room has the space for what most steps give out, so that it is made in one piece. What does not fit any more is
// made for itself. Nothing in it is used twice: a step's effects and decisions are the caller's. It holds no state, so
// that a state that refers to its own step's room keeps no earlier ones.
type room struct {
	does       [3]provenance.Effect
	settles    [6]Settle
	noted      [2]provenance.Decision
	decisions  [3]provenance.Decision
	reserves   [6]provenance.Reserve
	considered [2]string
	ask        provenance.AskModel
	asking     modelcall.Open
	call       provenance.Call
	req        policies.Request // that is being asked about; made anew for each decision
	own        [6]ownUse        // of the state after the step
	say        provenance.Say
	end        provenance.Close

	decided, reserved int // of the arrays that are given out
	called            bool
}

// newDecisions returns n decisions to be filled in.
func (r *room) newDecisions(n int) []provenance.Decision {
	if r.decided+n > len(r.decisions) {
		return make([]provenance.Decision, n)
	}
	r.decided += n
	return r.decisions[r.decided-n : r.decided : r.decided]
}

// newReserves returns n reservations to be filled in.
func (r *room) newReserves(n int) []provenance.Reserve {
	if r.reserved+n > len(r.reserves) {
		return make([]provenance.Reserve, n)
	}
	r.reserved += n
	return r.reserves[r.reserved-n : r.reserved : r.reserved]
}

// newCall returns an effect to be filled in.
func (r *room) newCall() *provenance.Call {
	if r.called {
		return new(provenance.Call)
	}
	r.called = true
	return &r.call
}

// record turns decisions into their records. What was reserved counts only if all of it is permitted.
func (r *room) record(ds []policies.Decision, outcome policies.Outcome) ([]provenance.Decision, error) {
	out := r.newDecisions(len(ds))
	for i := range ds {
		rec, err := decision.Record(&ds[i])
		if err != nil {
			return nil, err
		}
		if from := ds[i].Reserve; outcome == policies.Permit && len(from) > 0 {
			rec.Reserve = r.newReserves(len(from))
			for k, x := range from {
				rec.Reserve[k] = provenance.Reserve{Budget: x.Budget, Amount: x.Amount}
			}
		}
		out[i] = rec
	}
	return out, nil
}
