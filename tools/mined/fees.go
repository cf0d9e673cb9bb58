package mined

import (
	"fmt"
	"math/big"

	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
)

// ExtraFees sums up what replacements have cost more than the first transactions would have at most.
type ExtraFees struct {
	more []money.Amount // by coin
}

// Add counts what a payment has cost, by its receipt, beyond what its first transaction offered at most for as much
// gas.
func (x *ExtraFees) Add(offered *big.Int, r *tools.Mined) {
	more, ok := ExtraFee(offered, r)
	if !ok {
		return
	}
	for i, sum := range x.more {
		if sum.Asset() == more.Asset() {
			x.more[i] = sum.AddCapped(more)
			return
		}
	}
	x.more = append(x.more, more)
}

// Says tells it, for a note.
func (x *ExtraFees) Says() (notes []string) {
	for _, sum := range x.more {
		notes = append(notes, fmt.Sprintf("the replacements cost %s more in fees than was offered at first", sum))
	}
	return notes
}

// ExtraFee returns what a receipt's fee is above what another transaction offered at most for as much gas. It is false
// if the receipt does not say what was paid.
func ExtraFee(offered *big.Int, mined *tools.Mined) (money.Amount, bool) {
	if mined.Fee == nil {
		return money.Amount{}, false
	}
	asset := money.Asset{Symbol: mined.Fee.Token, Decimals: mined.Fee.Decimals}
	gas, err := uint256.FromDecimal(mined.Gas)
	if err != nil {
		return money.Amount{}, false
	}
	paid, err := money.FromUnits(asset, mined.Fee.Units)
	most, over := uint256.FromBig(new(big.Int).Mul(offered, gas.ToBig()))
	if err != nil || over {
		return money.Amount{}, false
	}
	more, err := paid.Sub(money.FromUint256(asset, most))
	if err != nil { // its fees were not higher
		return money.Of(asset, 0), true
	}
	return more, true
}
