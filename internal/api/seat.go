package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
)

// A signer is the frame that a caller was seated by, with its signature.
type signer struct {
	frame auth.Frame
	sig   []byte
}

// follows names the methods whose calls may follow from a signed request, by its own method: a client that has gone
// asks for nothing more, and a body in the form of another API stands for all that is to be done with it.
var follows = map[string][]string{wire.RunStart: {wire.RunCancel}}

func init() {
	for _, form := range []foreign.Form{foreign.Chat, foreign.Responses, foreign.Messages} {
		follows[string(form)] = []string{wire.RunStart, wire.ToolSent, wire.BlobPut, wire.RunCancel}
	}
}

// BeginFor is Begin of a call that is not signed itself: it follows from the request that the caller was seated by,
// with [API.SeatSigner]. What it starts has that request as its record.
func (a *API) BeginFor(ctx context.Context, c *Caller, req wire.Request) (*Call, *Answer) {
	refuse := func(err error, ended *journal.Session) (*Call, *Answer) {
		return nil, &Answer{Error: a.Explain(ctx, req.Method, err), Ended: ended}
	}
	by, to := c.signer, c.currentSeat()
	if by == nil || to == nil || !slices.Contains(follows[by.frame.Method], req.Method) {
		return refuse(wire.Errorf(wire.CodeUnsigned, "No signed request leads to %s; sign it.", req.Method), nil)
	}
	req.Auth = &wire.Auth{Seq: by.frame.Seq, Sig: by.sig}
	call := &Call{api: a, caller: c, method: a.methods[req.Method], req: req, seat: to, frame: by.frame}
	if err := useSession(ctx, call); err != nil {
		return refuse(err, call.ended)
	}
	if err := call.chargeBytes(ctx); err != nil {
		return refuse(err, nil)
	}
	if err := c.countCall(); err != nil {
		return refuse(err, nil)
	}
	call.counted = true
	return call, nil
}

// SeatSigner gives a caller the session of a frame that says all by itself who asks, as a signed HTTP request does: its
// channel must be the caller's. The frame's number is not taken, so that the call that it is can follow; it is checked
// again there.
func (a *API) SeatSigner(ctx context.Context, c *Caller, f auth.Frame, sig []byte) (wire.Session, *wire.Error) {
	s, err := a.seatSigner(ctx, c, f, sig)
	if err != nil {
		return wire.Session{}, a.Explain(ctx, f.Method, err)
	}
	return a.viewSession(s), nil
}

func (a *API) seatSigner(ctx context.Context, c *Caller, f auth.Frame, sig []byte) (journal.Session, error) {
	s, err := a.cfg.Runner.Session(ctx, f.Session)
	if err != nil {
		return s, err
	}
	to := seat{session: s}
	if to.key, err = auth.ParsePublicKey(s.Key); err != nil {
		return s, err
	}
	if f.Channel != c.channel {
		return s, wire.Errorf(wire.CodeChannel, "The request is for another channel.")
	}
	if err := f.Verify(to.key, sig); err != nil {
		e := wire.Errorf(wire.CodeSignature, "The signature is not that of the session's key over this request: %v.", err)
		e.Data.Reason = reasonOf(err)
		return s, e
	}
	if to.bound, err = sourcesOf(s); err != nil {
		return s, err
	}
	if err := to.checkSource(ctx); err != nil {
		return s, err
	}
	to.session, err = a.cfg.Runner.Use(ctx, f.Session)
	switch {
	case errors.Is(err, journal.ErrStale) && !errors.Is(err, journal.ErrEarly):
		return s, endedError(to.session)
	case err != nil:
		return s, err
	case EndOf(to.session, time.Now()) != "":
		return s, endedError(to.session)
	}
	c.signer = &signer{f, sig}
	return to.session, c.takeSeat(&to)
}
