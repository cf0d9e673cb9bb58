package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A Next is what a step leads to.
type Next struct {
	Does      []provenance.Effect
	Settle    []Settle
	Decisions []provenance.Decision // that belong to no effect
	Label     *provenance.Payload   // of the context, if it has changed; see provenance.Step
}

// A Settle ends the reservations of one effect in one budget: Used becomes spent, the rest is free again. It follows
// from the steps and is not recorded.
type Settle struct {
	Budget string // as in decisions: [Ledger.ID]
	Key    string // as the store has it: [Ledger.Key]
	Ref    provenance.Ref
	Used   money.Amount
}

// Names of the loop's own rules, as decisions carry them.
const (
	ruleTool     = "loop/unknown_tool"
	ruleArgs     = "loop/arguments"
	ruleCalls    = "loop/max_calls"
	ruleReply    = "loop/calls_of_a_reply"
	ruleRefused  = "wallet/refused"
	ruleLapsed   = "wallet/no_answer"
	ruleRevoked  = "session/ended"
	ruleSimulate = "loop/simulation"
)

// Step takes in one event and returns the state after it and what is to be done. at is the time that decisions see,
// in ms UTC. An error means that the event cannot follow s, or that a text which is needed is sealed ([ErrSealed]);
// s is unchanged either way.
func (m *Machine) Step(s State, at int64, ev provenance.Event, f provenance.Facts) (State, Next, error) {
	w := work{m: m, s: s.clone(), at: at, facts: f}
	if s.Closed {
		return s, Next{}, fmt.Errorf("step %d: the run is closed", s.Seq)
	}
	if at < s.At {
		return s, Next{}, fmt.Errorf("step %d: the clock went back from %d to %d", s.Seq, s.At, at)
	}
	w.lookBack()
	if err := w.readLedgers(ev); err != nil {
		return s, Next{}, fmt.Errorf("step %d: %w", s.Seq, err)
	}
	if err := w.take(ev); err != nil {
		return s, Next{}, fmt.Errorf("step %d: %w", s.Seq, err)
	}
	if err := w.goOn(); err != nil {
		return s, Next{}, fmt.Errorf("step %d: %w", s.Seq, err)
	}
	if err := w.relabel(s.context); err != nil {
		return s, Next{}, fmt.Errorf("step %d: %w", s.Seq, err)
	}
	w.s.At = at
	w.s.Seq++
	w.leaveLedgers()
	switch {
	case w.s.Closed:
	case w.s.Parked():
		w.s.Status = "parked"
	default:
		w.s.Status = "running"
	}
	return w.s, w.next, nil
}

// A work is one step under way.
type work struct {
	m       *Machine
	s       State
	at      int64
	facts   provenance.Facts
	budgets []policies.Budget // with what this step has reserved so far
	settled []settled         // by this step, which its decisions do not see
	next    Next
}

// do appends an effect and returns its place.
func (w *work) do(e provenance.Effect) provenance.Ref {
	w.next.Does = append(w.next.Does, e)
	return provenance.Ref{Seq: w.s.Seq, Index: uint64(len(w.next.Does) - 1)}
}

// take brings the event into the state.
func (w *work) take(ev provenance.Event) error {
	if _, first := ev.(*provenance.Ask); first != (w.s.Seq == 0) {
		return fmt.Errorf("an ask is the first event of a run and no other: this is %T", ev)
	}
	switch ev := ev.(type) {
	case *provenance.Ask:
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
	method := wire.RunStart
	if len(w.m.authority.Chain) > 0 {
		method = MethodDelegate
	}
	if ev.Method != method {
		return fmt.Errorf("the request is signed for the method %q, not %q", ev.Method, method)
	}
	params, ok := ev.Request.Bytes()
	if !ok {
		return fmt.Errorf("the request: %w", ErrSealed)
	}
	var start wire.StartParams
	if err := wire.DecodeStrict(params, &start); err != nil {
		return fmt.Errorf("the request: %w", err)
	}
	if start.Agent != w.m.agent.Name {
		return fmt.Errorf("the request is for agent %q, not %q", start.Agent, w.m.agent.Name)
	}
	w.s.Opened = w.at
	w.s.begin(params)
	return w.open(start.Input)
}

func (w *work) takeReply(ev *provenance.Reply) error {
	a := w.s.asking
	if a == nil || a.ref != ev.Of {
		return fmt.Errorf("a reply to %v, which is not an open model call", ev.Of)
	}
	w.s.asking = nil
	if ev.Model == nil {
		if uncharged(ev.Failed) {
			w.settle(a.ref, a.reserve, model.Usage{}, 0, true)
		} else {
			w.count(a)
		}
		w.s.tried = append(w.s.tried, a.model.Name)
		return nil
	}
	mc := ev.Model
	if mc.Name != a.model.Name || mc.Provider != a.model.Provider || mc.Asked != a.model.Model {
		return fmt.Errorf("the reply says that %q was asked, and it was %q", mc.Name, a.model.Name)
	}
	if shown := evidenceOf(mc); mc.Evidence != shown {
		return fmt.Errorf("the reply claims evidence of level %d, and shows level %d", mc.Evidence, shown)
	}
	if max(mc.Usage.In, mc.Usage.Out, mc.Usage.Cached) > MaxUsage {
		return fmt.Errorf("the reply counts more than %d tokens", int64(MaxUsage))
	}
	usage := model.Usage{In: int64(mc.Usage.In), Out: int64(mc.Usage.Out), CachedIn: int64(mc.Usage.Cached)}
	cost := a.model.Cost(usage)
	if mc.Cost != cost {
		return fmt.Errorf("a model call costs %d by the price table, not %d", cost, mc.Cost)
	}
	w.settle(a.ref, a.reserve, usage, cost, false)
	w.s.tried = nil
	w.s.totals.Turns++
	w.s.totals.In += mc.Usage.In
	w.s.totals.Out += mc.Usage.Out
	if w.s.totals.Cost += cost; w.s.totals.Cost < 0 {
		return errors.New("the run's cost is out of range")
	}

	said := model.Message{Role: model.RoleAssistant}
	if mc.Text != nil {
		b, ok := mc.Text.Bytes()
		if !ok {
			return fmt.Errorf("the reply: %w", ErrSealed)
		}
		said.Text = string(b)
	}
	asked, use, err := w.heard(mc, a.model, said.Text)
	if err != nil || !use {
		return err
	}
	// A reply that was cut, and one of the last turn, gets no calls run: half a plan is not a plan.
	if mc.Stop == model.StopTools && !w.s.wrap {
		for i, ask := range mc.Calls {
			args, ok := ask.Args.Bytes()
			if !ok {
				return fmt.Errorf("the arguments of %s: %w", ask.Tool, ErrSealed)
			}
			said.Calls = append(said.Calls, model.Call{ID: ask.ID, Tool: ask.Tool, Args: args})
			w.s.calls = append(w.s.calls, call{of: provenance.Ref{Seq: w.s.Seq, Index: uint64(i)}, ask: ask, order: -1})
		}
	}
	w.s.say(said)
	for i := range w.s.calls {
		if i >= asked {
			if err := w.deny(&w.s.calls[i], policies.ModelResponse, ruleReply, fmt.Sprintf("One reply may ask for %d tool calls.", asked), "the call in another turn"); err != nil {
				return err
			}
			continue
		}
		if err := w.gate(&w.s.calls[i]); err != nil {
			return err
		}
	}
	return nil
}

// MaxUsage bounds the tokens that one reply may count of each sort, so that no sum of them wraps around.
const MaxUsage = 1 << 40

// evidenceOf returns the level of evidence that a model call shows by itself: 1 for the provider's id and bytes.
func evidenceOf(mc *provenance.ModelCall) uint64 {
	if mc.ID != "" && mc.Response != nil {
		return 1
	}
	return 0
}

// gate is where every tool call passes first: known, readable, within the run's limit, allowed.
func (w *work) gate(c *call) error {
	w.s.totals.Calls++
	if c.tool = w.m.tools[c.ask.Tool]; c.tool == nil {
		return w.deny(c, policies.ToolCall, ruleTool, fmt.Sprintf("There is no tool %q.", clip(c.ask.Tool)), "use one of the tools offered")
	}
	raw, _ := c.ask.Args.Bytes()
	args, err := c.tool.def.Read(raw)
	if err != nil {
		return w.deny(c, policies.ToolCall, ruleArgs, err.Error(), "call the tool again with other arguments")
	}
	c.args = args
	w.weigh(c)
	if w.s.totals.Calls > w.m.agent.Limits.Calls {
		return w.deny(c, policies.ToolCall, ruleCalls, fmt.Sprintf("This run may make %d tool calls.", w.m.agent.Limits.Calls), "a new run")
	}
	if w.ended() {
		return w.deny(c, policies.ToolCall, ruleRevoked, "The session has ended.", "sign in again")
	}
	return w.decide(c, false)
}

// decide asks the policies about a call and does what they say. approved is true once the wallet has approved it.
func (w *work) decide(c *call, approved bool) error {
	ds, outcome, ttl := w.ask(c, approved)
	records, err := record(ds, outcome)
	if err == nil {
		err = w.nameLedgers(records, c)
	}
	if err != nil {
		return err
	}
	chain := c.tool.spec.Class == tools.ChainTx
	if outcome != policies.Deny && c.order >= 0 && !slices.Contains(w.s.done, c.order) {
		w.s.done = append(w.s.done, c.order) // what was asked for once is done once
	}
	switch outcome {
	case policies.Deny:
		w.refuse(c, ds, records)
		return nil
	case policies.Permit:
		if chain && c.changes == nil {
			// Nothing is reserved for a look: the decision is made again when the simulation is back.
			w.perform(c, provenance.PhaseSimulate, unreserved(records))
			return nil
		}
		if c.tool.spec.Class != tools.Read && !w.holds() {
			return w.denyUnasked(c)
		}
		phase := provenance.PhaseAct
		if chain {
			phase = provenance.PhaseSign
		}
		w.perform(c, phase, records)
		c.reserveAt = c.wait
		for _, r := range records {
			if err := w.hold(&c.reserve, r.Reserve); err != nil {
				return err
			}
		}
		return nil
	default:
		if chain && c.changes == nil {
			w.perform(c, provenance.PhaseSimulate, records)
			return nil
		}
		return w.seek(c, ds, records, ttl)
	}
}

// ask returns the decisions on a call, one a point, their joint outcome, and the shortest time that an approval has.
func (w *work) ask(c *call, approved bool) ([]policies.Decision, policies.Outcome, int64) {
	req := w.about(policies.ToolCall, c.label)
	req.Host = c.args.Host
	req.Budgets = w.ledgersFor(c)
	req.Tool, req.Class, req.Approved = c.tool.spec.Name, string(c.tool.spec.Class), approved
	if c.tool.spec.Book != nil {
		req.Chain = int64(c.tool.spec.Book.Chain)
	}
	req.Args = argsOf(c)
	ds := []policies.Decision{w.m.judge(&req)}
	if c.tool.spec.Spend != nil && ds[0].Outcome != policies.Deny {
		// Both points may draw on one budget: the second must see what the first takes.
		req.Budgets = slices.Clone(req.Budgets)
		for _, r := range ds[0].Reserve {
			reserveIn(req.Budgets, r.Budget, r.Amount)
		}
		req.Point, req.Args = policies.Spend, nil
		req.Amount, req.To = c.args.Amount, c.args.To
		ds = append(ds, w.m.judge(&req))
	}
	if !slices.ContainsFunc(ds, func(d policies.Decision) bool { return d.Outcome == policies.Deny }) {
		ds = append(ds, w.flow(c, approved)...)
	}
	outcome, ttl := policies.Permit, int64(0)
	for _, d := range ds {
		switch {
		case d.Outcome == policies.Deny:
			outcome = policies.Deny
		case d.Outcome == policies.Approve && outcome != policies.Deny:
			outcome = policies.Approve
			if ttl == 0 || d.TTL < ttl {
				ttl = d.TTL
			}
		}
	}
	return ds, outcome, ttl
}

func (w *work) request() policies.Request {
	g := w.m.grant
	return policies.Request{
		Now: w.at, Agent: w.m.agent.Name, Wallet: g.Account, Chain: int64(g.Chain), Expires: w.m.expires(),
		Turn: int64(w.s.totals.Turns), Calls: int64(w.s.totals.Calls), Budgets: w.ledgersFor(nil),
		Past: w.s.past, Flying: w.flying(), Refused: w.s.refused,
	}
}

func (w *work) perform(c *call, phase string, ds []provenance.Decision) {
	c.phase = phase
	c.wait = w.do(&provenance.Call{
		Of: c.of, Tool: c.tool.link, Args: c.ask.Args, Class: string(c.tool.spec.Class), Phase: phase, Decisions: ds,
	})
}

// hold counts reservations of this step, so that the next call of the same step sees them, and notes them in list,
// one a budget.
func (w *work) hold(list *[]provenance.Reserve, rs []provenance.Reserve) error {
	*list = slices.Grow(*list, len(rs))
	for _, r := range rs {
		reserveIn(w.budgets, r.Budget, r.Amount)
		own := w.ownOf(r.Budget, r.Amount)
		if own == nil {
			return fmt.Errorf("a decision draws on the budget %s, which no set declares", r.Budget)
		}
		sum, err := own.held.Add(r.Amount)
		if err != nil {
			return fmt.Errorf("budget %s: %w", r.Budget, err)
		}
		own.held = sum
		i := slices.IndexFunc(*list, func(x provenance.Reserve) bool { return x.Budget == r.Budget })
		if i < 0 {
			*list = append(*list, r)
		} else if (*list)[i].Amount, err = (*list)[i].Amount.Add(r.Amount); err != nil {
			return fmt.Errorf("budget %s: %w", r.Budget, err)
		}
	}
	return nil
}

// unhold ends a reservation: used of it becomes spent.
func (w *work) unhold(r provenance.Reserve, ref provenance.Ref, used money.Amount) {
	w.next.Settle = append(w.next.Settle, Settle{Budget: r.Budget, Key: w.s.keyOf(r.Budget), Ref: ref, Used: used})
	if own := w.ownOf(r.Budget, r.Amount); own != nil { // hold has put in what is taken out, so neither can fail
		own.held, _ = own.held.Sub(r.Amount)
		own.spent, _ = own.spent.Add(used)
	}
	w.settled = append(w.settled, settled{r, used})
}

func reserveIn(budgets []policies.Budget, id string, a money.Amount) {
	for i := range budgets {
		if budgets[i].ID == id {
			// An overflow cannot be: the engine has just found room below the cap.
			if sum, err := budgets[i].Reserved.Add(a); err == nil {
				budgets[i].Reserved = sum
			}
		}
	}
}

func (w *work) seek(c *call, ds []policies.Decision, records []provenance.Decision, ttl int64) error {
	var why, rules []string
	for _, d := range ds {
		if d.Outcome == policies.Approve {
			why, rules = append(why, d.Message), append(rules, d.Rules...)
		}
	}
	until := min(w.at+ttl, w.m.expires(), w.s.Opened+w.m.agent.Limits.Wall)
	until -= until % 1000 // a wallet signs whole seconds
	sum := Summary{Text: describe(c), Tool: c.tool.spec.Name, Args: c.args.JSON, Changes: c.changes, Rules: rules, Why: why}
	if slices.Contains(rules, ruleUntrusted) || slices.Contains(rules, ruleSecrecy) {
		sum.Origins = c.label.Origins
		sum.Text += " (" + w.blame(c) + ")"
	}
	if c.tool.spec.Spend != nil {
		a := c.args.Amount
		sum.Amount, sum.Asset, sum.Decimals = a.String(), a.Asset().Symbol, a.Asset().Decimals
		sum.Units, sum.To = a.Units(), c.args.To.Hex()
	}
	summary, err := json.Marshal(sum)
	if err != nil {
		return fmt.Errorf("summary of %s: %w", c.tool.spec.Name, err)
	}
	c.phase, c.until = phaseSeek, until
	c.wait = w.do(&provenance.Seek{Of: c.of, Summary: provenance.NewPayload(summary), Until: until, Decisions: records})
	return nil
}

func (w *work) takeResult(ev *provenance.Result) error {
	c := w.waiting(ev.Of)
	if c == nil || c.phase == phaseSeek {
		return fmt.Errorf("a result of %v, which is not an open call", ev.Of)
	}
	out, ok := ev.Output.Bytes()
	if !ok && ev.Output != nil {
		return fmt.Errorf("the result of %s: %w", c.ask.Tool, ErrSealed)
	}
	if ev.Status != provenance.StatusOK {
		// A broadcast without a receipt may still be included, and so may what timed out have happened.
		unknown := ev.Status != provenance.StatusError
		if unknown {
			w.remember(c, false)
		}
		w.release(c, unknown && (c.phase == provenance.PhaseSend || c.phase == provenance.PhaseAct))
		if len(out) == 0 {
			out, _ = json.Marshal(map[string]string{"error": "The call ended: " + ev.Status + "."})
		}
		return w.finishWith(c, ev.Status, out)
	}
	switch c.phase {
	case provenance.PhaseSimulate:
		var sim struct {
			OK    bool   `json:"ok"`
			Error string `json:"error"`
		}
		if err := json.Unmarshal(out, &sim); err != nil || !sim.OK {
			msg := "The simulation says that the transaction would fail."
			if sim.Error != "" { // which may be a contract's own words
				c.says = contractWords
				msg = "The simulation says that the transaction would fail: " + sim.Error
			}
			return w.deny(c, policies.ToolCall, ruleSimulate, msg, "another amount or recipient")
		}
		c.changes = out
		if w.ended() {
			return w.deny(c, policies.ToolCall, ruleRevoked, "The session has ended.", "sign in again")
		}
		return w.decide(c, false)
	case provenance.PhaseSign:
		if w.ended() { // signed but not broadcast: it can still be left alone
			w.release(c, false)
			return w.deny(c, policies.ToolCall, ruleRevoked, "The session has ended.", "sign in again")
		}
		if !w.holds() {
			w.release(c, false)
			return w.denyUnasked(c)
		}
		c.phase = provenance.PhaseSend
		c.wait = w.do(&provenance.Call{
			Of: c.of, Tool: c.tool.link, Args: c.ask.Args, Class: string(c.tool.spec.Class),
			Phase: provenance.PhaseSend, Signed: ev.Output, Decisions: []provenance.Decision{},
		})
		return nil
	}
	if len(out) == 0 { // done, and nothing to say about it
		out = []byte("null")
	}
	reverted := false
	if c.phase == provenance.PhaseSend {
		var receipt struct {
			Status string `json:"status"`
		}
		reverted = json.Unmarshal(out, &receipt) != nil || receipt.Status != "ok"
	}
	if !reverted {
		w.remember(c, true)
	}
	w.release(c, !reverted)
	w.s.acted = w.s.acted || !reverted
	if c.tool.delegate != nil {
		if err := w.addUsed(out); err != nil {
			return err
		}
	}
	if err := w.finishWith(c, ev.Status, out); err != nil {
		return err
	}
	if c.tool.spec.Spend != nil && !reverted {
		return w.s.addSpent(c.args.Amount)
	}
	return nil
}

func (w *work) takeVerdict(ev *provenance.Verdict) error {
	c := w.waiting(ev.Of)
	if c == nil || c.phase != phaseSeek {
		return fmt.Errorf("a verdict on %v, for which no approval is sought", ev.Of)
	}
	c.phase = ""
	switch {
	case ev.Approval == nil:
		return w.deny(c, policies.ToolCall, ruleRefused, "The wallet refused: "+ev.Refused+".", "an approval by the wallet")
	case w.at > c.until:
		return w.deny(c, policies.ToolCall, ruleLapsed, "The approval came too late.", "an approval in time")
	case w.ended():
		return w.deny(c, policies.ToolCall, ruleRevoked, "The session has ended.", "sign in again")
	}
	return w.decide(c, true)
}

func (w *work) takeLapse(ev *provenance.Lapse) error {
	if ev.Of == nil {
		return w.abandon(ev.Why)
	}
	if a := w.s.asking; a != nil && a.ref == *ev.Of {
		w.s.asking = nil
		w.count(a)
		w.s.tried = append(w.s.tried, a.model.Name)
		return nil
	}
	c := w.waiting(*ev.Of)
	if c == nil {
		return fmt.Errorf("a lapse of %v, which is not open", *ev.Of)
	}
	if c.phase == phaseSeek {
		c.phase = ""
		return w.deny(c, policies.ToolCall, ruleLapsed, "The wallet did not answer in time.", "an approval in time")
	}
	w.remember(c, false)
	w.release(c, true)
	out, err := json.Marshal(map[string]string{"in_doubt": "It is not known whether this happened: " + ev.Why + ". Do not repeat it."})
	if err != nil {
		return fmt.Errorf("outcome of %s: %w", c.ask.Tool, err)
	}
	w.finish(c, out)
	return nil
}

// abandon ends the run as soon as it can. What may have happened outside stays counted. A transaction whose broadcast
// is journalled is waited for: it cannot be taken back, and its nonce must not be left open.
func (w *work) abandon(why string) error {
	if w.s.ending != "" {
		return nil
	}
	w.s.ending = why
	if a := w.s.asking; a != nil {
		w.count(a)
		w.s.asking = nil
	}
	for i := range w.s.calls {
		c := &w.s.calls[i]
		if c.phase != "" && c.phase != provenance.PhaseSend {
			w.release(c, c.phase == provenance.PhaseAct && c.tool.spec.Class != tools.Read)
			c.phase = ""
		}
	}
	return nil
}

// endings says how a run ends that was abandoned.
var endings = map[string]struct{ text, reason string }{
	provenance.LapseCancelled: {"The run was cancelled.", provenance.CloseCancelled},
	provenance.LapseRevoked:   {"The session has ended. Sign in again.", provenance.CloseRevoked},
	provenance.LapseTimeout:   {"The run took longer than it may.", provenance.CloseTimeout},
	provenance.LapseBudget:    {"The run has used up its budget.", provenance.CloseLimit},
	provenance.LapseInDoubt:   {"It is not known how the run ended.", provenance.CloseFailed},
}

// goOn does what the state now asks for: the next turn, the end, or nothing while calls are open.
func (w *work) goOn() error {
	if w.s.Closed || w.s.asking != nil {
		return nil
	}
	for _, c := range w.s.calls {
		if c.phase != "" {
			return nil
		}
	}
	if w.s.ending != "" {
		e, ok := endings[w.s.ending]
		if !ok {
			return fmt.Errorf("a run cannot end by %q", w.s.ending)
		}
		w.end(e.text, e.reason)
		return nil
	}
	if len(w.s.calls) > 0 { // the turn is over: its outcomes become messages, in the order of the calls
		for _, c := range w.s.calls {
			w.s.say(model.Message{
				Role: model.RoleTool, CallID: c.ask.ID, Tool: c.ask.Tool, Text: c.outcome, Step: w.s.Seq,
			})
			w.s.context = w.s.context.Join(c.says)
		}
		w.s.calls = nil
		return w.askModel()
	}
	last := w.s.messages[len(w.s.messages)-1]
	if last.Role == model.RoleAssistant && len(w.s.tried) == 0 {
		return w.answer(last.Text)
	}
	return w.askModel()
}

func (w *work) askModel() error {
	l := w.m.agent.Limits
	switch {
	case w.ended():
		w.end("The session has ended. Sign in again.", provenance.CloseRevoked)
		return nil
	case w.at-w.s.Opened > l.Wall:
		w.end("The run took longer than it may.", provenance.CloseTimeout)
		return nil
	}
	spentTokens := int64(w.s.totals.In + w.s.totals.Out)
	if !w.s.wrap && len(w.s.tried) == 0 &&
		(w.s.totals.Turns+1 >= l.Turns || w.s.totals.Calls >= l.Calls) && w.s.totals.Turns > 0 {
		w.s.wrap = true
		w.s.say(model.Message{Role: model.RoleSystem, Text: "The limit of this run is reached. Answer with what you have; no tool is left."})
	}
	cands, err := route.Candidates(w.m.routes, route.Need{
		Request: w.about(policies.ModelRoute, w.s.context), Input: w.m.size + w.s.bytes, MaxTokens: l.Tokens - spentTokens,
		Down: w.facts.Down, Tried: w.s.tried,
	})
	if err != nil {
		return err
	}
	considered := make([]string, 0, len(cands))
	var refused []policies.Decision
	for i := range cands {
		c := &cands[i]
		considered = append(considered, c.Model.Name)
		if c.Request.Cost > l.Cost-w.s.totals.Cost || c.Request.Tokens > l.Tokens-spentTokens {
			continue
		}
		d := w.m.judge(&c.Request)
		if !mayRead(c.Model.Kind, w.s.context) {
			d = leak(policies.ModelRoute, "the model "+c.Model.Name, w.s.context)
		}
		if d.Outcome != policies.Permit {
			refused = append(refused, d)
			continue
		}
		records, err := record([]policies.Decision{d}, d.Outcome)
		if err == nil {
			err = w.nameLedgers(records, nil)
		}
		if err != nil {
			return err
		}
		limit := min(c.Model.MaxTokens, l.Tokens-spentTokens)
		if d.Limit.Tokens > 0 {
			limit = min(limit, d.Limit.Tokens)
		}
		ref := w.do(&provenance.AskModel{
			Route: provenance.Route{
				Rule: c.Rule, Kind: string(c.Model.Kind), Model: c.Model.Name, Considered: considered, Cost: c.Request.Cost,
			},
			Prompt: w.m.promptDigest(&w.s), MaxTokens: limit, Decisions: records,
		})
		w.s.asking = &asking{ref: ref, model: c.Model}
		return w.hold(&w.s.asking.reserve, records[0].Reserve)
	}
	switch {
	case len(refused) > 0:
		d := refused[0]
		w.end(sentence(d), provenance.CloseDenied)
	case len(w.s.tried) > 0:
		w.end(fmt.Sprintf("No model answered (tried: %s).", join(w.s.tried)), provenance.CloseFailed)
	case len(cands) > 0:
		w.end("The run has used up its tokens or its money.", provenance.CloseLimit)
	default:
		w.end("No model is there for this request. Connect one, or try again later.", provenance.CloseFailed)
	}
	return nil
}

// answer says the model's last words, if the output policies let it, and ends the run.
func (w *work) answer(text string) error {
	text, permitted, err := w.speak(text)
	if err != nil {
		return err
	}
	if !permitted {
		w.end(text, provenance.CloseDenied)
		return nil
	}
	reason := provenance.CloseAnswered
	switch {
	case w.s.wrap:
		reason = provenance.CloseLimit
	case w.s.denied && !w.s.acted:
		reason = provenance.CloseDenied
	}
	if text == "" { // withheld by the provider, or nothing but calls that do not run
		text = "The model gave no answer."
		if reason == provenance.CloseAnswered {
			reason = provenance.CloseFailed
		}
	}
	w.end(text, reason)
	return nil
}

func (w *work) end(text, reason string) {
	w.do(&provenance.Say{Text: provenance.NewPayload([]byte(text))})
	w.s.totals.Spent = slices.Clip(w.s.totals.Spent)
	w.do(&provenance.Close{Reason: reason, Totals: w.s.totals})
	w.s.Closed, w.s.Status = true, reason
}

// ended says whether the session is over, by its own time or by revocation.
func (w *work) ended() bool { return w.facts.Revoked || w.at >= w.m.expires() }

func (w *work) waiting(ref provenance.Ref) *call {
	for i := range w.s.calls {
		if w.s.calls[i].phase != "" && w.s.calls[i].wait == ref {
			return &w.s.calls[i]
		}
	}
	return nil
}

func (w *work) finish(c *call, outcome []byte) { c.phase, c.outcome = "", string(outcome) }

// finishWith gives a call the outcome that its tool returned, as far as the policies let the model see it.
func (w *work) finishWith(c *call, status string, out []byte) error {
	out, says, err := w.receive(c, status, out)
	if err == nil {
		c.says = says
		w.finish(c, out)
	}
	return err
}

// release ends a call's reservations: all of it used, or only the call itself.
func (w *work) release(c *call, used bool) {
	w.next.Settle = slices.Grow(w.next.Settle, len(c.reserve))
	for _, r := range c.reserve {
		n := r.Amount
		if !used && n.Asset() != money.Calls {
			n = money.Of(n.Asset(), 0)
		}
		w.unhold(r, c.reserveAt, n)
	}
	c.reserve = nil
}

// settle ends a model call's reservations with what it really used, which is never counted above what was held.
func (w *work) settle(ref provenance.Ref, rs []provenance.Reserve, u model.Usage, cost int64, failed bool) {
	w.next.Settle = slices.Grow(w.next.Settle, len(rs))
	for _, r := range rs {
		n := money.Of(r.Amount.Asset(), 0)
		switch {
		case failed:
		case n.Asset() == money.Tokens:
			n = money.Of(n.Asset(), uint64(u.In+u.Out))
		case n.Asset() == money.USD:
			n = money.Of(n.Asset(), uint64(cost))
		default:
			n = r.Amount
		}
		if over, err := n.Cmp(r.Amount); err != nil || over > 0 {
			n = r.Amount
		}
		w.unhold(r, ref, n)
	}
}

// count ends the reservations of a model call whose end is not known: the provider may charge for all of it.
func (w *work) count(a *asking) {
	for _, r := range a.reserve {
		w.unhold(r, a.ref, r.Amount)
	}
}

// FailedGone is why a reply failed whose model is not there, or is another one, by the time that it is to be asked.
const FailedGone = "not here any more"

// uncharged says whether a model that failed so did no work, since it was not reached or refused. One that was cut off
// may have cost all that it might.
func uncharged(failed string) bool {
	return failed == FailedGone || failed == "unreachable" || failed == "bad_prompt" || strings.HasPrefix(failed, "http ")
}

// Arguments returns the name of the tool that a call names, and the call's arguments read again.
func (m *Machine) Arguments(c *provenance.Call) (string, tools.Args, error) {
	for name, t := range m.tools {
		if t.link != c.Tool {
			continue
		}
		raw, ok := c.Args.Bytes()
		if !ok {
			return name, tools.Args{}, fmt.Errorf("the arguments of %s: %w", name, ErrSealed)
		}
		args, err := t.def.Read(raw)
		return name, args, err
	}
	return "", tools.Args{}, fmt.Errorf("no tool of the agent has the record %s", c.Tool)
}
