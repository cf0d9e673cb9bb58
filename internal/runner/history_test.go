package runner_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// Rules that look back see what the run has done, within one turn and over turns and after a restart, and an auditor
// who has nothing but the record comes to the same.
func TestRulesLookBack(t *testing.T) {
	rules := strings.Replace(operatorRules, "rules:", `rules:
  - {id: two, at: tool.call, tool: bank.pay, effect: forbid, when: 'count("bank.pay", minutes(30)) >= 2', message: at most two payments in half an hour}
  - {id: said, at: tool.call, tool: bank.pay, effect: forbid, unless: 'happened("echo.say")', message: say something first}
  - {id: enough, at: tool.call, effect: forbid, when: 'refused >= 4', message: refused too often}`, 1)
	pay := func(id string) model.Call { return call(id, "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`) }
	say := func(id, what string) model.Call { return call(id, "echo.say", `{"text":"`+what+`"}`) }
	b := openWith(t, replies{
		calls(pay("1")),                     // nothing was said
		calls(say("2", "hi")),               // now it was
		calls(pay("3"), pay("4"), pay("5")), // two of three, though all three come in one turn
		calls(pay("6"), pay("7")),           // refused
		calls(say("8", "more")),             // refused four times by now
		text("done"),
	}, func(c *runner.Config) {
		c.Policy.Source = []byte(rules)
	})
	run := b.start("pay")
	b.until(run, provenance.CloseAnswered)
	if got := b.paid.Load(); got != 2 {
		t.Errorf("%d payments, want 2", got)
	}
	denied := map[string]int{}
	views, err := b.r.Steps(t.Context(), run, 0, 256)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range views {
		for _, e := range v.Step.Does {
			if d, ok := e.(*provenance.Deny); ok {
				denied[d.Decisions[0].Rules[0]]++
			}
		}
	}
	if denied["operator/said"] != 1 || denied["operator/two"] != 3 || denied["operator/enough"] != 1 {
		t.Errorf("denied: %v; want said 1, two 3, enough 1", denied)
	}
	b.verified(run)
}
