package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
)

// writ also holds the amount against a budget and reserves it, which the others are not asked to do, and on a deny it
// writes an explanation.
type writ struct{ layers policies.Layers }

var usdc = money.Asset{Symbol: "USDC", Decimals: 6}

func loadWrit() (engine, error) {
	var b strings.Builder
	b.WriteString("schema: writ/policies/1\nname: peers\nassets: {USDC: 6}\nbudgets: [{id: day, cap: 'usdc(\"1000\")', " +
		"scope: wallet}]\nsets:\n  friends:\n")
	for i := range members {
		fmt.Fprintf(&b, "    - %s\n", member(i))
	}
	b.WriteString("rules:\n")
	for _, r := range rules {
		effect, reserve := "permit", ""
		if r.forbid {
			effect = "forbid"
		}
		if r.id == "friend" {
			reserve = ", reserve: {budget: day}"
		}
		fmt.Fprintf(&b, "  - {id: %s, at: spend, effect: %s, when: '%s'%s}\n", r.id, effect, r.writ, reserve)
	}
	s, err := policies.Load([]byte(b.String()), policies.Options{Layer: "operator"})
	if err != nil {
		return nil, err
	}
	return &writ{policies.Layers{s}}, nil
}

func (w *writ) ready(q *request) any {
	return &policies.Request{
		Point: policies.Spend, Now: q.now, Expires: q.expires, Turn: q.turn, Chain: q.chain, Tool: q.tool, Class: q.class,
		Amount: money.Of(money.Asset{Symbol: q.asset, Decimals: 6}, uint64(q.amount)), To: common.HexToAddress(q.to),
		Budgets: []policies.Budget{{ID: "operator/day", Cap: money.Of(usdc, 1e9), Spent: money.Of(usdc, 1),
			Reserved: money.Of(usdc, 0)}},
	}
}

func (w *writ) decide(x any) bool {
	return w.layers.Decide(x.(*policies.Request)).Outcome == policies.Permit
}

func (w *writ) answer(x any) answer {
	d := w.layers.Decide(x.(*policies.Request))
	a := answer{permit: d.Outcome == policies.Permit}
	for _, r := range d.Rules {
		_, id, _ := strings.Cut(r, "/")
		if a.permit || strings.HasPrefix(id, "forbid") { // of a deny it names the permit that came nearest, too
			a.rules = append(a.rules, id)
		}
	}
	slices.Sort(a.rules)
	return a
}
