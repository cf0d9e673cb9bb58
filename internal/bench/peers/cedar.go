package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// cedarRules asks one policy set; a set's literals are folded when it is parsed.
type cedarRules struct{ set *cedar.PolicySet }

func loadCedar() (engine, error) {
	c := &cedarRules{set: cedar.NewPolicySet()}
	for _, r := range rules {
		effect := "permit"
		if r.forbid {
			effect = "forbid"
		}
		var p cedar.Policy
		src := fmt.Sprintf("%s (principal, action, resource) when { %s };", effect,
			strings.Replace(r.cedar, "%s", literal(), 1))
		if err := p.UnmarshalCedar([]byte(src)); err != nil {
			return nil, fmt.Errorf("%s: %w", r.id, err)
		}
		c.set.Add(cedar.PolicyID(r.id), &p)
	}
	return c, nil
}

func (c *cedarRules) ready(q *request) any {
	return cedar.Request{
		Principal: cedar.NewEntityUID("Agent", "treasurer"), Action: cedar.NewEntityUID("Action", "spend"),
		Resource: cedar.NewEntityUID("Wallet", "one"),
		Context: cedar.NewRecord(cedar.RecordMap{
			"tool": cedar.String(q.tool), "class": cedar.String(q.class), "asset": cedar.String(q.asset),
			"to":     cedar.String(q.to),
			"amount": cedar.Long(q.amount), "chain": cedar.Long(q.chain), "now": cedar.Long(q.now),
			"expires": cedar.Long(q.expires), "turn": cedar.Long(q.turn),
		}),
	}
}

func (c *cedarRules) decide(x any) bool { return c.answer(x).permit }

func (c *cedarRules) answer(x any) (a answer) {
	decision, why := cedar.Authorize(c.set, nil, x.(cedar.Request))
	if len(why.Errors) > 0 {
		panic(why.Errors[0].String())
	}
	a.permit = decision == cedar.Allow
	for _, r := range why.Reasons {
		a.rules = append(a.rules, string(r.PolicyID))
	}
	slices.Sort(a.rules)
	return a
}
