package audit

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// Codes of what a sub-agent acts under, besides those that provenance gives. The first six are those of a
// [authority.DelegationError].
const (
	CodeDelegationIssuer    provenance.Code = "delegation.issuer"
	CodeDelegationSignature provenance.Code = "delegation.signature"
	CodeDelegationForm      provenance.Code = "delegation.form"
	CodeDelegationLater     provenance.Code = "delegation.later"
	CodeDelegationWider     provenance.Code = "delegation.wider"
	CodeDelegationAgent     provenance.Code = "delegation.agent"

	// the call that it names is not one of this agent by its caller
	CodeDelegationCaller provenance.Code = "delegation.caller"
	CodeDelegationLimits provenance.Code = "delegation.limits" // other limits than the calling agent's tool says
	// the sub-agent was asked something else than the call says
	CodeDelegationInput provenance.Code = "delegation.input"
	// the sub-agent's run begins with another label than the call hands on
	CodeDelegationLabel provenance.Code = "delegation.label"
	// the call hands on something else than the caller's steps lead to
	CodeDelegationHanded provenance.Code = "delegation.handed"
	// the result of a call does not come from the run that it opened
	CodeDelegationChild provenance.Code = "delegation.child"
	// a sub-agent has begun something after its user had taken back what it was called for
	CodeDelegationStopped provenance.Code = "delegation.stopped"
	// sub-agents have used what the agent that called did not have
	CodeDelegationSpent provenance.Code = "delegation.spent"
)

// agentsKey returns the key under which the operator's agents act: as the auditor knows it, else as the record says.
func (a *auditor) agentsKey() (auth.PublicKey, error) {
	key := a.operator
	if len(key) == 0 {
		key = a.ev.Runtime.Key
	}
	return auth.Ed25519Key(key)
}

// readAuthority checks the delegations of a sub-agent's run.
func (a *auditor) readAuthority() bool {
	var chain []authority.Delegated
	for i, d := range a.ev.Delegations {
		chain = append(chain, authority.Delegated{CID: a.ev.DelegationCIDs[i], Delegation: d})
	}
	key, err := a.agentsKey()
	if err != nil && len(chain) > 0 {
		a.failCheck(provenance.CheckGrant, CodeDelegationIssuer, a.ev.RunCID,
			"the runtime has no key under which agents act")
		return false
	}
	a.agents = key
	a.authority, err = authority.New(a.grant, chain, key)
	if e, ok := errors.AsType[*authority.DelegationError](err); ok {
		a.failCheck(provenance.CheckGrant, provenance.Code("delegation."+e.Rule), e.At, "%s", e.Why)
		return false
	}
	if err != nil {
		a.rep.Fault(err)
		return false
	}
	if len(chain) == 0 {
		return true
	}
	last := chain[len(chain)-1]
	switch {
	case last.Agent != a.ev.Run.Agent:
		a.failCheck(provenance.CheckGrant, CodeDelegationAgent, last.CID, "the delegation is for agent %s, not %s",
			last.Agent, a.ev.Run.Agent)
		return false
	case a.ev.Run.Opened < last.At || a.ev.Run.Opened >= last.Expires:
		a.failCheck(provenance.CheckGrant, CodeDelegationLater, a.ev.RunCID,
			"the run was opened outside the delegation's time")
		return false
	}
	return true
}

// requestFrame returns the frame that the run's request was signed as, and the key that must have signed it: of a
// user's request the session's, of a sub-agent's its caller's.
func (a *auditor) requestFrame(ask *provenance.Ask, params []byte) (auth.Frame, auth.PublicKey) {
	f := auth.Frame{Session: a.ev.Run.Grant, Channel: ask.Channel, Seq: ask.Seq, Method: ask.Method, Params: params}
	if n := len(a.authority.Chain); n > 0 {
		f.Session = a.ev.Run.Delegation
		key, _ := auth.ParsePublicKey(a.authority.Chain[n-1].Issuer) // NewAuthority has parsed it before
		return f, key
	}
	return f, a.grant.Key
}

// checkCallers checks each delegation against the call that it was made for, as far as the callers' steps are there. It
// returns whether all of them were, and did.
func (a *auditor) checkCallers(ask *provenance.Ask, input string) (all bool) {
	all = true
	for i, d := range a.authority.Chain {
		err := a.checkCaller(i, d, ask, input)
		if errors.Is(err, provenance.ErrAbsent) {
			all = false
			a.rep.Unprove("that a call opened the sub-agent's run: its caller's step is not here")
			continue
		}
		if errors.Is(err, loop.ErrSealed) {
			all = false
			a.rep.Unprove("that the sub-agent was asked what its caller's call says: it is sealed")
			continue
		}
		if f, ok := errors.AsType[*provenance.Fault](err); ok {
			a.rep.Fail(provenance.CheckGrant, f)
			return false
		}
		if err != nil {
			a.rep.Fault(err)
			return false
		}
	}
	return all
}

// checkCaller checks one delegation against the call that it was made for.
func (a *auditor) checkCaller(i int, d authority.Delegated, ask *provenance.Ask, input string) error {
	var step provenance.Step
	if err := a.ev.Record(d.Call.Step, &step); err != nil {
		return err
	}
	call, tool, err := a.findCallerCall(i, d, &step)
	if err != nil {
		return err
	}
	outer, err := authority.New(a.grant, a.authority.Chain[:i], a.agents)
	if err != nil {
		return err
	}
	if call.Handed == nil {
		return delegationFault(d, CodeDelegationCaller, "the call hands nothing on to a sub-agent")
	}
	want, err := outer.Delegate(tool.Delegate, call.Handed, d.From, d.Call, step.At)
	if err != nil {
		return delegationFault(d, CodeDelegationLimits, "the caller had nothing to delegate: %v", err)
	}
	want.Nonce, want.Issuer, want.Sig = d.Nonce, d.Issuer, d.Sig
	if !reflect.DeepEqual(want, d.Delegation) {
		return delegationFault(d, CodeDelegationLimits, "the delegation says something else than the calling agent's tool")
	}
	if i < len(a.authority.Chain)-1 {
		return nil // its own request is in another history
	}
	return checkAsked(d, call, tool, ask, input)
}

func delegationFault(d authority.Delegated, code provenance.Code, format string, args ...any) error {
	return &provenance.Fault{Code: code, At: d.CID, Detail: fmt.Sprintf(format, args...)}
}

// findCallerCall returns the call that a delegation comes from, and its tool: of the agent that may make it, and under
// what the delegation comes from.
func (a *auditor) findCallerCall(
	i int, d authority.Delegated, step *provenance.Step,
) (*provenance.Call, *provenance.ToolDef,
	error) {
	bad := func(format string, args ...any) (*provenance.Call, *provenance.ToolDef, error) {
		return nil, nil, delegationFault(d, CodeDelegationCaller, format, args...)
	}
	var run provenance.Run
	if err := a.ev.Record(step.Run, &run); err != nil {
		return nil, nil, err
	}
	under := run.Grant // what the caller acted under
	if run.Delegation.Defined() {
		under = run.Delegation
	}
	callsAs := a.grant.AgentCID
	if i > 0 {
		callsAs = a.authority.Chain[i-1].Agent
	}
	if run.Agent != callsAs {
		return bad("the call was made by another agent than the one that may")
	}
	if run.Grant != a.ev.Run.Grant || under != d.From {
		return bad("the call was made under something else than the delegation comes from")
	}
	call := callAt(step, d.Call.Effect)
	if call == nil {
		return bad("the caller's step has no such call")
	}
	var tool provenance.ToolDef
	var agent provenance.Agent
	if err := a.ev.Record(call.Tool, &tool); err != nil {
		return nil, nil, err
	}
	if err := a.ev.Record(run.Agent, &agent); err != nil {
		return nil, nil, err
	}
	if tool.Delegate == nil || tool.Delegate.Agent != d.Agent || !slices.Contains(agent.Tools, call.Tool) {
		return bad("the call is not one of this sub-agent")
	}
	return call, &tool, nil
}

// callAt returns the call that is a step's effect at a place, or nil.
func callAt(s *provenance.Step, place uint64) *provenance.Call {
	if place >= uint64(len(s.Does)) {
		return nil
	}
	call, _ := s.Does[place].(*provenance.Call)
	return call
}

// checkAsked says whether the sub-agent was asked, and begins with, what the call says.
func checkAsked(d authority.Delegated, call *provenance.Call, tool *provenance.ToolDef, ask *provenance.Ask,
	input string) error {
	raw, ok := call.Args.Bytes()
	if !ok {
		return fmt.Errorf("the call: %w", loop.ErrSealed)
	}
	asked, err := definition.InputOf(tool, raw)
	if err != nil || asked != input {
		return delegationFault(d, CodeDelegationInput, "the sub-agent was asked something else than the call says")
	}
	handed, ok := call.Handed.Label.Bytes()
	begins, ok2 := ask.Label.Bytes()
	switch {
	case !ok || !ok2:
		return fmt.Errorf("the label of the call: %w", loop.ErrSealed)
	case string(handed) != string(begins):
		return delegationFault(d, CodeDelegationLabel, "the sub-agent begins with another label than the call hands on")
	}
	return nil
}

// readCallers reads the agents between the grant's and the run's, in whose budgets the run reserves too.
func (a *auditor) readCallers() ([]*provenance.Agent, error) {
	var out []*provenance.Agent
	for i := range max(len(a.authority.Chain)-1, 0) {
		agent := new(provenance.Agent)
		if err := a.ev.Record(a.authority.Chain[i].Agent, agent); errors.Is(err, provenance.ErrAbsent) {
			return nil, &provenance.Fault{Code: provenance.CodeLinksMissing, At: a.authority.Chain[i].Agent,
				Detail: "an agent that called is not here"}
		} else if err != nil {
			return nil, err
		}
		out = append(out, agent)
	}
	return out, nil
}

// A nested source is another history in the same blocks.
type nested struct {
	provenance.Source
	root provenance.Link
}

func (n nested) Root() provenance.Link { return n.root }

// A nestedJudge is the part of an auditor that looks at the runs of sub-agents.
type nestedJudge struct{ *auditor }

// checkSubAgents judges the runs of sub-agents that this one has opened, each in whole, and that their outcomes are the
// results of the calls. each history is judged once, however many name it.
func (a nestedJudge) checkSubAgents() {
	runs, gaps := 0, 0
	calls := map[provenance.Ref]*provenance.Call{}
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		for i, e := range s.Does {
			if call, ok := e.(*provenance.Call); ok && a.callsSubAgent(call) {
				calls[provenance.Ref{Seq: s.Seq, Index: uint64(i)}] = call
			}
		}
		r, ok := s.Event.(*provenance.Result)
		if !ok {
			return nil
		}
		call := calls[r.Of]
		delete(calls, r.Of)
		if wrong := unpairedRun(call, r); wrong != "" {
			a.failCheck(provenance.CheckCover, CodeDelegationChild, c, "step %d: %s", s.Seq, wrong)
			return errStop
		}
		if !r.Child.Defined() {
			return nil
		}
		runs++
		whole, err := a.checkSubAgentRun(s, r)
		if f, ok := errors.AsType[*provenance.Fault](err); ok {
			a.rep.Fail(provenance.CheckCover, f)
			return errStop
		}
		if err != nil {
			return err
		}
		if !whole {
			gaps++
		}
		return nil
	})
	a.reportSubAgents(runs, gaps, err)
}

// reportSubAgents says of how many runs there was something to check, and of how many not all of it.
func (a nestedJudge) reportSubAgents(runs, gaps int, err error) {
	switch {
	case errors.Is(err, errStop):
	case err != nil:
		a.rep.Fault(err)
	case gaps > 0:
		count := a.rep.Status(provenance.CheckCover).Count
		a.rep.Skip(provenance.CheckCover, count,
			fmt.Sprintf("of %d sub-agents' runs, %d could not be checked in whole", runs, gaps))
	case runs > 0 && a.rep.Status(provenance.CheckCover).Status == provenance.Pass:
		count := a.rep.Status(provenance.CheckCover).Count
		a.rep.Pass(provenance.CheckCover, count, fmt.Sprintf("with %d runs of sub-agents, each checked in whole", runs))
	}
}

// unpairedRun says what is wrong with the run that a result names, if another call opened it than call, or none did.
func unpairedRun(call *provenance.Call, r *provenance.Result) string {
	switch {
	case call == nil && r.Child.Defined():
		return "a run of a sub-agent is named that no call has opened"
	case call != nil && r.Status == provenance.StatusOK && !r.Child.Defined():
		return "the result of a sub-agent's call does not name its run"
	}
	return ""
}

func (a nestedJudge) callsSubAgent(call *provenance.Call) bool {
	def := a.ev.Tools[call.Tool]
	return def != nil && def.Delegate != nil
}

// takeUnproven notes what a sub-agent's run leaves open.
func (a nestedJudge) takeUnproven(rep *provenance.Report) {
	for _, u := range rep.Unproven {
		if !strings.HasPrefix(u, "what the run that opened this one did") { // that run is this one
			a.rep.Unprove(u)
		}
	}
}

// judgeNested judges a sub-agent's run, which a call has opened, by the same rules, once.
func (a nestedJudge) judgeNested(head provenance.Link, call provenance.Ref) *provenance.Report {
	rep, judged := a.judged[head]
	if !judged {
		src := nested{a.ev.Source(), head}
		rep = judgeRun(src, optionsBelow(a.auditor), &auditor{
			depth: a.depth + 1, judged: a.judged, sets: a.sets, wallet: wallet{asking: a.wallet.asking},
			stopped: a.stops.endOf(call, a.stopped),
		})
		a.judged[head] = rep
	}
	return rep
}

// checkSubAgentRun judges the run that a result comes from, and whether it was verified without a gap.
func (a nestedJudge) checkSubAgentRun(s *provenance.Step, r *provenance.Result) (whole bool, err error) {
	bad := func(code provenance.Code, format string, args ...any) error {
		return &provenance.Fault{Code: code, At: r.Child, Detail: fmt.Sprintf(format, args...)}
	}
	if a.depth >= provenance.MaxDelegations {
		return false, bad(provenance.CodeDelegationDepth, "sub-agents are more than %d deep", provenance.MaxDelegations)
	}
	var head provenance.Head
	if err := a.ev.Record(r.Child, &head); errors.Is(err, provenance.ErrAbsent) {
		a.rep.Unprove("what the sub-agents did: a run of theirs is not here")
		return false, nil
	} else if err != nil {
		return false, err
	}
	rep := a.judgeNested(r.Child, r.Of)
	if rep.Refused() {
		return false, bad(rep.Code, "the sub-agent's run %s: %s", rep.Run, rep.Detail)
	}
	a.takeUnproven(rep)
	var run provenance.Run
	var last provenance.Step
	if err := a.ev.Record(head.Run, &run); err != nil {
		return false, err
	}
	if err := a.ev.Record(head.Step, &last); err != nil {
		return false, err
	}
	if p := run.Parent; !run.Delegation.Defined() || p == nil || p.Step != a.ev.StepCID(int(r.Of.Seq)) ||
		p.Effect != r.Of.Index {
		return false, bad(CodeDelegationChild, "the run was opened by another call than the one that it answers")
	}
	out, open := r.Output.Bytes()
	o, err := subagent.OutcomeOf(head.Run, &last)
	switch {
	case !open && r.Output != nil || errors.Is(err, loop.ErrSealed):
		return false, nil
	case err != nil:
		return false, bad(CodeDelegationChild, "the result of step %d comes from a run that has not closed", s.Seq)
	case string(o.JSON()) != string(out):
		return false, bad(CodeDelegationChild, "the result of step %d is not what its run came to", s.Seq)
	}
	return rep.Verdict == provenance.Verified, nil
}
