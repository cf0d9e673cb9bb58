package server

import (
	"context"
	"errors"
	"strings"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
)

// toWire is the only place where an error becomes words for a user. What it does not know shows nothing of itself and
// is in the log.
func (s *Server) toWire(ctx context.Context, method string, err error) *wire.Error {
	if e, ok := errors.AsType[*wire.Error](err); ok {
		return e
	}
	if f, ok := errors.AsType[*auth.Fault](err); ok && !errors.Is(err, loop.ErrRevocation) {
		if errors.Is(err, auth.ErrUnavailable) {
			return s.unasked(ctx, method, f)
		}
		code := wire.CodeSignIn
		switch method {
		case wire.SessionAsk:
			code = wire.CodeParams
		case wire.SessionRevoke, wire.ApprovalDecide:
			code = wire.CodeSignature
		}
		e := wire.Errorf(code, "Not accepted: %s.", f.Error())
		e.Data.Reason = string(f.Code)
		return e
	}
	for _, known := range []struct {
		err  error
		code wire.Code
		text string
	}{
		{agent.ErrNotFound, wire.CodeNotFound, "There is nothing of that name here that is yours."},
		{agent.ErrSignature, wire.CodeSignature, "The request is not signed by the session that it names."},
		{agent.ErrConflict, wire.CodeConflict, "The idempotency key was used for another request; take a new one."},
		{agent.ErrBudget, wire.CodeBudget, "A limit of this session has no room left for this."},
		{agent.ErrIdle, wire.CodeExpired, "Your session was not used for too long. Sign in again."},
		{loop.ErrRevocation, wire.CodeSignature, "The revocation is not signed by the wallet of this session, a session key of it, or the operator."},
		{agent.ErrStale, wire.CodeExpired, "Your session has ended. Sign in again."},
		{agent.ErrFenced, wire.CodeFenced, "Another node has this run; ask again."},
		{agent.ErrSeq, wire.CodeConflict, "The run has moved on; look at it again."},
		{agent.ErrFull, wire.CodeOverload, "The server takes nothing more at the moment; try again later."},
		{agent.ErrClosed, wire.CodeOverload, "The server is stopping; connect again and repeat the request."},
		{context.DeadlineExceeded, wire.CodeUnknown, "It took too long, and may have happened; look before you ask again."},
		{context.Canceled, wire.CodeOverload, "The connection is ending; connect again and repeat the request."},
	} {
		if errors.Is(err, known.err) {
			e := wire.Errorf(known.code, "%s", known.text)
			switch known.err {
			case agent.ErrIdle:
				e.Data.Reason = "session.idle"
			case loop.ErrRevocation:
				e.Data.Reason = reasonOf(err)
			}
			return e
		}
	}
	s.log.ErrorContext(ctx, "call failed", "method", method, "err", err)
	return wire.Errorf(wire.CodeInternal, "Something went wrong on our side.")
}

// unasked is the answer to a contract wallet whose chain could not be asked. Which endpoints failed, and how, is in the
// log: their names are the operator's affair.
func (s *Server) unasked(ctx context.Context, method string, f *auth.Fault) *wire.Error {
	s.log.WarnContext(ctx, "contract wallet not asked", "method", method, "err", f.Unwrap())
	e := wire.Errorf(wire.CodeChain, "The signature is not one of the account's own key, and its chain could not be asked whether a contract accepts it. Try again later.")
	if method == wire.SessionOpen { // whose challenge is used up
		e.Message = strings.Replace(e.Message, "Try again later", "Ask for a new message later and sign that one", 1)
		e.Data.Retryable = false
	}
	e.Data.Reason = string(auth.CodeUnavailable)
	return e
}
