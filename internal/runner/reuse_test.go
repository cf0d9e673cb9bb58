package runner_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A counted model says how often it was asked.
type counted struct {
	asked *atomic.Int64
	reply func(n int64, p model.Prompt) (model.Reply, error)
}

func (m counted) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	return m.reply(m.asked.Add(1), p)
}

// openReusing opens a bench that gives answers again, with a real model that costs a nano-USD a token.
func openReusing(t *testing.T, reply func(n int64, p model.Prompt) (model.Reply, error)) (*bench, *atomic.Int64) {
	t.Helper()
	asked := new(atomic.Int64)
	info := model.Info{
		Name: "big", Kind: model.KindModel, Provider: "test", Model: "big-1", MaxTokens: 100,
		PriceIn: 1_000_000, PriceOut: 1_000_000,
	}
	b := openWith(t, replies{text("unused")}, func(c *runner.Config) {
		c.Reuse = 10 * time.Minute
		c.Models = append(c.Models, runner.NamedModel{Info: info, Model: counted{asked, reply}})
		c.Agents[0].Routes = []agentfile.Route{{ID: "big", Use: "big"}}
	})
	return b, asked
}

// saysHi answers whatever is asked, at a price.
func saysHi(n int64, _ model.Prompt) (model.Reply, error) {
	return model.Reply{Stop: model.StopEnd, Text: fmt.Sprintf("hi, the %d.", n), Usage: model.Usage{In: 30, Out: 5}}, nil
}

// again starts a request another time, as another run.
func (b *bench) again(input string) provenance.Link {
	b.Helper()
	req, err := b.request(input, fmt.Sprintf("again-%011d", b.seq))
	if err != nil {
		b.Fatal(err)
	}
	info, err := b.r.Start(b.Context(), req)
	if err != nil {
		b.Fatal(err)
	}
	return info.ID
}

// replyOf returns the first answer of a run.
func (b *bench) replyOf(run provenance.Link) *provenance.Reply {
	b.Helper()
	views, err := b.r.Steps(b.Context(), run, 1, 1)
	if err != nil || len(views) == 0 {
		b.Fatal("no reply: ", err)
	}
	r, ok := views[0].Step.Event.(*provenance.Reply)
	if !ok {
		b.Fatalf("step 1 is %T", views[0].Step.Event)
	}
	return r
}

func TestAnAnswerIsGivenAgain(t *testing.T) {
	b, asked := openReusing(t, saysHi)
	first := b.again("who is there?")
	b.until(first, provenance.CloseAnswered)
	spent := b.spentOf("cost")
	second := b.again("who is there?")
	b.until(second, provenance.CloseAnswered)
	if n := asked.Load(); n != 1 || b.said(second) != "hi, the 1." {
		t.Errorf("asked %d times, said %q", n, b.said(second))
	}
	r := b.replyOf(second)
	if r.From == nil || r.Model.Cost != 0 || r.Model.Usage != (provenance.Usage{}) {
		t.Fatalf("not recorded as given again: %+v", r)
	}
	if again := b.spentOf("cost"); again != spent {
		t.Errorf("the ledger went from %s to %s", spent, again)
	}
	b.verified(first)
	b.verified(second)
	b.now.Add(10 * time.Minute.Milliseconds())
	b.until(b.again("who is there?"), provenance.CloseAnswered)
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times once the answer is old, want 2", n)
	}
}

func TestOneRunAsksForAllThatAskTheSame(t *testing.T) {
	const n = 12
	gate := make(chan struct{})
	b, asked := openReusing(t, func(n int64, p model.Prompt) (model.Reply, error) {
		<-gate
		return saysHi(n, p)
	})
	var runs []provenance.Link
	for range n {
		runs = append(runs, b.again("who is there?"))
	}
	close(gate)
	for _, run := range runs {
		b.until(run, provenance.CloseAnswered)
		b.verified(run)
	}
	if got := asked.Load(); got != 1 {
		t.Errorf("asked %d times, want 1", got)
	}
}

func TestWhatIsNotGivenAgain(t *testing.T) {
	pay := calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`))
	for _, tt := range []struct {
		name  string
		reply func(n int64, p model.Prompt) (model.Reply, error)
		input string
		then  func(*bench) // between the first run and the second
		ends  string
		asked int64
	}{
		{"another request", saysHi, "", func(b *bench) {}, provenance.CloseAnswered, 2},
		{"a request that may act", saysHi, "pay what is owed", func(b *bench) {}, provenance.CloseAnswered, 2},
		{"another session of the same wallet", saysHi, "who?", func(b *bench) {
			b.nonce = "another123456789"
			if err := b.signIn(b.Context(), b.r); err != nil {
				b.Fatal(err)
			}
		}, provenance.CloseAnswered, 2},
		{"an answer that was cut", func(n int64, p model.Prompt) (model.Reply, error) {
			return model.Reply{Stop: model.StopLength, Text: "hi, the"}, nil
		}, "who?", func(*bench) {}, provenance.CloseTruncated, 2},
		{"a failure", func(n int64, p model.Prompt) (model.Reply, error) {
			return model.Reply{}, errors.New("broken")
		}, "who?", func(*bench) {}, provenance.CloseFailed, 2},
		{"an answer that acts", func(n int64, p model.Prompt) (model.Reply, error) {
			if n%2 == 1 {
				return pay, nil
			}
			return text("paid"), nil
		}, "do it", func(*bench) {}, provenance.CloseAnswered, 4},
		{"an answer of before the restart", saysHi, "who?", func(b *bench) {
			b.r.Close()
			b.restart()
		}, provenance.CloseAnswered, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, asked := openReusing(t, tt.reply)
			for i := range 2 {
				input := tt.input
				if input == "" {
					input = fmt.Sprintf("what is %d?", i)
				}
				if i == 1 {
					tt.then(b)
				}
				b.until(b.again(input), tt.ends)
			}
			if n := asked.Load(); n != tt.asked {
				t.Errorf("asked %d times, want %d", n, tt.asked)
			}
		})
	}
}

// Of wallets that ask the same at the same time, each has an answer of its own.
func TestNoWalletHasAnothersAnswer(t *testing.T) {
	b, asked := openReusing(t, saysHi)
	b.until(b.again("who is there?"), provenance.CloseAnswered)
	w, err := auth.ParseWallet(fmt.Sprintf("0x%064x", 7))
	if err != nil {
		t.Fatal(err)
	}
	other := user{nonce: "another123456789", wallet: w}
	if err := other.signIn(t.Context(), b.r); err != nil {
		t.Fatal(err)
	}
	b.user = other
	run := b.again("who is there?")
	b.until(run, provenance.CloseAnswered)
	if n := asked.Load(); n != 2 || b.said(run) != "hi, the 2." {
		t.Errorf("asked %d times, the second wallet was told %q", n, b.said(run))
	}
}

func TestATurnAfterAReadIsGivenAgainWithItsResult(t *testing.T) {
	var mu sync.Mutex
	echoed := "one"
	b, asked := openReusing(t, func(n int64, p model.Prompt) (model.Reply, error) {
		if last := p.Messages[len(p.Messages)-1]; last.Role == model.RoleTool {
			return text("it said " + last.Text), nil
		}
		mu.Lock()
		defer mu.Unlock()
		return calls(call("c1", "echo.say", `{"text":"`+echoed+`"}`)), nil
	})
	for range 2 {
		run := b.again("what is said?")
		b.until(run, provenance.CloseAnswered)
		b.verified(run)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times for two runs of two turns, want 2", n)
	}
}

func TestEachFalseReuseIsRefused(t *testing.T) {
	b, _ := openReusing(t, func(int64, model.Prompt) (model.Reply, error) { return text("hi"), nil })
	from, elsewhere := b.again("who is there?"), b.again("who else?")
	b.until(from, provenance.CloseAnswered)
	b.until(elsewhere, provenance.CloseAnswered)
	run := b.again("who is there?")
	b.until(run, provenance.CloseAnswered)
	head := func(run provenance.Link) provenance.Link { return b.info(run).Head }
	step := func(run provenance.Link, seq uint64) provenance.Link {
		views, err := b.r.Steps(t.Context(), run, seq, 1)
		if err != nil {
			t.Fatal(err)
		}
		return views[0].CID
	}
	for _, tt := range []struct {
		name string
		lie  func(*provenance.Reply)
		code provenance.Code
	}{
		{"nothing", func(*provenance.Reply) {}, ""},
		{"an answer to another prompt", func(r *provenance.Reply) {
			r.From.Head, r.From.Step = head(elsewhere), step(elsewhere, 1)
		}, audit.CodeReplyReused},
		{"a step of another run than the head's", func(r *provenance.Reply) { r.From.Step = step(elsewhere, 1) }, audit.CodeReplyReused},
		{"a step that is no answer", func(r *provenance.Reply) { r.From.Step = step(from, 0) }, audit.CodeReplyReused},
		{"another model", func(r *provenance.Reply) { r.Model.Answered = "small" }, audit.CodeReplyReused},
		{"an id of its own", func(r *provenance.Reply) { r.Model.ID = "resp-1" }, audit.CodeDecisionEvent},
	} {
		l := b.stepsOf(run)
		tt.lie(l.steps[1].Event.(*provenance.Reply))
		if rep := l.told(b.r.Key()); rep.Code != tt.code {
			t.Errorf("%s: %q (%s), want %q", tt.name, rep.Code, rep.Detail, tt.code)
		}
	}
}
