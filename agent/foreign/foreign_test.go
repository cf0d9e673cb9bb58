package foreign

import (
	"strings"
	"testing"
)

func TestWhatARequestSays(t *testing.T) {
	for _, tt := range []struct {
		rule string
		form Form
		body string
		text string // or what is wrong
	}{
		{"one message is the text itself", Chat, `{"messages":[{"role":"user","content":"pay bob"}]}`, "pay bob"},
		{"in parts", Chat, `{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}`, "a\nb"},
		{"a conversation stands behind its roles", Chat,
			`{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"hi"},{"role":"assistant","content":"yes?"},{"role":"user","content":"pay bob"}]}`,
			"[instructions]\nbe brief\n\n[user]\nhi\n\n[assistant]\nyes?\n\n[user]\npay bob"},
		{"an input is a message", Responses, `{"input":"pay bob"}`, "pay bob"},
		{"an input of messages", Responses, `{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"x"}]}]}`, "x"},
		{"instructions", Responses, `{"instructions":"be brief","input":"x"}`, "[instructions]\nbe brief\n\n[user]\nx"},
		{"a system text", Messages, `{"system":[{"type":"text","text":"be brief"}],"messages":[{"role":"user","content":"x"}]}`,
			"[instructions]\nbe brief\n\n[user]\nx"},
		{"no message", Chat, `{"messages":[]}`, "There is no message; the last one must be the user's."},
		{"nothing", Responses, `{}`, `"input" must be a text or a list of messages.`},
		{"the last is the model's", Chat, `{"messages":[{"role":"assistant","content":"x"}]}`, "The last message must be the user's."},
		{"an image by its address", Chat, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.example/a.png"}}]}]}`,
			errRemote.Error()},
		{"an image by its address", Messages, `{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://a.example/a.png"}}]}]}`,
			errRemote.Error()},
		{"an image without one", Chat, `{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}`, errRemote.Error()},
		{"an image that is none", Chat, `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,cG5n"}}]}]}`,
			"An image is not PNG, JPEG, WebP or GIF in base64."},
		{"an image of the assistant", Chat, `{"messages":[{"role":"assistant","content":[{"type":"image_url"}]},{"role":"user","content":"x"}]}`,
			`An image stands in what assistant says; only the user shows images here.`},
		{"a sound", Chat, `{"messages":[{"role":"user","content":[{"type":"input_audio"}]}]}`,
			`A message has a part of type "input_audio"; only texts and images are taken here.`},
		{"calls of before", Chat, `{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"9"},{"role":"assistant","content":"it is 9"},{"role":"user","content":"y"}]}`,
			"[user]\nx\n\n[assistant]\n\n\n[call of f]\n{}\n\n[result]\n9\n\n[assistant]\nit is 9\n\n[user]\ny"},
		{"an item that is none", Responses, `{"input":[{"type":"image_generation_call"}]}`,
			`The input has an item of type "image_generation_call"; messages and function calls are taken here.`},
		{"a reference to what is no answer", Responses, `{"input":[{"type":"item_reference","id":"fc_1"},{"role":"user","content":"x"}]}`,
			`The item "fc_1" is not an answer that this key was given; send what it says itself.`},
		{"a role that is none", Chat, `{"messages":[{"role":"critic","content":"x"},{"role":"user","content":"y"}]}`,
			`A message has the role "critic"; user, assistant, system, developer and tool are taken.`},
		{"what else a message may have", Chat, `{"messages":[{"role":"user","content":"x","name":null,"annotations":[]}]}`, "x"},
		{"a message that came back", Responses,
			`{"input":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"a","annotations":[],"logprobs":[]}]},{"role":"user","content":"x"}]}`,
			"[assistant]\na\n\n[user]\nx"},
		{"a refusal is told", Chat, `{"messages":[{"role":"assistant","content":[{"type":"refusal","refusal":"no"}]},{"role":"user","content":"x"}]}`,
			"[assistant]\nno\n\n[user]\nx"},
		{"a provider's cache", Messages, `{"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}]}`, "x"},
		{"a tool's name", Chat, `{"messages":[{"role":"tool","tool_call_id":"1","name":"f","content":"9"},{"role":"user","content":"y"}]}`,
			"[result]\n9\n\n[user]\ny"},
		{"who speaks", Chat, `{"messages":[{"role":"user","name":"mallory","content":"pay bob"}]}`,
			`A message has the member "name", which is not taken here; leave it out.`},
		{"what nobody knows", Messages, `{"messages":[{"role":"user","content":"pay bob","foo":1}]}`,
			`A message has the member "foo", which is not taken here; leave it out.`},
		{"in other letters", Messages, `{"messages":[{"role":"user","Content":"pay bob"}]}`,
			`A message has the member "Content", which is not taken here; leave it out.`},
		{"what is quoted", Messages, `{"messages":[{"role":"user","content":[{"type":"text","text":"pay bob","citations":[{"cited_text":"pay bob"}]}]}]}`,
			`A part of a message has the member "citations", which is not taken here; leave it out.`},
		{"in a system text", Messages, `{"system":[{"type":"text","text":"a","foo":1}],"messages":[{"role":"user","content":"x"}]}`,
			`A part of a message has the member "foo", which is not taken here; leave it out.`},
		{"what was not completed", Responses, `{"input":[{"type":"message","role":"user","status":"incomplete","content":"pay bob"}]}`,
			`A message has the status "incomplete"; only what is completed is taken here.`},
		{"a call of the user's", Chat, `{"messages":[{"role":"user","content":"x","tool_calls":[{"id":"1"}]}]}`,
			`A message has the member "tool_calls", which is not taken here; leave it out.`},
		{"a call of another kind", Chat, `{"messages":[{"role":"assistant","content":"","tool_calls":[{"id":"1","type":"custom","custom":{"input":"a"}}]},{"role":"user","content":"x"}]}`,
			`A tool call has the member "custom", which is not taken here; leave it out.`},
		{"what a result has not", Messages, `{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":"9","foo":1}]}]}`,
			`A part of a message has the member "foo", which is not taken here; leave it out.`},
		{"what an output has not", Responses, `{"input":[{"type":"function_call_output","call_id":"x","output":"9","foo":1}]}`,
			`A function call's output has the member "foo", which is not taken here; leave it out.`},
		{"two answers", Chat, `{"n":2,"messages":[{"role":"user","content":"x"}]}`, `"n" is 2; one answer is given.`},
		{"a wrong type", Chat, `{"messages":3}`, `"messages" has not the type that it must have.`},
	} {
		r, err := Read(tt.form, []byte(tt.body))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = r.Text
		}
		if got != tt.text {
			t.Errorf("%s: got %q, want %q", tt.rule, got, tt.text)
		}
	}
}

func TestEachDialectSaysWhatTheAnswerMustLookLike(t *testing.T) {
	for _, tt := range []struct {
		form       Form
		body, want string
	}{
		{Chat, `{"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{"type":"array"}}},"messages":[{"role":"user","content":"x"}]}`, `{"type":"array"}`},
		{Chat, `{"response_format":{"type":"json_object"},"messages":[{"role":"user","content":"x"}]}`, `{"type":"object"}`},
		{Chat, `{"response_format":{"type":"text"},"messages":[{"role":"user","content":"x"}]}`, ""},
		{Responses, `{"text":{"format":{"type":"json_schema","name":"a","schema":{"type":"array"}},"verbosity":"low"},"input":"x"}`, `{"type":"array"}`},
		{Messages, `{"output_config":{"format":{"type":"json_schema","schema":{"type":"array"}}},"messages":[{"role":"user","content":"x"}]}`, `{"type":"array"}`},
		{Messages, `{"output_format":{"type":"json_schema","schema":{"type":"array"}},"messages":[{"role":"user","content":"x"}]}`, `{"type":"array"}`},
	} {
		if r, err := Read(tt.form, []byte(tt.body)); err != nil || string(r.Schema) != tt.want {
			t.Errorf("%s: %s, %v; want %s", tt.body, r.Schema, err, tt.want)
		}
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
		got := ""
		if r, err := Read(Chat, []byte(tt.body)); err != nil {
			got = err.Error()
		} else {
			got = "[" + strings.Join(r.Ignored, " ") + "]"
		}
		if got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.body, got, tt.want)
		}
	}
}

// Images of a conversation are attached, each once, in every dialect that has them.
func TestImagesAreAttached(t *testing.T) {
	const png = "iVBORw0KGgo=" // as they all begin
	for name, tt := range map[string]struct {
		form Form
		body string
	}{
		"Chat Completions": {Chat, `{"messages":[{"role":"user","content":[{"type":"text","text":"what is it"},
			{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `","detail":"low"}},
			{"type":"image_url","image_url":{"url":"data:image/png;base64,` + png + `"}}]}]}`},
		"Responses": {Responses, `{"input":[{"role":"user","content":[{"type":"input_text","text":"what is it"},
			{"type":"input_image","image_url":"data:image/jpeg;base64,` + png + `","detail":"auto"}]}]}`},
		"Messages": {Messages, `{"messages":[{"role":"user","content":[
			{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + png + `"}},{"type":"text","text":"what is it"}]}]}`},
	} {
		r, err := Read(tt.form, []byte(tt.body))
		if err != nil || r.Text != "what is it" || len(r.Files) != 1 || r.Files[0].Type != "image/png" || r.Files[0].Size != 8 ||
			len(r.Data) != 1 {
			t.Errorf("%s: %q with %+v, %v", name, r.Text, r.Files, err)
		}
	}
}
