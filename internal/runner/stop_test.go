package runner_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/toolstest"
)

// A gate holds whoever comes to one place until it is opened, or until they are told to go.
type gate struct {
	place  string
	came   chan struct{}
	opened chan struct{}
}

func newGate(place string) *gate {
	return &gate{place: place, came: make(chan struct{}, 8), opened: make(chan struct{})}
}

func (g *gate) pass(ctx context.Context, place string) error {
	if place != g.place {
		return nil
	}
	g.came <- struct{}{}
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A gatedModel uses one tool and then answers.
type gatedModel struct {
	g    *gate
	tool string
}

func (m gatedModel) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	if p.Messages[len(p.Messages)-1].Role == model.RoleTool {
		return text("done"), m.g.pass(ctx, "answer")
	}
	args := `{"token":"USDC","to":"bob","amount":"1"}`
	if m.tool == "echo.say" {
		args = `{"text":"hi"}`
	}
	return calls(call("1", m.tool, args)), m.g.pass(ctx, "model")
}

// A gatedTool is a payment of any class, which counts what it does by key.
type gatedTool struct {
	name  string
	class tools.Class
	g     *gate
	done  *sync.Map
}

func (t gatedTool) Spec() tools.Spec {
	if t.class == tools.Read {
		return echoTool{}.Spec()
	}
	s := (&payTool{class: t.class}).Spec()
	s.Name = t.name
	return s
}

func (t gatedTool) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	if err := t.g.pass(ctx, t.name); err != nil {
		return nil, err
	}
	t.done.Store(in.Key, true)
	return []byte(`{"status":"ok"}`), nil
}

type gatedChain struct{ gatedTool }

func (t gatedChain) Account() string { return chainOutside{}.Account() }

func (t gatedChain) Simulate(ctx context.Context, in tools.Input) ([]byte, error) {
	return simulate(in), t.g.pass(ctx, "simulate")
}

func (t gatedChain) Sign(ctx context.Context, in tools.Input, floor uint64) (tools.Signed, error) {
	return signTransfer(in, floor), t.g.pass(ctx, "sign")
}

func (t gatedChain) Send(ctx context.Context, s tools.Signed) ([]byte, error) {
	if err := t.g.pass(ctx, "send"); err != nil {
		return nil, err
	}
	t.done.Store(s.Hash, true)
	return toolstest.ReceiptOf(s, usdc), nil
}

// places are where a run can be when it is stopped, each with the tool that leads there.
var places = []struct{ at, tool string }{
	{"model", "echo.say"}, {"echo.say", "echo.say"}, {"bank.pay", "bank.pay"},
	{"simulate", "coin.send"}, {"sign", "coin.send"}, {"send", "coin.send"}, {"answer", "echo.say"},
}

// gated is a bench whose runs stop at a gate.
func gated(t *testing.T, at, tool string) (*bench, *gate, *sync.Map) {
	g, done := newGate(at), new(sync.Map)
	b := openWith(t, gatedModel{g, tool}, func(c *runner.Config) {
		c.Tools = []tools.Tool{
			gatedTool{"echo.say", tools.Read, g, done}, gatedTool{"bank.pay", tools.Keyed, g, done},
			gatedChain{gatedTool{"coin.send", tools.ChainTx, g, done}},
		}
		c.Agents[0].Tools = []string{"echo.say", "bank.pay", "coin.send"}
	})
	return b, g, done
}

func size(m *sync.Map) (n int) {
	m.Range(func(any, any) bool { n++; return true })
	return n
}

func TestCancelAnywhere(t *testing.T) {
	for _, p := range places {
		t.Run(p.at, func(t *testing.T) {
			b, g, done := gated(t, p.at, p.tool)
			run := b.start("go")
			<-g.came
			if err := b.r.Cancel(t.Context(), run); err != nil {
				t.Fatal(err)
			}
			want := 0
			switch p.at {
			case "send": // cannot be taken back, so its outcome is waited for
				if info, err := b.r.Run(t.Context(), run); err != nil || info.Status != "running" {
					t.Errorf("cancelled while a transaction is sent: %q, %v; want running", info.Status, err)
				}
				close(g.opened)
				want = 1
			case "answer":
				want = 1 // the read before
			}
			b.until(run, provenance.CloseCancelled)
			b.r.Close() // waits for what was under way
			if n := size(done); n != want {
				t.Errorf("%d effects, want %d", n, want)
			}
			b.verified(run)
		})
	}
}

func TestCloseAnywhereAndGoOn(t *testing.T) {
	for _, p := range places {
		t.Run(p.at, func(t *testing.T) {
			before := runtime.NumGoroutine()
			b, g, done := gated(t, p.at, p.tool)
			run := b.start("go")
			<-g.came
			b.r.Close()
			if n := goroutines(before); n > before {
				t.Errorf("%d goroutines after Close, %d before", n, before)
			}
			if info, err := b.r.Run(t.Context(), run); err != nil || info.Status != "running" {
				t.Errorf("after Close the run is %q, %v; want running", info.Status, err)
			}
			close(g.opened)
			b.restart()
			b.until(run, provenance.CloseAnswered)
			if n := size(done); n != 1 {
				t.Errorf("%d effects, want 1", n)
			}
			b.verified(run)
		})
	}
}

// goroutines counts them once those that are ending have ended, which a busy machine may not let them for a while.
func goroutines(want int) (n int) {
	for begun := time.Now(); ; runtime.Gosched() {
		if n = runtime.NumGoroutine(); n <= want || time.Since(begun) > 5*time.Second {
			return n
		}
	}
}

// bubbled gives a bench the bubble's clock.
func bubbled(c *runner.Config) {
	c.Now = func() time.Time { return start.Add(time.Since(bubbleStart)) }
}

func TestAStalledModelIsReplacedByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openWith(t, gatedModel{newGate("model"), "echo.say"}, func(c *runner.Config) {
			bubbled(c)
			c.ModelTimeout = time.Minute
			c.Models = append(c.Models, runner.NamedModel{
				Info:  model.Info{Name: "second", Kind: model.KindScripted, Provider: "test", Model: "script/2", MaxTokens: 1000},
				Model: replies{text("second here")},
			})
			c.Agents[0].Routes = append(c.Agents[0].Routes, agentfile.Route{ID: "fallback", Use: "second"})
		})
		run := b.start("hi")
		time.Sleep(time.Minute + time.Second) // by the bubble's clock
		synctest.Wait()
		b.until(run, provenance.CloseAnswered)
		if got := b.said(run); got != "second here" {
			t.Errorf("said %q", got)
		}
		views, err := b.r.Steps(t.Context(), run, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := views[0].Step.Event.(*provenance.Reply); !ok || r.Failed != "model.timeout" {
			t.Errorf("the record says %+v, want a reply that failed by timeout", views[0].Step.Event)
		}
		b.verified(run)
	})
}

func TestAStalledTool(t *testing.T) {
	const status = provenance.StatusTimeout
	for tool, closed := range map[string]string{"echo.say": provenance.CloseFailed, "bank.pay": provenance.CloseInDoubt} {
		synctest.Test(t, func(t *testing.T) {
			b, _, done := gated(t, tool, tool)
			b.r.Close()
			bubbled(&b.config)
			b.config.ToolTimeout = time.Minute
			b.restart()
			run := b.start("go")
			time.Sleep(time.Minute + time.Second) // by the bubble's clock
			synctest.Wait()
			b.until(run, closed)
			views, err := b.r.Steps(t.Context(), run, 2, 1)
			if err != nil {
				t.Fatal(err)
			}
			if r, ok := views[0].Step.Event.(*provenance.Result); !ok || r.Status != status {
				t.Errorf("%s: the record says %+v, want the status %s", tool, views[0].Step.Event, status)
			}
			if size(done) != 0 {
				t.Errorf("%s did something", tool)
			}
			b.verified(run)
		})
	}
}

// A transaction that is not included for longer than the run may take: one lapse, and not one after the other.
func TestARunThatIsOverWaitsForItsTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, _ := gated(t, "send", "coin.send")
		b.r.Close()
		bubbled(&b.config)
		b.config.Agents[0].Limits.Wall = 30 * time.Second
		b.config.SendTimeout = 2 * time.Minute
		b.restart()
		if err := b.signIn(t.Context(), b.r); err != nil {
			t.Fatal(err)
		}
		run := b.start("go")
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		info := b.until(run, provenance.CloseTimeout)
		if info.Steps > 8 {
			t.Errorf("%d steps", info.Steps)
		}
		b.verified(run)
	})
}

// Who subscribes first and reads then misses nothing, with no other clock than the hints.
func TestHintsAreNotLost(t *testing.T) {
	const turns = 20
	var rs replies
	for range turns {
		rs = append(rs, calls(call("1", "echo.say", `{"text":"hi"}`)))
	}
	b := openWith(t, append(rs, text("done")), func(c *runner.Config) {
		c.Agents[0].Limits.Turns, c.Agents[0].Limits.Calls = turns+5, turns+5
	})
	run := b.start("go")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			hints, _, stop := b.r.Subscribe(run)
			defer stop()
			timeout := time.After(30 * time.Second)
			for seq := uint64(0); ; {
				views, err := b.r.Steps(t.Context(), run, seq, 100)
				if err != nil {
					t.Error(err)
					return
				}
				for _, v := range views {
					if v.Step.Seq != seq {
						t.Errorf("step %d, want %d", v.Step.Seq, seq)
						return
					}
					seq++
					if c, ok := v.Step.Does[max(len(v.Step.Does)-1, 0)].(*provenance.Close); ok {
						if c.Reason != provenance.CloseAnswered || seq != 2*turns+2 {
							t.Errorf("closed as %s after %d steps", c.Reason, seq)
						}
						return
					}
				}
				select {
				case <-hints:
				case <-timeout:
					t.Errorf("no hint after step %d", seq)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A parked run costs a timer and an entry in the store: no goroutine.
func TestManyParkedRuns(t *testing.T) {
	n := 1_000
	switch {
	case testing.Short() || raced():
		n = 500
	case os.Getenv("WRIT_WHOLE") != "":
		n = 10_000
	}
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")},
		func(c *runner.Config) { c.Store = storetest.Memory(t) })
	b.until(b.start("warm up"), "parked")
	before, heap := runtime.NumGoroutine(), live()
	for i := range n {
		b.until(b.start(fmt.Sprintf("pay 5, %d", i)), "parked")
	}
	if got := goroutines(before); got > before+2 {
		t.Errorf("%d goroutines with %d parked runs, %d without", got, n, before)
	}
	all := live() - heap
	b.r.Close()
	b.r = nil
	stored := live() - heap
	t.Logf("%d parked runs: %d bytes each, %d of them outside the store", n, all/int64(n), (all-stored)/int64(n))
	b.restart() // for those who clean up
}

// raced says whether the race detector is on, which makes signatures slow.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// live returns the bytes of the heap that are in use.
func live() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
