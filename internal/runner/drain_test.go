package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A slowOnce is a payment that must not be repeated. It does not look at its context, as many programs do not.
type slowOnce struct {
	began chan struct{}
	end   chan struct{}
	n     *atomic.Int64
	fails error
}

func (s slowOnce) Spec() tools.Spec {
	spec := (&payTool{class: tools.Once}).Spec()
	spec.Name = "slow.pay"
	return spec
}

func (s slowOnce) Call(context.Context, tools.Input) ([]byte, error) {
	s.began <- struct{}{}
	<-s.end
	if s.fails != nil {
		return nil, s.fails
	}
	s.n.Add(1)
	return []byte(`{"status":"ok"}`), nil
}

const slowArgs = `{"token":"USDC","to":"bob","amount":"1"}`

func openSlow(t *testing.T, model replies, fails error) (*bench, slowOnce) {
	tool := slowOnce{make(chan struct{}, 8), make(chan struct{}), new(atomic.Int64), fails}
	b := openWith(t, model, func(c *runner.Config) {
		c.Tools = []tools.Tool{tool, echoTool{}}
		c.Agents[0].Tools = []string{"slow.pay", "echo.say"}
	})
	return b, tool
}

// checkAnswered checks that the run ends with its tool's own word, and nothing was done twice.
func (b *bench) checkAnswered(run provenance.Link, tool slowOnce, paid int64) {
	b.Helper()
	b.restart()
	outcome := provenance.CloseAnswered
	if paid == 0 { // the tool refused, so what was asked is not done
		outcome = provenance.CloseFailed
	}
	b.until(run, outcome)
	if n := tool.n.Load(); n != paid {
		b.Errorf("paid %d times, want %d", n, paid)
	}
	views, err := b.r.Steps(b.Context(), run, 0, 64)
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range views {
		if l, ok := v.Step.Event.(*provenance.Lapse); ok {
			b.Errorf("step %d: lapse %q", v.Step.Seq, l.Why)
		}
	}
	b.verified(run)
}

// What a tool says while the Runner stops is in the journal, be it drained or closed at once: S17.
func TestAnOrderlyStopLosesNoAnswer(t *testing.T) {
	script := replies{calls(call("1", "slow.pay", slowArgs)), text("done")}
	for name, stop := range map[string]func(*testing.T, *bench, slowOnce){
		"drain waits": func(t *testing.T, b *bench, tool slowOnce) {
			time.AfterFunc(300*time.Millisecond, func() { close(tool.end) })
			if err := b.r.Drain(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"the time to drain is over": func(t *testing.T, b *bench, tool slowOnce) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			time.AfterFunc(100*time.Millisecond, func() { close(tool.end) })
			if err := b.r.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 runs") {
				t.Errorf("Drain says %v", err)
			}
		},
		"close": func(t *testing.T, b *bench, tool slowOnce) {
			time.AfterFunc(100*time.Millisecond, func() { close(tool.end) })
			b.r.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, tool := openSlow(t, script, nil)
			run := b.start("pay")
			<-tool.began
			stop(t, b, tool)
			b.checkAnswered(run, tool, 1)
		})
		t.Run(name+", and the tool refuses", func(t *testing.T) {
			b, tool := openSlow(t, script, &tools.Error{Code: "declined", Message: "The account is closed."})
			run := b.start("pay")
			<-tool.began
			stop(t, b, tool)
			b.checkAnswered(run, tool, 0)
		})
	}
}

// While it drains, a Runner opens no run and begins nothing that can be begun later; a call that must not be repeated
// and was decided meanwhile is made, since the next process could not know that it was not begun.
func TestADrainBeginsNothingNew(t *testing.T) {
	b, tool := openSlow(t, replies{
		calls(call("1", "slow.pay", slowArgs)), calls(call("2", "slow.pay", slowArgs)), text("done"),
	}, nil)
	run := b.start("pay")
	<-tool.began
	drained := make(chan error)
	go func() { drained <- b.r.Drain(t.Context()) }()
	for !runner.IsDraining(b.r) {
		time.Sleep(time.Millisecond)
	}
	req, err := b.request("hello", "another-key-1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = b.r.Start(t.Context(), req); !errors.Is(err, runner.ErrClosed) {
		t.Errorf("a new run is answered with %v", err)
	}
	tool.end <- struct{}{} // the answer is taken in; the model is not asked again
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	if n := tool.n.Load(); n != 1 {
		t.Errorf("%d payments before the restart, want 1", n)
	}
	close(tool.end)
	b.checkAnswered(run, tool, 2)
}

// A model that answers while the Runner drains may ask for a call that must not be repeated.
func TestADrainMakesTheOnceCallThatAModelAsksFor(t *testing.T) {
	g := newGate("model")
	tool := slowOnce{make(chan struct{}, 8), make(chan struct{}), new(atomic.Int64), nil}
	b := openWith(t, slowModel{g}, func(c *runner.Config) {
		c.Tools = []tools.Tool{tool}
		c.Agents[0].Tools = []string{"slow.pay"}
	})
	run := b.start("pay")
	<-g.came
	drained := make(chan error)
	go func() { drained <- b.r.Drain(t.Context()) }()
	for !runner.IsDraining(b.r) {
		time.Sleep(time.Millisecond)
	}
	close(tool.end)
	close(g.opened)
	if err := <-drained; err != nil {
		t.Fatal(err)
	}
	b.checkAnswered(run, tool, 1)
}

type slowModel struct{ g *gate }

func (m slowModel) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	r, err := gatedModel{m.g, "slow.pay"}.Reply(ctx, p)
	for i := range r.Calls {
		r.Calls[i].Args = json.RawMessage(slowArgs)
	}
	return r, err
}
