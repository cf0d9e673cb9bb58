package runner_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/anthropic"
	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/agent/model/endpoint"
	"github.com/writ-run/writ/agent/model/openai"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/costs"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A provider is how one dialect says things: each answer as the events in which it comes.
type provider struct {
	dialect string
	model   func(endpoint.Config) (runner.Streamer, model.Info, error)
	say     func(name string, words ...string) []string // an answer, with its usage in the event of usage
	pay     func(args ...string) []string               // a whole call of bank.pay, its arguments in pieces
	fail    string                                      // the event of an error
	alive   string                                      // a sign of life
	usage   string                                      // what stands in the usage, to be taken away
	twice   int                                         // the event of pay that is sent twice
}

func event(typ string, v map[string]any) string {
	if typ != "" {
		v["type"] = typ
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of strings and numbers
	}
	if typ == "" {
		return fmt.Sprintf("data: %s\n\n", b)
	}
	return fmt.Sprintf("event: %s\ndata: %s\n\n", typ, b)
}

type object = map[string]any

func chatProvider() *provider {
	chunk := func(name string, delta any, finish any) string {
		return event("", object{"id": "c1", "model": name, "choices": []any{object{"index": 0, "delta": delta, "finish_reason": finish}}})
	}
	counted := event("", object{"id": "c1", "choices": []any{}, "usage": object{"prompt_tokens": 10, "completion_tokens": 5}}) + "data: [DONE]\n\n"
	return &provider{
		dialect: dialect.Chat, fail: event("", object{"error": object{"message": "overloaded", "code": 529}}), alive: ": alive\n\n",
		usage: "usage", twice: 2,
		model: func(c endpoint.Config) (runner.Streamer, model.Info, error) {
			m, err := openai.New(openai.Config{Config: c})
			return m, m.Info(), err
		},
		say: func(name string, words ...string) []string {
			out := []string{chunk(name, object{"role": "assistant"}, nil)}
			for _, w := range words {
				out = append(out, chunk(name, object{"content": w}, nil))
			}
			return append(out, chunk(name, object{}, "stop"), counted)
		},
		pay: func(args ...string) []string {
			piece := func(f object) any { return object{"tool_calls": []any{object{"index": 0, "id": "t1", "function": f}}} }
			out := []string{chunk("big-1", piece(object{"name": "bank__pay", "arguments": ""}), nil)}
			for _, a := range args {
				out = append(out, chunk("big-1", piece(object{"arguments": a}), nil))
			}
			return append(out, chunk("big-1", object{}, "tool_calls"), counted)
		},
	}
}

func messagesProvider() *provider {
	begin := func(name string) string {
		return event("message_start", object{"message": object{"id": "m1", "model": name, "role": "assistant", "content": []any{},
			"usage": object{"input_tokens": 10, "output_tokens": 1}}})
	}
	end := func(why string) []string {
		return []string{
			event("content_block_stop", object{"index": 0}),
			event("message_delta", object{"delta": object{"stop_reason": why}, "usage": object{"output_tokens": 5}}),
			event("message_stop", object{}),
		}
	}
	return &provider{
		dialect: dialect.Messages, fail: event("error", object{"error": object{"type": "overloaded_error", "message": "overloaded"}}),
		alive: event("ping", object{}), usage: "output_tokens", twice: 1,
		model: func(c endpoint.Config) (runner.Streamer, model.Info, error) {
			m, err := anthropic.New(anthropic.Config{Config: c})
			return m, m.Info(), err
		},
		say: func(name string, words ...string) []string {
			out := []string{begin(name), event("content_block_start", object{"index": 0, "content_block": object{"type": "text", "text": ""}})}
			for _, w := range words {
				out = append(out, event("content_block_delta", object{"index": 0, "delta": object{"type": "text_delta", "text": w}}))
			}
			return append(out, end("end_turn")...)
		},
		pay: func(args ...string) []string {
			out := []string{begin("big-1"), event("content_block_start", object{"index": 0,
				"content_block": object{"type": "tool_use", "id": "t1", "name": "bank__pay", "input": object{}}})}
			for _, a := range args {
				out = append(out, event("content_block_delta", object{"index": 0, "delta": object{"type": "input_json_delta", "partial_json": a}}))
			}
			return append(out, end("tool_use")...)
		},
	}
}

func responsesProvider() *provider {
	number := func(events ...object) (out []string) {
		for i, e := range events {
			e["sequence_number"] = i
			typ := e["type"].(string)
			out = append(out, event(typ, e))
		}
		return out
	}
	end := func(name string, item object) object {
		return object{"type": "response.completed", "response": object{"id": "r1", "model": name, "status": "completed",
			"output": []any{item}, "usage": object{"input_tokens": 10, "output_tokens": 5}}}
	}
	begin := object{"type": "response.created", "response": object{"id": "r1", "status": "in_progress"}}
	return &provider{
		dialect: dialect.Responses, fail: event("error", object{"code": "server_is_overloaded", "message": "overloaded"}),
		alive: ": alive\n\n", usage: "usage", twice: 2,
		model: func(c endpoint.Config) (runner.Streamer, model.Info, error) {
			m, err := openai.New(openai.Config{Config: c, Responses: true})
			return m, m.Info(), err
		},
		say: func(name string, words ...string) []string {
			item := object{"type": "message", "id": "i1", "content": []any{object{"type": "output_text", "text": strings.Join(words, "")}}}
			events := []object{begin, {"type": "response.output_item.added", "output_index": 0, "item": object{"type": "message", "id": "i1"}}}
			for _, w := range words {
				events = append(events, object{"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": w})
			}
			return number(append(events, end(name, item))...)
		},
		pay: func(args ...string) []string {
			item := object{"type": "function_call", "call_id": "t1", "name": "bank__pay", "arguments": strings.Join(args, "")}
			events := []object{begin, {"type": "response.output_item.added", "output_index": 0,
				"item": object{"type": "function_call", "call_id": "t1", "name": "bank__pay", "arguments": ""}}}
			for _, a := range args {
				events = append(events, object{"type": "response.function_call_arguments.delta", "output_index": 0, "delta": a})
			}
			return number(append(events, end("big-1", item))...)
		},
	}
}

// A mishap is how a provider fails in the middle.
type mishap struct {
	name string
	code fault.Code
	soon bool // the deadlines are short
	do   func(p *provider, w http.ResponseWriter, r *http.Request)
}

var payArgs = []string{`{"token":"USDC","to":"bob",`, `"amount":"1"}`}

func send(w http.ResponseWriter, events ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, e := range events {
		_, _ = io.WriteString(w, e)
		w.(http.Flusher).Flush()
	}
}

// withinCall is a call up to the middle of its arguments.
func withinCall(p *provider) []string { return p.pay(payArgs...)[:3] }

var mishaps = []mishap{
	{"status 200, then an error", fault.ModelStream, false, func(p *provider, w http.ResponseWriter, _ *http.Request) {
		send(w, append(p.say("big-1", "first", " here")[:3], p.fail)...)
	}},
	{"a stall", fault.ModelStall, true, func(p *provider, w http.ResponseWriter, r *http.Request) {
		send(w, withinCall(p)...)
		<-r.Context().Done()
	}},
	{"a call that is cut", fault.ModelStream, false, func(p *provider, w http.ResponseWriter, _ *http.Request) {
		send(w, withinCall(p)...)
	}},
	{"a chunk that comes twice", "", false, func(p *provider, w http.ResponseWriter, _ *http.Request) {
		all := p.pay(payArgs...)
		send(w, slices.Insert(all, p.twice, all[p.twice])...)
	}},
	{"no usage", fault.ModelUsage, false, func(p *provider, w http.ResponseWriter, _ *http.Request) {
		for _, e := range p.say("big-1", "first", " here") {
			send(w, strings.ReplaceAll(e, p.usage, "nothing"))
		}
	}},
	{"a reset", fault.ModelStream, false, func(p *provider, w http.ResponseWriter, _ *http.Request) {
		send(w, withinCall(p)...)
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
	}},
	{"another model", fault.ModelOther, false, func(p *provider, w http.ResponseWriter, _ *http.Request) {
		send(w, p.say("tiny-7", "first", " here")...)
	}},
	{"429 and nothing else", fault.ModelRate, false, func(_ *provider, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":{"message":"too many requests"}}`)
	}},
	{"a first token that does not come", fault.ModelTimeout, true, func(p *provider, w http.ResponseWriter, r *http.Request) {
		send(w, p.say("big-1", "first")[0])
		<-r.Context().Done()
	}},
	{"signs of life without end", fault.ModelTimeout, true, func(p *provider, w http.ResponseWriter, r *http.Request) {
		send(w, p.say("big-1", "first")[0])
		for r.Context().Err() == nil {
			send(w, p.alive)
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}},
	{"an empty answer", fault.ModelEmpty, false, func(p *provider, w http.ResponseWriter, _ *http.Request) {
		send(w, p.say("big-1")...)
	}},
	{"bytes that are no text", fault.ModelStream, false, func(p *provider, w http.ResponseWriter, _ *http.Request) {
		for _, e := range p.say("big-1", "first", " here") {
			send(w, strings.ReplaceAll(e, "first", "fi\xffrst"))
		}
	}},
}

// Twelve ways in which a provider fails in the middle, in three dialects, over a real socket. Nothing of it counts as an
// answer, is put together with another model's, or is run; and what it may have cost is settled in full, to the
// nano-USD.
func TestAProviderThatFailsInTheMiddleLeavesNothingBehind(t *testing.T) {
	for _, p := range []*provider{chatProvider(), responsesProvider(), messagesProvider()} {
		for _, m := range mishaps {
			t.Run(p.dialect+"/"+m.name, func(t *testing.T) { meetMishap(t, p, m) })
		}
		t.Run(p.dialect+"/and what is whole is an answer", func(t *testing.T) {
			whole := mishap{do: func(p *provider, w http.ResponseWriter, _ *http.Request) {
				send(w, p.say("big-1", "first", " here")...)
			}}
			b := openAt(t, p, whole)
			run := b.start("pay")
			b.until(run, provenance.CloseAnswered)
			if said := b.said(run); said != "first here" {
				t.Errorf("said %q", said)
			}
			b.checkCost(run, 10*price.In/1e6+5*price.Out/1e6)
			b.verified(run)
		})
	}
}

var price = endpoint.Price{In: 3_000_000_000, Out: 15_000_000_000}

// openAt opens a bench whose first model answers at a server that does m, and whose second is a script.
func openAt(t *testing.T, p *provider, m mishap) *bench {
	t.Helper()
	return openAtWith(t, p, m, func(c *runner.Config) {
		c.Agents[0].Routes = []agentfile.Route{{ID: "big", Use: "big"}, {ID: "then", Use: "scripted"}}
	})
}

// openAtWith is openAt with other routes.
func openAtWith(t *testing.T, p *provider, m mishap, route func(*runner.Config)) *bench {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server notices that its client went only behind the body
		m.do(p, w, r)
	}))
	t.Cleanup(server.Close)
	c := endpoint.Config{BaseURL: server.URL + "/v1", Model: "big-1", Name: "big", Price: price, MaxTokens: 100}
	if m.soon {
		c.FirstToken, c.Stall = 200*time.Millisecond, 200*time.Millisecond
	}
	remote, info, err := p.model(c)
	if err != nil {
		t.Fatal(err)
	}
	return openWith(t, replies{text("second here")}, func(c *runner.Config) {
		c.Models = append(c.Models, runner.NamedModel{Info: info, Model: remote})
		route(c)
	})
}

func meetMishap(t *testing.T, p *provider, m mishap) {
	b := openAt(t, p, m)
	run := b.start("pay")
	b.ended(run)
	views, err := b.r.Steps(t.Context(), run, 0, 256)
	if err != nil {
		t.Fatal(err)
	}
	cost, failed := int64(0), fault.Code("")
	for _, v := range views {
		reply, is := v.Step.Event.(*provenance.Reply)
		switch {
		case !is:
		case reply.Failed != "":
			failed = fault.Code(reply.Failed)
		case reply.Model.Name == "big" && m.code != "":
			t.Errorf("an answer is recorded: stop %s", reply.Model.Stop)
		case reply.Model.Name == "big":
			cost += reply.Model.Cost
		}
		for _, e := range v.Step.Does {
			if ask, is := e.(*provenance.AskModel); is && ask.Route.Model == "big" && m.code.MayCost() && m.code != "" {
				cost += ask.Route.Cost
			}
		}
	}
	if failed != m.code && m.code != "" {
		t.Errorf("it failed by %q, want %q", failed, m.code)
	}
	if said := b.said(run); m.code != "" && said != "second here" || strings.Contains(said, "first") {
		t.Errorf("said %q", said)
	}
	if n := b.paid.Load(); n != 0 {
		t.Errorf("paid %d times", n)
	}
	if m.code == "" && failed != "" && failed.MayCost() {
		for _, e := range views[0].Step.Does {
			if ask, is := e.(*provenance.AskModel); is {
				cost += ask.Route.Cost
			}
		}
	}
	b.checkCost(run, cost)
	b.verified(run)
}

// checkCost compares the session's ledger of model costs with what the steps of its one run come to.
func (b *bench) checkCost(run provenance.Link, want int64) {
	b.Helper()
	ls, err := b.store.Ledgers(b.Context(), []string{"session/" + b.session.ID.String() + "/grant/cost"})
	if err != nil || len(ls) != 1 || ls[0].Spent != money.Of(money.USD, uint64(want)) || !ls[0].Reserved.IsZero() {
		b.Errorf("the ledger says %+v, %v; the steps say %d nano-USD", ls, err, want)
	}
	b.checkSums(costs.By...)
}
