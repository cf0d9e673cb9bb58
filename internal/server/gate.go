package server

import (
	"cmp"
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
	"github.com/writ-run/writ/internal/api"
)

// requireHost lets a request through only if it calls this server by one of its names. A page of another site that made
// its own name point here (DNS rebinding) sends that name.
func (s *Server) requireHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !s.hosts[strings.ToLower(strings.Trim(host, "[]"))] {
			s.metrics.refused.WithLabelValues("host").Inc()
			writeText(w, http.StatusMisdirectedRequest,
				"This server does not go by that name; the operator lists its names under hosts.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// requireLoopback lets only requests from this machine through, and none of a page, or of somebody else by a proxy that
// is on this machine.
func requireLoopback(next http.Handler, bodies map[string]int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() || len(r.Header["Origin"]) > 0 || isForwarded(r) {
			writeText(w, http.StatusForbidden, "This is for the operator: ask from this machine, and not through a proxy.")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, cmp.Or(bodies[r.URL.Path], 16<<10))
		next.ServeHTTP(w, r)
	})
}

// acceptSocket makes a socket of a request, or says why not. The handler returns at once: the socket has a goroutine of
// its own, in base, so that net/http's buffers are freed.
func (s *Server) acceptSocket(base context.Context) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p := s.checkHandshake(w, r)
		if p == nil {
			return
		}
		client := s.cfg.Proxies.clientOf(r)
		address := networkOf(client)
		network, _ := s.countSocket(networkName+address, s.cfg.Limits.PerNetwork)
		if network == nil {
			s.uncountSocket(p)
			s.refuseAddress(w, time.Second)
			return
		}
		ws, err := s.upgrader.Upgrade(w, r, nil) // answers the request itself if it fails
		if err != nil {
			s.uncountSocket(p)
			s.uncountSocket(network)
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
			s.uncountSocket(p)
			s.uncountSocket(network)
			ws.Close()
			return
		}
		go func() {
			defer s.wg.Done()
			defer s.uncountSocket(network)
			ctx := api.WithSource(api.WithAddress(base, address), client, originOf(r))
			s.serveSocket(ctx, ws, p, network, originOf(r))
		}()
	}
}

// checkHandshake returns the peer that a new socket is counted for, or answers with the reason why there will be none.
func (s *Server) checkHandshake(w http.ResponseWriter, r *http.Request) *peer {
	refuse := func(status int, reason, text string) *peer {
		s.metrics.refused.WithLabelValues(reason).Inc()
		writeText(w, status, text)
		return nil
	}
	if !s.isListed(r.Header["Origin"]) {
		return refuse(http.StatusForbidden, "origin",
			"Pages of this origin may not connect; the operator lists those that may under origins.")
	}
	if r.URL.RawQuery != "" { // a token in a URL ends up in logs
		return refuse(http.StatusBadRequest, "query", "Connect to /ws without a query; nothing secret belongs in a URL.")
	}
	if !websocket.IsWebSocketUpgrade(r) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		return refuse(http.StatusUpgradeRequired, "plain", "This address speaks WebSocket, and this was a plain request.\n"+
			"From a page: new WebSocket(\"wss://THIS-HOST/ws\", \""+wire.Subprotocol+"\").\n"+
			"Without a socket: POST "+wire.Path+", with Accept: text/event-stream for events.\n"+
			"How it goes on: /docs/protocol. A proxy in between must pass on the headers Upgrade and Connection.")
	}
	if !slices.Contains(websocket.Subprotocols(r), wire.Subprotocol) {
		return refuse(http.StatusBadRequest, "subprotocol", "Name the subprotocol "+wire.Subprotocol+".")
	}
	p, wait := s.countSocket("ip/"+networkOf(s.cfg.Proxies.clientOf(r)), s.cfg.Limits.PerAddress)
	if p == nil {
		s.refuseAddress(w, wait)
	}
	return p
}

// refuseAddress refuses a socket of an address that has too many, or none of its requests left.
func (s *Server) refuseAddress(w http.ResponseWriter, wait time.Duration) {
	s.metrics.refused.WithLabelValues("address").Inc()
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	writeText(w, http.StatusTooManyRequests, "Too many connections from this address; try again later.")
}

// networkOf returns what stands for a client's address: the address itself, or its /64 for IPv6.
func networkOf(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
