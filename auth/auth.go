// Package auth turns a wallet's signature into a permission, and a permission into proof that an act was allowed.
//
// The server writes the exact text that a wallet signs: [Desk.Challenge] makes an EIP-4361 message (Sign-In with
// Ethereum) whose statement is generated from the [Caveats] that will be enforced, whose last resource is an ERC-5573
// ReCap holding the same caveats as data, and whose URI is a session key. [Desk.Open] takes the signed text back,
// once, and returns a [Grant]. From then on the session key signs each request as a [Frame], so neither the text nor
// the wallet's signature is worth anything to a thief. What a grant leaves to the wallet is asked for with an
// EIP-712 [Approval]; a [Revocation] ends it.
//
// [Verify] checks a signed message against what the verifier expects of it; all of [Expect] is mandatory, so nothing
// can be forgotten. [Reread] is the auditor's half: all that can be checked years later with nothing but the bytes.
//
// A wallet may be a contract. Then its chain is asked, through [Contracts], which the caller brings: [Check] says
// whether an account signed, by its key or by its contract. An account's own key never needs a chain.
//
// Texts are read by this package's own byte-exact parser, [Parse]; the signature is checked over the bytes received,
// never over a text written anew. The siwe-go library gives a second opinion, and a message on which the two readers
// differ is refused. Every refusal is a [*Fault] with a stable [Code].
//
// The package is pure: no clock, no network, no files; time comes in as values and chance through an io.Reader.
// Values are safe for use by many goroutines once made.
package auth

import (
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"
)

// A Grant is a wallet's permission for one agent, proven by the wallet's signature. Only [Verify], [Reread] and
// [Desk.Open] make one. Its slices must not be changed.
type Grant struct {
	Account   common.Address // whose permission it is
	Chain     uint64         // EIP-155 id; the message's, and one of Caveats.Chains
	Scheme    string         // "https" or "http"
	Domain    string         // where it was asked for, with the port if it has one
	URI       string         // did:key of Key; or the origin, and Key stands in the ReCap
	Nonce     string
	RequestID string
	Key       PublicKey // the session key: it signs each request
	Agent     string    // the agent's name
	AgentCID  cid.Cid   // the agent's version
	RulesCID  cid.Cid   // the operator's policy set
	Tools     []string  // what the agent may call; sorted, no duplicates
	Caveats   Caveats
	Issued    time.Time // UTC, whole seconds or finer as the message has them
	NotBefore time.Time // UTC; Issued if the message names none
	Expires   time.Time // UTC; the grant is over at this instant
	Message   []byte    // the exact bytes that were signed
	Sig       []byte    // MethodEOA: 65 bytes, r, s, and v as 27 or 28; else as the wallet made it
	Method    string    // how Sig was checked
	// Verified is what the chain said, for a method other than MethodEOA and only from [Desk.Open].
	Verified *Verification
}

// WalletOn returns the wallet if it is of a chain, and the zero address if not.
func (g *Grant) WalletOn(chain uint64) (wallet common.Address) {
	if g.Chain == chain {
		wallet = g.Account
	}
	return wallet
}

// Identity returns whose grant it is; see [Identity].
func (g *Grant) Identity() string { return Identity(g.Method, g.Chain, g.Account) }

// Origin returns the page for which the grant was signed: scheme://domain.
func (g *Grant) Origin() string { return g.Scheme + "://" + g.Domain }

// Spends says whether the grant lets anything be spent.
func (g *Grant) Spends() bool { return len(g.Caveats.MaxTotal) > 0 }

// Question returns what the account's contract is asked about the grant, at the sign-in and later again. For MethodEOA
// there is nothing to ask.
func (g *Grant) Question() Question { return g.questionOf(textDigest(g.Message)) }

func (g *Grant) questionOf(hash [32]byte) Question {
	return Question{Chain: g.Chain, Account: g.Account, Hash: hash, Sig: g.Sig, Spends: g.Spends()}
}

// Has says whether the grant lets its agent call the tool.
func (g *Grant) Has(tool string) bool { return containsSorted(g.Tools, tool) }

// A Fault says why something was refused. Code is for programs; Error is one sentence for people. It never holds a
// key, and of foreign text it quotes single characters only.
type Fault struct {
	Code   Code
	Field  string // which field, e.g. "statement"; empty if it is none in particular
	Line   int    // of the message, from 1; 0 if it is none in particular
	Column int    // where in the line the value begins that is wrong, or its byte if one is; from 1, 0 without a line
	Detail string // what is wrong

	cause error
}

// Error says where the fault is and what is wrong. Code.Next says what to do.
func (f *Fault) Error() string {
	s := f.Detail
	if f.Field != "" {
		s = f.Field + ": " + s
	}
	if f.Line > 0 {
		s = fmt.Sprintf("line %d, %s", f.Line, s)
	}
	return s
}

// Unwrap returns what lies behind the fault: [ErrNonce], [ErrUnavailable] or nothing.
func (f *Fault) Unwrap() error { return f.cause }

func newFault(code Code, field, format string, args ...any) *Fault {
	return &Fault{Code: code, Field: field, Detail: fmt.Sprintf(format, args...)}
}

// A Code is the stable name of a reason to refuse. Codes are never renamed; the vectors in testdata list them.
type Code string

// The text is not a message of EIP-4361.
const (
	CodeSize            Code = "message.size"     // longer than MaxMessage
	CodeASCII           Code = "message.ascii"    // a byte that is neither printable ASCII nor LF
	CodeLine            Code = "message.line"     // a line is missing, extra, or out of its place
	CodeSchemeForm      Code = "scheme.form"      // not an RFC 3986 scheme
	CodeDomainForm      Code = "domain.form"      // not an RFC 3986 authority with a host
	CodeAddressForm     Code = "address.form"     // not 0x and 40 hex digits
	CodeAddressChecksum Code = "address.checksum" // EIP-55 capitals are wrong
	CodeStatementChar   Code = "statement.char"   // a character outside the statement's alphabet
	CodeURIForm         Code = "uri.form"         // not an absolute RFC 3986 URI
	CodeVersion         Code = "version.unknown"  // not 1
	CodeChainForm       Code = "chain.form"       // not a decimal number, or with a leading zero
	CodeChainRange      Code = "chain.range"      // 0, or more than 2^53 - 1
	CodeNonceForm       Code = "nonce.form"       // not 8 to 128 letters and digits
	CodeTimeForm        Code = "time.form"        // not an RFC 3339 date-time that exists
	CodeRequestIDForm   Code = "request_id.form"  // a character that is no pchar of RFC 3986, or too long
	CodeResourceForm    Code = "resource.form"    // not "- " and an absolute URI
	CodeResourceCount   Code = "resource.count"   // more than MaxResources
)

// The second reader, siwe-go, does not agree with the first.
const (
	CodeSecondRefuses Code = "second.refuses" // siwe-go cannot read the message
	CodeSecondDiffers Code = "second.differs" // siwe-go reads something else in it
	CodeSecondPanics  Code = "second.panics"  // siwe-go panicked, which was caught
)

// The message is well-formed, but it is not the one expected.
const (
	CodeExpect          Code = "expect.missing"      // the verifier left a field of Expect empty: a fault of the program
	CodeScheme          Code = "scheme.mismatch"     //
	CodeDomain          Code = "domain.mismatch"     //
	CodeAccount         Code = "account.mismatch"    //
	CodeAddressReserved Code = "address.reserved"    // the zero address or a precompile
	CodeURI             Code = "uri.mismatch"        //
	CodeChain           Code = "chain.mismatch"      // not the chain expected, or not one of the caveats'
	CodeNonce           Code = "nonce.mismatch"      //
	CodeRequestID       Code = "request_id.mismatch" //
	CodeAgent           Code = "agent.mismatch"      // another agent, or another version of it
	CodeRules           Code = "rules.mismatch"      // another policy set
	CodeExpiryMissing   Code = "time.no_expiry"      //
	CodeTimeOrder       Code = "time.order"          // the message ends before it begins
	CodeTimeLife        Code = "time.life"           // valid for longer than MaxLife
	CodeIssued          Code = "time.issued"         // issued in the future, or longer ago than IssuedWithin
	CodeEarly           Code = "time.early"          // before its Not Before
	CodeExpired         Code = "time.expired"        //
)

// The ReCap, the caveats or the statement are wrong.
const (
	CodeResources      Code = "resource.shape"     // not agent, rules and ReCap, in this order
	CodeRecapMissing   Code = "recap.missing"      //
	CodeRecapPlace     Code = "recap.place"        // not the last resource
	CodeRecapCount     Code = "recap.count"        // more than one
	CodeRecapBase64    Code = "recap.base64"       // padded, of another alphabet, or with bits left over
	CodeRecapJSON      Code = "recap.json"         // not JSON of the expected shape
	CodeRecapUnknown   Code = "recap.unknown"      // an ability or caveat that this program does not know
	CodeRecapCanonical Code = "recap.canonical"    // right, but not in its one canonical spelling
	CodeCaveats        Code = "caveats.range"      // a limit that is missing, out of bounds, unsorted or contradictory
	CodeSentence       Code = "caveats.sentence"   // the limits do not fit the sentence
	CodeStatement      Code = "statement.mismatch" // not the text generated from the ReCap
	CodeKeyForm        Code = "key.form"           // not a did:key, or not the one spelling of a proper key
	CodeKeyCodec       Code = "key.codec"          // a did:key of a kind of key that is not known here
)

// The signature is wrong.
const (
	CodeSigHex     Code = "sig.hex"     // not 0x and hex digits
	CodeSigSize    Code = "sig.size"    // not of the length that its kind has
	CodeSigV       Code = "sig.v"       // v is none of 27, 28, 0 and 1
	CodeSigRange   Code = "sig.range"   // r or s is 0, or not less than the curve's order
	CodeSigHighS   Code = "sig.high_s"  // s is in the upper half: a second form of a signature
	CodeSigRecover Code = "sig.recover" // no key could have made it
	CodeSigSigner  Code = "sig.signer"  // made by another key, or over other bytes
	CodeSigMethod  Code = "sig.method"  // a way of signing that this program does not know, or not that of this signature
)

// The signature of a contract wallet.
const (
	CodeSigWrapper  Code = "sig.wrapper"       // the magic value of EIP-6492 over something else than its encoding
	CodeSigContract Code = "sig.contract"      // the account's contract does not accept it
	CodeUnavailable Code = "chain.unavailable" // the account's chain could not be asked; no answer
)

// The desk, frames and approvals.
const (
	CodeNonceUsed    Code = "nonce.used"       // never issued on this connection, used before, or expired
	CodeAltered      Code = "message.altered"  // not byte for byte what was issued
	CodeApprovalForm Code = "approval.form"    // not one canonical approval or revocation
	CodeApprovalLate Code = "approval.expired" //
	CodeApprovalElse Code = "approval.grant"   // made for another account, chain or origin than the grant's
)
