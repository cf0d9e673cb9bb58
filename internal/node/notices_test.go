package node

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/notice"
	"github.com/writ-run/writ/internal/reach"
)

// A receiver answers 503 at first, and keeps what it took.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex // guards the rest
	away   int        // how often it still refuses
	bodies []string
	bad    []string // deliveries that are not signed as they must be
	came   chan struct{}
}

var hookSecret = []byte("0123456789abcdef")

func newReceiver(t *testing.T, away int) *receiver {
	r := &receiver{away: away, came: make(chan struct{}, 100)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.away > 0 {
			r.away--
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		at, _ := strconv.ParseInt(q.Header.Get("Webhook-Timestamp"), 10, 64)
		if q.Header.Get("Webhook-Signature") != notice.Sign(hookSecret, q.Header.Get("Webhook-Id"), time.Unix(at, 0), body) {
			r.bad = append(r.bad, string(body))
		}
		r.bodies = append(r.bodies, string(body))
		r.came <- struct{}{}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) took() ([]string, []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.bodies...), r.bad
}

// What waits for a wallet is told once, also to a receiver that is away at first, and is not told again by the node that
// comes after.
func TestWhatWaitsIsToldOnce(t *testing.T) {
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	hook, data := newReceiver(t, 1), t.TempDir()
	start := func() (string, func() error) {
		n, url, stop := startNode(t, func(c *Config) {
			c.Data, c.Chain.URLs = data, []string{d.URL()}
			c.Webhooks = []notice.Target{
				{Name: "ops", URL: hook.URL + "/s3cret-path", Secret: hookSecret, Format: notice.JSON, Gate: reach.Gate{Private: true}},
			}
		})
		return url, func() error {
			if err := stop(); err != nil {
				return err
			}
			return n.Close()
		}
	}
	url, stop := start()
	ask := func(input string) string {
		t.Helper()
		run, err := signIn(t, url).Start(t.Context(), wire.StartParams{Agent: "treasurer", Input: input})
		if err != nil {
			t.Fatal(err)
		}
		return run.Run
	}
	first := ask("send 5 USDC to bob")
	<-hook.came
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	url, stop = start()
	second := ask("send 6 USDC to bob")
	<-hook.came
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	bodies, bad := hook.took()
	if len(bodies) != 2 || len(bad) != 0 {
		t.Fatalf("%d notices, %d of them not signed by us: %v", len(bodies), len(bad), bodies)
	}
	for i, run := range []string{first, second} {
		var n struct{ Type, Text, Run, Effect, Agent, Wallet, Until, URL string }
		if err := json.Unmarshal([]byte(bodies[i]), &n); err != nil {
			t.Fatal(err)
		}
		if n.Type != "approval.waiting" || n.Run != run || n.Agent != "treasurer" || !strings.HasPrefix(n.Wallet, "0x") ||
			!strings.HasSuffix(n.URL, "/#approvals") {
			t.Errorf("got %s", bodies[i])
		}
		for _, private := range []string{"USDC", "bob", "send", "s3cret", "0x70997970"} {
			if strings.Contains(bodies[i], private) {
				t.Errorf("the notice says %q: %s", private, bodies[i])
			}
		}
	}
	if list, err := notice.Read(data + "/" + notice.File); err != nil || len(list) != 2 {
		t.Errorf("the file has %v, %v", list, err)
	}
}
