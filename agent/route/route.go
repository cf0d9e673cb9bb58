// Package route chooses what answers a turn: rules, a recording, a small or a large model.
//
// An agent's routes are tried in order. Each says when it applies, as an expr condition over the model.route
// environment, and which model it leads to, or that the run is refused with the price of an answer. [Candidates]
// returns all that apply, in order, so that the loop can ask the policies about each and fall back to the next when one
// fails; it decides nothing itself.
package route

import (
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// Words that a route uses in the place of a model's name.
const (
	None   = "none"   // no model: the rules, whose answer costs nothing
	Refuse = "refuse" // nothing: the run ends and says what an answer would cost
)

// Reserved are words that are kept for what there is not yet: a route that uses one is refused when it is loaded.
var Reserved = []string{"cache"}

// A Rule leads to the models of a pool, or to one, when its condition holds; or to a refusal.
type Rule struct {
	ID     string
	When   *policies.RouteCond
	Models []model.Info // none of a refusal
	By     string       // how they are ordered, one of provenance's By constants; by weight if empty
	Refuse bool
	Shadow bool // it is only looked at
}

// A Need is what is known of a turn before a model is chosen.
type Need struct {
	Request   policies.Request // the session's, the run's and the turn's fields; Candidates fills in the model's
	Input     int64            // upper bound of input tokens for a model that counts them
	MaxTokens int64            // upper bound of the reply that the run has room for
	Down      []string         // models that are held to be unhealthy
	Tried     []string         // models that failed this turn
	Images    bool             // the talk has images, which only some models read
	Once      bool             // no real model is asked any more in this turn

	Fleet []provenance.ModelFact // how models have answered of late
	Lot   [32]byte               // by which the models of a pool are drawn; another one in each turn
}

// A Candidate is a model that may answer the turn, with the request that policies judge it by.
type Candidate struct {
	Rule    string
	Model   model.Info       // the zero Info of a refusal
	Refuse  bool             // nothing answers; it is the last candidate
	Shadow  string           // of the first candidate: the shadow rule that would have been before it
	Request policies.Request // at model.route: tokens and cost are upper bounds; of a refusal, the least of any model's
}

// Candidates returns the models whose rules hold, in the order of the rules, each once, and ends with the first refusal
// that holds. A condition that cannot be evaluated is an error, not a false; it is evaluated for each model of a pool.
// A shadow rule leads to nothing: the first that would have been first is told with the first candidate.
func Candidates(rules []Rule, n Need) ([]Candidate, error) {
	out := make([]Candidate, 0, len(rules))
	shadow := ""
	for i := range rules {
		r := &rules[i]
		if r.Shadow {
			if len(out) == 0 && shadow == "" && r.wouldTake(&n) {
				shadow = r.ID
			}
			continue
		}
		found, err := r.candidates(&n, rules, out)
		if err != nil {
			return nil, err
		}
		if out = found; len(out) > 0 && out[len(out)-1].Refuse {
			break
		}
	}
	if len(out) > 0 {
		out[0].Shadow = shadow
	}
	return out, nil
}

// candidates appends those of a rule.
func (r *Rule) candidates(n *Need, rules []Rule, out []Candidate) ([]Candidate, error) {
	models := r.order(n)
	if r.Refuse {
		models = []model.Info{{}}
	}
	for _, m := range models {
		seen := slices.ContainsFunc(out, func(c Candidate) bool { return c.Model.Name == m.Name })
		if !r.Refuse && (seen || n.passesOver(m)) {
			continue
		}
		priced := m
		if r.Refuse {
			priced = cheapest(rules, n)
		}
		req := n.Request
		req.Point, req.Input = policies.ModelRoute, n.Input
		n.viewModel(&req, m)
		req.Tokens, req.Cost = 0, 0
		if priced.Kind == model.KindModel { // rules and recordings count no tokens
			req.Tokens, req.Cost = n.bound(priced)
		}
		out = append(out, Candidate{Rule: r.ID, Model: m, Refuse: r.Refuse, Request: req})
		holds, err := r.When.Holds(&out[len(out)-1].Request)
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", r.ID, err)
		}
		if !holds {
			out = out[:len(out)-1]
		}
	}
	return out, nil
}

// wouldTake says whether a shadow rule would have led to something. One that has no answer has none.
func (r *Rule) wouldTake(n *Need) bool {
	found, err := r.candidates(n, nil, nil)
	return err == nil && len(found) > 0
}

// passesOver says whether a model is not asked in this turn.
func (n *Need) passesOver(m model.Info) bool {
	return n.Images && !ReadsImages(m) || slices.Contains(n.Down, m.Name) ||
		slices.Contains(n.Tried, m.Name) || n.Once && m.Kind == model.KindModel
}

// ReadsImages says whether a model can be asked about images. A recording answers whatever it is asked.
func ReadsImages(m model.Info) bool { return m.Images || m.Kind == model.KindScripted }

// Exceeds says whether the input and an answer may be more than a model reads.
func (n *Need) Exceeds(m *model.Info) bool {
	return m.Window > 0 && n.Input+min(m.MaxTokens, n.MaxTokens, m.Window/4) > m.Window
}

// bound returns what one call of a model takes at most.
func (n *Need) bound(m model.Info) (tokens, cost int64) {
	out := min(n.MaxTokens, m.MaxTokens)
	return n.Input + out, m.Bound(n.Input, out)
}

// cheapest returns the real model of the rules that a call costs the least of; the zero Info if there is none.
func cheapest(rules []Rule, n *Need) (found model.Info) {
	least := int64(0)
	for i := range rules {
		for _, m := range rules[i].Models {
			if m.Kind != model.KindModel {
				continue
			}
			if _, cost := n.bound(m); found.Name == "" || cost < least {
				found, least = m, cost
			}
		}
	}
	return found
}
