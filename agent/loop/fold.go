package loop

import (
	"slices"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A talk that is too long for its model is folded before the model is asked, and not when its provider refuses it. It
// is measured in bytes, which are an upper bound of tokens. A real model is asked for a summary, as a call of its own
// that is decided, paid and recorded like any other; the summary has no better label than what it is of, since the
// run's context keeps the join of all that was read. Where no real model answers, or there is no money, time or room
// for one, a fixed rule cuts: it costs nothing, it can be recomputed without asking anybody, and it says what it left
// out, so that the model can ask a tool again. Between two turns no call is open, and no approval is sought.

// say adds a message to the talk.
func (s *State) say(msg model.Message) {
	msg.Step = s.Seq
	s.talk.Add(msg)
}

// A folding makes room for a turn that needs a model.
type folding struct {
	w    *work
	need route.Need
	from int64 // when the first candidate may be asked, 0 for at once
}

// makeRoom folds the talk if the model that is asked first could not read it, or if what the runs before have said has
// nearly filled its share. done says that the turn has been taken on: a summary is asked for, or the talk was cut.
func (f folding) makeRoom(cands []route.Candidate) (done bool, err error) {
	w := f.w
	if w.s.folded != nil { // it was not summed up
		w.s.folded, w.s.unsummed = nil, true
	}
	if len(cands) == 0 || cands[0].Refuse || cands[0].Model.Kind == model.KindRules || w.fold != nil {
		return false, nil
	}
	c := &cands[0]
	room := w.s.talk.Bytes
	isLong, before := f.need.Exceeds(&c.Model), w.s.talk.BeforeBytes()
	switch {
	case isLong:
		room = max(c.Model.Window/2-(f.need.Input-w.s.talk.Bytes), 0)
	case c.Model.Kind == model.KindModel && w.s.totals.Turns == 0 && before > thread.BudgetOf(w.m.limits.Tokens)*3/4:
	default:
		return false, nil
	}
	plan, ok := thread.PlanFold(&w.s.talk, w.s.salt, room, f.hasActed)
	if ok && f.maySum(c, plan) {
		if d := w.decideModel(c); d.Outcome == policies.Permit {
			plan.Fold.How = provenance.FoldSum
			w.fold, w.s.folded = &plan.Fold, plan
			limits := modelLimits{tokens: f.need.MaxTokens}
			w.s.asks.One, err = w.askModel(c, d, []string{c.Model.Name}, limits)
			return true, err
		}
	}
	if !isLong {
		return false, nil
	}
	if shortened := plan.Shorten(room); !ok && !shortened {
		return false, nil
	}
	w.s.talk = plan.Apply(plan.CutNote())
	plan.Fold.How = provenance.FoldCut
	w.fold = &plan.Fold
	return true, w.askNextModel()
}

// maySum says whether a model can be asked for a summary and, after it, for the turn.
func (f folding) maySum(c *route.Candidate, p *thread.Plan) bool {
	w, l := f.w, f.w.m.limits
	sums := &w.s.totals
	return c.Model.Kind == model.KindModel && !w.s.unsummed && !w.s.lastTurn && len(w.s.tries.Models) == 0 &&
		f.from == 0 && l.Turns-sums.Turns >= 3 &&
		2*c.Request.Cost <= l.Cost-sums.Cost && 2*c.Request.Tokens <= f.need.MaxTokens &&
		(c.Model.Window == 0 || p.SumSize()+thread.MaxSummary <= c.Model.Window)
}

// takeSummary puts a summary in the place of what it is of. What is none is not taken: the talk is cut then.
func (s *State) takeSummary(mc *provenance.ModelCall, text, denial string) {
	p := s.folded
	s.folded = nil
	if denial != "" || mc.Stop != model.StopEnd || text == "" || int64(len(text)) >= p.Fold.Bytes || len(mc.Calls) > 0 {
		s.unsummed = true
		return
	}
	note := p.SumNote(mc.Name, text)
	s.talk = p.Apply(note)
	if p.Before || s.summary != "" {
		s.summary = note.Text
	}
}

// hasActed says whether calls of a reply may have done more than read, or were brought to the wallet: what became of
// them is never left out.
func (f folding) hasActed(reply model.Message) bool {
	w := f.w
	acts := func(c model.Call) bool {
		t := w.m.tools[c.Tool]
		return t != nil && (t.spec.Class != tools.Read || t.delegate != nil)
	}
	return slices.Contains(w.s.sought, reply.Step) || slices.ContainsFunc(reply.Calls, acts)
}
