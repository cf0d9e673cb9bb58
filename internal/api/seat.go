package api

import (
	"context"
	"errors"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
)

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
	return to.session, c.takeSeat(&to)
}
