package chain_test

import (
	"context"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"

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
		Gas: 200_000, GasTipCap: big.NewInt(1e9 * more), GasFeeCap: big.NewInt(1e10 * more),
	})
	if err == nil {
		err = devchain.SendOwn(w.t.Context(), w.client, tx)
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

// remembering is a node that still knows one transaction, that another may have replaced; and its final block is final.
type remembering struct {
	*ethclient.Client
	tx    *types.Transaction
	final int64
}

func (r *remembering) HeaderByNumber(ctx context.Context, number *big.Int) (*types.Header, error) {
	if number != nil && number.Int64() == int64(rpc.FinalizedBlockNumber) {
		number = big.NewInt(r.final)
	}
	return r.Client.HeaderByNumber(ctx, number)
}

func (r *remembering) TransactionByHash(ctx context.Context, hash common.Hash) (*types.Transaction, bool, error) {
	if r.tx != nil && hash == r.tx.Hash() {
		return r.tx, true, nil
	}
	return r.Client.TransactionByHash(ctx, hash)
}

func startWith(t *testing.T, node chain.Client, final string) map[string]tools.Tool {
	t.Helper()
	list, err := chain.New(chain.Config{Client: node, Book: devchain.Book(), Final: final})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]tools.Tool{}
	for _, tool := range list {
		out[tool.Spec().Name] = tool
	}
	return out
}

// beginReplaced begins a call for which the wallet has sent a transaction that offers too little: node.tx.
func beginReplaced(t *testing.T, final string) (ownWallet, *remembering, tools.Payer, tools.Input, tools.Wanted) {
	t.Helper()
	node := &remembering{Client: dial(t)}
	k := start(t, node.Client)
	alice := devchain.Accounts()["alice"]
	payer := startWith(t, node, final)["wallet.transfer"].(tools.Payer)
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
	node.tx, err = types.SignNewTx(alice.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), To: &to, Data: data, Gas: 100_000, GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	said := tools.Search{Hash: node.tx.Hash().Hex()}
	if _, err := payer.Find(t.Context(), in, said); !errors.Is(err, tools.ErrUnsent) {
		t.Fatalf("it waits: %v", err)
	}
	return ownWallet{k, alice}, node, payer, in, want
}

// Of two calls that ask for the same, the other gets what took the place of this one's: then this one waits for its
// own, and is not given up.
func TestACallWhoseReplacementAnotherGotGoesOn(t *testing.T) {
	w, node, payer, in, want := beginReplaced(t, "")
	said := tools.Search{
		Hash: node.tx.Hash().Hex(), Taken: func(_ context.Context, _ string, n uint64) (bool, error) { return n == 0, nil },
	}
	w.send(0, want.To, 0, want.Data, 1)
	w.mined(0)
	if s, err := payer.Find(t.Context(), in, said); !errors.Is(err, tools.ErrUnsent) {
		t.Fatalf("got %+v, %v, want that it waits", s, err)
	}
	hash := w.send(1, want.To, 0, want.Data, 1)
	w.mined(1)
	if s, err := payer.Find(t.Context(), in, said); err != nil || s.Hash != hash.Hex() {
		t.Errorf("got %+v, %v, want what was sent for it, %s", s, err, hash)
	}
}

// That a call never will be paid is said once the block is final that says so: until then what it was may yet be mined.
func TestAReplacementIsBelievedOnceItIsFinal(t *testing.T) {
	for code, value := range map[string]int64{"cancelled": 0, "replaced": 1} {
		w, node, payer, in, _ := beginReplaced(t, "finalized")
		said := tools.Search{Hash: node.tx.Hash().Hex()}
		w.send(0, w.from.Address.Hex(), value, "0x", 1)
		w.mined(0)
		if s, err := payer.Find(t.Context(), in, said); !errors.Is(err, tools.ErrUnsent) {
			t.Errorf("%s: got %+v, %v before its block is final", code, s, err)
		}
		head, err := w.client.BlockNumber(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		node.final = int64(head)
		_, err = payer.Find(t.Context(), in, said)
		wantCode(t, err, code, "place")
	}
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
			w, node, payer, in, want := beginReplaced(t, "")
			first := node.tx
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

// A forgetful node does not show what takes on code.
type forgetful struct{ *remembering }

func (f forgetful) BlockByNumber(ctx context.Context, number *big.Int) (*types.Block, error) {
	b, err := f.Client.BlockByNumber(ctx, number)
	if err != nil {
		return nil, err
	}
	body := *b.Body()
	body.Transactions = slices.DeleteFunc(slices.Clone(body.Transactions), func(tx *types.Transaction) bool {
		return tx.Type() == types.SetCodeTxType
	})
	return types.NewBlockWithHeader(b.Header()).WithBody(body), nil
}

// An account that takes on code while it is asked to pay uses a nonce that no transaction has: that replaces nothing,
// and what is sent with the next one is found. Where a node does not say what used it, nothing is known unless the
// call's own is there.
func TestANonceThatNoTransactionHasIsPassedOver(t *testing.T) {
	w, node, payer, in, want := beginReplaced(t, "")
	to := common.HexToAddress(want.To)
	tx, err := types.SignNewTx(w.from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: 1, To: &to, Data: common.FromHex(want.Data), Gas: 100_000,
		GasTipCap: big.NewInt(1), GasFeeCap: big.NewInt(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	node.tx = tx
	said := tools.Search{Hash: tx.Hash().Hex()}
	if _, err := payer.Find(t.Context(), in, said); !errors.Is(err, tools.ErrUnsent) {
		t.Fatalf("it waits: %v", err)
	}
	if err := devchain.BecomeSmart(t.Context(), w.client, w.from); err != nil { // by nonce 0; its authorization has 1
		t.Fatal(err)
	}
	blind := startWith(t, forgetful{node}, "")["wallet.transfer"].(tools.Payer)
	for _, s := range []tools.Search{said, {}} {
		_, err := payer.Find(t.Context(), in, s)
		if _, never := errors.AsType[*tools.Error](err); never || !errors.Is(err, tools.ErrUnsent) {
			t.Errorf("said %q: got %v, want that it waits", s.Hash, err)
		}
		if _, err := blind.Find(t.Context(), in, s); err == nil || errors.Is(err, tools.ErrUnsent) {
			t.Errorf("said %q, of a node that does not say what used it: %v", s.Hash, err)
		}
	}
	hash := w.send(2, want.To, 0, want.Data, 1)
	w.mined(2)
	for _, p := range []tools.Payer{payer, blind} {
		if s, err := p.Find(t.Context(), in, said); err != nil || s.Hash != hash.Hex() {
			t.Errorf("got %+v, %v, want what was sent with the next nonce, %s", s, err, hash)
		}
	}
}
