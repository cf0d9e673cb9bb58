package endpoint_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/endpoint"
	"github.com/writ-run/writ/agent/model/openai"
	"github.com/writ-run/writ/internal/fault"
)

const (
	oneChunk = `data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,` +
		`"delta":{"role":"assistant","content":"noon"},"finish_reason":"stop"}]}` + "\n\n"
	lastLine = "data: [DONE]\n\n"
)

// countingServer counts the connections on which it is asked.
func countingServer(t *testing.T, answer http.HandlerFunc) (m *openai.Model, made *atomic.Int32) {
	t.Helper()
	made = new(atomic.Int32)
	s := httptest.NewUnstartedServer(answer)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	m, err := openai.New(openai.Config{Config: endpoint.Config{BaseURL: s.URL + "/v1", Model: "m"}})
	if err != nil {
		t.Fatal(err)
	}
	return m, made
}

func askTimes(t *testing.T, m *openai.Model, n int) {
	t.Helper()
	for range n {
		r, err := m.Reply(t.Context(), model.Prompt{Messages: []model.Message{{Role: model.RoleUser, Text: "when"}}})
		if err != nil || r.Text != "noon" {
			t.Fatalf("%+v: %v", r, err)
		}
		time.Sleep(20 * time.Millisecond) // what is read behind the answer is read meanwhile
	}
}

// A connection is used again, also if its server takes its time to end a response whose answer is whole.
func TestAConnectionIsUsedAgain(t *testing.T) {
	m, made := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, oneChunk+lastLine)
		w.(http.Flusher).Flush()
		time.Sleep(5 * time.Millisecond) // the response ends later than its answer
	})
	askTimes(t, m, 4)
	if n := made.Load(); n != 1 {
		t.Errorf("%d connections for 4 requests, one after the other", n)
	}
}

// Who has gone before asks nothing, so pays for nothing.
func TestWhoHasGoneAsksNothing(t *testing.T) {
	var asked atomic.Int32
	m, _ := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, oneChunk+lastLine)
	})
	ctx, leave := context.WithCancel(t.Context())
	leave()
	for range 100 {
		_, err := m.Reply(ctx, model.Prompt{Messages: []model.Message{{Role: model.RoleUser, Text: "when"}}})
		if f, is := errors.AsType[*fault.Fault](err); !is || f.Code != fault.ModelCancelled {
			t.Fatalf("got %v", err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d of 100 requests were sent", n)
	}
}

// A response that does not end behind its answer holds nobody up, and its connection is given up.
func TestAResponseWithoutEndIsGivenUp(t *testing.T) {
	gone := make(chan struct{}, 2)
	m, made := countingServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, oneChunk+lastLine)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	})
	askTimes(t, m, 2)
	for range 2 {
		select {
		case <-gone:
		case <-time.After(10 * time.Second):
			t.Fatal("a connection on which nothing comes is kept")
		}
	}
	if n := made.Load(); n != 2 {
		t.Errorf("%d connections", n)
	}
}
