package loop

import (
	"slices"

	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools/arg"
)

// A plain order is a command of the signed request that asks for exactly one call, in so many words: "send 5 USDC to
// bob". It is how a run that has read untrusted content can still do what the user asked for without asking again: the
// values of such a call come from the signed request, and not from what was read.
//
// Orders are read by agent/grammar, as the planner reads requests: there are some only if the whole signed request is
// understood, to its last character, as commands and questions joined by the grammar's own connectives. One word that
// is not understood, in whatever language, and nothing in the request is an order. What is said into the run later is
// read in the same way, and if any text of the run is not understood, none of them orders anything: "stop" takes back
// what was said before it, "never send anything to bob" what is said after it, and which of the two counts is not for a
// grammar to guess. What is no order is not forbidden, it needs the wallet's approval.
//
// Besides, a text that is not understood holds up what was decided without it, whatever was read: what a model wanted
// before it was told the text is not done, and what the agents called by then may do ends. What no rule lets in no
// model is told; it counts as such a text, and from then on the wallet is asked about whatever does more than read,
// until the user says something that is let in.
//
// A call has an order if a command of the request means this tool with these arguments, by the address book of the
// tool's record, and no other call of the run has used it: what was asked for once is done once. What the rule does not
// see is whether doing it now is what the user would want after reading the page.

// makeGrammar returns the grammar of what the agent's tools can be asked. The words of a tool that somebody else
// describes are not the user's language.
func (m *Machine) makeGrammar() *grammar.Grammar {
	var ts []grammar.Tool
	for _, t := range m.offered {
		if !m.tools[t.Name].spec.Foreign {
			ts = append(ts, grammar.Tool{Name: t.Name, Schema: t.Schema, Utterances: t.Utterances})
		}
	}
	return grammar.New(ts).Checked(func(tool string, args []byte) bool {
		_, err := m.tools[tool].def.Read(args)
		return err == nil
	})
}

// isTyped says whether the user has typed an argument, in the request or in what was sent since.
func (mo *moment) isTyped(v arg.Value) bool {
	return slices.ContainsFunc(mo.s.signed, func(text string) bool { return arg.IsTyped(text, v) })
}

// readOrders returns the clauses of the signed request, and of what was sent since.
func (mo *moment) readOrders() []grammar.Clause {
	if !mo.s.ordersRead {
		mo.s.orders, mo.s.ordersRead = mo.m.grammar().ReadTalk(mo.s.signed), true
	}
	return mo.s.orders
}

// takeBack holds up the calls under way that can still be left alone, since the user has said something that may take
// them back. It returns the calls of agents, whose runs the runtime holds up in the same step. What waits for the
// wallet goes on waiting, no more as what was asked for: whoever signs it from now on has the last word.
func (mo *moment) takeBack() (agents []provenance.Ref) {
	mo.s.unheeded = true
	for i := range mo.s.calls {
		switch c := &mo.s.calls[i]; {
		case c.phase == provenance.PhaseSimulate, c.phase == provenance.PhaseSign && !c.isWallets(), c.phase == phaseSeek:
			c.outdated = true
		case c.phase == provenance.PhaseAct && c.tool.delegate != nil:
			agents = append(agents, c.wait)
		}
	}
	return agents
}

// denyOutdated refuses a call that was wanted before the user said something that may take it back.
func (c *call) denyOutdated(w *work) error {
	return w.denyCall(c, policies.ToolCall, ruleOutdated, "The user has said something since this was wanted, which may "+
		"take it back.", "what the user says now")
}

// findPlainOrder returns the number of the clause that is a plain order for the call, or -1.
func (mo *moment) findPlainOrder(c *call) int {
	if c.order >= 0 { // its order is already known
		return c.order
	}
	for i, clause := range mo.readOrders() {
		if !slices.Contains(mo.s.done, i) && isOrderFor(clause, c) {
			return i
		}
	}
	return -1
}

// isOrderFor says whether a clause asks for exactly this call.
func isOrderFor(clause grammar.Clause, c *call) bool {
	return slices.ContainsFunc(clause.Readings, func(in grammar.Intent) bool {
		if in.Tool() != c.tool.spec.Name {
			return false
		}
		args, err := c.tool.def.Read(in.Args())
		return err == nil && args.MeanSame(c.args, c.tool.spec.Spend, c.tool.delegate != nil)
	})
}
