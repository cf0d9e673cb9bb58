package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/endpoint"
	"github.com/writ-run/writ/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

const secret = "sk-secret-of-the-test"

// prompt has one tool with a dot in its name, and a history with a call that a model got wrong.
func prompt() model.Prompt {
	return model.Prompt{
		System: "You are careful.",
		Messages: []model.Message{
			{Role: model.RoleUser, Text: "what is alice's USDC balance?"},
			{Role: model.RoleAssistant, Calls: []model.Call{{ID: "c0", Tool: "erc20.balance", Args: []byte(`{"account":`)}}},
			{Role: model.RoleTool, CallID: "c0", Tool: "erc20.balance", Text: `{"error":"bad json"}`, Step: 2},
		},
		Tools: []model.Tool{{
			Name: "erc20.balance", About: "A balance.",
			Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["account"],"properties":{"account":{"type":"string","format":"address"}}}`),
		}},
		MaxTokens: 200,
	}
}

func chunk(delta, finish string) string {
	if finish != "null" {
		finish = `"` + finish + `"`
	}
	return `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"small-2","choices":[{"index":0,"delta":` +
		delta + `,"finish_reason":` + finish + "}]}\n\n"
}

const (
	usage = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"small-2","choices":[],` +
		`"usage":{"prompt_tokens":50,"completion_tokens":7,"total_tokens":57,"prompt_tokens_details":{"cached_tokens":10}}}` + "\n\n"
	end  = "data: [DONE]\n\n"
	role = `{"role":"assistant","content":null}`
)

func text(s string) string { return chunk(`{"content":"`+s+`"}`, "null") }

func piece(index int, id, name, args string) string {
	b, _ := json.Marshal(map[string]any{"tool_calls": []any{map[string]any{
		"index": index, "id": id, "type": "function", "function": map[string]string{"name": name, "arguments": args},
	}}})
	return chunk(string(b), "null")
}

// serve answers every request with the handler, and gives a model that asks it.
func serve(t *testing.T, h http.HandlerFunc, change ...func(*Config)) *Model {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c := Config{Config: endpoint.Config{BaseURL: s.URL + "/v1", Model: "small", Key: secret}}
	for _, f := range change {
		f(&c)
	}
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func stream(parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, p := range parts {
			_, _ = io.WriteString(w, p)
			w.(http.Flusher).Flush()
		}
	}
}

func TestAWholeTextIsAReplyWithItsEvidence(t *testing.T) {
	parts := []string{": hello\n\n", chunk(role, "null"), text("Ali"), text("ce"), chunk(`{}`, "stop"), usage, end}
	var sent []byte
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent, _ = io.ReadAll(r.Body)
		if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("path %s, authorization %q", r.URL.Path, r.Header.Get("Authorization"))
		}
		stream(parts...)(w, r)
	})
	var deltas []string
	r, err := m.Stream(t.Context(), prompt(), func(s string) { deltas = append(deltas, s) })
	if err != nil {
		t.Fatal(err)
	}
	want := model.Usage{In: 50, Out: 7, CachedIn: 10}
	if r.Text != "Alice" || r.Stop != model.StopEnd || r.ID != "chatcmpl-1" || r.Model != "small-2" || r.Usage != want || r.TTFT < 1 {
		t.Errorf("got %+v", r)
	}
	if strings.Join(deltas, "|") != "Ali|ce" {
		t.Errorf("deltas %q", deltas)
	}
	if !bytes.Equal(r.Request, sent) {
		t.Errorf("recorded request %s\nsent %s", r.Request, sent)
	}
	if string(r.Response) != strings.Join(parts, "") {
		t.Errorf("recorded response %q", r.Response)
	}
	if bytes.Contains(r.Request, []byte(secret)) || bytes.Contains(r.Response, []byte(secret)) {
		t.Error("the key was recorded")
	}
	golden(t, "testdata/request.golden", r.Request)
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(want) {
		t.Errorf("%s\ngot  %s\nwant %s", file, got, want)
	}
}

func TestToolCallsArePassedOnAsWritten(t *testing.T) {
	cases := []struct {
		rule  string
		parts []string
		want  string
	}{
		{"pieces are joined and the name has its dots again", []string{piece(0, "a", "erc20__balance", `{"acc`), piece(0, "", "", `ount":"alice"}`), chunk(`{}`, "tool_calls")},
			`a erc20.balance {"account":"alice"}`},
		{"a server may call its end stop", []string{piece(0, "a", "erc20__balance", `{"account":"alice"}`), chunk(`{}`, "stop")},
			`a erc20.balance {"account":"alice"}`},
		{"two calls keep their order", []string{piece(0, "a", "erc20__balance", `{}`), piece(1, "b", "erc20__balance", `{"account":"bob"}`), chunk(`{}`, "tool_calls")},
			`a erc20.balance {}; b erc20.balance {"account":"bob"}`},
		{"wrong arguments stay wrong", []string{piece(0, "a", "erc20__balance", `{"account": alice}`), chunk(`{}`, "tool_calls")},
			`a erc20.balance {"account": alice}`},
		{"no arguments are an empty object", []string{piece(0, "a", "erc20__balance", ``), chunk(`{}`, "tool_calls")}, `a erc20.balance {}`},
		{"calls without ids are numbered", []string{piece(0, "", "erc20__balance", `{}`), piece(1, "", "erc20__balance", `{}`), chunk(`{}`, "tool_calls")},
			`call-1 erc20.balance {}; call-2 erc20.balance {}`},
		{"a call that is sent twice is one call", []string{piece(0, "a", "erc20__transfer", `{"to":"bob"}`), piece(1, "a", "erc20__transfer", `{"to":"bob"}`), chunk(`{}`, "tool_calls")},
			`a erc20.transfer {"to":"bob"}`},
		{"other arguments under one id are another call", []string{piece(0, "a", "erc20__balance", `{}`), piece(1, "a", "erc20__balance", `{"account":"bob"}`), chunk(`{}`, "tool_calls")},
			`a erc20.balance {}; call-2 erc20.balance {"account":"bob"}`},
		{"a tool that is not there is named all the same", []string{piece(0, "a", "erc20__mint", `{}`), chunk(`{}`, "tool_calls")}, `a erc20.mint {}`},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			r, err := serve(t, stream(append(append([]string{chunk(role, "null")}, c.parts...), usage, end)...)).Reply(t.Context(), prompt())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, call := range r.Calls {
				got = append(got, fmt.Sprintf("%s %s %s", call.ID, call.Tool, call.Args))
			}
			if strings.Join(got, "; ") != c.want || r.Stop != model.StopTools {
				t.Errorf("got %q, stop %s, want %q", got, r.Stop, c.want)
			}
		})
	}
}

func TestACutReplyHasNoCalls(t *testing.T) {
	for finish, stop := range map[string]string{"length": model.StopLength, "content_filter": model.StopFilter} {
		r, err := serve(t, stream(text("so far"), piece(0, "a", "erc20__balance", `{"acc`), chunk(`{}`, finish), usage, end)).Reply(t.Context(), prompt())
		if err != nil || r.Stop != stop || len(r.Calls) != 0 || r.Text != "so far" {
			t.Errorf("%s: got %+v, %v", finish, r, err)
		}
	}
}

// hang keeps the response open until the client goes.
func hang(parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // a server notices that its client went only behind the body
		stream(parts...)(w, r)
		<-r.Context().Done()
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func reset(parts ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		stream(parts...)(w, r)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}
}

func TestEveryFaultIsAnErrorAndNeverAReply(t *testing.T) {
	openCall := piece(0, "a", "erc20__balance", `{"account":"al`)
	quick := func(c *Config) { c.FirstToken, c.Stall = 60*time.Millisecond, 60*time.Millisecond }
	cases := []struct {
		rule   string
		h      http.HandlerFunc
		change func(*Config)
		code   fault.Code
	}{
		{"a busy server", status(429, `{"error":{"message":"slow down, `+secret+`","code":"rate_limit_exceeded"}}`), nil, fault.ModelRate},
		{"a wrong key", status(401, `{"error":{"message":"Incorrect API key: `+secret+`","code":"invalid_api_key"}}`), nil, fault.ModelKey},
		{"a broken server", status(500, `oops `+secret), nil, fault.ModelError},
		{"an unknown model", status(404, `{"error":{"message":"no","code":"model_not_found"}}`), nil, fault.ModelSetup},
		{"a redirect is not followed", status(307, ``), nil, fault.ModelSetup},
		{"an empty success", status(204, ``), nil, fault.ModelSetup},
		{"status 200, then an error event", stream(chunk(role, "null"), text("Ali"), `data: {"error":{"message":"overloaded `+secret+`","code":529}}`+"\n\n", end), nil, fault.ModelStream},
		{"an error in the first event", stream(`data: {"error":{"message":"overloaded"}}` + "\n\n"), nil, fault.ModelOverloaded},
		{"a stream that ends before it is done", stream(text("Ali")), nil, fault.ModelStream},
		{"[DONE] without a finish reason", stream(text("Ali"), end), nil, fault.ModelStream},
		{"a tool call that breaks off", stream(openCall), nil, fault.ModelStream},
		{"a tool call that breaks off and claims to be done", stream(openCall, end), nil, fault.ModelStream},
		{"a reset within a tool call", reset(openCall), nil, fault.ModelStream},
		{"a reset within text", reset(text("Ali")), nil, fault.ModelStream},
		{"a finish by tools without a tool", stream(chunk(`{}`, "tool_calls"), end), nil, fault.ModelStream},
		{"a tool call without a name", stream(piece(0, "a", "", `{}`), chunk(`{}`, "tool_calls"), end), nil, fault.ModelStream},
		{"two tool calls in one place", stream(piece(0, "a", "erc20__balance", `{`), piece(0, "b", "erc20__balance", `}`), chunk(`{}`, "tool_calls"), end), nil, fault.ModelStream},
		{"text after the end", stream(text("a"), chunk(`{}`, "stop"), text("b"), end), nil, fault.ModelStream},
		{"two responses in one stream", stream(text("a"), strings.Replace(text("b"), "chatcmpl-1", "chatcmpl-2", 1), chunk(`{}`, "stop"), end), nil, fault.ModelStream},
		{"an unknown finish reason", stream(text("a"), chunk(`{}`, "bored"), end), nil, fault.ModelStream},
		{"a chunk that is no JSON", stream(text("a"), "data: {\"id\":\n\n", end), nil, fault.ModelStream},
		{"a web page", stream("<html>hello</html>\n"), nil, fault.ModelStream},
		{"silence from the start", hang(), quick, fault.ModelTimeout},
		{"a role chunk is no first token", hang(chunk(role, "null"), ": still here\n\n"), quick, fault.ModelTimeout},
		{"a stall in the middle", hang(text("Ali")), quick, fault.ModelStall},
		{"a stall within a tool call", hang(openCall), quick, fault.ModelStall},
		{"a response without end", stream(text(strings.Repeat("x", 2000)), text("y"), chunk(`{}`, "stop"), end), func(c *Config) { c.MaxBytes = 1000 }, fault.ModelTooLarge},
		{"no usage for a priced model", stream(text("a"), chunk(`{}`, "stop"), end), func(c *Config) { c.Price.In = 1 }, fault.ModelUsage},
		{"nobody listens", nil, func(c *Config) { c.BaseURL = "http://127.0.0.1:1/v1" }, fault.ModelUnreachable},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			var asked atomic.Int32
			h := func(w http.ResponseWriter, r *http.Request) { asked.Add(1); c.h(w, r) }
			if c.change == nil {
				c.change = func(*Config) {}
			}
			r, err := serve(t, h, c.change).Reply(t.Context(), prompt())
			var coded *fault.Fault
			if !errors.As(err, &coded) || coded.Code != c.code {
				t.Fatalf("got %+v, %v, want code %s", r, err, c.code)
			}
			if r.Text != "" || r.Calls != nil || r.Response != nil {
				t.Errorf("a reply came with the error: %+v", r)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "alice") || !strings.HasSuffix(err.Error(), ".") {
				t.Errorf("message %q", err)
			}
			if c.h != nil && asked.Load() != 1 {
				t.Errorf("asked %d times, want once: retrying is not its business", asked.Load())
			}
		})
	}
}

func TestTheCallersDeadlineAndCancelAreTold(t *testing.T) {
	m := serve(t, hang(text("Ali")))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := m.Reply(ctx, prompt())
	var coded *fault.Fault
	if !errors.As(err, &coded) || coded.Code != fault.ModelSlow || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want timeout", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	_, err = m.Stream(ctx, prompt(), func(string) { stop() })
	if !errors.As(err, &coded) || coded.Code != fault.ModelCancelled || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
}

func TestReasoningIsNeitherTextNorAFirstTokenButKeepsTheStreamAlive(t *testing.T) {
	m := serve(t, stream(chunk(`{"reasoning_content":"hm"}`, "null"), text("5"), chunk(`{}`, "stop"), usage, end))
	r, err := m.Reply(t.Context(), prompt())
	if err != nil || r.Text != "5" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestNothingIsTakenFromTheEnvironment(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "sk-of-someone-else")
	t.Setenv("OPENAI_ORG_ID", "org-of-someone-else")
	t.Setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
	m := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for k, v := range r.Header {
			if strings.Contains(strings.Join(v, " "), "someone-else") || k == "Authorization" {
				t.Errorf("header %s was sent", k)
			}
		}
		stream(text("a"), chunk(`{}`, "stop"), end)(w, r)
	}, func(c *Config) { c.Key = "" })
	if _, err := m.Reply(t.Context(), prompt()); err != nil {
		t.Error(err)
	}
}

func TestABadConfigOrPromptIsASentence(t *testing.T) {
	cases := []struct {
		rule string
		c    Config
		want string
	}{
		{"no URL", Config{Config: endpoint.Config{Model: "m"}}, "must look like"},
		{"no http", Config{Config: endpoint.Config{BaseURL: "ftp://h/v1", Model: "m"}}, "must look like"},
		{"a secret in the URL", Config{Config: endpoint.Config{BaseURL: "http://u:p@h/v1", Model: "m"}}, "no user"},
		{"no model", Config{Config: endpoint.Config{BaseURL: "http://h/v1"}}, "--model-name"},
		{"a key over plain http", Config{Config: endpoint.Config{BaseURL: "http://example.com/v1", Model: "m", Key: "k"}}, "https only"},
		{"a negative price", Config{Config: endpoint.Config{BaseURL: "http://h/v1", Model: "m", Price: endpoint.Price{In: -1}}}, "negative"},
	}
	for _, c := range cases {
		if _, err := New(c.c); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.rule, err, c.want)
		}
	}
	m, err := New(Config{Config: endpoint.Config{BaseURL: "http://127.0.0.1:1/v1", Model: "m"}})
	if err != nil {
		t.Fatal(err)
	}
	var coded *fault.Fault
	_, err = m.Reply(t.Context(), model.Prompt{Tools: []model.Tool{{Name: "a.b"}, {Name: "a__b"}}, MaxTokens: 1})
	if !errors.As(err, &coded) || coded.Code != fault.ModelPrompt {
		t.Errorf("two tools of one name: got %v", err)
	}
}

func TestProbeFindsServersOfThisMachineOnly(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"b"},{"id":"a"}]}`)
			return
		}
		w.WriteHeader(404)
	}))
	defer s.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer other.Close()
	got := Probe(t.Context(), []string{"http://127.0.0.1:1/v1", other.URL, "http://192.0.2.1/v1", s.URL + "/v1/"})
	if len(got) != 1 || got[0].URL != s.URL+"/v1" || strings.Join(got[0].Models, " ") != "a b" {
		t.Errorf("got %+v", got)
	}
}

// Whatever a server sends, the answer is a whole reply or an error.
func FuzzStream(f *testing.F) {
	f.Add([]byte(text("a") + chunk(`{}`, "stop") + usage + end))
	f.Add([]byte(piece(0, "a", "erc20__balance", `{}`) + chunk(`{}`, "tool_calls") + end))
	f.Add([]byte(text("a") + end))
	f.Add([]byte("data: {\"error\":null}\n\n" + end))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := New(Config{Config: endpoint.Config{BaseURL: "http://127.0.0.1:9/v1", Model: "m", Transport: transport(body)}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.Reply(t.Context(), prompt())
		var coded *fault.Fault
		switch {
		case err != nil && !errors.As(err, &coded):
			t.Fatalf("%q: %v has no code", body, err)
		case err == nil && (r.Stop == "" || !bytes.Equal(r.Response, body) || (r.Stop == model.StopTools) != (len(r.Calls) > 0)):
			t.Fatalf("%q: %+v", body, r)
		}
	})
}

type transport []byte

func (b transport) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(bytes.NewReader(b))}, nil
}
