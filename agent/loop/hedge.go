package loop

import (
	"errors"
	"slices"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// errHedge says that no second model is asked beside one that is slow.
var errHedge = errors.New("no other model is asked beside this one")

// A hedge asks a second model beside one that has not begun to answer in the time that it mostly takes. The first of
// the two that speaks answers the turn; the other one has ended by its own event before the run goes on, and counts as
// what it may have cost. Each is decided and reserved for as any model call is.
type hedge struct{ w *work }

// MayHedge says whether a second model may be asked beside the open model call of s: its route says so, the turn only
// reads, as it must for its answer to be used again, and has had no second one.
func (r Reuse) MayHedge() bool {
	s := r.s
	return r.isAllowed() && s.asks.Beside == nil && !s.asks.Hedged && s.ending == "" &&
		slices.ContainsFunc(r.m.agent.Routes, func(x provenance.AgentRoute) bool {
			return x.Hedge && x.ID == s.asks.One.Rule
		})
}

// begin asks the next model that is real, may be asked and is within the limits beside the other one. Where there is
// none the event is refused, and nothing has happened.
func (h hedge) begin(of provenance.Ref) error {
	w := h.w
	a := w.s.asks.One
	if a == nil || a.Ref != of || !ReuseOf(w.m, w.s).MayHedge() || w.isSessionOver() {
		return errHedge
	}
	need := w.needOfTurn()
	need.Tried = []string{a.Model.Name}
	cands, from, err := w.findCandidates(need)
	if err != nil {
		return err
	}
	left := w.m.limits.Cost - w.s.totals.Cost - a.Cost
	considered := w.room.considered[:0]
	for i := range cands {
		c := &cands[i]
		if c.Refuse || c.Model.Kind != a.Model.Kind || from > 0 {
			break
		}
		considered = append(considered, c.Model.Name)
		if c.Request.Cost > left || c.Request.Tokens > need.MaxTokens-a.Tokens || need.Exceeds(&c.Model) {
			continue
		}
		if d := w.decideModel(c); d.Outcome == policies.Permit {
			limits := modelLimits{tokens: need.MaxTokens - a.Tokens, shadow: cands[0].Shadow}
			w.s.asks.Beside, err = w.askModel(c, d, considered, limits)
			w.s.asks.Hedged = true
			return err
		}
	}
	return errHedge
}
