package door

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/tools"
)

// steps makes events of what a run does, one after the other.
func steps(list ...wire.RunEvent) []*wire.RunEvent {
	out := make([]*wire.RunEvent, len(list))
	for i, e := range list {
		e.Seq, e.CID, e.At = uint64(i), "step"+string(rune('0'+i)), int64(i)*1000
		out[i] = &e
	}
	return out
}

func does(list ...wire.Effect) wire.RunEvent { return wire.RunEvent{Does: list} }

func after(kind string, of wire.Ref, list ...wire.Effect) wire.RunEvent {
	return wire.RunEvent{Event: wire.Event{Kind: kind, Of: &of}, Does: list}
}

func TestARunIsATask(t *testing.T) {
	asked := wire.RunEvent{Event: wire.Event{Kind: "ask", Input: []byte(`{"input":"pay bob","thread":"rent"}`)}}
	pay := wire.Effect{Kind: "seek", Summary: []byte(`{"text":"5 USDC to bob."}`)}
	question := wire.Effect{Kind: "call", Tool: tools.UserAsk, Args: []byte(`{"question":"Which bob?","choices":["A","B"]}`)}
	send := wire.Effect{Kind: "call", Class: "wallet", Phase: "send"}
	simulate := wire.Effect{Kind: "call", Class: "wallet", Phase: "simulate"}
	say := wire.Effect{Kind: "say", Text: "Sent."}
	end := func(reason string) wire.Effect { return wire.Effect{Kind: "close", Reason: reason} }
	for _, tt := range []struct {
		name     string
		events   []*wire.RunEvent
		state    string
		status   string // a part of the status' message; empty for none
		artifact string
	}{
		{"asked", steps(asked), taskWorking, "", ""},
		{"waits for the wallet", steps(asked, does(pay)), taskAuth, "approval: 5 USDC to bob. A person approves or refuses it at #approvals", ""},
		{"approved", steps(asked, does(pay), after("verdict", wire.Ref{Seq: 1})), taskWorking, "", ""},
		{"another waits still", steps(asked, does(pay, pay), after("verdict", wire.Ref{Seq: 1})), taskAuth, "approval", ""},
		{"the time is over", steps(asked, does(pay), after("lapse", wire.Ref{Seq: 1}, say, end("denied"))), taskRejected, "Sent.", ""},
		{"asks", steps(asked, does(pay, question)), taskInput, "Which bob?\n- A\n- B", ""},
		{"was answered", steps(asked, does(question), after("ask", wire.Ref{Seq: 1})), taskWorking, "", ""},
		{"an erased question", steps(asked, does(wire.Effect{Kind: "call", Tool: tools.UserAsk})), taskInput, "cannot be read any more", ""},
		{"the wallet is to send", steps(asked, does(send)), taskAuth, "to send its transaction", ""},
		{"it is simulated for the wallet", steps(asked, does(simulate)), taskWorking, "", ""},
		{"sent", steps(asked, does(send), after("result", wire.Ref{Seq: 1})), taskWorking, "", ""},
		{"answered", steps(asked, does(say, end("answered"))), taskCompleted, "", "Sent."},
		{"answered while something waits", steps(asked, does(pay), does(say, end("answered"))), taskCompleted, "", "Sent."},
		{"cut off", steps(asked, does(say, end("truncated"))), taskCompleted, "was cut off", "Sent."},
		{"no answer", steps(asked, does(end("answered"))), taskCompleted, "", ""},
		{"cancelled", steps(asked, does(end("cancelled"))), taskCanceled, "The run ended: cancelled.", ""},
		{"declined", steps(asked, does(say, end("declined"))), taskRejected, "Sent.", ""},
		{"failed", steps(asked, does(end("failed"))), taskFailed, "The run ended: failed.", ""},
		{"a limit", steps(asked, does(end("limit"))), taskFailed, "limit", ""},
		{"a reason that is not known", steps(asked, does(end("new"))), taskFailed, "new", ""},
	} {
		f := newTaskFold("run", func(place string) string { return "#" + place })
		for _, e := range tt.events {
			f.takeEvent(e)
		}
		got := f.task(nil)
		status, made := "", ""
		if m := got.Status.Message; m != nil {
			status = *m.Parts[0].Text
		}
		if len(got.Artifacts) > 0 {
			made = *got.Artifacts[0].Parts[0].Text
		}
		if got.Status.State != tt.state || (status == "") != (tt.status == "") || !strings.Contains(status, tt.status) ||
			made != tt.artifact {
			t.Errorf("%s: %s, %q, made %q; want %s, %q, %q", tt.name, got.Status.State, status, made, tt.state, tt.status, tt.artifact)
		}
		if got.Context != "rent" || got.ID != "run" || *got.History[0].Parts[0].Text != "pay bob" {
			t.Errorf("%s: %+v", tt.name, got)
		}
		if last := tt.events[len(tt.events)-1]; got.Status.At != instant(last.At) || got.Metadata["writ"].(map[string]any)["cid"] != last.CID {
			t.Errorf("%s: status at %s, %v", tt.name, got.Status.At, got.Metadata)
		}
	}
}

func TestHistoryIsAsLongAsIsAsked(t *testing.T) {
	f := newTaskFold("run", func(string) string { return "" })
	for _, e := range steps(
		wire.RunEvent{Event: wire.Event{Kind: "ask", Input: []byte(`{"input":"one"}`)}},
		wire.RunEvent{Event: wire.Event{Kind: "ask", Input: []byte(`{"text":"two"}`)}},
		wire.RunEvent{Event: wire.Event{Kind: "ask"}}, // was erased
	) {
		f.takeEvent(e)
	}
	for most, want := range map[int]int{0: 0, 1: 1, 2: 2, 9: 2} {
		if got := f.task(&most).History; len(got) != want || want == 1 && *got[0].Parts[0].Text != "two" {
			t.Errorf("at most %d: %v", most, got)
		}
	}
	if got := f.task(nil).History; len(got) != 2 {
		t.Errorf("all: %v", got)
	}
}

func TestWhatAMessageSays(t *testing.T) {
	for _, tt := range []struct{ name, message, want, refused string }{
		{"a text", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"hello"}]}`, "hello", ""},
		{"empty members", `{"messageId":"1","role":"ROLE_USER","metadata":{},"extensions":[],"parts":[{"text":"a","metadata":{},"filename":""}]}`, "a", ""},
		{"what is not known", `{"messageId":"1","role":"ROLE_USER","quoted":true,"parts":[{"text":"hello"}]}`, "", "form"},
		{"in a part", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"hello","quoted":true}]}`, "", "form"},
		{"in another case", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"do not pay"}],"Parts":[{"text":"pay"}]}`, "", "form"},
		{"by folding", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"do not pay"}],"partſ":[{"text":"pay"}]}`, "", "form"},
		{"twice", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"do not pay"}],"parts":[{"text":"pay"}]}`, "", "form"},
		{"a text twice", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"do not pay","text":"pay"}]}`, "", "form"},
		{"metadata", `{"messageId":"1","role":"ROLE_USER","metadata":{"note":"do not pay"},"parts":[{"text":"a"}]}`, "", "message.metadata"},
		{"extensions", `{"messageId":"1","role":"ROLE_USER","extensions":["https://a.example"],"parts":[{"text":"a"}]}`, "", "message.metadata"},
		{"metadata of a part", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"a","metadata":{"from":"mallory"}}]}`, "", "message.parts.metadata"},
		{"a file's text", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"send 1 USDC to bob","mediaType":"text/plain","filename":"mail.eml"}]}`, "", "content"},
		{"another charset", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"a","mediaType":"text/plain; charset=utf-16"}]}`, "", "content"},
		{"several are several lines", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"send 5 USDC"},{"text":"to bob"}]}`, "send 5 USDC\nto bob", ""},
		{"a text of its kind", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"a","mediaType":"text/plain; charset=utf-8"}]}`, "a", ""},
		{"no id", `{"role":"ROLE_USER","parts":[{"text":"hello"}]}`, "", "form"},
		{"an empty id", `{"messageId":"","role":"ROLE_USER","parts":[{"text":"hello"}]}`, "", "message.messageId"},
		{"a long id", `{"messageId":"` + strings.Repeat("x", 257) + `","role":"ROLE_USER","parts":[{"text":"a"}]}`, "", "message.messageId"},
		{"an agent's", `{"messageId":"1","role":"ROLE_AGENT","parts":[{"text":"hello"}]}`, "", "message.role"},
		{"nobody's", `{"messageId":"1","parts":[{"text":"hello"}]}`, "", "form"},
		{"nothing", `{"messageId":"1","role":"ROLE_USER","parts":[]}`, "", "message.parts"},
		{"of other tasks", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"a"}],"referenceTaskIds":["x"]}`, "", "message.referenceTaskIds"},
		{"bytes", `{"messageId":"1","role":"ROLE_USER","parts":[{"raw":"aGk="}]}`, "", "content"},
		{"a file", `{"messageId":"1","role":"ROLE_USER","parts":[{"url":"https://a.example"}]}`, "", "content"},
		{"data", `{"messageId":"1","role":"ROLE_USER","parts":[{"data":{"a":1}}]}`, "", "content"},
		{"both", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"a","data":1}]}`, "", "content"},
		{"an empty part", `{"messageId":"1","role":"ROLE_USER","parts":[{}]}`, "", "content"},
		{"a page", `{"messageId":"1","role":"ROLE_USER","parts":[{"text":"<p>","mediaType":"text/html"}]}`, "", "content"},
	} {
		var m agentMessage
		got, refused := "", ""
		err := wire.DecodeStrict([]byte(tt.message), &m)
		if err != nil {
			refused = "form"
		} else {
			got, err = m.readText()
		}
		if e, ok := errors.AsType[*agentError](err); ok {
			if refused = e.field; e == errContent {
				refused = "content"
			}
		}
		if got != tt.want || refused != tt.refused {
			t.Errorf("%s: %q, refused for %q; want %q, %q", tt.name, got, refused, tt.want, tt.refused)
		}
	}
}

// Our errors keep their meaning in the protocol's words, and its own are what its section 5.4 says.
func TestErrorsInTheProtocolsWords(t *testing.T) {
	wait := wire.Errorf(wire.CodeRate, "Slowly.")
	wait.Data.RetryAfterMS = 1500
	for _, tt := range []struct {
		err          error
		code, status int
		grpc, reason string
		domain       string
	}{
		{errTask, -32001, 404, "NOT_FOUND", "TASK_NOT_FOUND", agentDomain},
		{errNotCancelable, -32002, 400, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE", agentDomain},
		{errPush, -32003, 400, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED", agentDomain},
		{errEnded, -32004, 400, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION", agentDomain},
		{errContent, -32005, 400, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED", agentDomain},
		{errVersion, -32009, 400, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED", agentDomain},
		{wire.Errorf(wire.CodeNotFound, "No such run."), -32001, 404, "NOT_FOUND", "TASK_NOT_FOUND", agentDomain},
		{wire.Errorf(wire.CodeParams, "Bad."), -32602, 400, "INVALID_ARGUMENT", "invalid_params", ownDomain},
		{wire.Errorf(wire.CodeNoSession, "Who?"), -32000, 401, "UNAUTHENTICATED", "session_required", ownDomain},
		{wire.Errorf(wire.CodeRevoked, "Gone."), -32000, 401, "UNAUTHENTICATED", "session_revoked", ownDomain},
		{wire.Errorf(wire.CodeForbidden, "No."), -32000, 403, "PERMISSION_DENIED", "not_permitted", ownDomain},
		{wire.Errorf(wire.CodeConflict, "Again?"), -32000, 409, "ALREADY_EXISTS", "conflict", ownDomain},
		{wait, -32000, 429, "RESOURCE_EXHAUSTED", "rate_limited", ownDomain},
		{wire.Errorf(wire.CodeOverload, "Later."), -32000, 503, "UNAVAILABLE", "overloaded", ownDomain},
		{wire.Errorf(wire.CodeInternal, "Oh."), -32603, 500, "INTERNAL", "internal", ownDomain},
		{errors.New("a secret of ours"), -32603, 500, "INTERNAL", "internal", ownDomain},
	} {
		e := agentErrorOf(tt.err)
		if e.code != tt.code || e.status != tt.status || e.grpc != tt.grpc || e.reason != tt.reason || e.domain != tt.domain {
			t.Errorf("%v: %+v", tt.err, e)
		}
		if strings.Contains(e.message, "secret") {
			t.Errorf("told: %s", e.message)
		}
	}
	w := httptest.NewRecorder()
	resources{}.fail(w, agentErrorOf(wait))
	if w.Code != 429 || w.Header().Get("Retry-After") != "2" || !strings.Contains(w.Body.String(), `"retryAfterMs":"1500"`) {
		t.Errorf("too many: %d %v %s", w.Code, w.Header(), w.Body)
	}
	w = httptest.NewRecorder()
	calls{json.RawMessage(`"x"`)}.fail(w, errTask)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"id":"x"`) {
		t.Errorf("the protocol's own error is an answer of JSON-RPC: %d %s", w.Code, w.Body)
	}
}

func TestOnlyVersionOneIsSpoken(t *testing.T) {
	for header, want := range map[string]bool{"": false, "0.3": false, "1": false, "1.0": true, "1.0.1": true, "1.01": false, "2.0": false} {
		r := httptest.NewRequest(http.MethodPost, "/a2a", nil)
		r.Header.Set("A2A-Version", header)
		if got := speaksVersion(r); got != want {
			t.Errorf("header %q: %v", header, got)
		}
		r = httptest.NewRequest(http.MethodPost, "/a2a?A2A-Version="+header, nil)
		if got := speaksVersion(r); got != want {
			t.Errorf("query %q: %v", header, got)
		}
	}
}

// The signature is over the card without it, in the canonical form of RFC 8785, and over nothing less.
func TestACardIsSigned(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &Door{cfg: Config{CardKey: private, Page: "https://a.example", Version: "1.2.3"}}
	c, err := d.newCard("writ", "Agents <of> mine & yours", []wire.Agent{{Name: "treasurer"}})
	if err != nil {
		t.Fatal(err)
	}
	isSigned := func() bool {
		plain, err := json.Marshal(c) // escaped otherwise than what was signed
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(plain, &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "signatures")
		plain, err = json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := tools.CanonicalJSON(plain)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := base64.RawURLEncoding.DecodeString(c.Signatures[0]["signature"])
		if err != nil {
			t.Fatal(err)
		}
		return ed25519.Verify(public, []byte(c.Signatures[0]["protected"]+"."+base64.RawURLEncoding.EncodeToString(payload)), sig)
	}
	if !isSigned() {
		t.Error("the signature is not of the card")
	}
	c.Interfaces[0].URL = "https://b.example/a2a"
	if isSigned() {
		t.Error("a card with another address is signed too")
	}
	header, err := base64.RawURLEncoding.DecodeString(c.Signatures[0]["protected"])
	if want := `{"alg":"EdDSA","jku":"https://a.example/a2a/keys.json","kid":"` + d.cardKeyID() + `","typ":"JOSE"}`; err != nil || string(header) != want {
		t.Errorf("header %s, %v; want %s", header, err, want)
	}
}

// FuzzReadToken: a token that is read is the one that its place is written as.
func FuzzReadToken(f *testing.F) {
	f.Add(place{1759564760760, "bafyrei"}.token())
	f.Add("MS8")
	f.Fuzz(func(t *testing.T, token string) {
		p, ok := readToken(token)
		if !ok {
			return
		}
		if q, ok := readToken(p.token()); !ok || !reflect.DeepEqual(p, q) {
			t.Errorf("%q is %+v, and again %+v, %v", token, p, q, ok)
		}
	})
}
