// Package layer writes the rules that a grant's abilities and caveats are, or a delegation's. Whoever has the same
// signed text, the server and the auditor alike, makes the same rules of it; the engine that judges the operator's
// set judges them too.
package layer

import (
	"fmt"
	"strings"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
)

// Write writes a layer's policy: the grant's, or a delegation's. calls are the tools with which the agent
// calls sub-agents, below how many levels of sub-agents stand between the layer and the agent.
func Write(tools []string, c auth.Caveats, calls []string, below uint64) []byte {
	var w rulesWriter
	w.put("schema: writ/policies/1")
	w.put("name: grant")
	w.putBudgets(c)
	w.putSets(tools, c)
	w.put("rules:")
	w.putCallRules(tools, c)
	if c.ApproveIfTainted {
		w.putRule("approve_if_tainted", "spend", "approve", "when: 'tainted'",
			"message: untrusted content has come into this run, so the wallet is asked before anything is spent")
	}
	w.WriteString(writeDepthRule(c, calls, below))
	w.putSpendRules(c)
	w.putOtherRules(c)
	return []byte(w.String())
}

// A rulesWriter writes a policy set, line by line.
type rulesWriter struct{ strings.Builder }

func (w *rulesWriter) put(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// putRule writes a rule. Each of rest is one more line of it.
func (w *rulesWriter) putRule(id, at, effect string, rest ...string) {
	w.put("  - id: %s", id)
	w.put("    at: %s", at)
	w.put("    effect: %s", effect)
	for _, line := range rest {
		w.put("    %s", line)
	}
}

func (w *rulesWriter) putBudgets(c auth.Caveats) {
	if len(c.MaxTotal) > 0 {
		w.put("assets:")
		for _, a := range c.MaxTotal {
			w.put("  %s: %d", a.Asset().Symbol, a.Asset().Decimals)
		}
	}
	w.put("budgets:")
	w.put("  - {id: calls, cap: 'calls(%d)', scope: session}", c.MaxCalls)
	w.put("  - {id: tokens, cap: 'tokens(%d)', scope: session}", c.MaxTokens)
	w.put("  - {id: cost, cap: 'usd(%q)', scope: session}", formatNanoUSD(c.MaxCostNanoUSD))
	for _, a := range c.MaxTotal {
		w.put("  - {id: max_total_%s, cap: '%s', scope: session}", AssetWord(a.Asset()), amountLiteral(a))
	}
	for _, a := range c.ApproveAbove {
		if !a.IsZero() { // else every spend asks
			word, limit := AssetWord(a.Asset()), amountLiteral(a)
			w.put("  - {id: unasked_%s, cap: '%s', scope: wallet, until: approval}", word, limit)
			w.put("  - {id: unasked_to_%s, cap: '%s', scope: wallet, until: approval, per: recipient}", word, limit)
		}
	}
}

func (w *rulesWriter) putSets(tools []string, c auth.Caveats) {
	recipients := make([]string, len(c.Recipients))
	for i, r := range c.Recipients {
		recipients[i] = r.Hex()
	}
	begun := false
	for _, set := range []struct {
		name    string
		entries []string
	}{{"tools", tools}, {"models", c.Models}, {"hosts", c.Hosts}, {"recipients", recipients}, {"things", c.Things}} {
		if len(set.entries) == 0 {
			continue
		}
		if !begun {
			w.put("sets:")
			begun = true
		}
		w.put("  %s:", set.name)
		for _, e := range set.entries {
			w.put("    - %q", e)
		}
	}
}

// putCallRules writes which tools may be called, on which chains and hosts.
func (w *rulesWriter) putCallRules(tools []string, c auth.Caveats) {
	if len(tools) > 0 { // else no call is permitted
		w.putRule("tools", "tool.call", "permit", `when: 'in_set(tool, "tools")'`, "reserve: {budget: calls}")
	}
	chains := make([]string, len(c.Chains))
	for i, n := range c.Chains {
		chains[i] = fmt.Sprint(n)
	}
	w.putRule("chains", "tool.call", "forbid", "unless: 'chain in ["+strings.Join(chains, ", ")+"]'")
	if len(c.Hosts) > 0 { // a call that names no host reaches none: redirects are the tool's to check
		w.putRule("hosts", "tool.call", "forbid", `when: 'host != ""'`, `unless: 'in_set(host, "hosts")'`)
	}
}

// putSpendRules writes how much may be spent of each asset, to whom, and above what the wallet is asked.
func (w *rulesWriter) putSpendRules(c auth.Caveats) {
	above := func(a money.Amount) string {
		return fmt.Sprintf("when: 'asset == %q && amount > %s'", a.Asset().Symbol, amountLiteral(a))
	}
	for _, a := range c.MaxPerCall {
		w.putRule("max_per_call_"+AssetWord(a.Asset()), "spend", "forbid", above(a))
	}
	if len(c.Recipients) > 0 {
		w.putRule("recipients", "spend", "forbid", `unless: 'in_set(to, "recipients")'`)
	}
	if len(c.Things) > 0 {
		w.putRule("things", "spend", "forbid", `when: 'thing != ""'`, `unless: 'in_set(thing, "things")'`)
	}
	for _, a := range c.ApproveAbove {
		w.putThreshold(a)
	}
	for _, a := range c.MaxTotal {
		budget := "max_total_" + AssetWord(a.Asset())
		when := fmt.Sprintf("when: 'asset == %q'", a.Asset().Symbol)
		w.putRule(budget, "spend", "permit", when, "reserve: {budget: "+budget+"}")
	}
}

// putThreshold writes above what the wallet is asked. What goes without asking is counted, in all and by recipient,
// from the last spend that the wallet approved: a sum that is paid in parts asks as the sum does.
func (w *rulesWriter) putThreshold(a money.Amount) {
	word := AssetWord(a.Asset())
	is := fmt.Sprintf("asset == %q", a.Asset().Symbol)
	limit, all, one := amountLiteral(a), "unasked_"+word, "unasked_to_"+word
	w.putRule("approve_above_"+word, "spend", "approve", fmt.Sprintf("when: '%s && amount > %s'", is, limit))
	if a.IsZero() {
		return
	}
	small := fmt.Sprintf("%s && amount <= %s", is, limit)
	for _, part := range []struct{ rule, budget, to string }{
		{"approve_parts_" + word, all, ""}, {"approve_parts_to_" + word, one, " to this recipient"},
	} {
		w.putRule(part.rule, "spend", "approve", fmt.Sprintf("when: '%s && amount > left(%q)'", small, part.budget),
			fmt.Sprintf("message: with this, more than %s would have gone%s without asking "+
				"since the wallet last approved a spend", a, part.to))
	}
	const room = "when: '%s && !approved && amount <= left(%q) && amount <= left(%q)'"
	w.putRule(all, "spend", "permit", fmt.Sprintf(room, small, all, one),
		"reserve: [{budget: "+all+"}, {budget: "+one+"}]")
}

// writeDepthRule forbids calls of sub-agents where a layer's levels are used up: below of them stand between the layer
// and the agent that calls.
func writeDepthRule(c auth.Caveats, calls []string, below uint64) string {
	if len(calls) == 0 || below < c.MaxDepth {
		return ""
	}
	quoted := make([]string, len(calls))
	for i, t := range calls {
		quoted[i] = fmt.Sprintf("%q", t)
	}
	return "  - id: max_depth\n    at: tool.call\n    effect: forbid\n    when: 'tool in [" +
		strings.Join(quoted, ", ") + "]'\n"
}

// putOtherRules writes which models may be asked, and that documents and answers are for the other layers to judge.
func (w *rulesWriter) putOtherRules(c auth.Caveats) {
	if len(c.Models) > 0 {
		w.putRule("models", "model.route", "forbid", `unless: 'in_set(model, "models")'`)
	}
	w.putRule("models_cost", "model.route", "permit", "reserve: [{budget: tokens}, {budget: cost}]")
	w.putRule("documents", "retrieval", "permit")
	w.putRule("answers", "output", "permit")
}

// AssetWord is an asset's symbol as policies write it in names.
func AssetWord(a money.Asset) string {
	return strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToLower(a.Symbol))
}

func amountLiteral(a money.Amount) string {
	return fmt.Sprintf("%s(%q)", AssetWord(a.Asset()), a.Decimal())
}

// formatNanoUSD writes nano-dollars as decimal dollars.
func formatNanoUSD(n int64) string { return money.Of(money.USD, uint64(max(n, 0))).Decimal() }

// A Budget is a limit of a grant that counts over its session's life.
type Budget struct {
	ID  string // within the layer
	Cap money.Amount
}

// SessionBudgets lists those that [Write] writes for caveats, in its order.
func SessionBudgets(c auth.Caveats) []Budget {
	out := []Budget{
		{"calls", money.Of(money.Calls, c.MaxCalls)}, {"tokens", money.Of(money.Tokens, c.MaxTokens)},
		{"cost", money.Of(money.USD, uint64(max(c.MaxCostNanoUSD, 0)))},
	}
	for _, a := range c.MaxTotal {
		out = append(out, Budget{"max_total_" + AssetWord(a.Asset()), a})
	}
	return out
}
