package server

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/strictjson"
)

// A postDoor answers requests that are posted, and keeps the channels that stand in the place of sockets.
type postDoor struct {
	srv      *Server
	channels map[[32]byte]*channel // guarded by srv.mu
}

// addRoutes adds the routes of requests that are posted.
func (d *postDoor) addRoutes(mux *http.ServeMux) {
	mux.Handle("POST "+wire.Path, d.srv.requireHost(http.HandlerFunc(d.servePost)))
	mux.Handle("OPTIONS "+wire.Path, d.srv.requireHost(http.HandlerFunc(d.serveOptions)))
}

// servePost answers one request that came as the body of a POST. What was refused before the body was read as a
// request has an HTTP status of its own and a line of text; everything else is a JSON-RPC response.
func (d *postDoor) servePost(w http.ResponseWriter, r *http.Request) {
	if !d.srv.mayPost(w, r) {
		return
	}
	client := d.srv.cfg.Proxies.clientOf(r)
	address := networkOf(client)
	r = r.WithContext(api.WithSource(api.WithAddress(r.Context(), address), client, originOf(r)))
	p := d.srv.beginRequest("ip/" + address)
	if p == nil {
		d.srv.refuseRequest(w, http.StatusTooManyRequests, "requests",
			"Too many requests of this address are under way; wait for one to end.")
		return
	}
	defer d.srv.endRequest(p)
	ch, err := d.findChannel(r)
	frame, status := d.readBody(w, r, ch)
	if status != 0 {
		return
	}
	req, parseErr := wire.ParseRequest(frame)
	if wait := p.payRequest(req.Method); wait > 0 {
		d.writeResponse(w, req, d.explainRefusal(r.Context(), req, rateError(wait)))
		return
	}
	switch {
	case parseErr != nil:
		err = cmp.Or(d.srv.cfg.API.ChargeBytes(r.Context(), len(frame)), parseErr)
	case err == nil && ch == nil:
		ch, err = d.channelFor(r, p, req)
	}
	if err != nil {
		d.writeResponse(w, req, d.explainRefusal(r.Context(), req, err))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), d.srv.cfg.Limits.Request)
	defer cancel()
	a := d.performPost(ctx, ch, req, r.Header)
	if a.Stream != nil {
		d.serveFeed(w, r, ch, req, a)
		return
	}
	d.writeResponse(w, req, a)
}

// performPost runs a request on its channel.
func (d *postDoor) performPost(ctx context.Context, ch *channel, req wire.Request, h http.Header) api.Answer {
	if req.Method == wire.SessionOpen {
		ch.opening.Lock() // two sessions that open at once would count the channel twice
		defer ch.opening.Unlock()
	}
	call, refusal := d.srv.cfg.API.Begin(ctx, ch.caller, req)
	if refusal != nil {
		return *refusal
	}
	// The channel's name is in public records, so only what its session's key has signed is the wallet's to pay.
	if req.Auth != nil && !call.ComesFirst() {
		if wait := d.useChannel(ch, req.Method); wait > 0 {
			e := rateError(wait)
			e.Data.Expected = call.Drop() + 1
			return api.Answer{Error: e}
		}
	}
	if acceptsEvents(h) {
		api.AllowStream(call, placeOf(h))
	}
	began := time.Now()
	a := call.Run(ctx)
	d.srv.metrics.took.WithLabelValues(req.Method).Observe(time.Since(began).Seconds())
	return a
}

func (d *postDoor) explainRefusal(ctx context.Context, req wire.Request, err error) api.Answer {
	return api.Answer{Error: d.srv.cfg.API.Explain(ctx, req.Method, err)}
}

// writeResponse writes a response. Sockets whose session the call has ended end behind it.
func (d *postDoor) writeResponse(w http.ResponseWriter, req wire.Request, a api.Answer) {
	d.srv.countAnswer(req.Method, a)
	if a.Ended != nil {
		defer d.srv.endSockets(*a.Ended, nil)
	}
	id := req.ID
	if id == nil {
		id = json.RawMessage("null")
	}
	data, err := strictjson.Marshal(wire.Response{JSONRPC: "2.0", ID: id, Result: a.Result, Error: a.Error})
	if err != nil {
		d.srv.log.Error("response not written", "method", req.Method, "err", err)
		writeText(w, http.StatusInternalServerError, "Something went wrong on our side.")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if e := a.Error; e != nil && (e.Data.Code == wire.CodeRate || e.Data.Code == wire.CodeQuota) {
		w.Header().Set("Retry-After", strconv.FormatInt(e.Data.RetryAfterMS/1000+1, 10))
		w.WriteHeader(http.StatusTooManyRequests)
	}
	_, _ = w.Write(data) // whether it arrives only the client can know
}

// mayPost says whether a request may be read at all, or answers why not. A page's origin is let in exactly as it is at
// a socket, and is told so in the words of CORS.
func (s *Server) mayPost(w http.ResponseWriter, r *http.Request) bool {
	w.Header().Set("Vary", "Origin")
	origin := r.Header["Origin"]
	if !s.isListed(origin) {
		return s.refuseRequest(w, http.StatusForbidden, "origin",
			"Pages of this origin may not connect; the operator lists those that may under origins.")
	}
	if len(origin) == 1 {
		w.Header().Set("Access-Control-Allow-Origin", origin[0])
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	}
	if r.URL.RawQuery != "" {
		return s.refuseRequest(w, http.StatusBadRequest, "query", "Post without a query; nothing secret belongs in a URL.")
	}
	if r.Method == http.MethodOptions {
		return true
	}
	if !isJSON(r.Header) {
		return s.refuseRequest(w, http.StatusUnsupportedMediaType, "content_type",
			"Send Content-Type: application/json, in UTF-8 and not compressed.")
	}
	return true
}

// isListed says whether a request with these Origin headers may come: of a page that is listed, or of no page.
func (s *Server) isListed(origin []string) bool {
	if len(origin) == 0 || len(origin) == 1 && s.origins[strings.ToLower(origin[0])] {
		return true
	}
	s.tellUnlisted(origin[0])
	return false
}

// tellUnlisted tells the log of an origin that is not listed, once: a browser keeps from its page, and from the page's
// developer, why a socket was refused.
func (s *Server) tellUnlisted(origin string) {
	origin = origin[:min(len(origin), 100)]
	s.mu.Lock()
	told := s.unlisted[origin] || len(s.unlisted) >= 100
	if !told {
		s.unlisted[origin] = true
	}
	s.mu.Unlock()
	if !told {
		s.log.Warn("a page was refused: its origin is not listed", "origin", origin,
			"next", "list it under origins or dapps, or give writ dev --dapp "+origin)
	}
}

// isJSON says whether a body is JSON in UTF-8 as it stands. A form of another site can send neither.
func isJSON(h http.Header) bool {
	if len(h["Content-Type"]) != 1 || len(h["Content-Encoding"]) > 0 {
		return false
	}
	kind, params, err := mime.ParseMediaType(h["Content-Type"][0])
	if err != nil || kind != "application/json" {
		return false
	}
	charset, ok := params["charset"]
	return len(params) == 0 || len(params) == 1 && ok && strings.EqualFold(charset, "utf-8")
}

// refuseRequest answers a request that is not read, and returns false.
func (s *Server) refuseRequest(w http.ResponseWriter, status int, reason, text string) bool {
	s.metrics.refused.WithLabelValues(reason).Inc()
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	writeText(w, status, text)
	return false
}

// serveOptions answers the question that a browser asks before a page may post.
func (d *postDoor) serveOptions(w http.ResponseWriter, r *http.Request) {
	if !d.srv.mayPost(w, r) {
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", "POST")
	h.Set("Access-Control-Allow-Headers", "Content-Type, "+wire.Channel+", Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// readBody reads a body within the bound that its channel has. If it cannot, it answers and returns the status.
func (d *postDoor) readBody(w http.ResponseWriter, r *http.Request, ch *channel) ([]byte, int) {
	bound := int64(wire.MaxFrameEarly)
	if ch != nil {
		if _, seated := ch.caller.Session(); seated {
			bound = wire.MaxFrame
		}
	}
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(d.srv.cfg.Limits.Body)); err != nil {
		d.srv.log.Error("no deadline for a body", "err", err)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bound))
	if err == nil {
		return body, 0
	}
	status, reason, text := http.StatusRequestTimeout, "slow", "The body did not come in time."
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		status, reason = http.StatusRequestEntityTooLarge, "too_large"
		text = "The body is larger than is taken: " + strconv.FormatInt(bound>>10, 10) + " KiB here."
	}
	d.srv.refuseRequest(w, status, reason, text)
	return nil, status
}

// findChannel returns the channel that a request names, nil if it names none. It is its page's only.
func (d *postDoor) findChannel(r *http.Request) (*channel, error) {
	names := r.Header[wire.Channel]
	if len(names) == 0 {
		return nil, nil
	}
	id, err := hex.DecodeString(names[0])
	if err != nil || len(id) != 32 || len(names) > 1 {
		return nil, wire.Errorf(wire.CodeRequest, "%s must be the 64 hex digits that hello gave.", wire.Channel)
	}
	d.srv.mu.Lock()
	defer d.srv.mu.Unlock()
	ch := d.channels[[32]byte(id)]
	if ch == nil || ch.origin != originOf(r) || time.Now().After(ch.until) {
		return nil, forgottenError()
	}
	return ch, nil
}

// channelFor returns what a request without a channel runs on: a new channel for hello, nothing that lasts for what
// needs none.
func (d *postDoor) channelFor(r *http.Request, p *peer, req wire.Request) (*channel, error) {
	switch {
	case req.Method == wire.Greet:
		return d.openChannel(r, p)
	case req.Auth != nil || req.Method == wire.SessionAsk:
		return nil, wire.Errorf(wire.CodeChannel,
			"Call hello, and name the channel that it opens in the header %s.", wire.Channel)
	}
	caller := d.srv.cfg.API.NewCaller(api.Transport{Origin: originOf(r)})
	caller.Leave() // the channel's name is never told, so nothing can be signed for it
	return &channel{caller: caller}, nil
}

func originOf(r *http.Request) string { return strings.ToLower(r.Header.Get("Origin")) }
