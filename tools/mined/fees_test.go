package mined

import (
	"math/big"
	"testing"

	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
)

func TestWhatAReplacementCostMore(t *testing.T) {
	eth := money.Asset{Symbol: "ETH", Decimals: 18}
	paid := func(wei uint64) *tools.Sum {
		s := tools.SumOf(money.FromUint256(eth, uint256.NewInt(wei)))
		return &s
	}
	for _, tt := range []struct {
		mined   tools.Mined
		offered int64 // for a unit of gas
		want    string
		known   bool
	}{
		{tools.Mined{Fee: paid(500), Gas: "10"}, 30, "0.0000000000000002 ETH", true},
		{tools.Mined{Fee: paid(300), Gas: "10"}, 30, "0 ETH", true},
		{tools.Mined{Fee: paid(200), Gas: "10"}, 30, "0 ETH", true}, // it was offered more than it cost
		{tools.Mined{Fee: paid(500)}, 30, "", false},
		{tools.Mined{Gas: "10"}, 30, "", false},
	} {
		got, known := ExtraFee(big.NewInt(tt.offered), &tt.mined)
		if known != tt.known || known && got.String() != tt.want {
			t.Errorf("of %+v at %d: got %s, %v, want %s, %v", tt.mined, tt.offered, got, known, tt.want, tt.known)
		}
	}
}
