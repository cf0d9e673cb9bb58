package server

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/api"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/provenance"
)

// signedIn returns a client with a session of wallet 1 at address.
func signedIn(t testing.TB, address string) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	key, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := wallet(1)
	p := wire.ChallengeParams{Account: w.Address().Hex(), Chain: 1337, Agent: "reader"}
	if _, err := c.SignIn(t.Context(), p, key, w.SignText); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestARunsStory(t *testing.T) {
	f := serve(t, Limits{}, nil)
	c := signedIn(t, f.url())
	started, err := c.Start(t.Context(), wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"})
	if err != nil {
		t.Fatal(err)
	}
	run := link("run key-00001")
	f.append(run, &provenance.Step{
		Event: &provenance.Reply{Model: &provenance.ModelCall{
			Name: "rules", Calls: []provenance.ToolAsk{{Tool: "erc20.balance", Args: provenance.NewPayload([]byte(`{"a":1}`))}},
		}},
		Does: []provenance.Effect{&provenance.Call{
			Of: provenance.Ref{Seq: 1}, Tool: link("def"), Args: provenance.NewPayload([]byte(`{"a":1}`)), Class: "read", Phase: "act",
			Decisions: []provenance.Decision{{Point: "tool.call", Outcome: "permit", Rules: []string{"operator/reads"}}},
		}},
	})
	f.append(run, say1("1,000 USDC"))
	f.append(run, closing())
	var kinds []string
	var tool, said string
	for u, err := range c.Events(t.Context(), started.Run, nil) {
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, u.Event.Event.Kind)
		for _, e := range u.Event.Does {
			kinds = append(kinds, ">"+e.Kind)
			if e.Kind == "call" {
				tool = e.Tool
			}
			if e.Kind == "say" {
				said = e.Text
			}
		}
	}
	if got, want := fmt.Sprint(kinds), "[ask reply >call result >say reply >close]"; got != want || tool != "erc20.balance" || said != "1,000 USDC" {
		t.Errorf("got %s, %q, %q; want %s", got, tool, said, want)
	}
	for name, from := range map[string]wire.From{
		"another epoch":          {Epoch: "e0", Seq: 1},
		"a place beyond the end": {Epoch: "e1", Seq: 4},
	} {
		var void bool
		n := 0
		for u, err := range c.Events(t.Context(), started.Run, &from) {
			if err != nil {
				t.Fatal(err)
			}
			void = void || u.Void
			if u.Event != nil {
				n++
			}
		}
		if !void || n != 4 {
			t.Errorf("%s: got void %v and %d events, want true and all 4", name, void, n)
		}
	}
	// A call whose reply came before the place of resuming still has its name.
	for u, err := range c.Events(t.Context(), started.Run, &wire.From{Epoch: "e1", Seq: 0}) {
		if err != nil || u.Event.Seq != 1 || u.Event.Does[0].Tool != "erc20.balance" {
			t.Errorf("got %+v, %v", u.Event, err)
		}
		break
	}
	if _, err := c.Run(t.Context(), link("nothing").String()); !errors.Is(err, wire.Errorf(wire.CodeNotFound, "")) {
		t.Errorf("an unknown run: got %v, want %s", err, wire.CodeNotFound)
	}
	for _, err := range c.Events(t.Context(), link("nothing").String(), nil) {
		if !errors.Is(err, wire.Errorf(wire.CodeNotFound, "")) {
			t.Errorf("events of an unknown run: got %v, want %s", err, wire.CodeNotFound)
		}
	}
}

// A client drops what it has seen already, so what the server sends is looked at on the wire.
func TestAResumedStreamBeginsBehindItsPlace(t *testing.T) {
	f := serve(t, Limits{}, nil)
	r := f.connect().signIn(wallet(1))
	run := r.start("key-00001")
	for i := range 4 {
		f.append(run, say1(fmt.Sprint("word ", i)))
	}
	for seq := range uint64(3) {
		from := wire.From{Epoch: "e1", Seq: seq}
		if a := r.call(wire.RunSubscribe, wire.SubscribeParams{Run: run.String(), From: &from}); a.Error != nil {
			t.Fatal(a.Error)
		}
		n := r.next()
		var ev wire.RunEvent
		if err := json.Unmarshal(n.Params, &ev); err != nil || n.Method != wire.NoteEvent || ev.Seq != seq+1 {
			t.Errorf("resumed behind %d: got %s of %d first, %v", seq, n.Method, ev.Seq, err)
		}
		r.ws.Close()
		twin := f.connect()
		twin.key, twin.session = r.key, r.session
		if a := twin.act(wire.SessionOpen, wire.OpenParams{Session: r.session.String()}); a.Error != nil {
			t.Fatal(a.Error)
		}
		r = twin
	}
}

// A saw forwards TCP and cuts connections after a random number of bytes to the client.
type saw struct {
	ln   net.Listener
	to   string
	wg   sync.WaitGroup
	cuts int // written by the accept loop only; read after close
	mu   sync.Mutex
	open []net.Conn // guarded by mu
	dull bool       // guarded by mu: cuts no more
}

func newSaw(t *testing.T, to string, seed uint64) *saw {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &saw{ln: ln, to: to}
	rng := mrand.New(mrand.NewPCG(seed, 1))
	s.wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			s.mu.Lock()
			s.open = append(s.open, in, out)
			n := int64(1500 + rng.IntN(30_000))
			if s.dull {
				n = 1 << 40
			}
			s.mu.Unlock()
			s.cuts++
			both := func() { in.Close(); out.Close() }
			s.wg.Go(func() { defer both(); io.Copy(out, in) })
			s.wg.Go(func() { defer both(); io.CopyN(in, out, n) })
		}
	})
	t.Cleanup(s.close)
	return s
}

func (s *saw) close() {
	s.ln.Close()
	s.mu.Lock()
	for _, c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func TestEachEventComesOnceAndInOrderOverCutSockets(t *testing.T) {
	f := serveWithin(t, Limits{Burst: 1e6, Rate: 1e6, PerAddress: 1000, PerWallet: 1000}, api.Limits{Page: 17}, nil)
	const steps, readers = 600, 3
	s := newSaw(t, f.ln.Addr().String(), 7)
	s.mu.Lock()
	s.dull = true // until the session is open: a challenge belongs to its socket
	s.mu.Unlock()
	c := signedIn(t, s.ln.Addr().String())
	if _, err := c.Start(t.Context(), wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}); err != nil {
		t.Fatal(err)
	}
	run := link("run key-00001")
	s.mu.Lock()
	s.dull = false
	for _, conn := range s.open {
		conn.Close()
	}
	s.mu.Unlock()

	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range steps - 2 {
			f.append(run, say1(fmt.Sprint(i)+long(100)))
			if i%10 == 0 {
				runtime.Gosched()
			}
		}
		f.append(run, closing())
	})
	for range readers {
		wg.Go(func() {
			next := uint64(0)
			for u, err := range c.Events(t.Context(), run.String(), nil) {
				if err != nil {
					t.Errorf("after %d events: %v", next, err)
					return
				}
				if u.Event == nil {
					continue
				}
				if u.Event.Seq != next {
					t.Errorf("got event %d, want %d", u.Event.Seq, next)
					return
				}
				next++
			}
			if next != steps {
				t.Errorf("got %d events, want %d", next, steps)
			}
		})
	}
	wg.Wait()
	c.Close()
	s.close()
	if s.cuts < 5 {
		t.Errorf("only %d connections; the test cut nothing", s.cuts)
	}
	t.Logf("%d connections for %d readers of %d steps", s.cuts, readers, steps)
}

// inBubble runs a test on a server in a bubble of false time, over pipes.
func inBubble(t *testing.T, limits Limits, test func(t *testing.T, f *fixture)) {
	inBubbleWithin(t, limits, api.Limits{}, test)
}

func inBubbleWithin(t *testing.T, limits Limits, calls api.Limits, test func(t *testing.T, f *fixture)) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipe()
		f := serveWithin(t, limits, calls, p)
		f.dial = p.dial
		synctest.Wait()
		test(t, f)
		f.stop()
	})
}

func TestASlowClientCostsABoundedQueueAndIsCut(t *testing.T) {
	limits := Limits{QueueItems: 16, QueueBytes: 64 << 10, Stall: 30 * time.Second}
	inBubbleWithin(t, limits, api.Limits{Page: 4}, func(t *testing.T, f *fixture) {
		r := f.connect().signIn(wallet(1))
		run := r.start("key-00001")
		for range 500 {
			f.append(run, say1(long(4000)))
		}
		r.write(request(wire.RunSubscribe, wire.SubscribeParams{Run: run.String()}, nil))
		synctest.Wait() // and the client reads nothing

		f.srv.mu.Lock()
		var out *outbox
		for c := range f.srv.conns {
			out = c.out
		}
		f.srv.mu.Unlock()
		out.mu.Lock()
		items, bytes := len(out.queue), out.bytes
		out.mu.Unlock()
		if items == 0 || items > 16 || bytes > 64<<10 {
			t.Errorf("got %d messages and %d bytes waiting, want some, within 16 and 64 KiB", items, bytes)
		}
		if f.reads > 10 {
			t.Errorf("got %d reads of the journal; the server read ahead of the client", f.reads)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if n := len(f.srv.conns); n != 0 || f.watching() != 0 {
			t.Errorf("got %d sockets and %d watches, want none", n, f.watching())
		}
	})
}

func TestDeltasAreDroppedAndEventsAreNot(t *testing.T) {
	inBubble(t, Limits{QueueItems: 8}, func(t *testing.T, f *fixture) {
		r := f.connect().signIn(wallet(1))
		run := r.start("key-00001")
		r.call(wire.RunSubscribe, wire.SubscribeParams{Run: run.String()})
		r.next() // the ask
		for i := range 50 {
			f.delta(run, fmt.Sprint("d", i))
		}
		synctest.Wait()
		for range 5 {
			f.append(run, say1("x"))
		}
		f.append(run, closing())
		deltas, next := 0, uint64(1)
		for next < 7 {
			n := r.next()
			if n.Method == wire.NoteDelta {
				deltas++
				continue
			}
			var ev wire.RunEvent
			if err := json.Unmarshal(n.Params, &ev); err != nil || ev.Seq != next {
				t.Fatalf("got %s, %v; want event %d", n.Params, err, next)
			}
			next++
		}
		if deltas == 0 || deltas > 10 {
			t.Errorf("got %d deltas, want some of the 50", deltas)
		}
	})
}

func TestAWindowIsKept(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
		r := f.connect().signIn(wallet(1))
		run := r.start("key-00001")
		for range 20 {
			f.append(run, say1("x"))
		}
		a := r.call(wire.RunSubscribe, wire.SubscribeParams{Run: run.String(), Window: 5})
		var sub wire.Subscription
		if err := json.Unmarshal(a.Result, &sub); err != nil {
			t.Fatal(err)
		}
		read := func() int { // how many events have come, by asking for an answer behind them
			synctest.Wait()
			r.call(wire.Ping, wire.None{})
			n := len(r.notes)
			r.notes = nil
			return n
		}
		if n := read(); n != 5 {
			t.Errorf("got %d events, want the window of 5", n)
		}
		r.call(wire.RunAck, wire.AckParams{Sub: sub.Sub, Seq: 2})
		if n := read(); n != 3 {
			t.Errorf("got %d more events after an ack of 3, want 3", n)
		}
		r.call(wire.RunAck, wire.AckParams{Sub: sub.Sub, Seq: 1 << 40})
		if n := read(); n != 13 {
			t.Errorf("got %d more events after an ack beyond the end, want the rest, 13", n)
		}
	})
}

func TestAReadErrorEndsTheSocketLoudly(t *testing.T) {
	f := serve(t, Limits{}, nil)
	r := f.connect().signIn(wallet(1))
	run := r.start("key-00001")
	r.call(wire.RunSubscribe, wire.SubscribeParams{Run: run.String()})
	f.mu.Lock()
	f.fail = errors.New("bad sector")
	f.mu.Unlock()
	f.append(run, say1("x"))
	if got := r.closed(); got != websocket.CloseInternalServerErr {
		t.Errorf("got close code %d, want 1011", got)
	}
}

func TestALostHintIsMadeUpFor(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
		r := f.connect().signIn(wallet(1))
		run := r.start("key-00001")
		r.call(wire.RunSubscribe, wire.SubscribeParams{Run: run.String()})
		r.next()
		synctest.Wait()
		f.mu.Lock()
		clear(f.watchers[run]) // nobody is told any more
		f.mu.Unlock()
		f.append(run, say1("x"))
		began := time.Now()
		if n := r.next(); n.Method != wire.NoteEvent || time.Since(began) > 10*time.Second {
			t.Errorf("got %s after %v, want the event within 10 s", n.Method, time.Since(began))
		}
	})
}

func TestTimes(t *testing.T) {
	t.Run("a socket that says nothing is closed after 5 s", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
			r, began := f.connect(), time.Now()
			if got, took := r.closed(), time.Since(began); got != wire.CloseUnauthorized || took < 5*time.Second || took > 7*time.Second {
				t.Errorf("got %d after %v, want %d after 5 s", got, took, wire.CloseUnauthorized)
			}
		})
	})
	t.Run("a socket that does not sign in is closed after 5 min", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
			r, began := f.connect(), time.Now()
			r.challenge(wallet(1))
			if got, took := r.closed(), time.Since(began); got != wire.CloseUnauthorized || took < 5*time.Minute || took > 5*time.Minute+2*time.Second {
				t.Errorf("got %d after %v, want %d after 5 min", got, took, wire.CloseUnauthorized)
			}
		})
	})
	t.Run("a client that answers pings stays until its session expires", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
			r, began := f.connect().signIn(wallet(1)), time.Now()
			if got, took := r.closed(), time.Since(began); got != wire.CloseUnauthorized || took < 59*time.Minute || took > time.Hour+2*time.Second {
				t.Errorf("got %d after %v, want %d after an hour", got, took, wire.CloseUnauthorized)
			}
			if n := len(r.notes); n != 1 || r.notes[0].Method != wire.NoteRevoked {
				t.Errorf("got %+v, want the notification", r.notes)
			}
		})
	})
	t.Run("a client that answers nothing is dead after 75 s", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
			r := f.connect().signIn(wallet(1))
			r.ws.SetPingHandler(func(string) error { return nil })
			began := time.Now()
			if got, took := r.closed(), time.Since(began); took > 77*time.Second || took < 70*time.Second {
				t.Errorf("got %d after %v, want 75 s", got, took)
			}
		})
	})
	t.Run("a revocation elsewhere is felt within 2 s", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
			r := f.connect().signIn(wallet(1))
			f.end(r.session)
			began := time.Now()
			if got, took := r.closed(), time.Since(began); got != wire.CloseRevoked || took > 2*time.Second {
				t.Errorf("got %d after %v, want %d", got, took, wire.CloseRevoked)
			}
		})
	})
	t.Run("a session that is not used for 15 min signs nothing more, and a renewal is a use", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
			r := f.connect().signIn(wallet(1))
			again := func() (*raw, reply) {
				twin := f.connect()
				twin.key, twin.session = r.key, r.session
				return twin, twin.act(wire.SessionOpen, wire.OpenParams{Session: r.session.String()})
			}
			r.ws.Close()
			time.Sleep(14 * time.Minute)
			twin, a := again()
			if a.Error != nil {
				t.Fatalf("after 14 min: %+v", a.Error)
			}
			if a = twin.act(wire.SessionRenew, wire.None{}); a.Error != nil {
				t.Fatalf("renew: %+v", a.Error)
			}
			twin.ws.Close()
			time.Sleep(14 * time.Minute)
			if twin, a = again(); a.Error != nil {
				t.Fatalf("14 min after the renewal: %+v", a.Error)
			}
			twin.ws.Close()
			time.Sleep(15 * time.Minute)
			if _, a = again(); a.code() != wire.CodeExpired || a.Error.Data.Reason != "session.idle" {
				t.Errorf("after 15 min without use: %+v, want %s", a.Error, wire.CodeExpired)
			}
		})
	})
	t.Run("renewals do not carry a session past its time", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
			r := f.connect().signIn(wallet(1))
			r.ws.Close()
			for range 6 {
				time.Sleep(9 * time.Minute)
				twin := f.connect()
				twin.key, twin.session = r.key, r.session
				if a := twin.act(wire.SessionOpen, wire.OpenParams{Session: r.session.String()}); a.Error != nil {
					t.Fatalf("within the hour: %+v", a.Error)
				}
				if a := twin.act(wire.SessionRenew, wire.None{}); a.Error != nil {
					t.Fatalf("within the hour: %+v", a.Error)
				}
				twin.ws.Close()
			}
			time.Sleep(6 * time.Minute)
			twin := f.connect()
			twin.key, twin.session = r.key, r.session
			if a := twin.act(wire.SessionOpen, wire.OpenParams{Session: r.session.String()}); a.code() != wire.CodeExpired || a.Error.Data.Reason != "" {
				t.Errorf("after the hour: %+v", a.Error)
			}
		})
	})
	t.Run("a flood of pings is closed", func(t *testing.T) {
		inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
			r := f.connect()
			go func() {
				for range 20 {
					if r.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)) != nil {
						return
					}
				}
			}()
			if got := r.closed(); got != websocket.ClosePolicyViolation {
				t.Errorf("got %d, want 1008", got)
			}
		})
	})
}

func TestWhatWasSignedIsCarriedThroughALostSocket(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
		f.block = make(chan struct{})
		r := f.connect().signIn(wallet(1))
		p := wire.StartParams{Agent: "reader", Input: "hi", Key: "key-00001"}
		r.write(request(wire.RunStart, p, r.sign(r.session, 2, wire.RunStart, p)))
		synctest.Wait()
		r.ws.Close()
		synctest.Wait()
		close(f.block)
		synctest.Wait()
		if _, err := f.Run(t.Context(), link("run key-00001")); err != nil {
			t.Errorf("got %v, want the run", err)
		}
	})
}

func TestTheEndIsOrderly(t *testing.T) {
	inBubble(t, Limits{}, func(t *testing.T, f *fixture) {
		good, stuck := f.connect().signIn(wallet(1)), f.connect()
		run := good.start("key-00001")
		good.call(wire.RunSubscribe, wire.SubscribeParams{Run: run.String()})
		_ = stuck // reads nothing any more, and never closes
		began := time.Now()
		code := make(chan int, 1)
		go func() { code <- good.closed() }()
		f.stop() // returns when every goroutine has; the bubble would report one that is left
		if got := <-code; got != websocket.CloseServiceRestart {
			t.Errorf("got %d, want 1012", got)
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("took %v, want at most Drain", took)
		}
		if f.watching() != 0 {
			t.Errorf("got %d watches left", f.watching())
		}
	})
}

func TestReconnectingLeavesNoGoroutines(t *testing.T) {
	f := serve(t, Limits{Burst: 1e6, Rate: 1e6}, nil)
	f.connect().call(wire.Ping, wire.None{}) // everything runs
	before := runtime.NumGoroutine()
	for range 100 {
		r := f.connect()
		r.call(wire.Ping, wire.None{})
		r.ws.Close()
	}
	deadline := time.After(5 * time.Second)
	for tick := time.Tick(5 * time.Millisecond); runtime.NumGoroutine() > before; { // the server notices in its own time
		select {
		case <-tick:
		case <-deadline:
			t.Fatalf("got %d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func BenchmarkIdleSocket(b *testing.B) {
	const n = 1000
	for b.Loop() {
		f := serve(b, Limits{
			PerAddress: 2 * n, PerNetwork: 2 * n, Burst: 1e6, Rate: 1e6, First: time.Hour, SignIn: time.Hour,
		}, nil)
		heap := func() uint64 {
			runtime.GC()
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapInuse + m.StackInuse
		}
		before := heap()
		conns := make([]net.Conn, n) // clients as small as can be
		for i := range conns {
			c, err := net.Dial("tcp", f.ln.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			fmt.Fprintf(c, "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: %s\r\n\r\n", wire.Subprotocol)
			var buf [512]byte
			if _, err := c.Read(buf[:]); err != nil || !bytes.HasPrefix(buf[:], []byte("HTTP/1.1 101 ")) {
				b.Fatalf("%v: %s", err, buf[:])
			}
			conns[i] = c
		}
		b.ReportMetric(float64(heap()-before)/n, "B/socket")
		for _, c := range conns {
			c.Close()
		}
		f.stop()
	}
}

func BenchmarkSignedCall(b *testing.B) {
	f := serve(b, Limits{Burst: 1e9, Rate: 1e9}, nil)
	r := f.connect().signIn(wallet(1))
	b.ReportAllocs()
	for b.Loop() {
		r.start("key-00001")
	}
}

func TestAClientThatIsTooFastSlowsDown(t *testing.T) {
	f := serve(t, Limits{Rate: 300, Burst: 20}, nil)
	c := signedIn(t, f.url())
	var wg sync.WaitGroup
	for i := range 25 { // signed requests of which most are refused unread: the channel's count must recover
		wg.Go(func() {
			if _, err := c.Start(t.Context(), wire.StartParams{Agent: "reader", Input: "hi", Key: fmt.Sprintf("key-%05d", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if runs, err := c.Runs(t.Context(), 0); err != nil || len(runs) != 25 {
		t.Errorf("got %d runs, %v; want 25", len(runs), err)
	}
}

func FuzzFrame(f *testing.F) {
	srv := serve(f, Limits{Burst: 1e9, Rate: 1e9, SignIn: time.Hour}, nil)
	for _, m := range wire.Methods() {
		f.Add([]byte(request(m.Name, wire.None{}, nil)))
	}
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"session.open","params":{"message":"x","signature":"0x00"},"auth":{"seq":1,"sig":"AAAA"}}`))
	r := srv.connect()
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) > wire.MaxFrameEarly {
			return
		}
		r.t = t
		// Every frame gets one answer, and the socket goes on.
		if a := r.say(string(frame)); a.Error == nil && a.Result == nil {
			t.Errorf("got neither a result nor an error for %q", frame)
		}
	})
}
