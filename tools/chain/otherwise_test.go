package chain_test

import (
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/calldata"
)

// What a wallet has sent in another form than it was asked to is not the call's; and where it has paid all the same,
// nobody is told that another one may be sent.
func TestWhatPaysOtherwiseIsNotToBePaidAgain(t *testing.T) {
	k := start(t, dial(t))
	alice := devchain.Accounts()["alice"]
	if err := devchain.BecomeSmart(t.Context(), k.client, alice); err != nil {
		t.Fatal(err)
	}
	w, payer := ownWallet{k, alice}, k.tools["wallet.transfer"].(tools.Payer)
	in := k.read("wallet.transfer", `{"token":"USDC","to":"bob","amount":"5"}`)
	in.Wallet = alice.Address
	var err error
	if in.Foreseen, err = payer.Simulate(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	want, err := payer.Ask(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	mallory := devchain.Accounts()["mallory"].Address
	data := hexutil.MustDecode(want.Data)
	elsewhere := append([]byte{}, data...)
	copy(elsewhere[16:36], mallory[:])
	batch := func(data []byte) (string, string) {
		c, err := calldata.PackBatch(alice.Address,
			calldata.Call{To: common.HexToAddress(want.To), Value: new(uint256.Int), Data: data})
		if err != nil {
			t.Fatal(err)
		}
		return c.To.Hex(), hexutil.Encode(c.Data)
	}
	nonce, err := k.client.PendingNonceAt(t.Context(), alice.Address)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		rule     string
		to, data string
		code     string
	}{
		{"the call within one to itself", "", hexutil.Encode(data), tools.PaidOtherwise},
		{"another one within one to itself", "", hexutil.Encode(elsewhere), "another_transaction"},
		{"the call with words of the wallet's behind it", want.To, want.Data + "6261736570617900", tools.PaidOtherwise},
		{"another amount to the same", want.To, strings.TrimSuffix(want.Data, "0") + "1", tools.PaidOtherwise},
		{"the same to another", want.To, hexutil.Encode(elsewhere), "another_transaction"},
		{"the call itself, reverted", want.To, want.Data[:74] + strings.Repeat("f", 64), "another_transaction"},
	} {
		if tt.to == "" {
			tt.to, tt.data = batch(hexutil.MustDecode(tt.data))
		}
		hash := w.send(nonce, tt.to, 0, tt.data, 1)
		w.mined(nonce)
		wantCode(t, payer.CheckSent(t.Context(), in, hash.Hex()), tt.code, "The transaction ")
		if s, err := payer.Find(t.Context(), in, tools.Search{Hash: hash.Hex()}); err == nil {
			t.Errorf("%s: it was taken for the call: %+v", tt.rule, s)
		}
		nonce++
	}
	// Somebody else's, which pays from the wallet or may have: it does not say which.
	agent := devchain.Accounts()["agent"]
	other := ownWallet{k, agent}
	allow := "0x095ea7b3" + word(agent.Address) + strings.Repeat("f", 64)
	w.send(nonce, want.To, 0, allow, 1)
	w.mined(nonce)
	from, err := k.client.PendingNonceAt(t.Context(), agent.Address)
	if err != nil {
		t.Fatal(err)
	}
	taken := other.send(from, want.To, 0, "0x23b872dd"+word(alice.Address)+want.Data[10:], 1)
	other.mined(from)
	wantCode(t, payer.CheckSent(t.Context(), in, taken.Hex()), tools.PaidOtherwise, "has moved USDC from the wallet")

	// What lets the same be taken is not to be let twice.
	allowing := k.tools["wallet.approve"].(tools.Payer)
	in = k.read("wallet.approve", `{"token":"USDC","spender":"bob","amount":"5"}`)
	in.Wallet = alice.Address
	for _, tt := range []struct{ data, code string }{
		{"0x095ea7b3" + want.Data[10:] + "00", tools.PaidOtherwise},
		{"0x095ea7b3" + hexutil.Encode(elsewhere)[10:], "another_transaction"},
	} {
		nonce++
		hash := w.send(nonce, want.To, 0, tt.data, 1)
		w.mined(nonce)
		wantCode(t, allowing.CheckSent(t.Context(), in, hash.Hex()), tt.code, "The transaction ")
	}

	// Of a contract wallet nothing would be found, so it is not asked.
	in.Wallet = common.HexToAddress(want.To)
	_, err = payer.Simulate(t.Context(), in)
	wantCode(t, err, "contract_wallet", "is a contract")
}

// Before a block has a transaction only its bytes say what it does, and what they do not rule out may pay.
func TestWhatIsOnItsWayIsNotPaidAgain(t *testing.T) {
	w, node, payer, in, want := beginReplaced(t, "")
	self, bob, mallory := w.from.Address, devchain.Book().Names["bob"], devchain.Accounts()["mallory"].Address
	token, call := common.HexToAddress(want.To), common.FromHex(want.Data)
	elsewhere := append([]byte{}, call...)
	copy(elsewhere[16:36], mallory[:])
	batch, err := calldata.PackBatch(self, calldata.Call{To: token, Value: new(uint256.Int), Data: elsewhere})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		rule  string
		to    common.Address
		value int64
		data  []byte
		code  string
	}{
		{"the call with words of the wallet's behind it", token, 0, append(append([]byte{}, call...), 1), tools.PaidOtherwise},
		{"another amount", token, 0, append(append([]byte{}, call[:67]...), 1), tools.PaidOtherwise},
		{"coin to the recipient", bob, 1, nil, tools.PaidOtherwise},
		{"a batch of the account", self, 0, batch.Data, tools.PaidOtherwise},
		{"a transfer of another contract's", mallory, 0, elsewhere, tools.PaidOtherwise},
		{"the same token to somebody else", token, 0, elsewhere, "another_transaction"},
		{"what cancels", self, 0, nil, "another_transaction"},
		{"nothing to somebody else", mallory, 0, nil, "another_transaction"},
	} {
		node.tx, err = types.SignNewTx(w.from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
			ChainID: big.NewInt(devchain.ID), To: &tt.to, Value: big.NewInt(tt.value), Data: tt.data, Gas: 100_000,
			GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(1),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(tt.rule)
		wantCode(t, payer.CheckSent(t.Context(), in, node.tx.Hash().Hex()), tt.code, "The transaction ")
	}
}

func word(a common.Address) string { return strings.Repeat("0", 24) + strings.ToLower(a.Hex()[2:]) }
