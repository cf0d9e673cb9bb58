package a2a

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/tools"
)

const token = "writ_secret-of-the-operator"

// A desk is a server of one agent. It answers each operation as its test says; what is not said is a task that is done.
type desk struct {
	*httptest.Server
	t *testing.T

	mu     sync.Mutex
	card   map[string]any
	header http.Header                    // of the last request for the card
	asked  []string                       // operations, with what they were given
	does   map[string]func(call) any      // by operation; a reply or a result
	serve  func(http.ResponseWriter) bool // instead of the card, if it returns true
}

type call struct {
	n      int // of this operation, from 1
	params map[string]any
	w      http.ResponseWriter
	r      *http.Request
}

// A reply is an answer that is not a result.
type reply struct {
	status int
	header map[string]string
	body   string
}

func done(id, text string) map[string]any {
	return map[string]any{"id": id, "contextId": "c-1", "status": map[string]any{"state": stateCompleted},
		"artifacts": []any{map[string]any{"artifactId": "answer", "parts": []any{map[string]any{"text": text}}}}}
}

func standing(id, state, says string) map[string]any {
	return map[string]any{"id": id, "contextId": "c-1", "status": map[string]any{"state": "TASK_STATE_" + state,
		"message": map[string]any{"messageId": "m", "role": "ROLE_AGENT", "parts": []any{map[string]any{"text": says}}}}}
}

func newDesk(t *testing.T, binding string) *desk {
	d := &desk{t: t, does: map[string]func(call) any{}}
	d.Server = httptest.NewServer(http.HandlerFunc(d.answer))
	t.Cleanup(d.Server.Close)
	d.card = map[string]any{
		"name": "desk", "description": "Answers questions.", "version": "1",
		"supportedInterfaces": []any{map[string]any{"url": d.URL + "/a2a", "protocolBinding": binding, "protocolVersion": "1.0"}},
		"skills":              []any{map[string]any{"id": "a", "name": "asking", "description": "Answers.", "tags": []any{}}},
		"capabilities":        map[string]any{}, "documentationUrl": "",
	}
	return d
}

func (d *desk) answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if r.URL.Path == "/card.json" {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.header = r.Header.Clone()
		if d.serve == nil || !d.serve(w) {
			json.NewEncoder(w).Encode(d.card)
		}
		return
	}
	if got := r.Header.Get("A2A-Version"); got != "1.0" {
		d.t.Errorf("A2A-Version is %q", got)
	}
	if got := r.Header.Get("Authorization"); got != "Bearer "+token {
		d.t.Errorf("Authorization is %q", got)
	}
	var req struct {
		Method string         `json:"method"`
		Params map[string]any `json:"params"`
	}
	rpc := r.URL.Path == "/a2a"
	if rpc {
		json.Unmarshal(body, &req)
	} else {
		id, verb, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/a2a/tasks/"), ":")
		req.Method = map[string]string{"GET ": "GetTask", "POST cancel": "CancelTask"}[r.Method+" "+verb]
		if r.URL.Path == "/a2a/message:send" {
			req.Method, id = "SendMessage", ""
		}
		json.Unmarshal(body, &req.Params)
		if id != "" {
			req.Params = map[string]any{"id": id}
		}
	}
	d.mu.Lock()
	c := call{1, req.Params, w, r}
	for _, a := range d.asked {
		if strings.HasPrefix(a, req.Method+" ") {
			c.n++
		}
	}
	given, _ := json.Marshal(req.Params)
	d.asked = append(d.asked, req.Method+" "+string(given))
	does := d.does[req.Method]
	d.mu.Unlock()
	var result any = map[string]any{"task": done("t-1", "42")}
	if does != nil {
		result = does(c)
	}
	if rep, is := result.(reply); is {
		for k, v := range rep.header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(rep.status)
		io.WriteString(w, rep.body)
		return
	}
	if rpc {
		result = map[string]any{"jsonrpc": "2.0", "id": requestID, "result": result}
	}
	json.NewEncoder(w).Encode(result)
}

func (d *desk) operations() (out []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.asked {
		name, _, _ := strings.Cut(a, " ")
		out = append(out, name)
	}
	return out
}

// tool accepts the desk's card as it is, and makes the tool.
func (d *desk) tool(t *testing.T, class tools.Class, change func(*Config)) *Tool {
	t.Helper()
	cfg := Config{Name: "desk.ask", Card: d.URL + "/card.json", Token: token, Timeout: 5 * time.Second,
		Gate: reach.Gate{Private: true}}
	if change != nil {
		change(&cfg)
	}
	client, err := NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(d.card)
	card, err := ParseCard(data)
	if err != nil {
		t.Fatal(err)
	}
	tool, err := New(client, card, Use{Spec: tools.Spec{Class: class, Foreign: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tool.Close() })
	return tool
}

var alice = tools.Asker{Wallet: "eip155:1:0xa11ce", Agent: "caller"}

func input(t *testing.T, tool *Tool, args string) tools.Input {
	t.Helper()
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	read, err := def.Read([]byte(args))
	if err != nil {
		t.Fatal(err)
	}
	return tools.Input{Args: read, Key: [32]byte{1, 2, 3}, Asker: alice}
}

func ask(t *testing.T, tool *Tool, args string) (result, error) {
	t.Helper()
	return read(t, tool, input(t, tool, args))
}

func read(t *testing.T, tool *Tool, in tools.Input) (out result, err error) {
	t.Helper()
	raw, err := tool.Call(t.Context(), in)
	if err == nil {
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
	}
	return out, err
}

// Over both bindings: what is asked is one message, the same for one call, and the task is looked at until it rests.
func TestAnAgentElsewhereAnswers(t *testing.T) {
	for _, binding := range []string{"JSONRPC", "HTTP+JSON"} {
		t.Run(binding, func(t *testing.T) {
			d := newDesk(t, binding)
			d.does["SendMessage"] = func(call) any { return map[string]any{"task": standing("t-1", "WORKING", "a moment")} }
			d.does["GetTask"] = func(c call) any {
				if c.n == 1 {
					return standing("t-1", "WORKING", "a moment")
				}
				return done("t-1", "42")
			}
			tool := d.tool(t, "", nil)
			out, err := ask(t, tool, `{"message":"how much?"}`)
			if err != nil {
				t.Fatal(err)
			}
			if out.State != "completed" || out.Text != "42" || out.ID != "t-1" || out.Context != "c-1" || out.Note != "" {
				t.Errorf("%+v", out)
			}
			if got := strings.Join(d.operations(), " "); got != "SendMessage GetTask GetTask" {
				t.Errorf("asked %s", got)
			}
			id := "writ-" + hex.EncodeToString(append([]byte{1, 2, 3}, make([]byte, 29)...))
			if !strings.Contains(d.asked[0], `"messageId":"`+id+`"`) || !strings.Contains(d.asked[0], "how much?") {
				t.Errorf("sent %s", d.asked[0])
			}
			if d.header.Get("Authorization") != "" {
				t.Error("whoever serves the card gets the token")
			}
			if s := tool.Spec(); s.Class != tools.Once || s.Definition != tool.accepted.CID.String() ||
				!strings.Contains(s.About, "Answers questions") {
				t.Errorf("%+v", s)
			}
		})
	}
}

// A task is gone on with by its name alone, which is one user's.
func TestATaskIsGoneOnWith(t *testing.T) {
	d := newDesk(t, "JSONRPC")
	d.does["SendMessage"] = func(c call) any {
		if c.n == 1 {
			return map[string]any{"task": standing("t-1", "INPUT_REQUIRED", "Which colour?")}
		}
		return map[string]any{"task": done("t-1", "A red one.")}
	}
	d.does["GetTask"] = func(call) any { return standing("t-1", "AUTH_REQUIRED", "Sign in at https://desk.example/in") }
	tool := d.tool(t, "", nil)
	out, err := ask(t, tool, `{"message":"order a lamp"}`)
	if err != nil || out.State != "input_required" || out.Says != "Which colour?" || !strings.Contains(out.Note, "ask the user") {
		t.Fatalf("%+v, %v", out, err)
	}
	next := fmt.Sprintf(`{"message":"red","task":%q}`, out.Task)
	other := input(t, tool, next)
	other.Asker.Wallet = "eip155:1:0xb0b"
	if _, err := read(t, tool, other); !isCode(err, "bad_argument") {
		t.Errorf("another wallet goes on with it: %v", err)
	}
	if _, err := ask(t, tool, `{"message":"red","task":"t-1"}`); !isCode(err, "bad_argument") {
		t.Errorf("an id that somebody has guessed: %v", err)
	}
	again, err := ask(t, tool, next)
	if err != nil || again.Text != "A red one." || again.Task != out.Task {
		t.Errorf("%+v, %v", again, err)
	}
	if !strings.Contains(d.asked[len(d.asked)-1], `"taskId":"t-1"`) {
		t.Errorf("sent %s", d.asked[len(d.asked)-1])
	}
	waits, err := ask(t, tool, fmt.Sprintf(`{"message":"","task":%q}`, out.Task))
	if err != nil || waits.State != "auth_required" || !strings.Contains(waits.Says, "https://desk.example/in") {
		t.Errorf("%+v, %v", waits, err)
	}
	if got := strings.Join(d.operations(), " "); got != "SendMessage SendMessage GetTask" {
		t.Errorf("asked %s", got)
	}
	if _, err := ask(t, tool, `{"message":" "}`); !isCode(err, "bad_argument") {
		t.Errorf("nothing to say: %v", err)
	}
}

// The name of a task rests on a secret of the server: not on the token, which may be none, or be changed, and whose
// owner, the other server, could make names of any wallet's.
func TestWhoCanNameATask(t *testing.T) {
	d := newDesk(t, "JSONRPC")
	made := func(token string, secret byte) *Tool {
		tool := d.tool(t, "", func(c *Config) { c.Token = token })
		if secret != 0 {
			tool.SealWith([32]byte{secret})
		}
		return tool
	}
	name := made("", 1).sealTask(alice, "t-1")
	for _, tt := range []struct {
		says string
		by   *Tool
		ours bool
	}{
		{"another token", made(token, 1), true},
		{"another secret", made("", 2), false},
		{"no secret", made("", 0), false},
	} {
		if id, ours := tt.by.openTask(alice, name); ours != tt.ours || ours && id != "t-1" {
			t.Errorf("with %s: %q, %v", tt.says, id, ours)
		}
	}
	if made("", 0).sealTask(alice, "t-1") == made("", 0).sealTask(alice, "t-1") {
		t.Error("without a secret anybody can make a name")
	}
}

func isCode(err error, code string) bool {
	e, ok := errors.AsType[*tools.Error](err)
	return ok && e.Code == code
}

// What a server does wrong is one sentence; whether nothing was done is said only where that is certain.
func TestWhatAServerDoesWrong(t *testing.T) {
	result := func(v any) func(call) any { return func(call) any { return v } }
	rpcError := func(code int, says string) func(call) any {
		return result(reply{200, nil, fmt.Sprintf(`{"jsonrpc":"2.0","id":"writ-1","error":{"code":%d,"message":%q}}`, code, says)})
	}
	working := result(map[string]any{"task": standing("t-1", "WORKING", "")})
	for _, tt := range []struct {
		name  string
		class tools.Class
		spoil func(*desk)
		code  string // of an error that says that nothing was done; "doubt" of one that does not; "" of a result
		says  string
		more  time.Duration // beside the second that it has
	}{
		{"a changed card", "", func(d *desk) { d.card["description"] = "Pays everybody." }, "definition_changed", "writ tools diff desk.ask", 0},
		{"another skill", "", func(d *desk) { d.card["skills"] = []any{} }, "definition_changed", "not as it was accepted", 0},
		{"another interface", "", func(d *desk) {
			d.card["supportedInterfaces"] = []any{map[string]any{"url": "http://127.0.0.1:1/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}}
		}, "definition_changed", "not as it was accepted", 0},
		{"no card", "", func(d *desk) { d.serve = func(w http.ResponseWriter) bool { w.WriteHeader(404); return true } }, "server_down", "answers 404", 0},
		{"a card that leads elsewhere", "", func(d *desk) {
			d.serve = func(w http.ResponseWriter) bool {
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(302)
				return true
			}
		}, "redirected", "not followed", 0},
		{"a card without end", "", func(d *desk) {
			d.serve = func(w http.ResponseWriter) bool { io.WriteString(w, strings.Repeat(" ", 1<<20)); return true }
		}, "definition_changed", "more than 131072 bytes", 0},
		{"a card that says two things", "", func(d *desk) {
			d.serve = func(w http.ResponseWriter) bool { io.WriteString(w, `{"name":"a","name":"b"}`); return true }
		}, "definition_changed", "not one JSON object", 0},
		{"a redirect to another machine", "", func(d *desk) {
			d.does["SendMessage"] = result(reply{307, map[string]string{"Location": "http://127.0.0.1:1/a2a"}, ""})
		}, "doubt", "leads to another address", 0},
		{"the token is not accepted", "", func(d *desk) { d.does["SendMessage"] = result(reply{401, nil, "{}"}) }, "unauthorised", "another one under token", 0},
		{"the token may not do it", "", func(d *desk) { d.does["SendMessage"] = result(reply{403, nil, ""}) }, "unauthorised", "does not permit", 0},
		{"asked too often, for an hour", "", func(d *desk) {
			d.does["SendMessage"] = result(reply{429, map[string]string{"Retry-After": "3600"}, ""})
		}, "busy", "try again in 1h", 0},
		{"not JSON", "", func(d *desk) { d.does["SendMessage"] = result(reply{200, nil, "<html>"}) }, "doubt", "not JSON", 0},
		{"not JSON, and an error", "", func(d *desk) { d.does["SendMessage"] = result(reply{404, nil, "<html>"}) }, "refused", "404 Not Found", 0},
		{"an answer without end", "", func(d *desk) {
			d.does["SendMessage"] = result(reply{200, nil, strings.Repeat(" ", maxBody+1)})
		}, "doubt", "more than", 0},
		{"it has failed", "", func(d *desk) { d.does["SendMessage"] = result(reply{500, nil, "oh"}) }, "doubt", "500", 0},
		{"an error of its own", "", func(d *desk) { d.does["SendMessage"] = rpcError(-32603, "disk on fire") }, "doubt", "disk on fire", 0},
		{"it refuses", "", func(d *desk) { d.does["SendMessage"] = rpcError(-32602, "no such skill") }, "refused", "no such skill", 0},
		{"it repeats the token", "", func(d *desk) { d.does["SendMessage"] = rpcError(-32602, "you said "+token) }, "refused", "you said [token]", 0},
		{"another version", "", func(d *desk) { d.does["SendMessage"] = rpcError(-32009, "") }, "unauthorised", "does not speak A2A 1.0", 0},
		{"the answer to another request", "", func(d *desk) {
			d.does["SendMessage"] = result(reply{200, nil, `{"jsonrpc":"2.0","id":"writ-2","result":{}}`})
		}, "doubt", "another request", 0},
		{"neither task nor message", "", func(d *desk) { d.does["SendMessage"] = result(map[string]any{}) }, "doubt", "neither a task nor a message", 0},
		{"a state that there is not", "", func(d *desk) {
			d.does["SendMessage"] = result(map[string]any{"task": standing("t-1", "PAID", "")})
		}, "doubt", "a state that A2A 1.0 does not have", 0},
		{"an id that is a path", "", func(d *desk) {
			d.does["SendMessage"] = result(map[string]any{"task": standing("..", "WORKING", "")})
		}, "doubt", "cannot be used", 0},
		{"an id that is the token", "", func(d *desk) {
			d.does["SendMessage"] = result(map[string]any{"task": standing(token, "WORKING", "")})
		}, "doubt", "cannot be used", 0},
		{"another task when it is looked at", "", func(d *desk) {
			d.does["SendMessage"], d.does["GetTask"] = working, result(done("t-2", "paid"))
		}, "", "another task", 0},
		{"another context when it is looked at", "", func(d *desk) {
			d.does["SendMessage"] = working
			d.does["GetTask"] = func(call) any { w := done("t-1", "paid"); w["contextId"] = "c-2"; return w }
		}, "", "another task", 0},
		{"the token is withdrawn meanwhile", "", func(d *desk) {
			d.does["SendMessage"], d.does["GetTask"] = working, result(reply{401, nil, ""})
		}, "", "how it stands cannot be known", 0},
		{"it never ends", "", func(d *desk) {
			d.does["SendMessage"], d.does["GetTask"] = working, result(standing("t-1", "WORKING", ""))
		}, "", "has not ended within 1s", 0},
		{"it never answers", "", func(d *desk) {
			d.does["SendMessage"] = func(c call) any { <-c.r.Context().Done(); return reply{status: 200} }
		}, "doubt", "not answer in time", 0},
		{"it never answers, and only reads", tools.Read, func(d *desk) {
			d.does["SendMessage"] = func(c call) any { <-c.r.Context().Done(); return reply{status: 200} }
		}, "timeout", "not answer in time", 0},
		{"it is cut, and may be asked again", tools.Keyed, func(d *desk) {
			d.does["SendMessage"] = func(c call) any {
				if c.n < 3 {
					panic(http.ErrAbortHandler)
				}
				return map[string]any{"task": done("t-1", "42")}
			}
		}, "", "", 0},
		{"it is cut, and must not be asked again", "", func(d *desk) {
			d.does["SendMessage"] = func(call) any { panic(http.ErrAbortHandler) }
		}, "doubt", "broke off", 0},
		{"it is cut, and then refuses", tools.Keyed, func(d *desk) {
			d.does["SendMessage"] = func(c call) any {
				if c.n == 1 {
					panic(http.ErrAbortHandler)
				}
				return reply{403, nil, ""}
			}
		}, "doubt", "does not permit", 0},
		{"it is cut, and then asks for patience", tools.Keyed, func(d *desk) {
			d.does["SendMessage"] = func(c call) any {
				if c.n == 1 {
					panic(http.ErrAbortHandler)
				}
				return reply{429, map[string]string{"Retry-After": "3600"}, ""}
			}
		}, "doubt", "try again in 1h", 0},
		{"it asks for patience for an hour, and nothing was sent before", tools.Keyed, func(d *desk) {
			d.does["SendMessage"] = result(reply{429, map[string]string{"Retry-After": "3600"}, ""})
		}, "busy", "try again in 1h", 0},
		{"it cannot use what its agent has answered", "", func(d *desk) {
			d.does["SendMessage"] = rpcError(-32006, "no such thing as that")
		}, "doubt", "no such thing as that", 0},
		{"it asks for patience once", tools.Once, func(d *desk) {
			d.does["SendMessage"] = func(c call) any {
				if c.n == 1 {
					return reply{429, map[string]string{"Retry-After": "0"}, ""}
				}
				return map[string]any{"task": done("t-1", "42")}
			}
		}, "", "", time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, "JSONRPC")
			d.Config.ErrorLog = nil
			tool := d.tool(t, tt.class, func(c *Config) { c.Timeout = time.Second + tt.more })
			tt.spoil(d)
			out, err := ask(t, tool, `{"message":"how much?"}`)
			said := out.Note
			if err != nil {
				said = err.Error()
			}
			_, certain := errors.AsType[*tools.Error](err)
			switch {
			case tt.code == "" && err != nil, tt.code == "doubt" && (err == nil || certain):
				t.Errorf("%v, want %q", err, tt.code)
			case tt.code != "" && tt.code != "doubt" && !isCode(err, tt.code):
				t.Errorf("%v, want %s", err, tt.code)
			case !strings.Contains(said, tt.says) || strings.Contains(said, token):
				t.Errorf("%q does not say %q", said, tt.says)
			}
			sent := strings.Count(strings.Join(d.operations(), " "), "SendMessage")
			if most := map[tools.Class]int{"": 1, tools.Read: 1, tools.Once: 2, tools.Keyed: 3}[tt.class]; sent > most {
				t.Errorf("the message was sent again: %v", d.operations())
			}
		})
	}
}

// An answer is told up to a bound, with nothing hidden in it, and without the operator's token.
func TestWhatIsToldOfAnAnswer(t *testing.T) {
	d := newDesk(t, "JSONRPC")
	long := done("t-1", strings.Repeat("x", maxText+1))
	d.does["SendMessage"] = func(c call) any {
		switch c.n {
		case 1:
			return map[string]any{"task": long}
		case 2:
			w := done("t-1", "pay\u200b "+token)
			w["artifacts"] = append(w["artifacts"].([]any), map[string]any{"parts": []any{
				map[string]any{"data": map[string]any{"b": 1, "a": 2}}, map[string]any{"url": "http://10.0.0.1/x"}, map[string]any{"raw": "AAAA"}}})
			return map[string]any{"task": w}
		}
		return map[string]any{"message": map[string]any{"messageId": "m", "role": "ROLE_AGENT", "parts": []any{map[string]any{"text": "Hello."}}}}
	}
	tool := d.tool(t, "", nil)
	for _, want := range []result{
		{State: "completed", Text: strings.Repeat("x", 10), Cut: true},
		{State: "completed", Text: "pay [token]\n{\"a\":2,\"b\":1}", LeftOut: 2},
		{State: "completed", Text: "Hello."},
	} {
		out, err := ask(t, tool, `{"message":"hi"}`)
		if err != nil {
			t.Fatal(err)
		}
		if want.Cut {
			if len(out.Text) > maxText+len("…") {
				t.Errorf("%d bytes", len(out.Text))
			}
			out.Text = out.Text[:10]
		}
		if out.ID, out.Task, out.Context = "", "", ""; out != want {
			t.Errorf("got %+v, want %+v", out, want)
		}
	}
}

// A run that has ended ends its task; a program that stops does not.
func TestATaskEndsWithItsRun(t *testing.T) {
	for _, tt := range []struct {
		closed bool
		want   string
	}{{true, "SendMessage CancelTask"}, {false, "SendMessage"}} {
		d := newDesk(t, "JSONRPC")
		d.does["CancelTask"] = func(call) any { return standing("t-1", "CANCELED", "") }
		tool := d.tool(t, tools.Keyed, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		d.does["SendMessage"] = func(call) any {
			time.AfterFunc(50*time.Millisecond, func() { cancel(tools.Withdrawal(tt.closed)) })
			return map[string]any{"task": standing("t-1", "WORKING", "")}
		}
		_, err := tool.Call(ctx, input(t, tool, `{"message":"hi"}`))
		if _, certain := errors.AsType[*tools.Error](err); err == nil || certain {
			t.Errorf("closed %v: %v", tt.closed, err)
		}
		if got := strings.Join(d.operations(), " "); got != tt.want {
			t.Errorf("closed %v: asked %s, want %s", tt.closed, got, tt.want)
		}
	}
}

// After a crash the tasks of the context that the call has chosen say whether its message has arrived.
func TestWhetherAMessageHasArrived(t *testing.T) {
	list := func(tasks ...map[string]any) func(call) any {
		return func(c call) any {
			for _, w := range tasks {
				w["contextId"] = c.params["contextId"]
			}
			return map[string]any{"tasks": tasks, "nextPageToken": "", "pageSize": 2, "totalSize": len(tasks)}
		}
	}
	for _, tt := range []struct {
		name      string
		reconcile bool
		lists     func(call) any
		happened  bool
		says      string // the error
	}{
		{"it has", true, list(done("t-1", "42")), true, ""},
		{"it has not", true, list(), false, ""},
		{"two have", true, list(done("t-1", "42"), done("t-2", "43")), false, "several"},
		{"another's is listed", true, func(call) any { return map[string]any{"tasks": []any{done("t-1", "42")}} }, false, "another task"},
		{"it is not to be asked", false, list(done("t-1", "42")), false, "set reconcile"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, "JSONRPC")
			d.does["ListTasks"] = tt.lists
			tool := d.tool(t, "", func(c *Config) { c.Reconcile, c.Timeout = tt.reconcile, 20*time.Second })
			out, happened, err := tool.Reconcile(t.Context(), input(t, tool, `{"message":"hi"}`))
			switch {
			case happened != tt.happened, (err == nil) != (tt.says == ""), err != nil && !strings.Contains(err.Error(), tt.says):
				t.Errorf("%v, %v", happened, err)
			case happened && !strings.Contains(string(out), `"text":"42"`):
				t.Errorf("%s", out)
			}
		})
	}
	// The same after an answer that was lost in the call itself.
	d := newDesk(t, "JSONRPC")
	d.does["SendMessage"] = func(call) any { panic(http.ErrAbortHandler) }
	d.does["ListTasks"] = list(done("t-1", "42"))
	tool := d.tool(t, "", func(c *Config) { c.Reconcile = true })
	if out, err := ask(t, tool, `{"message":"hi"}`); err != nil || out.Text != "42" {
		t.Errorf("%+v, %v", out, err)
	}
}

// That no task is listed says that a message has not arrived only if no answer to it was read.
func TestAMessageThatWasAnsweredHasArrived(t *testing.T) {
	rep := func(status int, body string) func(call) any {
		return func(call) any { return reply{status, nil, body} }
	}
	for _, tt := range []struct {
		name    string
		answers func(call) any
		arrived bool
	}{
		{"in another context", func(call) any { return map[string]any{"task": done("t-1", "paid")} }, true},
		{"too much", rep(200, strings.Repeat(" ", maxBody+1)), true},
		{"no JSON", rep(200, "<html>"), true},
		{"with an error of its own", rep(200, `{"jsonrpc":"2.0","id":"writ-1","error":{"code":-32603,"message":"oh"}}`), true},
		{"with what its server cannot use", rep(502, ""), true},
		{"and cut off", func(c call) any {
			c.w.Header().Set("Content-Length", "100")
			c.w.Write([]byte(`{"jsonrpc"`))
			c.w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, true},
		{"by nobody", func(call) any { panic(http.ErrAbortHandler) }, false},
		{"by a gateway", rep(504, ""), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, "JSONRPC")
			d.does["SendMessage"] = tt.answers
			d.does["ListTasks"] = func(call) any { return map[string]any{"tasks": []any{}} }
			tool := d.tool(t, "", func(c *Config) { c.Reconcile, c.Timeout = true, 30*time.Second })
			if _, err := ask(t, tool, `{"message":"pay alice"}`); err == nil || isCode(err, tools.CodeNotDone) == tt.arrived {
				t.Errorf("%v", err)
			}
		})
	}
}

// A server here that stops says nothing of the other one. What only looks is done by the next start; a message that was
// not sent is said to be that.
func TestAStopWhileTheCardIsRead(t *testing.T) {
	for _, only := range []bool{true, false} {
		d := newDesk(t, "JSONRPC")
		tool := d.tool(t, "", nil)
		args := `{"message":"hi"}`
		if only {
			args = fmt.Sprintf(`{"message":"","task":%q}`, tool.sealTask(alice, "t-1"))
		}
		ctx, stop := context.WithCancelCause(t.Context())
		cause := tools.Withdrawal(false)
		read := make(chan struct{})
		d.serve = func(http.ResponseWriter) bool { stop(cause); <-read; return true }
		_, err := tool.Call(ctx, input(t, tool, args))
		close(read)
		switch {
		case only && (!errors.Is(err, context.Canceled) || isCode(err, tools.CodeNotDone)):
			t.Errorf("a look: %v", err)
		case !only && (!isCode(err, tools.CodeNotDone) || !strings.Contains(err.Error(), "was cut here")):
			t.Errorf("a message: %v", err)
		}
		if len(d.operations()) > 0 {
			t.Errorf("asked %v", d.operations())
		}
	}
}

// A wallet's calls take half of the places at most, and a call that finds none is told so while it has the time to be
// made again; it takes nothing of the time in which a task is followed.
func TestHowManyCallsAreUnderWay(t *testing.T) {
	t.Parallel()
	d := newDesk(t, "JSONRPC")
	begun, end := make(chan struct{}, maxFlying+1), make(chan struct{})
	d.does["SendMessage"] = func(call) any {
		begun <- struct{}{}
		<-end
		return map[string]any{"task": done("t-1", "42")}
	}
	tool := d.tool(t, "", func(c *Config) { c.Timeout = time.Minute })
	in := input(t, tool, `{"message":"hi"}`)
	var wg sync.WaitGroup
	call := func(wallet string) {
		wg.Go(func() {
			in := in
			in.Asker.Wallet = wallet
			if _, err := tool.Call(t.Context(), in); err != nil {
				t.Errorf("%s: %v", wallet, err)
			}
		})
	}
	busy := func(wallet, says string) {
		t.Helper()
		in := in
		in.Asker.Wallet = wallet
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := tool.Call(ctx, in); !isCode(err, "busy") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", wallet, err)
		}
	}
	for range maxOfOne {
		call("a")
	}
	for range maxOfOne {
		<-begun
	}
	busy("a", "this wallet has 4 calls")
	for range maxFlying - maxOfOne {
		call("b")
		<-begun
	}
	busy("c", "at most 8 at a time")
	call("c") // waits, and has its place when the others end
	close(end)
	wg.Wait()
	if tool.places.taken != 0 || len(tool.places.of) != 0 {
		t.Errorf("places are left taken: %d, %v", tool.places.taken, tool.places.of)
	}
	if least := maxEntry + maxRequest + time.Minute; tool.MaxTime() < least {
		t.Errorf("a call takes %s at most, and may take %s", tool.MaxTime(), least)
	}
	synctest.Test(t, func(t *testing.T) {
		var p places
		for range maxOfOne {
			if _, err := p.enter(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
		}
		since := time.Now()
		if _, err := p.enter(t.Context(), "a"); err == nil || time.Since(since) != maxEntry {
			t.Errorf("a place is waited for for %s: %v", time.Since(since), err)
		}
	})
}

// A message of the length that the schema allows fits into a call's arguments, with the longest name of a task.
func TestTheLongestMessage(t *testing.T) {
	d := newDesk(t, "JSONRPC")
	tool := d.tool(t, "", nil)
	task := tool.sealTask(alice, strings.Repeat("t", maxID))
	d.does["SendMessage"] = func(call) any { return map[string]any{"task": done(strings.Repeat("t", maxID), "42")} }
	args := func(n int) string { return fmt.Sprintf(`{"message":%q,"task":%q}`, strings.Repeat("x", n), task) }
	if out, err := ask(t, tool, args(MaxMessage)); err != nil || out.Text != "42" {
		t.Errorf("%+v, %v", out, err)
	}
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	_, err = def.Read([]byte(args(MaxMessage + 1)))
	if e, ok := errors.AsType[*tools.Error](err); !ok || e.Code == "bad_json" {
		t.Errorf("a longer one is %v, which does not say what is too long", err)
	}
}

// sign signs a card as the protocol has it.
func sign(t *testing.T, card map[string]any, alg string, header map[string]any, sign func([]byte) []byte) {
	t.Helper()
	plain := maps.Clone(card)
	delete(plain, "signatures")
	raw, _ := json.Marshal(plain)
	payload, err := tools.CanonicalJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	header["alg"] = alg
	h, _ := json.Marshal(header)
	protected := base64.RawURLEncoding.EncodeToString(h)
	sig := sign([]byte(protected + "." + base64.RawURLEncoding.EncodeToString(payload)))
	card["signatures"] = []any{map[string]any{"protected": protected, "signature": base64.RawURLEncoding.EncodeToString(sig)}}
}

// With a key a card counts only if the key has signed it, in either algorithm.
func TestTheSignatureOfACard(t *testing.T) {
	pub, priv, _ := ed25519.GenerateKey(rand.Reader)
	curve, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	point, err := curve.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	byEd := func(in []byte) []byte { return ed25519.Sign(priv, in) }
	byCurve := func(in []byte) []byte {
		sum := sha256.Sum256(in)
		r, s, err := ecdsa.Sign(rand.Reader, curve, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	ed, es := hex.EncodeToString(pub), hex.EncodeToString(point)
	for _, tt := range []struct {
		name, key string
		change    func(t *testing.T, card map[string]any)
		want      error
	}{
		{"of Ed25519", ed, func(t *testing.T, c map[string]any) { sign(t, c, "EdDSA", map[string]any{}, byEd) }, nil},
		{"of P-256", es, func(t *testing.T, c map[string]any) { sign(t, c, "ES256", map[string]any{}, byCurve) }, nil},
		{"over the card without what is empty", ed, func(t *testing.T, c map[string]any) {
			short := map[string]any{}
			raw, _ := json.Marshal(c)
			json.Unmarshal(raw, &short)
			short = dropEmpty(short).(map[string]any)
			sign(t, short, "EdDSA", map[string]any{}, byEd)
			c["signatures"] = short["signatures"]
		}, nil},
		{"none", ed, func(*testing.T, map[string]any) {}, errUnsigned},
		{"of another key", es, func(t *testing.T, c map[string]any) { sign(t, c, "EdDSA", map[string]any{}, byEd) }, errWrongSigner},
		{"that says another algorithm", ed, func(t *testing.T, c map[string]any) { sign(t, c, "none", map[string]any{}, byEd) }, errWrongSigner},
		{"of what was changed since", ed, func(t *testing.T, c map[string]any) {
			sign(t, c, "EdDSA", map[string]any{}, byEd)
			c["description"] = "Pays everybody."
		}, errWrongSigner},
		{"that asks for what is not known", ed, func(t *testing.T, c map[string]any) {
			sign(t, c, "EdDSA", map[string]any{"crit": []any{"exp"}, "exp": 1}, byEd)
		}, errWrongSigner},
		{"over something else", ed, func(t *testing.T, c map[string]any) {
			sign(t, c, "EdDSA", map[string]any{"b64": false}, byEd)
		}, errWrongSigner},
	} {
		d := newDesk(t, "JSONRPC")
		tool := d.tool(t, "", func(c *Config) { c.Key = tt.key })
		tt.change(t, d.card)
		_, err := tool.client.Fetch(t.Context())
		if tt.want == nil && err != nil || tt.want != nil && (!isCode(err, "definition_changed") || !strings.Contains(err.Error(), tt.want.Error())) {
			t.Errorf("a signature %s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// The key that a card names counts only if its own server has it, and it has signed the card.
func TestTheKeyThatACardNames(t *testing.T) {
	pub, priv, _ := ed25519.GenerateKey(rand.Reader)
	other, _, _ := ed25519.GenerateKey(rand.Reader)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("another host is asked for the key")
	}))
	defer elsewhere.Close()
	for _, tt := range []struct {
		name, jku string
		key       ed25519.PublicKey
		want      string
	}{
		{"its own", "", pub, hex.EncodeToString(pub)},
		{"another key", "", other, ""},
		{"at another host", elsewhere.URL, pub, ""},
	} {
		d := newDesk(t, "JSONRPC")
		tool := d.tool(t, "", nil)
		d.serve = func(w http.ResponseWriter) bool {
			json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{
				"kid": "k", "kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(tt.key)}}})
			return true
		}
		jku := tt.jku
		if jku == "" {
			jku = d.URL + "/card.json" // which is the set of keys by now
		}
		sign(t, d.card, "EdDSA", map[string]any{"kid": "k", "jku": jku}, func(in []byte) []byte { return ed25519.Sign(priv, in) })
		raw, _ := json.Marshal(d.card)
		card, err := ParseCard(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := tool.client.Signer(t.Context(), card); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// What does nothing now says nothing of what an earlier process may have done with the same key.
func TestACallThatIsMadeAgain(t *testing.T) {
	d := newDesk(t, "JSONRPC")
	tool := d.tool(t, tools.Keyed, nil)
	in := input(t, tool, `{"message":"hi"}`)
	in.Again = true
	if out, err := read(t, tool, in); err != nil || out.Text != "42" {
		t.Errorf("%+v, %v", out, err)
	}
	d.does["SendMessage"] = func(call) any { return reply{403, nil, ""} }
	if _, err := read(t, tool, in); err == nil || isCode(err, "unauthorised") {
		t.Errorf("a refusal: %v", err)
	}
	d.card["description"], tool.checked = "Another.", time.Time{}
	if _, err := read(t, tool, in); err == nil || isCode(err, "definition_changed") || !strings.Contains(err.Error(), "not as it was accepted") {
		t.Errorf("a changed card: %v", err)
	}
	for name, change := range map[string]func(*tools.Input){
		"a host that the grant does not name any more": func(in *tools.Input) { in.Hosts = []string{"other.example"} },
		"a task whose name is not known any more": func(in *tools.Input) {
			in.Args.JSON = []byte(`{"message":"hi","task":"t-1~0123456789abcdef"}`)
		},
	} {
		again := in
		change(&again)
		_, err := read(t, tool, again)
		if _, certain := errors.AsType[*tools.Error](err); err == nil || certain {
			t.Errorf("%s: %v", name, err)
		}
		again.Again = false
		if _, err := read(t, tool, again); !isCode(err, "host_not_allowed") && !isCode(err, "bad_argument") {
			t.Errorf("%s, for the first time: %v", name, err)
		}
	}
	first, second := d.asked[0], d.asked[1]
	if first != second {
		t.Errorf("the same call sends %s and %s", first, second)
	}
}

func FuzzParseCard(f *testing.F) {
	f.Add([]byte(`{"name":"d","supportedInterfaces":[{"url":"https://d.example/","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],"signatures":[]}`))
	f.Add([]byte(`{"name":"\u2028 <&>","n":1.50,"signatures":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		card, err := ParseCard(data)
		if err != nil {
			return
		}
		if again, err := ParseCard(card.JSON); err != nil || again.CID != card.CID {
			t.Errorf("the card of %q is another one when it is read again: %v", data, err)
		}
		card.about()
	})
}

// Which interface is spoken, and where it may be.
func TestWhichInterfaceIsSpoken(t *testing.T) {
	at := func(url, binding, version string) string {
		return fmt.Sprintf(`{"url":%q,"protocolBinding":%q,"protocolVersion":%q}`, url, binding, version)
	}
	for _, tt := range []struct{ name, interfaces, want string }{
		{"JSON-RPC first", at("https://d.example/rest", "HTTP+JSON", "1.0") + "," + at("https://d.example/rpc", "JSONRPC", "1.0"), "https://d.example/rpc true"},
		{"HTTP else", at("https://d.example/grpc", "GRPC", "1.0") + "," + at("https://d.example/rest", "HTTP+JSON", "1.0"), "https://d.example/rest false"},
		{"an older version", at("https://d.example/rpc", "JSONRPC", "0.3"), "speaks neither"},
		{"none", "", "speaks neither"},
		{"another host", at("https://e.example/rpc", "JSONRPC", "1.0"), "another host"},
		{"another port", at("https://d.example:8443/rpc", "JSONRPC", "1.0"), "another host"},
		{"a host that is named", at("https://api.example/rpc", "JSONRPC", "1.0"), "https://api.example/rpc true"},
		{"in the clear", at("http://d.example/rpc", "JSONRPC", "1.0"), "must be https"},
		{"with a password", at("https://a:b@d.example/rpc", "JSONRPC", "1.0"), "without password"},
	} {
		client, err := NewClient(Config{Name: "d.ask", Card: "https://d.example/card.json", Hosts: []string{"api.example"}})
		if err != nil {
			t.Fatal(err)
		}
		card, err := ParseCard([]byte(`{"name":"d","supportedInterfaces":[` + tt.interfaces + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		tool, err := New(client, card, Use{})
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(tool.at.url, " ", tool.at.rpc)
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// An agent on this machine or its network is not asked unless the operator says so, and none that a grant does not name.
func TestWhoIsAsked(t *testing.T) {
	d := newDesk(t, "JSONRPC")
	tool := d.tool(t, "", nil)
	in := input(t, tool, `{"message":"hi"}`)
	in.Hosts = []string{"api.example"}
	if _, err := read(t, tool, in); !isCode(err, "host_not_allowed") {
		t.Errorf("a host that the grant does not name: %v", err)
	}
	tool.client.cfg.Gate.Private = false
	closed, err := NewClient(Config{Name: "d.ask", Card: strings.Replace(d.URL, "http", "https", 1) + "/card.json"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := closed.Fetch(t.Context()); !isCode(err, "address_not_allowed") {
		t.Errorf("an address of this machine: %v", err)
	}
	if len(d.operations()) > 0 {
		t.Errorf("asked %v", d.operations())
	}
}

func TestTheAcceptedCardIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "desk.card.json")
	card, err := ParseCard([]byte(`{"name":"d <&> e","supportedInterfaces":[],"signatures":[{"protected":"a","signature":"b"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteAccepted(path, "desk.ask", card); err != nil {
		t.Fatal(err)
	}
	got, err := ReadAccepted(path, "desk.ask")
	if err != nil || got.CID != card.CID || got.Name != "d <&> e" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ReadAccepted(path, "other.ask"); err == nil {
		t.Error("the file of another agent is read")
	}
	if err := WriteAccepted(path, "desk.ask", Card{JSON: []byte(`{"name":"x"}`), CID: card.CID}); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAccepted(path, "desk.ask"); err == nil || !strings.Contains(err.Error(), "not the one that was accepted") {
		t.Errorf("a card that was changed in the file: %v", err)
	}
}
