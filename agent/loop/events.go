package loop

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/decision"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// takeEvent brings the event into the state.
func (w *work) takeEvent(ev provenance.Event) error {
	ask, asks := ev.(*provenance.Ask)
	if !asks && w.s.Seq == 0 {
		return fmt.Errorf("an ask is the first event of a run: this is %T", ev)
	}
	switch ev := ev.(type) {
	case *provenance.Ask:
		if w.s.Seq > 0 {
			return sending{w}.take(ask)
		}
		return w.takeAsk(ev)
	case *provenance.Reply:
		return w.takeReply(ev)
	case *provenance.Result:
		return w.takeResult(ev)
	case *provenance.Verdict:
		return w.takeVerdict(ev)
	case *provenance.Lapse:
		return w.takeLapse(ev)
	}
	return fmt.Errorf("unknown event %T", ev)
}

func (w *work) takeAsk(ev *provenance.Ask) error {
	start, params, err := readStart(w.m, ev)
	if err != nil {
		return err
	}
	w.s.Opened, w.s.looked = w.at, ev.Earlier != nil
	if err := w.takeForm(start.Answer); err != nil {
		return err
	}
	if err := w.takeClientTools(start.Tools); err != nil {
		return err
	}
	before, err := w.beginTalk(ev, params)
	if err != nil {
		return err
	}
	said := label.Label{Integrity: label.User, Secrecy: label.Session}
	w.s.signed, w.s.channel, w.s.frame = []string{start.Input}, ev.Channel, ev.Seq
	if n := len(w.m.authority.Chain); n > 0 {
		begins, err := definition.ReadLabel(ev.Label)
		if err != nil {
			return fmt.Errorf("what the sub-agent begins with: %w", err)
		}
		said = said.Join(begins)
		if !w.m.authority.IsOwn() { // the request is its caller's words
			w.s.signed = nil
		}
	}
	files, err := w.takeFiles(start.Files, ev.Files)
	if err != nil {
		return err
	}
	return w.takeInput(start.Input, files, said, before.Join(definition.DescribedLabel(start)))
}

// readStart reads the request that opens a run.
func readStart(m *Machine, ev *provenance.Ask) (start wire.StartParams, params []byte, err error) {
	method := wire.RunStart
	if len(m.authority.Chain) > 0 {
		method = subagent.Method
	}
	if ev.Method != method && (method == subagent.Method || ev.Method != wire.RunFork && !foreign.IsForm(ev.Method)) {
		return start, nil, fmt.Errorf("the request is signed for the method %q, not %q", ev.Method, method)
	}
	params, ok := ev.Request.Bytes()
	if !ok {
		return start, nil, fmt.Errorf("the request: %w", ErrSealed)
	}
	start, step, err := foreign.ReadAsk(ev.Method, params)
	switch {
	case err != nil:
		return start, nil, fmt.Errorf("the request: %w", err)
	case start.Agent != m.agent.Name:
		return start, nil, fmt.Errorf("the request is for agent %q, not %q", start.Agent, m.agent.Name)
	case step != "" && step != ev.After.String():
		return start, nil, errors.New("the request is for a fork of another step")
	}
	return start, params, nil
}

// takeInput lets the request in, if the policies permit it. said is its label, before that of the runs before it.
func (w *work) takeInput(input string, files []model.File, said, before label.Label) error {
	said = said.Join(attach.LabelOf(files))
	w.s.context = said.Join(w.m.baseLabel).Join(before)
	w.noted = append(w.noted, w.m.published...)
	d, err := w.decideOpening(input, files, said)
	if err != nil {
		return err
	}
	if d.Outcome != policies.Permit {
		w.s.say(model.Message{Role: model.RoleUser, Text: input})
		w.closeRun(decision.Sentence(d), provenance.CloseDenied)
		return nil
	}
	w.s.context = w.s.context.Join(d.Label)
	if len(d.Redact) > 0 {
		input = string(policies.Apply([]byte(input), d.Redact))
	}
	w.s.request, w.s.files = input, files
	w.tellForm()
	w.s.say(model.Message{Role: model.RoleUser, Text: input, Files: files})
	return nil
}

func (w *work) takeReply(ev *provenance.Reply) error {
	a := w.s.asks.Find(ev.Of)
	if a == nil {
		return fmt.Errorf("a reply to %v, which is not an open model call", ev.Of)
	}
	if ev.Model == nil {
		return w.countFailure(a, ev)
	}
	if w.s.asks.IsOutrun(ev.Of) {
		return fmt.Errorf("a reply to %v, which was outrun", ev.Of)
	}
	mc := ev.Model
	if err := w.checkReused(ev); err != nil {
		return err
	}
	w.s.asks.Answer(a)
	if err := w.countReply(a, mc); err != nil {
		return err
	}
	w.s.stop, w.s.byRules = mc.Stop, a.Model.Kind == model.KindRules
	w.s.answered = a.Model.Name
	said := model.Message{Role: model.RoleAssistant}
	if mc.Text != nil {
		b, ok := mc.Text.Bytes()
		if !ok {
			return fmt.Errorf("the reply: %w", ErrSealed)
		}
		said.Text = string(b)
	}
	allowed, denial, err := w.decideReply(mc, a.Model, said.Text)
	if err != nil {
		return err
	}
	if w.s.folded != nil {
		w.s.takeSummary(mc, said.Text, denial)
		return nil
	}
	if denial != "" {
		w.dropAsks() // what was outrun
		w.closeRun(denial, provenance.CloseDenied)
		return nil
	}
	// A reply that was cut, and one of the last turn, gets no calls run: half a plan is not a plan.
	if mc.Stop == model.StopTools && !w.s.lastTurn {
		if said.Calls, err = w.readCalls(mc.Calls); err != nil {
			return err
		}
	}
	w.s.kept = ""
	w.s.say(said)
	return w.gateCalls(allowed)
}

// countFailure notes that a model did not answer, so that another one is asked, and counts what that may have cost: one
// that was not reached, or refused, did no work; one that was cut off may cost all that it might.
func (t *tally) countFailure(a *modelcall.Open, ev *provenance.Reply) error {
	code := fault.Code(ev.Failed)
	if !code.IsKnown() {
		return fmt.Errorf("a reply failed for %q, which is no reason", ev.Failed)
	}
	if code.MayCost() {
		t.settleInFull(a)
	} else {
		t.releaseModelCall(a)
	}
	if t.s.asks.Drop(a) {
		t.s.tries.Fail(a.Model.Name, code, t.at, ev.After)
	}
	return nil
}

// countReply checks what a reply says of itself against the model that was asked, and counts what it used.
func (t *tally) countReply(a *modelcall.Open, mc *provenance.ModelCall) error {
	used, cost, err := a.Price(mc)
	if err != nil {
		return err
	}
	t.settleModelCall(a, used, cost)
	t.s.tries.Answer(a.Model)
	sums := &t.s.totals
	sums.Turns++
	sums.In += mc.Usage.In
	sums.Out += mc.Usage.Out
	if sums.Cost += cost; sums.Cost < 0 {
		return errors.New("the run's cost is out of range")
	}
	return nil
}

// readCalls makes the calls of a turn of those that a reply asks for, and returns them as its message has them.
func (mo *moment) readCalls(asks []provenance.ToolAsk) ([]model.Call, error) {
	said := make([]model.Call, 0, len(asks))
	mo.s.calls = make([]call, 0, len(asks))
	for i, ask := range asks {
		args, ok := ask.Args.Bytes()
		if !ok {
			return nil, fmt.Errorf("the arguments of %s: %w", ask.Tool, ErrSealed)
		}
		if ask.ID != "" && slices.ContainsFunc(said, func(c model.Call) bool { return c.ID == ask.ID }) {
			return nil, errors.New("two calls of one reply have the same id")
		}
		said = append(said, model.Call{ID: ask.ID, Tool: ask.Tool, Args: args})
		of := provenance.Ref{Seq: mo.s.Seq, Index: uint64(i)}
		mo.s.calls = append(mo.s.calls, call{of: of, ask: ask, order: -1})
	}
	return said, nil
}

// gateCalls lets the turn's calls through, as many of them as the rules allow of one reply.
func (w *work) gateCalls(allowed int) error {
	for i := range w.s.calls {
		c := &w.s.calls[i]
		var err error
		if i < allowed {
			err = w.gateCall(c)
		} else {
			says := fmt.Sprintf("One reply may ask for %d tool calls.", allowed)
			err = w.denyCall(c, policies.ModelResponse, ruleReply, says, "the call in another turn")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *work) takeResult(ev *provenance.Result) error {
	c := w.s.findOpenCall(ev.Of)
	if c == nil || c.waitsForUser() {
		return fmt.Errorf("a result of %v, which is not an open call", ev.Of)
	}
	out, ok := ev.Output.Bytes()
	if !ok && ev.Output != nil {
		return fmt.Errorf("the result of %s: %w", c.ask.Tool, ErrSealed)
	}
	switch {
	case ev.Status == provenance.StatusPending:
		return transaction{w, c}.takePending(ev.Output, out)
	case ev.Status != provenance.StatusOK:
		return w.takeFailedResult(c, ev.Status, out)
	case c.phase == provenance.PhaseSimulate:
		return w.takeSimulation(c, out)
	case c.phase == provenance.PhaseSign:
		return w.takeSigned(c, ev.Output)
	case c.phase == provenance.PhaseSend && c.waitsForFinal():
		return transaction{w, c}.takeIncluded(out)
	}
	return w.takeDone(c, out)
}

func (w *work) takeFailedResult(c *call, status string, out []byte) error {
	// A broadcast without a receipt may still be included, and so may what timed out have happened.
	unknown := status != provenance.StatusError || c.phase == provenance.PhaseFinal
	if unknown {
		w.rememberCall(c, false)
	}
	w.noteTrouble(provenance.CloseFailed, definition.FailureOf(&c.tool.spec, status, out))
	w.s.inDoubt = w.s.inDoubt || unknown && c.mayAct()
	if unknown {
		w.endUnknown(c, c.phase == provenance.PhaseAct)
	} else {
		w.settleCall(c, false)
	}
	if len(out) == 0 {
		out, _ = json.Marshal(map[string]string{"error": "The call ended: " + status + "."})
	}
	return w.finishWithResult(c, status, out)
}

// takeSimulation decides about a transaction again, now that it is known what it would do.
func (w *work) takeSimulation(c *call, out []byte) error {
	sim, moved, err := tools.ReadForeseen(out, c.args)
	if err != nil {
		says := "It is not known what the transaction would move: " + err.Error() + "."
		return w.denyCall(c, policies.ToolCall, ruleSimulate, says, "a simulation that says it")
	}
	if !sim.OK {
		const says, change = "The simulation says that the transaction would fail", "another amount or recipient"
		err := w.denyCall(c, policies.ToolCall, ruleSimulate, says+".", change)
		if err == nil && sim.Reason != "" { // which may be the contract's own words: they are no reason of the record's
			c.outcomeLabel = definition.ContractWords
			d := policies.Decision{Rules: []string{ruleSimulate}, Change: change, Message: says + ": " + sim.Reason}
			c.finish(decision.Denied(d))
		}
		w.noteTrouble(provenance.CloseFailed, fault.OfTool(definition.EdgeOf(&c.tool.spec), cmp.Or(sim.Code, "reverted")))
		return err
	}
	c.changes, c.moved, c.simulated = out, moved, sim.Simulated
	switch {
	case w.isSessionOver():
		return w.denyEnded(c)
	case c.outdated:
		return c.denyOutdated(w)
	}
	return w.decideCall(c, false)
}

// takeSigned sends a transaction, unless it may not be any more: signed but not broadcast, it can still be left alone.
func (w *work) takeSigned(c *call, signed *provenance.Payload) error {
	if c.isWallets() { // it has sent it
		return w.followSent(c, signed)
	}
	if w.isSessionOver() {
		w.settleCall(c, false)
		return w.denyEnded(c)
	}
	if c.outdated {
		w.settleCall(c, false)
		return c.denyOutdated(w)
	}
	if !w.isStillPermitted() {
		w.settleCall(c, false)
		return w.denyUnaskedWallet(c)
	}
	return w.followSent(c, signed)
}

// followSent follows a transaction that is signed, here or by the user's wallet: what is followed is an attempt.
func (w *work) followSent(c *call, signed *provenance.Payload) error {
	c.signed = signed
	if a, err := readAttempt(signed); err == nil { // what cannot be read cannot be replaced, and its sending fails
		c.attempts = []attempt{a}
	}
	transaction{w, c}.followSigned(provenance.PhaseSend)
	return nil
}

// takeDone takes in the result of what was done. Of a transaction it is the receipt, which may say that it was
// reverted.
func (w *work) takeDone(c *call, out []byte) error {
	if len(out) == 0 { // it succeeded without output
		out = []byte("null")
	}
	if c.isBroadcast() {
		return transaction{w, c}.takeMined(out)
	}
	if asked, err := (elicitation{w, c}).askBack(out); asked || err != nil {
		return err
	}
	if c.tool.client == nil {
		w.rememberCall(c, true)
	}
	if c.tool.delegate == nil {
		w.s.acted = true
	} else {
		w.noteSubAgent(out)
	}
	w.settleCall(c, true)
	if c.tool.delegate != nil {
		if err := w.addSubAgentUse(c, out); err != nil {
			return err
		}
	}
	if err := w.finishWithResult(c, provenance.StatusOK, out); err != nil {
		return err
	}
	if c.tool.spec.Spend != nil {
		w.s.addSpent(c.args.Amount)
	}
	return nil
}

func (w *work) takeVerdict(ev *provenance.Verdict) error {
	c := w.s.findOpenCall(ev.Of)
	if c == nil || c.phase != phaseSeek {
		return fmt.Errorf("a verdict on %v: %w", ev.Of, ErrLate)
	}
	c.phase, c.outdated = "", false // the wallet has the last word
	switch {
	case ev.Approval == nil:
		why, open := ev.Reason()
		if !open {
			return fmt.Errorf("why the wallet refused: %w", ErrSealed)
		}
		says := "The wallet refused: " + why + "."
		return w.denyCall(c, policies.ToolCall, RuleRefused, says, "an approval by the wallet")
	case w.at > c.until:
		return w.denyCall(c, policies.ToolCall, RuleLapsed, "The approval came too late.", "an approval in time")
	case w.isSessionOver():
		return w.denyEnded(c)
	}
	return w.decideCall(c, true)
}

func (w *work) takeLapse(ev *provenance.Lapse) error {
	if ev.Of == nil {
		return w.abandonRun(ev.Why)
	}
	if ev.Why == provenance.LapseSlow {
		return hedge{w}.begin(*ev.Of)
	}
	if a := w.s.asks.Find(*ev.Of); a != nil {
		w.settleInFull(a)
		if w.s.asks.Drop(a) {
			w.s.tries.Fail(a.Model.Name, fault.ModelFailed, w.at, 0)
		}
		return nil
	}
	c := w.s.findOpenCall(*ev.Of)
	if c == nil {
		return fmt.Errorf("a lapse of %v, which is not open", *ev.Of)
	}
	if c.phase == provenance.PhaseAsk {
		w.settleCall(c, false)
		return w.denyCall(c, policies.ToolCall, ruleNoAnswer, "The user did not answer in time.", "an answer in time")
	}
	if c.phase == phaseSeek {
		c.phase = ""
		return w.denyCall(c, policies.ToolCall, RuleLapsed, "The wallet did not answer in time.", "an approval in time")
	}
	w.rememberCall(c, false)
	w.endUnknown(c, true)
	w.countHandedInFull(c)
	w.noteTrouble(provenance.CloseFailed, fault.ToolUnavailable)
	w.s.inDoubt = w.s.inDoubt || c.tool.spec.Class != tools.Read
	says := "It is not known whether this happened: " + ev.Why + ". Do not repeat it."
	out, err := json.Marshal(map[string]string{"in_doubt": says})
	if err != nil {
		return fmt.Errorf("outcome of %s: %w", c.ask.Tool, err)
	}
	c.finish(out)
	return nil
}

// abandonRun ends the run as soon as it can. What may have happened outside stays counted. A transaction whose
// broadcast is journalled is waited for: it cannot be taken back, and its nonce must not be left open.
func (w *work) abandonRun(why string) error {
	if w.s.ending != "" {
		return nil
	}
	w.s.ending = why
	w.dropAsks()
	for i := range w.s.calls {
		c := &w.s.calls[i]
		if c.phase != "" && !c.isBroadcast() {
			w.endUnknown(c, c.phase == provenance.PhaseSign && c.isWallets()) // the wallet may still send it
			c.phase = ""
		}
	}
	return nil
}
