package runner_test

import (
	"fmt"
	"net/http"
	"strings"
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
	)
}

// openPriced opens a bench with a budget for two models, of which the first fails if it says so; a call of either costs
// 4,000 nano-USD at most.
func openPriced(t *testing.T, budget int64, fails error) (b *bench, first, second *atomic.Int64) {
	first, second = new(atomic.Int64), new(atomic.Int64)
	named := func(name string, n *atomic.Int64, fails error) runner.NamedModel {
		return runner.NamedModel{
			Info: model.Info{Name: name, Kind: model.KindModel, Provider: "test", Model: name, MaxTokens: 10, PriceOut: 400_000_000},
			Model: counted{n, func(int64, model.Prompt) (model.Reply, error) {
				return model.Reply{Stop: model.StopEnd, Text: name, Usage: model.Usage{In: 3, Out: 10}}, fails
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
	)
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
	if n < 26 {
		t.Errorf("%d cases", n)
	}
}
