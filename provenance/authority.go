package provenance

import (
	"errors"
	"fmt"
	"slices"
)

// MaxDelegations bounds how deep sub-agents may call sub-agents.
const MaxDelegations = 4

// maxRevocations bounds the revocations that one history names.
const maxRevocations = 16

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

func (d *Delegation) fields(c *coder) {
	f := c.open()
	c.version(&f, d.kind())
	c.int(&f, "at", &d.At)
	c.optBytes(&f, "sig", &d.Sig) // absent only in the bytes that are signed
	if c.mode != walking && len(d.Sig) != 0 && len(d.Sig) != 64 {
		c.fail(CodeSchemaRange, "a signature of %d bytes instead of 64", len(d.Sig))
	}
	if c.key(&f, "call", true, true) {
		d.Call.fields(c)
	}
	c.linkTo(&f, "from", &d.From)
	c.linkTo(&f, "agent", &d.Agent)
	c.bytes32(&f, "nonce", &d.Nonce)
	list(c, &f, "tools", &d.Tools, func(c *coder, s *string) { c.str(s, maxText) })
	sorted(c, "tools", d.Tools, func(s *string) string { return *s })
	c.text(&f, "issuer", &d.Issuer)
	c.text(&f, "caveats", &d.Caveats)
	c.int(&f, "expires", &d.Expires)
	c.close(&f)
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

func (r *Revocation) fields(c *coder) {
	f := c.open()
	c.version(&f, r.kind())
	c.int(&f, "at", &r.At)
	r.Sig = r.Sig.in(c, &f, "sig", true)
	optional(c, &f, "frame", &r.Frame, (*RevokedFrame).fields)
	c.linkTo(&f, "grant", &r.Grant)
	c.oneOf(&f, "method", &r.Method, RevokedTyped, RevokedText, RevokedSession, RevokedOperator)
	r.Message = r.Message.in(c, &f, "message", true)
	c.optLink(&f, "delegation", &r.Delegation)
	c.optLink(&f, "verification", &r.Verification)
	c.close(&f)
	if c.err == nil && c.mode != walking && r.Delegation.Defined() && r.Method == RevokedTyped {
		c.fail(CodeSchemaMissing, "method %s: what it signs names a session and no delegation", r.Method)
	}
	if c.err == nil && c.mode != walking && r.Verification.Defined() && r.Method != RevokedTyped && r.Method != RevokedText {
		c.fail(CodeSchemaMissing, "method %s: a chain is asked about what a wallet signed only", r.Method)
	}
	if c.err == nil && c.mode != walking && (r.Frame != nil) != (r.Method == RevokedSession) {
		c.fail(CodeSchemaMissing, "method %s: a frame goes with method session, and only with it", r.Method)
	}
}

func (r *RevokedFrame) fields(c *coder) {
	f := c.open()
	c.uint(&f, "seq", &r.Seq)
	c.linkTo(&f, "from", &r.From)
	c.bytes32(&f, "channel", &r.Channel)
	c.close(&f)
}

// delegations reads what a sub-agent's run acts under, up to the grant.
func (v *verifier) delegations() error {
	e := v.ev
	for at := e.Run.Delegation; at.Defined(); {
		if len(e.Delegations) == MaxDelegations {
			return &Fault{CodeDelegationDepth, at, "sub-agents are more than four deep"}
		}
		d := new(Delegation)
		err := v.record(at, d)
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
		return &Fault{CodeDelegationCall, e.Run.Delegation, "the delegation was made for another call than the one that opened the run"}
	}
	return nil
}

// beside reads the records that an event names besides its payloads.
func (v *verifier) beside(ev Event) error {
	switch ev := ev.(type) {
	case *Lapse:
		if ev.By.Defined() {
			return v.revocation(ev.By)
		}
	case *Verdict:
		if ev.Approval != nil {
			return v.verification(ev.Approval.Verification)
		}
	case *Result:
		if ev.Child.Defined() && v.car != nil {
			return v.other(ev.Child)
		}
	}
	return nil
}

func (v *verifier) revocation(l Link) error {
	if v.ev.Revocations[l] != nil {
		return nil
	}
	if len(v.ev.Revocations) == maxRevocations {
		return &Fault{CodeHistoryBound, l, "more revocations than one run can have"}
	}
	r := new(Revocation)
	if err := v.record(l, r); err != nil {
		return err
	}
	if r.Delegation.Defined() {
		if err := v.record(r.Delegation, new(Delegation)); err != nil {
			return err
		}
	}
	v.ev.Revocations[l] = r
	if err := v.verification(r.Verification); err != nil {
		return err
	}
	if r.Frame == nil || r.Frame.From == v.ev.Run.Grant || v.ev.Grants[r.Frame.From] != nil {
		return nil
	}
	g := new(Grant)
	if err := v.record(r.Frame.From, g); err != nil {
		return err
	}
	v.ev.Grants[r.Frame.From] = g
	return nil
}

// subAgent reads an agent that a tool calls, once, with its tools. An agent's CID rests on those of its sub-agents, so
// none can contain itself; tool bounds what all of them take.
func (v *verifier) subAgent(l Link) error {
	if v.ev.Agents[l] != nil {
		return nil
	}
	a := new(Agent)
	if err := v.record(l, a); err != nil {
		return err
	}
	v.ev.Agents[l] = a
	if v.tools += v.last; len(v.ev.Agents) > maxAgents {
		return &Fault{CodeLinksSize, l, "the agents that call one another are too many"}
	}
	for _, t := range a.Tools {
		if err := v.tool(t); err != nil {
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
		err = read(data, r, func(p *Payload) { ps = append(ps, p) })
	}
	for i := 0; err == nil && i < len(ps); i++ {
		err = e.openLeaf(ps[i])
	}
	if f, ok := errors.AsType[*Fault](err); ok {
		if f.Code == CodeSchemaVersion && otherKind(data, r) {
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
