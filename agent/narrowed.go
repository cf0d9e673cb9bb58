package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
)

// narrowed reads a delegate's limits: those of the agent that calls, with what is given here in their place. Nothing
// that is given may be wider; max_depth is none if absent. assets has the decimals of the caller's symbols. An error
// comes with the key that it is about.
func (g *grantFile) narrowed(caller auth.Caveats, assets map[string]uint8) (c auth.Caveats, key string, err error) {
	for symbol, decimals := range g.Assets {
		if had, ok := assets[symbol]; !ok || had != decimals {
			return c, "assets", fmt.Errorf("the agent's own grant has no %s with %d decimals", symbol, decimals)
		}
	}
	own := *g
	own.Assets = assets
	given, err := own.caveats()
	if err != nil {
		key, why, _ := strings.Cut(err.Error(), ": ")
		return c, key, errors.New(why)
	}
	given = given.Sorted()
	outer := caller.Sorted()
	outer.MaxDepth-- // Definition.check has seen to it that there is one
	c = outer
	c.MaxDepth = given.MaxDepth
	instead(&c.MaxCalls, given.MaxCalls, g.MaxCalls != 0)
	instead(&c.MaxTokens, given.MaxTokens, g.MaxTokens != 0)
	instead(&c.MaxCostNanoUSD, given.MaxCostNanoUSD, g.MaxUSD != "")
	instead(&c.Chains, given.Chains, g.Chains != nil)
	instead(&c.Recipients, given.Recipients, g.Recipients != nil)
	instead(&c.Hosts, given.Hosts, g.Hosts != nil)
	instead(&c.Models, given.Models, g.Models != nil)
	instead(&c.ApproveIfTainted, given.ApproveIfTainted, g.ApproveIfTainted != nil)
	if g.MaxTotal != nil || g.MaxPerCall != nil || g.ApproveAbove != nil {
		if key, err = g.spending(&c, given, outer); err != nil {
			return c, key, err
		}
	}
	err = c.Validate()
	if err == nil {
		err = c.Within(outer)
	}
	if f, ok := errors.AsType[*auth.Fault](err); ok {
		if key = f.Field; key == "max_cost_usd" {
			key = "max_usd"
		}
		if c.Validate() != nil {
			return c, key, errors.New(f.Detail)
		}
		return c, key, fmt.Errorf("%s is wider than %s, which is what the agent's own grant leaves; a delegate's limits can only be narrower",
			shown(c, f.Field), shown(outer, f.Field))
	}
	return c, "", err
}

func instead[T any](to *T, with T, given bool) {
	if given {
		*to = with
	}
}

// spending puts together the three lists of amounts. An asset that is not named in max_total is the caller's, unless
// there is a max_total that leaves it out.
func (g *grantFile) spending(c *auth.Caveats, given, outer auth.Caveats) (key string, err error) {
	totals := outer.MaxTotal
	if g.MaxTotal != nil {
		totals = given.MaxTotal
	}
	of := func(list []money.Amount, a money.Asset) (money.Amount, bool) {
		i := slices.IndexFunc(list, func(x money.Amount) bool { return x.Asset() == a })
		if i < 0 {
			return money.Of(a, 0), false
		}
		return list[i], true
	}
	c.MaxTotal, c.MaxPerCall, c.ApproveAbove = nil, nil, nil
	for _, total := range totals {
		a := total.Asset()
		perCall, ok := of(given.MaxPerCall, a)
		if !ok {
			if perCall, ok = of(outer.MaxPerCall, a); !ok {
				return "max_total", fmt.Errorf("the agent's own grant spends no %s", a.Symbol)
			}
			if n, err := perCall.Cmp(total); err == nil && n > 0 {
				perCall = total
			}
		}
		above, ok := of(given.ApproveAbove, a)
		if !ok {
			above, _ = of(outer.ApproveAbove, a)
		}
		c.MaxTotal, c.MaxPerCall, c.ApproveAbove = append(c.MaxTotal, total), append(c.MaxPerCall, perCall), append(c.ApproveAbove, above)
	}
	for _, l := range []struct {
		key  string
		list []money.Amount
	}{{"max_per_call", given.MaxPerCall}, {"approve_above", given.ApproveAbove}} {
		for _, x := range l.list {
			if _, ok := of(c.MaxTotal, x.Asset()); !ok {
				return l.key, fmt.Errorf("the delegate spends no %s", x.Asset().Symbol)
			}
		}
	}
	return "", nil
}

// shown writes one caveat for people.
func shown(c auth.Caveats, field string) string {
	list := func(entries []string) string {
		if len(entries) == 0 {
			return "any"
		}
		return strings.Join(entries, ", ")
	}
	amounts := func(all []money.Amount) string {
		var out []string
		for _, a := range all {
			out = append(out, a.String())
		}
		if len(out) == 0 {
			return "nothing"
		}
		return strings.Join(out, ", ")
	}
	switch field {
	case "max_total":
		return amounts(c.MaxTotal)
	case "max_per_call":
		return amounts(c.MaxPerCall)
	case "approve_above":
		return amounts(c.ApproveAbove)
	case "max_calls":
		return fmt.Sprint(c.MaxCalls)
	case "max_tokens":
		return fmt.Sprint(c.MaxTokens)
	case "max_cost_usd":
		return money.Of(money.USD, uint64(c.MaxCostNanoUSD)).Decimal() + " USD"
	case "max_depth":
		return fmt.Sprint(c.MaxDepth)
	case "approve_if_tainted":
		return fmt.Sprint(c.ApproveIfTainted)
	case "hosts":
		return list(c.Hosts)
	case "models":
		return list(c.Models)
	case "chains":
		return strings.Trim(fmt.Sprint(c.Chains), "[]")
	}
	var to []string
	for _, a := range c.Recipients {
		to = append(to, a.Hex())
	}
	return list(to)
}

// place returns the line of a key of a delegate's grant, as "line 7: ".
func place(src []byte, delegate int, key string) string {
	var doc yaml.Node
	if yaml.Unmarshal(src, &doc) != nil || len(doc.Content) == 0 {
		return ""
	}
	grant := entry(entry(doc.Content[0], "delegates"), "grant", delegate)
	at := grant
	if grant != nil {
		for i := 0; i+1 < len(grant.Content); i += 2 {
			if grant.Content[i].Value == key {
				at = grant.Content[i]
			}
		}
	}
	if at == nil {
		return ""
	}
	return fmt.Sprintf("line %d: ", at.Line)
}

// entry returns the value of a key, of a mapping or of the i-th mapping in a list; nil if there is none.
func entry(n *yaml.Node, key string, i ...int) *yaml.Node {
	if n != nil && len(i) > 0 {
		if i[0] >= len(n.Content) {
			return nil
		}
		n = n.Content[i[0]]
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for k := 0; k+1 < len(n.Content); k += 2 {
		if n.Content[k].Value == key {
			return n.Content[k+1]
		}
	}
	return nil
}
