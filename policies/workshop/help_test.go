package workshop

import (
	"flag"
	"testing"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

var update = flag.Bool("update", false, "write files that tests compare with")

const head = "schema: writ/policies/1\nname: x\nassets: {USDC: 6}\n"

var usdcAsset = money.Asset{Symbol: "USDC", Decimals: 6}

// transferTools are the tools that tests name.
var transferTools = []policies.ToolType{
	{Name: "chain.balance", Params: []arg.Param{{Name: "account", Kind: arg.Address}, {Name: "block", Kind: arg.String}}},
	{Name: "erc20.balance", Params: []arg.Param{
		{Name: "token", Kind: arg.String}, {Name: "account", Kind: arg.Address}, {Name: "block", Kind: arg.String}}},
	{Name: "erc20.transfer", Params: []arg.Param{
		{Name: "token", Kind: arg.String}, {Name: "to", Kind: arg.Address}, {Name: "amount", Kind: arg.Amount},
		{Name: "memo", Kind: arg.String}, {Name: "tries", Kind: arg.Int}, {Name: "fast", Kind: arg.Bool},
		{Name: "order", Kind: arg.Object}, {Name: "order.count", Kind: arg.Int}, {Name: "order.to", Kind: arg.Address},
		{Name: "order.items", Kind: arg.List}, {Name: "order.price", Kind: arg.Number}, {Name: "meta", Kind: arg.JSON}}},
}

func mustLoad(t testing.TB, layer, src string) *policies.Set {
	t.Helper()
	s, err := policies.Load([]byte(src), policies.Options{Layer: layer, Tools: transferTools})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return s
}

// testsOf reads the set's own tests.
func testsOf(t testing.TB, s *policies.Set) []Case {
	t.Helper()
	tests, err := Tests(s)
	if err != nil {
		t.Fatalf("Tests: %v", err)
	}
	return tests
}

// loadWithTests loads a set and reads its tests, and returns what is wrong with either.
func loadWithTests(src string) error {
	s, err := policies.Load([]byte(src), policies.Options{Layer: "operator", Tools: transferTools})
	if err == nil {
		_, err = Tests(s)
	}
	return err
}
