package runner_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

type order struct {
	Order struct {
		Amount int      `json:"amount"`
		Items  []string `json:"items"`
		Price  float64  `json:"price"`
	} `json:"order"`
	Meta json.RawMessage `json:"meta,omitempty"`
}

const orderRules = operatorRules + `  - {id: few, at: tool.call, tool: shop.order, effect: forbid, when: args.order.amount > 10 || len(args.order.items) > 2}
  - {id: dear, at: tool.call, tool: shop.order, effect: forbid, when: args.order.price > decimal("9.99")}
  - {id: unknown, at: tool.call, tool: shop.order, effect: approve, when: 'given("meta")'}
`

// TestMembersOfArgumentsAreAudited: what policies decide about a nested argument is what an auditor recomputes from the
// record. What is opaque is in the call that the wallet approves, and in no explanation.
func TestMembersOfArgumentsAreAudited(t *testing.T) {
	var made []order
	spec := tools.Spec{Name: "shop.order", About: "Orders things.", Class: tools.Keyed, Output: &tools.Output{Integrity: label.Tool}}
	shop, err := tools.Func(spec, func(_ context.Context, in order) (string, error) {
		made = append(made, in)
		return "ordered", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	m := replies{
		calls(call("1", "shop.order", `{"order":{"amount":11,"items":["a"],"price":1},"meta":{"note":"words of nobody"}}`)),
		calls(call("2", "shop.order", `{"order":{"amount":1,"items":["a","b","c"],"price":1}}`)),
		calls(call("3", "shop.order", `{"order":{"amount":1,"items":["a"],"price":9.990000000000000000001}}`)),
		calls(call("4", "shop.order", `{"order":{"amount":1,"items":["a"],"price":9.990}}`)),
		calls(call("5", "shop.order", `{"meta":{"note":"words of nobody","n":1.50},"order":{"price":9e0,"items":["a","b"],"amount":10}}`)),
		text("ordered"),
	}
	b := openWith(t, m, func(c *runner.Config) {
		c.Policy.Source = []byte(orderRules)
		c.Tools = append(c.Tools, shop)
		c.Agents[0].Tools = append(c.Agents[0].Tools, "shop.order")
	})
	run := b.start("order what I need")
	b.until(run, "parked")
	b.r.Close()
	b.restart()
	pending, err := b.r.Approvals(t.Context(), b.session)
	if err != nil || len(pending) != 1 {
		t.Fatalf("approvals: %v, %v", pending, err)
	}
	if err := b.approve(t.Context(), b.r, pending[0]); err != nil {
		t.Fatal(err)
	}
	b.until(run, provenance.CloseAnswered)
	if len(made) != 2 || made[1].Order.Amount != 10 || string(made[1].Meta) != `{"n":1.5,"note":"words of nobody"}` {
		t.Errorf("made %+v", made)
	}

	steps, err := b.r.Steps(t.Context(), run, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	denied := map[string]bool{}
	for _, s := range steps {
		for _, e := range s.Step.Does {
			refusal, ok := e.(*provenance.Deny)
			if !ok {
				continue
			}
			for _, d := range refusal.Decisions {
				why, ok := d.Why.Bytes()
				if !ok || strings.Contains(string(why), "nobody") {
					t.Errorf("an explanation is closed, or shows what is opaque: %s", why)
				}
				denied[strings.Join(d.Rules, " ")] = true
			}
		}
	}
	if !denied["operator/few"] || !denied["operator/dear"] {
		t.Errorf("refused by %v", denied)
	}
	b.verified(run)
}
