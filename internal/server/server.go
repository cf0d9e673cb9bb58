// Package server is the edge that dApps connect to: the WebSocket protocol of agent/wire, the gateway for records,
// and the endpoints for operators.
//
// [New] takes a [Config], [Server.Serve] runs until its context ends and returns when every goroutine has. A socket
// costs one goroutine that reads and, only while there is something to send, one that writes. What a client says is
// bounded, read strictly and paid for with a token before anything acts on it; a method that acts is signed by the
// session key, over this socket's channel and the next number of it, and the session is read again from the store
// each time.
//
// Durable events are never dropped: a subscription reads the journal only as fast as the socket takes the events, so
// a slow client costs a bounded queue and is cut when it takes nothing for a while. It connects again and resumes
// from the last event that it has, here or on another node. A socket's end never ends a run.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// A Runner runs agents. *agent.Runner is one. Its methods may be called by many goroutines at once.
type Runner interface {
	OpenSession(ctx context.Context, g *auth.Grant) (agent.Session, error)
	Session(ctx context.Context, id provenance.Link) (agent.Session, error)
	Sessions(ctx context.Context, of agent.Session) ([]agent.Session, error)
	Revoke(ctx context.Context, q agent.RevokeRequest) error
	// Use is Session for one who acts: it notes the time, and fails if the session may not act any more.
	Use(ctx context.Context, id provenance.Link) (agent.Session, error)
	// Idle is how long a session may go unused.
	Idle() time.Duration

	Start(ctx context.Context, q agent.StartRequest) (agent.RunInfo, error)
	Cancel(ctx context.Context, run provenance.Link) error
	Run(ctx context.Context, id provenance.Link) (agent.RunInfo, error)
	Runs(ctx context.Context, of agent.Session, limit int) ([]agent.RunInfo, error)
	// Steps returns at most limit steps from seq from on, in order.
	Steps(ctx context.Context, run provenance.Link, from uint64, limit int) ([]agent.StepView, error)
	// Watch returns a channel that gets a value when the run may have new steps, and one of text as a model writes
	// it. Either may lose values. stop ends both.
	Watch(run provenance.Link) (hints <-chan struct{}, deltas <-chan string, stop func())

	Approvals(ctx context.Context, of agent.Session) ([]agent.PendingApproval, error)
	Lineage(ctx context.Context, run provenance.Link) (agent.Lineage, error)
	Decide(ctx context.Context, d agent.ApprovalDecision) error

	// AgentsFor lists the agents with the rules that sessions for pages of this origin get.
	AgentsFor(origin string) []agent.AgentInfo
	// Keys returns the keys of a run's sealed leaves, as far as they were not erased.
	Keys(ctx context.Context, run provenance.Link) (map[provenance.Link]provenance.LeafKey, error)
	// Epoch names the store's incarnation.
	Epoch(ctx context.Context) (string, error)
}

// A Log is the transparency log of heads. *translog.Log is one.
type Log interface {
	http.Handler  // serves checkpoint and tiles, under /log/
	VKey() string // its name and public key
	// Receipt returns the receipt of a run's newest head, or agent.ErrNotFound; Await waits for it until ctx ends.
	Receipt(ctx context.Context, run provenance.Link) (agent.Receipt, error)
	Await(ctx context.Context, run provenance.Link) (agent.Receipt, error)
	// Watch returns a channel that gets each new receipt of a run. stop ends it.
	Watch(run provenance.Link) (receipts <-chan agent.Receipt, stop func())
}

// Config says what a [Server] is made of.
type Config struct {
	Runner  Runner       // required
	HeadLog Log          // gives receipts; there are none if nil
	Desk    *auth.Desk   // required: gives out messages to sign and takes them back
	Gateway http.Handler // required: serves /ipfs/
	// Dapps are the desks of origins whose pages ask for signatures in their own name, by origin in lower case. They may
	// connect as Origins may. The pages of all others, and clients that are no pages, ask at Desk.
	Dapps map[string]*auth.Desk
	// Origins are the web origins whose pages may connect, as browsers send them: scheme://host[:port]. A client that
	// sends no Origin is not a browser and is let in.
	Origins []string
	// Hosts are the names by which this server may be called, without port, against DNS rebinding. If empty: the
	// hosts of Origins, localhost and the loopback addresses.
	Hosts []string
	// Operator answers requests of the operator under /operator/; there are none if nil. It must check who asks, since any
	// program of this machine can.
	Operator http.Handler
	Version  string               // of the program; "dev" if empty
	Log      *slog.Logger         // logs nothing if nil
	Metrics  *prometheus.Registry // a registry of its own if nil; served at /metrics
	Ready    func() error         // says why this server cannot serve; always ready if nil
	Limits   Limits               // the defaults where zero
}

// Limits bound what clients can cost.
type Limits struct {
	Calls         int           // calls under way on one socket; 32
	Subscriptions int           // on one socket; 100
	PerAddress    int           // sockets of one address (IPv6: one /64) that have no session; 20
	PerWallet     int           // sockets of one wallet; 50
	Rate          float64       // frames a second, of one address or one wallet; 50
	Burst         float64       // frames at once; 100
	QueueItems    int           // frames waiting for one socket; 1024
	QueueBytes    int           // bytes waiting for one socket; 1 MiB
	Page          int           // steps read at once; 256
	First         time.Duration // from connecting to the first request; 5 s
	SignIn        time.Duration // from connecting to a session; 5 min
	Stall         time.Duration // that a write may take; 30 s
	Ping          time.Duration // between pings, +-20 %; 25 s. Three without an answer end the socket
	Poll          time.Duration // after which a subscription looks without a hint; 10 s
	Act           time.Duration // that an acting call may take after its socket is gone; 30 s
	Receipt       time.Duration // that a subscription waits for the closing head's receipt; 10 s
	Drain         time.Duration // that sockets may take to close at the end; 10 s
}

func (l *Limits) fill() {
	def(&l.Calls, 32)
	def(&l.Subscriptions, 100)
	def(&l.PerAddress, 20)
	def(&l.PerWallet, 50)
	def(&l.Rate, 50)
	def(&l.Burst, 100)
	def(&l.QueueItems, 1024)
	def(&l.QueueBytes, 1<<20)
	def(&l.Page, 256)
	def(&l.First, 5*time.Second)
	def(&l.SignIn, 5*time.Minute)
	def(&l.Stall, 30*time.Second)
	def(&l.Ping, 25*time.Second)
	def(&l.Poll, 10*time.Second)
	def(&l.Act, 30*time.Second)
	def(&l.Receipt, 10*time.Second)
	def(&l.Drain, 10*time.Second)
}

func def[T int | float64 | time.Duration](v *T, d T) {
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
	methods  map[string]handler
	upgrader websocket.Upgrader
	openrpc  []byte

	wg sync.WaitGroup // sockets

	mu       sync.Mutex
	conns    map[*conn]struct{} // guarded by mu
	peers    map[string]*peer   // guarded by mu; by "ip/..." and "wallet/..."
	draining bool               // guarded by mu
}

// New returns a Server, or an error that names the first field that is wrong.
func New(cfg Config) (*Server, error) {
	switch {
	case cfg.Runner == nil:
		return nil, errors.New("server: Runner is missing")
	case cfg.Desk == nil:
		return nil, errors.New("server: Desk is missing")
	case slices.Contains(slices.Collect(maps.Values(cfg.Dapps)), nil):
		return nil, errors.New("server: a desk of Dapps is missing")
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
	cfg.Limits.fill()
	s := &Server{
		cfg: cfg, log: cfg.Log, origins: map[string]bool{}, hosts: map[string]bool{},
		conns: map[*conn]struct{}{}, peers: map[string]*peer{},
		openrpc: wire.OpenRPC(cfg.Version),
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
	for _, o := range slices.Concat(cfg.Origins, slices.Sorted(maps.Keys(cfg.Dapps))) {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || o != u.Scheme+"://"+u.Host {
			return nil, fmt.Errorf("server: origin %q: write scheme://host or scheme://host:port, nothing after it", o)
		}
		s.origins[strings.ToLower(o)] = true
		if len(cfg.Hosts) == 0 {
			s.hosts[strings.ToLower(u.Hostname())] = true
		}
	}
	s.metrics = newMetrics(cfg.Metrics)
	s.methods = methods()
	return s, nil
}

// Serve accepts connections on ln until ctx ends, then refuses new ones, tells the open ones to come back (close code
// 1012), and returns when all are gone. It closes ln. Runs go on; ending them is not the server's business.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	// Sockets outlive ctx by the time that draining takes.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	hs := &http.Server{
		Handler:           s.routes(base),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      5 * time.Minute, // of a page or a record; sockets have limits of their own
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	var wg sync.WaitGroup
	ticks, stop := context.WithCancel(base)
	wg.Go(func() { s.sweep(ticks) })
	wg.Go(func() { s.recheck(ticks) })
	failed := make(chan error, 1)
	wg.Go(func() { failed <- hs.Serve(ln) })

	var err error
	select {
	case err = <-failed:
		err = fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	s.drain(hs)
	stop()
	cut()
	wg.Wait()
	s.wg.Wait()
	return err
}

// drain ends everything that is open, within Limits.Drain.
func (s *Server) drain(hs *http.Server) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	open := s.open()
	for _, c := range open {
		c.out.close(websocket.CloseServiceRestart, "the server restarts; connect again and resume")
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

// routes returns all routes. Sockets live in base.
func (s *Server) routes(base context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /ws", s.named(s.connect(base)))
	mux.Handle("/ipfs/", s.named(s.cfg.Gateway))
	if s.cfg.HeadLog != nil {
		mux.Handle("/log/", s.named(http.StripPrefix("/log", s.cfg.HeadLog)))
	}
	if s.cfg.Operator != nil {
		mux.Handle("/operator/", s.named(local(s.cfg.Operator)))
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.cfg.Metrics, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.ready(); err != nil {
			s.log.Warn("not ready", "err", err)
			say(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		say(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusOK, "writ "+s.cfg.Version+": AI agents that act only within wallet-signed permissions.\n\n"+
			"  /ws             the protocol "+wire.Subprotocol+" (call rpc.discover for its description)\n"+
			"  /ipfs/<cid>     records, ?format=raw or ?format=car\n"+
			"  /log/           the transparency log: its key, checkpoint, tile/...\n"+
			"  /healthz /readyz /metrics")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) ready() error {
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

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
