package server

import (
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/journal"
)

// A channel stands in the place of a socket for a client that posts its requests. Its name is chance that this server
// chose, and what is signed over it is numbered without gaps, so nothing can be replayed: not here, where the number is
// taken, and nowhere else, since the name is unknown there. It is in memory only; a client whose channel is forgotten,
// by time or a restart, opens another one and resumes its session on it.
type channel struct {
	caller  *api.Caller
	origin  string     // of the page that opened it; no other may use it
	opening sync.Mutex // held while a session is opened on it

	peer  *peer     // guarded by Server.mu; whose it counts for: the address's, then the wallet's
	used  time.Time // guarded by Server.mu: opened, or when the session's key last signed
	until time.Time // guarded by Server.mu: when it is forgotten
}

// openChannel makes a channel for an address. If that has too many without a session, its oldest one is forgotten.
func (d *postDoor) openChannel(r *http.Request, p *peer) (*channel, error) {
	now := time.Now()
	ch := &channel{origin: originOf(r), used: now, until: now.Add(d.srv.cfg.Limits.SignIn)}
	d.srv.mu.Lock()
	defer d.srv.mu.Unlock()
	if len(d.channels) >= d.srv.cfg.Limits.Channels {
		return nil, wire.Errorf(wire.CodeOverload,
			"The server has too many channels open; try again later, or connect to /ws.")
	}
	ch.caller = d.srv.cfg.API.NewCaller(api.Transport{Origin: ch.origin, Admit: ch.admitTo(d)})
	d.channels[ch.caller.Channel()] = ch
	d.srv.metrics.channels.Inc()
	d.moveChannel(ch, p, d.srv.cfg.Limits.PerAddress)
	return ch, nil
}

// admitTo returns what counts the channel for the wallet of a session that it gets.
func (ch *channel) admitTo(d *postDoor) func(journal.Session) error {
	return func(sess journal.Session) error {
		now := time.Now()
		d.srv.mu.Lock()
		defer d.srv.mu.Unlock()
		if d.channels[ch.caller.Channel()] != ch {
			return forgottenError()
		}
		ch.used, ch.until = now, now.Add(d.srv.cfg.Limits.Idle)
		if wallet := d.srv.peerOf("wallet/" + sess.Owner()); wallet != ch.peer {
			d.moveChannel(ch, wallet, d.srv.cfg.Limits.PerWallet)
		}
		return nil
	}
}

func forgottenError() *wire.Error {
	return wire.Errorf(wire.CodeChannel, "There is no such channel any more; call hello for one, and session.open on it.")
}

// moveChannel counts a channel for a peer, whose oldest one goes if it has too many. It needs mu.
func (d *postDoor) moveChannel(ch *channel, to *peer, most int) {
	d.uncountChannel(ch)
	if len(to.channels) >= most {
		d.dropChannel(slices.MinFunc(to.channels, func(a, b *channel) int { return a.used.Compare(b.used) }))
	}
	ch.peer = to
	to.channels = append(to.channels, ch)
}

// uncountChannel needs mu.
func (d *postDoor) uncountChannel(ch *channel) {
	if ch.peer != nil {
		ch.peer.channels = slices.DeleteFunc(ch.peer.channels, func(c *channel) bool { return c == ch })
		ch.peer = nil
	}
}

// dropChannel forgets a channel. It needs mu.
func (d *postDoor) dropChannel(ch *channel) {
	d.uncountChannel(ch)
	delete(d.channels, ch.caller.Channel())
	d.srv.metrics.channels.Dec()
	ch.caller.Leave()
}

// useChannel keeps a channel that its session's key has signed over, and lets the wallet pay for it: it returns 0, or
// how long until the wallet can.
func (d *postDoor) useChannel(ch *channel, method string) time.Duration {
	now := time.Now()
	d.srv.mu.Lock()
	ch.used, ch.until = now, now.Add(d.srv.cfg.Limits.Idle)
	p := ch.peer
	d.srv.mu.Unlock()
	if p == nil { // the peer was forgotten just now
		return 0
	}
	return p.payRequest(method)
}

// forgetChannels drops the channels whose time is over.
func (d *postDoor) forgetChannels(now time.Time) {
	d.srv.mu.Lock()
	defer d.srv.mu.Unlock()
	for _, ch := range d.channels {
		if now.After(ch.until) {
			d.dropChannel(ch)
		}
	}
}

// beginRequest counts one more posted request of an address as under way, or returns nil if it has too many.
func (s *Server) beginRequest(name string) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peerOf(name)
	if p.requests >= s.cfg.Limits.Requests {
		return nil
	}
	p.requests++
	return p
}

func (s *Server) endRequest(p *peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.requests--
}
