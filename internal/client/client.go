// Package client talks to a writ server: for the command line, for tests, and for Go programs that act for a wallet.
//
// [Dial] connects. [Client.SignIn] opens a session with a wallet's signature, [Client.Resume] takes one up again with
// its session key. Calls are then methods; each error that the server gave is a [*wire.Error] with its code.
// [Client.Events] follows a run.
//
// A lost socket is not an error while there is time: the client connects again, resumes its session, repeats the
// call, and a stream of events goes on after the last one seen. That is safe since every method that acts is
// idempotent, by its key or by its nature.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
)

// attempts bounds how often one call is tried on new sockets.
const attempts = 8

// A Client is a connection to a server that mends itself. Its methods may be called by many goroutines at once.
type Client struct {
	// Device is what a session that is opened calls itself; nothing if empty. It is set before the first call.
	Device string

	ws     string      // the address of /ws
	http   string      // scheme and host
	header http.Header // of the handshake
	dialer *websocket.Dialer
	wg     sync.WaitGroup // readers

	connecting sync.Mutex // held while a socket is made, so that there is one

	mu      sync.Mutex
	link    *link           // guarded by mu; the newest socket, maybe gone
	session cid.Cid         // guarded by mu; undefined before one is open
	key     auth.PrivateKey // guarded by mu; of the session
	closed  bool            // guarded by mu
}

// Dial connects to a server, given as http, https, ws or wss URL or as host:port; without a path, /ws is meant.
func Dial(ctx context.Context, address string) (*Client, error) { return DialFrom(ctx, address, "") }

// DialFrom is [Dial] as a page of origin would connect: the server writes the messages to sign in its name.
func DialFrom(ctx context.Context, address, origin string) (*Client, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("connect to %q: not a URL; give for instance http://127.0.0.1:8420", address)
	}
	secure := u.Scheme == "https" || u.Scheme == "wss"
	if !secure && u.Scheme != "http" && u.Scheme != "ws" {
		return nil, fmt.Errorf("connect to %q: the scheme must be http, https, ws or wss", address)
	}
	c := &Client{
		ws: "ws://" + u.Host, http: "http://" + u.Host,
		dialer: &websocket.Dialer{HandshakeTimeout: 10 * time.Second, Subprotocols: []string{wire.Subprotocol}},
	}
	if secure {
		c.ws, c.http = "wss://"+u.Host, "https://"+u.Host
	}
	if origin != "" {
		c.header = http.Header{"Origin": {origin}}
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/ws"
	}
	c.ws += u.Path
	if _, err := c.liveLink(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends the connection and waits for its goroutines. Runs go on.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	l := c.link
	c.mu.Unlock()
	if l != nil {
		l.sayGoodbye()
	}
	c.wg.Wait()
}

// Hello returns what the server said of itself on the newest connection.
func (c *Client) Hello() wire.Hello {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link.hello
}

// liveLink returns a socket that works, or makes one and resumes the session on it.
func (c *Client) liveLink(ctx context.Context) (*link, error) {
	c.connecting.Lock()
	defer c.connecting.Unlock()
	c.mu.Lock()
	l, closed, session, key := c.link, c.closed, c.session, c.key
	c.mu.Unlock()
	if closed {
		return nil, wire.Errorf(wire.CodeDown, "The client is closed.")
	}
	if l != nil && l.isAlive() {
		return l, nil
	}
	l, err := c.openLink(ctx)
	if err != nil {
		return nil, err
	}
	if session.Defined() {
		p := wire.OpenParams{Session: session.String()}
		if err := l.callAndWait(ctx, wire.SessionOpen, p, nil, &signer{session, key}, nil); err != nil {
			l.sayGoodbye()
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		l.sayGoodbye()
		return nil, wire.Errorf(wire.CodeDown, "The client is closed.")
	}
	c.link = l
	return l, nil
}

func (c *Client) openLink(ctx context.Context) (*link, error) {
	ws, resp, err := c.dialer.DialContext(ctx, c.ws, c.header)
	if err != nil {
		if resp != nil {
			defer resp.Body.Close()
			why, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
			text := strings.TrimSpace(string(why))
			if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
				return nil, wire.Errorf(wire.CodeDown, "%s", text)
			}
			if resp.StatusCode == http.StatusForbidden && text != "" {
				return nil, wire.Errorf(wire.CodeForbidden, "%s", text)
			}
			return nil, fmt.Errorf("connect to %s: %s: %s", c.http, resp.Status, text)
		}
		return nil, wire.Errorf(wire.CodeDown, "No connection to %s (%v); is the server running?", c.http, err)
	}
	if ws.Subprotocol() != wire.Subprotocol {
		ws.Close()
		return nil, fmt.Errorf("connect to %s: the server does not speak %s", c.http, wire.Subprotocol)
	}
	l := newLink(ws)
	c.wg.Go(l.readFrames)
	select {
	case <-l.greeted:
		return l, nil
	case <-l.done:
		return nil, l.closeCause()
	case <-ctx.Done():
		l.sayGoodbye()
		return nil, ctx.Err()
	}
}

// callWithRetries performs one call, on as many sockets as it takes.
func (c *Client) callWithRetries(ctx context.Context, method string, params, result any, signed bool) error {
	for try := 0; ; try++ {
		err := c.callOnce(ctx, method, params, result, signed)
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || try == attempts {
			return err
		}
		wait := backoffDelay(try)
		switch e.Data.Code {
		case wire.CodeDown, wire.CodeFenced:
		case wire.CodeSeq: // the count is set right now
			wait = 0
		case wire.CodeRate:
			wait = rateDelay(try, e)
		default:
			return err
		}
		if !waitFor(ctx, wait) {
			return err
		}
	}
}

func (c *Client) callOnce(ctx context.Context, method string, params, result any, signed bool) error {
	l, err := c.liveLink(ctx)
	if err != nil {
		return err
	}
	var by *signer
	if signed {
		c.mu.Lock()
		by = &signer{c.session, c.key}
		c.mu.Unlock()
		if !by.session.Defined() {
			return wire.Errorf(wire.CodeNoSession, "Sign in first.")
		}
	}
	return l.callAndWait(ctx, method, params, result, by, nil)
}

// backoffDelay returns 50 ms, doubled each time up to 2 s, of which half is chance.
func backoffDelay(try int) time.Duration {
	d := min(2*time.Second, 50*time.Millisecond<<min(try, 10))
	return d/2 + time.Duration(rand.Int64N(int64(d/2)+1))
}

// rateDelay is how long to wait after a request over the rate: what the server says, or longer.
func rateDelay(try int, e *wire.Error) time.Duration {
	return max(backoffDelay(try), time.Duration(e.Data.RetryAfterMS)*time.Millisecond)
}

func waitFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// CAR writes a run's record, as the server's gateway gives it, to w. The caller verifies it.
func (c *Client) CAR(ctx context.Context, p wire.Provenance, w io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.http+p.Car, nil)
	if err != nil {
		return fmt.Errorf("fetch the record: %w", err)
	}
	req.Header.Set("Accept", "application/vnd.ipld.car")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("fetch the record: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return fmt.Errorf("fetch the record: %s: %s", resp.Status, strings.TrimSpace(string(why)))
	}
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("fetch the record: %w", err)
	}
	return nil
}

// A Call is any call of the protocol, for those that have no method here. Signed ones are signed.
func (c *Client) Call(ctx context.Context, method string, params any, signed bool) (json.RawMessage, error) {
	var out json.RawMessage
	err := c.callWithRetries(ctx, method, params, &out, signed)
	return out, err
}
