package policies_test

import (
	"fmt"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
)

func Example() {
	set, err := policies.Load([]byte(`
schema: writ/policies/1
name: pocket-money
assets: {USDC: 6}
budgets:
  - {id: week, cap: 'usdc("20")', scope: wallet}
rules:
  - id: small
    at: spend
    effect: permit
    when: amount <= usdc("10")
    reserve: {budget: week}
  - id: ask
    at: spend
    effect: approve
    when: amount > usdc("5")
`), policies.Options{Layer: "parent"})
	if err != nil {
		fmt.Println(err)
		return
	}
	usdc := money.Asset{Symbol: "USDC", Decimals: 6}
	for _, amount := range []string{"3", "7", "50"} {
		m, _ := money.ParseDecimal(usdc, amount)
		d := policies.Layers{set}.Decide(&policies.Request{
			Point: policies.Spend, Amount: m,
			Budgets: []policies.Budget{{
				ID: "parent/week", Cap: money.Of(usdc, 20_000_000), Spent: money.Of(usdc, 0), Reserved: money.Of(usdc, 0)}},
		})
		fmt.Println(amount, d.Outcome, d.Reserve)
		if d.Outcome != policies.Permit {
			fmt.Println("  why:", d.Message)
			fmt.Println("  allowed with:", d.Change)
		}
	}
	// Output:
	// 3 permit [{parent/week 3 USDC}]
	// 7 approve []
	//   why: parent/ask: amount is 7 USDC, more than 5 USDC, so the wallet must approve
	//   allowed with: an approval by the wallet
	// 50 deny []
	//   why: parent: no rule permits this; nearest is parent/small, but amount is 50 USDC, more than 10 USDC
	//   allowed with: an amount of at most 10 USDC and an approval by the wallet
}
