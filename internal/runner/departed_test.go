package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A shutModel is one that answers once it is closed.
type shutModel chan struct{}

func (g shutModel) Reply(ctx context.Context, _ model.Prompt) (model.Reply, error) {
	select {
	case <-g:
		return text("late, and here"), nil
	case <-ctx.Done():
		return model.Reply{}, ctx.Err()
	}
}

// A departure is a front door whose clients go away.
type departure struct {
	*bench
	calls *api.API
	door  http.Handler
	model shutModel
	key   string
	seen  map[provenance.Link]bool
}

func openDeparture(t *testing.T) *departure {
	d := &departure{model: make(shutModel), seen: map[provenance.Link]bool{}}
	d.bench = openWith(t, d.model, func(*runner.Config) {})
	d.calls, d.door, d.key = newDoor(t, d.bench)
	return d
}

// post makes a request in the form of Chat Completions.
func (d *departure) post(ctx context.Context, idempotency, more string) *http.Request {
	body := `{"model":"payer","messages":[{"role":"user","content":"pay"}]` + more + `}`
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+d.key)
	if idempotency != "" {
		r.Header.Set("Idempotency-Key", idempotency)
	}
	return r
}

// askAndGo asks and goes away once the run's events are told.
func (d *departure) askAndGo(idempotency string) provenance.Link {
	d.Helper()
	ctx, leave := context.WithCancel(d.Context())
	w := httptest.NewRecorder()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		d.door.ServeHTTP(w, d.post(ctx, idempotency, ""))
	}()
	run := d.newest()
	for !d.calls.IsFollowed(run.String()) {
		time.Sleep(time.Millisecond)
	}
	leave()
	<-answered
	if d.calls.IsFollowed(run.String()) {
		d.Error("its stream outlives the request")
	}
	return run
}

// newest waits for a run that was not there before.
func (d *departure) newest() provenance.Link {
	d.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		all, err := d.r.Runs(d.Context(), d.session, 10)
		if err != nil {
			d.Fatal(err)
		}
		for _, r := range all {
			if !d.seen[r.ID] {
				d.seen[r.ID] = true
				return r.ID
			}
		}
	}
	d.Fatal("no run begins")
	return provenance.Link{}
}

// Who gave a key comes back for the answer; without one nobody can, and the run ends.
func TestWhoComesBackByAKeyHasTheAnswer(t *testing.T) {
	d := openDeparture(t)
	run := d.askAndGo("")
	if info := d.ended(run); info.Status != provenance.CloseCancelled {
		t.Errorf("without a key: %s", info.Status)
	}
	run = d.askAndGo("one")
	close(d.model)
	w := httptest.NewRecorder()
	d.door.ServeHTTP(w, d.post(t.Context(), "one", ""))
	if again := w.Header().Get("X-Writ-Run"); w.Code != http.StatusOK || again != run.String() ||
		!strings.Contains(w.Body.String(), "late, and here") {
		t.Errorf("with a key: %d %s, run %s and not %s", w.Code, w.Body, again, run)
	}
}

// A run that somebody else follows goes on without the client that began it.
func TestARunThatIsFollowedGoesOn(t *testing.T) {
	d := openDeparture(t)
	ctx, leave := context.WithCancel(t.Context())
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		d.door.ServeHTTP(httptest.NewRecorder(), d.post(ctx, "", ""))
	}()
	run := d.newest()
	for !d.calls.IsFollowed(run.String()) {
		time.Sleep(time.Millisecond)
	}
	other := d.calls.NewCaller(api.Transport{Private: true, Streams: true})
	if _, refused := other.Enter(t.Context(), mustLink(t, d.session.ID.String()), d.bench.key); refused != nil {
		t.Fatal(refused)
	}
	params, err := json.Marshal(wire.SubscribeParams{Run: run.String()})
	if err != nil {
		t.Fatal(err)
	}
	call, refusal := d.calls.Begin(t.Context(), other,
		wire.Request{JSONRPC: "2.0", ID: json.RawMessage("1"), Method: wire.RunSubscribe, Params: params})
	if refusal != nil {
		t.Fatal(refusal.Error)
	}
	stream := call.Run(t.Context()).Stream
	leave()
	<-answered
	if !d.calls.IsFollowed(run.String()) {
		t.Fatal("the other's stream ended")
	}
	other.Leave()
	select {
	case <-stream.Ended():
	default:
		t.Error("a stream outlives its caller")
	}
	close(d.model)
	if info := d.ended(run); info.Status != provenance.CloseAnswered {
		t.Errorf("the run ended as %s", info.Status)
	}
}

// A deaf writer takes nothing.
type deafWriter struct{ *httptest.ResponseRecorder }

func (deafWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// Who goes before the stream opens leaves neither a run nor a subscription behind.
func TestWhoGoesBeforeTheStreamOpensEndsTheRun(t *testing.T) {
	d := openDeparture(t)
	w := deafWriter{&httptest.ResponseRecorder{HeaderMap: http.Header{}, Body: new(bytes.Buffer)}}
	d.door.ServeHTTP(w, d.post(t.Context(), "", `,"stream":true`))
	run := mustLink(t, w.Header().Get("X-Writ-Run"))
	if info := d.ended(run); info.Status != provenance.CloseCancelled {
		t.Errorf("the run ended as %s", info.Status)
	}
	if d.calls.IsFollowed(run.String()) {
		t.Error("its stream outlives the request")
	}
}

func mustLink(t *testing.T, s string) provenance.Link {
	t.Helper()
	id, err := cid.Decode(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return id
}
