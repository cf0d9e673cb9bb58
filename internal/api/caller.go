package api

import (
	"crypto/rand"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/knownsig"
)

// A Transport says what a transport does for one of its callers.
type Transport struct {
	// Origin is that of the page that asks, as its browser names it, in lower case; empty if it is no page.
	Origin string
	// Private is set if nobody but the caller can send over its connection, as with a socket. A session that was opened
	// on it then needs no more proof for a call that only reads. Without it, each call that needs a session is signed.
	Private bool
	// Streams is set if the transport sends what a [Stream] gives.
	Streams bool
	// Channel is the caller's, if it follows from what the caller has signed; one of chance is made if it is zero.
	Channel [32]byte
	// Admit is asked before the caller gets a session, the first one or another of the same wallet. Its error is the
	// call's. It may be nil.
	Admit func(journal.Session) error
}

// A Caller is one end of one connection, or of what a transport has in a connection's place. Its channel is part of
// everything that is signed over it, so that nothing signed for one caller is good for another.
type Caller struct {
	api       *API
	transport Transport
	desk      *auth.Desk // of the page, or of all others
	channel   [32]byte
	signer    *signer // that seated it before any other call; nil if none has

	turn sync.Mutex // held while a signed request's number is checked and taken
	seq  uint64     // guarded by turn: of the last signed request

	mu      sync.Mutex
	seat    *seat              // guarded by mu; nil before a session is open
	streams map[string]*Stream // guarded by mu
	named   int                // guarded by mu: streams so far
	started journal.RunInfo    // guarded by mu: the newest run that it started, as it began
	calls   int                // guarded by mu: under way
}

// A seat is an open session with its key.
type seat struct {
	session journal.Session
	key     auth.PublicKey
	bound   *auth.Caveats // which say whence it may be used; nil if from anywhere
}

// NewCaller returns a caller with a channel of its own. The transport calls [Caller.Leave] when it is gone.
func (a *API) NewCaller(t Transport) *Caller {
	c := &Caller{api: a, transport: t, desk: a.cfg.Desk}
	if desk := a.cfg.Dapps[t.Origin]; desk != nil {
		c.desk = desk
	}
	if c.channel = t.Channel; c.channel == [32]byte{} {
		rand.Read(c.channel[:]) // never fails
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.callers[c] = struct{}{}
	return c
}

// Leave forgets the caller. What it has under way goes on. The streams of a private connection end with it; those of
// others end with the requests that carry them.
func (c *Caller) Leave() {
	c.api.mu.Lock()
	delete(c.api.callers, c)
	c.api.mu.Unlock()
	if !c.transport.Private {
		return
	}
	c.mu.Lock()
	streams := slices.Collect(maps.Values(c.streams))
	c.mu.Unlock()
	for _, s := range streams {
		s.Close()
	}
}

// Channel returns what names the caller in everything that it signs.
func (c *Caller) Channel() [32]byte { return c.channel }

// Session returns the session that is open, as it was last read, and false if none is.
func (c *Caller) Session() (journal.Session, bool) {
	seat := c.currentSeat()
	if seat == nil {
		return journal.Session{}, false
	}
	return seat.session, true
}

func (c *Caller) currentSeat() *seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seat
}

// takeSeat gives the caller a session. Another one may follow (after a renewal), of the same wallet only.
func (c *Caller) takeSeat(s *seat) error {
	if old := c.currentSeat(); old != nil && old.session.Owner() != s.session.Owner() {
		return wire.Errorf(wire.CodeForbidden, "This connection belongs to another wallet; connect anew.")
	}
	if admit := c.transport.Admit; admit != nil {
		if err := admit(s.session); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seat = s
	return nil
}

// countCall counts one more call as under way, if there may be one.
func (c *Caller) countCall() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if most := c.api.cfg.Limits.Calls; c.calls >= most {
		return wire.Errorf(wire.CodeTooMany, "%d calls are under way on this connection; wait for one to end.", most)
	}
	c.calls++
	return nil
}

func (c *Caller) endCall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls--
}

// verifyFrame checks a request's signature and takes its number.
func (c *Caller) verifyFrame(req wire.Request, session cid.Cid, key auth.PublicKey) (auth.Frame, error) {
	if req.Auth == nil {
		return auth.Frame{}, wire.Errorf(wire.CodeUnsigned, "%s must be signed by the session key; add auth.", req.Method)
	}
	if req.Params == nil {
		return auth.Frame{}, wire.Errorf(wire.CodeRequest, "A signed request has params, if only {}.")
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	if req.Auth.Seq != c.seq+1 {
		e := wire.Errorf(wire.CodeSeq, "The next signed request on this channel has seq %d.", c.seq+1)
		e.Data.Expected, e.Data.Reason = c.seq+1, "frame.skipped"
		if req.Auth.Seq <= c.seq {
			e.Data.Reason = "frame.replayed"
		}
		return auth.Frame{}, e
	}
	f := auth.Frame{
		Session: session, Channel: c.channel, Seq: req.Auth.Seq, Method: req.Method, Params: req.Params,
	}
	if err := knownsig.Verify(f, key, req.Auth.Sig); err != nil {
		e := wire.Errorf(wire.CodeSignature, "The signature is not the session key's over this request on this channel.")
		if e.Data.Reason = reasonOf(err); c.isForeign(f, key, req.Auth.Sig) {
			e.Data.Reason = "frame.channel"
		}
		return auth.Frame{}, e
	}
	c.seq++
	return f, nil
}

// isForeign says whether a frame was signed for another caller of the session. No frame of another channel holds here,
// whatever this says: it only names the reason.
func (c *Caller) isForeign(f auth.Frame, key auth.PublicKey, sig []byte) bool {
	for _, other := range c.api.listCallers() {
		if s, ok := other.Session(); other == c || !ok || s.ID != f.Session {
			continue
		}
		f.Channel = other.channel
		if f.Verify(key, sig) == nil {
			return true
		}
	}
	return false
}

func (a *API) listCallers() []*Caller {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*Caller, 0, len(a.callers))
	for c := range a.callers {
		list = append(list, c)
	}
	return list
}

// EndOf says how a session has ended, "revoked" or "expired"; empty if it has not.
func EndOf(s journal.Session, now time.Time) string {
	switch {
	case s.Revoked != 0:
		return "revoked"
	case now.UnixMilli() >= s.Expires:
		return "expired"
	}
	return ""
}

// endedError is what a call of a session that has ended is told.
func endedError(s journal.Session) error {
	if s.Revoked != 0 {
		return wire.Errorf(wire.CodeRevoked, "Your session was revoked. Sign in again.")
	}
	return wire.Errorf(wire.CodeExpired, "Your session has ended. Sign in again.")
}
