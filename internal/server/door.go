package server

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/journal"
)

// openDoor makes what serves /v1/, if there is anything.
func (s *Server) openDoor() error {
	if s.cfg.Door == nil {
		return nil
	}
	door, err := s.cfg.Door(s.chargeWallet)
	if err != nil {
		return err
	}
	s.door = s.limitDoor(door)
	return nil
}

// limitDoor lets in what may be asked at /v1/, /mcp and /a2a: of no page but those that are listed, and of one address
// no more at once and in a second than anywhere else.
func (s *Server) limitDoor(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.isListed(r.Header["Origin"]) {
			s.refuseRequest(w, http.StatusForbidden, "origin",
				"Pages of this origin may not ask; the operator lists those that may under origins.")
			return
		}
		client := s.cfg.Proxies.clientOf(r)
		address := networkOf(client)
		p := s.beginRequest("ip/" + address)
		if p == nil {
			s.refuseRequest(w, http.StatusTooManyRequests, "requests",
				"Too many requests of this address are under way; wait for one to end.")
			return
		}
		defer s.endRequest(p)
		if wait := p.payRequest(priceOf(r.URL.Path)); wait > 0 {
			e := rateError(wait)
			w.Header().Set("Retry-After", strconv.FormatInt(e.Data.RetryAfterMS/1000+1, 10))
			writeText(w, http.StatusTooManyRequests, e.Message)
			return
		}
		ctx := api.WithSource(api.WithAddress(r.Context(), address), client, originOf(r))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// inDoorForm gives errors of what stands before the door the form that its clients read.
func (s *Server) inDoorForm(next http.Handler) http.Handler {
	if s.cfg.DoorForm == nil {
		return next
	}
	return s.cfg.DoorForm(next)
}

// priceOf says as which method a request is charged to its address. Outside /v1/ most are questions, and what is asked
// costs the wallet.
func priceOf(path string) string {
	if strings.HasPrefix(path, "/v1/") {
		return wire.RunStart
	}
	return wire.Ping
}

// chargeWallet takes the price of a method from a session's wallet, as of its sockets.
func (s *Server) chargeWallet(sess journal.Session, method string) error {
	s.mu.Lock()
	p := s.peerOf("wallet/" + sess.Owner())
	s.mu.Unlock()
	if wait := p.payRequest(method); wait > 0 {
		return rateError(wait)
	}
	return nil
}
