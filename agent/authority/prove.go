package authority

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
)

// ErrUnsafe says that the rules, as this program reads them, let through what they must deny. Nothing is served then.
var ErrUnsafe = errors.New("a known-bad action is not denied")

// Prove asks the operator's set, and a dApp's if there is one, above the smallest grant, about actions that no set
// may permit over it. That the engine denies is thus seen at every start and reload, with the very sets that are
// loaded, and not only in tests.
func Prove(sets ...*policies.Set) error {
	probe := money.Asset{Symbol: "PROBE"}
	grant, err := GrantRules(&auth.Grant{Tools: []string{"writ.pay"}, Caveats: auth.Caveats{
		MaxTotal: []money.Amount{money.Of(probe, 2)}, MaxPerCall: []money.Amount{money.Of(probe, 1)},
		MaxCalls: 1, MaxTokens: 1, MaxCostNanoUSD: 1, Chains: []uint64{1},
	}})
	if err != nil {
		return fmt.Errorf("prove the rules: %w", err)
	}
	wallet, err := policies.Load(grant, policies.Options{Layer: "wallet", Untrusted: true})
	if err != nil {
		return fmt.Errorf("prove the rules: %w", err)
	}
	layers := policies.Layers(append(slices.Clip(sets), wallet))
	return proveBy(func(q *policies.Request) policies.Outcome { return layers.Decide(q).Outcome }, probe)
}

// proveBy asks decide about the known-bad actions.
func proveBy(decide func(*policies.Request) policies.Outcome, probe money.Asset) error {
	to := common.HexToAddress("0x00000000000000000000000000000000000000b1")
	for _, bad := range []struct {
		what string
		q    policies.Request
	}{
		{"a call of a tool that the wallet did not allow", policies.Request{
			Point: policies.ToolCall, Tool: "writ.probe", Class: "once", Chain: 1,
		}},
		{"a payment of more than the wallet allows", policies.Request{
			Point: policies.Spend, Tool: "writ.pay", Class: "chain", Chain: 1, Amount: money.Of(probe, 2), To: to,
			Approved: true,
		}},
		{"a payment in an asset that the wallet did not name", policies.Request{
			Point: policies.Spend, Tool: "writ.pay", Class: "chain", Chain: 1,
			Amount: money.Of(money.Asset{Symbol: "OTHER"}, 1), To: to, Approved: true,
		}},
		{"something at a point that does not exist", policies.Request{Point: "nowhere"}},
	} {
		if got := decide(&bad.q); got != policies.Deny {
			return fmt.Errorf("%w: %s would be answered with %s; do not serve with this program and set",
				ErrUnsafe, bad.what, got)
		}
	}
	return nil
}
