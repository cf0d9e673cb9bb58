package notice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/reach"
)

var secret = []byte("0123456789abcdef")

func waitOf(n int) Wait {
	return Wait{Run: fmt.Sprint("run", n), Effect: "3.0", Agent: "payer", Wallet: "0xA11ce", Until: time.Now().Add(time.Hour)}
}

// A bench is a Teller over a real receiver.
type bench struct {
	*testing.T
	cfg  Config
	logs bytes.Buffer
	url  string

	mu     sync.Mutex
	waits  []Wait
	answer func(n int64, w http.ResponseWriter) // the n-th request
	asked  atomic.Int64
	bodies []string
	ids    []string
}

func newBench(t *testing.T) *bench {
	b := &bench{T: t, answer: func(int64, http.ResponseWriter) {}}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.bodies, b.ids = append(b.bodies, string(body)), append(b.ids, r.Header.Get("Webhook-Id"))
		b.mu.Unlock()
		b.answer(b.asked.Add(1), w)
	}))
	t.Cleanup(web.Close)
	b.url = web.URL + "/hook?token=s3cret"
	b.cfg = Config{
		Targets: []Target{b.target("ops")}, Waiting: b.waiting, Page: "https://agents.example",
		File: filepath.Join(t.TempDir(), File), Look: time.Millisecond, First: time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&b.logs, nil)),
	}
	return b
}

func (b *bench) target(name string) Target {
	return Target{Name: name, URL: b.url, Secret: secret, Format: JSON, Gate: reach.Gate{Private: true}}
}

func (b *bench) waiting(context.Context) ([]Wait, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waits, nil
}

// runUntil runs a new Teller over the same file until all deliveries are as ok says.
func (b *bench) runUntil(ok func([]Delivery) bool) []Delivery {
	b.Helper()
	t, err := New(b.cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithTimeout(b.Context(), 2*time.Minute)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { t.Run(ctx) })
	defer wg.Wait()
	defer stop()
	for {
		list, err := Read(b.cfg.File)
		if err != nil {
			b.Fatal(err)
		}
		if ok(list) {
			return list
		}
		if ctx.Err() != nil {
			b.Fatalf("it does not come to it: %+v", list)
		}
		time.Sleep(time.Millisecond) // the file is written by another goroutine
	}
}

func allAre(state string, n int) func([]Delivery) bool {
	return func(list []Delivery) bool {
		for _, d := range list {
			if d.State != state {
				return false
			}
		}
		return len(list) == n
	}
}

func TestANoticeIsToldOnceWhateverFails(t *testing.T) {
	b := newBench(t)
	b.waits = []Wait{waitOf(1), waitOf(2)}
	b.answer = func(n int64, w http.ResponseWriter) {
		switch n {
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				c.Close() // nobody knows whether it took it
			}
		}
	}
	tries := 0
	for _, d := range b.runUntil(allAre(told, 2)) {
		tries += d.Tries
	}
	if tries < 5 {
		t.Errorf("%d tries; the receiver was away three times", tries)
	}
	asked := b.asked.Load()
	b.waits = append(b.waits, waitOf(3))
	b.runUntil(allAre(told, 3))
	if n := b.asked.Load(); n != asked+1 {
		t.Errorf("after a restart %d were told; one is new", n-asked)
	}
	seen := map[string]bool{}
	for _, id := range b.ids {
		seen[id] = true
	}
	if len(seen) != 3 {
		t.Errorf("three notices have %d ids", len(seen))
	}
	if strings.Contains(b.logs.String(), "s3cret") {
		t.Error("the log has the address")
	}
}

func TestWhatIsGivenUpIsKept(t *testing.T) {
	for rule, tt := range map[string]struct {
		status int
		giveUp time.Duration
	}{
		"it says that it will never take it": {http.StatusNotFound, time.Hour},
		"it leads elsewhere":                 {http.StatusFound, time.Hour},
		"it was away for too long":           {http.StatusBadGateway, time.Nanosecond},
	} {
		b := newBench(t)
		b.cfg.GiveUp, b.waits = tt.giveUp, []Wait{waitOf(1)}
		b.answer = func(_ int64, w http.ResponseWriter) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(tt.status)
		}
		list := b.runUntil(allAre(dead, 1))
		if !list[0].IsDead() || !strings.Contains(list[0].Error, fmt.Sprint(tt.status)) {
			t.Errorf("%s: %+v", rule, list)
		}
		if !strings.Contains(b.logs.String(), "given up") || strings.Contains(b.logs.String()+list[0].Error, "s3cret") {
			t.Errorf("%s: the log says %s", rule, &b.logs)
		}
	}
}

func TestATargetThatIsAwayKeepsNoOtherWaiting(t *testing.T) {
	b := newBench(t)
	gone := b.target("gone")
	gone.URL = "http://127.0.0.1:1/s3cret"
	b.cfg.Targets = []Target{gone, b.target("ops")}
	b.waits = []Wait{waitOf(1)}
	b.runUntil(func(list []Delivery) bool {
		return len(list) == 2 && (list[0].State == told) != (list[1].State == told)
	})
}

func TestWhatIsOverIsToldToNobody(t *testing.T) {
	b := newBench(t)
	over := waitOf(1)
	over.Until = time.Now().Add(-time.Second)
	b.waits = []Wait{over, waitOf(2)}
	if list := b.runUntil(allAre(told, 1)); list[0].Run != "run2" || b.asked.Load() != 1 {
		t.Errorf("got %+v", list)
	}
}

func TestSlackTakesIt(t *testing.T) {
	b := newBench(t)
	b.cfg.Targets[0].Format, b.cfg.Targets[0].Secret = Slack, nil
	b.waits = []Wait{waitOf(1)}
	b.runUntil(allAre(told, 1))
	var got map[string]string
	if err := json.Unmarshal([]byte(b.bodies[0]), &got); err != nil || len(got) != 1 ||
		!strings.Contains(got["text"], "<https://agents.example/#approvals|") {
		t.Errorf("got %s, %v", b.bodies[0], err)
	}
}

func TestATargetThatIsWrongIsRefused(t *testing.T) {
	for rule, change := range map[string]func(*Target){
		"no https":         func(t *Target) { t.Gate.Private = false },
		"no address":       func(t *Target) { t.URL = "s3cret" },
		"a name in it":     func(t *Target) { t.URL = "https://s3cret@hooks.example" },
		"another format":   func(t *Target) { t.Format = "xml" },
		"a short secret":   func(t *Target) { t.Secret = secret[:15] },
		"another protocol": func(t *Target) { t.URL = "ftp://hooks.example/s3cret" },
	} {
		b := newBench(t)
		change(&b.cfg.Targets[0])
		if _, err := New(b.cfg); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

// A receiver of another make checks a signature like this one, from the example of Standard Webhooks' libraries.
func TestTheSignatureIsTheOneOfStandardWebhooks(t *testing.T) {
	got := Sign([]byte("key"), "msg_1", time.Unix(1614265330, 0), []byte(`{"test":1}`))
	if got != "v1,Iu/7KPxS9nwK3llDtKtVyiN6a4Zlvd+k55TarTHlUag=" {
		t.Errorf("got %s", got)
	}
}

func TestADamagedFileIsSaid(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(b.cfg.File, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(b.cfg); err == nil || errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "told again") {
		t.Errorf("got %v", err)
	}
}

func TestTheBookIsBounded(t *testing.T) {
	b, err := openBook(filepath.Join(t.TempDir(), File))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range maxDead + 5 {
		b.all[fmt.Sprint(i)] = &Delivery{State: dead, First: now.Add(time.Duration(i) * time.Second)}
	}
	b.all["old"] = &Delivery{State: dead, First: now.Add(-keepDead - time.Hour)}
	b.all["over"] = &Delivery{State: told, Until: now.Add(-time.Hour)}
	b.forgetOver(now)
	if _, oldest := b.all["0"]; len(b.all) != maxDead || oldest {
		t.Errorf("%d are kept", len(b.all))
	}
}

// A stop in the middle of a try does not make the receiver hear it twice.
func TestAStopWaitsForTheAnswer(t *testing.T) {
	b := newBench(t)
	b.waits = []Wait{waitOf(1)}
	began, answer := make(chan struct{}), make(chan struct{})
	b.answer = func(int64, http.ResponseWriter) { close(began); <-answer }
	teller, err := New(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { teller.Run(ctx); close(done) }()
	<-began
	stop()
	close(answer)
	<-done
	if list, err := Read(b.cfg.File); err != nil || len(list) != 1 || !list[0].IsTold() {
		t.Errorf("got %+v, %v", list, err)
	}
}
