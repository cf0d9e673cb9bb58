package tamper

import (
	"errors"
	"slices"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// hedgedWorld is the small run, in whose first turn the second model is asked beside the first and answers.
func hedgedWorld() *world {
	w := smallWorld()
	w.hedges, w.slow = true, true
	return w
}

// answerHedged is what the world says to the questions of the first turn: the first model is slow, and is outrun by the
// second.
func (g *game) answerHedged(ref provenance.Ref) provenance.Event {
	switch {
	case !g.world.slow || g.asked > 0:
		return nil
	case g.waited == nil:
		g.waited = &ref
		return &provenance.Lapse{Of: &ref, Why: provenance.LapseSlow}
	}
	g.outrun = g.waited
	return nil
}

// endOutrun ends the question that was outrun, if the one beside it has just been answered.
func (g *game) endOutrun() provenance.Event {
	ref := g.outrun
	if g.outrun = nil; ref == nil {
		return nil
	}
	return &provenance.Reply{Of: *ref, Failed: string(fault.ModelOutrun)}
}

// Steps of a hedged run: the first model is asked in the first.
const (
	hedgeSlow = iota + 1 // the second is asked
	hedgeWon             // and answers, by a call
	hedgeTool            // which returns
	hedgeLost            // the first has ended, so the next turn begins
	hedgeNext            // which is answered
)

// questionAt returns the question of a step.
func questionAt(h *history, n int) *provenance.AskModel {
	for _, e := range h.steps[n].Does {
		if ask, is := e.(*provenance.AskModel); is {
			return ask
		}
	}
	panic("a step without a question")
}

// ofCost returns the reservation of a question for what it costs.
func ofCost(ask *provenance.AskModel) (*provenance.Reserve, error) {
	for _, d := range ask.Decisions {
		for i, r := range d.Reserve {
			if r.Amount.Asset() == money.USD {
				return &d.Reserve[i], nil
			}
		}
	}
	return nil, errors.New("the question reserves no cost")
}

// bookOutrun has the ledger show a part of what was reserved for the question that was outrun: by/of, and what the
// other one cost.
func bookOutrun(by, of uint64) func(*bench) ([]byte, error) {
	return changeHistory(hedgedWorld, func(h *history) error {
		r, err := ofCost(questionAt(h, 0))
		if err != nil {
			return err
		}
		open, err := ofCost(questionAt(h, hedgeLost))
		if err != nil {
			return err
		}
		at := slices.IndexFunc(h.steps[0].Facts.Budgets, func(b provenance.Budget) bool { return b.ID == r.Budget })
		b := h.steps[0].Facts.Budgets[at]
		b.Reserved = open.Amount
		b.Spent = money.Of(money.USD, r.Amount.Uint256().Uint64()*by/of+uint64(replyAt(h, hedgeWon).Model.Cost))
		h.steps[hedgeNext].Facts.Budgets = []provenance.Budget{b}
		return nil
	})
}

// falseHedges are runs that say something else of two models that were asked side by side.
var falseHedges = []vector{
	{Name: "honest-hedge", Verdict: verified, What: "a slow model that a second one, asked beside it, has outrun",
		make: changeSafely(hedgedWorld, func(*history) {})},
	{Name: "hedge-unbooked", Code: audit.CodeDecisionFacts, What: "the ledger shows nothing of what was outrun",
		make: bookOutrun(0, 1)},
	{Name: "hedge-half-booked", Code: audit.CodeDecisionFacts,
		What: "the ledger shows half of what the question that was outrun may have cost",
		make: bookOutrun(1, 2)},
	{Name: "hedge-reserve", Code: audit.CodeDecisionBudget, What: "half was reserved for the second question",
		make: changeHistory(hedgedWorld, func(h *history) error {
			r, err := ofCost(questionAt(h, hedgeSlow))
			if err == nil {
				r.Amount = money.Of(money.USD, r.Amount.Uint256().Uint64()/2)
			}
			return err
		})},
	{Name: "hedge-swapped", Code: audit.CodeDecisionEvent,
		What: "the answer is said to be that of the model that was outrun",
		make: changeSafely(hedgedWorld, func(h *history) {
			won, lost := replyAt(h, hedgeWon), replyAt(h, hedgeLost)
			won.Of, lost.Of = lost.Of, won.Of
		})},
	{Name: "hedge-both", Code: audit.CodeDecisionEvent, What: "both models have answered one turn",
		make: changeSafely(hedgedWorld, func(h *history) {
			lost, main := replyAt(h, hedgeLost), *replyAt(h, hedgeWon).Model
			main.Name, main.Provider, main.Asked = "main", h.runtime.Models[0].Provider, h.runtime.Models[0].Model
			main.Answered = main.Asked
			lost.Failed, lost.Model = "", &main
		})},
	{Name: "hedge-unended", Code: provenance.CodeHistoryUnanswered,
		What: "of the question that was outrun no end is recorded",
		make: changeSafely(hedgedWorld, func(h *history) {
			h.steps[hedgeTool].Does = h.steps[hedgeLost].Does
			removeStep(h, hedgeLost)
		})},
	{Name: "hedge-unsaid", Code: audit.CodeDecisionEvent,
		What: "a second model is asked beside one though the route does not say so",
		make: changeWorld(hedgedWorld, func(w *world) { w.unsaid = true })},
	{Name: "hedge-acts", Code: audit.CodeDecisionEvent, What: "a second model is asked in a turn that may act",
		make: changeHistory(func() *world {
			w := wholeWorld()
			w.hedges = true
			return w
		}, func(h *history) error {
			ask := *questionAt(h, 0)
			ask.Route.Model, ask.Route.Rule = "spare", "then"
			of := provenance.Ref{Index: uint64(slices.Index(h.steps[0].Does, provenance.Effect(questionAt(h, 0))))}
			insertStep(h, hedgeSlow, &provenance.Step{At: h.steps[0].At,
				Event: &provenance.Lapse{Of: &of, Why: provenance.LapseSlow}, Does: []provenance.Effect{&ask}})
			insertStep(h, hedgeTool, &provenance.Step{At: h.steps[hedgeWon].At, Event: &provenance.Reply{
				Of: provenance.Ref{Seq: hedgeSlow}, Failed: string(fault.ModelOutrun)}})
			return nil
		})},
}
