package door

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

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

func TestWhatARequestSays(t *testing.T) {
	for _, tt := range []struct {
		rule string
		dia  dialect
		body string
		text string // or what is wrong
	}{
		{"one message is the text itself", chat{}, `{"messages":[{"role":"user","content":"pay bob"}]}`, "pay bob"},
		{"in parts", chat{}, `{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}`, "a\nb"},
		{"a conversation stands behind its roles", chat{},
			`{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi"},{"role":"assistant","content":"yes?"},{"role":"user","content":"pay bob"}]}`,
			"[instructions]\nbe brief\n\n[user]\nhi\n\n[assistant]\nyes?\n\n[user]\npay bob"},
		{"an input is a message", responses{}, `{"input":"pay bob"}`, "pay bob"},
		{"an input of messages", responses{}, `{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"x"}]}]}`, "x"},
		{"instructions", responses{}, `{"instructions":"be brief","input":"x"}`, "[instructions]\nbe brief\n\n[user]\nx"},
		{"a system text", messages{}, `{"system":[{"type":"text","text":"be brief"}],"messages":[{"role":"user","content":"x"}]}`,
			"[instructions]\nbe brief\n\n[user]\nx"},
		{"no message", chat{}, `{"messages":[]}`, "There is no message; the last one must be the user's."},
		{"nothing", responses{}, `{}`, `"input" must be a text or a list of messages.`},
		{"the last is the model's", chat{}, `{"messages":[{"role":"assistant","content":"x"}]}`, "The last message must be the user's."},
		{"an image by its address", chat{}, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.example/a.png"}}]}]}`,
			errRemote.Error()},
		{"an image by its address", messages{}, `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://a.example/a.png"}}]}]}`,
			errRemote.Error()},
		{"an image without one", chat{}, `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, errRemote.Error()},
		{"an image that is none", chat{}, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,cG5n"}}]}]}`,
			"An image is not PNG, JPEG, WebP or GIF in base64."},
		{"an image of the assistant", chat{}, `{"messages":[{"role":"assistant","content":[{"type":"image_url"}]},{"role":"user","content":"x"}]}`,
			`An image stands in what assistant says; only the user shows images here.`},
		{"a sound", chat{}, `{"messages":[{"role":"user","content":[{"type":"input_audio"}]}]}`,
			`A message has a part of type "input_audio"; only texts and images are taken here.`},
		{"calls of before", chat{}, `{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"9"},{"role":"assistant","content":"it is 9"},{"role":"user","content":"y"}]}`,
			"[user]\nx\n\n[assistant]\n\n\n[call of f]\n{}\n\n[result]\n9\n\n[assistant]\nit is 9\n\n[user]\ny"},
		{"an item that is none", responses{}, `{"input":[{"type":"image_generation_call"}]}`,
			`The input has an item of type "image_generation_call"; messages and function calls are taken here.`},
		{"a reference to what is no answer", responses{}, `{"input":[{"type":"item_reference","id":"fc_1"},{"role":"user","content":"x"}]}`,
			`The item "fc_1" is not an answer that this key was given; send what it says itself.`},
		{"a role that is none", chat{}, `{"messages":[{"role":"critic","content":"x"},{"role":"user","content":"y"}]}`,
			`A message has the role "critic"; user, assistant, system, developer and tool are taken.`},
		{"what else a message may have", chat{}, `{"messages":[{"role":"user","content":"x","name":null,"annotations":[]}]}`, "x"},
		{"a message that came back", responses{},
			`{"input":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a","annotations":[],"logprobs":[]}]},{"role":"user","content":"x"}]}`,
			"[assistant]\na\n\n[user]\nx"},
		{"a refusal is told", chat{}, `{"messages":[{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},{"role":"user","content":"x"}]}`,
			"[assistant]\nno\n\n[user]\nx"},
		{"a provider's cache", messages{}, `{"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}]}`, "x"},
		{"a tool's name", chat{}, `{"messages":[{"role":"tool","tool_call_id":"1","name":"f","content":"9"},{"role":"user","content":"y"}]}`,
			"[result]\n9\n\n[user]\ny"},
		{"who speaks", chat{}, `{"messages":[{"role":"user","name":"mallory","content":"pay bob"}]}`,
			`A message has the member "name", which is not taken here; leave it out.`},
		{"what nobody knows", messages{}, `{"messages":[{"role":"user","content":"pay bob","foo":1}]}`,
			`A message has the member "foo", which is not taken here; leave it out.`},
		{"in other letters", messages{}, `{"messages":[{"role":"user","Content":"pay bob"}]}`,
			`A message has the member "Content", which is not taken here; leave it out.`},
		{"what is quoted", messages{}, `{"messages":[{"role":"user","content":[{"type":"text","text":"pay bob","citations":[{"cited_text":"pay bob"}]}]}]}`,
			`A part of a message has the member "citations", which is not taken here; leave it out.`},
		{"in a system text", messages{}, `{"system":[{"type":"text","text":"a","foo":1}],"messages":[{"role":"user","content":"x"}]}`,
			`A part of a message has the member "foo", which is not taken here; leave it out.`},
		{"what was not completed", responses{}, `{"input":[{"type":"message","role":"user","status":"incomplete","content":"pay bob"}]}`,
			`A message has the status "incomplete"; only what is completed is taken here.`},
		{"a call of the user's", chat{}, `{"messages":[{"role":"user","content":"x","tool_calls":[{"id":"1"}]}]}`,
			`A message has the member "tool_calls", which is not taken here; leave it out.`},
		{"a call of another kind", chat{}, `{"messages":[{"role":"assistant","content":"","tool_calls":[{"id":"1","type":"custom","custom":{"input":"a"}}]},{"role":"user","content":"x"}]}`,
			`A tool call has the member "custom", which is not taken here; leave it out.`},
		{"what a result has not", messages{}, `{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"9","foo":1}]}]}`,
			`A part of a message has the member "foo", which is not taken here; leave it out.`},
		{"what an output has not", responses{}, `{"input":[{"type":"function_call_output","call_id":"x","output":"9","foo":1}]}`,
			`A function call's output has the member "foo", which is not taken here; leave it out.`},
		{"two answers", chat{}, `{"n":2,"messages":[{"role":"user","content":"x"}]}`, `"n" is 2; one answer is given.`},
		{"a wrong type", chat{}, `{"messages":3}`, `"messages" has not the type that it must have.`},
	} {
		var body map[string]json.RawMessage
		if err := json.Unmarshal([]byte(tt.body), &body); err != nil {
			t.Fatal(err)
		}
		r, err := tt.dia.readRequest(body)
		got := r.text
		if err != nil {
			got = err.Error()
		}
		if got != tt.text {
			t.Errorf("%s: got %q, want %q", tt.rule, got, tt.text)
		}
	}
}

func TestResultsGoOnWithTheirRun(t *testing.T) {
	id := clientCall{effect: wire.Ref{Seq: 3, Index: 1}}.id(someSession)
	for _, tt := range []struct {
		dia  dialect
		body string
		want string // or what is wrong
	}{
		{chat{}, `{"messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[]},{"role":"tool","tool_call_id":"` + id + `","content":"9"}]}`, "9"},
		{responses{}, `{"input":[{"type":"function_call_output","call_id":"` + id + `","output":"9"}]}`, "9"},
		{messages{}, `{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"` + id + `","content":[{"type":"text","text":"9"}],"is_error":true}]}]}`, "9 failed"},
		{messages{}, `{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"9"},{"type":"text","text":"and?"}]}]}`,
			"The newest message has results of tools and a text; send the results alone."},
	} {
		var body map[string]json.RawMessage
		if err := json.Unmarshal([]byte(tt.body), &body); err != nil {
			t.Fatal(err)
		}
		r, err := tt.dia.readRequest(body)
		got := ""
		if err != nil {
			got = err.Error()
		} else if len(r.reports) == 1 && r.text == "" && r.reports[0].id == id {
			got = r.reports[0].output
			if r.reports[0].failed {
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

func TestEachDialectSaysWhatTheAnswerMustLookLike(t *testing.T) {
	for _, tt := range []struct {
		dia        dialect
		body, want string
	}{
		{chat{}, `{"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{"type":"array"}}},"messages":[{"role":"user","content":"x"}]}`, `{"type":"array"}`},
		{chat{}, `{"response_format":{"type":"json_object"},"messages":[{"role":"user","content":"x"}]}`, `{"type":"object"}`},
		{chat{}, `{"response_format":{"type":"text"},"messages":[{"role":"user","content":"x"}]}`, ""},
		{responses{}, `{"text":{"format":{"type":"json_schema","name":"a","schema":{"type":"array"}},"verbosity":"low"},"input":"x"}`, `{"type":"array"}`},
		{messages{}, `{"output_config":{"format":{"type":"json_schema","schema":{"type":"array"}}},"messages":[{"role":"user","content":"x"}]}`, `{"type":"array"}`},
		{messages{}, `{"output_format":{"type":"json_schema","schema":{"type":"array"}},"messages":[{"role":"user","content":"x"}]}`, `{"type":"array"}`},
	} {
		var body map[string]json.RawMessage
		if err := json.Unmarshal([]byte(tt.body), &body); err != nil {
			t.Fatal(err)
		}
		if r, err := tt.dia.readRequest(body); err != nil || string(r.schema) != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.body, r.schema, err, tt.want)
		}
	}
}

// One tool that must be called is structured output, and what came of its call goes on as a conversation.
func TestAToolThatMustBeCalledIsTheAnswersForm(t *testing.T) {
	const schema = `{"description":"A person.","title":"person","type":"object"}`
	for _, tt := range []struct {
		dia  dialect
		body string
	}{
		{chat{}, `{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"other"}},
			{"type":"function","function":{"name":"person","description":"A person.","parameters":{"type":"object"}}}],
			"tool_choice":{"type":"function","function":{"name":"person"}}}`},
		{chat{}, `{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"person",
			"description":"A person."}}],"tool_choice":"required"}`},
		{responses{}, `{"input":"x","tools":[{"type":"function","name":"person","description":"A person."}],
			"tool_choice":{"type":"function","name":"person"}}`},
		{messages{}, `{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"person","description":"A person.",
			"input_schema":{"type":"object"}}],"tool_choice":{"type":"tool","name":"person"}}`},
		{messages{}, `{"messages":[{"role":"user","content":"x"}],"tools":[{"name":"person","description":"A person.",
			"input_schema":{"type":"object"}}],"tool_choice":{"type":"any"}}`},
	} {
		var body map[string]json.RawMessage
		if err := json.Unmarshal([]byte(tt.body), &body); err != nil {
			t.Fatal(err)
		}
		r, err := tt.dia.readRequest(body)
		if err != nil || r.forced != "person" || string(r.schema) != schema || r.tools != nil {
			t.Errorf("%s: %+v, %s, %v", tt.body, r, r.schema, err)
		}
	}
	e := ending{Run: someSession, Reason: "answered", text: `{"name":"bob"}`}
	e.answerByCall(request{forced: "person"})
	id := e.calls[0].id(e.Run)
	whole, err := json.Marshal(messages{}.writeWhole(request{}, e))
	if err != nil || !bytes.Contains(whole, []byte(`"content":[{"id":"`+id+`","input":{"name":"bob"},"name":"person","type":"tool_use"}]`)) ||
		!bytes.Contains(whole, []byte(`"stop_reason":"tool_use"`)) {
		t.Errorf("the answer is %s, %v", whole, err)
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal([]byte(`{"messages":[{"role":"user","content":"who?"},
		{"role":"assistant","content":[{"type":"tool_use","id":"`+id+`","name":"person","input":{"name":"bob"}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"`+id+`","content":"noted"}]}]}`), &body); err != nil {
		t.Fatal(err)
	}
	const told = "[user]\nwho?\n\n[call of person]\n{\"name\":\"bob\"}\n\n[result]\nnoted"
	if r, err := (messages{}).readRequest(body); err != nil || r.text != told || r.reports != nil {
		t.Errorf("what came of it is %q, %v, %v", r.text, r.reports, err)
	}
	waits := ending{Reason: "waiting", text: "This waits."}
	if waits.answerByCall(request{forced: "person"}); waits.calls != nil || waits.text == "" {
		t.Error("what is no answer became a call")
	}
}

// What would be another thing if it were left out is refused, and what is left out is told.
func TestNothingIsLeftOutInSilence(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{`{"model":"m","messages":[{"role":"user","content":"x"}],"temperature":0.2,"seed":7,"tools":[],"stop":null}`, "[seed temperature]"},
		{`{"messages":[{"role":"user","content":"x"}],"tools":[{}]}`,
			`A tool has the type "", or no name; only functions of the client's own are taken here.`},
		{`{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"web_search"}]}`,
			`A tool has the type "web_search", or no name; only functions of the client's own are taken here.`},
		{`{"messages":[{"role":"user","content":"x"}],"tool_choice":"required"}`,
			`"tool_choice" can be auto, none, or one tool that is called as the answer: which of several is called is the model's choice.`},
		{`{"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"allowed_tools"}}`,
			`"tool_choice" can be auto, none, or one tool that is called as the answer.`},
		{`{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"g"}}}`,
			`"tool_choice" can be auto, none, or one tool that is called as the answer: which of several is called is the model's choice.`},
		{`{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required","response_format":{"type":"json_object"}}`,
			`The answer must be a call of "f" and have a format of its own; ask for one of them.`},
		{`{"messages":[{"role":"user","content":"x"}],"functions":[{}]}`, `"functions" is not taken here; leave it out.`},
		{`{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"grammar"}}`,
			`An answer cannot have the format "grammar"; text, json_object and json_schema are taken.`},
		{`{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema"}}`,
			`A format of the type json_schema has no schema.`},
		{`[]`, "The body is not a JSON object."},
	} {
		r, err := http.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		_, ignored, err := readBody(nil, r, chat{}, maxBody)
		got := "[" + strings.Join(ignored, " ") + "]"
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.body, got, tt.want)
		}
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

// Images of a conversation are attached, each once, in every dialect that has them.
func TestImagesAreAttached(t *testing.T) {
	const png = "iVBORw0KGgo=" // as they all begin
	for name, tt := range map[string]struct {
		dia  dialect
		body string
	}{
		"Chat Completions": {chat{}, `{"messages":[{"role":"user","content":[{"type":"text","text":"what is it"},
			{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `","detail":"low"}},
			{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `"}}]}]}`},
		"Responses": {responses{}, `{"input":[{"role":"user","content":[{"type":"input_text","text":"what is it"},
			{"type":"input_image","image_url":"data:image/jpeg;base64,` + png + `","detail":"auto"}]}]}`},
		"Messages": {messages{}, `{"messages":[{"role":"user","content":[
			{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}},{"type":"text","text":"what is it"}]}]}`},
	} {
		var body map[string]json.RawMessage
		if err := json.Unmarshal([]byte(tt.body), &body); err != nil {
			t.Fatal(err)
		}
		r, err := tt.dia.readRequest(body)
		if err != nil || r.text != "what is it" || len(r.files) != 1 || r.files[0].Type != "image/png" || r.files[0].Size != 8 ||
			len(r.data) != 1 {
			t.Errorf("%s: %q with %+v, %v", name, r.text, r.files, err)
		}
	}
}
