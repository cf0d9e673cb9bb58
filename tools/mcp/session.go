package mcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"golang.org/x/time/rate"

	"github.com/writ-run/writ/tools/elicit"
)

// What a server may send at most, over time. Results count too, so the burst holds one of the largest messages.
const (
	bytesBurst    = maxMessage + 4<<20
	bytesRate     = 2 << 20 // a second
	messagesBurst = 2000
	messagesRate  = 200 // a second
)

var errFlood = errors.New("it sends more than it may, and was stopped")

// A session is one connection to a server, from its start to its end.
type session struct {
	client *mcp.ClientSession
	meter  *meter
	kill   func()        // ends the process with its children, or closes connections; waits
	opened chan struct{} // closed once client is set, or there will be none
	over   chan struct{}
	now    func() time.Time

	endOnce sync.Once
	stale   atomic.Bool // the server says that its list has changed
	signIn  *signIn     // at a server on the network
	beside  beside

	mu     sync.Mutex // guards the rest
	why    error      // it ended
	tools  listing
	asked  time.Time // for the list
	calls  map[string]*calling
	number int
	quiet  time.Duration
	late   bool // a call was left without an answer, and the server may ask about it yet
}

// A beside says what a server has beside its tools that is asked for.
type beside struct{ resources, prompts bool }

// A calling is a call that is under way.
type calling struct {
	silence *time.Timer
	asked   []string // what the server has asked meanwhile, as it is told; guarded by the session's mu
	asking  *asking  // where its questions are put to the user; likewise
}

// open starts or connects to the server, and asks it for its list.
func (s *Server) open(ctx context.Context) (*session, error) {
	c := s.newSession()
	defer close(c.opened)
	options := &mcp.ClientOptions{
		// No files of ours and no model of ours; questions are declined, which a server can only be told if it may ask.
		Capabilities: &mcp.ClientCapabilities{Elicitation: &mcp.ElicitationCapabilities{
			Form: &mcp.FormElicitationCapabilities{}, URL: &mcp.URLElicitationCapabilities{},
		}},
		ElicitationHandler:          c.declineQuestion,
		MultiRoundTrip:              &mcp.MultiRoundTripOptions{Disabled: true}, // it would repeat a call ten times
		Logger:                      nil,
		ProgressNotificationHandler: c.noteProgress,
	}
	var transport mcp.Transport
	var said func() string
	if s.cfg.URL != "" {
		var err error
		if c.signIn, err = s.newSignIn(); err != nil {
			return nil, err
		}
		transport = s.dial(c)
		said = func() string { return "" }
	} else {
		options.ToolListChangedHandler = func(context.Context, *mcp.ToolListChangedRequest) { c.stale.Store(true) }
		p, err := s.spawn(c.meter)
		if err != nil {
			return nil, err
		}
		transport, c.kill, said = watched{p.transport, c}, p.kill, p.said
	}
	err := c.connect(ctx, mcp.NewClient(&mcp.Implementation{Name: "writ", Version: "1"}, options), transport)
	switch {
	case c.meter.broken():
		err = errFlood
	case c.signIn.lacks() != nil:
		err = c.signIn.lacks()
	case err == nil:
		s.ends.Add(1)
		go s.await(c)
		if err = c.refresh(ctx, 0); err == nil {
			return c, nil
		}
	case ctx.Err() != nil:
		err = fmt.Errorf("it has not answered within %s", s.cfg.Start)
	case errors.Is(err, syscall.ECONNREFUSED):
		err = errors.New("nothing listens at its url; start it, or correct the url")
	default:
		err = errors.New("it does not speak the protocol, or has ended")
	}
	c.end(err)
	return nil, fmt.Errorf("%w%s", err, said()) // of a process all has been said now
}

// newSession returns a session that is not open yet, and ends when its server floods it.
func (s *Server) newSession() *session {
	c := &session{
		opened: make(chan struct{}), over: make(chan struct{}), now: s.cfg.now, calls: map[string]*calling{},
		quiet: s.cfg.Timeout, beside: beside{s.cfg.Resources, s.cfg.Prompts},
	}
	c.meter = &meter{
		bytes: rate.NewLimiter(bytesRate, bytesBurst), messages: rate.NewLimiter(messagesRate, messagesBurst), now: s.cfg.now,
		flooded: func() {
			s.ends.Go(func() {
				c.kill() // or what is being opened waits for more
				<-c.opened
				c.end(errFlood)
			})
		},
	}
	return c
}

// connect opens the session. Connect does not heed every wait; what it waits for ends with the process or the
// connections.
func (c *session) connect(ctx context.Context, client *mcp.Client, transport mcp.Transport) error {
	opened := make(chan error, 1)
	go func() {
		var err error
		c.client, err = client.Connect(ctx, transport, nil)
		opened <- err
	}()
	select {
	case err := <-opened:
		return err
	case <-ctx.Done():
		c.kill()
		<-opened
		return ctx.Err()
	}
}

// await waits for the end of a session, whoever ends it, and cleans up after it.
func (s *Server) await(c *session) {
	defer s.ends.Done()
	err := c.client.Wait()
	if err == nil {
		err = errors.New("it has ended")
	} else {
		err = errors.New("it has ended, or does not speak the protocol")
	}
	c.end(err)
	<-c.over
}

// end ends a session. Calls that are under way fail.
func (c *session) end(why error) {
	c.endOnce.Do(func() {
		c.mu.Lock()
		c.why = why
		c.mu.Unlock()
		c.kill()
		if c.client != nil {
			c.client.Close()
		}
		close(c.over)
	})
}

func (c *session) alive() bool {
	select {
	case <-c.over:
		return false
	default:
		return !c.meter.broken()
	}
}

// reason says why the session has ended, or nil.
func (c *session) reason() error {
	if c.meter.broken() {
		return errFlood
	}
	if err := c.signIn.lacks(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// refresh asks for the list if it is older than age, or the server says that it has changed.
func (c *session) refresh(ctx context.Context, age time.Duration) error {
	c.mu.Lock()
	fresh := !c.asked.IsZero() && c.now().Sub(c.asked) < age
	c.mu.Unlock()
	if !c.stale.Swap(false) && fresh {
		return nil
	}
	l, err := c.list(ctx)
	if err != nil {
		c.stale.Store(true)
		if why := c.reason(); why != nil {
			return why
		}
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tools, c.asked = l, c.now()
	return nil
}

func (c *session) listed() listing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tools
}

// noteProgress gives a call that the server is busy with more time.
func (c *session) noteProgress(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
	token, _ := r.Params.ProgressToken.(string)
	c.mu.Lock()
	defer c.mu.Unlock()
	if call := c.calls[token]; call != nil {
		call.silence.Reset(c.quiet)
	}
}

// begin names a call, for its progress. It is cancelled once the server has been silent for too long.
// end says what was asked in it.
func (c *session) begin(cancel func(), a *asking) (token string, end func() (asked []string, wants *elicit.Ask)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.number++
	token = fmt.Sprint("call-", c.number)
	call := &calling{silence: time.AfterFunc(c.quiet, cancel), asking: a}
	c.calls[token] = call
	return token, func() ([]string, *elicit.Ask) {
		c.mu.Lock()
		defer c.mu.Unlock()
		call.silence.Stop()
		delete(c.calls, token)
		return call.asked, a.wanted()
	}
}

// A watched transport notes that the list has changed before anything that the server says later is read, so that no
// call after it is made by the old list.
type watched struct {
	mcp.Transport
	session *session
}

func (w watched) Connect(ctx context.Context) (mcp.Connection, error) {
	c, err := w.Transport.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return watchedConnection{c, w.session}, nil
}

type watchedConnection struct {
	mcp.Connection
	session *session
}

// changes are what a server says when a list has changed.
var changes = []string{
	"notifications/tools/list_changed", "notifications/resources/list_changed", "notifications/prompts/list_changed",
}

func (w watchedConnection) Read(ctx context.Context) (jsonrpc.Message, error) {
	m, err := w.Connection.Read(ctx)
	if r, is := m.(*jsonrpc.Request); is && err == nil && slices.Contains(changes, r.Method) {
		w.session.stale.Store(true)
	}
	return m, err
}

// A meter counts what a server sends. Once it is too much nothing more is read.
type meter struct {
	bytes, messages *rate.Limiter
	now             func() time.Time
	flooded         func()
	is              atomic.Bool
}

func (m *meter) broken() bool { return m.is.Load() }

func (m *meter) count(p []byte) error {
	n := 0
	for _, b := range p {
		if b == '\n' {
			n++
		}
	}
	now := m.now()
	if m.is.Load() || !m.bytes.AllowN(now, len(p)) || n > 0 && !m.messages.AllowN(now, n) {
		if !m.is.Swap(true) {
			m.flooded()
		}
		return errFlood
	}
	return nil
}

// A meteredReader reads what a server sends.
type meteredReader struct {
	io.ReadCloser
	meter *meter
}

func (r meteredReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if over := r.meter.count(p[:n]); over != nil {
		return 0, over
	}
	return n, err
}

// dial returns the way to a server over HTTP.
func (s *Server) dial(c *session) mcp.Transport {
	tr := s.cfg.Gate.Transport()
	ctx, cancel := context.WithCancel(context.Background()) // of all requests, until the session ends
	c.kill = func() {
		cancel()
		tr.CloseIdleConnections()
	}
	return &mcp.StreamableClientTransport{
		Endpoint: s.cfg.URL, MaxRetries: -1, DisableStandaloneSSE: true, OAuthHandler: c.signIn,
		HTTPClient: &http.Client{
			Transport: &bounded{ctx, tr, s.cfg.Token, c.meter},
			// A redirect could lead the token, and the arguments, to somebody else.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// A bounded transport adds the token, and counts what comes back.
type bounded struct {
	life  context.Context
	next  http.RoundTripper
	token string
	meter *meter
}

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(b.life, cancel)
	end := func() {
		stop()
		cancel()
	}
	r = r.Clone(ctx)
	if b.token != "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	res, err := b.next.RoundTrip(r)
	switch {
	case err != nil:
		end()
		return nil, err
	case res.StatusCode >= 300 && res.StatusCode < 400:
		err = errors.New("it redirects, which is not followed")
	case res.ContentLength > maxMessage:
		err = errors.New("an answer is too large")
	}
	res.Body = meteredReader{&limited{ReadCloser: res.Body, left: bytesBurst, end: end}, b.meter}
	if err != nil {
		res.Body.Close()
		return nil, err
	}
	return res, nil
}

// limited ends a body that is too long.
type limited struct {
	io.ReadCloser
	left int
	end  func() // of the request
}

func (l *limited) Close() error {
	defer l.end()
	return l.ReadCloser.Close()
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	if l.left -= n; l.left < 0 {
		return 0, errors.New("an answer is too large")
	}
	return n, err
}
