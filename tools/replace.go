package tools

import (
	"encoding/json"
	"errors"
	"math/big"
)

// A transaction that offers too little waits, and with it all that its account sends after it: a chain takes an
// account's nonces in order. So another with the same nonce takes its place, with higher fees: one of them is mined,
// and the others never. All that were signed for one payment are its attempts.

// MaxAttempts bounds the transactions that are signed for one payment.
const MaxAttempts = 16

// An Offer is what a waiting transaction offers for a unit of gas, in wei, beside what the chain asks.
type Offer struct {
	Nonce   uint64   // of the transaction
	Next    uint64   // the account's nonce that the chain takes next
	Cap     *big.Int // at most, the block's base fee included
	Base    *big.Int // that the newest block asked
	Block   uint64   // the newest
	Refused bool     // the node does not take it in the place of what it has: it offers too little more
}

// IsFirst says whether no earlier transaction of the account is waited for.
func (o *Offer) IsFirst() bool { return o.Nonce <= o.Next }

// IsTooLow says whether no block may take it as long as the base fee is what it is.
func (o *Offer) IsTooLow() bool { return o.Cap.Cmp(o.Base) < 0 }

// States of what is recorded of a transaction that waits.
const (
	StateReplaced = "replaced" // of a [Replacement]
	StateStuck    = "stuck"    // of a [Stuck]
)

// A Replacement is what is recorded before another transaction takes the place of one that waits. It reads as [Signed].
type Replacement struct {
	State string `json:"state"` // [StateReplaced]
	Signed
	Cancels bool   `json:"cancels,omitempty"` // it moves nothing
	By      string `json:"by"`                // [BySettings] or [ByOperator]
}

// Who had a transaction replaced.
const (
	BySettings = "settings"
	ByOperator = "operator"
)

// A Stuck is what is recorded of a transaction that waits, and that nothing is done about.
type Stuck struct {
	State string `json:"state"` // [StateStuck]
	Hash  string `json:"hash"`
	Why   string `json:"why"`      // one of the Stuck reasons, or the code of the [*Error] of [Follower.Replace]
	Cap   string `json:"max_fee"`  // wei for a unit of gas that it offers at most
	Base  string `json:"base_fee"` // that the newest block asked
	Block string `json:"block"`    // the newest
}

// Why nothing is done about a transaction that waits.
const (
	StuckSettings = "settings" // the settings leave it to a person
	StuckCeiling  = "ceiling"  // what it would take is above the operator's limit
	StuckAttempts = "attempts" // it was replaced as often as may be
	StuckGap      = "gap"      // its account has not sent what comes before it, and no run waits for that
)

// An Attempt is one transaction that was signed for a payment.
type Attempt struct {
	Signed
	Cancels bool
}

// ReadAttempt reads what is recorded of a signed transaction: what [Chain.Sign] returned, or a [Replacement].
func ReadAttempt(raw []byte) (Attempt, error) {
	var r Replacement
	if err := json.Unmarshal(raw, &r); err != nil || r.Hash == "" || r.Raw == "" {
		return Attempt{}, errors.New("it is no signed transaction")
	}
	return Attempt{r.Signed, r.Cancels}, nil
}

// Outbids says whether a price is at least an eighth above another, and above it at all: by that much nodes want a
// transaction to outbid the one whose place it takes. Most ask for a tenth.
func Outbids(price, other *big.Int) bool { return price.Cmp(Outbid(other)) >= 0 }

// Outbid returns the least price that is an eighth above another, and above it at all.
func Outbid(price *big.Int) *big.Int {
	more := new(big.Int).Add(price, big.NewInt(7))
	if more.Rsh(more, 3); more.Sign() == 0 {
		more.SetUint64(1)
	}
	return more.Add(more, price)
}
