package server

import (
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/writ-run/writ/agent/wire"
)

// A peer is an address or a wallet, with its sockets and channels and its bucket of requests.
type peer struct {
	name     string
	sockets  int           // guarded by Server.mu
	channels []*channel    // guarded by Server.mu
	requests int           // guarded by Server.mu: posted and under way
	bucket   *rate.Limiter // Limits.Rate a second, Limits.Burst at once
}

// countSocket counts one more socket of a peer, if it may have one and has a request left; else it returns nil and how
// long to wait.
func (s *Server) countSocket(name string, limit int) (*peer, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peerOf(name)
	if p.sockets >= limit {
		return nil, time.Second
	}
	if wait := p.payTokens(1); wait > 0 {
		return nil, wait
	}
	p.sockets++
	return p, 0
}

// All sockets of one address together, whosever they are, have as many requests as this many wallets: wallets are made
// for nothing, and one client with many is still one.
const (
	networkName  = "net/"
	networkShare = 4
)

// peerOf returns the peer of a name. It needs mu.
func (s *Server) peerOf(name string) *peer {
	p := s.peers[name]
	if p == nil {
		share := 1
		if strings.HasPrefix(name, networkName) {
			share = networkShare
		}
		p = &peer{name: name, bucket: rate.NewLimiter(
			rate.Limit(s.cfg.Limits.Rate*float64(share)), s.cfg.Limits.Burst*share,
		)}
		s.peers[name] = p
	}
	return p
}

// uncountSocket takes one socket from a peer. Its bucket stays until it is full again, so that connecting anew buys no
// requests.
func (s *Server) uncountSocket(p *peer) {
	s.mu.Lock()
	p.sockets--
	s.mu.Unlock()
}

// prices are what calls cost that are no more than one request to the client, and more to the server: a message to sign
// is remembered for minutes, and a run is some steps on the disk, with models and tools. Others cost one.
var prices = map[string]int{wire.SessionAsk: 10, wire.RunStart: 5, wire.RunFork: 5}

// payRequest takes the price of a request from the bucket and returns 0, or returns how long it takes until there is
// enough.
func (p *peer) payRequest(method string) time.Duration {
	return p.payTokens(max(1, min(prices[method], p.bucket.Burst())))
}

// payTokens does not reserve what comes later: a peer that does not wait must not have to wait longer for that.
func (p *peer) payTokens(cost int) time.Duration {
	now := time.Now()
	if p.bucket.AllowN(now, cost) {
		return 0
	}
	missing := max(0, float64(cost)-p.bucket.TokensAt(now))
	return time.Duration(missing/float64(p.bucket.Limit())*float64(time.Second)) + time.Millisecond
}

// forgetPeers drops the peers that have no socket, no channel and a full bucket.
func (s *Server) forgetPeers(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, p := range s.peers {
		if p.sockets+p.requests+len(p.channels) == 0 && p.bucket.TokensAt(now) >= float64(p.bucket.Burst()) {
			delete(s.peers, name)
		}
	}
}

// rateError says that a rate was exceeded, and for how long.
func rateError(wait time.Duration) *wire.Error {
	e := wire.Errorf(wire.CodeRate, "Too many requests; wait %s and go on more slowly.", wait.Round(time.Millisecond))
	e.Data.RetryAfterMS = max(1, wait.Milliseconds())
	return e
}
