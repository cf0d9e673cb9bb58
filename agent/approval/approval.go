// Package approval is what a wallet is asked about a call: the summary that it is shown, the message that it signs, and
// whether a signature is over just that. All of it follows from the record, so runtime and auditor arrive at the same.
package approval

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// ErrOther says that an approval is for something else than the call that waits for it.
var ErrOther = errors.New("the approval is for something else")

// A Summary is what the wallet is shown before it approves a call, recorded as canonical JSON.
type Summary struct {
	Text     string          `json:"text"` // one line: what would be done
	Tool     string          `json:"tool"`
	Args     json.RawMessage `json:"args"`
	Amount   string          `json:"amount,omitempty"` // "5 USDC": the most that the wallet allows
	Asset    string          `json:"asset,omitempty"`  // "USDC"
	Units    string          `json:"units,omitempty"`  // the amount in the asset's smallest units
	Decimals uint8           `json:"decimals,omitempty"`
	To       string          `json:"to,omitempty"`      // 0x address
	Changes  json.RawMessage `json:"changes,omitempty"` // what the simulation showed
	// What it comes to: what would leave the account, what would arrive, and whether that was read or computed.
	Debit     string `json:"debit,omitempty"`
	Credit    string `json:"credit,omitempty"`
	Simulated string `json:"simulated,omitempty"`
	// Where that is not what the call says: what the call says, what would leave beyond it, and how many transfers go
	// to others or are of other assets, allowances included.
	Asked   string   `json:"asked,omitempty"`
	Over    string   `json:"over,omitempty"`
	Others  int64    `json:"others,omitempty"`
	Origins []string `json:"origins,omitempty"` // of the arguments, if that is why the wallet is asked
	Readers []string `json:"readers,omitempty"` // the tools that would be given them, and those behind an agent
	Rules   []string `json:"rules"`             // that ask for the approval
	Why     []string `json:"why"`
}

// Encode writes a summary with the call's arguments byte for byte as they are in the call: the approval's
// argsHash is the hash of the canonical arguments.
func (s Summary) Encode() ([]byte, error) { return strictjson.Marshal(s) }

// Of returns what the wallet must sign to approve a seek: a function of the record, so that the runtime and
// an auditor arrive at the same, and a signature over anything else is none.
func Of(
	g *auth.Grant, session, run, step provenance.Link, ref provenance.Ref, seek *provenance.Seek,
) (auth.Approval, error) {
	raw, ok := seek.Summary.Bytes()
	if !ok {
		return auth.Approval{}, fmt.Errorf("the summary of the approval: %w", definition.ErrSealed)
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

// Check says whether got is the account's signature over want, in time: [ErrOther], an auth.Fault, or
// [definition.ErrSealed]. Of a contract wallet's signature it judges all but what the contract says: that is for the
// chain to tell, and [auth.Approval.Question] is what to ask.
func Check(want auth.Approval, got *provenance.Approval, now time.Time) error {
	message, ok := got.Message.Bytes()
	if !ok {
		return fmt.Errorf("the approval: %w", definition.ErrSealed)
	}
	sig, ok := got.Sig.Bytes()
	if !ok {
		return fmt.Errorf("the approval's signature: %w", definition.ErrSealed)
	}
	own, err := want.MarshalJSON()
	if err != nil {
		return fmt.Errorf("the approval: %w", err)
	}
	if !bytes.Equal(own, message) {
		return ErrOther
	}
	return want.VerifyAs(got.Method, sig, now)
}
