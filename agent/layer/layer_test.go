package layer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
)

// The budgets that are listed are those that are written.
func TestSessionBudgetsAreThoseOfTheRules(t *testing.T) {
	usdc := money.Asset{Symbol: "USDC", Decimals: 6}
	odd := money.Asset{Symbol: "USD.E-2", Decimals: 2}
	c := auth.Caveats{
		MaxTotal: []money.Amount{money.Of(odd, 100), money.Of(usdc, 20_000_000)}, MaxCalls: 7, MaxTokens: 8, MaxCostNanoUSD: 1_500_000_000,
		ApproveAbove: []money.Amount{money.Of(usdc, 1)},
	}
	text := string(Write([]string{"a.b"}, c, nil, 0))
	list := SessionBudgets(c)
	for _, b := range list {
		if !strings.Contains(text, fmt.Sprintf("- {id: %s, cap: ", b.ID)) {
			t.Errorf("no budget %s is written:\n%s", b.ID, text)
		}
	}
	if n := strings.Count(text, "scope: session}"); n != len(list) {
		t.Errorf("%d budgets of the session are written, %d listed", n, len(list))
	}
	if got := fmt.Sprint(list); got != "[{calls 7 calls} {tokens 8 tokens} {cost 1.5 usd} {max_total_usd_e_2 1 USD.E-2} {max_total_usdc 20 USDC}]" {
		t.Errorf("got %s", got)
	}
}
