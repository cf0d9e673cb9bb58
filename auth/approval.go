package auth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

const (
	maxSummary = 1000 // bytes of an approval's summary
	maxReason  = 200  // bytes of a revocation's reason
)

// An Approval is what a wallet signs to let one effect of one run happen (EIP-712, type ToolApproval). It names the
// call by the hash of its arguments, so that a changed argument voids it, and the nonce makes it good for one use.
type Approval struct {
	Chain   uint64   // of the grant
	Salt    [32]byte // [Salt] of the grant's origin
	Account common.Address
	Session cid.Cid  // of the grant in use
	Run     cid.Cid  // the run
	Step    cid.Cid  // the newest step that was committed when it was asked for
	Effect  uint64   // which effect of the step that asks, from 0
	Tool    string   // its name
	Args    [32]byte // SHA-256 of the canonical arguments
	// Summary says in words what will happen: printable ASCII, at most 1,000 characters.
	Summary string
	// Amount is the most that may be spent; the zero Amount, without an asset, if the call spends nothing.
	Amount    money.Amount
	Recipient common.Address // who is paid; zero if nobody is
	NotAfter  time.Time      // when the approval is over; whole seconds, UTC
	Nonce     [32]byte       // random
}

// Digest returns what the wallet signs. It fails if the approval is not complete.
func (a Approval) Digest() ([32]byte, error) {
	if err := a.validate(); err != nil {
		return [32]byte{}, err
	}
	t := a.typedData()
	return t.signedDigest(), nil
}

// TypedData returns the argument of eth_signTypedData_v4, as JSON.
func (a Approval) TypedData() ([]byte, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	t := a.typedData()
	return t.encodeJSON()
}

// Verify checks that the account signed the approval and that it is not over at now. The error is a [*Fault].
func (a Approval) Verify(sig []byte, now time.Time) error {
	digest, err := a.Digest()
	if err != nil {
		return err
	}
	if now.After(a.NotAfter) {
		return newFault(CodeApprovalLate, "notAfter", "the time for this approval is over")
	}
	_, err = signedBy(a.Account, digest, sig)
	return err
}

// Question returns what a contract wallet's chain is asked about its signature over the approval. The account is part
// of what is signed, so a signature for one wallet of an owner counts for no other.
func (a Approval) Question(sig []byte) (Question, error) {
	digest, err := a.Digest()
	return Question{Chain: a.Chain, Account: a.Account, Hash: digest, Sig: sig, Spends: true}, err
}

// VerifyAs is [Approval.Verify] of a signature of the method given. For a contract wallet's method it checks the
// approval, its time and the signature's form, and leaves to the caller what only the chain can say.
func (a Approval) VerifyAs(method string, sig []byte, now time.Time) error {
	if method == MethodEOA {
		return a.Verify(sig, now)
	}
	q, err := a.Question(sig)
	if err != nil {
		return err
	}
	if now.After(a.NotAfter) {
		return newFault(CodeApprovalLate, "notAfter", "the time for this approval is over")
	}
	return q.isOf(method)
}

// Under checks that the approval belongs to the grant's account, chain and origin, and to a tool that it has.
func (a Approval) Under(g *Grant) error {
	if a.Account != g.Account || a.Chain != g.Chain || a.Salt != Salt(g.Scheme, g.Domain) || !g.Has(a.Tool) {
		return newFault(CodeApprovalElse, "approval",
			"it was made for another account, chain, origin or tool than the grant's")
	}
	return nil
}

func (a *Approval) validate() error {
	asset := a.Amount.Asset()
	switch {
	case !a.Session.Defined() || !a.Run.Defined() || !a.Step.Defined():
		return newFault(CodeApprovalForm, "approval", "session, run or step is missing")
	case a.Chain == 0 || a.Chain > maxChain || a.Effect > maxChain:
		return newFault(CodeApprovalForm, "approval", "chain or effect is out of range")
	case !arg.IsToolName(a.Tool):
		return newFault(CodeApprovalForm, "tool", "not the name of a tool")
	case !isPrintable(a.Summary, maxSummary) || a.Summary == "":
		return newFault(CodeApprovalForm, "summary", "not 1 to %d printable ASCII characters", maxSummary)
	case asset != (money.Asset{}) && !asset.Valid(), asset == (money.Asset{}) && !a.Amount.IsZero():
		return newFault(CodeApprovalForm, "asset", "a bad symbol or too many decimals")
	case !isWholeSecond(a.NotAfter):
		return newFault(CodeApprovalForm, "notAfter", "not a whole second after 1970")
	}
	return nil
}

func (a *Approval) typedData() typed {
	return typed{name: "ToolApproval", chain: a.Chain, salt: a.Salt, fields: []member{
		addressOf("account", a.Account),
		stringOf("session", a.Session.String()),
		stringOf("run", a.Run.String()),
		stringOf("step", a.Step.String()),
		uint64Of("effect", a.Effect),
		stringOf("tool", a.Tool),
		bytes32Of("argsHash", a.Args),
		stringOf("summary", a.Summary),
		stringOf("asset", a.Amount.Asset().Symbol),
		uint64Of("decimals", uint64(a.Amount.Asset().Decimals)),
		uintOf("maxAmount", a.Amount.Uint256()),
		addressOf("recipient", a.Recipient),
		uint64Of("notAfter", uint64(a.NotAfter.Unix())),
		bytes32Of("nonce", a.Nonce),
	}}
}

// approvalJSON has its fields in the order of RFC 8785.
type approvalJSON struct {
	Account   string `json:"account"`
	ArgsHash  string `json:"argsHash"`
	Asset     string `json:"asset"`
	ChainID   uint64 `json:"chainId"`
	Decimals  uint8  `json:"decimals"`
	Effect    uint64 `json:"effect"`
	MaxAmount string `json:"maxAmount"`
	Nonce     string `json:"nonce"`
	NotAfter  int64  `json:"notAfter"` // s
	Recipient string `json:"recipient"`
	Run       string `json:"run"`
	Salt      string `json:"salt"`
	Session   string `json:"session"`
	Step      string `json:"step"`
	Summary   string `json:"summary"`
	Tool      string `json:"tool"`
}

// MarshalJSON returns the canonical JSON of the approval, domain included: what is recorded.
func (a Approval) MarshalJSON() ([]byte, error) {
	if err := a.validate(); err != nil {
		return nil, err
	}
	return plainJSON(approvalJSON{
		Account: a.Account.Hex(), ArgsHash: hex32(a.Args), Asset: a.Amount.Asset().Symbol, ChainID: a.Chain,
		Decimals: a.Amount.Asset().Decimals, Effect: a.Effect, MaxAmount: a.Amount.Units(), Nonce: hex32(a.Nonce),
		NotAfter: a.NotAfter.Unix(), Recipient: a.Recipient.Hex(), Run: a.Run.String(), Salt: hex32(a.Salt),
		Session: a.Session.String(), Step: a.Step.String(), Summary: a.Summary, Tool: a.Tool,
	})
}

// UnmarshalJSON reads an approval with its keys in any order and spacing, and no others. For a record, where one
// approval must have one spelling, use [ParseApproval].
func (a *Approval) UnmarshalJSON(data []byte) error {
	var j approvalJSON
	d, err := newDecoder(data, &j)
	if err != nil {
		return err
	}
	amount, err := money.FromUnits(money.Asset{Symbol: j.Asset, Decimals: j.Decimals}, j.MaxAmount)
	d.checkField(err == nil, "maxAmount")
	*a = Approval{
		Chain: j.ChainID, Salt: d.readHash("salt", j.Salt), Account: d.readAddress("account", j.Account),
		Session: d.readLink("session", j.Session), Run: d.readLink("run", j.Run), Step: d.readLink("step", j.Step),
		Effect: j.Effect, Tool: j.Tool, Args: d.readHash("argsHash", j.ArgsHash), Summary: j.Summary, Amount: amount,
		Recipient: d.readAddress("recipient", j.Recipient), NotAfter: time.Unix(j.NotAfter, 0).UTC(),
		Nonce: d.readHash("nonce", j.Nonce),
	}
	if d.err != nil {
		return d.err
	}
	return a.validate()
}

// ParseApproval reads the canonical JSON of an approval, and no other spelling of it.
func ParseApproval(data []byte) (Approval, error) {
	var a Approval
	return a, parseCanonical(data, &a)
}

// A Revocation is what a wallet signs to end a session (EIP-712, type Revocation). Sending it again changes nothing,
// so it has no nonce.
type Revocation struct {
	Chain    uint64   // of the grant
	Salt     [32]byte // [Salt] of the grant's origin
	Account  common.Address
	Session  cid.Cid
	Reason   string    // printable ASCII, at most 200 characters; may be empty
	IssuedAt time.Time // whole seconds, UTC
}

// Digest returns what the wallet signs. It fails if the revocation is not complete.
func (r Revocation) Digest() ([32]byte, error) {
	if err := r.validate(); err != nil {
		return [32]byte{}, err
	}
	t := r.typedData()
	return t.signedDigest(), nil
}

// TypedData returns the argument of eth_signTypedData_v4, as JSON.
func (r Revocation) TypedData() ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	t := r.typedData()
	return t.encodeJSON()
}

// Verify checks that the account signed the revocation. The error is a [*Fault].
func (r Revocation) Verify(sig []byte) error {
	digest, err := r.Digest()
	if err != nil {
		return err
	}
	_, err = signedBy(r.Account, digest, sig)
	return err
}

// Question returns what a contract wallet's chain is asked about its signature over the revocation. One endpoint's word
// is enough: it moves no value.
func (r Revocation) Question(sig []byte) (Question, error) {
	digest, err := r.Digest()
	return Question{Chain: r.Chain, Account: r.Account, Hash: digest, Sig: sig}, err
}

// Under checks that the revocation belongs to the grant's account, chain and origin.
func (r Revocation) Under(g *Grant) error {
	if r.Account != g.Account || r.Chain != g.Chain || r.Salt != Salt(g.Scheme, g.Domain) {
		return newFault(CodeApprovalElse, "revocation", "it was made for another account, chain or origin than the grant's")
	}
	return nil
}

func (r *Revocation) validate() error {
	switch {
	case !r.Session.Defined():
		return newFault(CodeApprovalForm, "session", "it is missing")
	case r.Chain == 0 || r.Chain > maxChain:
		return newFault(CodeApprovalForm, "chainId", "it is out of range")
	case !isPrintable(r.Reason, maxReason):
		return newFault(CodeApprovalForm, "reason", "not at most %d printable ASCII characters", maxReason)
	case !isWholeSecond(r.IssuedAt):
		return newFault(CodeApprovalForm, "issuedAt", "not a whole second after 1970")
	}
	return nil
}

func (r *Revocation) typedData() typed {
	return typed{name: "Revocation", chain: r.Chain, salt: r.Salt, fields: []member{
		addressOf("account", r.Account),
		stringOf("session", r.Session.String()),
		stringOf("reason", r.Reason),
		uint64Of("issuedAt", uint64(r.IssuedAt.Unix())),
	}}
}

type revocationJSON struct {
	Account  string `json:"account"`
	ChainID  uint64 `json:"chainId"`
	IssuedAt int64  `json:"issuedAt"` // s
	Reason   string `json:"reason"`
	Salt     string `json:"salt"`
	Session  string `json:"session"`
}

// MarshalJSON returns the canonical JSON of the revocation, domain included: what is recorded.
func (r Revocation) MarshalJSON() ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	return plainJSON(revocationJSON{
		Account: r.Account.Hex(), ChainID: r.Chain, IssuedAt: r.IssuedAt.Unix(), Reason: r.Reason,
		Salt: hex32(r.Salt), Session: r.Session.String(),
	})
}

// UnmarshalJSON reads a revocation with its keys in any order and spacing, and no others. For a record, use
// [ParseRevocation].
func (r *Revocation) UnmarshalJSON(data []byte) error {
	var j revocationJSON
	d, err := newDecoder(data, &j)
	if err != nil {
		return err
	}
	*r = Revocation{
		Chain: j.ChainID, Salt: d.readHash("salt", j.Salt), Account: d.readAddress("account", j.Account),
		Session: d.readLink("session", j.Session), Reason: j.Reason, IssuedAt: time.Unix(j.IssuedAt, 0).UTC(),
	}
	if d.err != nil {
		return d.err
	}
	return r.validate()
}

// ParseRevocation reads the canonical JSON of a revocation, and no other spelling of it.
func ParseRevocation(data []byte) (Revocation, error) {
	var r Revocation
	return r, parseCanonical(data, &r)
}

func parseCanonical(data []byte, v interface {
	json.Marshaler
	json.Unmarshaler
}) error {
	if len(data) > MaxMessage {
		return newFault(CodeApprovalForm, "message", "it has %d bytes; at most %d are read", len(data), MaxMessage)
	}
	if err := v.UnmarshalJSON(data); err != nil {
		return err
	}
	again, err := v.MarshalJSON()
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return newFault(CodeApprovalForm, "message", "it is not spelt canonically")
	}
	return nil
}

// strictJSON reads one JSON value without unknown keys. Duplicate keys, white space and other spellings are found by
// writing the value again.
func strictJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return newFault(CodeApprovalForm, "message", "not JSON with exactly the keys of this message")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return newFault(CodeApprovalForm, "message", "something follows the JSON")
	}
	return nil
}

// A decoder reads the texts of a typed message. The first error sticks.
type decoder struct{ err error }

func newDecoder(data []byte, v any) (*decoder, error) {
	if err := strictJSON(data, v); err != nil {
		return nil, err
	}
	return new(decoder), nil
}

func (d *decoder) checkField(ok bool, field string) {
	if !ok && d.err == nil {
		d.err = newFault(CodeApprovalForm, field, "it is missing or not of its form")
	}
}

func (d *decoder) readHash(field, s string) (out [32]byte) {
	digits, ok := strings.CutPrefix(s, "0x")
	b, err := hex.DecodeString(digits)
	ok = ok && err == nil && len(b) == 32
	if d.checkField(ok, field); ok {
		copy(out[:], b)
	}
	return out
}

func (d *decoder) readAddress(field, s string) common.Address {
	a, ok := parseAddress(s)
	d.checkField(ok, field)
	return a
}

func (d *decoder) readLink(field, s string) cid.Cid {
	c, err := parseLink(linkPrefix + s)
	d.checkField(err == nil, field)
	return c
}

func hex32(b [32]byte) string { return "0x" + hex.EncodeToString(b[:]) }

func isPrintable(s string, limit int) bool {
	return len(s) <= limit && allBytes(s, func(c byte) bool { return c >= ' ' && c <= '~' })
}

func isWholeSecond(t time.Time) bool {
	return t.Unix() > 0 && t.Unix() <= maxChain && t.Nanosecond() == 0
}
