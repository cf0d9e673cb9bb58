// Package tools says what a tool is.
//
// A [Spec] describes a tool: its arguments as a JSON Schema, the class of its effect, and which arguments move value.
// [Compile] turns it into a [Def], which reads a model's arguments strictly, resolves names by a pinned [Book], and
// gives typed values to the policies. All of that is pure, and a Def can be made again from a record, so an auditor
// reads the same arguments in the same way.
//
// A [Tool] is a Spec with something that does it; [Chain] and [Reconciler] are what it can do besides. The tools
// themselves live in the packages below this one, and [Func] makes one of a Go function. There is no registry: a
// program hands a list to the agent.
package tools

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// A Class says what repeating a call of the tool would do. A tool without a class is not accepted.
type Class string

// The five classes.
const (
	Read    Class = "read"  // no effect; run again freely
	Keyed   Class = "keyed" // the receiver honours the idempotency key; run again with the same key
	ChainTx Class = "chain" // signed, journalled, then broadcast; the same bytes are broadcast again
	Once    Class = "once"  // never run again after an intent; reconciled, or in doubt
	// A transaction that the user's own wallet signs and sends: what it sends is the wallet's approval of it. Names of
	// such tools begin with "wallet.", so that a grant says whose money moves.
	WalletTx Class = "wallet"
)

// Sends says whether a call of the class is a transaction.
func (c Class) Sends() bool { return c == ChainTx || c == WalletTx }

// A Spec describes a tool. It is data only.
type Spec struct {
	Name  string // "ns.verb": lower-case letters, digits, '_' in parts joined by '.', at most 64 bytes
	About string // one or two sentences for the model, at most 1024 bytes
	Class Class
	// Schema is a JSON Schema of the arguments: an object whose properties are of type string, integer, number, boolean,
	// object or array; objects have additionalProperties false, arrays have items. What cannot be typed so is opaque:
	// "x-opaque": true, beside which any other keywords may stand. They are for the model, and nothing enforces them:
	// an opaque value is any JSON of at most 8 KiB, 16 levels and 1,024 values.
	// A string property may have one of the formats
	//   "address": a 0x address with a valid EIP-55 checksum (or all lower case), or a name in the Book, in any case
	//   "token":   a symbol in the Book, in any case
	//   "amount":  a decimal number of whole tokens; "x-asset" names the token property that it counts
	//   "hash":    0x and 64 lower-case hex digits
	//   "block":   "latest" or a decimal number
	//   "thing":   the number of a thing of a collection: a decimal number of at most 256 bits, in a text
	//   "url":     an http or https URL without user and fragment; at most one property. Its host is what policies
	//              and the grant's hosts judge
	// An argument with "const" is the same in every call: it may be left out, and models are not told of it. An amount
	// with "x-allowance": true is not moved by the call, but the recipient may move it from then on. "x-contract" at the
	// top says which function of a contract a call of class ChainTx is: a [Contract]. "x-payment": "x402" there says that
	// a call of class Keyed pays for what its url answers: see [PaymentX402]; "erc7710", that one of class ChainTx pays
	// from another account: see [PaymentMandate]. "x-module" there says that a module computes
	// the results: see [KeyModule]. Besides, there are, as usual,
	// enum (of strings), minLength, maxLength, minimum, maximum, minItems, maxItems (1,024 if absent)
	// and description. Any other keyword is an error. Names of properties are letters, digits and '_', a letter first, so
	// that policies can say args.name, and args.name.member of an object. Policies do not see the elements of an array,
	// so these have no format but hash and block.
	Schema json.RawMessage
	Spend  *Spend // which arguments move value; required for ChainTx, nil if the tool moves none
	Book   *Book  // what names and symbols stand for; required if the schema has an address or token
	// Utterances are sentence patterns with {property} slots that mean this tool, for the planner. The words that they
	// begin with are also the orders by which a user asks for a call in so many words: see agent/loop.
	Utterances []string
	// Foreign says that About and the schema's descriptions are the words of somebody other than the operator, as those
	// of a server of tools are. A run that is offered such a tool has read untrusted content from its beginning.
	Foreign bool
	// Output says what the tool's results are worth. If nil anybody might have written them: they are untrusted.
	Output *Output
	// Clearance is the most secret that the tool may be given. What the user said goes to any tool, so that is the
	// least: label.Public and label.Session mean the same.
	Clearance label.Secrecy
	// Final says when a transaction's block counts for good, as [ParseFinality] reads it: the run waits until then, and
	// the tool is a [Follower]. If empty, the block that it is first found in does. Only for ChainTx.
	Final string
	// AskWallet says that each call needs the wallet's approval, whatever the policies permit besides.
	AskWallet bool
	// Definition names what Schema and About were made of, by its CID, if somebody else wrote it and the operator has
	// accepted it. It is "" of any other tool.
	Definition string
}

// An Output is the label of a tool's results.
type Output struct {
	Integrity label.Integrity // label.Tool for what the tool itself vouches for
	Secrecy   label.Secrecy
	// Origins says that a result names where it is from: "origins", a list of texts such as "web:example.com", is a
	// key of the JSON object. Otherwise the origin is the tool.
	Origins bool
	// Documents says that a result is a list of documents, each of which policies judge at the point retrieval before
	// a model sees it: "documents", a list of objects with the texts "cid", "source" and "text", and optionally
	// "integrity" and "secrecy", which make a document's label stricter than the tool's.
	Documents bool
}

// Spend names the arguments that say how much of what goes to whom. All three name properties of the schema itself, of
// formats amount, token and address.
type Spend struct{ Amount, Asset, To string }

// IsPartOf reports whether a call says more than what it moves: whether any other of its arguments is set.
func (s Spend) IsPartOf(a Args) bool {
	return slices.ContainsFunc(a.Values, func(v arg.Value) bool {
		return v.Set && v.Name != s.Amount && v.Name != s.Asset && v.Name != s.To
	})
}

// A Book pins what names and symbols mean on one chain. It is stored by its CID, so a name cannot change its
// meaning between a signature and an audit.
type Book struct {
	Chain  uint64                    `json:"chain"` // EIP-155 chain id
	Names  map[string]common.Address `json:"names"`
	Tokens map[string]Token          `json:"tokens"` // by symbol, upper case; the native coin has the zero address
}

// A Token is an asset on the book's chain: a fungible one, or a collection of things of which there is one each.
type Token struct {
	Address  common.Address `json:"address"`
	Decimals uint8          `json:"decimals"`
	// Things says that the contract is a collection of ERC-721: an amount of it counts things, and only a tool that names
	// one by its number moves it. In a book's JSON it is "standard": "erc721".
	Things bool `json:"-"`
}

// StandardThings is the standard of a collection, as books and settings write it.
const StandardThings = "erc721"

// Args are the arguments of one call, read against a [Def]: one value for each of its Params, in their order.
type Args struct {
	JSON   []byte // the canonical spelling: keys sorted, no white space, absent optional properties left out
	Values []arg.Value
	// The rest is what moves, if the Spec has a Spend.
	Amount    money.Amount
	To        common.Address
	Allowance bool   // Amount is what To may move from then on
	Lets      bool   // To is let take Amount, within the call: see [Contract]
	Thing     *Thing // which thing of a collection moves, if the asset is one; nil otherwise
	Host      string // of the URL, lower case and without the port, if the schema has a url and it is set
}

// Value returns the argument of that name; a zero one if the tool has none.
func (a Args) Value(name string) arg.Value {
	for _, v := range a.Values {
		if v.Name == name {
			return v
		}
	}
	return arg.Value{}
}

// A Tool does what its Spec says. The runtime calls it only for a call whose intent is in the journal.
type Tool interface {
	Spec() Spec
	// Call does the call and returns a JSON value. An [*Error] is told to the model, and says for certain that nothing
	// was done. Any other error is told as a plain "failed", with its text in the operator's log only; unless the
	// class is Read it leaves open whether the call happened, and what it would have moved stays counted.
	Call(ctx context.Context, in Input) ([]byte, error)
}

// An Input is what a tool gets.
type Input struct {
	Args Args
	Key  [32]byte // idempotency key, derived from the step's CID and the effect's place in it
	At   int64    // ms UTC, the time of that step: the same whenever the call is made again
	// Again says that an earlier process may have begun the call. Of class Keyed an [*Error] then says for certain that
	// nothing was done by that one either.
	Again bool
	// Found is what Reconcile returned of a call that did not happen. The tool says it in its result.
	Found []byte
	// Hosts are those that the wallet's grant lets a call reach, redirects included. If empty the grant adds nothing
	// to the operator's limits.
	Hosts []string
	Asker Asker // for whom the call is made
	// Wallet is the user's own, if it is of the tool's chain; of tools that send.
	Wallet common.Address
	// Foreseen is what [Chain.Simulate] said when the call was decided. Sign refuses what would move anything else now.
	Foreseen []byte
}

// An Asker is for whom a tool is called: what one may read, another may not.
type Asker struct {
	Wallet  string // see auth.Identity
	Session string // its CID
	Agent   string
	Step    uint64 // of the run, which holds the call
	Index   uint64 // its place there
}

// A Chain is a tool of class ChainTx. Its Call is never called.
type Chain interface {
	Tool
	// Simulate says what the transaction would do now, without doing it: a JSON object with at least the members of
	// [Foreseen]. It is decided by what would leave the account and what would arrive, so a simulation that does not say
	// both is refused.
	Simulate(ctx context.Context, in Input) ([]byte, error)
	// Account names the account that signs, CAIP-10 ("eip155:1337:0x..."); one at a time signs for it.
	Account() string
	// Sign makes the transaction with a nonce of at least floor, and does nothing else. It is of type 2 (EIP-1559) and
	// moves what the arguments say: auditors decode it.
	Sign(ctx context.Context, in Input, floor uint64) (Signed, error)
	// Send broadcasts s and waits for its inclusion. Called again with the same s it has no further effect and returns the
	// same receipt: a JSON object with at least the members of [Mined]. Of one that does not say what moved, or names no
	// block, nothing is known.
	Send(ctx context.Context, s Signed) ([]byte, error)
}

// A Follower is a [Chain] whose transactions can be looked at without waiting for them.
type Follower interface {
	Chain
	// Follow says how a payment stands now: attempts are the transactions that were signed for it, all with one nonce,
	// the newest last. The newest is broadcast if the chain does not know it; any of them may be the one that a block
	// takes. It may be called any number of times. An [*Error] means for certain that none has an effect and never will:
	// that is said by final blocks only.
	Follow(ctx context.Context, attempts []Signed, rule Finality) (Standing, error)
	// Replace makes another transaction with the nonce of attempts, which offers so much more than each of them that
	// nodes take it in their place, and does nothing else. It does the same as the newest of attempts; if cancel is set,
	// it uses the nonce and moves nothing. An [*Error] says why there is none, as that it would be too dear.
	Replace(ctx context.Context, attempts []Signed, cancel bool) (Signed, error)
}

// Signed is a transaction, ready to be broadcast any number of times.
type Signed struct {
	Account string `json:"account"` // CAIP-10
	Nonce   uint64 `json:"nonce"`
	Hash    string `json:"hash"` // 0x, 32 bytes
	Raw     string `json:"raw"`  // 0x, the signed transaction
}

// A Reconciler is a tool of class Once that can find out whether a call with the same Input happened.
type Reconciler interface {
	// Reconcile returns the outcome if the call is known to have happened. If it is known that it did not, out is what
	// that rests on, or nil: the call is then made with it as Found. An error means that it cannot be told: the call
	// stays in doubt. A [*FoundError] says on record what was asked.
	Reconcile(ctx context.Context, in Input) (out []byte, happened bool, err error)
}

// An Error is a failure that the model and the user may read.
type Error struct {
	Code    string // short and stable, e.g. "unknown_token", "insufficient_funds"
	Message string // one sentence with the next step
}

func (e *Error) Error() string { return e.Message }
