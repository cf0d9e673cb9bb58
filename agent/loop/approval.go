package loop

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// ErrApproval says that an approval is for something else than the call that waits for it.
var ErrApproval = errors.New("the approval is for something else")

// ErrLate says that the wallet's answer comes for a call that does not wait for one any more, or never did.
var ErrLate = errors.New("no approval is sought for it")

// ApprovalOf returns what the wallet must sign to approve a seek: a function of the record, so that the runtime and
// an auditor arrive at the same, and a signature over anything else is none.
func ApprovalOf(
	g *auth.Grant, session, run, step provenance.Link, ref provenance.Ref, seek *provenance.Seek,
) (auth.Approval, error) {
	raw, ok := seek.Summary.Bytes()
	if !ok {
		return auth.Approval{}, fmt.Errorf("the summary of the approval: %w", ErrSealed)
	}
	var s Summary
	if err := json.Unmarshal(raw, &s); err != nil {
		return auth.Approval{}, fmt.Errorf("the summary of the approval: %w", err)
	}
	a := auth.Approval{
		Chain: g.Chain, Salt: auth.Salt(g.Scheme, g.Domain), Account: g.Account, Session: session, Run: run, Step: step,
		Effect: ref.Index, Tool: s.Tool, Args: sha256.Sum256(s.Args), Summary: s.Text,
		NotAfter: time.UnixMilli(seek.Until).UTC(),
	}
	if s.Units != "" {
		var err error
		if a.Amount, err = money.FromUnits(money.Asset{Symbol: s.Asset, Decimals: s.Decimals}, s.Units); err != nil {
			return auth.Approval{}, fmt.Errorf("the amount of the approval: %w", err)
		}
		a.Recipient = common.HexToAddress(s.To)
	}
	h := sha256.New()
	h.Write([]byte("writ/approval/1\n"))
	h.Write(step.Bytes())
	h.Write(binary.BigEndian.AppendUint64(nil, ref.Index))
	h.Sum(a.Nonce[:0])
	return a, nil
}

// CheckApproval says whether got is the account's signature over want, in time. ErrApproval, an auth.Fault, or
// ErrSealed. Of a contract wallet's signature it judges everything but what the contract says: that is for the chain to
// tell, and [auth.Approval.Question] is what to ask.
func CheckApproval(want auth.Approval, got *provenance.Approval, now time.Time) error {
	message, ok := got.Message.Bytes()
	if !ok {
		return fmt.Errorf("the approval: %w", ErrSealed)
	}
	sig, ok := got.Sig.Bytes()
	if !ok {
		return fmt.Errorf("the approval's signature: %w", ErrSealed)
	}
	own, err := want.MarshalJSON()
	if err != nil {
		return fmt.Errorf("the approval: %w", err)
	}
	if !bytes.Equal(own, message) {
		return ErrApproval
	}
	return want.VerifyAs(got.Method, sig, now)
}

// A Waiting is what a state knows of a call that waits for the wallet, besides the summary that is signed.
type Waiting struct {
	Args  tools.Args
	Pays  bool        // it moves value
	Book  *tools.Book // of its tool; nil if it has none
	Label label.Label // of its arguments
	Typed bool        // the user's own words ask for just this call
}

// Waiting returns the call that a seek is about; false if it does not wait any more. It is not to be changed.
func (s State) Waiting(seek provenance.Ref) (Waiting, bool) {
	c := s.findOpenCall(seek)
	if c == nil || c.phase != phaseSeek {
		return Waiting{}, false
	}
	spec := c.tool.spec
	return Waiting{Args: c.args, Pays: spec.Spend != nil, Book: spec.Book, Label: c.label, Typed: c.order >= 0}, true
}
