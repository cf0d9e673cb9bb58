package dialect_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
)

// lines makes a stream of events, one a line.
func lines(events string) string {
	var out strings.Builder
	for _, l := range strings.Split(strings.TrimSpace(events), "\n") {
		out.WriteString("data: " + strings.TrimSpace(l) + "\n\n")
	}
	return out.String()
}

const (
	begun   = `{"type":"message_start","message":{"id":"m1","model":"m-2","usage":{"input_tokens":5,"output_tokens":1}}}` + "\n"
	said    = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}` + "\n" + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}` + "\n" + `{"type":"content_block_stop","index":0}` + "\n"
	toolUse = `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"erc20__balance","input":{}}}` + "\n" + `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}` + "\n"
	closed  = `{"type":"content_block_stop","index":1}` + "\n"
	stopped = `{"type":"message_stop"}`
)

func ended(why string) string {
	return `{"type":"message_delta","delta":{"stop_reason":"` + why + `"},"usage":{"output_tokens":7}}` + "\n"
}

func TestAMessageOrAResponseIsReadWholeOrNotAtAll(t *testing.T) {
	used := model.Usage{In: 5, Out: 7}
	calls := []model.Call{{ID: "t1", Tool: "erc20.balance", Args: []byte(`{"a":1}`)}}
	message := func(r model.Reply) model.Reply { r.ID, r.Model, r.Usage = "m1", "m-2", used; return r }
	done := func(status, output, more string) string {
		return `{"type":"response.completed","response":{"id":"r1","model":"m-2","status":"` + status + `","output":[` + output + `],"usage":{"input_tokens":5,"output_tokens":7}` + more + `}}`
	}
	text := `{"type":"message","content":[{"type":"output_text","text":"hi"}]}`
	fcall := `{"type":"function_call","call_id":"t1","name":"erc20__balance","arguments":"{\"a\":1}"}`
	delta := func(n, word string) string {
		return `{"type":"response.output_text.delta","sequence_number":` + n + `,"output_index":0,"content_index":0,"delta":"` + word + `"}` + "\n"
	}
	response := func(r model.Reply) model.Reply { r.ID, r.Model, r.Usage = "r1", "m-2", used; return r }
	for _, c := range []struct {
		name, dialect, events string
		want                  model.Reply
		refused               bool
	}{
		{"text", dialect.Messages, begun + said + ended("end_turn") + stopped, message(model.Reply{Text: "hi", Stop: model.StopEnd}), false},
		{"a call", dialect.Messages, begun + said + toolUse + closed + ended("tool_use") + stopped, message(model.Reply{Text: "hi", Calls: calls, Stop: model.StopTools}), false},
		{"a call that the limit cut is not passed on", dialect.Messages, begun + toolUse + closed + ended("max_tokens") + stopped, message(model.Reply{Stop: model.StopLength}), false},
		{"a refusal", dialect.Messages, begun + said + ended("refusal") + stopped, message(model.Reply{Text: "hi", Stop: model.StopFilter}), false},
		{"a context that is full", dialect.Messages, begun + said + ended("model_context_window_exceeded") + stopped, message(model.Reply{Text: "hi", Stop: model.StopLength}), false},
		{"events of types to come", dialect.Messages, begun + `{"type":"later"}` + "\n" + said + ended("end_turn") + stopped, message(model.Reply{Text: "hi", Stop: model.StopEnd}), false},
		{"a message in one piece", dialect.Messages, `{"type":"message","id":"m1","model":"m-2","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":7}}`, message(model.Reply{Text: "hi", Stop: model.StopEnd}), false},
		{"a part that never ended", dialect.Messages, begun + toolUse + ended("tool_use") + stopped, model.Reply{}, true},
		{"no stop reason", dialect.Messages, begun + said + stopped, model.Reply{}, true},
		{"a pause nobody asked for", dialect.Messages, begun + said + ended("pause_turn") + stopped, model.Reply{}, true},
		{"two beginnings of two models", dialect.Messages, begun + strings.Replace(begun, "m-2", "m-3", 1) + said + ended("end_turn") + stopped, model.Reply{}, true},
		{"two beginnings", dialect.Messages, begun + begun + said + ended("end_turn") + stopped, model.Reply{}, true},
		{"a part twice", dialect.Messages, begun + said + said + ended("end_turn") + stopped, model.Reply{}, true},
		{"text after the end", dialect.Messages, begun + said + ended("end_turn") + toolUse + stopped, model.Reply{}, true},
		{"no beginning", dialect.Messages, said + ended("end_turn") + stopped, model.Reply{}, true},
		{"a tool of the provider's own", dialect.Messages, begun + strings.ReplaceAll(toolUse, "tool_use", "server_tool_use") + closed + ended("end_turn") + stopped, model.Reply{}, true},
		{"arguments in a text", dialect.Messages, begun + strings.ReplaceAll(said, "text_delta", "input_json_delta") + ended("end_turn") + stopped, model.Reply{}, true},

		{"a response", dialect.Responses, delta("1", "h") + delta("2", "i") + done("completed", text, ""), response(model.Reply{Text: "hi", Stop: model.StopEnd}), false},
		{"a response whose end leaves out what came", dialect.Responses, delta("1", "hi") + `{"type":"response.output_item.done","output_index":0,"item":` + text + "}\n" + done("completed", "", ""), response(model.Reply{Text: "hi", Stop: model.StopEnd}), false},
		{"a response by an alias and then its version", dialect.Responses, `{"type":"response.created","response":{"id":"r1","model":"m-2"}}` + "\n" + delta("1", "hi") + strings.Replace(done("completed", text, ""), `"m-2"`, `"m-2-2024-08-06"`, 1), model.Reply{ID: "r1", Model: "m-2-2024-08-06", Usage: used, Text: "hi", Stop: model.StopEnd}, false},
		{"a response of two models", dialect.Responses, `{"type":"response.created","response":{"id":"r1","model":"m-3"}}` + "\n" + delta("1", "hi") + done("completed", text, ""), model.Reply{}, true},
		{"a call of a response", dialect.Responses, done("completed", fcall, ""), response(model.Reply{Calls: calls, Stop: model.StopTools}), false},
		{"a response that was cut", dialect.Responses, done("incomplete", fcall, `,"incomplete_details":{"reason":"max_output_tokens"}`), response(model.Reply{Stop: model.StopLength}), false},
		{"a response that was withheld", dialect.Responses, done("incomplete", text, `,"incomplete_details":{"reason":"content_filter"}`), response(model.Reply{Text: "hi", Stop: model.StopFilter}), false},
		{"a response that refuses", dialect.Responses, done("completed", `{"type":"message","content":[{"type":"refusal","refusal":"no"}]}`, ""), response(model.Reply{Text: "no", Stop: model.StopFilter}), false},
		{"a number twice", dialect.Responses, delta("1", "h") + delta("1", "h") + done("completed", text, ""), model.Reply{}, true},
		{"other words at the end than in pieces", dialect.Responses, delta("1", "ho") + done("completed", text, ""), model.Reply{}, true},
		{"a call that is missing at the end", dialect.Responses, `{"type":"response.output_item.added","output_index":1,"item":` + fcall + "}\n" + done("completed", text, ""), model.Reply{}, true},
		{"other arguments at the end", dialect.Responses, `{"type":"response.output_item.added","output_index":0,"item":` + strings.ReplaceAll(fcall, "1}", "2}") + "}\n" + done("completed", fcall, ""), model.Reply{}, true},
		{"no end", dialect.Responses, delta("1", "hi"), model.Reply{}, true},
		{"a response that failed", dialect.Responses, delta("1", "hi") + done("failed", "", `,"error":{"code":"server_error","message":"x"}`), model.Reply{}, true},
		{"a response after the end", dialect.Responses, done("completed", text, "") + "\n" + delta("9", "x"), model.Reply{}, true},
		{"a tool of OpenAI's own", dialect.Responses, done("completed", `{"type":"web_search_call"}`, ""), model.Reply{}, true},
	} {
		got, counted, err := dialect.Read(c.dialect, []byte(lines(c.events)), dialect.Question{Model: "m", Tools: []string{"erc20.balance"}})
		if (err != nil) != c.refused || !reflect.DeepEqual(got, c.want) || err == nil && !counted {
			t.Errorf("%s: got %+v, counted %v, %v; want %+v", c.name, got, counted, err, c.want)
		}
	}
}

func TestWhatAMessageBeginsWithIsNoCountOfIt(t *testing.T) {
	events := begun + said + `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}` + "\n" + stopped
	if _, counted, err := dialect.Read(dialect.Messages, []byte(lines(events)), dialect.Question{}); err != nil || counted {
		t.Errorf("counted %v, %v", counted, err)
	}
}

// Chunks of one stream are of one model. A provider writes an alias and what stands behind it, with or without the
// vendor's name, or leaves the name out; another model's name is its fault.
func TestAStreamIsOfOneModel(t *testing.T) {
	for _, c := range []struct {
		names   string // of three chunks
		refused bool
	}{
		{"gpt-4o gpt-4o gpt-4o", false}, {"gpt-4o-2024-08-06 gpt-4o-2024-08-06 gpt-4o-2024-08-06", false},
		{"gpt-4o gpt-4o-2024-08-06 gpt-4o", false}, {"openai/gpt-4o gpt-4o-2024-08-06 gpt-4o", false},
		{"- gpt-4o gpt-4o", false}, {"gpt-4o - -", false}, {"GPT-4o gpt-4o:free gpt-4o-latest", false},
		{"qwen3:8b qwen3:8b qwen3", false}, {"gpt-3.5-turbo gpt-3.5-turbo-0613 -", false},
		{"gpt-4o gpt-4o-mini gpt-4o-mini", true}, {"gpt-4o gpt-4o gpt-3.5-turbo", true}, {"small-2 small-3 small-2", true},
		{"claude-sonnet-4 claude-sonnet-4-5 -", true}, {"llama-3.1-70b - llama-3.1-8b", true}, {"m m-2024x m", true},
	} {
		var events []string
		for i, name := range strings.Fields(c.names) {
			name = strings.TrimPrefix(name, "-")
			rest := `"delta":{"content":"a"}`
			if i == 2 {
				rest = `"delta":{},"finish_reason":"stop"`
			}
			events = append(events, `{"id":"1","model":"`+name+`","choices":[{"index":0,`+rest+`}]}`)
		}
		r, _, err := dialect.Read(dialect.Chat, []byte(lines(strings.Join(events, "\n"))), dialect.Question{Model: "asked"})
		if (err != nil) != c.refused || err == nil && r.Text != "aa" {
			t.Errorf("%s: %q, %v", c.names, r.Text, err)
		}
	}
}

func TestNamesTellWhichModelAnswered(t *testing.T) {
	for _, c := range []struct {
		asked, answered string
		same            bool
	}{
		{"gpt-4o", "gpt-4o-2024-08-06", true}, {"claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", true},
		{"openai/gpt-4o", "gpt-4o-2024-08-06", true}, {"meta/llama:free", "meta/llama", true}, {"m", "m", true},
		{"gpt-4o", "gpt-3.5-turbo", false}, {"claude-opus-4", "claude-haiku-4", false}, {"m", "", false},
		{"gpt-4o", "gpt-4o-mini", false}, {"gpt-4", "gpt-4-32k", false}, {"gpt-4", "gpt-4-1106-preview", false},
		{"claude-opus-4", "claude-opus-4-1-20250805", false}, {"gpt-4o-2024-08-06", "gpt-4o", false}, {"", "m", false},
		{"mistral-large-latest", "mistral-large-2411", true}, {"gemini-1.5-pro", "models/gemini-1.5-pro-002", true},
		{"claude-sonnet-4", "claude-sonnet-4@20250514", true}, {"gpt-4", "gpt-4-0613", true}, {"m", "m-", false},
	} {
		if got := dialect.IsSameModel(c.asked, c.answered); got != c.same {
			t.Errorf("%s answered by %s: %v", c.asked, c.answered, got)
		}
	}
}

// Whatever comes, a reply is whole, and no part of what is counted is more than all of it.
func FuzzReadParts(f *testing.F) {
	f.Add(true, lines(begun+said+toolUse+closed+ended("tool_use")+stopped))
	f.Add(false, lines(`{"type":"response.completed","response":{"id":"r1","status":"completed","output":[],"usage":{"input_tokens":5,"output_tokens":7}}}`))
	f.Fuzz(func(t *testing.T, messages bool, response string) {
		name := dialect.Responses
		if messages {
			name = dialect.Messages
		}
		r, _, err := dialect.Read(name, []byte(response), dialect.Question{Model: "m"})
		u := r.Usage
		if err == nil && (r.Stop == "" || (r.Stop == model.StopTools) != (len(r.Calls) > 0) ||
			messages && (u.CachedIn+u.Write5m+u.Write1h > u.In && u.In < 1<<50 || min(u.In, u.Out, u.CachedIn, u.Write5m, u.Write1h) < 0)) {
			t.Errorf("%q is read as %+v", response, r)
		}
	})
}
