package audit

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// Codes of what a sub-agent acts under, besides those that provenance gives. The first six are those of a
// [loop.DelegationError].
const (
	CodeDelegationIssuer    provenance.Code = "delegation.issuer"
	CodeDelegationSignature provenance.Code = "delegation.signature"
	CodeDelegationForm      provenance.Code = "delegation.form"
	CodeDelegationLater     provenance.Code = "delegation.later"
	CodeDelegationWider     provenance.Code = "delegation.wider"
	CodeDelegationAgent     provenance.Code = "delegation.agent"

	CodeDelegationCaller provenance.Code = "delegation.caller" // the call that it names is not one of this agent by its caller
	CodeDelegationLimits provenance.Code = "delegation.limits" // other limits than the calling agent's tool says
	CodeDelegationInput  provenance.Code = "delegation.input"  // the sub-agent was asked something else than the call says
	CodeDelegationChild  provenance.Code = "delegation.child"  // the result of a call does not come from the run that it opened
	CodeDelegationSpent  provenance.Code = "delegation.spent"  // sub-agents have used what the agent that called did not have
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
	var chain []loop.Delegated
	for i, d := range a.ev.Delegations {
		chain = append(chain, loop.Delegated{CID: a.ev.DelegationCIDs[i], Delegation: d})
	}
	key, err := a.agentsKey()
	if err != nil && len(chain) > 0 {
		a.fail(provenance.CheckGrant, CodeDelegationIssuer, a.ev.RunCID, "the runtime has no key under which agents act")
		return false
	}
	a.agents = key
	a.authority, err = loop.NewAuthority(a.grant, chain, key)
	if e, ok := errors.AsType[*loop.DelegationError](err); ok {
		a.fail(provenance.CheckGrant, provenance.Code("delegation."+e.Rule), e.At, "%s", e.Why)
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
		a.fail(provenance.CheckGrant, CodeDelegationAgent, last.CID, "the delegation is for agent %s, not %s", last.Agent, a.ev.Run.Agent)
		return false
	case a.ev.Run.Opened < last.At || a.ev.Run.Opened >= last.Expires:
		a.fail(provenance.CheckGrant, CodeDelegationLater, a.ev.RunCID, "the run was opened outside the delegation's time")
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
		key, _ := auth.ParsePublicKey(a.authority.Chain[n-1].Issuer) // as NewAuthority has found it
		return f, key
	}
	return f, a.grant.Key
}

// callers checks each delegation against the call that it was made for, as far as the callers' steps are there. It
// returns whether all of them were, and did.
func (a *auditor) callers(input string) (all bool) {
	all = true
	for i, d := range a.authority.Chain {
		err := a.caller(i, d, input)
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

// caller checks one delegation against the call that it was made for.
func (a *auditor) caller(i int, d loop.Delegated, input string) error {
	bad := func(code provenance.Code, format string, args ...any) error {
		return &provenance.Fault{Code: code, At: d.CID, Detail: fmt.Sprintf(format, args...)}
	}
	var step provenance.Step
	var run provenance.Run
	if err := a.ev.Record(d.Call.Step, &step); err != nil {
		return err
	}
	if err := a.ev.Record(step.Run, &run); err != nil {
		return err
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
		return bad(CodeDelegationCaller, "the call was made by another agent than the one that may")
	}
	if run.Grant != a.ev.Run.Grant || under != d.From {
		return bad(CodeDelegationCaller, "the call was made under something else than the delegation comes from")
	}
	if d.Call.Effect >= uint64(len(step.Does)) {
		return bad(CodeDelegationCaller, "the caller's step has no such call")
	}
	call, ok := step.Does[d.Call.Effect].(*provenance.Call)
	if !ok {
		return bad(CodeDelegationCaller, "the caller's step has no such call")
	}
	var tool provenance.ToolDef
	var agent provenance.Agent
	if err := a.ev.Record(call.Tool, &tool); err != nil {
		return err
	}
	if err := a.ev.Record(run.Agent, &agent); err != nil {
		return err
	}
	if tool.Delegate == nil || tool.Delegate.Agent != d.Agent || !slices.Contains(agent.Tools, call.Tool) {
		return bad(CodeDelegationCaller, "the call is not one of this sub-agent")
	}
	outer, err := loop.NewAuthority(a.grant, a.authority.Chain[:i], a.agents)
	if err != nil {
		return err
	}
	want, err := outer.Delegate(tool.Delegate, agent.Limits, d.From, d.Call, step.At)
	if err != nil {
		return bad(CodeDelegationLimits, "the caller had nothing to delegate: %v", err)
	}
	want.Nonce, want.Issuer, want.Sig = d.Nonce, d.Issuer, d.Sig
	if !reflect.DeepEqual(want, d.Delegation) {
		return bad(CodeDelegationLimits, "the delegation says something else than the calling agent's tool")
	}
	if i < len(a.authority.Chain)-1 {
		return nil // its own request is in another history
	}
	raw, ok := call.Args.Bytes()
	if !ok {
		return fmt.Errorf("the call: %w", loop.ErrSealed)
	}
	asked, err := loop.InputOf(&tool, raw)
	if err != nil || asked != input {
		return bad(CodeDelegationInput, "the sub-agent was asked something else than the call says")
	}
	return nil
}

// callersOf reads the agents between the grant's and the run's, whose budgets the run draws on too.
func (a *auditor) callersOf() ([]*provenance.Agent, error) {
	var out []*provenance.Agent
	for i := range max(len(a.authority.Chain)-1, 0) {
		agent := new(provenance.Agent)
		if err := a.ev.Record(a.authority.Chain[i].Agent, agent); errors.Is(err, provenance.ErrAbsent) {
			return nil, &provenance.Fault{Code: provenance.CodeLinksMissing, At: a.authority.Chain[i].Agent, Detail: "an agent that called is not here"}
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

// children judges the runs of sub-agents that this one has opened, each in whole, and that their outcomes are the
// results of the calls. each history is judged once, however many name it.
func (a *auditor) children() {
	n, gaps := 0, 0
	calls := map[provenance.Ref]*provenance.Call{}
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		for i, e := range s.Does {
			if call, ok := e.(*provenance.Call); ok && a.isDelegate(call) {
				calls[provenance.Ref{Seq: s.Seq, Index: uint64(i)}] = call
			}
		}
		r, ok := s.Event.(*provenance.Result)
		if !ok {
			return nil
		}
		call := calls[r.Of]
		delete(calls, r.Of)
		bad := func(format string, args ...any) error {
			a.fail(provenance.CheckCover, CodeDelegationChild, c, "step %d: %s", s.Seq, fmt.Sprintf(format, args...))
			return errStop
		}
		switch {
		case call == nil && r.Child.Defined():
			return bad("a run of a sub-agent is named that no call has opened")
		case call != nil && r.Status == provenance.StatusOK && !r.Child.Defined():
			return bad("the result of a sub-agent's call does not name its run")
		case !r.Child.Defined():
			return nil
		}
		n++
		whole, err := a.child(s, r)
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
	switch {
	case errors.Is(err, errStop):
	case err != nil:
		a.rep.Fault(err)
	case gaps > 0:
		count := a.rep.Status(provenance.CheckCover).Count
		a.rep.Skip(provenance.CheckCover, count, fmt.Sprintf("of %d sub-agents' runs, %d could not be checked in whole", n, gaps))
	case n > 0 && a.rep.Status(provenance.CheckCover).Status == provenance.Pass:
		count := a.rep.Status(provenance.CheckCover).Count
		a.rep.Pass(provenance.CheckCover, count, fmt.Sprintf("with %d runs of sub-agents, each checked in whole", n))
	}
}

func (a *auditor) isDelegate(call *provenance.Call) bool {
	def := a.ev.Tools[call.Tool]
	return def != nil && def.Delegate != nil
}

// child judges the run that a result comes from, and whether it was verified without a gap.
func (a *auditor) child(s *provenance.Step, r *provenance.Result) (whole bool, err error) {
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
	rep, judged := a.judged[r.Child]
	if !judged {
		src := nested{a.ev.Source(), r.Child}
		rep = judge(src, provenance.Options{Keys: a.keys, OperatorKey: a.operator}, &auditor{depth: a.depth + 1, judged: a.judged, wallet: wallet{ask: a.wallet.ask}})
		a.judged[r.Child] = rep
	}
	if rep.Verdict == provenance.Failed {
		return false, bad(rep.Code, "the sub-agent's run %s: %s", rep.Run, rep.Detail)
	}
	for _, u := range rep.Unproven {
		if !strings.HasPrefix(u, "what the run that opened this one did") { // which is this one
			a.rep.Unprove(u)
		}
	}
	var run provenance.Run
	var last provenance.Step
	if err := a.ev.Record(head.Run, &run); err != nil {
		return false, err
	}
	if err := a.ev.Record(head.Step, &last); err != nil {
		return false, err
	}
	if p := run.Parent; !run.Delegation.Defined() || p == nil || p.Step != a.ev.StepCID(int(r.Of.Seq)) || p.Effect != r.Of.Index {
		return false, bad(CodeDelegationChild, "the run was opened by another call than the one that it answers")
	}
	out, open := r.Output.Bytes()
	o, err := loop.OutcomeOf(head.Run, &last)
	switch {
	case !open && r.Output != nil || errors.Is(err, loop.ErrSealed):
		return false, nil
	case err != nil:
		return false, bad(CodeDelegationChild, "the result of step %d comes from a run that has not closed", s.Seq)
	}
	if string(loop.OutcomeJSON(o)) != string(out) {
		return false, bad(CodeDelegationChild, "the result of step %d is not what its run came to", s.Seq)
	}
	return rep.Verdict == provenance.Verified, nil
}
