package audit

import (
	"bytes"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
)

// A signed transaction is the call of the contract that the tool's record and the call's arguments make, to the last
// byte.
func TestACallOfAContractIsMadeAgain(t *testing.T) {
	vault := common.HexToAddress("0x00000000000000000000000000000000000000fF")
	tool, err := tools.Compile(tools.Spec{
		Name: "vault.buy", About: "Buys.", Class: tools.ChainTx,
		Book:  &tools.Book{Chain: 1, Names: map[string]common.Address{"bob": {9}}, Tokens: map[string]tools.Token{"ETH": {Decimals: 18}}},
		Spend: &tools.Spend{Amount: "value", Asset: "asset", To: "to"},
		Schema: []byte(`{"type":"object","additionalProperties":false,"required":["receiver","value"],"properties":{
			"receiver":{"type":"string","format":"address"},"value":{"type":"string","format":"amount","x-asset":"asset"},
			"asset":{"type":"string","format":"token","const":"ETH"},
			"to":{"type":"string","format":"address","const":"` + vault.Hex() + `"}},
			"x-contract":{"address":"` + vault.Hex() + `","function":{"type":"function","name":"buy","stateMutability":"payable",
			"inputs":[{"name":"receiver","type":"address"}]}}}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	args, err := tool.Read([]byte(`{"receiver":"bob","value":"0.000000000000000007"}`))
	if err != nil || args.Amount != money.Of(money.Asset{Symbol: "ETH", Decimals: 18}, 7) || args.To != vault {
		t.Fatalf("%+v, %v", args, err)
	}
	want, err := calldata.Of(tool, args, common.Address{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		rule   string
		change func(*Transaction)
		code   provenance.Code
	}{
		{"as it was called", func(*Transaction) {}, ""},
		{"another contract", func(tx *Transaction) { tx.To = &common.Address{1} }, CodeTxContract},
		{"a contract is made", func(tx *Transaction) { tx.To = nil }, CodeTxContract},
		{"another function", func(tx *Transaction) { tx.Data[0]++ }, CodeTxCalldata},
		{"another receiver", func(tx *Transaction) { tx.Data[35]++ }, CodeTxCalldata},
		{"something behind", func(tx *Transaction) { tx.Data = append(tx.Data, 0) }, CodeTxCalldata},
		{"more coin", func(tx *Transaction) { tx.Value = uint256.NewInt(8) }, CodeTxValue},
		{"no coin", func(tx *Transaction) { tx.Value = new(uint256.Int) }, CodeTxValue},
	} {
		to := want.To
		tx := &Transaction{To: &to, Value: uint256.NewInt(7), Data: bytes.Clone(want.Data)}
		tt.change(tx)
		switch f := checkCalled(tx, args, tool); {
		case f == nil && tt.code != "", f != nil && f.Code != tt.code:
			t.Errorf("%s: got %v, want %q", tt.rule, f, tt.code)
		}
	}
}
