package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/writ-run/writ/agent/wire"
)

// named lets a request through only if it calls this server by one of its names. A page of another site that made
// its own name point here (DNS rebinding) sends that name.
func (s *Server) named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !s.hosts[strings.ToLower(strings.Trim(host, "[]"))] {
			s.metrics.refused.WithLabelValues("host").Inc()
			say(w, http.StatusMisdirectedRequest, "This server does not go by that name; the operator lists its names under hosts.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// local lets only requests from this machine through, and none of a page.
func local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() || len(r.Header["Origin"]) > 0 {
			say(w, http.StatusForbidden, "The operator's requests come from this machine.")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		next.ServeHTTP(w, r)
	})
}

// connect makes a socket of a request, or says why not. The handler returns at once: the socket has a goroutine of its
// own, in base, so that net/http's buffers are freed.
func (s *Server) connect(base context.Context) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := s.check(w, r)
		if p == nil {
			return
		}
		ws, err := s.upgrader.Upgrade(w, r, nil) // answers the request itself if it fails
		if err != nil {
			s.release(p)
			s.metrics.refused.WithLabelValues("handshake").Inc()
			return
		}
		s.mu.Lock()
		draining := s.draining
		if !draining {
			s.wg.Add(1) // under mu, so that a drain that comes now waits for this socket too
		}
		s.mu.Unlock()
		if draining { // the listener is closed, so this one came just before
			s.release(p)
			ws.Close()
			return
		}
		desk := s.cfg.Dapps[strings.ToLower(r.Header.Get("Origin"))]
		if desk == nil {
			desk = s.cfg.Desk
		}
		go func() {
			defer s.wg.Done()
			s.converse(base, ws, p, desk)
		}()
	}
}

// check returns the peer that a new socket is counted for, or answers with the reason why there will be none.
func (s *Server) check(w http.ResponseWriter, r *http.Request) *peer {
	refuse := func(status int, reason, text string) *peer {
		s.metrics.refused.WithLabelValues(reason).Inc()
		say(w, status, text)
		return nil
	}
	if o := r.Header["Origin"]; len(o) > 1 || len(o) == 1 && !s.origins[strings.ToLower(o[0])] {
		return refuse(http.StatusForbidden, "origin",
			"Pages of this origin may not connect; the operator lists those that may under origins.")
	}
	if r.URL.RawQuery != "" { // a token in a URL ends up in logs
		return refuse(http.StatusBadRequest, "query", "Connect to /ws without a query; nothing secret belongs in a URL.")
	}
	if websocket.IsWebSocketUpgrade(r) && !slices.Contains(websocket.Subprotocols(r), wire.Subprotocol) {
		return refuse(http.StatusBadRequest, "subprotocol", "Name the subprotocol "+wire.Subprotocol+".")
	}
	p, wait := s.admit("ip/"+network(r.RemoteAddr), s.cfg.Limits.PerAddress)
	if p == nil {
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		return refuse(http.StatusTooManyRequests, "address", "Too many connections from this address; try again later.")
	}
	return p
}

// network returns what stands for a client's address: the address itself, or its /64 for IPv6.
func network(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	a := ap.Addr().Unmap()
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// A peer is an address or a wallet, with its sockets and its token bucket. All fields are guarded by Server.mu.
type peer struct {
	name    string
	sockets int
	tokens  float64
	filled  time.Time
}

// admit counts one more socket of a peer, if it may have one and has a token left; else it returns nil and how long
// to wait.
func (s *Server) admit(name string, limit int) (*peer, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[name]
	if p == nil {
		p = &peer{name: name, tokens: s.cfg.Limits.Burst, filled: time.Now()}
		s.peers[name] = p
	}
	if p.sockets >= limit {
		return nil, time.Second
	}
	if wait := s.take(p, 1); wait > 0 {
		return nil, wait
	}
	p.sockets++
	return p, 0
}

// release takes one socket from a peer. Its bucket stays until it is full again, so that connecting anew buys no
// tokens.
func (s *Server) release(p *peer) {
	s.mu.Lock()
	p.sockets--
	s.mu.Unlock()
}

// challengeCost is what asking for a message to sign costs, in requests: each is remembered for minutes.
const challengeCost = 10

// spend takes the price of a request from a peer and returns 0, or returns how long it takes until there is enough.
func (s *Server) spend(p *peer, method string) time.Duration {
	cost := 1.0
	if method == wire.SessionAsk {
		cost = min(challengeCost, s.cfg.Limits.Burst)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.take(p, cost)
}

func (s *Server) take(p *peer, cost float64) time.Duration {
	s.fill(p)
	if p.tokens < cost {
		return time.Duration((cost-p.tokens)/s.cfg.Limits.Rate*float64(time.Second)) + time.Millisecond
	}
	p.tokens -= cost
	return 0
}

func (s *Server) fill(p *peer) {
	now := time.Now()
	p.tokens = min(s.cfg.Limits.Burst, p.tokens+now.Sub(p.filled).Seconds()*s.cfg.Limits.Rate)
	p.filled = now
}

// forget drops the peers that have no socket and a full bucket.
func (s *Server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, p := range s.peers {
		if s.fill(p); p.sockets == 0 && p.tokens == s.cfg.Limits.Burst {
			delete(s.peers, name)
		}
	}
}

// limited says that a rate was exceeded, and for how long.
func limited(wait time.Duration) *wire.Error {
	e := wire.Errorf(wire.CodeRate, "Too many requests; wait %s and go on more slowly.", wait.Round(time.Millisecond))
	e.Data.RetryAfterMS = max(1, wait.Milliseconds())
	return e
}
