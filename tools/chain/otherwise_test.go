package chain_test

import (
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
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

	// Of a contract wallet nothing would be found, so it is not asked.
	in.Wallet = common.HexToAddress(want.To)
	_, err = payer.Simulate(t.Context(), in)
	wantCode(t, err, "contract_wallet", "is a contract")
}

func word(a common.Address) string { return strings.Repeat("0", 24) + strings.ToLower(a.Hex()[2:]) }
