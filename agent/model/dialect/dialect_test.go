package dialect_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
)

func event(data string) string { return "data: " + data + "\n\n" }

func delta(d, finish string) string {
	if finish != "null" {
		finish = `"` + finish + `"`
	}
	return event(`{"id":"c1","model":"m-2","choices":[{"index":0,"delta":` + d + `,"finish_reason":` + finish + `}]}`)
}

const (
	counted = `data: {"id":"c1","choices":[],"usage":{"prompt_tokens":50,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":3}}}` + "\n\n"
	done    = "data: [DONE]\n\n"
)

func TestAResponseIsReadWholeOrNotAtAll(t *testing.T) {
	asked := dialect.Question{Model: "m", Tools: []string{"erc20.balance", "a__b"}}
	used := model.Usage{In: 50, Out: 7, CachedIn: 3}
	call := func(name string) []model.Call {
		return []model.Call{{ID: "call-1", Tool: name, Args: []byte(`{"a":1}`)}}
	}
	for _, c := range []struct {
		name, dialect, response string
		want                    model.Reply
		refused                 bool
	}{
		{"text in pieces", dialect.Chat, delta(`{"content":"Al"}`, "null") + ": note\r\n\r\n" + delta(`{"content":"ice"}`, "null") +
			delta(`{}`, "stop") + counted + done,
			model.Reply{Text: "Alice", Stop: model.StopEnd, Model: "m-2", ID: "c1", Usage: used}, false},
		{"a call, its name as it is here", dialect.Chat, delta(`{"tool_calls":[{"index":0,"function":{"name":"erc20__balance","arguments":"{\"a\""}}]}`, "null") +
			delta(`{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}`, "null") + delta(`{}`, "tool_calls") + done,
			model.Reply{Calls: call("erc20.balance"), Stop: model.StopTools, Model: "m-2", ID: "c1"}, false},
		{"a call of a tool whose name has no dot", dialect.Chat,
			delta(`{"tool_calls":[{"index":0,"function":{"name":"a__b","arguments":"{\"a\":1}"}}]}`, "tool_calls") + done,
			model.Reply{Calls: call("a__b"), Stop: model.StopTools, Model: "m-2", ID: "c1"}, false},
		{"a call written as JSON", dialect.ChatJSON, delta(`{"content":"{\"tool\":\"pay\",\"args\":{\"a\":1}}"}`, "stop") + counted + done,
			model.Reply{Calls: call("pay"), Stop: model.StopTools, Model: "m-2", ID: "c1", Usage: used}, false},
		{"nobody is named", dialect.Chat, event(`{"choices":[{"delta":{"content":"x"},"finish_reason":"length"}]}`) + done,
			model.Reply{Text: "x", Stop: model.StopLength, Model: "m"}, false},
		{"an end that never came", dialect.Chat, delta(`{"content":"x"}`, "null"), model.Reply{}, true},
		{"something after the end", dialect.Chat, delta(`{"content":"x"}`, "stop") + done + delta(`{"content":"y"}`, "stop"), model.Reply{}, true},
		{"an error within", dialect.Chat, delta(`{"content":"x"}`, "null") + event(`{"error":{"message":"no"}}`) + done, model.Reply{}, true},
		{"no finish", dialect.Chat, delta(`{"content":"x"}`, "null") + done, model.Reply{}, true},
		{"no JSON where it should be", dialect.ChatJSON, delta(`{"content":"hello"}`, "stop") + done, model.Reply{}, true},
		{"an unknown dialect", "esperanto", delta(`{"content":"x"}`, "stop") + done, model.Reply{}, true},
	} {
		got, _, err := dialect.Read(c.dialect, []byte(c.response), asked)
		if (err != nil) != c.refused || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func TestWhetherTokensWereCountedIsTold(t *testing.T) {
	for _, c := range []struct {
		response string
		want     bool
	}{{counted, true}, {"", false}} {
		_, got, err := dialect.Read(dialect.Chat, []byte(delta(`{"content":"x"}`, "stop")+c.response+done), dialect.Question{})
		if err != nil || got != c.want {
			t.Errorf("%q: counted %v, %v", c.response, got, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(delta(`{"content":"x"}`, "stop") + counted + done)
	f.Add(strings.ReplaceAll(delta(`{"content":"x"}`, "stop")+done, "\n", "\r\n"))
	f.Fuzz(func(t *testing.T, response string) {
		r, _, err := dialect.Read(dialect.Chat, []byte(response), dialect.Question{Model: "m"})
		if err == nil && (r.Stop == "" || r.Model == "" || (r.Stop == model.StopTools) != (len(r.Calls) > 0)) {
			t.Errorf("%q is read as %+v", response, r)
		}
	})
}
