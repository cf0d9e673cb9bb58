package runner_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/elicit"
)

// A bookTool's server asks for how many before it books, and, if it is greedy, again and again.
type bookTool struct {
	greedy bool
	booked *[]string
}

func (b bookTool) Spec() tools.Spec {
	schema, err := tools.MarkElicited([]byte(`{"type":"object","additionalProperties":false,"required":["room"],` +
		`"properties":{"room":{"type":"string"}}}`))
	if err != nil {
		panic(err)
	}
	return tools.Spec{
		Name: "desk.book", About: "Books a room.", Class: tools.Once, Schema: schema, Foreign: true,
		Output: &tools.Output{Integrity: label.Untrusted},
	}
}

func (b bookTool) Call(_ context.Context, in tools.Input) ([]byte, error) {
	rest, brought, err := elicit.Split(in.Args.JSON)
	if err != nil {
		return nil, err
	}
	message := "For how many?"
	if b.greedy {
		message += strings.Repeat("!", len(brought))
	}
	ask, err := elicit.NewForm("desk", message, []byte(`{"type":"object","properties":{`+
		`"people":{"type":"integer","minimum":1,"maximum":9},"quiet":{"type":"boolean"}},"required":["people"]}`))
	if err != nil {
		return nil, err
	}
	answer, there := brought[ask.Hash]
	if !there {
		return json.Marshal(map[string]any{"asks": ask})
	}
	said, err := json.Marshal(answer.Content)
	*b.booked = append(*b.booked, string(rest)+string(said))
	return []byte(`{"text":"booked"}`), err
}

// What a tool's server asks becomes a question to the user, over a restart; the call is made again with the answers,
// and all of it is on record and judged again.
func TestWhatAToolAsksIsAQuestionToTheUser(t *testing.T) {
	for _, tt := range []struct {
		name    string
		greedy  bool
		answers []string
		booked  []string
		told    string
		phases  string
	}{
		{"answered", false, []string{"ten", "7", "skip"}, []string{`{"room":"blue"}{"people":7}`}, "booked", "act ask ask ask act"},
		{"declined", false, []string{"7", "decline"}, nil, "does not answer what the server asked", "act ask ask"},
		{"asked without end", true, []string{"7", "yes", "7", "yes", "7", "yes"}, nil, "asks",
			"act ask ask act ask ask act ask ask act"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var booked []string
			m := replies{calls(call("a", "desk.book", `{"room":"blue"}`)), text("Done.")}
			b := openWith(t, m, func(c *runner.Config) {
				asksUser(c)
				c.Agents[0].Tools = append(c.Agents[0].Tools, "desk.book")
				c.Tools = append(c.Tools, bookTool{tt.greedy, &booked})
			})
			run := b.start("book the blue room")
			for i, said := range tt.answers {
				question := b.parkedOn(run)
				if i == 1 {
					b.r.Close()
					b.restart()
					question = b.parkedOn(run)
				}
				key := "key-answer-" + string(rune('a'+i))
				if _, err := b.r.Send(t.Context(), b.send(t, run, said, key, &question)); err != nil {
					t.Fatal(err)
				}
			}
			b.ended(run)
			if strings.Join(booked, " ") != strings.Join(tt.booked, " ") {
				t.Errorf("booked %q; want %q", booked, tt.booked)
			}
			b.verified(run)
			views, err := b.r.Steps(t.Context(), run, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			var phases []string
			for _, v := range views {
				for _, e := range v.Step.Does {
					if c, is := e.(*provenance.Call); is {
						phases = append(phases, c.Phase)
					}
				}
			}
			if got := strings.Join(phases, " "); got != tt.phases {
				t.Errorf("the calls are %s; want %s", got, tt.phases)
			}
			if tt.name != "answered" {
				return
			}
			// A call that is made again without the user's answer is found out.
			_, o := b.exported(run)
			lied := b.stepsOf(run)
			var first *provenance.Payload
			for _, s := range lied.steps {
				for _, e := range s.Does {
					if c, is := e.(*provenance.Call); is && c.Phase == provenance.PhaseAct {
						if first == nil {
							first = c.Args
						}
						c.Args = first
					}
				}
			}
			lied.retell(run)
			if rep := audit.Verify(lied, o); rep.Code != audit.CodeDecisionEffect {
				t.Errorf("without the user's answer it passes: %s %s %s", rep.Verdict, rep.Code, rep.Detail)
			}
		})
	}
}

// A model cannot give the user's answer.
func TestAModelDoesNotAnswerForTheUser(t *testing.T) {
	var booked []string
	ask, err := elicit.NewForm("desk", "For how many?", []byte(`{"type":"object","properties":{"people":{"type":"integer"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	m := replies{calls(call("a", "desk.book", `{"room":"blue","elicited":{"`+ask.Hash+`":{"action":"accept"}}}`)), text("Done.")}
	b := openWith(t, m, func(c *runner.Config) {
		asksUser(c)
		c.Agents[0].Tools = append(c.Agents[0].Tools, "desk.book")
		c.Tools = append(c.Tools, bookTool{false, &booked})
	})
	run := b.start("book the blue room")
	b.ended(run)
	if len(booked) > 0 {
		t.Errorf("booked %q", booked)
	}
	b.verified(run)
}
