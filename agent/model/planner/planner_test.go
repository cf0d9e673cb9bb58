package planner

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/agent/model"
)

func catalogue(t testing.TB) []model.Tool {
	t.Helper()
	b, err := os.ReadFile("testdata/tools.json")
	if err != nil {
		t.Fatal(err)
	}
	var ts []model.Tool
	if err := json.Unmarshal(b, &ts); err != nil {
		t.Fatal(err)
	}
	return ts
}

func ask(t testing.TB, text string, more ...model.Message) model.Reply {
	t.Helper()
	r, err := New().Reply(context.Background(), model.Prompt{
		Messages:  append([]model.Message{{Role: model.RoleUser, Text: text}}, more...),
		Tools:     catalogue(t),
		MaxTokens: 1000,
	})
	if err != nil {
		t.Fatalf("Reply(%q): %v", text, err)
	}
	return r
}

// outcomeOf plays a request to its end, with a result that says ok for every call, and names what came of it.
func outcomeOf(t testing.TB, text string) string {
	var calls []string
	var more []model.Message
	for range grammar.MaxClauses + 1 {
		r := ask(t, text, more...)
		if r.Stop == model.StopEnd || r.Stop == model.StopDecline {
			switch {
			case len(calls) > 0:
				return strings.Join(calls, " ; ")
			case strings.HasPrefix(r.Text, grammar.Declined):
				return "refuse"
			default:
				return "ask"
			}
		}
		c := r.Calls[0]
		calls = append(calls, c.Tool+" "+string(c.Args))
		more = append(more, model.Message{Role: model.RoleAssistant, Calls: r.Calls},
			model.Message{Role: model.RoleTool, CallID: c.ID, Tool: c.Tool, Text: `{"status":"ok"}`, Step: 3})
	}
	t.Fatalf("%q never ends", text)
	return ""
}

func TestTheQuestionSetIsRightAndNothingIsWrittenByMistake(t *testing.T) {
	f, err := os.Open("testdata/questions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	total := 0
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := strings.TrimSpace(sc.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		question, want, ok := strings.Cut(line, " => ")
		if !ok {
			t.Fatalf("no => in %q", line)
		}
		total++
		if got := outcomeOf(t, question); got != want {
			t.Errorf("%s\n got  %s\n want %s", question, got, want)
			if strings.Contains(got, "erc20.transfer") {
				t.Errorf("WRONG WRITE: %s: %s", question, got)
			}
		}
	}
	if total < 200 {
		t.Errorf("there are only %d questions", total)
	}
}

// P11: what the rules say is told as the words of rules, and their model's name is that of no model.
func TestRulesAreNotCalledAI(t *testing.T) {
	info := New().Info()
	if info.Kind != model.KindRules || info.Provider != "writ" || !strings.HasPrefix(info.Model, "planner/") {
		t.Errorf("the planner says that it is %+v", info)
	}
}

// What must be of a form the rules cannot answer, so they begin nothing.
func TestRulesDoNothingForAnAnswerOfAForm(t *testing.T) {
	for _, text := range []string{"send 5 USDC to bob", "what is bob's USDC balance", "hello"} {
		for _, has := range []bool{true, false} {
			r, err := New().Reply(context.Background(), model.Prompt{
				Messages: []model.Message{{Role: model.RoleUser, Text: text}}, Tools: catalogue(t), MaxTokens: 1000,
				Answer: []byte(`{"type":"object"}`), HasModel: has,
			})
			if err != nil || len(r.Calls) > 0 || !strings.Contains(r.Text, "nothing was done") ||
				strings.Contains(r.Text, "connect a model") == has {
				t.Errorf("%q, there is a model: %v: %+v, %v", text, has, r, err)
			}
		}
	}
}
