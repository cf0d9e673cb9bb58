// Package audit checks a run that nobody vouches for.
//
// [Verify] begins with provenance.Verify, which judges the bytes: hashes, codec, schema, links, history, the head's
// signature. It then judges what needs rules and wallets: that the wallet signed the grant and that the grant's text
// says what is enforced; that the session key signed the request; that every effect lies within the grant; that the
// wallet signed each approval, for exactly that call. Last it feeds the recorded events to agent/loop, the code that
// ran, and compares every decision, prompt digest, sum and effect with the record. Decisions are recomputed, not
// believed.
//
// It is pure: the evidence comes in as a [provenance.Source], and no clock, file or network is touched.
package audit

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// Codes of what a history means: its bytes are in order, but it is not what rules and signatures allow.
const (
	CodeGrantSignature provenance.Code = "grant.signature" // the wallet did not sign this text, or the text is malformed
	CodeGrantMethod    provenance.Code = "grant.method"    // a way of signing that this program does not know
	CodeGrantAgent     provenance.Code = "grant.agent"     // the grant is for another agent, or another version of it
	CodeGrantRules     provenance.Code = "grant.rules"     // the grant is for another policy set
	CodeGrantOrigin    provenance.Code = "grant.origin"    // the dApp's policy set is for other pages than that of the grant
	CodeGrantTime      provenance.Code = "grant.time"      // the run was opened outside the grant's time
	CodeGrantRequest   provenance.Code = "grant.request"   // the session key did not sign the request

	CodeCoverTool  provenance.Code = "cover.tool"  // a call of a tool that the grant does not name
	CodeCoverTime  provenance.Code = "cover.time"  // an effect after the grant's end
	CodeCoverChain provenance.Code = "cover.chain" // a call on a chain that the grant does not name

	CodeApprovalSignature provenance.Code = "approvals.signature" // not the wallet's signature over this approval
	CodeApprovalOther     provenance.Code = "approvals.other"     // an approval for something else
	CodeApprovalLate      provenance.Code = "approvals.late"      // an approval after its time

	CodeDecision        provenance.Code = "decisions.outcome" // a decision that comes out differently
	CodeDecisionWhy     provenance.Code = "decisions.why"     // a decision with another reason
	CodeDecisionBudget  provenance.Code = "decisions.budget"  // a decision that reserves something else
	CodeDecisionEffect  provenance.Code = "decisions.effect"  // an effect that the events do not lead to
	CodeDecisionEvent   provenance.Code = "decisions.event"   // an event that cannot follow
	CodeDecisionRules   provenance.Code = "decisions.rules"   // rules, agent or tools that do not compile
	CodeDecisionRoute   provenance.Code = "decisions.route"   // another model than the rules choose
	CodeDecisionFacts   provenance.Code = "decisions.facts"   // ledgers of other caps, or without what the run has used
	CodeDecisionLabel   provenance.Code = "decisions.label"   // a context with another label
	CodeDecisionPublish provenance.Code = "decisions.publish" // a payload that is kept in another way than decided

	CodeContextPrompt provenance.Code = "context.prompt" // a prompt with another digest
	CodeTotals        provenance.Code = "totals.close"   // sums that are not those of the steps
	CodeTotalsCap     provenance.Code = "totals.cap"     // a ledger above its cap
)

// Verify judges the history that src's root points to. The report has every check: passed, failed, or not checked
// and why.
func Verify(src provenance.Source, o provenance.Options) *provenance.Report {
	return Replay(src, o, nil)
}

// A Replayed is one step, decided again.
type Replayed struct {
	Seq                  int
	Recorded, Recomputed provenance.Link   // Recomputed is undefined if the step led to no record, or to another text
	Ledgers              []policies.Budget // as the step's decisions saw them; nil if it led to no record
}

// Replay judges as [Verify] does, and calls each with what came of every step when its decisions were made again. It
// ends at the first step that differs. Texts for which there is no key are taken as recorded; without the keys of
// what the decisions rest on there is no replay at all, and the report says so. each may be nil.
func Replay(src provenance.Source, o provenance.Options, each func(Replayed)) *provenance.Report {
	return judge(src, o, &auditor{each: each})
}

func judge(src provenance.Source, o provenance.Options, a *auditor) *provenance.Report {
	rep, ev := provenance.Verify(src, o)
	if ev == nil {
		return rep
	}
	a.rep, a.ev, a.keys, a.operator = rep, ev, o.Keys, o.OperatorKey
	if a.each == nil {
		a.each = func(Replayed) {}
	}
	if a.judged == nil {
		a.judged = map[provenance.Link]*provenance.Report{}
	}
	if a.wallet.asked == nil {
		a.wallet.asked = map[askedOf]bool{}
	}
	a.levels()
	if a.readGrant() && a.revocations() {
		a.cover()
		a.approvals()
		a.walletFacts()
		a.concludeWallet()
		a.replay()
		a.children()
	}
	a.transfers()
	a.log(o)
	return rep
}

type auditor struct {
	rep   *provenance.Report
	ev    *provenance.Evidence
	keys  map[provenance.Link]provenance.LeafKey
	grant *auth.Grant
	each  func(Replayed)
	sent  func(Sent) // may be nil

	authority *loop.Authority                        // the grant, and what it was delegated to
	agents    auth.PublicKey                         // under which the operator's agents act
	depth     int                                    // of this history below the one asked for
	judged    map[provenance.Link]*provenance.Report // on the histories below

	operator ed25519.PublicKey // as the auditor knows it; nil if it does not

	limit   int // bytes of texts that are replayed; maxReplayed if 0
	judging     // of Judge

	wallet wallet
}

// Bounds on what a report lists, whatever a history claims.
const (
	maxModels     = 32
	maxModelCalls = 4096
)

// levels says for each model how well it is shown that it really answered.
func (a *auditor) levels() {
	var names []string
	calls := map[string]int{}
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		if r, ok := s.Event.(*provenance.Reply); ok && r.Model != nil {
			kind := kindOf(a.ev.Runtime, r.Model.Name)
			name := fmt.Sprintf("%s (%s), evidence level %d", r.Model.Answered, kind, r.Model.Evidence)
			if calls[name] == 0 && len(names) == maxModels {
				name = "others"
			}
			if calls[name]++; calls[name] == 1 {
				names = append(names, name)
			}
			if len(a.rep.ModelCalls) < maxModelCalls {
				a.rep.ModelCalls = append(a.rep.ModelCalls, provenance.Answered{
					Step: s.Seq, At: c.String(), Model: r.Model.Answered, Kind: kind, Evidence: r.Model.Evidence,
				})
			}
		}
		return nil
	})
	if err != nil {
		a.rep.Fault(err)
		return
	}
	for _, n := range names {
		a.rep.Models = append(a.rep.Models, fmt.Sprintf("%d x %s", calls[n], n))
	}
}

func kindOf(r provenance.Runtime, name string) string {
	i := slices.IndexFunc(r.Models, func(m provenance.ModelInfo) bool { return m.Name == name })
	if i < 0 {
		return "unknown"
	}
	if r.Models[i].Kind == "rules" {
		return "rules, no model"
	}
	return r.Models[i].Kind
}

func (a *auditor) fail(check string, code provenance.Code, at provenance.Link, format string, args ...any) {
	a.rep.Fail(check, &provenance.Fault{Code: code, At: at, Detail: fmt.Sprintf(format, args...)})
}

// sealed marks everything that cannot be judged without the grant's text.
func (a *auditor) sealed(what string) {
	a.rep.Unprove("that the wallet allowed any of it: " + what + " is sealed, and no key was given")
	for _, c := range []string{
		provenance.CheckGrant, provenance.CheckCover, provenance.CheckApprovals, provenance.CheckDecisions,
		provenance.CheckContext, provenance.CheckTotals,
	} {
		a.rep.Skip(c, 0, "authority not checked: "+what+" sealed")
	}
}

// readGrant checks the grant and the request, and returns whether the rest can be judged by it.
func (a *auditor) readGrant() bool {
	g := &a.ev.Grant
	message, ok := g.Message.Bytes()
	sig, ok2 := g.Sig.Bytes()
	if !ok || !ok2 {
		a.sealed("grant")
		return false
	}
	at := a.ev.Run.Grant
	grant, err := auth.RereadAs(g.Method, message, sig)
	switch {
	case isCode(err, auth.CodeSigMethod):
		a.fail(provenance.CheckGrant, CodeGrantMethod, at, "a grant signed by method %q is not known, or is signed otherwise", g.Method)
		return false
	case err != nil:
		a.fail(provenance.CheckGrant, CodeGrantSignature, at, "the grant does not hold: %v", err)
		return false
	}
	opened := time.UnixMilli(a.ev.Run.Opened)
	switch {
	case len(a.ev.Delegations) > 0: // its caller's agent, or that one's caller's, is the grant's: see callers
	case grant.Agent != a.ev.Agent.Name || grant.AgentCID != a.ev.Run.Agent:
		a.fail(provenance.CheckGrant, CodeGrantAgent, at, "the wallet allowed agent %s, not %s", grant.AgentCID, a.ev.Run.Agent)
		return false
	}
	switch {
	case grant.RulesCID != a.ev.Run.Rules:
		a.fail(provenance.CheckGrant, CodeGrantRules, at, "the wallet allowed it under policy set %s, not %s", grant.RulesCID, a.ev.Run.Rules)
		return false
	case a.ev.Dapp != nil && a.ev.Dapp.Origin != grant.Origin():
		a.fail(provenance.CheckGrant, CodeGrantOrigin, a.ev.Run.Rules, "the wallet signed for %s, and the dApp's policy set is for %s", grant.Origin(), a.ev.Dapp.Origin)
		return false
	case !opened.Before(grant.Expires) || opened.Before(grant.Issued.Add(-auth.Skew)) || opened.Before(grant.NotBefore.Add(-auth.Skew)):
		a.fail(provenance.CheckGrant, CodeGrantTime, a.ev.RunCID, "the run was opened at %s, outside the grant's time", opened.UTC().Format(time.RFC3339))
		return false
	}
	a.grant = grant
	if grant.Method != auth.MethodEOA && !a.verified(provenance.CheckGrant, CodeGrantVerification, CodeGrantContract,
		at, g.Verification, g.Method, grant.Question(), opened) {
		return false
	}
	return a.readAuthority() && a.readRequest()
}

// readRequest checks that the session key, which the wallet named, signed the request; or, of a sub-agent's run, the
// agent that called it.
func (a *auditor) readRequest() bool {
	done := errors.New("done")
	ok := false
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		ask, is := s.Event.(*provenance.Ask)
		if !is {
			return done
		}
		params, open := ask.Request.Bytes()
		if !open {
			a.sealed("request")
			return done
		}
		f, key := a.requestFrame(ask, params)
		switch {
		case ask.Key != key.String():
			a.fail(provenance.CheckGrant, CodeGrantRequest, c, "the request was signed by another key than the grant or the delegation names")
		case f.Verify(key, ask.Sig) != nil:
			a.fail(provenance.CheckGrant, CodeGrantRequest, c, "the key that may ask did not sign this request")
		case len(a.authority.Chain) > 0:
			ok = true
			note := fmt.Sprintf("wallet %s signed the grant, its agents %d delegations and the request", a.grant.Account.Hex(), len(a.authority.Chain))
			if a.callers(inputOf(params)) {
				a.rep.Pass(provenance.CheckGrant, 2+len(a.authority.Chain), note)
			} else {
				a.rep.Skip(provenance.CheckGrant, 2+len(a.authority.Chain), note+"; the calls that led here are not all here")
			}
		default:
			ok = true
			a.rep.Pass(provenance.CheckGrant, 2, "wallet "+a.grant.Account.Hex()+" signed the grant, its session key the request")
		}
		return done
	})
	if err != nil && !errors.Is(err, done) {
		a.rep.Fault(err)
		return false
	}
	return ok
}

// inputOf returns what a request asks; nothing if it is malformed, which the replay finds.
func inputOf(params []byte) string {
	var p wire.StartParams
	if wire.DecodeStrict(params, &p) != nil {
		return ""
	}
	return p.Input
}

// cover checks each call against the grant, and each delegation from it, alone, without the policy engine: two ways to the same answer.
func (a *auditor) cover() {
	n := 0
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		for _, e := range s.Does {
			call, ok := e.(*provenance.Call)
			if !ok {
				continue
			}
			n++
			def := a.ev.Tools[call.Tool]
			switch {
			case def == nil || !a.authority.Has(def.Name):
				a.fail(provenance.CheckCover, CodeCoverTool, c, "step %d calls a tool that the grant does not name", s.Seq)
			case s.At >= a.authority.Expires():
				a.fail(provenance.CheckCover, CodeCoverTime, c, "step %d acts after the end of what it acts under", s.Seq)
			case def.Book.Defined() && len(a.grant.Caveats.Chains) > 0:
				spec, err := loop.SpecOf(def, a.ev.Books[def.Book])
				if err != nil || !a.authority.On(spec.Book.Chain) {
					a.fail(provenance.CheckCover, CodeCoverChain, c, "step %d acts on a chain that the grant does not name", s.Seq)
				}
			}
		}
		return nil
	})
	if err != nil {
		a.rep.Fault(err)
		return
	}
	a.rep.Pass(provenance.CheckCover, n, "")
}

// approvals checks each approval's signature against the effect for which it was sought.
func (a *auditor) approvals() {
	seeks := map[provenance.Ref]*provenance.Seek{}
	n := 0
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		if v, ok := s.Event.(*provenance.Verdict); ok && v.Approval != nil {
			seek := seeks[v.Of]
			if seek == nil { // provenance has judged the pairing
				return nil
			}
			n++
			want, err := loop.ApprovalOf(a.grant, a.ev.Run.Grant, a.ev.RunCID, a.ev.StepCID(int(v.Of.Seq)), v.Of, seek)
			if err == nil {
				err = loop.CheckApproval(want, v.Approval, time.UnixMilli(s.At))
			}
			switch {
			case err == nil && v.Approval.Method == auth.MethodEOA:
			case err == nil && a.grant.Method == auth.MethodEOA:
				a.fail(provenance.CheckApprovals, CodeApprovalSignature, c, "step %d: a contract approved what an account with a key allowed", s.Seq)
			case err == nil:
				a.approvedByContract(c, v.Approval, want, time.UnixMilli(s.At))
			case errors.Is(err, loop.ErrSealed):
				a.rep.Skip(provenance.CheckApprovals, n, "an approval is sealed")
			case isCode(err, auth.CodeApprovalLate):
				a.fail(provenance.CheckApprovals, CodeApprovalLate, c, "step %d: the approval came after its time", s.Seq)
			case errors.Is(err, loop.ErrApproval):
				a.fail(provenance.CheckApprovals, CodeApprovalOther, c, "step %d: the approval is for something else", s.Seq)
			default:
				a.fail(provenance.CheckApprovals, CodeApprovalSignature, c, "step %d: %v", s.Seq, err)
			}
		}
		for i, e := range s.Does {
			if seek, ok := e.(*provenance.Seek); ok {
				seeks[provenance.Ref{Seq: s.Seq, Index: uint64(i)}] = seek
			}
		}
		return nil
	})
	if err != nil {
		a.rep.Fault(err)
		return
	}
	if a.rep.Status(provenance.CheckApprovals).Note == "" {
		a.rep.Pass(provenance.CheckApprovals, n, "")
	}
}

func isCode(err error, code auth.Code) bool {
	f, ok := errors.AsType[*auth.Fault](err)
	return ok && f.Code == code
}

// OperatorKey reads an operator's public key as it is written for people: 64 hex digits.
func OperatorKey(text string) (ed25519.PublicKey, error) {
	key, err := hex.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("an operator key is 64 hex digits; the server prints it when it starts")
	}
	return key, nil
}
