package openai

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/endpoint"
	"github.com/writ-run/writ/internal/fault"
)

// catalogue has a read with a token, one without, a block and a transfer.
func catalogue() []model.Tool {
	schema := func(required string, properties ...string) json.RawMessage {
		var ps []string
		for _, p := range properties {
			name, format, _ := strings.Cut(p, ":")
			ps = append(ps, `"`+name+`":{"type":"string","format":"`+format+`"}`)
		}
		return json.RawMessage(`{"type":"object","additionalProperties":false,"required":[` + required + `],"properties":{` + strings.Join(ps, ",") + `}}`)
	}
	return []model.Tool{
		{Name: "chain.balance", Schema: schema(`"account"`, "account:address", "block:block"), Utterances: []string{"native balance of {account}"}},
		{Name: "chain.block", Schema: schema(``, "block:block"), Utterances: []string{"latest block", "block {block}"}},
		{Name: "erc20.balance", Schema: schema(`"account","token"`, "account:address", "token:token", "block:block"), Utterances: []string{"what is {account}'s {token} balance"}},
		{Name: "erc20.transfer", Schema: schema(`"amount","to","token"`, "amount:amount", "to:address", "token:token"), Utterances: []string{"send {amount} {token} to {to}"}},
	}
}

// offered returns the schema that a request leads to, as {tool: {property: candidates}}.
func offered(t *testing.T, m *Model, text string) map[string]map[string][]string {
	t.Helper()
	_, params, err := m.buildRequest(model.Prompt{Messages: []model.Message{{Role: model.RoleUser, Text: text}}, Tools: catalogue(), MaxTokens: 9})
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(params.ResponseFormat.OfJSONSchema.JSONSchema.Schema)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		AnyOf []struct {
			Properties struct {
				Tool struct{ Const string }
				Args struct {
					Properties map[string]struct{ Enum []string }
				}
			}
		}
	}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string][]string{}
	for _, a := range s.AnyOf[1:] { // the first is {"say"}
		args := map[string][]string{}
		for name, p := range a.Properties.Args.Properties {
			args[name] = p.Enum
		}
		out[a.Properties.Tool.Const] = args
	}
	return out
}

func TestAConstrainedModelIsOfferedOnlyWhatTheRequestCanFill(t *testing.T) {
	m, err := New(Config{Config: endpoint.Config{BaseURL: "http://127.0.0.1:1/v1", Model: "m"}, Constrained: true})
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct{ rule, text, want string }{
		{"an order with a figure and a symbol leaves the transfer", "send 5 USDC to Bob",
			`{"erc20.transfer":{"amount":["5"],"to":["bob","send","to"],"token":["USDC"]}}`},
		{"a symbol rules out tools without a token", "USDC of alice",
			`{"erc20.balance":{"account":["alice","of"],"token":["USDC"]}}`},
		{"a negated order offers no transfer", "don't send 5 USDC to bob", `{}`},
		{"nor does a question", "send 5 USDC to bob?", `{}`},
		{"nor does a condition", "send 5 USDC to bob if asked", `{}`},
		{"without a figure there is no transfer", "send USDC to bob", `{"erc20.balance":{"account":["bob","send","to"],"token":["USDC"]}}`},
		{"a figure for a block is no amount", "block 7", `{"chain.balance":{"account":["block"]},"chain.block":{},"erc20.balance":{"account":["block"],"token":["block"]}}`},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			got, err := json.Marshal(offered(t, m, c.text))
			if err != nil || string(got) != c.want {
				t.Errorf("%q\ngot  %s\nwant %s", c.text, got, c.want)
			}
		})
	}
}

func TestAConstrainedReplyIsACallOrAText(t *testing.T) {
	quoted := func(s string) string { b, _ := json.Marshal(s); return strings.Trim(string(b), `"`) }
	cases := []struct {
		rule, content, finish, want string
		code                        fault.Code
	}{
		{"a call", `{"tool":"erc20.balance","args":{"account":"alice"}}`, "stop", `erc20.balance {"account":"alice"}`, ""},
		{"a text", `{"say":"Which token?"}`, "stop", "Which token?", ""},
		{"white space does not matter", " { \"say\" : \"hi\" } ", "stop", "hi", ""},
		{"a cut call is no call", `{"tool":"erc20.transfer","args":{"amo`, "length", "", ""},
		{"both is neither", `{"tool":"a","say":"b"}`, "stop", "", fault.ModelUnreadable},
		{"two answers are none", `{"say":"a"}{"say":"b"}`, "stop", "", fault.ModelUnreadable},
		{"prose is none", `Sure!`, "stop", "", fault.ModelUnreadable},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			m := serve(t, stream(text(quoted(c.content)), chunk(`{}`, c.finish), usage, end), func(c *Config) { c.Constrained = true })
			var shown string
			r, err := m.Stream(t.Context(), prompt(), func(s string) { shown += s })
			var coded *fault.Fault
			if c.code != "" {
				if !errors.As(err, &coded) || coded.Code != c.code {
					t.Fatalf("got %+v, %v, want %s", r, err, c.code)
				}
				return
			}
			got := r.Text
			for _, call := range r.Calls {
				got += call.Tool + " " + string(call.Args)
			}
			if err != nil || got != c.want || shown != r.Text {
				t.Errorf("got %q (shown %q), %v, want %q", got, shown, err, c.want)
			}
		})
	}
}

func TestAConstrainedRequestIsTheSameEveryTime(t *testing.T) {
	var bodies []string
	for range 3 {
		m := serve(t, stream(text(`{\"say\":\"x\"}`), chunk(`{}`, "stop"), end), func(c *Config) { c.Constrained = true })
		r, err := m.Reply(t.Context(), model.Prompt{
			System: "Be brief.", Messages: []model.Message{{Role: model.RoleUser, Text: "send 5 USDC to bob"}}, Tools: catalogue(), MaxTokens: 50,
		})
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, string(r.Request))
	}
	if bodies[0] != bodies[1] || bodies[1] != bodies[2] {
		t.Errorf("three bodies: %q", bodies)
	}
	golden(t, "testdata/constrained.golden", []byte(bodies[0]))
}

func TestAfterAResultOnlyTextIsLeft(t *testing.T) {
	m, err := New(Config{Config: endpoint.Config{BaseURL: "http://127.0.0.1:1/v1", Model: "m"}, Constrained: true})
	if err != nil {
		t.Fatal(err)
	}
	_, params, err := m.buildRequest(prompt())
	if err != nil {
		t.Fatal(err)
	}
	b, _ := json.Marshal(params.ResponseFormat.OfJSONSchema.JSONSchema.Schema)
	if want := `{"anyOf":[{"additionalProperties":false,"properties":{"say":{"maxLength":400,"type":"string"}},"required":["say"],"type":"object"}]}`; string(b) != want {
		t.Errorf("got %s", b)
	}
}
