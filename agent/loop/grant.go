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
// calls are the tools with which the grant's agent calls sub-agents.
func GrantRules(g *auth.Grant, calls ...string) ([]byte, error) {
	return layerRules(g.Tools, g.Caveats, calls, 0)
}

// layerRules writes a layer's policy: the grant's, or a delegation's. calls are the tools with which the agent calls
// sub-agents, below how many levels of sub-agents stand between the layer and the agent.
func layerRules(tools []string, c auth.Caveats, calls []string, below uint64) ([]byte, error) {
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
		put("  - {id: max_total_%s, cap: '%s', scope: session}", word(a.Asset()), literal(a))
	}
	if len(tools)+len(c.Models)+len(c.Hosts)+len(c.Recipients) > 0 {
		put("sets:")
	}
	set := func(name string, entries []string) {
		if len(entries) == 0 {
			return
		}
		put("  %s:", name)
		for _, e := range entries {
			put("    - %q", e)
		}
	}
	set("tools", tools)
	set("models", c.Models)
	set("hosts", c.Hosts)
	recipients := make([]string, len(c.Recipients))
	for i, r := range c.Recipients {
		recipients[i] = r.Hex()
	}
	set("recipients", recipients)

	put("rules:")
	if len(tools) > 0 { // else no call is permitted
		put("  - id: tools")
		put("    at: tool.call")
		put("    effect: permit")
		put("    when: 'in_set(tool, \"tools\")'")
		put("    reserve: {budget: calls}")
	}
	chains := make([]string, len(c.Chains))
	for i, n := range c.Chains {
		chains[i] = fmt.Sprint(n)
	}
	put("  - id: chains")
	put("    at: tool.call")
	put("    effect: forbid")
	put("    unless: 'chain in [%s]'", strings.Join(chains, ", "))
	if len(c.Hosts) > 0 { // a call that names no host reaches none: redirects are the tool's to check
		put("  - id: hosts")
		put("    at: tool.call")
		put("    effect: forbid")
		put("    when: 'host != \"\"'")
		put("    unless: 'in_set(host, \"hosts\")'")
	}
	if c.ApproveIfTainted {
		put("  - id: approve_if_tainted")
		put("    at: spend")
		put("    effect: approve")
		put("    when: 'tainted'")
		put("    message: untrusted content has come into this run, so the wallet is asked before anything is spent")
	}
	b.WriteString(depthRule(c, calls, below))
	for _, a := range c.MaxPerCall {
		put("  - id: max_per_call_%s", word(a.Asset()))
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
		put("  - id: approve_above_%s", word(a.Asset()))
		put("    at: spend")
		put("    effect: approve")
		put("    when: 'asset == %q && amount > %s'", a.Asset().Symbol, literal(a))
	}
	for _, a := range c.MaxTotal {
		put("  - id: max_total_%s", word(a.Asset()))
		put("    at: spend")
		put("    effect: permit")
		put("    when: 'asset == %q'", a.Asset().Symbol)
		put("    reserve: {budget: max_total_%s}", word(a.Asset()))
	}
	if len(c.Models) > 0 {
		put("  - id: models")
		put("    at: model.route")
		put("    effect: forbid")
		put("    unless: 'in_set(model, \"models\")'")
	}
	put("  - id: models_cost")
	put("    at: model.route")
	put("    effect: permit")
	put("    reserve: [{budget: tokens}, {budget: cost}]")
	put("  - id: documents")
	put("    at: retrieval")
	put("    effect: permit")
	put("  - id: answers")
	put("    at: output")
	put("    effect: permit")
	return []byte(b.String()), nil
}

// word is an asset's symbol as policies write it in names.
func word(a money.Asset) string {
	return strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToLower(a.Symbol))
}

func literal(a money.Amount) string { return fmt.Sprintf("%s(%q)", word(a.Asset()), a.Decimal()) }

// nanoUSD writes nano-dollars as decimal dollars.
func nanoUSD(n int64) string { return money.Of(money.USD, uint64(max(n, 0))).Decimal() }
