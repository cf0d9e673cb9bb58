package provenance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// MaxDelegations bounds how deep sub-agents may call sub-agents, and maxRevocations those that one history names.
const MaxDelegations, maxRevocations = 4, 16

// Codes of delegations that need nothing but the records.
const (
	CodeDelegationDepth Code = "delegation.depth" // more than four, one from another
	CodeDelegationFrom  Code = "delegation.from"  // it does not come from the run's grant
	CodeDelegationCall  Code = "delegation.call"  // it was made for another call than the one that opened the run
)

// A Delegation lets a sub-agent act within what its caller may. It only narrows: whoever acts under it is bound by its
// limits and by those of everything that it comes from, each judged by itself, so there is no way to write a wider one.
type Delegation struct {
	From    Link     // *Grant, or the *Delegation of the caller
	Call    Parent   // the call that it was made for; it is good for this one
	Agent   Link     // *Agent, who may act
	Tools   []string // that it may call; sorted
	Caveats string   // canonical JSON of its limits, as auth.Caveats has it
	Limits  Limits   // hard stops of the run and of all that it calls: what the caller has left for this call
	Own     bool     // the user's signed request asks for the call, so its input is the user's own words
	At      int64    // when it was made, ms UTC
	Expires int64    // ms UTC
	Nonce   [32]byte
	Issuer  string // did:key of the caller: the key under which the agents of a runtime act
	Sig     []byte // 64 bytes, the issuer's over Signed
}

// delegationContext separates a delegation's signature from every other use of the issuer's key.
const delegationContext = "writ/delegation/1\n"

// Signed returns the bytes that the issuer signs: delegationContext and the delegation's block without "sig".
func (d *Delegation) Signed() ([]byte, error) {
	bare := *d
	bare.Sig = nil
	b, err := Encode(&bare)
	if err != nil {
		return nil, err
	}
	return append([]byte(delegationContext), b.Data...), nil
}

func (d *Delegation) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, d.versionName())
	c.intField(&f, "at", &d.At)
	c.optionalBool(&f, "own", &d.Own)
	c.optionalBytes(&f, "sig", &d.Sig) // absent only in the bytes that are signed
	if c.Mode != dagcbor.Walking && len(d.Sig) != 0 && len(d.Sig) != 64 {
		c.failWith(CodeSchemaRange, "a signature of %d bytes instead of 64", len(d.Sig))
	}
	if c.codeKey(&f, "call", true, true) {
		d.Call.codeFields(c)
	}
	c.linkField(&f, "from", &d.From)
	c.linkField(&f, "agent", &d.Agent)
	c.bytes32Field(&f, "nonce", &d.Nonce)
	listField(c, &f, "tools", &d.Tools, func(c *coder, s *string) { c.CodeText(s, maxText) })
	requireSorted(c, "tools", d.Tools, func(s *string) string { return *s })
	c.textField(&f, "issuer", &d.Issuer)
	if c.codeKey(&f, "limits", true, true) {
		d.Limits.codeFields(c)
	}
	c.textField(&f, "caveats", &d.Caveats)
	c.intField(&f, "expires", &d.Expires)
	c.closeMap(&f)
}

// Who may end a session, and how it is shown that they did: [Revocation.Method].
const (
	RevokedTyped    = "eip712"   // the wallet signed typed data, Message
	RevokedText     = "eip191"   // the wallet signed a text, Message
	RevokedSession  = "session"  // a session key of the wallet signed the frame whose params are Message
	RevokedOperator = "operator" // the operator's key signed the text Message
)

// A Revocation ends a session, and with it everything that was delegated from it; or, with a Delegation, only that and
// what was delegated from it.
type Revocation struct {
	Grant   Link     // *Grant, of the session that ends, or that the delegation comes from
	At      int64    // ms UTC
	Method  string   // one of the Revoked constants
	Message *Payload // what was signed
	Sig     *Payload
	Frame   *RevokedFrame // RevokedSession only
	// Verification is what the chain said of a contract wallet's Sig; undefined for every other signer.
	Verification Link

	Delegation Link // *Delegation that ends; undefined if it is the whole session. Not with RevokedTyped
}

// A RevokedFrame is the rest of a signed request to revoke a session.
type RevokedFrame struct {
	From    Link // *Grant of the session whose key signed
	Seq     uint64
	Channel [32]byte
}

func (r *Revocation) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, r.versionName())
	c.intField(&f, "at", &r.At)
	r.Sig = r.Sig.codePayload(c, &f, "sig", true)
	optionalRecord(c, &f, "frame", &r.Frame, (*RevokedFrame).codeFields)
	c.linkField(&f, "grant", &r.Grant)
	c.choiceField(&f, "method", &r.Method, RevokedTyped, RevokedText, RevokedSession, RevokedOperator)
	r.Message = r.Message.codePayload(c, &f, "message", true)
	c.optionalLink(&f, "delegation", &r.Delegation)
	c.optionalLink(&f, "verification", &r.Verification)
	c.closeMap(&f)
	if c.Err == nil && c.Mode != dagcbor.Walking && r.Delegation.Defined() && r.Method == RevokedTyped {
		c.failWith(CodeSchemaMissing, "method %s: what it signs names a session and no delegation", r.Method)
	}
	if c.Err == nil && c.Mode != dagcbor.Walking && r.Verification.Defined() && r.Method != RevokedTyped &&
		r.Method != RevokedText {
		c.failWith(CodeSchemaMissing, "method %s: a chain is asked about what a wallet signed only", r.Method)
	}
	if c.Err == nil && c.Mode != dagcbor.Walking && (r.Frame != nil) != (r.Method == RevokedSession) {
		c.failWith(CodeSchemaMissing, "method %s: a frame goes with method session, and only with it", r.Method)
	}
}

func (r *RevokedFrame) codeFields(c *coder) {
	f := c.openMap()
	c.uintField(&f, "seq", &r.Seq)
	c.linkField(&f, "from", &r.From)
	c.bytes32Field(&f, "channel", &r.Channel)
	c.closeMap(&f)
}

// readDelegations reads what a sub-agent's run acts under, up to the grant.
func (v *verifier) readDelegations() error {
	e := v.ev
	for at := e.Run.Delegation; at.Defined(); {
		if len(e.Delegations) == MaxDelegations {
			return &Fault{CodeDelegationDepth, at, "sub-agents are more than four deep"}
		}
		d := new(Delegation)
		err := v.readRecord(at, d)
		if f, ok := errors.AsType[*Fault](err); ok && f.Code == CodeLinksKind && len(e.Delegations) > 0 {
			return &Fault{CodeDelegationFrom, at, "the delegations do not end at the run's grant"}
		}
		if err != nil {
			return err
		}
		e.Delegations, e.DelegationCIDs = append(e.Delegations, d), append(e.DelegationCIDs, at)
		if at = d.From; at == e.Run.Grant {
			break
		}
	}
	slices.Reverse(e.Delegations)
	slices.Reverse(e.DelegationCIDs)
	if n := len(e.Delegations); n > 0 && e.Delegations[n-1].Call != *e.Run.Parent {
		return &Fault{CodeDelegationCall, e.Run.Delegation,
			"the delegation was made for another call than the one that opened the run"}
	}
	return nil
}

// readRecordsOf reads the records that an event names besides its payloads.
func (v *verifier) readRecordsOf(ev Event) error {
	switch ev := ev.(type) {
	case *Ask: // what is not here of its thread is for agent/audit to name
		if ev.After.Defined() && v.car != nil && v.car.Has(ev.After) {
			v.addOther(ev.After, ev.Method == methodFork)
		}
	case *Reply: // likewise
		if ev.From != nil && v.car != nil && v.car.Has(ev.From.Head) {
			v.addOther(ev.From.Head, false)
		}
	case *Lapse:
		if ev.By.Defined() {
			return v.readRevocation(ev.By)
		}
	case *Verdict:
		if ev.Approval != nil {
			return v.readVerification(ev.Approval.Verification)
		}
	case *Result:
		if ev.Child.Defined() {
			v.addOther(ev.Child, false)
		}
	}
	return nil
}

func (v *verifier) readRevocation(l Link) error {
	if v.ev.Revocations[l] != nil {
		return nil
	}
	if len(v.ev.Revocations) == maxRevocations {
		return &Fault{CodeHistoryBound, l, "more revocations than one run can have"}
	}
	r := new(Revocation)
	if err := v.readRecord(l, r); err != nil {
		return err
	}
	if r.Delegation.Defined() {
		if err := v.readRecord(r.Delegation, new(Delegation)); err != nil {
			return err
		}
	}
	v.ev.Revocations[l] = r
	if err := v.readVerification(r.Verification); err != nil {
		return err
	}
	if r.Frame == nil || r.Frame.From == v.ev.Run.Grant || v.ev.Grants[r.Frame.From] != nil {
		return nil
	}
	g := new(Grant)
	if err := v.readRecord(r.Frame.From, g); err != nil {
		return err
	}
	v.ev.Grants[r.Frame.From] = g
	return nil
}

// readSubAgent reads an agent that a tool calls, once, with its tools. An agent's CID rests on those of its sub-agents,
// so none can contain itself; readTool bounds what all of them take.
func (v *verifier) readSubAgent(l Link) error {
	if v.ev.Agents[l] != nil {
		return nil
	}
	a := new(Agent)
	if err := v.readRecord(l, a); err != nil {
		return err
	}
	v.ev.Agents[l] = a
	if v.tools += v.last; len(v.ev.Agents) > maxAgents {
		return &Fault{CodeLinksSize, l, "the agents that call one another are too many"}
	}
	for _, t := range a.Tools {
		if err := v.readTool(t); err != nil {
			return err
		}
	}
	return nil
}

// maxAgents bounds the agents that one agent reaches by its tools, and with it how deep reading them goes.
const maxAgents = 64

// Source returns where the history was read from.
func (e *Evidence) Source() Source { return e.src }

// Record reads a record of another history that lies beside this one into r, with the payloads whose keys are known
// opened. Its bytes are checked against its CID, its form as any record's; nothing else is. The error is [ErrAbsent] if
// it is not there, else a [*Fault] or the source's.
func (e *Evidence) Record(c Link, r Record) error {
	data, err := e.src.Get(c)
	if _, checked := e.src.(*CAR); err == nil && !checked {
		err = checkHash(c, data)
	}
	if errors.Is(err, ErrWithheld) {
		err = ErrAbsent
	}
	var ps []*Payload
	if err == nil {
		err = Check(data)
	}
	if err == nil {
		err = readRecord(data, r, func(p *Payload) { ps = append(ps, p) })
	}
	for i := 0; err == nil && i < len(ps); i++ {
		err = e.openLeaf(ps[i])
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		if f.Code == CodeSchemaVersion && isOtherKind(data, r) {
			f.Code = CodeLinksKind
		}
		f.At = c
		return f
	}
	if err != nil {
		return fmt.Errorf("block %s: %w", c, err)
	}
	return nil
}
