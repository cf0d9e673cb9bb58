package door

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
)

const someSession = "bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"

func newKey(t testing.TB) Key {
	t.Helper()
	secret, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Key{cid.MustParse(someSession), secret}
}

func TestAKeyIsReadAsItWasWrittenOrNotAtAll(t *testing.T) {
	key := newKey(t)
	text, err := key.Text()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseKey(text)
	if err != nil || back.Session != key.Session || back.Secret.Secret() != key.Secret.Secret() {
		t.Fatalf("read again: %v, session %s", err, back.Session)
	}
	for i := range text { // no letter of it can be another
		other := byte('A')
		if text[i] == 'A' {
			other = 'B'
		}
		if _, err := ParseKey(text[:i] + string(other) + text[i+1:]); !errors.Is(err, ErrKey) {
			t.Errorf("with another letter at %d: %v", i, err)
		}
		if _, err := ParseKey(text[:i]); !errors.Is(err, ErrKey) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	for _, bad := range []string{"", "writ_", "sk-" + text[5:], text + "=", text + text, " " + text, text + "\n"} {
		if _, err := ParseKey(bad); !errors.Is(err, ErrKey) || strings.Contains(err.Error(), text[5:]) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzParseKey: what is read is written again as it was.
func FuzzParseKey(f *testing.F) {
	text, err := newKey(f).Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("writ_AXESIBSZ")
	f.Fuzz(func(t *testing.T, s string) {
		key, err := ParseKey(s)
		if err != nil {
			return
		}
		if again, err := key.Text(); err != nil || again != s {
			t.Errorf("%q was read, and is written as %q, %v", s, again, err)
		}
	})
}

func TestResultsGoOnWithTheirRun(t *testing.T) {
	id := clientCall{effect: wire.Ref{Seq: 3, Index: 1}}.id(someSession)
	for _, tt := range []struct {
		form foreign.Form
		body string
		want string // or what is wrong
	}{
		{foreign.Chat, `{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[]},{"role":"tool","tool_call_id":"` + id + `","content":"9"}]}`, "9"},
		{foreign.Responses, `{"input":[{"type":"function_call_output","call_id":"` + id + `","output":"9"}]}`, "9"},
		{foreign.Messages, `{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"` + id + `","content":[{"type":"text","text":"9"}],"is_error":true}]}]}`, "9 failed"},
		{foreign.Messages, `{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"9"},{"type":"text","text":"and?"}]}]}`,
			"The newest message has results of tools and a text; send the results alone."},
	} {
		r, err := foreign.Read(tt.form, []byte(tt.body))
		got := ""
		if err != nil {
			got = err.Error()
		} else if len(r.Reports) == 1 && r.Text == "" && r.Reports[0].ID == id {
			got = r.Reports[0].Output
			if r.Reports[0].Failed {
				got += " failed"
			}
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.body, got, tt.want)
		}
	}
	run, effect, err := parseID(id)
	if err != nil || run != someSession || effect != (wire.Ref{Seq: 3, Index: 1}) {
		t.Errorf("the id is read as %s, %v, %v", run, effect, err)
	}
	for _, bad := range []string{"", "call_1", "toolu_01", "call_x_-1_0", id + "_"} {
		if _, _, err := parseID(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// One tool that must be called is structured output, and what came of its call goes on as a conversation.
func TestAToolThatMustBeCalledIsTheAnswersForm(t *testing.T) {
	const schema = `{"description":"A person.","title":"person","type":"object"}`
	for _, tt := range []struct {
		form foreign.Form
		body string
	}{
		{foreign.Chat, `{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"other"}},
			{"type":"function","function":{"name":"person","description":"A person.","parameters":{"type":"object"}}}],
			"tool_choice":{"type":"function","function":{"name":"person"}}}`},
		{foreign.Chat, `{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"person",
			"description":"A person."}}],"tool_choice":"required"}`},
		{foreign.Responses, `{"input":"x","tools":[{"type":"function","name":"person","description":"A person."}],
			"tool_choice":{"type":"function","name":"person"}}`},
		{foreign.Messages, `{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"person","description":"A person.",
			"input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"person"}}`},
		{foreign.Messages, `{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"person","description":"A person.",
			"input_schema":{"type":"object"}}],"tool_choice":{"type":"any"}}`},
	} {
		r, err := foreign.Read(tt.form, []byte(tt.body))
		if err != nil || r.Forced != "person" || string(r.Schema) != schema || r.Tools != nil {
			t.Errorf("%s: %+v, %s, %v", tt.body, r, r.Schema, err)
		}
	}
	e := ending{Run: someSession, Reason: "answered", text: `{"name":"bob"}`}
	e.answerByCall(&foreign.Request{Forced: "person"})
	id := e.calls[0].id(e.Run)
	whole, err := json.Marshal(messages{}.writeWhole(&foreign.Request{}, e))
	if err != nil || !bytes.Contains(whole, []byte(`"content":[{"id":"`+id+`","input":{"name":"bob"},"name":"person","type":"tool_use"}]`)) ||
		!bytes.Contains(whole, []byte(`"stop_reason":"tool_use"`)) {
		t.Errorf("the answer is %s, %v", whole, err)
	}
	body := `{"messages":[{"role":"user","content":"who?"},
		{"role":"assistant","content":[{"type":"tool_use","id":"` + id + `","name":"person","input":{"name":"bob"}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"` + id + `","content":"noted"}]}]}`
	const told = "[user]\nwho?\n\n[call of person]\n{\"name\":\"bob\"}\n\n[result]\nnoted"
	if r, err := foreign.Read(foreign.Messages, []byte(body)); err != nil || r.Text != told || r.Reports != nil {
		t.Errorf("what came of it is %q, %v, %v", r.Text, r.Reports, err)
	}
	waits := ending{Reason: "waiting", text: "This waits."}
	if waits.answerByCall(&foreign.Request{Forced: "person"}); waits.calls != nil || waits.text == "" {
		t.Error("what is no answer became a call")
	}
}

func TestAFailureHasTheFormOfItsDialect(t *testing.T) {
	for _, tt := range []struct {
		err            error
		status         int
		openai, claude string
	}{
		{wire.Errorf(wire.CodeRevoked, "x"), 401, "authentication_error", "authentication_error"},
		{wire.Errorf(wire.CodeForbidden, "x"), 403, "permission_error", "permission_error"},
		{wire.Errorf(wire.CodeNotFound, "x"), 404, "not_found_error", "not_found_error"},
		{wire.Errorf(wire.CodeRate, "x"), 429, "rate_limit_error", "rate_limit_error"},
		{endedError(ending{Reason: "limit"}), 429, "insufficient_quota", "rate_limit_error"},
		{endedError(ending{Reason: "failed", retry: true}), 503, "overloaded_error", "overloaded_error"},
		{endedError(ending{Reason: "failed"}), 500, "api_error", "api_error"},
		{errors.New("disk on fire"), 500, "api_error", "api_error"},
	} {
		f := failureOf(tt.err)
		openai, err := json.Marshal(chat{}.describe(f))
		if err != nil {
			t.Fatal(err)
		}
		claude, err := json.Marshal(messages{}.describe(f))
		if err != nil {
			t.Fatal(err)
		}
		if f.status != tt.status || !bytes.Contains(openai, []byte(`"type":"`+tt.openai+`"`)) ||
			!bytes.Contains(claude, []byte(`"type":"`+tt.claude+`"`)) || bytes.Contains(openai, []byte("fire")) {
			t.Errorf("%v: status %d, %s, %s", tt.err, f.status, openai, claude)
		}
	}
}

func TestOneWalletTakesOnePlaceToVerify(t *testing.T) {
	d := &Door{judging: map[string]bool{}}
	end, err := d.beginJudging("a")
	if err != nil {
		t.Fatal(err)
	}
	for range 16 {
		if _, err := d.beginJudging("a"); err == nil || err.(*wire.Error).Data.Code != wire.CodeTooMany {
			t.Fatalf("a second place of one wallet: %v", err)
		}
	}
	endB, err := d.beginJudging("b")
	if err != nil {
		t.Fatalf("another wallet is kept out: %v", err)
	}
	if _, err := d.beginJudging("c"); err == nil || err.(*wire.Error).Data.Code != wire.CodeOverload {
		t.Fatalf("a third place: %v", err)
	}
	end()
	endB()
	if _, err := d.beginJudging("a"); err != nil || len(d.judging) != 1 {
		t.Errorf("places were not given back: %v", err)
	}
}
