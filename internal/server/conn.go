package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
)

// A conn is one socket.
type conn struct {
	srv     *Server
	ws      *websocket.Conn
	out     *outbox
	wg      sync.WaitGroup // of its goroutines, the reader excepted
	channel [32]byte
	opened  time.Time
	desk    *auth.Desk // of the page, or of all others

	// The reader's own.
	seq     uint64 // of the last signed request
	refused int    // frames over the rate, in a row
	pings   int    // by the client, since pinged
	pinged  time.Time

	mu       sync.Mutex
	peer     *peer                    // guarded by mu; of the address, then of the wallet
	seat     *seat                    // guarded by mu; nil before a session is open
	subs     map[string]*subscription // guarded by mu
	named    int                      // guarded by mu: subscriptions so far
	calls    int                      // guarded by mu: under way
	heard    time.Time                // guarded by mu: when the client last said anything
	spoke    bool                     // guarded by mu: a request came
	nextPing time.Time                // guarded by mu
	checked  time.Time                // guarded by mu: when the session was last read from the store
}

// A seat is an open session with its key.
type seat struct {
	session agent.Session
	key     auth.PublicKey
}

// converse is the life of a socket. It returns when all its goroutines have.
func (s *Server) converse(ctx context.Context, ws *websocket.Conn, p *peer, desk *auth.Desk) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	now := time.Now()
	c := &conn{srv: s, ws: ws, peer: p, desk: desk, opened: now, heard: now, nextPing: now.Add(s.pingIn())}
	rand.Read(c.channel[:]) // never fails
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
		c.out.close(websocket.CloseServiceRestart, "the server restarts; connect again and resume")
	}

	cancel(c.read(ctx))
	c.out.abandon()
	ws.Close()
	c.wg.Wait()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.metrics.sockets.Dec()
	s.release(c.peer)
}

func (s *Server) pingIn() time.Duration {
	return time.Duration(float64(s.cfg.Limits.Ping) * (0.8 + 0.4*mrand.Float64()))
}

// read takes in frames until the socket ends, and returns why it did.
func (c *conn) read(ctx context.Context) error {
	c.ws.SetReadLimit(wire.MaxFrameEarly) // past it the library closes with 1009
	c.ws.SetPongHandler(func(string) error { c.hear(false); return nil })
	c.ws.SetPingHandler(func(data string) error {
		c.hear(false)
		if now := time.Now(); now.Sub(c.pinged) > time.Second {
			c.pinged, c.pings = now, 0
		}
		if c.pings++; c.pings > 10 {
			c.out.close(websocket.ClosePolicyViolation, "too many pings")
			return nil
		}
		c.out.offer(websocket.PongMessage, []byte(data))
		return nil
	})
	if err := c.greet(ctx); err != nil {
		return err
	}
	for {
		kind, r, err := c.ws.NextReader()
		if err != nil {
			c.srv.metrics.closed.WithLabelValues(why(err)).Inc()
			return err
		}
		if c.out.closing() {
			continue // until the client has closed too, or its time is over
		}
		if kind != websocket.TextMessage {
			c.out.close(websocket.CloseUnsupportedData, "text frames only")
			continue
		}
		frame, err := io.ReadAll(r)
		if err != nil {
			c.srv.metrics.closed.WithLabelValues(why(err)).Inc()
			return err
		}
		c.hear(true)
		c.frame(ctx, frame)
	}
}

// why names a socket's end for the metrics.
func why(err error) string {
	if ce, ok := errors.AsType[*websocket.CloseError](err); ok && ce.Code < 5000 {
		return "client"
	}
	if errors.Is(err, websocket.ErrReadLimit) {
		return "too_large"
	}
	return "cut"
}

func (c *conn) hear(request bool) {
	c.mu.Lock()
	c.heard = time.Now()
	c.spoke = c.spoke || request
	c.mu.Unlock()
}

func (c *conn) greet(ctx context.Context) error {
	epoch, err := c.srv.cfg.Runner.Epoch(ctx)
	if err != nil {
		c.srv.log.ErrorContext(ctx, "epoch not known", "err", err)
		c.out.close(websocket.CloseInternalServerErr, "not ready; try again")
		return nil // the reader waits for the client's close
	}
	return c.notify(ctx, wire.NoteHello, wire.Hello{
		Channel: hex.EncodeToString(c.channel[:]), Server: "writ", Version: c.srv.cfg.Version, Epoch: epoch,
	})
}

// frame deals with one request. What must happen in the order of the frames happens here, the rest in a goroutine.
func (c *conn) frame(ctx context.Context, frame []byte) {
	req, err := wire.ParseRequest(frame)
	if wait := c.srv.spend(c.payer(), req.Method); wait > 0 {
		if c.refused++; c.refused > 100 {
			c.out.close(wire.CloseRate, "too many requests")
			return
		}
		c.answer(ctx, req, nil, limited(wait))
		return
	}
	c.refused = 0
	if err != nil {
		c.answer(ctx, req, nil, err)
		return
	}
	h, ok := c.srv.methods[req.Method]
	if !ok {
		c.answer(ctx, req, nil, wire.Errorf(wire.CodeMethod, "There is no method of that name; rpc.discover lists them."))
		return
	}
	if req.Method == wire.SessionOpen { // all that follows it in the socket may count on it
		result, err := c.run(ctx, h, call{req: req})
		c.answer(ctx, req, result, err)
		return
	}
	call, err := c.authenticate(ctx, h.access, req)
	if err != nil {
		c.answer(ctx, req, nil, err)
		return
	}
	c.mu.Lock()
	busy := c.calls >= c.srv.cfg.Limits.Calls
	if !busy {
		c.calls++
	}
	c.mu.Unlock()
	if busy {
		c.answer(ctx, req, nil, wire.Errorf(wire.CodeTooMany, "%d calls are under way on this connection; wait for one to end.", c.srv.cfg.Limits.Calls))
		return
	}
	c.wg.Go(func() { c.perform(ctx, h, call) })
}

// A call is a request with what is known of its sender.
type call struct {
	req   wire.Request
	seat  *seat      // nil if no session is open
	frame auth.Frame // what was signed; only if the request was
}

// run runs a handler. A panic in it must not end everybody's runs.
func (c *conn) run(ctx context.Context, h handler, call call) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.log.ErrorContext(ctx, "panic", "method", call.req.Method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			result, err = nil, wire.Errorf(wire.CodeInternal, "Something went wrong on our side.")
		}
	}()
	if h.access == wire.Signed || h.access == wire.Either {
		// What was signed is carried through, whatever becomes of the socket.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), c.srv.cfg.Limits.Act)
		defer cancel()
	}
	return h.run(ctx, c, call)
}

// perform runs a handler and answers.
func (c *conn) perform(ctx context.Context, h handler, call call) {
	began := time.Now()
	result, err := c.run(ctx, h, call)
	c.mu.Lock()
	c.calls--
	c.mu.Unlock()
	c.srv.metrics.took.WithLabelValues(call.req.Method).Observe(time.Since(began).Seconds())
	sub, ok := result.(*subscription)
	if ok {
		result = sub.answer
	}
	c.answer(ctx, call.req, result, err)
	if ok {
		sub.pump() // in this goroutine: the call is over, the subscription begins
	}
}

// answer sends a response. An error of the socket needs no other report: the reader sees it too.
func (c *conn) answer(ctx context.Context, req wire.Request, result any, err error) {
	resp := wire.Response{JSONRPC: "2.0", ID: req.ID, Result: result}
	code := "ok"
	if err != nil {
		resp.Error, resp.Result = c.srv.toWire(ctx, req.Method, err), nil
		code = string(resp.Error.Data.Code)
	}
	name := req.Method
	if _, ok := c.srv.methods[name]; !ok {
		name = "unknown" // a client's words are no label
	}
	c.srv.metrics.frames.WithLabelValues(name, code).Inc()
	_ = c.send(ctx, resp)
}

func (c *conn) notify(ctx context.Context, method string, params any) error {
	return c.send(ctx, note(method, params))
}

func note(method string, params any) wire.Notification {
	return wire.Notification{JSONRPC: "2.0", Method: method, Params: params}
}

func (c *conn) send(ctx context.Context, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return c.out.push(ctx, data)
}

func (c *conn) payer() *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer
}

func (c *conn) sitting() *seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seat
}

// sweep looks after all sockets once a second: pings, the dead, those that do not sign in. It waits for nothing.
func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, c := range s.open() {
			c.tick(time.Now())
		}
		if n%10 == 0 {
			s.forget()
		}
	}
}

func (s *Server) open() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	open := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		open = append(open, c)
	}
	return open
}

func (c *conn) tick(now time.Time) {
	l := &c.srv.cfg.Limits
	c.mu.Lock()
	seat, spoke, heard := c.seat, c.spoke, c.heard
	ping := !now.Before(c.nextPing)
	if ping {
		c.nextPing = now.Add(c.srv.pingIn())
	}
	c.mu.Unlock()
	switch {
	case now.Sub(heard) > 3*l.Ping:
		c.srv.metrics.closed.WithLabelValues("dead").Inc()
		c.ws.Close()
	case !spoke && now.Sub(c.opened) > l.First:
		c.out.close(wire.CloseUnauthorized, "no request came")
	case seat == nil && now.Sub(c.opened) > l.SignIn:
		c.out.close(wire.CloseUnauthorized, "no session was opened in time")
	case ping:
		c.out.offer(websocket.PingMessage, nil)
	}
}

// recheck reads the sessions of all sockets again, each once a second while there are at most a thousand, and more
// seldom in proportion beyond. A revocation through this server is felt at once, and a signed call always reads.
func (s *Server) recheck(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		open := s.open()
		every := time.Second * time.Duration(1+len(open)/1000)
		for _, c := range open {
			now := time.Now()
			c.mu.Lock()
			seat := c.seat
			due := seat != nil && now.Sub(c.checked) >= every
			if due {
				c.checked = now
			}
			c.mu.Unlock()
			if !due {
				continue
			}
			sess, err := s.cfg.Runner.Session(ctx, seat.session.ID)
			if err != nil {
				s.log.WarnContext(ctx, "session not read", "err", err)
				continue
			}
			c.over(sess, now)
		}
	}
}

// over ends the socket if its session has ended, and says whether it has.
func (c *conn) over(s agent.Session, now time.Time) bool {
	end, code := "", wire.CloseRevoked
	switch {
	case s.Revoked != 0:
		end = "revoked"
	case now.UnixMilli() >= s.Expires:
		end, code = "expired", wire.CloseUnauthorized
	default:
		return false
	}
	data, err := json.Marshal(note(wire.NoteRevoked, wire.SessionRevoked{Session: s.ID.String(), Why: end}))
	if err == nil {
		c.out.offer(websocket.TextMessage, data) // the close code says it too
	}
	c.out.close(code, "the session is "+end)
	return true
}
