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
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/mandate"
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

// A payment that is sent again at a higher price is of the same account, by the same delegation; what cancels is not.
func TestAReplacementIsPaidByTheSame(t *testing.T) {
	at := func(hash byte, fee uint64, payer, mandate byte) *Transaction {
		return &Transaction{
			Hash: common.Hash{hash}, Payer: common.Address{payer}, Mandate: common.Hash{mandate},
			FeeCap: uint256.NewInt(fee), TipCap: uint256.NewInt(fee),
		}
	}
	for _, tt := range []struct {
		rule    string
		next    *Transaction
		cancels bool
		want    string // of the fault; none if empty
	}{
		{"the same", at(2, 200, 7, 8), false, ""},
		{"another account", at(2, 200, 9, 8), false, "another account"},
		{"another delegation", at(2, 200, 7, 9), false, "another delegation"},
		{"by none", at(2, 200, 1, 0), false, "another account"},
		{"it cancels", at(2, 200, 1, 0), true, ""},
	} {
		p := &payment{txs: []*Transaction{at(1, 100, 7, 8)}, cancels: map[common.Hash]bool{}}
		f := p.checkNext(tt.next, tt.cancels)
		if (f == nil) != (tt.want == "") || f != nil && !strings.Contains(f.Detail, tt.want) {
			t.Errorf("%s: got %v, want %q", tt.rule, f, tt.want)
		}
	}
}

// Who pays is the wallet on its own chain, and whose simulation the call was decided by, by the same delegation.
func TestWhoPaysIsWhoWasSimulated(t *testing.T) {
	wallet := common.Address{7}
	w := mandate.Wish{Chain: 1337, Delegator: wallet, Total: money.Of(money.Asset{Symbol: "USDC", Decimals: 6}, 1), Calls: 1}
	m, err := w.Mandate(1)
	if err != nil {
		t.Fatal(err)
	}
	other, err := w.Mandate(2)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		rule  string
		class tools.Class
		tx    Transaction
		shown *mandate.Mandate // by the simulation
		want  provenance.Code
	}{
		{"the wallet sends it", tools.WalletTx, Transaction{Chain: 1, From: wallet, Payer: wallet}, nil, ""},
		{"another sends it", tools.WalletTx, Transaction{Chain: 1, From: common.Address{8}, Payer: wallet}, nil, CodeTxSender},
		{"elsewhere", tools.WalletTx, Transaction{Chain: 2, From: wallet, Payer: wallet}, nil, CodeTxSender},
		{"its delegation", tools.ChainTx, Transaction{Payer: wallet, Mandate: m.Digest()}, m, ""},
		{"none was shown", tools.ChainTx, Transaction{Payer: wallet, Mandate: m.Digest()}, nil, ""},
		{"another delegation", tools.ChainTx, Transaction{Payer: wallet, Mandate: m.Digest()}, other, CodeTxSimulation},
		{"another account", tools.ChainTx, Transaction{Payer: common.Address{8}, Mandate: m.Digest()}, m, CodeTxSimulation},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			g := &auth.Grant{Account: wallet, Chain: 1}
			a := transfers{auditor: &auditor{grant: g}, payers: map[provenance.Ref]payer{}}
			call := &provenance.Call{Class: string(tt.class)}
			out, err := json.Marshal(struct {
				tools.Foreseen
				Mandate *mandate.Mandate `json:"mandate,omitempty"`
			}{tools.Foreseen{OK: true, Movement: tools.Movement{Account: wallet.Hex()}}, tt.shown})
			if err != nil {
				t.Fatal(err)
			}
			a.takeSimulation(call, provenance.NewPayload(out))
			f := a.checkPayer(call, &tt.tx)
			if (f == nil) != (tt.want == "") || f != nil && f.Code != tt.want {
				t.Errorf("got %v, want %q", f, tt.want)
			}
		})
	}
}
