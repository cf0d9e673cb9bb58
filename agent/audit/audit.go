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

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/layer"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
)

// Codes of what a history means: its bytes are in order, but it is not what rules and signatures allow.
const (
	// the wallet did not sign this text, or the text is malformed
	CodeGrantSignature provenance.Code = "grant.signature"
	CodeGrantMethod    provenance.Code = "grant.method" // a way of signing that this program does not know
	CodeGrantAgent     provenance.Code = "grant.agent"  // the grant is for another agent, or another version of it
	CodeGrantRules     provenance.Code = "grant.rules"  // the grant is for another policy set
	// the dApp's policy set is for other pages than that of the grant
	CodeGrantOrigin  provenance.Code = "grant.origin"
	CodeGrantTime    provenance.Code = "grant.time"    // the run was opened outside the grant's time
	CodeGrantRequest provenance.Code = "grant.request" // the session key did not sign the request
	CodeGrantWallet  provenance.Code = "grant.wallet"  // another wallet's permission than the one asked for

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
	CodeDecisionFleet   provenance.Code = "decisions.fleet"   // what is said of the models does not lead to the choice
	CodeDecisionFacts   provenance.Code = "decisions.facts"   // ledgers of other caps, or without what the run has used
	CodeDecisionLabel   provenance.Code = "decisions.label"   // a context with another label
	CodeDecisionPublish provenance.Code = "decisions.publish" // a payload that is kept in another way than decided

	CodeContextFold   provenance.Code = "context.fold"   // something else is left out of a talk than its length asks for
	CodeContextPrompt provenance.Code = "context.prompt" // a prompt with another digest
	CodeTotals        provenance.Code = "totals.close"   // sums that are not those of the steps
	CodeTotalsCap     provenance.Code = "totals.cap"     // a ledger above its cap
)

// Options are what a verifier brings along. Nothing of it comes from the evidence.
type Options struct {
	// that heads must be signed by; without it the head is not checked
	OperatorKey ed25519.PublicKey
	Keys        map[provenance.Link]provenance.LeafKey // of the leaves that were disclosed to the verifier; may be nil
	Log         LogOptions                             // what is known of logs, and who the operator's wallet is
	// Account is the wallet whose permission it must be; nil for any. RequireComplete makes a history that is not shown
	// to be complete one that is not verified.
	Account         *Account
	RequireComplete bool
	Prices          *PriceTable // by which costs are computed again; nil if the verifier has none
	// Snapshots are those from which searches are made again; see [search.ReadSnapshot].
	Snapshots []*search.Snapshot
	// Compute has the modules whose results are to be computed again; nil if there are none.
	Compute Compute
}

// An Account is a wallet that a verifier expects: any address is one, and none stands for all.
type Account struct {
	Address common.Address
	Chain   uint64 // EIP-155 id: an address on another chain is another wallet; 0 if only the address is expected
}

// is says whether a permission of a wallet is this one's.
func (a *Account) is(grant *auth.Grant) bool {
	return a.Address == grant.Account && (a.Chain == 0 || a.Chain == grant.Chain)
}

// String is the account as CAIP-10, or its address alone where no chain is known.
func (a *Account) String() string {
	if a.Chain == 0 {
		return a.Address.Hex()
	}
	return caip10(a.Chain, a.Address)
}

// ofBytes is what provenance.Verify needs of them.
func (o Options) ofBytes() provenance.Options {
	return provenance.Options{OperatorKey: o.OperatorKey, Keys: o.Keys, KeyByWallet: o.Log.Wallet != [20]byte{}}
}

// LogOptions are what a verifier knows of logs and of the operator's wallet. Nothing of it comes from the evidence.
type LogOptions struct {
	Policy logproof.Policy
	Wallet [20]byte // of the operator: its binding names the head's key and the log; zero for none
	// Receipts are what clients of the run hold: each a tlog-proof whose extra data is the head's block.
	Receipts [][]byte
	// Checkpoint is one that the verifier has from elsewhere; it may be empty. Consistency returns the hashes that lead
	// from the older of it and the evidence's to the newer, which a log has; nil if no log can be asked. An error that
	// is no [*provenance.Fault] says that it cannot be asked now.
	Checkpoint  []byte
	Consistency func(old, new logproof.Checkpoint) ([][32]byte, error)
	// Epochs are signed statements by which a log that is trusted ended and another goes on.
	Epochs  [][]byte
	Anchors *logproof.Anchors // what a chain of the verifier's choice has; nil if none was asked
}

// Verify judges the history that src's root points to. The report has every check: passed, failed, or not checked
// and why.
func Verify(src provenance.Source, o Options) *provenance.Report {
	return Replay(src, o, nil)
}

// An Auditor judges many histories, and keeps the policy sets that they have in common. The zero Auditor is ready, and
// safe for use by many goroutines.
type Auditor struct{ sets layer.Sets }

// Verify judges as the function of this name does.
func (a *Auditor) Verify(src provenance.Source, o Options) *provenance.Report {
	return judgeRun(src, o, &auditor{sets: &a.sets})
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
func Replay(src provenance.Source, o Options, each func(Replayed)) *provenance.Report {
	return judgeRun(src, o, &auditor{each: each})
}

func judgeRun(src provenance.Source, o Options, a *auditor) *provenance.Report {
	bytes := o.ofBytes()
	if a.isShared {
		bytes.Part = true
	}
	rep, ev := provenance.Verify(src, bytes)
	if o.RequireComplete {
		rep.RequireComplete()
	}
	if ev == nil {
		return rep
	}
	a.account, a.prices, a.snapshots, a.compute = o.Account, o.Prices, o.Snapshots, o.Compute
	a.rep, a.ev, a.keys, a.operator = rep, ev, o.Keys, o.OperatorKey
	if a.judged == nil {
		a.judged = map[provenance.Link]*provenance.Report{}
	}
	if a.sets == nil {
		a.sets = new(layer.Sets)
	}
	if a.wallet.asked == nil {
		a.wallet.asked = map[askedOf]bool{}
	}
	a.survey = &survey{auditor: a}
	a.survey.readSteps()
	if a.readGrant() && a.checkRevocations() {
		a.checkCover()
		a.checkApprovals()
		a.checkWalletFacts()
		a.concludeWallet()
		a.replaySteps()
		nestedJudge{a}.checkSubAgents()
	}
	a.checkReplies()
	pricing{a}.checkPrices()
	a.checkTransfers()
	checkComputed(a)
	if a.checkAssertions(o) { // else the log would say that it is complete
		a.checkLog(o)
	}
	rep.Subject = a.survey.describeSubject(o)
	if rep.Refused() {
		rep.SkipUnreached()
	}
	return rep
}

// optionsBelow are those of the histories that this one leads to.
func optionsBelow(a *auditor) Options {
	return Options{
		Keys: a.keys, OperatorKey: a.operator, Prices: a.prices, Compute: a.compute, Snapshots: a.snapshots,
	}
}

type auditor struct {
	rep    *provenance.Report
	ev     *provenance.Evidence
	keys   map[provenance.Link]provenance.LeafKey
	grant  *auth.Grant
	each   func(Replayed) // may be nil
	onSent func(Sent)     // may be nil

	authority *authority.Authority                   // the grant, and what it was delegated to
	account   *Account                               // whose permission it must be; nil for any
	prices    *PriceTable                            // that the verifier has; nil for none
	compute   Compute                                // the modules that the verifier has; nil for none
	agents    auth.PublicKey                         // under which the operator's agents act
	depth     int                                    // of this history below the one asked for
	stops     stops                                  // what its user took back of its own calls
	stopped   int64                                  // when the call was taken back that opened it; 0 if it was not
	judged    map[provenance.Link]*provenance.Report // on the histories below

	operator ed25519.PublicKey // as the auditor knows it; nil if it does not
	sets     *layer.Sets       // of this history and those below

	isPast   bool       // it is a run of a thread before the one asked for
	isShared bool       // it is what a fork shares with another run, under a head that nobody signed
	forks    int        // how many forks led to it
	replayed loop.State // the run, as far as it was

	isSource bool                // an answer of it was given again in the run asked for
	reusable map[uint64][32]byte // what prompts are known by, by the steps of their answers; see noteReuse

	snapshots []*search.Snapshot // from which searches are made again

	limit   int // bytes of texts that are replayed; maxReplayed if 0
	judging     // of Judge

	survey *survey // of the steps, for the report
	wallet wallet
	logKey string // by which the log's checkpoint was checked
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

func (a *auditor) failCheck(check string, code provenance.Code, at provenance.Link, format string, args ...any) {
	a.rep.Fail(check, &provenance.Fault{Code: code, At: at, Detail: fmt.Sprintf(format, args...)})
}

// skipSealed marks everything that cannot be judged without the grant's text.
func (a *auditor) skipSealed(what string) {
	a.rep.Unprove("that the wallet allowed any of it: " + what + " is sealed, and no key was given")
	if a.account != nil {
		a.rep.Unprove("whose wallet it is: " + what + " is sealed")
	}
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
		a.skipSealed("grant")
		return false
	}
	at := a.ev.Run.Grant
	grant, err := auth.RereadAs(g.Method, message, sig)
	switch {
	case hasCode(err, auth.CodeSigMethod):
		a.failCheck(provenance.CheckGrant, CodeGrantMethod, at,
			"a grant signed by method %q is not known, or is signed otherwise", g.Method)
		return false
	case err != nil:
		a.failCheck(provenance.CheckGrant, CodeGrantSignature, at, "the grant does not hold: %v", err)
		return false
	}
	if a.account != nil && !a.account.is(grant) {
		a.failCheck(provenance.CheckGrant, CodeGrantWallet, at, "it is the permission of the wallet %s, and not of %s",
			caip10(grant.Chain, grant.Account), a.account)
		return false
	}
	if !a.compareGrant(grant) {
		return false
	}
	a.grant = grant
	if grant.Method != auth.MethodEOA &&
		!a.checkVerification(provenance.CheckGrant, CodeGrantVerification, CodeGrantContract,
			at, g.Verification, g.Method, grant.Question(), time.UnixMilli(a.ev.Run.Opened)) {
		return false
	}
	return a.readAuthority() && a.readRequest()
}

// compareGrant says whether the run is within what the wallet signed: its agent, its rules, its page and its time.
func (a *auditor) compareGrant(grant *auth.Grant) bool {
	at := a.ev.Run.Grant
	opened := time.UnixMilli(a.ev.Run.Opened)
	switch {
	case len(a.ev.Delegations) > 0: // its caller's agent, or that one's caller's, is the grant's: see callers
	case grant.Agent != a.ev.Agent.Name || grant.AgentCID != a.ev.Run.Agent:
		a.failCheck(provenance.CheckGrant, CodeGrantAgent, at, "the wallet allowed agent %s, not %s", grant.AgentCID,
			a.ev.Run.Agent)
		return false
	}
	switch {
	case grant.RulesCID != a.ev.Run.Rules:
		a.failCheck(provenance.CheckGrant, CodeGrantRules, at, "the wallet allowed it under policy set %s, not %s",
			grant.RulesCID, a.ev.Run.Rules)
		return false
	case a.ev.Dapp != nil && a.ev.Dapp.Origin != grant.Origin():
		a.failCheck(provenance.CheckGrant, CodeGrantOrigin, a.ev.Run.Rules,
			"the wallet signed for %s, and the dApp's policy set is for %s", grant.Origin(), a.ev.Dapp.Origin)
		return false
	case !opened.Before(grant.Expires) || opened.Before(grant.Issued.Add(-auth.Skew)) ||
		opened.Before(grant.NotBefore.Add(-auth.Skew)):
		a.failCheck(provenance.CheckGrant, CodeGrantTime, a.ev.RunCID,
			"the run was opened at %s, outside the grant's time", opened.UTC().Format(time.RFC3339))
		return false
	}
	return true
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
			a.skipSealed("request")
			return done
		}
		f, key := a.requestFrame(ask, params)
		switch {
		case ask.Key != key.String():
			a.failCheck(provenance.CheckGrant, CodeGrantRequest, c,
				"the request was signed by another key than the grant or the delegation names")
		case f.Verify(key, ask.Sig) != nil:
			a.failCheck(provenance.CheckGrant, CodeGrantRequest, c, "the key that may ask did not sign this request")
		case len(a.authority.Chain) > 0:
			ok = true
			a.passDelegated(ask, params)
		default:
			ok = true
			a.rep.Pass(provenance.CheckGrant, 2,
				"wallet "+a.grant.Account.Hex()+" signed the grant, its session key the request")
		}
		return done
	})
	if err != nil && !errors.Is(err, done) {
		a.rep.Fault(err)
		return false
	}
	return ok
}

// passDelegated says what was checked of a request that a sub-agent's caller signed.
func (a *auditor) passDelegated(ask *provenance.Ask, params []byte) {
	note := fmt.Sprintf("wallet %s signed the grant, its agents %d delegations and the request",
		a.grant.Account.Hex(), len(a.authority.Chain))
	if a.checkCallers(ask, inputOfRequest(params)) {
		a.rep.Pass(provenance.CheckGrant, 2+len(a.authority.Chain), note)
	} else {
		a.rep.Skip(provenance.CheckGrant, 2+len(a.authority.Chain), note+"; the calls that led here are not all here")
	}
}

// inputOfRequest returns what a request asks; nothing if it is malformed, which the replay finds.
func inputOfRequest(params []byte) string {
	var p wire.StartParams
	if wire.DecodeStrict(params, &p) != nil {
		return ""
	}
	return p.Input
}

// checkCover checks each call against the grant, and each delegation from it, alone, without the policy engine: two
// ways to the same answer.
func (a *auditor) checkCover() {
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
			case def != nil && def.Class == definition.ClassClient && call.Class == definition.ClassClient:
				// the caller's own, as the signed request has it: the replay makes its record again
			case def == nil || !a.authority.AllowsTool(def.Name):
				a.failCheck(provenance.CheckCover, CodeCoverTool, c,
					"step %d calls a tool that the grant does not name", s.Seq)
			case s.At >= a.authority.Expires():
				a.failCheck(provenance.CheckCover, CodeCoverTime, c, "step %d acts after the end of what it acts under",
					s.Seq)
			case def.Book.Defined() && len(a.grant.Caveats.Chains) > 0:
				spec, err := definition.SpecOf(def, a.ev.Books[def.Book])
				if err != nil || !a.authority.AllowsChain(spec.Book.Chain) {
					a.failCheck(provenance.CheckCover, CodeCoverChain, c,
						"step %d acts on a chain that the grant does not name", s.Seq)
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

// checkApprovals checks each approval's signature against the effect for which it was sought.
func (a *auditor) checkApprovals() {
	seeks := map[provenance.Ref]*provenance.Seek{}
	n := 0
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		if v, ok := s.Event.(*provenance.Verdict); ok && v.Approval != nil {
			seek := seeks[v.Of]
			if seek == nil { // provenance has judged the pairing
				return nil
			}
			n++
			a.judgeApproval(c, s, v, seek, n)
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

// judgeApproval says whether the wallet approved what seek asked for, as the nth approval of the run.
func (a *auditor) judgeApproval(c provenance.Link, s *provenance.Step, v *provenance.Verdict, seek *provenance.Seek,
	n int) {
	want, err := approval.Of(a.grant, a.ev.Run.Grant, a.ev.RunCID, a.ev.StepCID(int(v.Of.Seq)), v.Of, seek)
	if err == nil {
		err = approval.Check(want, v.Approval, time.UnixMilli(s.At))
	}
	switch {
	case err == nil && v.Approval.Method == auth.MethodEOA:
	case err == nil && a.grant.Method == auth.MethodEOA:
		a.failCheck(provenance.CheckApprovals, CodeApprovalSignature, c,
			"step %d: a contract approved what an account with a key allowed", s.Seq)
	case err == nil:
		a.checkContractApproval(c, v.Approval, want, time.UnixMilli(s.At))
	case errors.Is(err, loop.ErrSealed):
		a.rep.Skip(provenance.CheckApprovals, n, "an approval is sealed")
	case hasCode(err, auth.CodeApprovalLate):
		a.failCheck(provenance.CheckApprovals, CodeApprovalLate, c, "step %d: the approval came after its time",
			s.Seq)
	case errors.Is(err, approval.ErrOther):
		a.failCheck(provenance.CheckApprovals, CodeApprovalOther, c,
			"step %d: the approval is for something else", s.Seq)
	default:
		a.failCheck(provenance.CheckApprovals, CodeApprovalSignature, c, "step %d: %v", s.Seq, err)
	}
}

func hasCode(err error, code auth.Code) bool {
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
