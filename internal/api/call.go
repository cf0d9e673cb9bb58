package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
)

// A Call is a request that was taken in, with what is known of who asks it.
type Call struct {
	api    *API
	caller *Caller
	method method
	req    wire.Request
	seat   *seat      // nil if no session is open
	frame  auth.Frame // what was signed; only if the request was

	streams bool             // the transport sends what a stream gives for this call, if not for all
	from    *wire.From       // where a stream goes on, if the params do not say
	ended   *journal.Session // that the call has ended
	counted bool             // as one of the caller's that are under way
}

// An Answer is what became of a call. Either Error is set or Result is.
type Answer struct {
	Result any
	Error  *wire.Error
	// Stream goes with the result of run.subscribe. The transport pulls it after it has sent the result, and closes it.
	Stream *Stream
	// Ended is a session that this call ended or found ended. The transport sends the answer first, then lets go of
	// every connection that has the session open.
	Ended *journal.Session
}

// Begin takes in a request: it finds the method, says who asks, and counts the call as under way. Requests of one
// caller begin in the order in which they came. Either a Call is returned, on which Run must then be called, or the
// Answer to a request that is refused.
func (a *API) Begin(ctx context.Context, c *Caller, req wire.Request) (*Call, *Answer) {
	refuse := func(err error, ended *journal.Session) (*Call, *Answer) {
		return nil, &Answer{Error: a.Explain(ctx, req.Method, err), Ended: ended}
	}
	m, ok := a.methods[req.Method]
	if !ok {
		return refuse(wire.Errorf(wire.CodeMethod, "There is no method of that name; rpc.discover lists them."), nil)
	}
	call := &Call{api: a, caller: c, method: m, req: req, seat: c.currentSeat()}
	if !call.ComesFirst() { // the caller of session.open is named in its params, which are not read yet
		if err := call.authenticate(ctx); err != nil {
			return refuse(cmp.Or(a.ChargeBytes(ctx, call.size()), err), call.ended)
		}
	}
	// Only now, so that the number of a signed request is used up whatever becomes of it.
	if err := call.chargeBytes(ctx); err != nil {
		return refuse(err, nil)
	}
	// Where anybody can send, what nobody has proven to come from the caller must not keep its own calls from running.
	if call.counted = !call.ComesFirst() && (c.transport.Private || call.frame.Method != ""); call.counted {
		if err := c.countCall(); err != nil {
			return refuse(err, nil)
		}
	}
	return call, nil
}

// ComesFirst says whether the call must have run before the caller's next request begins: what follows the opening of
// a session counts on it.
func (c *Call) ComesFirst() bool { return c.req.Method == wire.SessionOpen }

// Revokes says whether the caller's own session key has signed that a session of its wallet ends: maybe its own, whose
// connection the transport then keeps until the answer is sent.
func (c *Call) Revokes() bool { return c.req.Method == wire.SessionRevoke && c.frame.Method != "" }

// authenticate says who asks.
func (c *Call) authenticate(ctx context.Context) error {
	private, signed := c.caller.transport.Private, c.req.Auth != nil
	if !private && !signed {
		defer func() { c.seat = nil }() // knowing a channel's name proves nothing
	}
	switch access := c.method.access; {
	case access == wire.Signed, access == wire.Either && signed:
	case access == wire.Either, access == wire.Anyone && !signed:
		if c.seat != nil && c.seat.checkSource(ctx) != nil {
			c.seat = nil // who asks is anybody, since the session may not be used from here
		}
		return nil
	case private && signed:
		return wire.Errorf(wire.CodeRequest, "%s is not a signed method; leave auth out.", c.req.Method)
	case private && c.seat != nil:
		return c.seat.checkSource(ctx)
	}
	if c.seat == nil {
		return wire.Errorf(wire.CodeNoSession, "Open a session first.")
	}
	if err := c.seat.checkSource(ctx); err != nil {
		return err
	}
	var err error
	if c.frame, err = c.caller.verifyFrame(c.req, c.seat.session.ID, c.seat.key); err != nil {
		return err
	}
	return useSession(ctx, c)
}

// useSession reads the session anew: it may have ended since the last call, here or on another node.
func useSession(ctx context.Context, c *Call) error {
	s, err := c.api.cfg.Runner.Use(ctx, c.seat.session.ID)
	if errors.Is(err, journal.ErrStale) && !errors.Is(err, journal.ErrEarly) {
		c.ended = &s
		return endedError(s)
	}
	if err != nil {
		return err
	}
	c.seat = &seat{s, c.seat.key, c.seat.bound}
	return nil
}

// AllowStream says that the transport sends what a [Stream] gives for a call, and where that is to go on if the params
// do not say; nil for the start.
func AllowStream(c *Call, from *wire.From) { c.streams, c.from = true, from }

// Drop gives up a call that is not to run. If it was signed, its number is used up all the same, and is returned.
func (c *Call) Drop() (seq uint64) {
	c.endCall()
	return c.frame.Seq
}

func (c *Call) endCall() {
	if c.counted {
		c.caller.endCall()
	}
}

// Run performs the call. What was signed is carried through, whatever becomes of ctx.
func (c *Call) Run(ctx context.Context) Answer {
	result, err := c.runMethod(ctx)
	c.endCall()
	if err != nil {
		return Answer{Error: c.api.Explain(ctx, c.req.Method, err), Ended: c.ended}
	}
	if s, ok := result.(*Stream); ok {
		return Answer{Result: s.answer, Stream: s}
	}
	return Answer{Result: result, Ended: c.ended}
}

// runMethod runs the method. A panic in it must not end everybody's runs.
func (c *Call) runMethod(ctx context.Context) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.api.log.ErrorContext(ctx, "panic", "method", c.req.Method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			result, err = nil, wire.Errorf(wire.CodeInternal, "Something went wrong on our side.")
		}
	}()
	if a := c.method.access; a == wire.Signed || a == wire.Either {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), c.api.cfg.Limits.Act)
		defer cancel()
	}
	return c.method.run(ctx, c)
}
