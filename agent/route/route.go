// Package route chooses what answers a turn: rules, a recording, a small or a large model.
//
// An agent's routes are tried in order. Each says when it applies, as an expr condition over the model.route
// environment, and which model it leads to. [Candidates] returns all that apply, in order, so that the loop can ask
// the policies about each and fall back to the next when one fails; it decides nothing itself.
package route

import (
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies"
)

// A Rule leads to a model when its condition holds.
type Rule struct {
	ID    string
	When  *policies.RouteCond
	Model model.Info
}

// A Need is what is known of a turn before a model is chosen.
type Need struct {
	Request   policies.Request // the session and run fields; Candidates fills in the model's
	Input     int64            // upper bound of input tokens for a model that counts them
	MaxTokens int64            // upper bound of the reply that the run has room for
	Down      []string         // models that are held to be unhealthy
	Tried     []string         // models that failed this turn
}

// A Candidate is a model that may answer the turn, with the request that policies judge it by.
type Candidate struct {
	Rule    string
	Model   model.Info
	Request policies.Request // at model.route: tokens and cost are upper bounds
}

// Candidates returns the models whose rules hold, in the order of the rules, each once. A condition that cannot be
// evaluated is an error, not a false.
func Candidates(rules []Rule, n Need) ([]Candidate, error) {
	out := make([]Candidate, 0, len(rules))
	req := n.Request
	req.Point = policies.ModelRoute
	for _, r := range rules {
		name := r.Model.Name
		seen := slices.ContainsFunc(out, func(c Candidate) bool { return c.Model.Name == name })
		if seen || slices.Contains(n.Down, name) || slices.Contains(n.Tried, name) {
			continue
		}
		req.Model, req.Kind, req.Provider = name, string(r.Model.Kind), r.Model.Provider
		req.Tokens, req.Cost = 0, 0
		if r.Model.Kind == model.KindModel { // rules and recordings count no tokens
			u := model.Usage{In: n.Input, Out: min(n.MaxTokens, r.Model.MaxTokens)}
			req.Tokens, req.Cost = u.In+u.Out, r.Model.Cost(u)
		}
		holds, err := r.When.Holds(&req)
		if err != nil {
			return nil, fmt.Errorf("route %s: %w", r.ID, err)
		}
		if holds {
			out = append(out, Candidate{Rule: r.ID, Model: r.Model, Request: req})
		}
	}
	return out, nil
}
