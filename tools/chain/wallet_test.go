package chain_test

import (
	"context"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
)

// An ownWallet sends what it likes.
type ownWallet struct {
	*kit
	from devchain.Account
}

func (w ownWallet) send(nonce uint64, to string, value int64, data string, more int64) common.Hash {
	w.t.Helper()
	target := common.HexToAddress(to)
	tx, err := types.SignNewTx(w.from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: &target, Value: big.NewInt(value), Data: common.FromHex(data),
		Gas: 100_000, GasTipCap: big.NewInt(1e9 * more), GasFeeCap: big.NewInt(1e10 * more),
	})
	if err == nil {
		err = w.client.SendTransaction(w.t.Context(), tx)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return tx.Hash()
}

// mined waits until a nonce of the wallet is used.
func (w ownWallet) mined(nonce uint64) {
	w.t.Helper()
	for {
		n, err := w.client.NonceAt(w.t.Context(), w.from.Address, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		if n > nonce {
			return
		}
		time.Sleep(time.Millisecond) // the node mines by itself and is asked over HTTP
	}
}

// What the user's own wallet has sent is found on the chain, whatever anybody says, and nothing else is taken for it.
func TestTheUsersOwnWalletPays(t *testing.T) {
	k := start(t, dial(t))
	alice, bob := devchain.Accounts()["alice"], devchain.Book().Names["bob"]
	w, payer := ownWallet{k, alice}, k.tools["wallet.transfer"].(tools.Payer)
	begin := func() (tools.Input, tools.Wanted) {
		t.Helper()
		in := k.read("wallet.transfer", `{"token":"USDC","to":"bob","amount":"5"}`)
		in.Wallet = alice.Address
		var err error
		if in.Foreseen, err = payer.Simulate(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		if _, moved, err := tools.ReadForeseen(in.Foreseen, in.Args); err != nil || moved.Debit.String() != "5 USDC" {
			t.Fatalf("%s: %v", in.Foreseen, err)
		}
		want, err := payer.Ask(t.Context(), in)
		if err != nil || want.From != alice.Address.Hex() || want.Value != "0x0" {
			t.Fatalf("%+v, %v", want, err)
		}
		return in, want
	}
	codeOf := func(err error) string {
		if e, ok := errors.AsType[*tools.Error](err); ok {
			return e.Code
		}
		return ""
	}
	in, want := begin()
	if _, err := payer.Find(t.Context(), in, tools.Search{}); !errors.Is(err, tools.ErrUnsent) {
		t.Fatalf("nothing was sent: %v", err)
	}
	usdc := want.To
	other := w.send(0, bob.Hex(), 1, "0x", 1) // something else of the user's
	w.mined(0)
	if err := payer.CheckSent(t.Context(), in, other.Hex()); codeOf(err) != "another_transaction" {
		t.Errorf("another transaction: %v", err)
	}
	if _, err := payer.Find(t.Context(), in, tools.Search{Hash: other.Hex()}); !errors.Is(err, tools.ErrUnsent) {
		t.Errorf("another transaction was taken: %v", err)
	}
	less := want.Data[:len(want.Data)-1] + "1" // a unit more
	w.send(1, usdc, 0, less, 1)
	w.mined(1)
	if _, err := payer.Find(t.Context(), in, tools.Search{}); !errors.Is(err, tools.ErrUnsent) {
		t.Errorf("another amount was taken: %v", err)
	}
	hash := w.send(2, usdc, 0, want.Data, 1)
	w.mined(2)
	s, err := payer.Find(t.Context(), in, tools.Search{}) // nobody has said that it was sent
	if err != nil || s.Hash != hash.Hex() || s.Nonce != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	out, err := payer.Send(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	r, moved, err := tools.ReadMined(out, in.Args)
	if err != nil || r.Status != "ok" || moved.Debit.String() != "5 USDC" || moved.Credit.String() != "5 USDC" {
		t.Errorf("%s, %v", out, err)
	}
	taken := tools.Search{Taken: func(_ context.Context, _ string, n uint64) (bool, error) { return n == 2, nil }}
	if _, err := payer.Find(t.Context(), in, taken); !errors.Is(err, tools.ErrUnsent) {
		t.Errorf("one transaction for two calls: %v", err)
	}
	in.Wallet = common.Address{}
	if _, err := payer.Simulate(t.Context(), in); codeOf(err) != "no_wallet" {
		t.Errorf("no wallet: %v", err)
	}
}

// remembering is a node that still knows one transaction, that another may have replaced.
type remembering struct {
	*ethclient.Client
	tx *types.Transaction
}

func (r *remembering) TransactionByHash(ctx context.Context, hash common.Hash) (*types.Transaction, bool, error) {
	if r.tx != nil && hash == r.tx.Hash() {
		return r.tx, true, nil
	}
	return r.Client.TransactionByHash(ctx, hash)
}

func startWith(t *testing.T, node chain.Client) map[string]tools.Tool {
	t.Helper()
	list, err := chain.New(chain.Config{Client: node, Book: devchain.Book()})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]tools.Tool{}
	for _, tool := range list {
		out[tool.Spec().Name] = tool
	}
	return out
}

// What took the place of what the wallet said it had sent: the same with a higher fee is the call, another is not; also
// where the node has forgotten the first by then.
func TestAWalletReplacesWhatItSent(t *testing.T) {
	for _, tt := range []struct {
		rule    string
		to      func(want tools.Wanted) (string, string)
		code    string
		forgets bool
	}{
		{"sped up", func(w tools.Wanted) (string, string) { return w.To, w.Data }, "", false},
		{"cancelled", func(tools.Wanted) (string, string) { return devchain.Accounts()["alice"].Address.Hex(), "0x" }, "cancelled", false},
		{"replaced", func(w tools.Wanted) (string, string) { return w.To, w.Data[:len(w.Data)-1] + "1" }, "replaced", false},
		{"sped up and forgotten", func(w tools.Wanted) (string, string) { return w.To, w.Data }, "", true},
		{"cancelled and forgotten", func(tools.Wanted) (string, string) { return devchain.Accounts()["alice"].Address.Hex(), "0x" }, "cancelled", true},
		{"replaced and forgotten", func(w tools.Wanted) (string, string) { return w.To, w.Data[:len(w.Data)-1] + "1" }, "replaced", true},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			node := &remembering{Client: dial(t)}
			k := start(t, node.Client)
			alice := devchain.Accounts()["alice"]
			w := ownWallet{k, alice}
			payer := startWith(t, node)["wallet.transfer"].(tools.Payer)
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
			to, data := common.HexToAddress(want.To), hexutil.MustDecode(want.Data)
			first, err := types.SignNewTx(alice.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
				ChainID: big.NewInt(devchain.ID), To: &to, Data: data, Gas: 100_000, GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(1),
			})
			if err != nil {
				t.Fatal(err)
			}
			node.tx = first
			if _, err := payer.Find(t.Context(), in, tools.Search{Hash: first.Hash().Hex()}); !errors.Is(err, tools.ErrUnsent) {
				t.Fatalf("it waits: %v", err)
			}
			if tt.forgets {
				node.tx = nil
			}
			elsewhere, what := tt.to(want)
			hash := w.send(0, elsewhere, 0, what, 1)
			w.mined(0)
			s, err := payer.Find(t.Context(), in, tools.Search{Hash: first.Hash().Hex()})
			e, _ := errors.AsType[*tools.Error](err)
			if tt.code == "" && (err != nil || s.Hash != hash.Hex()) || tt.code != "" && (e == nil || e.Code != tt.code) {
				t.Errorf("got %+v, %v", s, err)
			}
		})
	}
}
