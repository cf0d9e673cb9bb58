package audit

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/tools"
)

// What may be sent in the place of a transaction, and what may not. That one which does not cancel is the call's own
// transfer is judged as of any other.
func TestAReplacementIsJudged(t *testing.T) {
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	me := crypto.PubkeyToAddress(key.PublicKey)
	other := common.HexToAddress("0xb0b")
	first := types.DynamicFeeTx{
		ChainID: big.NewInt(8453), Nonce: 7, To: &other, Gas: 60_000, GasFeeCap: big.NewInt(2001), GasTipCap: big.NewInt(9),
	}
	cancel := first
	cancel.To, cancel.Gas, cancel.GasFeeCap, cancel.GasTipCap = &me, 21_000, big.NewInt(2252), big.NewInt(11)
	record := func(tx types.DynamicFeeTx, cancels bool) []byte {
		signed, err := types.SignNewTx(key, types.LatestSignerForChainID(tx.ChainID), &tx)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := signed.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(tools.Replacement{
			State: tools.StateReplaced, By: tools.ByOperator, Cancels: cancels, Signed: tools.Signed{
				Account: "eip155:" + tx.ChainID.String() + ":" + me.Hex(), Nonce: tx.Nonce, Hash: signed.Hash().Hex(),
				Raw: hexutil.Encode(raw),
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	var before tools.Signed
	if err := json.Unmarshal(record(first, false), &before); err != nil {
		t.Fatal(err)
	}
	old, err := ReadTransaction(hexutil.MustDecode(before.Raw))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		rule   string
		change func(*types.DynamicFeeTx)
		want   string // of the fault; none if empty
	}{
		{"it outbids and moves nothing", func(*types.DynamicFeeTx) {}, ""},
		{"an eighth more, rounded up, in all", func(tx *types.DynamicFeeTx) { tx.GasFeeCap = big.NewInt(2251) }, "an eighth"},
		{"and as tip", func(tx *types.DynamicFeeTx) { tx.GasTipCap = big.NewInt(10) }, "an eighth"},
		{"of the same nonce", func(tx *types.DynamicFeeTx) { tx.Nonce++ }, "another account, chain or nonce"},
		{"of the same chain", func(tx *types.DynamicFeeTx) { tx.ChainID = big.NewInt(1) }, "another account, chain or nonce"},
		{"it pays nobody else", func(tx *types.DynamicFeeTx) { tx.To = &other }, "does something"},
		{"it pays nothing", func(tx *types.DynamicFeeTx) { tx.Value = big.NewInt(1) }, "does something"},
		{"it calls nothing", func(tx *types.DynamicFeeTx) { tx.Data = []byte{1} }, "does something"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			tx := cancel
			tt.change(&tx)
			p := &payment{txs: []*Transaction{old}, cancels: map[common.Hash]bool{}}
			_, cancels, f := new(transfers).readReplacement(record(tx, true), nil, nil, p)
			if f == nil && (tt.want != "" || !cancels) || f != nil && (tt.want == "" || !strings.Contains(f.Detail, tt.want)) {
				t.Errorf("got %v, cancels %v; want %q", f, cancels, tt.want)
			}
		})
	}
	t.Run("the receipt names any of them, and no other", func(t *testing.T) {
		p := &payment{txs: []*Transaction{old}, cancels: map[common.Hash]bool{}}
		if p.has(common.Hash{1}) || !p.has(old.Hash) {
			t.Error("a payment does not know its own transactions")
		}
	})
}
