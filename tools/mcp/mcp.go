// Package mcp offers the tools of other programs: servers of the Model Context Protocol, over the standard streams of a
// process that it starts, or over HTTP.
//
// A [Server] is one such program. What it says of its tools is a stranger's word, so a tool is offered only as somebody
// has accepted it: a [Definition] is the server's own words with their CID, [Server.List] asks for those of now, and
// [Server.Tool] makes a tool of one that was accepted. Before a call the server's list is compared with what was
// accepted; a tool whose definition has changed is not called, and its new words reach no model.
//
// What a tool may do is not the server's to say either. Its annotations are hints for people; class, labels, clearance
// and whether the wallet is asked are in [Use], and what is not said there is class once, untrusted, and asks.
//
// A process has its own process group, an environment of its own, and a bound on its memory; it is killed with its
// children. Messages, their rate, lists, results and waits are bounded, and each bound has its sentence.
package mcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
)

// Bounds of a server.
const (
	maxMessage  = 16 << 20 // bytes of one message
	maxResult   = 64 << 10 // bytes of a result's text, and of its structured part, that are returned
	maxTools    = 512      // of one server
	maxPages    = 64       // of its list
	maxFlying   = 8        // calls at a time; others wait
	maxTimeouts = 3        // calls in a row that are not answered, before the server is started anew

	defaultTimeout = 30 * time.Second
	defaultStart   = 30 * time.Second
	defaultMemory  = 1 << 30
	recheckAfter   = 10 * time.Second // a list that is older is asked for again before a call
	firstBackoff   = time.Second
	lastBackoff    = time.Minute
)

// A Config says where a server is. Either Command or URL is required.
type Config struct {
	Name string // what its tools' names begin with: lower-case letters, digits and '_', a letter first

	Command []string // a program and its arguments, which speaks on its standard streams
	Dir     string   // where it runs; here if empty
	Env     []string // NAME=value; of this process's environment it gets PATH, HOME, LANG, TMPDIR and nothing else
	Memory  int64    // bytes of data of each of its processes, where the system can bound it (Linux); 1 GiB if 0

	URL   string     // of its endpoint
	Token string     // is sent as a bearer token; optional
	Login string     // the file of a [Login] instead, which may not be there yet; optional
	Gate  reach.Gate // which addresses may be connected to

	// Resources and Prompts say that what it has beside its tools is listed with them, as tools that read.
	Resources, Prompts bool

	Timeout time.Duration // how long it may be silent in a call; a call takes at most four times that. 30 s if 0
	Start   time.Duration // how long it may take until it has listed its tools; 30 s if 0
	Log     *slog.Logger  // logs nothing if nil

	now func() time.Time // time.Now if nil
}

// A Use says what the operator knows of a tool and the server cannot be asked. The zero Use trusts it with nothing.
type Use struct {
	Name       string      // what it is called here; made of the server's and the tool's name if empty
	Class      tools.Class // once if empty
	AskWallet  bool        // each call needs the wallet's approval
	Output     *tools.Output
	Clearance  label.Secrecy
	Spend      *tools.Spend // the arguments that move value; texts in the tool's own schema
	Book       *tools.Book  // required with Spend
	Utterances []string
	// Reconcile names a second tool of the server that says whether a call happened; optional.
	Reconcile *Second
	// Elicit says that what the server asks in a call is put to the user, and the call made again with the answer. Until
	// it is answered a call has done nothing: that is the operator's word.
	Elicit  bool
	Vouched bool // its descriptions are the operator's word: who accepted them has read them
}

// A Server is one server of tools. It is started, or connected to, by the first that needs it. Its methods may be
// called at the same time.
type Server struct {
	cfg    Config
	flying chan struct{}                  // has an element for each call
	alone  chan struct{}                  // has an element while a call is to be made alone
	person *auth.AuthorizationCodeHandler // has somebody sign in, in [SignInAt]; nil else

	mu       sync.Mutex // guards the rest
	closed   bool
	session  *session      // nil if there is none
	starting chan struct{} // closed when the start that is under way is over; nil if there is none
	failure  error         // of the last start
	retryAt  time.Time     // not before then is it started again
	backoff  time.Duration
	timeouts int // in a row
	ends     sync.WaitGroup
}

var serverName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// New returns a server that has not been started yet, or an error that names what is wrong with the config.
func New(c Config) (*Server, error) {
	switch {
	case !serverName.MatchString(c.Name):
		return nil, fmt.Errorf("mcp: the name %q: use lower-case letters, digits and '_', a letter first, at most 32", c.Name)
	case (len(c.Command) == 0) == (c.URL == ""):
		return nil, fmt.Errorf("mcp: server %s: give it a command or a url, and not both", c.Name)
	case len(c.Command) > 0 && c.Token != "":
		return nil, fmt.Errorf("mcp: server %s: a token is for a url; give a command its secrets in env", c.Name)
	case c.Login != "" && (c.URL == "" || c.Token != ""):
		return nil, fmt.Errorf("mcp: server %s: a login is for a url, in the place of a token", c.Name)
	case c.Timeout < 0 || c.Start < 0 || c.Memory < 0:
		return nil, fmt.Errorf("mcp: server %s: a bound is below zero", c.Name)
	}
	if c.URL != "" {
		if err := checkURL(c.URL, c.Gate.Private); err != nil {
			return nil, fmt.Errorf("mcp: server %s: %w", c.Name, err)
		}
	}
	for _, e := range c.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return nil, fmt.Errorf("mcp: server %s: env has an entry that is no NAME=value", c.Name)
		}
	}
	c.Timeout, c.Start = cmp.Or(c.Timeout, defaultTimeout), cmp.Or(c.Start, defaultStart)
	c.Memory = cmp.Or(c.Memory, defaultMemory)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	return &Server{
		cfg: c, flying: make(chan struct{}, maxFlying), alone: make(chan struct{}, 1), backoff: firstBackoff,
	}, nil
}

func checkURL(raw string, private bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("the url is not an http or https address without password and fragment")
	case u.Scheme == "http" && !private:
		return errors.New("the url must be https; set private for a server on your own network")
	}
	return nil
}

// host returns the host of a server on the network, or "".
func (s *Server) host() string {
	u, err := url.Parse(s.cfg.URL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// Name returns what the server is called.
func (s *Server) Name() string { return s.cfg.Name }

// MaxTime returns how long a call takes at most, with the start of the server.
func (s *Server) MaxTime() time.Duration { return s.cfg.Start + 4*s.cfg.Timeout }

// Close ends the server's process with its children, or the connection, and waits for it. What is under way fails.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	current := s.session
	s.mu.Unlock()
	if current != nil {
		current.end(errors.New("this program is stopping"))
	}
	s.ends.Wait()
	return nil
}

// connect returns the session, and starts the server if there is none. Of those who need it one starts it, and the
// others wait for that. The error is a [*tools.Error]: nothing has been called.
func (s *Server) connect(ctx context.Context) (*session, error) {
	for {
		s.mu.Lock()
		switch {
		case s.closed:
			s.mu.Unlock()
			return nil, s.errorf("server_down", "it is being stopped")
		case s.session != nil && s.session.alive():
			current := s.session
			s.mu.Unlock()
			return current, nil
		case s.starting != nil:
			wait := s.starting
			s.mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
				return nil, s.errorf("server_down", "it is still starting")
			}
			continue
		case s.cfg.now().Before(s.retryAt):
			failure := s.failure
			s.mu.Unlock()
			return nil, s.errorf("server_down", "%v; it is tried again in a moment", failure)
		}
		done := make(chan struct{})
		s.starting = done
		s.ends.Add(1)
		s.mu.Unlock()
		s.start(ctx)
		s.mu.Lock()
		s.starting = nil
		close(done)
		failure := s.failure
		s.mu.Unlock()
		s.ends.Done()
		if failure != nil {
			return nil, s.errorf("server_down", "%v", failure)
		}
	}
}

// start makes a session. Of a failure it takes down why, and when it may be tried again.
func (s *Server) start(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Start)
	defer cancel()
	fresh, err := s.open(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure = err; err != nil {
		s.retryAt = s.cfg.now().Add(s.backoff)
		s.backoff = min(2*s.backoff, lastBackoff)
		s.cfg.Log.WarnContext(ctx, "a server of tools is not there", "server", s.cfg.Name, "err", err)
		return
	}
	s.session, s.timeouts = fresh, 0
	if s.closed {
		fresh.end(errors.New("this program is stopping"))
	}
}

// drop ends a session after a fault of the server. It may be started again at once if it had answered before.
func (s *Server) drop(broken *session, why error) {
	broken.end(why)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == broken {
		s.session, s.failure = nil, why
		s.retryAt = s.cfg.now().Add(s.backoff)
		s.backoff = min(2*s.backoff, lastBackoff)
	}
}

// noteAnswer takes down whether a call was answered. It says whether the server is to be given up.
func (s *Server) noteAnswer(answered bool) (giveUp bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if answered {
		s.timeouts, s.backoff = 0, firstBackoff
		return false
	}
	s.timeouts++
	return s.timeouts >= maxTimeouts
}

func (s *Server) errorf(code, format string, args ...any) *tools.Error {
	said := fmt.Sprintf(format, args...)
	return &tools.Error{Code: code, Message: fmt.Sprintf("The server of tools %s: %s.", s.cfg.Name, said)}
}
