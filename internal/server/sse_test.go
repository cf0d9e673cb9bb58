package server

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

// An sseEvent is one of a stream.
type sseEvent struct {
	name, id string
	data     struct {
		Result *wire.Subscription
		Params wire.RunEvent
		Error  *wire.Error
	}
}

// subscribe posts a signed run.subscribe that accepts events, and returns what reads them.
func (p *poster) subscribe(run provenance.Link, after string) (next func() (sseEvent, error), body io.Closer) {
	p.t.Helper()
	params := wire.SubscribeParams{Run: run.String()}
	p.seq++
	frame := request(wire.RunSubscribe, params, p.sign(p.session, p.seq, wire.RunSubscribe, params))
	req, err := http.NewRequest(http.MethodPost, "http://"+p.f.ln.Addr().String()+wire.Path, strings.NewReader(frame))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set(wire.Channel, p.hello.Channel)
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { resp.Body.Close() })
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		p.t.Fatalf("status %d, %s", resp.StatusCode, kind)
	}
	r := bufio.NewReader(resp.Body)
	return func() (e sseEvent, _ error) {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return e, err
			}
			switch name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				if err := json.Unmarshal([]byte(value), &e.data); err != nil {
					return e, err
				}
			case "":
				if value == "" && e.name != "" {
					return e, nil
				}
			}
		}
	}, resp.Body
}

// steps appends n steps to a run, and a close if last.
func (f *fixture) steps(run provenance.Link, n int, last bool) {
	for range n {
		f.append(run, &provenance.Step{Event: &provenance.Lapse{Why: "x"}})
	}
	if last {
		f.append(run, &provenance.Step{
			Event: &provenance.Lapse{Why: "x"}, Does: []provenance.Effect{&provenance.Close{Reason: "answered"}},
		})
	}
}

// A client that is cut goes on from its last event: none is lost, none comes twice.
func TestEventsOverPlainHTTP(t *testing.T) {
	f := serve(t, Limits{}, nil)
	p := f.poster().greet().enter(wallet(1))
	run := wantRun(t, p.act(wire.RunStart, wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}))
	f.steps(run, 5, false)
	want, last := uint64(0), ""
	follow := func(upTo uint64) {
		t.Helper()
		next, body := p.subscribe(run, last)
		defer body.Close()
		first, err := next()
		if err != nil || first.name != "response" || first.data.Result == nil || !first.data.Result.Recovered {
			t.Fatalf("the answer: %+v, %v", first, err)
		}
		for want < upTo {
			e, err := next()
			if err != nil {
				t.Fatalf("event %d: %v", want, err)
			}
			if e.name != wire.NoteEvent || e.data.Params.Seq != want || e.id == "" {
				t.Fatalf("got %s %d with the id %q, want event %d", e.name, e.data.Params.Seq, e.id, want)
			}
			last = e.id
			want++
		}
	}
	follow(3)
	f.steps(run, 4, false)
	follow(8)
	f.steps(run, 0, true)
	follow(11)
	next, _ := p.subscribe(run, last)
	if e, err := next(); err != nil || e.data.Result == nil {
		t.Fatalf("%+v, %v", e, err)
	}
	next, _ = p.subscribe(run, "another-store:7")
	if e, err := next(); err != nil || e.data.Result == nil || e.data.Result.Recovered {
		t.Fatalf("a place of another store: %+v, %v", e, err)
	}
	for i := range uint64(11) { // all of it again, and then the end
		if e, err := next(); err != nil || e.data.Params.Seq != i {
			t.Fatalf("event %d: %+v, %v", i, e, err)
		}
	}
	if e, err := next(); err != io.EOF {
		t.Errorf("after the close: %+v, %v", e, err)
	}
}

// Who does not accept events, or whose session is not the owner's, gets no stream; one that is open ends with its
// session.
func TestAnEventStreamEndsWithItsSession(t *testing.T) {
	f := serve(t, Limits{}, nil)
	p := f.poster().greet().enter(wallet(1))
	run := wantRun(t, p.act(wire.RunStart, wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}))
	if a := p.act(wire.RunSubscribe, wire.SubscribeParams{Run: run.String()}); a.code() != wire.CodeMethod ||
		!strings.Contains(a.Error.Message, "text/event-stream") {
		t.Errorf("without accepting events: %+v", a)
	}
	next, _ := p.subscribe(run, "")
	for range 2 { // the answer, and the first event
		if _, err := next(); err != nil {
			t.Fatal(err)
		}
	}
	f.end(p.session)
	e, err := next()
	if err != nil || e.name != wire.NoteRevoked {
		t.Fatalf("got %+v, %v", e, err)
	}
	if e, err := next(); err != io.EOF {
		t.Errorf("after the session's end: %+v, %v", e, err)
	}
}

// An event stream does not keep a server from stopping.
func TestAnEventStreamEndsWithTheServer(t *testing.T) {
	f := serve(t, Limits{Drain: time.Minute}, nil)
	p := f.poster().greet().enter(wallet(1))
	run := wantRun(t, p.act(wire.RunStart, wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}))
	next, _ := p.subscribe(run, "")
	for range 2 {
		if _, err := next(); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	f.stop()
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	if e, err := next(); err != io.EOF {
		t.Errorf("got %+v, %v", e, err)
	}
}

// Who opens /ws as a page is told what it is.
func TestThePlainAddressOfTheSocketSaysWhatItIs(t *testing.T) {
	f := serve(t, Limits{}, nil)
	resp, err := http.Get("http://" + f.ln.Addr().String() + "/ws")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusUpgradeRequired || !strings.Contains(string(body), wire.Subprotocol) ||
		!strings.Contains(string(body), "/docs/protocol") || resp.Header.Get("Upgrade") != "websocket" {
		t.Errorf("status %d, %q, %v", resp.StatusCode, body, err)
	}
}
