package wire

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A Code is the stable name of an error, in data.code. Clients branch on it and never on the sentence.
type Code string

// The codes. Each stands for one JSON-RPC number and says whether the same call may succeed later.
const (
	CodeParse     Code = "parse_error"      // not JSON, bad UTF-8, doubled keys, too deep, null
	CodeRequest   Code = "invalid_request"  // JSON, but no request of this protocol
	CodeBatch     Code = "batch"            // an array of requests
	CodeMethod    Code = "method_not_found" // no such method
	CodeParams    Code = "invalid_params"   // a field is unknown, missing, or of a wrong form
	CodeInternal  Code = "internal"         // our fault
	CodeRate      Code = "rate_limited"     // data.retry_after_ms says when
	CodeRejected  Code = "user_rejected"    // the wallet's user said no (EIP-1193)
	CodeUnsigned  Code = "signature_missing"
	CodeSignature Code = "signature_wrong"   // not the session key's, or over other bytes
	CodeSeq       Code = "seq_wrong"         // replayed, skipped or reordered; data.expected is the next
	CodeNoSession Code = "session_required"  // open a session first
	CodeChannel   Code = "channel_unknown"   // HTTP: name a channel that hello opened; it may have been forgotten
	CodeExpired   Code = "session_expired"   // sign in again
	CodeRevoked   Code = "session_revoked"   // sign in again
	CodeElsewhere Code = "session_elsewhere" // it may be used from other networks or pages only
	CodeSignIn    Code = "sign_in_refused"   // the signed message does not hold; data.reason is the fault's own code
	// CodeChain: the chain of a contract wallet could not be asked, so that its signature was neither accepted nor
	// refused (EIP-1193, "chain disconnected").
	CodeChain     Code = "chain_unavailable"
	CodeForbidden Code = "not_permitted"    // the session does not cover this
	CodeDown      Code = "disconnected"     // the client's own: the socket is gone (EIP-1193)
	CodeNotFound  Code = "not_found"        // unknown, or another wallet's
	CodeDenied    Code = "policy_denied"    // data.rule is the rule
	CodeConflict  Code = "conflict"         // the idempotency key stands for another request; or decided already
	CodeBudget    Code = "budget_exhausted" // a cap has no room
	CodeFenced    Code = "run_fenced"       // another node owns the run; ask again
	CodeUnknown   Code = "outcome_unknown"  // it may or may not have happened; look before asking again
	CodeApproval  Code = "approval_wrong"   // signed over another call than the one that waits
	CodeLate      Code = "approval_late"    // the call waits for no answer any more
	CodeErased    Code = "erased"           // a part that it needs was erased or is withheld
	CodeRules     Code = "rules_refused"    // the operator's rules are not in order; only the operator can mend it
	CodeDamaged   Code = "damaged"          // the server's records do not hold; only the operator can mend it
	CodeOverload  Code = "overloaded"       // too much at once
	CodeTooMany   Code = "too_many"         // a bound of this connection is reached
	CodeQuota     Code = "quota_reached"    // a wallet or an address has had its share; data.retry_after_ms says when
)

type kind struct {
	number    int
	retryable bool
}

// kinds is all there is to say of a code.
var kinds = map[Code]kind{
	CodeParse:     {-32700, false},
	CodeRequest:   {-32600, false},
	CodeBatch:     {-32600, false},
	CodeMethod:    {-32601, false},
	CodeParams:    {-32602, false},
	CodeInternal:  {-32603, true},
	CodeRate:      {-32005, true}, // EIP-1474
	CodeRejected:  {4001, false},
	CodeUnsigned:  {4100, false},
	CodeSignature: {4100, false},
	CodeSeq:       {4100, true},
	CodeNoSession: {4100, false},
	CodeChannel:   {4100, true},
	CodeExpired:   {4100, false},
	CodeRevoked:   {4100, false},
	CodeElsewhere: {4100, false},
	CodeSignIn:    {4100, false},
	CodeChain:     {4901, true},
	CodeForbidden: {4100, false},
	CodeDown:      {4900, true},
	CodeNotFound:  {-32001, false}, // EIP-1474, "resource not found"
	CodeDenied:    {-32010, false},
	CodeConflict:  {-32011, false},
	CodeBudget:    {-32012, false},
	CodeFenced:    {-32013, true},
	CodeUnknown:   {-32014, false},
	CodeApproval:  {4100, false},
	CodeLate:      {-32011, false},
	CodeErased:    {-32001, false},
	CodeRules:     {-32017, false},
	CodeDamaged:   {-32018, false},
	CodeOverload:  {-32015, true},
	CodeTooMany:   {-32016, true},
	CodeQuota:     {-32019, true},
}

// An Error is what a call ends with when it does not succeed.
type Error struct {
	Number  int       `json:"code"`
	Message string    `json:"message"` // one sentence for a user, with the next step where there is one
	Data    ErrorData `json:"data"`
}

// ErrorData is what programs read of an [Error].
type ErrorData struct {
	Code         Code   `json:"code"`
	Retryable    bool   `json:"retryable"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
	Expected     uint64 `json:"expected,omitempty"` // CodeSeq: the seq that the channel expects
	Rule         string `json:"rule,omitempty"`     // CodeDenied: "layer/id"
	Reason       string `json:"reason,omitempty"`   // what is wrong with a message or signature, as package auth names it
}

// Error returns the message, a sentence for people.
func (e *Error) Error() string { return e.Message }

// Is says that two errors of one code are the same, so that errors.Is works on [Errorf] values.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Data.Code == e.Data.Code
}

// Errorf returns an error of a code with its sentence.
func Errorf(code Code, format string, args ...any) *Error {
	k := kinds[code]
	return &Error{Number: k.number, Message: fmt.Sprintf(format, args...),
		Data: ErrorData{Code: code, Retryable: k.retryable}}
}

func errorOfWire(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Errorf(CodeParse, "%v.", err)
}

// Codes lists all codes, sorted.
func Codes() []Code { return slices.Sorted(maps.Keys(kinds)) }
