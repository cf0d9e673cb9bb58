// Package subject holds what a report says of itself and of what it is about: plain values, in the form that they have
// as JSON. Package provenance gives them their names.
package subject

import "encoding/hex"

// A Program is what has judged.
type Program struct {
	Name    string `json:"name"`
	Version string `json:"version"` // of its module, with the revision if that is known; "unknown" if nothing is
}

// An Input is something that the verifier was given, by what it was used as: its bytes, not its name.
type Input struct {
	Use    string `json:"use"` // "history", "keys", "operator_key", "log_key", "witness_policy", "receipt" or "checkpoint"
	SHA256 string `json:"sha256"`
	Bytes  int64  `json:"bytes"`
}

// NewInput describes what was read, by its SHA-256.
func NewInput(use string, sum []byte, size int64) Input {
	return Input{Use: use, SHA256: hex.EncodeToString(sum), Bytes: size}
}

// A Subject is what the history is about, as far as it could be read. What it says is no better than the checks.
type Subject struct {
	Wallet   string    `json:"wallet,omitempty"` // CAIP-10, of the permission; none if that is sealed or does not hold
	Grant    string    `json:"grant"`            // its CID: the session
	Agent    Named     `json:"agent"`
	Rules    []Rules   `json:"rules"`
	Runtime  Built     `json:"runtime"`
	Opened   string    `json:"opened"` // RFC 3339, by the operator's clock, as all times here but the report's own
	Newest   string    `json:"newest"` // when the head was signed
	Close    *Ended    `json:"close,omitempty"`
	Amounts  []Sums    `json:"amounts,omitempty"` // one an asset, sorted by it
	Keys     []KeyUsed `json:"keys,omitempty"`
	Asserted []Claimed `json:"asserted,omitempty"` // at most [MaxClaimed] kinds
	Others   Histories `json:"other_histories"`
}

// A Named is a record with a name.
type Named struct {
	Name string `json:"name"`
	CID  string `json:"cid"`
}

// Rules are one policy set that judged the run.
type Rules struct {
	Layer string `json:"layer"` // "operator" or "dapp"
	Named
}

// A Built is the program that ran, as it says.
type Built struct {
	CID     string `json:"cid"`
	Version string `json:"version"`
	Build   string `json:"build"`
}

// An Ended is how the run closed, with the sums of its close.
type Ended struct {
	Reason string `json:"reason"`
	Code   string `json:"code,omitempty"` // of the failure that it comes from
	Turns  uint64 `json:"turns"`
	Calls  uint64 `json:"calls"`
	In     uint64 `json:"in"`  // tokens
	Out    uint64 `json:"out"` // tokens
	Cost   int64  `json:"cost_nano_usd"`
}

// Sums are what became of one asset, in its units.
type Sums struct {
	Asset    string `json:"asset"`
	Decimals uint8  `json:"decimals"`
	// Reserved is the sum over the calls, for each the most that was reserved for it in one ledger. Settled and Over are
	// those of the close, sub-agents included. Moved is what left the account by the run's own mined transactions, as
	// their balances and events show; none if a receipt is sealed or says nothing.
	Reserved string `json:"reserved"`
	Settled  string `json:"settled,omitempty"`
	Over     string `json:"over,omitempty"`
	Moved    string `json:"moved,omitempty"`
}

// A KeyUsed is a key that something was checked by, and what makes it the right one.
type KeyUsed struct {
	Use   string `json:"use"`   // "wallet", "session", "operator", "operator_wallet" or "log"
	Key   string `json:"key"`   // an account as CAIP-10, a did:key, hex, or a log's verifier key
	Bound string `json:"bound"` // one of the Bound constants
}

// What makes a key the right one.
const (
	BoundGiven      = "given"          // the verifier was given it by another way than the evidence
	BoundByWallet   = "by_wallet"      // the wallet's permission names it
	BoundByRecord   = "by_record"      // the evidence names it and nothing else does: it may be anybody's
	BoundByOperator = "by_operator"    // the operator's wallet, which the verifier was given, has bound it
	BoundBySig      = "by_signature"   // the signature over the permission leads to it
	BoundByChain    = "by_chain"       // its chain was asked again
	BoundByWord     = "by_record_only" // its chain is said to have accepted it, and was not asked again
)

// A Claimed is a kind of outcome that nothing here shows but the operator's word, and how often it stands there.
type Claimed struct {
	What   string `json:"what"`   // "result" or "reply"; "others" for all kinds beyond the bound
	Of     string `json:"of"`     // the tool or the model
	Status string `json:"status"` // of a result its status, else "ok"
	Count  int    `json:"count"`
}

// MaxClaimed is how many kinds of outcomes a report lists; the others are counted as one, of "others".
const MaxClaimed = 64

// Histories are those beside the one that was asked for: of sub-agents, and of callers up to their calls. Structure is
// what was looked at in all of them; Judged says of how many the meaning was, too.
type Histories struct {
	Structure int `json:"structure"`
	Steps     int `json:"steps"`
	Judged    int `json:"judged"`
}
