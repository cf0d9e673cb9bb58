package policies

import (
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/tools/arg"
)

// transferTools are the tools that tests name.
var transferTools = []ToolType{
	{Name: "chain.balance", Params: []arg.Param{{Name: "account", Kind: arg.Address}, {Name: "block", Kind: arg.String}}},
	{Name: "erc20.balance", Params: []arg.Param{
		{Name: "token", Kind: arg.String}, {Name: "account", Kind: arg.Address}, {Name: "block", Kind: arg.String}}},
	{Name: "erc20.transfer", Params: []arg.Param{
		{Name: "token", Kind: arg.String}, {Name: "to", Kind: arg.Address}, {Name: "amount", Kind: arg.Amount},
		{Name: "memo", Kind: arg.String}, {Name: "tries", Kind: arg.Int}, {Name: "fast", Kind: arg.Bool},
		{Name: "order", Kind: arg.Object}, {Name: "order.count", Kind: arg.Int}, {Name: "order.to", Kind: arg.Address},
		{Name: "order.items", Kind: arg.List}, {Name: "order.price", Kind: arg.Number}, {Name: "meta", Kind: arg.JSON}}},
}

func mustLoad(t testing.TB, layer, src string) *Set {
	t.Helper()
	s, err := Load([]byte(src), Options{Layer: layer, Tools: transferTools})
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return s
}

// memberOf is the value of a key, or nil if n has none.
func memberOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
