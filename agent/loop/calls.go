package loop

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/decision"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// gateCall is where every tool call passes first: known, readable, within the run's limit, allowed.
func (w *work) gateCall(c *call) error {
	full := w.s.totals.Calls >= w.m.limits.Calls-w.handedOut().Calls
	if c.counted = true; !full { // a call over the limit is refused and not counted
		w.s.totals.Calls++
	}
	if t := w.s.clientTool(c.ask.Tool); t != nil {
		return c.relay(w, t, full)
	}
	if c.tool = w.m.tools[c.ask.Tool]; c.tool == nil {
		// The name is the model's word, and a denial quotes nothing.
		return w.denyCall(c, policies.ToolCall, ruleTool, "There is no tool of this name.", "use one of the tools offered")
	}
	raw, _ := c.ask.Args.Bytes()
	args, err := c.tool.def.ReadAsked(raw)
	if err != nil {
		return w.denyCall(c, policies.ToolCall, ruleArgs, err.Error(), "call the tool again with other arguments")
	}
	c.args = args
	w.labelArguments(c)
	if full {
		says := fmt.Sprintf("This run may make %d tool calls.", w.m.limits.Calls)
		return w.denyCall(c, policies.ToolCall, ruleCalls, says, "a new run")
	}
	switch {
	case w.isSessionOver():
		return w.denyEnded(c)
	case w.s.unheeded && c.acts():
		return c.denyOutdated(w)
	}
	return w.decideCall(c, false)
}

// decideCall asks the policies about a call and does what they say. approved is true once the wallet has approved it.
func (w *work) decideCall(c *call, approved bool) error {
	var space [4]policies.Decision
	// The user's own wallet approves by sending, which it may never do: it is not asked first, but ends no count either.
	ds := w.decideOnCall(space[:0], c, approved || c.isWallets())
	outcome, ttl := decision.Joint(ds)
	records, err := w.room.record(ds, outcome)
	if err == nil {
		err = w.nameLedgers(records, c)
	}
	if err == nil && approved && outcome == policies.Permit && c.tool.spec.Spend != nil {
		err = w.forgetUnasked(records, c)
	}
	if err != nil {
		return err
	}
	if outcome != policies.Deny && c.order >= 0 && !slices.Contains(w.s.done, c.order) {
		w.s.done = append(w.s.done, c.order) // an order that stands once is carried out once
	}
	switch {
	case outcome == policies.Deny:
		w.refuseCall(c, ds, records)
		return nil
	case c.tool.spec.Class.Sends() && c.changes == nil:
		// Nothing is reserved for a look: the decision is made again when the simulation is back.
		w.performCall(c, provenance.PhaseSimulate, withoutReserves(records))
		return nil
	case outcome == policies.Approve:
		return w.seekApproval(c, ds, records, ttl)
	}
	return w.makeCall(c, records)
}

// makeCall makes a call that is permitted, or has it signed if it is a transaction, with what is reserved for it.
func (w *work) makeCall(c *call, records []provenance.Decision) error {
	if c.acts() && !w.isStillPermitted() {
		return w.denyUnaskedWallet(c)
	}
	phase := provenance.PhaseAct
	if c.tool.spec.IsQuestion() {
		phase, c.until = provenance.PhaseAsk, min(w.at+MaxQuestion, w.m.expiry())
	}
	if c.tool.delegate != nil {
		c.handed = w.handOn(c)
		if c.handed.Limits.Turns == 0 {
			return w.denyCall(c, policies.ToolCall, ruleTurns, "Nothing is left of this run's turns for another agent.",
				"a new run")
		}
	}
	if c.tool.spec.Class.Sends() {
		phase = provenance.PhaseSign
	}
	w.performCall(c, phase, records)
	c.reservedBy = c.wait
	for _, r := range records {
		if err := w.reserve(&c.reserved, r.Reserve); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) performCall(c *call, phase string, ds []provenance.Decision) {
	c.phase = phase
	call := w.room.newCall()
	*call = provenance.Call{
		Of: c.of, Tool: c.tool.link, Args: c.ask.Args, Class: string(c.tool.spec.Class), Phase: phase, Decisions: ds,
		Handed: c.handed,
	}
	c.wait = w.addEffect(call)
}

func withoutReserves(ds []provenance.Decision) []provenance.Decision {
	for i := range ds {
		ds[i].Reserve = nil
	}
	return ds
}

// seekApproval asks the wallet about a call, in the words that it will sign.
func (w *work) seekApproval(c *call, ds []policies.Decision, records []provenance.Decision, ttl int64) error {
	until := min(w.at+ttl, w.m.expiry(), w.end())
	until -= until % 1000 // a wallet signs whole seconds
	summary, err := w.summarize(c, ds).Encode()
	if err != nil {
		return fmt.Errorf("summary of %s: %w", c.tool.spec.Name, err)
	}
	c.phase, c.until, w.s.sought = phaseSeek, until, append(slices.Clip(w.s.sought), c.of.Seq)
	c.wait = w.addEffect(&provenance.Seek{
		Of: c.of, Summary: provenance.NewPayload(summary), Until: until, Decisions: records,
	})
	return nil
}

// summarize tells the wallet what it is asked to approve, and which rules want it to be asked.
func (mo *moment) summarize(c *call, ds []policies.Decision) approval.Summary {
	sum := approval.Summary{
		Text: approval.DescribeCall(c.tool.def, c.args), Tool: c.tool.spec.Name, Args: c.args.JSON, Changes: c.changes,
	}
	var flow []string // what the signed sentence says of where the arguments come from, and who reads them
	for _, d := range ds {
		if d.Outcome == policies.Approve {
			sum.Why, sum.Rules = append(sum.Why, d.Message), append(sum.Rules, d.Rules...)
			if slices.Contains(d.Rules, ruleUntrusted) || slices.Contains(d.Rules, ruleSecrecy) {
				flow = append(flow, d.Message)
			}
		}
	}
	if len(flow) > 0 {
		sum.Origins, sum.Readers = c.label.Origins, readersOf(c)
		sum.Text += " (" + strings.Join(flow, "; ") + ")"
	}
	sum.Text = approval.Cut(sum.Text)
	if c.tool.spec.Spend != nil {
		a := c.countedAmount() // the most that the wallet allows
		sum.Amount, sum.Asset, sum.Decimals = a.String(), a.Asset().Symbol, a.Asset().Decimals
		sum.Units, sum.To = a.Units(), c.args.To.Hex()
	}
	if c.changes != nil {
		sum.Debit, sum.Credit, sum.Simulated = c.moved.Debit.String(), c.moved.Credit.String(), c.simulated
		if c.moved.Differs(c.args) {
			sum.Text += " (" + c.moved.Describe(c.args) + ")"
			sum.Asked, sum.Others = c.args.Amount.String(), c.moved.Others
			sum.Over = c.moved.Over(c.args)
		}
		if c.simulated == tools.SimulatedComputed {
			sum.Text += " (computed, not read: the endpoint does not simulate)"
		}
	}
	return sum
}

// refuseCall gives a call its outcome "denied", with the first decision that denies as the reason for the model.
func (w *work) refuseCall(c *call, ds []policies.Decision, records []provenance.Decision) {
	w.addEffect(&provenance.Deny{Of: c.of, Tool: c.ask.Tool, Decisions: records})
	w.s.refused++
	switch {
	case slices.Contains(records[0].Rules, ruleArgs) || slices.Contains(records[0].Rules, ruleTool):
		w.s.mistakes++
		w.noteTrouble(provenance.CloseFailed, fault.ToolArguments)
	case slices.Contains(records[0].Rules, ruleSimulate):
		w.noteTrouble(provenance.CloseFailed, fault.ToolFailed)
	default:
		w.noteTrouble(provenance.CloseDenied, "")
	}
	for _, d := range ds {
		if d.Outcome == policies.Deny {
			c.finish(decision.Denied(d))
			return
		}
	}
}

// denyCall refuses a call by one of the loop's own rules.
func (w *work) denyCall(c *call, p policies.Point, rule, message, change string) error {
	ds := []policies.Decision{
		{Point: p, Outcome: policies.Deny, Rules: []string{rule}, Message: message, Change: change},
	}
	records, err := w.room.record(ds, policies.Deny)
	if err != nil {
		return err
	}
	w.refuseCall(c, ds, records)
	return nil
}

func (w *work) denyEnded(c *call) error {
	return w.denyCall(c, policies.ToolCall, ruleRevoked, "The session has ended.", "sign in again")
}

func (w *work) denyUnaskedWallet(c *call) error {
	return w.denyCall(c, policies.ToolCall, ruleWallet,
		"The wallet is a contract, and its chain could not be asked whether it still stands by this permission.",
		"try again when the chain answers")
}

// finishWithResult gives a call the outcome that its tool returned, as far as the policies let the model see it.
func (w *work) finishWithResult(c *call, status string, out []byte) error {
	out, says, err := w.decideResult(c, status, out)
	if err == nil {
		c.outcomeLabel = says
		c.finish(out)
		if o := c.tool.spec.Output; w.m.asked.Searches && o != nil && o.Documents {
			route.AddSearch(&w.s.known, out)
		}
	}
	return err
}
