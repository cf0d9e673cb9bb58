package agentfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
)

// narrowCaveats reads a delegate's limits: those of the agent that calls, with what is given here in their place.
// Nothing that is given may be wider; max_depth is none if absent. assets has the decimals of the caller's symbols. An
// error comes with the key that it is about.
func (g *fileGrant) narrowCaveats(
	caller auth.Caveats, assets map[string]uint8,
) (c auth.Caveats, key string, err error) {
	for symbol, decimals := range g.Assets {
		if had, ok := assets[symbol]; !ok || had != decimals {
			return c, "assets", fmt.Errorf("the agent's own grant has no %s with %d decimals", symbol, decimals)
		}
	}
	own := *g
	own.Assets = assets
	given, err := own.parseCaveats()
	if err != nil {
		key, why, _ := strings.Cut(err.Error(), ": ")
		return c, key, errors.New(why)
	}
	given = given.Sorted()
	outer := caller.Sorted()
	outer.MaxDepth-- // Definition.checkFields has seen to it that there is one
	c = g.replaceGiven(outer, given)
	if g.MaxTotal != nil || g.MaxPerCall != nil || g.ApproveAbove != nil {
		if key, err = g.narrowSpending(&c, given, outer); err != nil {
			return c, key, err
		}
	}
	key, err = checkWithin(c, outer)
	return c, key, err
}

// replaceGiven returns the caveats of outer with those of given that the file names in their place.
func (g *fileGrant) replaceGiven(outer, given auth.Caveats) auth.Caveats {
	c := outer
	c.MaxDepth = given.MaxDepth
	replaceIf(&c.MaxCalls, given.MaxCalls, g.MaxCalls != 0)
	replaceIf(&c.MaxTokens, given.MaxTokens, g.MaxTokens != 0)
	replaceIf(&c.MaxCostNanoUSD, given.MaxCostNanoUSD, g.MaxUSD != "")
	replaceIf(&c.Chains, given.Chains, g.Chains != nil)
	replaceIf(&c.Recipients, given.Recipients, g.Recipients != nil)
	replaceIf(&c.Hosts, given.Hosts, g.Hosts != nil)
	replaceIf(&c.Models, given.Models, g.Models != nil)
	replaceIf(&c.Things, given.Things, g.Things != nil)
	replaceIf(&c.ApproveIfTainted, given.ApproveIfTainted, g.ApproveIfTainted != nil)
	return c
}

// checkWithin says whether c is valid and nowhere wider than outer, and if it is not, by the file's words for it.
func checkWithin(c, outer auth.Caveats) (key string, err error) {
	invalid := c.Validate()
	err = invalid
	if err == nil {
		err = c.Within(outer)
	}
	f, ok := errors.AsType[*auth.Fault](err)
	if !ok {
		return "", err
	}
	if key = f.Field; key == "max_cost_usd" {
		key = "max_usd"
	}
	if invalid != nil {
		return key, errors.New(f.Detail)
	}
	return key, fmt.Errorf("%s is wider than %s, which is what the agent's own grant leaves; "+
		"a delegate's limits can only be narrower", formatCaveat(c, f.Field), formatCaveat(outer, f.Field))
}

func replaceIf[T any](to *T, with T, given bool) {
	if given {
		*to = with
	}
}

// narrowSpending puts together the three lists of amounts. An asset that is not named in max_total is the caller's,
// unless there is a max_total that leaves it out.
func (g *fileGrant) narrowSpending(c *auth.Caveats, given, outer auth.Caveats) (key string, err error) {
	totals := outer.MaxTotal
	if g.MaxTotal != nil {
		totals = given.MaxTotal
	}
	c.MaxTotal, c.MaxPerCall, c.ApproveAbove = nil, nil, nil
	for _, total := range totals {
		a := total.Asset()
		perCall, ok := amountOf(given.MaxPerCall, a)
		if !ok {
			if perCall, ok = amountOf(outer.MaxPerCall, a); !ok {
				return "max_total", fmt.Errorf("the agent's own grant spends no %s", a.Symbol)
			}
			if n, err := perCall.Cmp(total); err == nil && n > 0 {
				perCall = total
			}
		}
		above, ok := amountOf(given.ApproveAbove, a)
		if !ok {
			above, _ = amountOf(outer.ApproveAbove, a)
		}
		c.MaxTotal = append(c.MaxTotal, total)
		c.MaxPerCall = append(c.MaxPerCall, perCall)
		c.ApproveAbove = append(c.ApproveAbove, above)
	}
	for _, l := range []struct {
		key  string
		list []money.Amount
	}{{"max_per_call", given.MaxPerCall}, {"approve_above", given.ApproveAbove}} {
		for _, x := range l.list {
			if _, ok := amountOf(c.MaxTotal, x.Asset()); !ok {
				return l.key, fmt.Errorf("the delegate spends no %s", x.Asset().Symbol)
			}
		}
	}
	return "", nil
}

// amountOf returns the amount of an asset in a list.
func amountOf(list []money.Amount, a money.Asset) (money.Amount, bool) {
	i := slices.IndexFunc(list, func(x money.Amount) bool { return x.Asset() == a })
	if i < 0 {
		return money.Of(a, 0), false
	}
	return list[i], true
}

// formatCaveat writes one caveat for people.
func formatCaveat(c auth.Caveats, field string) string {
	switch field {
	case "max_total":
		return joinOr("nothing", c.MaxTotal)
	case "max_per_call":
		return joinOr("nothing", c.MaxPerCall)
	case "approve_above":
		return joinOr("nothing", c.ApproveAbove)
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
		return joinOr("any", c.Hosts)
	case "models":
		return joinOr("any", c.Models)
	case "things":
		return joinOr("any", c.Things)
	case "chains":
		return strings.Trim(fmt.Sprint(c.Chains), "[]")
	}
	return joinOr("any", c.Recipients)
}

// joinOr writes a list for people, or none in its place.
func joinOr[T any](none string, list []T) string {
	if len(list) == 0 {
		return none
	}
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = fmt.Sprint(x)
	}
	return strings.Join(words, ", ")
}

// lineOf returns the line of a key of a delegate's grant, as "line 7: ".
func lineOf(src []byte, delegate int, key string) string {
	var doc yaml.Node
	if yaml.Unmarshal(src, &doc) != nil || len(doc.Content) == 0 {
		return ""
	}
	grant := mappingEntry(mappingEntry(doc.Content[0], "delegates"), "grant", delegate)
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

// mappingEntry returns the value of a key, of a mapping or of the i-th mapping in a list; nil if there is none.
func mappingEntry(n *yaml.Node, key string, i ...int) *yaml.Node {
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
