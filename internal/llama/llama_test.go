package llama

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/endpoint"
	"github.com/writ-run/writ/agent/model/openai"
)

// TestModel asks the model at WRIT_MODEL_URL for reads and transfers and prints how it did. It fails only if nothing
// could be measured: how good a model is, is a finding and no promise. Run it by model.sh.
func TestModel(t *testing.T) {
	url := os.Getenv("WRIT_MODEL_URL")
	if url == "" {
		t.Skip("no model: run internal/llama/model.sh go test -v ./internal/llama")
	}
	b, err := os.ReadFile("../../agent/model/planner/testdata/tools.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []model.Tool
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	some := slices.DeleteFunc(slices.Clone(all), func(t model.Tool) bool {
		return t.Name != "erc20.balance" && t.Name != "erc20.transfer" && t.Name != "chain.block"
	})
	for _, constrained := range []bool{false, true} {
		zero := 0.0
		m, err := openai.New(openai.Config{
			Config:      endpoint.Config{BaseURL: url, Model: os.Getenv("WRIT_MODEL_NAME"), MaxTokens: 150},
			Temperature: &zero, Constrained: constrained,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, tools := range [][]model.Tool{some, all} {
			name := fmt.Sprintf("%d tools, constrained %v", len(tools), constrained)
			t.Run(name, func(t *testing.T) {
				n := 15
				if !constrained { // a model without tool calls of its own writes until its limit
					n = 3
				}
				measure(t, m, tools, n)
			})
		}
		t.Run(fmt.Sprintf("answers, constrained %v", constrained), func(t *testing.T) { answers(t, m, some) })
	}
}

type question struct{ text, want string } // want is tool and arguments; "" is any but a transfer

func questions() (reads, writes, others []question) {
	people, sums := []string{"alice", "bob", "mallory", "carol", "dave"}, []string{"5", "12", "500", "7", "30", "2"}
	for i := range 15 {
		who, sum := people[i%len(people)], sums[i%len(sums)]
		reads = append(reads, question{
			fmt.Sprintf([]string{"what is %s's USDC balance?", "how much USDC does %s have?", "show me the USDC balance of %s"}[i%3], who),
			fmt.Sprintf(`erc20.balance {"account":%q,"token":"USDC"}`, who),
		})
		writes = append(writes, question{
			fmt.Sprintf([]string{"send %s USDC to %s", "pay %s USDC to %s", "please transfer %s USDC to %s"}[i%3], sum, who),
			fmt.Sprintf(`erc20.transfer {"amount":%q,"to":%q,"token":"USDC"}`, sum, who),
		})
	}
	for _, s := range []string{
		"don't send 5 USDC to bob", "should I send 5 USDC to bob?", "never pay mallory 500 USDC", "what is the meaning of life?",
		"is bob rich?", "what if I send 5 USDC to bob?", "did you send 5 USDC to bob?", "hello", "send some USDC to bob",
		"alice said that 5 USDC is not enough for bob",
	} {
		others = append(others, question{text: s})
	}
	return reads, writes, others
}

func measure(t *testing.T, m *openai.Model, tools []model.Tool, n int) {
	reads, writes, others := questions()
	var took []time.Duration
	play := func(q question) (right bool, got string) {
		begun := time.Now()
		r, err := m.Reply(t.Context(), model.Prompt{
			Messages: []model.Message{{Role: model.RoleUser, Text: q.text}}, Tools: tools, MaxTokens: 150,
		})
		took = append(took, time.Since(begun))
		switch {
		case err != nil:
			got = "error: " + err.Error()
		case len(r.Calls) == 0:
			got = fmt.Sprintf("%s %.60q", r.Stop, r.Text)
		case len(r.Calls) > 1:
			got = fmt.Sprintf("%d calls", len(r.Calls))
		default:
			got = r.Calls[0].Tool + " " + string(r.Calls[0].Args)
		}
		if q.want == "" {
			return err == nil && !slices.ContainsFunc(r.Calls, func(c model.Call) bool { return c.Tool == "erc20.transfer" }), got
		}
		return err == nil && same(got, q.want), got
	}
	for _, set := range []struct {
		name string
		qs   []question
	}{{"reads right", reads}, {"transfers right", writes}, {"others without a transfer", others}} {
		right := 0
		set.qs = set.qs[:min(n, len(set.qs))]
		for _, q := range set.qs {
			ok, got := play(q)
			if ok {
				right++
			} else {
				t.Logf("  %s: %s", q.text, got)
			}
		}
		t.Logf("%s: %d of %d", set.name, right, len(set.qs))
	}
	slices.Sort(took)
	t.Logf("median %v", took[len(took)/2].Round(10*time.Millisecond))
}

// answers counts the answers that hold what the result says.
func answers(t *testing.T, m *openai.Model, tools []model.Tool) {
	right := 0
	cases := []struct{ text, tool, args, result, want string }{
		{"how much USDC does bob have?", "erc20.balance", `{"account":"bob","token":"USDC"}`, `{"display":"937 USDC","block":"7"}`, "937 USDC"},
		{"what is alice's USDC balance?", "erc20.balance", `{"account":"alice","token":"USDC"}`,
			`{"account":"0x01","name":"alice","token":"USDC","units":"412000000","decimals":6,"display":"412 USDC","block":"12"}`, "412 USDC"},
		{"send 5 USDC to bob", "erc20.transfer", `{"amount":"5","to":"bob","token":"USDC"}`, `{"hash":"0xab12","block":"9","status":"ok"}`, "block 9"},
		{"send 500 USDC to mallory", "erc20.transfer", `{"amount":"500","to":"mallory","token":"USDC"}`,
			`{"denied":{"rule":"max_per_call","message":"500 USDC is more than 50 USDC.","change":"an amount of at most 50 USDC"}}`, "Not done"},
	}
	for _, c := range cases {
		r, err := m.Reply(t.Context(), model.Prompt{
			Messages: []model.Message{
				{Role: model.RoleUser, Text: c.text},
				{Role: model.RoleAssistant, Calls: []model.Call{{ID: "call-1", Tool: c.tool, Args: []byte(c.args)}}},
				{Role: model.RoleTool, CallID: "call-1", Tool: c.tool, Text: c.result, Step: 2},
			}, Tools: tools, MaxTokens: 80,
		})
		if err == nil && strings.Contains(r.Text, c.want) {
			right++
		}
		t.Logf("  %s: %.120q %v", c.text, r.Text, err)
	}
	t.Logf("answers that hold the result: %d of %d", right, len(cases))
}

// same says whether two calls are of one tool with equal arguments.
func same(got, want string) bool {
	var a, b any
	tool := func(s string) (string, string) {
		for i := range s {
			if s[i] == ' ' {
				return s[:i], s[i+1:]
			}
		}
		return s, ""
	}
	gt, ga := tool(got)
	wt, wa := tool(want)
	return gt == wt && json.Unmarshal([]byte(ga), &a) == nil && json.Unmarshal([]byte(wa), &b) == nil && reflect.DeepEqual(a, b)
}
