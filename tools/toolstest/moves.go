// Package toolstest makes what tools of class chain return, for tests.
package toolstest

import (
	"encoding/json"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools"
)

// Plain is the movement of a token that does what its call says.
func Plain(account common.Address, call tools.Args) tools.Movement {
	return Moves(account, call, call.Amount, call.Amount)
}

// Moves is a movement in which debit leaves the account and credit arrives at the call's recipient, by the balances.
func Moves(account common.Address, call tools.Args, debit, credit money.Amount) tools.Movement {
	asset := call.Amount.Asset()
	before := new(big.Int).Exp(big.NewInt(10), big.NewInt(24), nil)
	change := func(of common.Address, by *big.Int) tools.Change {
		after := new(big.Int).Add(before, by)
		return tools.Change{
			Account: of.Hex(), Token: asset.Symbol, Decimals: asset.Decimals, Before: before.String(), After: after.String(),
		}
	}
	return tools.Movement{Account: account.Hex(), Changes: []tools.Change{
		change(account, new(big.Int).Neg(debit.Uint256().ToBig())), change(call.To, credit.Uint256().ToBig()),
	}}
}

// Simulation is a simulation that was read: "read", or "computed".
func Simulation(m tools.Movement, how string) []byte {
	return encode(tools.Foreseen{OK: true, Simulated: how, Movement: m})
}

// Receipt is the receipt of a transaction in block 1.
func Receipt(hash string, m tools.Movement, call tools.Args) []byte {
	return ReceiptIn(hash, m, call, "1", nil)
}

// ReceiptIn is the receipt of a transaction in a block, whose hash is its number. By the mark it is final; nil if it is
// not known to be.
func ReceiptIn(hash string, m tools.Movement, call tools.Args, block string, mark *tools.Mark) []byte {
	number, _ := new(big.Int).SetString(block, 10)
	r := tools.Mined{
		Hash: hash, Status: "ok", Block: block, BlockHash: common.BigToHash(number).Hex(), Final: mark, Movement: m,
	}
	if moved, err := m.Weigh(call); err == nil {
		left, arrived := tools.SumOf(moved.Debit), tools.SumOf(moved.Credit)
		r.Left, r.Arrived = &left, &arrived
	}
	return encode(r)
}

// ReceiptOf is the receipt of a signed transfer that does what it says.
func ReceiptOf(s tools.Signed, asset money.Asset) []byte {
	raw, err := hexutil.Decode(s.Raw)
	tx := new(types.Transaction)
	if err == nil {
		err = tx.UnmarshalBinary(raw)
	}
	if err != nil || len(tx.Data()) != 68 {
		panic("toolstest: not a signed transfer")
	}
	from, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
	if err != nil {
		panic("toolstest: " + err.Error())
	}
	call := tools.Args{
		Amount: money.FromUint256(asset, new(uint256.Int).SetBytes(tx.Data()[36:])),
		To:     common.BytesToAddress(tx.Data()[16:36]),
	}
	return Receipt(s.Hash, Plain(from, call), call)
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err == nil {
		b, err = tools.CanonicalJSON(b)
	}
	if err != nil {
		panic("toolstest: " + err.Error())
	}
	return b
}
