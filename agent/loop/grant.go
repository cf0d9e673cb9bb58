package loop

import (
	"fmt"
	"strings"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
)

// GrantRules writes the wallet's layer of policy: the rules that a grant's abilities and caveats are. They are
// judged by the same engine as the operator's set, so a refusal explains itself in the same way, and an auditor
// makes the same rules from the same signed text. Whatever the grant does not name is denied by having no permit.
func GrantRules(g *auth.Grant) []byte {
	c := g.Caveats
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	put("schema: writ/policies/1")
	put("name: grant")

	if len(c.MaxTotal) > 0 {
		put("assets:")
		for _, a := range c.MaxTotal {
			put("  %s: %d", a.Asset().Symbol, a.Asset().Decimals)
		}
	}
	put("budgets:")
	put("  - {id: calls, cap: 'calls(%d)', scope: session}", c.MaxCalls)
	put("  - {id: tokens, cap: 'tokens(%d)', scope: session}", c.MaxTokens)
	put("  - {id: cost, cap: 'usd(%q)', scope: session}", nanoUSD(c.MaxCostNanoUSD))
	for _, a := range c.MaxTotal {
		put("  - {id: %s, cap: '%s', scope: session}", totalID(a.Asset()), literal(a))
	}
	if len(c.Recipients) > 0 {
		put("sets:")
		put("  recipients:")
		for _, r := range c.Recipients {
			put("    - %q", r.Hex())
		}
	}

	put("rules:")
	put("  - id: tools")
	put("    at: tool.call")
	put("    effect: permit")
	put("    when: 'tool in [%s]'", quoted(g.Tools))
	put("    reserve: {budget: calls}")
	if len(c.Chains) > 0 {
		put("  - id: chains")
		put("    at: tool.call")
		put("    effect: forbid")
		put("    unless: 'chain in [%s]'", strings.Join(strings.Fields(strings.Trim(fmt.Sprint(c.Chains), "[]")), ", "))
	}
	for _, a := range c.MaxPerCall {
		put("  - id: max_per_call_%s", strings.ToLower(a.Asset().Symbol))
		put("    at: spend")
		put("    effect: forbid")
		put("    when: 'asset == %q && amount > %s'", a.Asset().Symbol, literal(a))
	}
	if len(c.Recipients) > 0 {
		put("  - id: recipients")
		put("    at: spend")
		put("    effect: forbid")
		put("    unless: 'in_set(to, \"recipients\")'")
	}
	for _, a := range c.ApproveAbove {
		put("  - id: approve_above_%s", strings.ToLower(a.Asset().Symbol))
		put("    at: spend")
		put("    effect: approve")
		put("    when: 'asset == %q && amount > %s'", a.Asset().Symbol, literal(a))
	}
	for _, a := range c.MaxTotal {
		put("  - id: %s", totalID(a.Asset()))
		put("    at: spend")
		put("    effect: permit")
		put("    when: 'asset == %q'", a.Asset().Symbol)
		put("    reserve: {budget: %s}", totalID(a.Asset()))
	}
	if len(c.Models) > 0 {
		put("  - id: models")
		put("    at: model.route")
		put("    effect: forbid")
		put("    unless: 'model in [%s]'", quoted(c.Models))
	}
	put("  - id: models_cost")
	put("    at: model.route")
	put("    effect: permit")
	put("    reserve: [{budget: tokens}, {budget: cost}]")
	put("  - id: answers")
	put("    at: output")
	put("    effect: permit")
	return []byte(b.String())
}

func totalID(a money.Asset) string { return "max_total_" + strings.ToLower(a.Symbol) }

func literal(a money.Amount) string {
	return fmt.Sprintf("%s(%q)", strings.ToLower(a.Asset().Symbol), a.Decimal())
}

func quoted(list []string) string {
	q := make([]string, len(list))
	for i, s := range list {
		q[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(q, ", ")
}

// nanoUSD writes nano-dollars as decimal dollars.
func nanoUSD(n int64) string {
	return money.Of(money.USD, uint64(max(n, 0))).Decimal()
}
