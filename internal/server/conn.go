package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/provenance"

	"github.com/gorilla/websocket"

	"github.com/writ-run/writ/agent/wire"
)

// A conn is one socket.
type conn struct {
	srv     *Server
	ws      *websocket.Conn
	out     *outbox
	wg      sync.WaitGroup // of its goroutines, the reader excepted
	opened  time.Time
	caller  *api.Caller
	network *peer           // all sockets of the address
	life    context.Context // ends with the socket; for its meter, which has no call to be told by

	// The reader's own.
	refused int // frames over the rate, in a row
	pings   int // and pongs by the client, since pinged
	pinged  time.Time

	mu        sync.Mutex
	peer      *peer     // guarded by mu; of the address, then of the wallet
	lastHeard time.Time // guarded by mu: when the client last said anything
	spoke     bool      // guarded by mu: a request came
	nextPing  time.Time // guarded by mu
	checked   time.Time // guarded by mu: when the session was last read from the store
	// revoking counts the calls under way that end the socket's own session, and ended is that session once it has
	// ended: the socket closes behind their answers.
	revoking int              // guarded by mu
	ended    *journal.Session // guarded by mu
}

// serveSocket is the life of a socket. It returns when all its goroutines have.
func (s *Server) serveSocket(ctx context.Context, ws *websocket.Conn, p, network *peer, origin string) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	now := time.Now()
	c := &conn{srv: s, ws: ws, peer: p, network: network, opened: now, life: ctx, lastHeard: now,
		nextPing: now.Add(s.randomPingInterval())}
	c.caller = s.cfg.API.NewCaller(api.Transport{Origin: origin, Private: true, Streams: true, Admit: c.admitSession})
	defer c.caller.Leave()
	c.out = &outbox{ws: ws, limits: &s.cfg.Limits, wg: &c.wg, fail: func(err error) {
		if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
			s.metrics.closed.WithLabelValues("slow").Inc()
		}
		cancel(err)
		ws.Close()
	}}
	s.mu.Lock()
	s.conns[c] = struct{}{}
	draining := s.draining
	s.mu.Unlock()
	s.metrics.sockets.Inc()
	if draining {
		c.out.queueClose(websocket.CloseServiceRestart, "the server restarts; connect again and resume")
	}

	cancel(c.readFrames(ctx))
	c.out.dropQueue()
	ws.Close()
	c.wg.Wait()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.metrics.sockets.Dec()
	s.uncountSocket(c.peer)
}

func (s *Server) randomPingInterval() time.Duration {
	return time.Duration(float64(s.cfg.Limits.Ping) * (0.8 + 0.4*mrand.Float64()))
}

// readFrames takes in frames until the socket ends, and returns why it did.
func (c *conn) readFrames(ctx context.Context) error {
	c.ws.SetReadLimit(wire.MaxFrameEarly) // past it the library closes with 1009
	limits := &c.srv.cfg.Limits
	meterSocket(ctx, c.ws.NetConn(), limits.Bytes/8, limits.BytesBurst/8, limits.Patience)
	c.ws.SetPongHandler(func(string) error { return c.countControl() })
	c.ws.SetPingHandler(func(data string) error {
		if err := c.countControl(); err != nil {
			return err
		}
		c.out.queueIfRoom(websocket.PongMessage, []byte(data))
		return nil
	})
	if err := c.sendHello(ctx); err != nil {
		return err
	}
	for {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			c.srv.metrics.closed.WithLabelValues(endReason(err)).Inc()
			return err
		}
		if c.out.isClosed() {
			continue // until the client has closed too, or its time is over
		}
		if kind != websocket.TextMessage {
			c.out.queueClose(websocket.CloseUnsupportedData, "text frames only")
			continue
		}
		frame, err := io.ReadAll(r)
		if err != nil {
			c.srv.metrics.closed.WithLabelValues(endReason(err)).Inc()
			return err
		}
		c.noteActivity(true)
		c.takeFrame(ctx, frame)
	}
}

// maxControls is how many pings and pongs a client may send in a second.
const maxControls = 10

// countControl counts a ping or a pong. A client that sends them without end is told why and cut at once: it need not
// read what would be sent.
func (c *conn) countControl() error {
	c.noteActivity(false)
	if now := time.Now(); now.Sub(c.pinged) > time.Second {
		c.pinged, c.pings = now, 0
	}
	if c.pings++; c.pings == maxControls+1 {
		c.out.queueClose(websocket.ClosePolicyViolation, "too many pings")
	}
	if c.pings > 10*maxControls {
		return errFlood
	}
	return nil
}

// endReason names a socket's end for the metrics.
func endReason(err error) string {
	if ce, ok := errors.AsType[*websocket.CloseError](err); ok && ce.Code < 5000 {
		return "client"
	}
	if errors.Is(err, websocket.ErrReadLimit) {
		return "too_large"
	}
	if errors.Is(err, errFlood) {
		return "flood"
	}
	return "cut"
}

func (c *conn) noteActivity(request bool) {
	c.mu.Lock()
	c.lastHeard = time.Now()
	c.spoke = c.spoke || request
	c.mu.Unlock()
}

func (c *conn) sendHello(ctx context.Context) error {
	hello, err := c.srv.cfg.API.Hello(ctx, c.caller)
	if err != nil {
		c.srv.log.ErrorContext(ctx, "epoch not known", "err", err)
		c.out.queueClose(websocket.CloseInternalServerErr, "not ready; try again")
		return nil // the reader waits for the client's close
	}
	return c.queueJSON(ctx, newNotification(wire.NoteHello, hello), nil)
}

// takeFrame deals with one request. What must happen in the order of the frames happens here, the rest in a goroutine.
func (c *conn) takeFrame(ctx context.Context, frame []byte) {
	req, err := wire.ParseRequest(frame)
	if wait := max(c.currentPeer().payRequest(req.Method), c.network.payRequest(req.Method)); wait > 0 {
		if c.refused++; c.refused > 100 {
			c.out.queueClose(wire.CloseRate, "too many requests")
			return
		}
		err = rateError(wait)
	} else {
		c.refused = 0
		if err != nil {
			err = cmp.Or(c.srv.cfg.API.ChargeBytes(ctx, len(frame)), err)
		}
	}
	if err != nil {
		c.sendAnswer(ctx, req, api.Answer{Error: c.srv.cfg.API.Explain(ctx, req.Method, err)})
		return
	}
	call, refusal := c.srv.cfg.API.Begin(ctx, c.caller, req)
	switch {
	case refusal != nil:
		c.sendAnswer(ctx, req, *refusal)
	case call.ComesFirst():
		c.performCall(ctx, req, call)
	case call.Revokes():
		c.mu.Lock()
		c.revoking++
		c.mu.Unlock()
		c.wg.Go(func() {
			c.performCall(ctx, req, call)
			c.finishRevoking()
		})
	default:
		c.wg.Go(func() { c.performCall(ctx, req, call) })
	}
}

// finishRevoking closes the socket if that has waited for the answer which was just sent.
func (c *conn) finishRevoking() {
	c.mu.Lock()
	c.revoking--
	ended := c.ended
	c.mu.Unlock()
	if ended != nil {
		c.closeEnded(*ended, time.Now())
	}
}

// performCall runs a call and answers. If that begins a stream, the goroutine goes on with it.
func (c *conn) performCall(ctx context.Context, req wire.Request, call *api.Call) {
	began := time.Now()
	a := call.Run(ctx)
	c.srv.metrics.took.WithLabelValues(req.Method).Observe(time.Since(began).Seconds())
	c.sendAnswer(ctx, req, a)
	if a.Stream != nil {
		c.pumpStream(ctx, a.Stream)
	}
}

// sendAnswer sends a response, and then ends the sockets of a session that the call has ended. An error of the socket
// needs no other report: the reader sees it too.
func (c *conn) sendAnswer(ctx context.Context, req wire.Request, a api.Answer) {
	c.srv.countAnswer(req.Method, a)
	if a.Ended != nil {
		c.srv.endSockets(*a.Ended, c)
	}
	_ = c.queueJSON(ctx, wire.Response{JSONRPC: "2.0", ID: req.ID, Result: a.Result, Error: a.Error}, nil)
	if a.Ended != nil && c.hasSession(a.Ended.ID) {
		c.closeEnded(*a.Ended, time.Now())
	}
}

// countAnswer counts an answer.
func (s *Server) countAnswer(method string, a api.Answer) {
	code := "ok"
	if a.Error != nil {
		code = string(a.Error.Data.Code)
	}
	if !s.cfg.API.HasMethod(method) {
		method = "unknown" // a client's words are no label
	}
	s.metrics.frames.WithLabelValues(method, code).Inc()
}

// pumpStream sends a stream's updates as fast as the socket takes them. It returns when the stream or the socket has
// ended.
func (c *conn) pumpStream(ctx context.Context, stream *api.Stream) {
	defer stream.Close()
	for {
		u, err := stream.Next(ctx)
		switch {
		case errors.Is(err, io.EOF) || ctx.Err() != nil:
			return
		case err != nil:
			// The client must not wait for events that do not come: let it resume.
			c.srv.log.ErrorContext(ctx, "subscription not served", "run", stream.Run(), "err", err)
			c.out.queueClose(websocket.CloseInternalServerErr, "events could not be read; connect again and resume")
			return
		}
		if c.sendUpdate(ctx, u, stream.Ended()) != nil {
			return // the socket has ended, or the subscription
		}
	}
}

// sendUpdate waits for room for what is durable, until ended is closed, and drops a delta if there is little.
func (c *conn) sendUpdate(ctx context.Context, u api.Update, ended <-chan struct{}) error {
	switch {
	case u.Event != nil:
		if err := c.queueJSON(ctx, newNotification(wire.NoteEvent, u.Event), ended); err != nil {
			return err
		}
		c.srv.metrics.events.Inc()
	case u.Receipt != nil:
		return c.queueJSON(ctx, newNotification(wire.NoteReceipt, u.Receipt), ended)
	case u.Delta != nil:
		data, err := strictjson.Marshal(newNotification(wire.NoteDelta, u.Delta))
		if err != nil || !c.out.queueIfRoom(websocket.TextMessage, data) {
			c.srv.metrics.dropped.Inc()
		}
	}
	return nil
}

func newNotification(method string, params any) wire.Notification {
	return wire.Notification{JSONRPC: "2.0", Method: method, Params: params}
}

// queueJSON queues a message, and waits for room until ctx, the socket or what ended stands for is over. ended may be
// nil.
func (c *conn) queueJSON(ctx context.Context, v any, ended <-chan struct{}) error {
	data, err := strictjson.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return c.out.waitAndQueue(ctx, data, ended)
}

func (c *conn) currentPeer() *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}

// admitSession counts the socket for the wallet of the session that it gets, and no more for its address.
func (c *conn) admitSession(sess journal.Session) error {
	now := time.Now()
	if _, seated := c.caller.Session(); seated {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.checked = now
		return nil
	}
	p, wait := c.srv.countSocket("wallet/"+sess.Owner(), c.srv.cfg.Limits.PerWallet)
	if p == nil {
		c.srv.metrics.refused.WithLabelValues("wallet").Inc()
		e := wire.Errorf(wire.CodeTooMany, "This wallet has too many connections; close one, or come again later.")
		e.Data.RetryAfterMS = wait.Milliseconds()
		return e
	}
	c.ws.SetReadLimit(wire.MaxFrame)
	limits := &c.srv.cfg.Limits
	meterSocket(c.life, c.ws.NetConn(), limits.Bytes, limits.BytesBurst, limits.Patience)
	c.mu.Lock()
	ip := c.peer
	c.peer, c.checked = p, now
	c.mu.Unlock()
	c.srv.uncountSocket(ip)
	return nil
}

// checkSockets looks after all sockets once a second: pings, the dead, those that do not sign in. It waits for nothing.
func (s *Server) checkSockets(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, c := range s.listSockets() {
			c.checkActivity(time.Now())
		}
		if n%10 == 0 {
			s.posts.forgetChannels(time.Now())
			s.forgetPeers(time.Now())
		}
	}
}

func (s *Server) listSockets() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		open = append(open, c)
	}
	return open
}

func (c *conn) checkActivity(now time.Time) {
	l := &c.srv.cfg.Limits
	c.mu.Lock()
	spoke, heard := c.spoke, c.lastHeard
	ping := !now.Before(c.nextPing)
	if ping {
		c.nextPing = now.Add(c.srv.randomPingInterval())
	}
	c.mu.Unlock()
	_, seated := c.caller.Session()
	switch {
	case now.Sub(heard) > 3*l.Ping:
		c.srv.metrics.closed.WithLabelValues("dead").Inc()
		c.ws.Close()
	case !spoke && now.Sub(c.opened) > l.First:
		c.out.queueClose(wire.CloseUnauthorized, "no request came")
	case !seated && now.Sub(c.opened) > l.SignIn:
		c.out.queueClose(wire.CloseUnauthorized, "no session was opened in time")
	case ping:
		c.out.queueIfRoom(websocket.PingMessage, nil)
	}
}

// recheckSessions reads the sessions of all sockets again, each once a second while there are at most a thousand, and
// more seldom in proportion beyond. A revocation through this server is felt at once, and a signed call always reads.
func (s *Server) recheckSessions(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		open := s.listSockets()
		every := time.Second * time.Duration(1+len(open)/1000)
		for _, c := range open {
			now := time.Now()
			had, seated := c.caller.Session()
			c.mu.Lock()
			due := seated && now.Sub(c.checked) >= every
			if due {
				c.checked = now
			}
			c.mu.Unlock()
			if !due {
				continue
			}
			sess, err := s.cfg.API.Session(ctx, had.ID)
			if err != nil {
				s.log.WarnContext(ctx, "session not read", "err", err)
				continue
			}
			c.closeEnded(sess, now)
		}
	}
}

// hasSession says whether the socket has the session open.
func (c *conn) hasSession(session provenance.Link) bool {
	s, ok := c.caller.Session()
	return ok && s.ID == session
}

// endSockets ends the sockets of a session that has ended, except one that is still to get its answer.
func (s *Server) endSockets(sess journal.Session, except *conn) {
	for _, c := range s.listSockets() {
		if c != except && c.hasSession(sess.ID) {
			c.closeEnded(sess, time.Now())
		}
	}
}

// closeEnded ends the socket if its session has ended, behind the answer to who ended it.
func (c *conn) closeEnded(s journal.Session, now time.Time) {
	end, code := api.EndOf(s, now), wire.CloseRevoked
	switch end {
	case "":
		return
	case "expired":
		code = wire.CloseUnauthorized
	}
	c.mu.Lock()
	wait := c.revoking > 0
	if wait {
		c.ended = &s
	}
	c.mu.Unlock()
	if wait {
		return
	}
	data, err := json.Marshal(newNotification(wire.NoteRevoked, wire.SessionRevoked{Session: s.ID.String(), Why: end}))
	if err == nil {
		c.out.queueIfRoom(websocket.TextMessage, data) // the close code says the same
	}
	c.out.queueClose(code, "the session is "+end)
}
