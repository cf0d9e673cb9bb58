package loop_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
)

func full() auth.Caveats {
	usdc := money.Asset{Symbol: "USDC.e", Decimals: 6}
	return auth.Caveats{
		MaxTotal: []money.Amount{money.Of(usdc, 25_000_000)}, MaxPerCall: []money.Amount{money.Of(usdc, 10_000_000)},
		ApproveAbove: []money.Amount{money.Of(usdc, 1_000_000)},
		MaxCalls:     40, MaxTokens: 1000, MaxCostNanoUSD: 5, Chains: []uint64{1, 1337},
		Recipients: []common.Address{common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")},
		Models:     []string{"rules"},
	}
}

func TestEveryCaveatIsEnforced(t *testing.T) {
	g := &auth.Grant{Agent: "a", Tools: []string{"erc20.balance", "erc20.transfer"}, Caveats: full(),
		Expires: time.Now()}
	src, err := authority.GrantRules(g, "agent.other")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policies.Load(src, policies.Options{Layer: "grant", Untrusted: true, Partial: true}); err != nil {
		t.Fatalf("the grant's rules do not load: %v\n%s", err, src)
	}
	// P6: a caveat that is set changes the rules. A new caveat that does not fails here.
	base := reflect.ValueOf(auth.Caveats{MaxCalls: 1, MaxTokens: 1, MaxCostNanoUSD: 1, Chains: []uint64{1}})
	whole := full()
	whole.Things = []string{"erc721:0x70997970C51812dc3A010C7d01b50e0d17dc79C8/7"}
	whole.Hosts, whole.ApproveIfTainted, whole.MaxDepth = []string{"example.org"}, true, 1
	plain, err := authority.GrantRules(&auth.Grant{Tools: g.Tools, Caveats: base.Interface().(auth.Caveats)}, "agent.other")
	if err != nil {
		t.Fatal(err)
	}
	for i := range base.NumField() {
		c := base.Interface().(auth.Caveats)
		name := base.Type().Field(i).Name
		if name == "From" { // whence a session is used is judged before there is a run: internal/api
			continue
		}
		reflect.ValueOf(&c).Elem().Field(i).Set(reflect.ValueOf(whole).Field(i))
		if strings.HasPrefix(name, "MaxPerCall") || name == "ApproveAbove" {
			c.MaxTotal = whole.MaxTotal
		}
		got, err := authority.GrantRules(&auth.Grant{Tools: g.Tools, Caveats: c}, "agent.other")
		if err != nil || string(got) == string(plain) {
			t.Errorf("the caveat %s changes no rule (%v)", name, err)
		}
	}
}
