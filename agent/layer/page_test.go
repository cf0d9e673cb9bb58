package layer

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
)

// Each name that docs/permissions.md says of the grant's layer is one of its rules or budgets, and no limit is left out.
func TestThePermissionsPageNamesTheRules(t *testing.T) {
	page, err := os.ReadFile("../../docs/permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	one := []money.Amount{money.Of(money.Asset{Symbol: "USDC", Decimals: 6}, 1_000_000)}
	rules := string(Write([]string{"erc20.transfer"}, auth.Caveats{
		MaxTotal: one, MaxPerCall: one, ApproveAbove: one, MaxCalls: 1, MaxTokens: 1, MaxCostNanoUSD: 1, Chains: []uint64{1},
		Things:     []string{"erc721:0x0000000000000000000000000000000000000700/7"},
		Recipients: []common.Address{{19: 7}}, Hosts: []string{"a.example"}, Models: []string{"m"}, ApproveIfTainted: true,
	}, []string{"agent.other"}, 0))
	named := regexp.MustCompile("`grant/([a-z_]+)`").FindAllStringSubmatch(string(page), -1)
	if len(named) < 11 {
		t.Fatalf("the page names %d rules", len(named))
	}
	var all []string
	for _, m := range named {
		all = append(all, m[1])
		if !strings.Contains(rules, "id: "+m[1]) {
			t.Errorf("docs/permissions.md names grant/%s, and there is no such rule", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^  - id: (\w+)\n    at: (?:tool.call|spend)\n    effect: (?:forbid|approve)`).FindAllStringSubmatch(rules, -1) {
		if !slices.Contains(all, m[1]) && !strings.HasPrefix(m[1], "approve_parts") {
			t.Errorf("docs/permissions.md does not name grant/%s", m[1])
		}
	}
}
