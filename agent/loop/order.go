package loop

import (
	"slices"

	"github.com/writ-run/writ/agent/grammar"
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
// read in the same way, and if it is not understood, nothing said before it is an order any more: "stop" leaves none.
// What is no order is not forbidden, it needs the wallet's approval.
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

// withdrawOrders takes its order from each call that is only looked at yet, if the user has taken it back since. The
// call is decided again when the simulation is back.
func (mo *moment) withdrawOrders() {
	orders := mo.readOrders()
	for i := range mo.s.calls {
		c := &mo.s.calls[i]
		if c.order >= 0 && c.phase == provenance.PhaseSimulate && len(orders[c.order].Readings) == 0 {
			c.order = -1
			mo.labelArguments(c)
		}
	}
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
