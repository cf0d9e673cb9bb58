package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// serve plays a server: after hello, each frame of the client's is given to script, which returns what to send.
// "close N" closes with that code, "cut" without one. The real server's tests, with this client, are in
// internal/server.
func serve(t *testing.T, script func(method string) []string) string {
	t.Helper()
	up := websocket.Upgrader{Subprotocols: []string{wire.Subprotocol}}
	var mu sync.Mutex // scripts are for one socket at a time
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			http.Error(w, "no such record", http.StatusNotFound)
			return
		}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		hello := fmt.Sprintf(`{"jsonrpc":"2.0","method":"hello","params":{"channel":"%064x","server":"writ","version":"1","epoch":"e"}}`, 7)
		if ws.WriteMessage(websocket.TextMessage, []byte(hello)) != nil {
			return
		}
		for {
			_, data, err := ws.ReadMessage()
			if err != nil {
				return
			}
			var req wire.Request
			if err := json.Unmarshal(data, &req); err != nil {
				t.Errorf("the client wrote %s", data)
				return
			}
			mu.Lock()
			outs := script(req.Method)
			mu.Unlock()
			for _, out := range outs {
				var code int
				if out == "cut" {
					return
				} else if _, err := fmt.Sscanf(out, "close %d", &code); err == nil {
					_ = ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""))
					return
				}
				if ws.WriteMessage(websocket.TextMessage, []byte(strings.ReplaceAll(out, "$id", string(req.ID)))) != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func dial(t *testing.T, script func(method string) []string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), serve(t, script))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

const (
	ok  = `{"jsonrpc":"2.0","id":$id,"result":{}}`
	sub = `{"jsonrpc":"2.0","id":$id,"result":{"sub":"s1","recovered":true,"epoch":"e","head":9}}`
)

func event(seq int, does string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","method":"run.event","params":{"sub":"s1","run":"r","epoch":"e","seq":%d,"event":{"kind":"ask"},"does":[%s]}}`, seq, does)
}

func TestDialSaysWhatIsWrong(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Pages of this origin may not connect.", http.StatusForbidden)
	}))
	defer plain.Close()
	for address, want := range map[string]string{
		"ftp://x":       "the scheme must be",
		"http://":       "not a URL",
		"127.0.0.1:1":   "is the server running?",
		plain.URL:       "Pages of this origin may not connect.",
		"http://[::1":   "not a URL",
		"ws://bad host": "not a URL",
	} {
		if _, err := Dial(t.Context(), address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", address, err, want)
		}
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	c := dial(t, func(string) []string { return nil }) // no answer ever
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestCallsAreRepeatedOnANewSocket(t *testing.T) {
	var tries atomic.Int32
	c := dial(t, func(string) []string {
		if tries.Add(1) < 3 {
			return []string{"cut"}
		}
		return []string{ok}
	})
	if err := c.Ping(t.Context()); err != nil || tries.Load() != 3 {
		t.Errorf("got %v after %d tries, want success at the third", err, tries.Load())
	}
}

// A sign-in whose challenge has used up the rate waits as the server says, and opens its session on the same socket.
func TestASignInWaitsForTheRate(t *testing.T) {
	key, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var tries atomic.Int32
	c := dial(t, func(method string) []string {
		if tries.Add(1) < 3 {
			return []string{`{"jsonrpc":"2.0","id":$id,"error":{"code":-32005,"message":"Too many requests.",` +
				`"data":{"code":"rate_limited","retryable":true,"retry_after_ms":30}}}`}
		}
		return []string{`{"jsonrpc":"2.0","id":$id,"result":{"session":"` + provenance.Sum(cid.DagCBOR, nil).String() + `"}}`}
	})
	first := c.link
	begin := time.Now()
	if _, err := c.Open(t.Context(), "message", nil, key); err != nil || tries.Load() != 3 || c.link != first {
		t.Errorf("got %v after %d tries, want success at the third, on one socket", err, tries.Load())
	}
	if took := time.Since(begin); took < 60*time.Millisecond {
		t.Errorf("it took %s, want 30 ms after each refusal", took)
	}
}

func TestErrorsKeepTheirCode(t *testing.T) {
	for answer, want := range map[string]wire.Code{
		`{"jsonrpc":"2.0","id":$id,"error":{"code":-32001,"message":"No.","data":{"code":"not_found","retryable":false}}}`: wire.CodeNotFound,
		"close 4403": wire.CodeRevoked,
		"close 4401": wire.CodeExpired,
		"close 1009": wire.CodeParams,
	} {
		c := dial(t, func(string) []string { return []string{answer} })
		if err := c.Ping(t.Context()); !errors.Is(err, wire.Errorf(want, "")) {
			t.Errorf("%s: got %v, want %s", answer, err, want)
		}
	}
}

func TestSignedCallsNeedASession(t *testing.T) {
	c := dial(t, func(string) []string { return []string{ok} })
	if _, err := c.Start(t.Context(), wire.StartParams{}); !errors.Is(err, wire.Errorf(wire.CodeNoSession, "")) {
		t.Errorf("got %v, want %s", err, wire.CodeNoSession)
	}
}

func TestEventsAreNeverDoubledNorLeftOut(t *testing.T) {
	var subscribed atomic.Int32
	c := dial(t, func(method string) []string {
		if method != wire.RunSubscribe {
			return nil
		}
		switch subscribed.Add(1) {
		case 1:
			return []string{sub, event(0, ""), event(1, ""), event(1, ""), "cut"}
		case 2:
			return []string{sub, event(1, ""), event(2, ""), event(4, "")} // 3 is missing: the client asks again
		default:
			return []string{sub, event(3, ""), event(4, `{"kind":"close"}`)}
		}
	})
	var seqs []uint64
	for u, err := range c.Events(t.Context(), "r", nil) {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, u.Event.Seq)
	}
	if got := fmt.Sprint(seqs); got != "[0 1 2 3 4]" || subscribed.Load() != 3 {
		t.Errorf("got %s with %d subscriptions, want 0 to 4 with 3", got, subscribed.Load())
	}
}

func TestAnUnreadableServerEndsTheCall(t *testing.T) {
	for _, nonsense := range []string{`{`, `[]`, `{"jsonrpc":"2.0","method":"hello","params":{"channel":"zz"}}`, `{"jsonrpc":"2.0","method":"run.event","params":7}`} {
		var tries atomic.Int32
		c := dial(t, func(string) []string {
			if tries.Add(1) < 3 {
				return []string{nonsense}
			}
			return []string{ok}
		})
		if err := c.Ping(t.Context()); err != nil || tries.Load() != 3 {
			t.Errorf("%s: got %v after %d tries", nonsense, err, tries.Load())
		}
	}
}

func TestCAR(t *testing.T) {
	c := dial(t, func(string) []string { return nil })
	if err := c.CAR(t.Context(), wire.Provenance{Car: "/ipfs/x"}, io.Discard); err == nil || !strings.Contains(err.Error(), "no such record") {
		t.Errorf("got %v, want the gateway's words", err)
	}
}
