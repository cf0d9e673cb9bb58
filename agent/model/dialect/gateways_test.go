package dialect

import (
	"fmt"
	"strings"
	"testing"
)

// What servers and gateways make of the three dialects: read where the meaning is sure, and else refused. Each line of an
// answer is the data of one event; an answer of one dialect stands for the same in the others where they are alike.
func TestWhatGatewaysMakeOfTheDialects(t *testing.T) {
	q := Question{Model: "small", Tools: []string{"erc20.balance", "erc20.transfer", "chain.block"}}
	const (
		hi   = `{"choices":[{"index":0,"delta":{"content":"Hi."}}]}`
		end  = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
		call = `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"1","function":{"name":"erc20__transfer","arguments":"{\"to\":\"bob\"}"}}]}}]}`
		old  = `{"choices":[{"index":0,"delta":{"function_call":{"name":"erc20__transfer","arguments":"{\"to\":\"bob\"}"}}}]}`
		uses = `{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`

		start = `{"type":"message_start","message":{"id":"m","model":"small","usage":{"input_tokens":5,"output_tokens":1}}}`
		text  = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"Hi."}}`
		stop  = `{"type":"content_block_stop","index":0}`
		piece = `{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{\"to\": \"bob\"}"}}`
		used  = `{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":7}}`

		made  = `{"type":"response.created","response":{"id":"r","model":"small"}}`
		delta = `{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hi."}`
		said  = `{"type":"message","content":[{"type":"output_text","text":"Hi."}]}`
	)
	counts := func(s string) string { return hi + "\n" + end + "\n" + `{"choices":[],"usage":` + s + `}` }
	ends := func(s string) string {
		return hi + "\n" + `{"choices":[{"index":0,"delta":{},"finish_reason":` + s + `}]}`
	}
	begins := func(input string) string {
		return start + "\n" + `{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"1","name":"erc20__transfer","input":` + input + `}}`
	}
	counted := func(s string) string {
		return start + "\n" + text + "\n" + stop + "\n" + `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":` + s + `}`
	}
	item := func(name, args string) string {
		return `{"type":"function_call","call_id":"c","name":"` + name + `","arguments":"` + strings.ReplaceAll(args, `"`, `\"`) + `"}`
	}
	at := func(kind, name, args string) string {
		return `{"type":"response.output_item.` + kind + `","output_index":0,"item":` + item(name, args) + `}`
	}
	whole := func(output, usage string) string {
		return `{"type":"response.completed","response":{"id":"r","model":"small","status":"completed","output":[` + output + `],"usage":` + usage + `}}`
	}
	const bob, mallory = `{"to":"bob"}`, `{"to":"mallory"}`
	for _, tt := range []struct{ dialect, name, answer, want string }{
		{Chat, "counts as texts", counts(`{"prompt_tokens":"50","completion_tokens":"7"}`), `end "Hi." 50 7 0`},
		{Chat, "counts as fractions", counts(`{"prompt_tokens":50.0,"completion_tokens":7.0,"prompt_tokens_details":{"cached_tokens":4.0}}`), `end "Hi." 50 7 4`},
		{Chat, "counts with an exponent", counts(`{"prompt_tokens":5e1,"completion_tokens":7}`), `end "Hi." 50 7 0`},
		{Chat, "half a token", counts(`{"prompt_tokens":50,"completion_tokens":7.5}`), `end "Hi." 50 8 0`},
		{Chat, "a count that is null", counts(`{"prompt_tokens":null,"completion_tokens":7}`), `end "Hi." 0 7 0`},
		{Chat, "counts below 0", counts(`{"prompt_tokens":-1,"completion_tokens":7}`), `end "Hi." 0 7 0`},
		{Chat, "counts beyond all", counts(`{"prompt_tokens":92233720368547758079,"completion_tokens":7}`), `end "Hi." 1125899906842624 7 0`},
		{Chat, "details in a list", counts(`{"prompt_tokens":50,"completion_tokens":7,"prompt_tokens_details":[]}`), `end "Hi." 50 7 0`},
		{Chat, "a list of counts", counts(`[]`), `end "Hi." uncounted`},
		{Chat, "a text of counts", counts(`""`), `end "Hi." uncounted`},
		{Chat, "no counts", counts(`false`), `end "Hi." uncounted`},
		{Chat, "a sum alone", counts(`{"total_tokens":57}`), `end "Hi." uncounted`},
		{Chat, "no reason, as a text, until the end (DashScope)", `{"choices":[{"index":0,"delta":{"content":"Hi."},"finish_reason":"null"}]}` + "\n" + end, `end "Hi." uncounted`},
		{Chat, "no reason at all, as a text", ends(`"null"`), "it never said that it was done"},
		{Chat, "a reason in a list", ends(`["stop"]`), "it never said that it was done"},
		{Chat, "a reason that nobody knows", ends(`"malformed_function_call"`), "it ended for a reason that is not known"},
		{Chat, "an error for a reason", ends(`"error"`), "it breaks off with an error"},
		{Chat, "the whole message at the end (MiniMax)", hi + "\n" + `{"choices":[{"index":0,"message":{"content":"Hi."},"finish_reason":"stop"}]}`, `end "Hi." uncounted`},
		{Chat, "another message at the end", hi + "\n" + `{"choices":[{"index":0,"message":{"content":" You."},"finish_reason":"stop"}]}`, `end "Hi. You." uncounted`},
		{Chat, "a text that says itself again", hi + "\n" + hi + "\n" + end, `end "Hi.Hi." uncounted`},
		{Chat, "a call in both ways", call + "\n" + old + "\n" + uses, `tools "" 1 erc20.transfer {"to":"bob"} uncounted`},
		{Chat, "a call in the old way", old + "\n" + uses, `tools "" call-1 erc20.transfer {"to":"bob"} uncounted`},
		{Chat, "the same call once more", call + "\n" + call + "\n" + uses, `tools "" 1 erc20.transfer {"to":"bob"} uncounted`},
		{Chat, "calls in an object", `{"choices":[{"index":0,"delta":{"tool_calls":{"index":0}}}]}`, "a chunk is not what the API says"},
		{Chat, "a call that is null", `{"choices":[{"index":0,"delta":{"tool_calls":[null]}}]}` + "\n" + uses, "a tool call has no name"},
		{Chat, "an error of a provider behind", `{"choices":[{"index":0,"error":{"code":429,"message":"rate limit"},"delta":{"content":""},"finish_reason":"error"}]}`, "it is an error"},

		{Messages, "counts as texts", counted(`{"output_tokens":"7"}`), `end "Hi." 5 7 0`},
		{Messages, "counts as fractions", counted(`{"output_tokens":7.0}`), `end "Hi." 5 7 0`},
		{Messages, "a list of counts", counted(`[]`), `end "Hi." uncounted`},
		{Messages, "no counts", counted(`null`), `end "Hi." uncounted`},
		{Messages, "an input in pieces", begins(`{}`) + "\n" + piece + "\n" + stop + "\n" + used, `tools "" 1 erc20.transfer {"to": "bob"} 5 7 0`},
		{Messages, "an input at the beginning", begins(bob) + "\n" + stop + "\n" + used, `tools "" 1 erc20.transfer {"to":"bob"} 5 7 0`},
		{Messages, "an input at the beginning and in pieces", begins(bob) + "\n" + piece + "\n" + stop + "\n" + used, `tools "" 1 erc20.transfer {"to": "bob"} 5 7 0`},
		{Messages, "two inputs", begins(mallory) + "\n" + piece + "\n" + stop + "\n" + used, "what came in pieces is not what it says was whole"},
		{Messages, "an empty input with a space", begins(`{ }`) + "\n" + piece + "\n" + stop + "\n" + used, `tools "" 1 erc20.transfer {"to": "bob"} 5 7 0`},
		{Messages, "an empty text for an input", begins(`""`) + "\n" + piece + "\n" + stop + "\n" + used, `tools "" 1 erc20.transfer {"to": "bob"} 5 7 0`},
		{Messages, "an empty list for an input", begins(`[]`) + "\n" + piece + "\n" + stop + "\n" + used, `tools "" 1 erc20.transfer {"to": "bob"} 5 7 0`},
		{Messages, "an input that is null", begins(`null`) + "\n" + stop + "\n" + used, `tools "" 1 erc20.transfer {} 5 7 0`},
		{Messages, "a stop within a part", begins(`{}`) + "\n" + piece + "\n" + used, "it ended within one of its parts"},
		{Messages, "a pause for tools of the provider", start + "\n" + text + "\n" + stop + "\n" + `{"type":"message_delta","delta":{"stop_reason":"pause_turn"}}`, "it ended for a reason that is not known"},
		{Messages, "an error that is a text", `{"type":"error","error":"bad"}`, "it is an error"},

		{Responses, "counts as texts", made + "\n" + delta + "\n" + whole(said, `{"input_tokens":"5","output_tokens":"7"}`), `end "Hi." 5 7 0`},
		{Responses, "counts as fractions", made + "\n" + delta + "\n" + whole(said, `{"input_tokens":5.0,"output_tokens":7.0}`), `end "Hi." 5 7 0`},
		{Responses, "no counts", made + "\n" + delta + "\n" + whole(said, `[]`), `end "Hi." uncounted`},
		{Responses, "a call only at the end of its part", made + "\n" + at("added", "erc20__transfer", "") + "\n" + at("done", "erc20__transfer", bob) + "\n" + whole("", "null"), `tools "" c erc20.transfer {"to":"bob"} uncounted`},
		{Responses, "another call at the end than of its part", made + "\n" + at("added", "erc20__transfer", "") + "\n" + at("done", "erc20__transfer", bob) + "\n" + whole(item("erc20__transfer", mallory), "null"), "what came in pieces is not what it says was whole"},
		{Responses, "another tool at the end of its part", made + "\n" + at("added", "erc20__balance", "") + "\n" + at("done", "erc20__transfer", bob) + "\n" + whole(item("erc20__transfer", bob), "null"), "what came in pieces is not what it says was whole"},
		{Responses, "another tool at the end", made + "\n" + at("added", "erc20__balance", bob) + "\n" + at("done", "erc20__balance", bob) + "\n" + whole(item("erc20__transfer", bob), "null"), "what came in pieces is not what it says was whole"},
		{Responses, "a call once more", made + "\n" + whole(item("erc20__transfer", bob)+","+item("erc20__transfer", bob), "null"), `tools "" c erc20.transfer {"to":"bob"} uncounted`},
		{Responses, "an end that is none", made + "\n" + `{"type":"response.completed","response":{"id":"r","status":"in_progress","output":[]}}`, "it ended for a reason that is not known"},
	} {
		answer := "data: " + strings.ReplaceAll(tt.answer, "\n", "\n\ndata: ") + "\n\n"
		r, counted, err := Read(tt.dialect, []byte(answer), q)
		got := fmt.Sprintf("%s %q", r.Stop, r.Text)
		for _, c := range r.Calls {
			got += fmt.Sprintf(" %s %s %s", c.ID, c.Tool, c.Args)
		}
		if counted {
			got += fmt.Sprintf(" %d %d %d", r.Usage.In, r.Usage.Out, r.Usage.CachedIn)
		} else {
			got += " uncounted"
		}
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s, %s: got %s, want %s", tt.dialect, tt.name, got, tt.want)
		}
	}
}
