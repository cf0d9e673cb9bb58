// Package server is the edge that dApps connect to: the transports of internal/api (a WebSocket at /ws,
// single requests posted to /rpc), the gateway for records, and the endpoints for operators.
//
// [New] takes a [Config], [Server.Serve] runs until its context ends and returns when every goroutine has. A socket
// costs one goroutine that reads and, only while there is something to send, one that writes. What a client says is
// bounded, read strictly and paid for with a token before the API acts on it.
//
// Durable events are never dropped: a stream is pulled only as fast as the socket takes the events, so a slow client
// costs a bounded queue and is cut when it takes nothing for a while. It connects again and resumes from the last event
// that it has, here or on another node. A socket's end never ends a run.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/journal"
)

// Config says what a [Server] is made of.
type Config struct {
	API     *api.API     // required: answers what clients call
	Gateway http.Handler // required: serves /ipfs/
	// Door serves /v1/ to programs that speak as to a model provider; there is nothing if nil. It is given what must be
	// asked before a session is used.
	Door func(admit func(of journal.Session, method string) error) (http.Handler, error)
	// DoorForm gives errors of what stands before Door the form of its answers; they are words if it is nil.
	DoorForm func(http.Handler) http.Handler
	Console  http.Handler // serves / to browsers, and /console/; there is no page if nil
	Manual   http.Handler // serves /docs/; there is none if nil
	HeadLog  http.Handler // serves checkpoint and tiles of the transparency log, under /log/; nothing is there if nil
	// Origins are those whose pages may connect, as clients send them: scheme://host[:port] of the web or of an app's
	// shell, besides those of the API's dApps. A client that sends no Origin is not a browser and is let in.
	Origins []string
	// Hosts are the names by which this server may be called, without port, against DNS rebinding. If empty: the
	// hosts of Origins, localhost and the loopback addresses.
	Hosts   []string
	Proxies Proxies // in front of this server; none if zero
	// Operator answers requests of the operator under /operator/; there are none if nil. It must check who asks, since
	// any program of this machine can.
	Operator http.Handler
	// OperatorBody is how many bytes a body to a path of Operator may have; 16 KiB to one that is not named.
	OperatorBody map[string]int64
	Version      string               // of the program; "dev" if empty
	Log          *slog.Logger         // logs nothing if nil
	Metrics      *prometheus.Registry // a registry of its own if nil; served at /metrics to this machine
	Ready        func() error         // says why this server cannot serve; always ready if nil
	Limits       Limits               // the defaults where zero
}

// Limits bound what connections can cost; those of calls are the API's.
type Limits struct {
	PerAddress int           // sockets of one address (IPv6: one /64) that have no session; 20
	PerWallet  int           // sockets of one wallet; 50
	PerNetwork int           // sockets of one address in all, with and without a session; 200
	Open       int           // connections of one address, whatever they say; twice PerNetwork; proxies are not bound
	Rate       float64       // frames a second, of one address or one wallet; 50
	Burst      int           // frames at once; 100
	Bytes      int           // that one socket may send in a second, once it has a session, 1 MiB; an eighth before
	BytesBurst int           // bytes at once, 8 MiB; an eighth before there is a session
	Patience   time.Duration // for which a socket may send as fast as it is let, without a pause; 30 s
	QueueItems int           // frames waiting for one socket; 1024
	QueueBytes int           // bytes waiting for one socket; 1 MiB
	First      time.Duration // from connecting to the first request; 5 s
	SignIn     time.Duration // from connecting to a session; 5 min
	Stall      time.Duration // that a write may take; 30 s
	Ping       time.Duration // between pings, +-20 %; 25 s. Three without an answer end the socket
	Channels   int           // of posted requests, of all clients; 10,000
	Requests   int           // posted and under way, of one address; 32
	Body       time.Duration // that a posted request may take to come; 10 s
	Request    time.Duration // that one may take to be answered, unless it acts; 30 s
	Idle       time.Duration // that a channel with a session is kept without a signed request; 15 min
	Drain      time.Duration // that sockets may take to close at the end; 10 s
	BlockRate  int           // requests a second at /ipfs/, of one address; 200
	BlockBurst int           // of them at once; 2,000
	BlockBytes int           // bytes a second that one address is sent from there; 16 MiB
	BlockAhead int           // of them at once; 256 MiB
}

func (l *Limits) fillDefaults() {
	setDefault(&l.PerAddress, 20)
	setDefault(&l.PerWallet, 50)
	setDefault(&l.PerNetwork, 200)
	setDefault(&l.Open, 2*l.PerNetwork)
	setDefault(&l.Rate, 50)
	setDefault(&l.Burst, 100)
	setDefault(&l.Bytes, 1<<20)
	setDefault(&l.BytesBurst, 8<<20)
	setDefault(&l.Patience, 30*time.Second)
	setDefault(&l.QueueItems, 1024)
	setDefault(&l.QueueBytes, 1<<20)
	setDefault(&l.First, 5*time.Second)
	setDefault(&l.SignIn, 5*time.Minute)
	setDefault(&l.Stall, 30*time.Second)
	setDefault(&l.Ping, 25*time.Second)
	setDefault(&l.Channels, 10_000)
	setDefault(&l.Requests, 32)
	setDefault(&l.Body, 10*time.Second)
	setDefault(&l.Request, 30*time.Second)
	setDefault(&l.Idle, 15*time.Minute)
	setDefault(&l.Drain, 10*time.Second)
	setDefault(&l.BlockRate, 200)
	setDefault(&l.BlockBurst, 2000)
	setDefault(&l.BlockBytes, 16<<20)
	setDefault(&l.BlockAhead, 256<<20)
}

func setDefault[T int | float64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// A Server serves. Make one with [New]; call [Server.Serve] once.
type Server struct {
	cfg      Config
	log      *slog.Logger
	origins  map[string]bool
	hosts    map[string]bool
	metrics  metrics
	posts    postDoor
	door     http.Handler // serves /v1/, or nil
	upgrader websocket.Upgrader

	wg sync.WaitGroup // sockets

	mu       sync.Mutex
	conns    map[*conn]struct{} // guarded by mu
	peers    map[string]*peer   // guarded by mu; by "ip/..." and "wallet/..."
	draining bool               // guarded by mu
	unlisted map[string]bool    // guarded by mu; origins that were refused and told, at most 100
}

// New returns a Server, or an error that names the first field that is wrong.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.API == nil:
		return nil, errors.New("server: API is missing")
	case cfg.Gateway == nil:
		return nil, errors.New("server: Gateway is missing")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	cfg.Limits.fillDefaults()
	s := &Server{
		cfg: cfg, log: cfg.Log, origins: map[string]bool{}, hosts: map[string]bool{},
		conns: map[*conn]struct{}{}, peers: map[string]*peer{}, unlisted: map[string]bool{},
		upgrader: websocket.Upgrader{
			// The pool holds write buffers between writes; a socket that is idle has none.
			ReadBufferSize: 512, WriteBufferSize: 4096, WriteBufferPool: new(sync.Pool),
			HandshakeTimeout: 5 * time.Second,
			Subprotocols:     []string{wire.Subprotocol},
			CheckOrigin:      func(*http.Request) bool { return true }, // checked before
		},
	}
	for _, h := range append(cfg.Hosts, "localhost", "127.0.0.1", "::1") {
		s.hosts[strings.ToLower(h)] = true
	}
	for _, o := range slices.Concat(cfg.Origins, cfg.API.Dapps()) {
		if !wire.IsOrigin(o) {
			return nil, fmt.Errorf("server: origin %q: write scheme://host or scheme://host:port, nothing after it", o)
		}
		s.origins[strings.ToLower(o)] = true
		// The host of an app's shell is no name that anybody calls a server by.
		if u, err := url.Parse(o); err == nil && len(cfg.Hosts) == 0 && wire.IsWebOrigin(o) {
			s.hosts[strings.ToLower(u.Hostname())] = true
		}
	}
	s.posts = postDoor{srv: s, channels: map[[32]byte]*channel{}}
	s.metrics = newMetrics(cfg.Metrics)
	return s, s.openDoor()
}

// Serve accepts connections on ln until ctx ends, then refuses new ones, tells the open ones to come back (close code
// 1012), and returns when all are gone. It closes ln. Runs go on; ending them is not the server's business.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	// Sockets outlive ctx by the time that draining takes.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	hs := &http.Server{
		Handler:           s.buildRoutes(base),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      5 * time.Minute, // of a page or a record; sockets have limits of their own
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	var wg sync.WaitGroup
	ticks, stop := context.WithCancel(base)
	wg.Go(func() { s.checkSockets(ticks) })
	wg.Go(func() { s.recheckSessions(ticks) })
	failed := make(chan error, 1)
	wg.Go(func() { failed <- hs.Serve(meteredListener{s.boundListener(ln)}) })

	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.drainSockets(hs)
	stop()
	cut()
	wg.Wait()
	s.wg.Wait()
	return err
}

// boundListener keeps one address from having all of the process's connections.
func (s *Server) boundListener(ln net.Listener) net.Listener {
	return &boundedListener{
		Listener: ln, most: s.cfg.Limits.Open, proxies: s.cfg.Proxies, open: map[string]int{},
		refused: s.metrics.refused.WithLabelValues("connections").Inc,
	}
}

// drainSockets ends everything that is open, within Limits.Drain.
func (s *Server) drainSockets(hs *http.Server) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	open := s.listSockets()
	for _, c := range open {
		c.out.queueClose(websocket.CloseServiceRestart, "the server restarts; connect again and resume")
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Limits.Drain)
	defer cancel()
	if err := hs.Shutdown(ctx); err != nil {
		hs.Close()
	}
	gone := make(chan struct{})
	go func() { s.wg.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-ctx.Done():
		for _, c := range open {
			c.ws.Close()
		}
		<-gone
	}
}

// buildRoutes returns all routes. Sockets live in base.
func (s *Server) buildRoutes(base context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /ws", s.requireHost(s.acceptSocket(base)))
	s.posts.addRoutes(mux)
	mux.Handle("/ipfs/", s.requireHost(limitBlocks(blockLimits{
		rate: s.cfg.Limits.BlockRate, burst: s.cfg.Limits.BlockBurst, bytes: s.cfg.Limits.BlockBytes,
		ahead: s.cfg.Limits.BlockAhead, maxReaders: maxBlockReaders,
		addressOfReader: func(r *http.Request) string { return networkOf(s.cfg.Proxies.clientOf(r)) },
	}, s.cfg.Gateway)))
	if s.door != nil {
		for _, pattern := range []string{"/v1/", "/mcp", "/a2a", "/a2a/", "GET /.well-known/agent-card.json"} {
			mux.Handle(pattern, s.inDoorForm(s.requireHost(s.door)))
		}
	}
	if s.cfg.HeadLog != nil {
		mux.Handle("/log/", s.requireHost(http.StripPrefix("/log", s.cfg.HeadLog)))
	}
	if s.cfg.Operator != nil {
		mux.Handle("/operator/", s.requireHost(requireLoopback(s.cfg.Operator, s.cfg.OperatorBody)))
	}
	mux.Handle("GET /openrpc.json", s.requireHost(serveJSON(wire.OpenRPC(s.cfg.Version))))
	mux.Handle("GET /asyncapi.json", s.requireHost(serveJSON(wire.AsyncAPI(s.cfg.Version))))
	mux.Handle("GET /metrics", s.requireHost(requireLoopback(s.Figures(), nil)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.checkReady(); err != nil {
			s.log.Warn("not ready", "err", err)
			writeText(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		writeText(w, http.StatusOK, "ok")
	})
	if s.cfg.Console != nil {
		mux.Handle("GET /console/", s.requireHost(s.cfg.Console))
	}
	if s.cfg.Manual != nil {
		mux.Handle("GET /docs/", s.requireHost(s.cfg.Manual))
		mux.Handle("GET /docs", http.RedirectHandler("/docs/", http.StatusSeeOther))
	}
	mux.Handle("GET /{$}", s.requireHost(http.HandlerFunc(s.serveFront)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
		mux.ServeHTTP(w, r)
	})
}

// serveFront answers at /: the page to browsers, and to all others what there is.
func (s *Server) serveFront(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	if s.cfg.Console != nil && strings.Contains(r.Header.Get("Accept"), "text/html") {
		s.cfg.Console.ServeHTTP(w, r)
		return
	}
	writeText(w, http.StatusOK, "writ "+s.cfg.Version+": AI agents that act only within wallet-signed permissions.\n\n"+
		"  /               a page, to browsers\n"+
		"  /docs           how all of it works, and what each error means\n"+
		"  /ws             the protocol "+wire.Subprotocol+" (call rpc.discover for its description)\n"+
		"  "+wire.Path+"            the same by POST, one request a body; events to who accepts text/event-stream\n"+
		"  /openrpc.json /asyncapi.json   what it can be asked, for programs\n"+
		"  /v1/            an agent as a model, to the SDKs of OpenAI and Anthropic; writ key new makes a key\n"+
		"  /mcp            an agent as tools of the Model Context Protocol\n"+
		"  /a2a            an agent to other agents (A2A 1.0); its card: /.well-known/agent-card.json\n"+
		"  /ipfs/<cid>     records, ?format=raw or ?format=car\n"+
		"  /log/           the transparency log: its key, checkpoint, tile/...\n"+
		"  /healthz /readyz /metrics")
}

// Figures serves the metrics to whoever asks. On the server's own address only this machine may ask.
func (s *Server) Figures() http.Handler {
	return promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{})
}

func (s *Server) checkReady() error {
	s.mu.Lock()
	draining := s.draining
	s.mu.Unlock()
	if draining {
		return errors.New("draining")
	}
	if s.cfg.Ready != nil {
		return s.cfg.Ready()
	}
	return nil
}

// serveJSON serves a document that is the same for everybody.
func serveJSON(doc []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(doc) // whether it arrives only the client can know
	})
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
