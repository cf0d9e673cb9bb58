package runner_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/digest"
	"github.com/writ-run/writ/internal/door"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/provenance"
)

// A doorDialect is how a client asks at the front door, and what tells it that an answer is whole.
type doorDialect struct {
	path, body   string   // of a request that is not streamed
	over, failed string   // in a stream: that the answer is whole, and that there is none
	ends         []string // what else only stands in an answer
}

var doorDialects = []doorDialect{
	{"/v1/chat/completions", `{"model":"payer","messages":[{"role":"user","content":"pay"}]`, "[DONE]", `"error"`, []string{`"finish_reason":"stop"`}},
	{"/v1/responses", `{"model":"payer","input":"pay"`, "response.completed", "response.failed", []string{`"status":"completed"`}},
	{"/v1/messages", `{"model":"payer","max_tokens":9,"messages":[{"role":"user","content":"pay"}]`, "message_stop", "event: error", []string{`"stop_reason":"end_turn"`}},
}

// openDoor opens the front door of a bench, and returns its address and a key for it.
func openDoor(t *testing.T, b *bench) (url, key string) {
	t.Helper()
	_, front, key := newDoor(t, b)
	server := httptest.NewServer(front)
	t.Cleanup(server.Close)
	return server.URL, key
}

// newDoor makes the front door of a bench, and a key for it.
func newDoor(t *testing.T, b *bench) (calls *api.API, front http.Handler, key string) {
	t.Helper()
	b.begins, b.nonce = time.Now().UTC().Truncate(time.Second), rand.Text()[:16] // the front door asks the clock itself
	b.now.Store(b.begins.UnixMilli() + 1)
	if err := b.signIn(t.Context(), b.r); err != nil {
		t.Fatal(err)
	}
	desk, err := auth.NewDesk(auth.Config{Scheme: "http", Domain: "127.0.0.1", Nonces: storetest.Memory(t), Now: time.Now, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	calls, err = api.New(api.Config{Runner: b.r, Archive: digest.Desk{Store: b.store}, Desk: desk})
	if err != nil {
		t.Fatal(err)
	}
	made, err := door.New(door.Config{API: calls})
	if err != nil {
		t.Fatal(err)
	}
	if key, err = (door.Key{Session: b.session.ID, Secret: b.key}).Text(); err != nil {
		t.Fatal(err)
	}
	return calls, made.Handler(), key
}

// askDoor asks once, and returns the status, all that came, and the run.
func askDoor(t *testing.T, b *bench, d doorDialect, streamed bool) (status int, said string, run provenance.Link) {
	t.Helper()
	url, key := openDoor(t, b)
	body := d.body + "}"
	if streamed {
		body = d.body + `,"stream":true}`
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+d.path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all bytes.Buffer
	if _, err := io.Copy(&all, resp.Body); err != nil {
		t.Fatal(err)
	}
	if run, err = cid.Decode(resp.Header.Get("X-Writ-Run")); err != nil {
		t.Fatalf("%s: %s: %v", resp.Status, &all, err)
	}
	return resp.StatusCode, all.String(), run
}

// The same twelve through the front door, in each of its dialects, whole and streamed, where no other model is there:
// nothing that a program would take for an answer, and no run that is recorded as one.
func TestAProviderThatFailsIsNoAnswerAtTheFrontDoor(t *testing.T) {
	for _, d := range doorDialects {
		for _, streamed := range []bool{false, true} {
			for _, m := range mishaps {
				name := d.path + "/whole/" + m.name
				if streamed {
					name = d.path + "/streamed/" + m.name
				}
				t.Run(name, func(t *testing.T) { meetMishapAtDoor(t, d, m, streamed) })
			}
		}
	}
}

func meetMishapAtDoor(t *testing.T, d doorDialect, m mishap, streamed bool) {
	b := openAtWith(t, chatProvider(), m, func(c *runner.Config) {
		c.Agents[0].Routes = []agentfile.Route{{ID: "big", Use: "big"}}
	})
	status, said, run := askDoor(t, b, d, streamed)
	info, err := b.r.Run(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	if info.Status == provenance.CloseAnswered {
		t.Errorf("the run is recorded as answered")
	}
	if n := b.paid.Load(); n != 0 {
		t.Errorf("paid %d times", n)
	}
	for _, end := range append(d.ends, d.over) {
		if strings.Contains(said, end) {
			t.Errorf("a program takes it for an answer, by %s: %s", end, said)
		}
	}
	switch {
	case !streamed && status < 400:
		t.Errorf("status %d: %s", status, said)
	case streamed && !strings.Contains(said, d.failed):
		t.Errorf("no event says that it failed: %s", said)
	}
	b.verified(run)
}

// Where another model is there, its answer comes alone: whole if nothing was shown before, and not at all behind what
// was.
func TestAtTheFrontDoorNoAnswerIsPutTogether(t *testing.T) {
	for _, d := range doorDialects {
		for _, streamed := range []bool{false, true} {
			for _, m := range mishaps {
				name := d.path + "/whole/" + m.name
				if streamed {
					name = d.path + "/streamed/" + m.name
				}
				t.Run(name, func(t *testing.T) {
					b := openAt(t, chatProvider(), m)
					_, said, run := askDoor(t, b, d, streamed)
					first, second := strings.Contains(said, "first"), strings.Contains(said, "second")
					switch whole := strings.Contains(said, d.over); {
					case first && (second || whole):
						t.Errorf("two models' words are one answer: %s", said)
					case first && !streamed, first && !strings.Contains(said, d.failed):
						t.Errorf("what broke off stands as an answer: %s", said)
					case !first && !second && m.code != "":
						t.Errorf("the other model is not heard: %s", said)
					}
					if b.paid.Load() != 0 {
						t.Error("a call that was cut was made")
					}
					b.ended(run)
					b.verified(run)
				})
			}
		}
	}
}

// Who waits in the queue of a model is told so in a comment of the stream, and then has the answer.
func TestAtTheFrontDoorAPlaceInTheQueueIsTold(t *testing.T) {
	b := openWith(t, replies{}, func(c *runner.Config) {
		c.Models = []runner.NamedModel{{
			Info:  model.Info{Name: "m", Kind: model.KindModel, Provider: "test", Model: "m/1", MaxTokens: 100},
			Model: limited{model.Limits{Requests: model.Limit{Limit: 10, Full: 10 * time.Second}}}, // one comes back in a second
		}}
		c.Agents[0].Routes = []agentfile.Route{{ID: "all", When: "true", Use: "m"}}
	})
	for _, d := range doorDialects {
		askDoor(t, b, d, false)
		b.start("before it " + d.path)
		b.start("before it, too " + d.path)
		_, said, run := askDoor(t, b, d, true)
		if !strings.Contains(said, ": place ") || !strings.Contains(said, "here") || !strings.Contains(said, d.over) {
			t.Errorf("%s: got %s", d.path, said)
		}
		b.verified(run)
	}
}
