package runner_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A budget with a window and one by recipient: each window and each recipient has a cap of its own, the facts do not
// name who was paid, and an auditor comes to the same.
func TestBudgetsByWindowAndRecipient(t *testing.T) {
	rules := strings.Replace(operatorRules, "scope: agent}\n", `scope: agent}
  - {id: hourly, cap: 'usdc("3")', scope: wallet, window: hour}
  - {id: each, cap: 'usdc("2")', scope: wallet, window: day, zone: Asia/Tokyo, per: recipient}
  - {id: once, cap: 'usdc("1")', scope: wallet, window: call}
`, 1)
	rules = strings.Replace(rules, "reserve: {budget: allowance}", "reserve: [{budget: allowance}, {budget: hourly}, {budget: each}, {budget: once}]", 1)
	pay := func(id, to, n string) model.Call {
		return call(id, "bank.pay", `{"token":"USDC","to":"`+to+`","amount":"`+n+`"}`)
	}
	b := openWith(t, replies{
		calls(pay("1", "bob", "1"), pay("2", "bob", "1"), pay("3", "bob", "1"), pay("4", "bob", "1.5")), // two of four
		text("done"),
	}, func(c *runner.Config) { c.Policy.Source = []byte(rules) })
	b.now.Add(30 * 60_000)
	first := b.start("pay")
	b.until(first, provenance.CloseAnswered)
	if got := b.paid.Load(); got != 2 {
		t.Errorf("%d payments, want 2", got)
	}
	b.verified(first)

	// Another hour of the same day in Tokyo: bob has had his, the hour is new. Then another run, another salt.
	second := b.start("pay again")
	b.ended(second)
	if got := b.paid.Load(); got != 2 {
		t.Errorf("%d payments, want 2: bob's day is used up", got)
	}
	b.verified(second)
	account := b.wallet.Address().Hex()
	names := map[string]string{}
	for _, run := range []provenance.Link{first, second} {
		views, err := b.r.Steps(t.Context(), run, 0, 256)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			for _, f := range v.Step.Facts.Budgets {
				if strings.Contains(strings.ToLower(f.ID), strings.ToLower("0x")) {
					t.Errorf("the facts name a recipient: %s", f.ID)
				}
				if strings.HasPrefix(f.ID, "operator/each@2026-11-23#") {
					names[run.String()] = f.ID
				}
			}
		}
	}
	if len(names) != 2 || names[first.String()] == names[second.String()] {
		t.Errorf("the digests of a recipient in two runs: %v; want two", names)
	}
	ls, err := b.store.Ledgers(t.Context(), []string{"wallet/" + account + "/operator/hourly@2026-11-23T12Z"})
	if err != nil || ls[0].Spent != money.Of(usdc, 2_000_000) || !ls[0].Reserved.IsZero() {
		t.Errorf("the ledger of the hour says %v, %v; want 2 USDC spent", ls, err)
	}
}
