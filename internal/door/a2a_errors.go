package door

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/writ-run/writ/agent/wire"
)

// An agentError is an error as the Agent2Agent protocol tells it: by a code of JSON-RPC or a status of HTTP, and a
// reason that programs read (its sections 5.4, 9.5 and 11.6).
type agentError struct {
	code    int    // of JSON-RPC
	status  int    // of HTTP
	grpc    string // the status' name in google.rpc
	reason  string
	domain  string // whose reason it is
	message string
	field   string // the member that is wrong, if one is
	waitMS  int64
}

func (e *agentError) Error() string { return e.message }

// Domains of reasons.
const (
	agentDomain = "a2a-protocol.org"
	ownDomain   = "writ" // a reason is a code of docs/protocol.md
)

func newAgentError(code, status int, grpc, reason, message string) *agentError {
	return &agentError{code: code, status: status, grpc: grpc, reason: reason, domain: agentDomain, message: message}
}

var (
	errTask = newAgentError(-32001, http.StatusNotFound, "NOT_FOUND", "TASK_NOT_FOUND",
		"There is no such task, or it is not this key's.")
	errNotCancelable = newAgentError(-32002, http.StatusBadRequest, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE",
		"The task has ended.")
	errPush = newAgentError(-32003, http.StatusBadRequest, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED",
		"Nothing is pushed to clients; subscribe to the task, or ask for it again.")
	errEnded = newAgentError(-32004, http.StatusBadRequest, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION",
		"The task has ended; send a new message in its contextId.")
	errContent = newAgentError(-32005, http.StatusBadRequest, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED",
		"Only parts with a plain text are taken and given.")
	errVersion = newAgentError(-32009, http.StatusBadRequest, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED",
		"Only version 1.0 is spoken here; send the header A2A-Version: 1.0.")
	errAgentMethod = &agentError{code: -32601, status: http.StatusNotFound, grpc: "UNIMPLEMENTED",
		reason: "METHOD_NOT_FOUND", domain: ownDomain, message: "There is no such method."}
	errAgentRequest = &agentError{code: -32600, status: http.StatusBadRequest, grpc: "INVALID_ARGUMENT",
		reason: "INVALID_REQUEST", domain: ownDomain, message: "The body is not one request of JSON-RPC 2.0 with an id."}
	errAgentParse = &agentError{code: -32700, status: http.StatusBadRequest, grpc: "INVALID_ARGUMENT",
		reason: "PARSE_ERROR", domain: ownDomain,
		message: "The body is not JSON, or is larger than " + strconv.Itoa(maxBody>>10) + " KiB."}
)

// badField refuses a member of a request.
func badField(name, says string) *agentError {
	return &agentError{
		code: -32602, status: http.StatusBadRequest, grpc: "INVALID_ARGUMENT", reason: "INVALID_PARAMS", domain: ownDomain,
		message: fmt.Sprintf("%s: %s.", name, says), field: name,
	}
}

// agentErrorOf is any error of this server in the protocol's words.
func agentErrorOf(err error) *agentError {
	if e, ok := errors.AsType[*agentError](err); ok {
		return e
	}
	f, reason := failureOf(err), string(wire.CodeInternal)
	if own, ok := errors.AsType[*wire.Error](err); ok {
		reason = string(own.Data.Code)
	}
	if f.status == http.StatusNotFound {
		return errTask
	}
	return f.agentError(reason)
}

// agentError is a failure in the protocol's words.
func (f failure) agentError(reason string) *agentError {
	e := &agentError{
		code: -32000, status: f.status, grpc: "UNKNOWN", reason: reason, domain: ownDomain, message: f.message,
		waitMS: f.waitMS,
	}
	switch f.status {
	case http.StatusBadRequest:
		e.code, e.grpc = -32602, "INVALID_ARGUMENT"
	case http.StatusUnauthorized:
		e.grpc = "UNAUTHENTICATED"
	case http.StatusForbidden:
		e.grpc = "PERMISSION_DENIED"
	case http.StatusConflict:
		e.grpc = "ALREADY_EXISTS"
	case http.StatusUnsupportedMediaType:
		e.code, e.grpc, e.reason, e.domain = -32005, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED", agentDomain
	case http.StatusTooManyRequests:
		e.grpc = "RESOURCE_EXHAUSTED"
	case http.StatusServiceUnavailable:
		e.grpc = "UNAVAILABLE"
	default:
		if e.code, e.grpc = -32600, "INVALID_ARGUMENT"; f.status >= http.StatusInternalServerError {
			e.code, e.grpc = -32603, "INTERNAL"
		}
	}
	return e
}

// details are the objects that tell programs more (google.rpc.ErrorInfo and BadRequest).
func (e *agentError) details() []map[string]any {
	info := map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": e.reason, "domain": e.domain}
	if e.waitMS > 0 {
		info["metadata"] = map[string]string{"retryAfterMs": strconv.FormatInt(e.waitMS, 10)}
	}
	out := []map[string]any{info}
	if e.field != "" {
		out = append(out, map[string]any{
			"@type":           "type.googleapis.com/google.rpc.BadRequest",
			"fieldViolations": []map[string]string{{"field": e.field, "description": e.message}},
		})
	}
	return out
}

// describeRPC is the error of a response of JSON-RPC.
func (e *agentError) describeRPC() any {
	return map[string]any{"code": e.code, "message": e.message, "data": e.details()}
}

// describeStatus is the body of a response of HTTP.
func (e *agentError) describeStatus() any {
	return map[string]any{"error": map[string]any{
		"code": e.status, "status": e.grpc, "message": e.message, "details": e.details(),
	}}
}

// setHeaders says what HTTP has a header for.
func (e *agentError) setHeaders(h http.Header) {
	switch e.status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="writ"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", strconv.FormatInt(e.waitMS/1000+1, 10))
	}
}
