package agent_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

type place struct {
	City string `json:"city"`
}

func weather() agent.Tool {
	return agent.Func("weather.now", "Tells the weather in a city.", agent.Read,
		func(_ context.Context, p place) (string, error) { return "sunny in " + p.City, nil }, "what is the weather in {city}")
}

type note struct {
	To   string `json:"to"`
	Text string `json:"text"`
}

// notes is a tool with an effect, which counts.
func notes(sent *atomic.Int64) agent.Tool {
	return agent.Func("note.send", "Sends a note to somebody.", agent.Once, func(_ context.Context, n note) (string, error) {
		sent.Add(1)
		return "sent to " + n.To, nil
	}, "tell {to} {text}")
}

func open(t *testing.T, c agent.Config) *agent.Agent {
	t.Helper()
	a, err := agent.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

func ask(t *testing.T, a *agent.Agent, input string) *agent.Answer {
	t.Helper()
	answer, err := a.Ask(t.Context(), input)
	if err != nil {
		t.Fatalf("ask %q: %v", input, err)
	}
	return answer
}

func wantVerified(t *testing.T, answer *agent.Answer) *provenance.Report {
	t.Helper()
	report, err := answer.Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if report.Verdict != provenance.Verified {
		t.Errorf("verdict %s: %s %s", report.Verdict, report.Code, report.Detail)
	}
	return report
}

func TestAReadAnswersAndVerifies(t *testing.T) {
	a := open(t, agent.Config{Tools: []agent.Tool{weather()}})
	for range 2 { // an agent answers more than once
		answer := ask(t, a, "what is the weather in Rome?")
		if !strings.Contains(answer.Text, "sunny in Rome") || answer.Outcome != agent.Answered {
			t.Errorf("got %q, %s", answer.Text, answer.Outcome)
		}
		wantVerified(t, answer)
	}
}

func TestOutsideTheGrammarItSaysWhatItIs(t *testing.T) {
	a := open(t, agent.Config{Tools: []agent.Tool{weather()}})
	if answer := ask(t, a, "write me a poem"); !strings.Contains(answer.Text, "rules") {
		t.Errorf("got %q, which does not say that rules answer", answer.Text)
	}
}

func TestAnEffectAsksTheWallet(t *testing.T) {
	for _, tt := range []struct {
		name    string
		approve bool
		sent    int64
		outcome string
	}{
		{"approved, it is done once", true, 1, agent.Answered},
		{"refused, it is not done", false, 0, agent.Denied},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent atomic.Int64
			var asked []agent.Approval
			a := open(t, agent.Config{
				Tools: []agent.Tool{notes(&sent)},
				Approve: func(_ context.Context, p agent.Approval) (bool, error) {
					asked = append(asked, p)
					return tt.approve, nil
				},
			})
			answer := ask(t, a, "tell bob hello")
			if sent.Load() != tt.sent || answer.Outcome != tt.outcome {
				t.Errorf("sent %d times, outcome %s; want %d, %s: %q", sent.Load(), answer.Outcome, tt.sent, tt.outcome, answer.Text)
			}
			if len(asked) != 1 || asked[0].Tool != "note.send" || string(asked[0].Args) != `{"text":"hello","to":"bob"}` {
				t.Errorf("the wallet was asked for %+v", asked)
			}
			wantVerified(t, answer)
		})
	}
}

func TestAnErrorOfApproveLeavesTheRunWaiting(t *testing.T) {
	var sent atomic.Int64
	away := errors.New("nobody is at the desk")
	a := open(t, agent.Config{
		Tools:   []agent.Tool{notes(&sent)},
		Approve: func(context.Context, agent.Approval) (bool, error) { return false, away },
	})
	if _, err := a.Ask(t.Context(), "tell bob hello"); !errors.Is(err, away) {
		t.Errorf("got %v, want %v", err, away)
	}
	waiting, err := a.Approvals(t.Context())
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%d approvals wait, %v; want one", len(waiting), err)
	}
}

func TestAnApprovalOutlivesTheProcess(t *testing.T) {
	var sent atomic.Int64
	dir := t.TempDir()
	c := agent.Config{Tools: []agent.Tool{notes(&sent)}, Store: "sqlite:" + filepath.Join(dir, "agent.db")}
	first, err := agent.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	answer := ask(t, first, "tell bob hello")
	if answer.Outcome != agent.Waiting {
		t.Fatalf("outcome %s, want %s", answer.Outcome, agent.Waiting)
	}
	key := first.OperatorKey()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	second := open(t, c)
	if !slices.Equal(second.OperatorKey(), key) {
		t.Error("the operator's key is another one after the restart")
	}
	waiting, err := second.Approvals(t.Context())
	if err != nil || len(waiting) != 1 {
		t.Fatalf("%d approvals wait, %v; want one", len(waiting), err)
	}
	if err := waiting[0].Approve(t.Context()); err != nil {
		t.Fatal(err)
	}
	run, err := second.Run(t.Context(), answer.Run)
	if err != nil {
		t.Fatal(err)
	}
	done, err := run.Wait(t.Context())
	if err != nil || done.Outcome != agent.Answered || sent.Load() != 1 {
		t.Fatalf("outcome %v, sent %d times, %v", done, sent.Load(), err)
	}
	wantVerified(t, done)
	if info, err := os.Stat(filepath.Join(dir, "agent.db.keys.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of keys is %v, %v; want mode 0600", info.Mode(), err)
	}
}

func TestAWalletOfOnesOwnSigns(t *testing.T) {
	wallet, err := auth.ParseWallet(strings.Repeat("11", 32))
	if err != nil {
		t.Fatal(err)
	}
	var sent atomic.Int64
	a := open(t, agent.Config{
		Tools: []agent.Tool{notes(&sent)}, Wallet: wallet,
		Approve: func(_ context.Context, p agent.Approval) (bool, error) {
			if got := p.Typed().Account; got != wallet.Address() {
				t.Errorf("the approval is for %s, want %s", got, wallet.Address())
			}
			return true, nil
		},
	})
	wantVerified(t, ask(t, a, "tell bob hello"))
}

func TestEventsComeInOrderAndOnce(t *testing.T) {
	var sent atomic.Int64
	a := open(t, agent.Config{
		Tools:   []agent.Tool{notes(&sent)},
		Approve: func(context.Context, agent.Approval) (bool, error) { return true, nil },
	})
	run, err := a.Start(t.Context(), "tell bob hello")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time from the journal alone
		var kinds []agent.Kind
		var last uint64
		for e, err := range run.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind == agent.Delta {
				continue
			}
			if e.Seq < last {
				t.Errorf("step %d comes after step %d", e.Seq, last)
			}
			kinds, last = append(kinds, e.Kind), e.Seq
		}
		want := []agent.Kind{
			agent.Replied, agent.Asked, agent.Decided, agent.Called, agent.Result, agent.Replied, agent.Said, agent.Closed,
		}
		if !slices.Equal(kinds, want) {
			t.Errorf("got %v\nwant %v", kinds, want)
		}
	}
}

func TestManyAskAtOnce(t *testing.T) {
	a := open(t, agent.Config{Tools: []agent.Tool{weather()}})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			answer, err := a.Ask(t.Context(), "what is the weather in Rome?")
			if err != nil || answer.Outcome != agent.Answered {
				t.Errorf("got %+v, %v", answer, err)
			}
		})
	}
	wg.Wait()
}

type thing struct {
	What string `json:"what"`
}

func TestAsSoonAsTheCallerHasEnoughWaitReturns(t *testing.T) {
	begun := make(chan struct{})
	slow := agent.Func("slow.look", "Looks slowly.", agent.Read, func(ctx context.Context, _ thing) (string, error) {
		close(begun)
		<-ctx.Done()
		return "", ctx.Err()
	}, "look at {what}")
	a := open(t, agent.Config{Tools: []agent.Tool{slow}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // ended by the test's end at the latest, with begun
		<-begun
		cancel()
	}()
	if _, err := a.Ask(ctx, "look at it"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func TestCancelEndsARun(t *testing.T) {
	var sent atomic.Int64
	a := open(t, agent.Config{Tools: []agent.Tool{notes(&sent)}})
	answer := ask(t, a, "tell bob hello")
	run, err := a.Run(t.Context(), answer.Run)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	if answer, err = run.Wait(t.Context()); err != nil || answer.Outcome != agent.Cancelled || sent.Load() != 0 {
		t.Errorf("got %+v, %v, sent %d times", answer, err, sent.Load())
	}
}

// A relay is a model that hands every request to a sub-agent and says what came back.
type relay struct{ to string }

func (r relay) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	last := p.Messages[len(p.Messages)-1]
	if last.Role == model.RoleTool {
		return model.Reply{Stop: model.StopEnd, Text: "It says: " + last.Text}, nil
	}
	return model.Reply{Stop: model.StopTools, Calls: []model.Call{{
		ID: "1", Tool: r.to, Args: []byte(`{"input":"tell bob hello"}`),
	}}}, nil
}

func TestASubAgentsEffectAsksTheWalletToo(t *testing.T) {
	var sent atomic.Int64
	asked := 0
	a := open(t, agent.Config{
		Model:     relay{"agent.clerk"},
		Delegates: []agent.Delegate{{Name: "clerk", About: "Sends notes.", Tools: []agent.Tool{notes(&sent)}}},
		Approve: func(context.Context, agent.Approval) (bool, error) {
			asked++
			return true, nil
		},
	})
	answer := ask(t, a, "tell bob hello")
	if asked != 1 || sent.Load() != 1 || answer.Outcome != agent.Answered {
		t.Errorf("asked %d times, sent %d times, %s: %q", asked, sent.Load(), answer.Outcome, answer.Text)
	}
	wantVerified(t, answer)
}

func TestMistakesArriveAsErrors(t *testing.T) {
	noTool := agent.Func("Weather Now", "", agent.Read, func(context.Context, place) (string, error) { return "", nil })
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lone.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	one := []agent.Tool{weather()}
	for _, tt := range []struct {
		name string
		c    agent.Config
		want string
	}{
		{"nothing to do", agent.Config{}, "at least one of Tools and Delegates"},
		{"a tool with a bad name", agent.Config{Tools: []agent.Tool{noTool}}, "Weather Now"},
		{"an agent with a bad name", agent.Config{Name: "My Agent", Tools: one}, "My Agent"},
		{"a bad policy", agent.Config{Tools: one, Policy: []byte("rules: 3")}, "policy"},
		{"a store of another kind", agent.Config{Tools: one, Store: "redis://x"}, "Store"},
		{"a folder that is not there", agent.Config{Tools: one, Store: "sqlite:" + filepath.Join(dir, "no/x.db")}, "no/x.db"},
		{"a database without its keys", agent.Config{Tools: one, Store: "sqlite:" + filepath.Join(dir, "lone.db")}, "backup"},
		{"limits that nobody can grant", agent.Config{Tools: one, Limits: auth.Caveats{MaxDepth: 9}}, "max_depth"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := agent.Open(t.Context(), tt.c)
			if err == nil {
				a.Close()
				t.Fatal("it opened")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, which does not say %q", err, tt.want)
			}
		})
	}
}

func TestARunThatIsNotThere(t *testing.T) {
	a := open(t, agent.Config{Tools: []agent.Tool{weather()}})
	if _, err := a.Run(t.Context(), provenance.Sum(0x71, []byte("nothing"))); !errors.Is(err, agent.ErrNotFound) {
		t.Errorf("got %v, want %v", err, agent.ErrNotFound)
	}
}

type order struct {
	Customer struct {
		Name string   `json:"name"`
		Tags []string `json:"tags,omitempty"`
	} `json:"customer"`
	Amount int `json:"amount"`
}

// An ordering is a model that orders once.
type ordering struct{}

func (ordering) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	if last := p.Messages[len(p.Messages)-1]; last.Role == model.RoleTool {
		return model.Reply{Stop: model.StopEnd, Text: last.Text}, nil
	}
	return model.Reply{Stop: model.StopTools, Calls: []model.Call{{
		ID: "1", Tool: "shop.order", Args: []byte(`{"customer":{"name":"bob","tags":["new"]},"amount":3}`),
	}}}, nil
}

func TestNestedArgumentsAreJudgedByTheirPaths(t *testing.T) {
	var key string
	place := agent.Func("shop.order", "Orders.", agent.Keyed, func(ctx context.Context, o order) (string, error) {
		key = agent.IdempotencyKey(ctx)
		return "ordered for " + o.Customer.Name + " " + strings.Join(o.Customer.Tags, ","), nil
	})
	const rules = `schema: writ/policies/1
name: shop
rules:
  - {id: small, at: tool.call, tool: shop.order, effect: permit, when: 'args.amount <= %s && args.customer.name == "bob"'}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`
	for limit, want := range map[string]string{"5": agent.Answered, "2": agent.Denied} {
		key = ""
		a := open(t, agent.Config{
			Model: ordering{}, Tools: []agent.Tool{place}, Policy: []byte(strings.Replace(rules, "%s", limit, 1)),
		})
		answer := ask(t, a, "order three for bob")
		if done := len(key) == 64; done != (want == agent.Answered) {
			t.Errorf("limit %s: the order was placed: %t, with the key %q; %s", limit, done, key, answer.Text)
		}
		wantVerified(t, answer)
	}
}
