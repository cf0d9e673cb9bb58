package runner_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/fleet"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A family is a way in which another gateway went wrong, in the thread that tells it.
type family struct {
	thread, says string
	check        func(t *testing.T)
}

// Costs that were counted as too little or as nothing
func spendFamilies() (out []family) {
	whole := mishap{do: func(p *provider, w http.ResponseWriter, _ *http.Request) { send(w, p.say("big-1", "first")...) }}
	for thread, p := range map[string]*provider{
		"litellm#37923": messagesProvider(), "litellm#38176": responsesProvider(), "litellm#36168": chatProvider(),
	} {
		out = append(out, family{thread, "a stream of " + p.dialect + " costs what it used", func(t *testing.T) {
			b := openAt(t, p, whole)
			run := b.start("pay")
			b.until(run, provenance.CloseAnswered)
			b.checkCost(run, 10*price.In/1e6+5*price.Out/1e6)
		}})
	}
	info := model.Info{PriceIn: 1_000_000, PriceOut: 1_000_000, PriceCached: 100_000, PriceWrite5m: 1_250_000, PriceWrite1h: 2_000_000}
	read := func(t *testing.T, name, wire string) model.Usage {
		r, _, err := dialect.Read(name, []byte(wire), dialect.Question{Model: "big-1"})
		if err != nil {
			t.Fatal(err)
		}
		return r.Usage
	}
	return append(out,
		family{"litellm#36083", "cached tokens of a stream have their own price", func(t *testing.T) {
			u := read(t, dialect.Chat, event("", object{"id": "c1", "model": "big-1", "choices": []any{object{"index": 0, "delta": object{"content": "x"}, "finish_reason": "stop"}}})+
				event("", object{"id": "c1", "choices": []any{}, "usage": object{"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": object{"cached_tokens": 80}}})+"data: [DONE]\n\n")
			if u.CachedIn != 80 || info.Cost(u) != 20+8+5 {
				t.Errorf("%+v costs %d", u, info.Cost(u))
			}
		}},
		family{"litellm#42663", "writes to a cache have their own price", func(t *testing.T) {
			u := read(t, dialect.Messages, event("message_start", object{"message": object{"id": "m1", "model": "big-1", "role": "assistant", "content": []any{},
				"usage": object{"input_tokens": 10, "output_tokens": 1, "cache_creation_input_tokens": 120,
					"cache_creation": object{"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 80}}}})+
				event("content_block_start", object{"index": 0, "content_block": object{"type": "text", "text": "x"}})+
				event("content_block_stop", object{"index": 0})+
				event("message_delta", object{"delta": object{"stop_reason": "end_turn"}, "usage": object{"output_tokens": 5}})+
				event("message_stop", object{}))
			if u.Write5m != 40 || u.Write1h != 80 || info.Cost(u) != 10+50+160+5 {
				t.Errorf("%+v costs %d", u, info.Cost(u))
			}
		}},
		family{"litellm#11789", "what a stream read from a cache is no dear input", func(t *testing.T) {
			u := read(t, dialect.Messages, cachedMessage(object{"input_tokens": 4, "cache_read_input_tokens": 2460, "output_tokens": 1},
				object{"output_tokens": 23}))
			if u.In != 2464 || u.CachedIn != 2460 || info.Cost(u) != 4+246+23 {
				t.Errorf("%+v costs %d", u, info.Cost(u))
			}
		}},
		family{"litellm#9812", "what was written to a cache is charged once", func(t *testing.T) {
			u := read(t, dialect.Messages, cachedMessage(object{"input_tokens": 3, "cache_creation_input_tokens": 12304,
				"cache_read_input_tokens": 0, "output_tokens": 1}, object{"output_tokens": 550}))
			if u.In != 12307 || u.Write5m != 12304 || info.Cost(u) != 3+15380+550 {
				t.Errorf("%+v costs %d", u, info.Cost(u))
			}
		}},
		family{"litellm PR#25517", "what the end of a stream says again is not counted again", func(t *testing.T) {
			said := object{"input_tokens": 3, "cache_creation_input_tokens": 17, "cache_read_input_tokens": 32651, "output_tokens": 9}
			u := read(t, dialect.Messages, cachedMessage(said, said))
			if u.In != 32671 || u.CachedIn != 32651 || u.Write5m != 17 || u.Out != 9 {
				t.Errorf("%+v", u)
			}
		}},
	)
}

// cachedMessage is a stream of Messages that says what it used at its begin and at its end.
func cachedMessage(begin, end object) string {
	return event("message_start", object{"message": object{"id": "m1", "model": "big-1", "role": "assistant", "content": []any{}, "usage": begin}}) +
		event("content_block_start", object{"index": 0, "content_block": object{"type": "text", "text": "x"}}) +
		event("content_block_stop", object{"index": 0}) +
		event("message_delta", object{"delta": object{"stop_reason": "end_turn"}, "usage": end}) +
		event("message_stop", object{})
}

// openPriced opens a bench with a budget for two models, of which the first fails if it says so; a call of either costs
// 4,000 nano-USD at most, and all of that.
func openPriced(t *testing.T, budget int64, fails error) (b *bench, first, second *atomic.Int64) {
	return openUsing(t, budget, 10, fails)
}

// openUsing is openPriced with models that say so many tokens, 400 nano-USD each.
func openUsing(t *testing.T, budget, tokens int64, fails error) (b *bench, first, second *atomic.Int64) {
	first, second = new(atomic.Int64), new(atomic.Int64)
	named := func(name string, n *atomic.Int64, fails error) runner.NamedModel {
		return runner.NamedModel{
			Info: model.Info{Name: name, Kind: model.KindModel, Provider: "test", Model: name, MaxTokens: 10, PriceOut: 400_000_000},
			Model: counted{n, func(int64, model.Prompt) (model.Reply, error) {
				return model.Reply{Stop: model.StopEnd, Text: name, Usage: model.Usage{In: 3, Out: tokens}}, fails
			}},
		}
	}
	b = openWith(t, replies{text("unused")}, func(c *runner.Config) {
		c.Models = append(c.Models, named("first", first, fails), named("second", second, nil))
		c.Agents[0].Routes = []agentfile.Route{{ID: "a", Use: "first"}, {ID: "b", Use: "second"}}
		c.Agents[0].Grant.MaxCostNanoUSD = budget
	})
	return b, first, second
}

// Budgets that were passed by, or that kept from spending what was there
func budgetFamilies() []family {
	return []family{
		{"langwatch/tasks#421", "with nothing left no request is made", func(t *testing.T) {
			b, first, second := openPriced(t, 3_999, nil)
			for range 110 {
				b.ended(b.again("who?"))
			}
			if n := first.Load() + second.Load(); n != 0 {
				t.Errorf("%d requests were made", n)
			}
		}},
		{"litellm PR#41379", "a fallback is reserved for before it starts", func(t *testing.T) {
			charged := &fault.Fault{Code: fault.ModelStall} // it may have cost all that it might
			b, first, second := openPriced(t, 7_999, charged)
			b.ended(b.again("who?"))
			if first.Load() != 1 || second.Load() != 0 || b.spentOf("cost") != "0.000004 usd" {
				t.Errorf("asked %d and %d times, spent %s", first.Load(), second.Load(), b.spentOf("cost"))
			}
		}},
		{"bifrost#5770", "a budget that just suffices is used", func(t *testing.T) {
			b, first, _ := openPriced(t, 4_000, nil)
			b.until(b.again("who?"), provenance.CloseAnswered)
			if first.Load() != 1 {
				t.Errorf("asked %d times", first.Load())
			}
		}},
		{"litellm#34732", "turns at the same time share what is left", func(t *testing.T) {
			b, first, second := openPriced(t, 40_000, nil)
			b.crowd(50)
			if first.Load()+second.Load() != 10 || b.spentOf("cost") != "0.00004 usd" {
				t.Errorf("asked %d and %d times, spent %s", first.Load(), second.Load(), b.spentOf("cost"))
			}
		}},
		{"litellm#40050", "what was reserved and not used is there again", func(t *testing.T) {
			b, first, second := openUsing(t, 7_600, 1, nil) // nine times 400 spent leave just the 4,000 of a tenth
			for range 12 {
				b.ended(b.again("who?"))
			}
			if first.Load() != 10 || second.Load() != 0 || b.spentOf("cost") != "0.000004 usd" {
				t.Errorf("asked %d and %d times, spent %s", first.Load(), second.Load(), b.spentOf("cost"))
			}
		}},
	}
}

// crowd starts n runs at once, and waits for all.
func (b *bench) crowd(n int) {
	b.Helper()
	var wg sync.WaitGroup
	runs := make([]provenance.Link, n)
	for i := range runs {
		req, err := b.request("who?", fmt.Sprintf("crowd-%04d", i))
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			info, err := b.r.Start(b.Context(), req)
			if err != nil {
				b.Errorf("run %d: %v", i, err)
			}
			runs[i] = info.ID
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
	for _, run := range runs {
		b.ended(run)
	}
}

// Answers that were put together of two, or that were not asked for anew
func streamFamilies() (out []family) {
	named := func(name string) mishap {
		for _, m := range mishaps {
			if m.name == name {
				return m
			}
		}
		panic("no mishap is called " + name)
	}
	for _, x := range []struct{ thread, says, mishap string }{
		{"litellm PR#32835", "an answer that broke off is no part of the next", "status 200, then an error"},
		{"litellm PR#40958", "429 without a time is a failure, and the next is asked", "429 and nothing else"},
		{"livekit/agents-js#2477", "a call that was cut is not run", "a call that is cut"},
		{"mnfst/llm-gateway#1656", "200 and then nothing is a failure in time", "a stall"},
	} {
		for _, p := range []*provider{chatProvider(), responsesProvider(), messagesProvider()} {
			out = append(out, family{x.thread, x.says + " (" + p.dialect + ")", func(t *testing.T) { meetMishap(t, p, named(x.mishap)) }})
		}
	}
	return append(out,
		family{"bifrost#5395", "an error behind response.created is one", func(t *testing.T) {
			meetMishap(t, responsesProvider(), mishap{code: fault.ModelOverloaded, do: func(p *provider, w http.ResponseWriter, _ *http.Request) {
				send(w, p.say("big-1", "first")[0], p.fail)
			}})
		}},
		family{"litellm PR#38153", "a message that begins twice is none", func(t *testing.T) {
			meetMishap(t, messagesProvider(), mishap{code: fault.ModelStream, do: func(p *provider, w http.ResponseWriter, _ *http.Request) {
				all := p.say("big-1", "first")
				send(w, append([]string{all[0]}, all...)...)
			}})
		}},
		family{"litellm#29808", "what broke off with nobody else to ask is told as such", func(t *testing.T) {
			b := openAlone(t, named("status 200, then an error"))
			run := b.start("pay")
			b.until(run, provenance.CloseFailed)
			if said := b.said(run); strings.Contains(said, "first") || strings.Contains(said, "second") {
				t.Errorf("said %q", said)
			}
			b.verified(run)
		}},
		family{"litellm#19077", "a model that no route names is not asked", func(t *testing.T) {
			b := openAlone(t, named("429 and nothing else"))
			run := b.start("pay")
			info := b.until(run, provenance.CloseFailed)
			views, err := b.r.Steps(t.Context(), run, 0, int(info.Steps))
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range views {
				for _, e := range v.Step.Does {
					if ask, is := e.(*provenance.AskModel); is && ask.Route.Model != "big" {
						t.Errorf("%s was asked", ask.Route.Model)
					}
				}
			}
		}},
		family{"litellm PR#26067", "a refusal that comes with the first read of a stream has a next model", func(t *testing.T) {
			for _, p := range []*provider{chatProvider(), responsesProvider(), messagesProvider()} {
				meetMishap(t, p, mishap{code: fault.ModelKey, do: func(_ *provider, w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(http.StatusUnauthorized)
				}})
			}
		}},
	)
}

// openAlone opens a bench with one route, to a model that does m; another model is there, and no route leads to it.
func openAlone(t *testing.T, m mishap) *bench {
	return openAtWith(t, chatProvider(), m, func(c *runner.Config) {
		c.Agents[0].Routes = []agentfile.Route{{ID: "big", Use: "big"}}
	})
}

// Models that were asked although they were known to fail
func cooldownFamilies() []family {
	down := func(t *testing.T, code fault.Code, want int) {
		f := fleet.New(time.Now, []fleet.Model{{Name: "a", Endpoint: "host"}, {Name: "b", Endpoint: "host"}})
		let := 0
		for range 25 {
			if a, ok := f.Begin("a", "x", false); ok {
				let++
				a.Failed(&fault.Fault{Code: code})
			}
		}
		if let != 3 || len(f.Down("x")) != want {
			t.Errorf("%d attempts were let through, and %v are down", let, f.Down("x"))
		}
	}
	return []family{
		{"litellm PR#34836", "of 25 errors in a row three are met", func(t *testing.T) { down(t, fault.ModelError, 1) }},
		{"litellm PR#40958", "who asked too often waits as long as the provider says, and others do not", func(t *testing.T) {
			now := time.Unix(1, 0)
			f := fleet.New(func() time.Time { return now }, []fleet.Model{{Name: "a", Endpoint: "host"}})
			a, _ := f.Begin("a", "x", false)
			a.Failed(&fault.Fault{Code: fault.ModelRate, After: 20 * time.Second})
			if _, ok := f.Begin("a", "x", false); ok {
				t.Error("it is asked again at once")
			}
			if _, ok := f.Begin("a", "y", false); !ok {
				t.Error("another account is kept from it")
			}
			now = now.Add(20 * time.Second)
			if _, ok := f.Begin("a", "x", false); !ok {
				t.Error("it is not asked when its time has come")
			}
		}},
		{"bifrost PR#6473", "one attempt at a time finds out whether it is back", func(t *testing.T) {
			now := time.Unix(1, 0)
			f := fleet.New(func() time.Time { return now }, []fleet.Model{{Name: "a", Endpoint: "host"}})
			for range 3 {
				a, _ := f.Begin("a", "x", false)
				a.Failed(&fault.Fault{Code: fault.ModelError})
			}
			now = now.Add(time.Hour)
			probe, ok := f.Begin("a", "x", false)
			if _, second := f.Begin("a", "x", false); !ok || second {
				t.Fatalf("a probe is let through: %v, and a second beside it: %v", ok, second)
			}
			probe.Failed(&fault.Fault{Code: fault.ModelError})
			if _, ok := f.Begin("a", "x", false); ok {
				t.Error("it is asked although the probe failed")
			}
		}},
		{"litellm#27362", "a host that is not there is left alone, with all its models", func(t *testing.T) { down(t, fault.ModelUnreachable, 2) }},
	}
}

// Answers that somebody got who asked something else, or was somebody else
func cacheFamilies() []family {
	apart := func(t *testing.T, first, second func(b *bench) provenance.Link) {
		b, asked := openReusing(t, saysHi)
		b.until(first(b), provenance.CloseAnswered)
		b.until(second(b), provenance.CloseAnswered)
		if n := asked.Load(); n != 2 {
			t.Errorf("the model was asked %d times, want 2", n)
		}
	}
	ask := func(input string) func(*bench) provenance.Link {
		return func(b *bench) provenance.Link { return b.again(input) }
	}
	long := strings.Repeat("the same words ", 2000)
	return []family{
		{"vllm-project/semantic-router#1448", "another wallet has an answer of its own", func(t *testing.T) {
			apart(t, ask("who?"), func(b *bench) provenance.Link {
				w, err := auth.ParseWallet(fmt.Sprintf("0x%064x", 7))
				if err != nil {
					t.Fatal(err)
				}
				b.user = user{nonce: "another123456789", wallet: w}
				if err := b.signIn(t.Context(), b.r); err != nil {
					t.Fatal(err)
				}
				return b.again("who?")
			})
		}},
		{"vllm-project/semantic-router#2134", "what is nearly the same is another question", func(t *testing.T) {
			apart(t, ask("is alice here?"), ask("is alice here"))
		}},
		{"vllm-project/semantic-router#3366", "a long shared beginning is no question", func(t *testing.T) {
			apart(t, ask(long+"one?"), ask(long+"two?"))
		}},
		{"litellm#12234", "questions that are near have answers apart", func(t *testing.T) {
			apart(t, ask("what is on?"), ask("what is off?"))
		}},
		{"OmniRoute#3740", "another key has an answer of its own", func(t *testing.T) {
			apart(t, ask("who?"), func(b *bench) provenance.Link {
				b.nonce = "another123456789"
				if err := b.signIn(t.Context(), b.r); err != nil {
					t.Fatal(err)
				}
				return b.again("who?")
			})
		}},
		{"NadirClaw#90", "another form is another question", func(t *testing.T) {
			b, asked := openReusing(t, func(n int64, p model.Prompt) (model.Reply, error) {
				return model.Reply{Stop: model.StopEnd, Text: `{"name":"bob"}`, Usage: model.Usage{In: 30, Out: 5}}, nil
			})
			b.until(b.again("who?"), provenance.CloseAnswered)
			b.until(b.formed("who?", personSchema), provenance.CloseAnswered)
			if n := asked.Load(); n != 2 {
				t.Errorf("the model was asked %d times, want 2", n)
			}
		}},
		{"OmniRoute PR#8984", "an answer that is given again says nothing of how quick a model is", func(t *testing.T) {
			b, _ := openReusing(t, func(n int64, p model.Prompt) (model.Reply, error) {
				return model.Reply{Stop: model.StopEnd, Text: "hi", TTFT: 900, Usage: model.Usage{In: 30, Out: 5}}, nil
			})
			for range 5 {
				b.until(b.again("who?"), provenance.CloseAnswered)
			}
			last := b.again("who?")
			b.until(last, provenance.CloseAnswered)
			r := b.replyOf(last)
			if r.From == nil || r.Model.TTFT != 0 {
				t.Errorf("recorded with %d ms to its first content, from %v", r.Model.TTFT, r.From)
			}
		}},
		{"octopus#235", "other tools are another question", func(t *testing.T) {
			apart(t, ask("who?"), func(b *bench) provenance.Link { return b.withTools("who?") })
		}},
	}
}

// What went wrong elsewhere, and does not here.
func TestBugFamiliesOfGateways(t *testing.T) {
	n := 0
	for _, list := range [][]family{spendFamilies(), budgetFamilies(), streamFamilies(), cooldownFamilies(), cacheFamilies()} {
		for _, f := range list {
			n++
			t.Run(f.thread+"/"+f.says, f.check)
		}
	}
	if n < 42 {
		t.Errorf("%d cases", n)
	}
}
