package x402

import (
	"crypto/ecdsa"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
)

// MaxWindow is the longest that an authorisation may hold from the step on in which it was decided, in seconds.
const MaxWindow = 600

// A Payment is what a call's result says of its payment, as the member "payment".
type Payment struct {
	Version       int               `json:"x402"`
	Offer         json.RawMessage   `json:"offer"` // the terms, as the server offered them to the paying call
	Authorization authorizationJSON `json:"authorization"`
	Digest        string            `json:"digest"` // that was signed
	Signature     string            `json:"signature"`
	Says          *Says             `json:"server_says,omitempty"`
	Settled       Settled           `json:"settled"`
}

// Says is what the server says of the settlement: its word.
type Says struct {
	Success bool   `json:"success"`
	Tx      string `json:"tx,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Settled is where the chain shows that the authorisation was used.
type Settled struct {
	Chain     uint64    `json:"chain"`
	Block     string    `json:"block"`
	BlockHash string    `json:"block_hash"`
	Tx        string    `json:"tx"`
	Left      tools.Sum `json:"left"` // what left the account
}

// An Intent is a call that pays: what it says, its key, and when it was decided.
type Intent struct {
	Args tools.Args
	Key  [32]byte // which is the authorisation's nonce, so that a call that is made again pays once
	At   int64    // ms UTC
	Book *tools.Book
}

// CheckTerms says in an error why terms are not those of the call.
func (in *Intent) CheckTerms(t *Terms) error {
	token, ok := in.Book.Tokens[in.Args.Amount.Asset().Symbol]
	switch {
	case t.Chain != in.Book.Chain:
		return fmt.Errorf("they are of chain %d, and the call of chain %d", t.Chain, in.Book.Chain)
	case !ok || token.Address == (common.Address{}) || t.Asset != token.Address:
		return errors.New("they are of another asset than the call's")
	case t.PayTo != in.Args.To:
		return fmt.Errorf("they pay %s, and the call pays %s", t.PayTo.Hex(), in.Args.To.Hex())
	case *t.Amount != *in.Args.Amount.Uint256():
		return fmt.Errorf("they ask for %s, and the call says %s",
			money.FromUint256(in.Args.Amount.Asset(), t.Amount), in.Args.Amount)
	}
	return nil
}

// Authorize makes the authorisation that pays terms, which holds for at most so many seconds from the call's decision.
// Of the same terms it is the same whenever it is made.
func (in *Intent) Authorize(t *Terms, from common.Address, window int64) (*Authorization, error) {
	if err := in.CheckTerms(t); err != nil {
		return nil, err
	}
	end := in.At/1000 + min(t.Seconds, window, MaxWindow)
	return &Authorization{From: from, To: t.PayTo, Value: t.Amount, Before: uint64(end), Nonce: in.Key}, nil
}

// NewPayment signs an authorisation and begins what is recorded of it.
func NewPayment(t *Terms, a *Authorization, key *ecdsa.PrivateKey) (*Payment, []byte, error) {
	sig, err := a.Sign(t.Domain(), key)
	if err != nil {
		return nil, nil, err
	}
	return &Payment{
		Version: t.Version, Offer: t.Raw, Authorization: a.json(), Digest: a.Digest(t.Domain()).Hex(),
		Signature: "0x" + hex.EncodeToString(sig),
	}, sig, nil
}

// A Paid is a payment as a record shows it, checked against the call.
type Paid struct {
	Account common.Address // that signed
	Chain   uint64
	Nonce   [32]byte
	Token   common.Address
	To      common.Address
	Amount  money.Amount
	// Tx is said to have settled it, in the block of this number and hash.
	Tx, Block common.Hash
	Number    uint64
}

// Check reads the result of a call and checks that its payment is the call's: that what was posted is its body, and
// the terms, the authorisation, its signature and what is said to be settled are all of the same amount, asset and
// recipient. Whether the chain has the transaction is for who can ask it.
func (in *Intent) Check(result []byte) (*Paid, error) {
	var r struct {
		Payment *Payment `json:"payment"`
		Request *Request `json:"request"`
	}
	if json.Unmarshal(result, &r) != nil || r.Payment == nil {
		return nil, errors.New("the result has no payment")
	}
	if err := in.checkRequest(r.Request); err != nil {
		return nil, err
	}
	p := r.Payment
	if p.Version != 1 && p.Version != 2 {
		return nil, fmt.Errorf("the payment is of version %d", p.Version)
	}
	t, err := readTerms(p.Version, p.Offer)
	if err != nil {
		return nil, fmt.Errorf("the offer: %w", err)
	}
	if err := in.CheckTerms(t); err != nil {
		return nil, fmt.Errorf("the offer's terms are not the call's: %w", err)
	}
	a, err := p.Authorization.read()
	if err != nil {
		return nil, err
	}
	want, err := in.Authorize(t, a.From, MaxWindow)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Nonce != in.Key:
		return nil, errors.New("the authorisation's nonce is not the call's key")
	case a.To != want.To || *a.Value != *want.Value:
		return nil, errors.New("the authorisation is of another amount, or for somebody else, than the call")
	case a.Before > want.Before:
		return nil, errors.New("the authorisation holds for longer than the offer and its bound allow")
	}
	digest := a.Digest(t.Domain())
	sig, err := hex.DecodeString(strings.TrimPrefix(p.Signature, "0x"))
	if err != nil || p.Digest != digest.Hex() {
		return nil, errors.New("the digest is of another authorisation")
	}
	switch who, err := signerOf(digest, sig); {
	case err != nil:
		return nil, err
	case who != a.From:
		return nil, fmt.Errorf("%s signed the authorisation, and %s pays", who.Hex(), a.From.Hex())
	}
	s := p.Settled
	if s.Chain != in.Book.Chain || s.Left != tools.SumOf(in.Args.Amount) {
		return nil, errors.New("what is said to be settled is of another amount, asset or chain than the call")
	}
	if len(s.Tx) != 66 || len(s.BlockHash) != 66 || common.HexToHash(s.Tx).Hex() != s.Tx ||
		common.HexToHash(s.BlockHash).Hex() != s.BlockHash {
		return nil, errors.New("no transaction is named that has settled it")
	}
	number, err := strconv.ParseUint(s.Block, 10, 63)
	if err != nil {
		return nil, errors.New("no block is named that has settled it")
	}
	return &Paid{
		Account: a.From, Chain: in.Book.Chain, Nonce: a.Nonce, Token: t.Asset, To: a.To, Amount: in.Args.Amount,
		Tx: common.HexToHash(s.Tx), Block: common.HexToHash(s.BlockHash), Number: number,
	}, nil
}
