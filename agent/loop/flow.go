package loop

import (
	"fmt"

	"github.com/writ-run/writ/agent/decision"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools/arg"
)

// Information flow. The loop keeps one label for the run's context: the join of everything that a model has been
// given. What a model says has that label, since nobody can tell which of it the model used; so a call's arguments
// have it too, all but those that the user wrote. The label is a function of the steps and of the tools' records.
//
// Four rules hold whatever the policy sets say, and they can only be tightened:
//
//	flow/untrusted  a call that moves value needs the wallet's approval if any of its arguments comes from untrusted
//	                content. Arguments are the user's own only if the call is a plain order of the signed request (see
//	                order.go).
//	flow/secrecy    data does not go to a reader that may not have it. What is private to the wallet goes to a tool
//	                without clearance only with the wallet's approval; what is secret never does, nor into an answer,
//	                nor to a model that is not this program's own.
//
//	tool/ask_wallet a tool whose record says that the wallet is asked is not called without.
//
//	user/not_let_in what does more than read needs the wallet's approval while the last that the user has said was not
//	                let in by a rule: it may forbid the call, and no model knows (see order.go).
//
// An approval releases the one call that was approved. The context keeps its label.
const (
	ruleUntrusted = "flow/untrusted"
	ruleSecrecy   = "flow/secrecy"
	ruleAskWallet = "tool/ask_wallet"
	ruleNotLetIn  = "user/not_let_in"
)

// labelArguments gives a call the label of its arguments: the context's for every argument that the user did not write.
// An object, a list and opaque JSON are taken for what the user did not write.
func (mo *moment) labelArguments(c *call) {
	c.label = label.Label{Integrity: label.User, Secrecy: label.Session}
	c.foreignArgs = nil
	ordered := c.tool.spec.Spend != nil || c.tool.delegate != nil
	if ordered {
		c.order = mo.findPlainOrder(c)
	}
	for _, v := range c.args.Values {
		if !v.Set || c.order >= 0 || v.Name != arg.Top(v.Name) { // a member has the label of what it is in
			continue
		}
		// Whether a value that moves money, or what another agent is told, is the user's is for the whole order to say: an
		// attacker could put together what the user wrote apart.
		if !ordered && mo.isTyped(v) {
			continue
		}
		c.label = c.label.Join(mo.s.context)
		c.foreignArgs = append(c.foreignArgs, v.Name)
	}
}

// decideFlow returns the decisions of the default rules on a call; none if none has anything to say.
func (j *judge) decideFlow(c *call, approved bool) []policies.Decision {
	var ds []policies.Decision
	ask := func(p policies.Point, rule, message string) {
		d := policies.Decision{Point: p, Outcome: policies.Approve, Rules: []string{rule}, Message: message,
			Change: "an approval by the wallet", TTL: policies.DefaultTTL}
		if approved { // it is recorded, so that the record shows which call the wallet released
			d = policies.Decision{Point: p, Outcome: policies.Permit, Rules: []string{rule}}
		}
		ds = append(ds, d)
	}
	if c.tool.spec.AskWallet {
		ask(policies.ToolCall, ruleAskWallet, "the operator has the wallet asked before "+c.tool.spec.Name+" is called")
	}
	if j.s.refusedLast && c.acts() {
		ask(policies.ToolCall, ruleNotLetIn, "a rule has kept from the agent what the user said last, which may forbid it")
	}
	// A called agent does what it is told, so an agent's call counts as one that moves value.
	if (c.tool.spec.Spend != nil || c.tool.delegate != nil) && c.label.Integrity == label.Untrusted {
		point := policies.Spend
		if c.tool.delegate != nil {
			point = policies.ToolCall
		}
		ask(point, ruleUntrusted, decision.BlameArguments(c.tool.spec.Spend, c.foreignArgs, c.label))
	}
	if clearance := max(c.tool.spec.Clearance, label.Session); c.label.Secrecy > clearance {
		if c.label.Secrecy == label.Secret {
			ds = append(ds, decision.DenySecret(ruleSecrecy, policies.ToolCall, "the tool "+c.tool.spec.Name, c.label))
		} else {
			ask(policies.ToolCall, ruleSecrecy, fmt.Sprintf("%s would be given what is private to the wallet, from %s",
				decision.DescribeReaders(readersOf(c)), label.DescribeOrigins(c.label.Origins)))
		}
	}
	return ds
}

// contextLabelToNote returns the context's label for the step, if it has changed and says more than that the user has
// spoken and trusted tools have answered.
func (mo *moment) contextLabelToNote(before label.Label) (*provenance.Payload, error) {
	l := mo.s.context
	if l.Equal(before) || l.Integrity < label.Untrusted && l.Secrecy <= label.Session {
		return nil, nil
	}
	b, err := l.JSON()
	if err != nil {
		return nil, fmt.Errorf("label of the context: %w", err)
	}
	return provenance.NewPayload(b), nil
}

// readersOf lists the tools that a call gives its arguments to: its own, and those through which an agent that is
// called may give them on.
func readersOf(c *call) []string {
	out := []string{c.tool.spec.Name}
	if d := c.tool.delegate; d != nil {
		out = append(out, d.Tools...)
	}
	return out
}
