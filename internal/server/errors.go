package server

import (
	"context"
	"errors"

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
