package loop

import (
	"reflect"
	"slices"

	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
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

// readOrders returns the clauses of the signed request, and of what was sent since. Each text is read whole. One that is
// not understood, such as "stop", may take back whatever was said before it, so that nothing of that is an order any
// more; the clauses keep their places, which the run's calls name.
func (mo *moment) readOrders() []grammar.Clause {
	if !mo.s.ordersRead {
		mo.s.ordersRead = true
		mo.s.orders = nil
		for _, text := range mo.s.signed { // what is sent later comes after
			clauses, ok := mo.m.grammar().Read(text)
			if !ok {
				clear(mo.s.orders)
			}
			mo.s.orders = append(mo.s.orders, clauses...)
		}
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
		return err == nil && isSameCall(c.tool, args, c.args)
	})
}

// isSameCall says whether two sets of arguments mean the same: one amount in two spellings does, as does one account.
// What another agent is told may end with the full stop of the request.
func isSameCall(t *tool, a, b tools.Args) bool {
	spec := &t.spec
	if spec.Spend != nil && (a.Amount != b.Amount || a.To != b.To) || len(a.Values) != len(b.Values) {
		return false
	}
	for i, v := range a.Values {
		s := spec.Spend
		if s != nil && (v.Name == s.Amount || v.Name == s.Asset || v.Name == s.To) {
			continue
		}
		w := b.Values[i]
		if t.delegate != nil && w.Text == v.Text+"." {
			w.Text = v.Text
		}
		if !reflect.DeepEqual(v, w) {
			return false
		}
	}
	return true
}
