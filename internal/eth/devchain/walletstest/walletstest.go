// Package walletstest puts contract wallets on a dev chain, good ones and hostile ones, for tests. Their source is
// internal/eth/devchain/contracts/Wallets.sol.
package walletstest

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/eth/devchain/contracts"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/eth/devchain"
)

// A Contract is a compiled contract.
type Contract struct {
	ABI      abi.ABI       `json:"abi"`
	Bytecode hexutil.Bytes `json:"bytecode"`
}

// Contracts returns what is compiled from Wallets.sol, by name.
var Contracts = sync.OnceValue(func() map[string]Contract {
	var all struct{ Contracts map[string]Contract }
	if err := json.Unmarshal(contracts.Wallets, &all); err != nil {
		panic("walletstest: " + err.Error())
	}
	return all.Contracts
})

// Wait is how long a transaction may take to be in a block.
const Wait = 20 * time.Second

// A World is a chain on which a test may do what it likes.
type World struct {
	URL     string
	Chain   *big.Int
	Client  *ethclient.Client
	Account devchain.Account // pays for everything

	t    testing.TB
	mu   sync.Mutex                // guards used, and that one transaction is sent at a time
	used map[common.Address]uint64 // the next nonce, by what was sent here
}

// New starts a dev chain that ends with the test.
func New(t testing.TB) *World {
	t.Helper()
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return At(t, d.URL(), devchain.Accounts()["alice"])
}

// At returns the world of a chain that runs already. The account has money there.
func At(t testing.TB, url string, account devchain.Account) *World {
	t.Helper()
	client, err := ethclient.DialContext(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	id, err := client.ChainID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return &World{URL: url, Chain: id, Client: client, Account: account, t: t}
}

// Deploy deploys a contract and returns its address.
func (w *World) Deploy(name string, args ...any) common.Address {
	w.t.Helper()
	c := w.contract(name)
	data, err := c.ABI.Pack("", args...)
	if err != nil {
		w.t.Fatalf("deploy %s: %v", name, err)
	}
	return w.send(w.Account.Key, nil, append(append([]byte{}, c.Bytecode...), data...)).ContractAddress
}

// Send calls a method of a contract in a transaction of the key's account, and fails the test if it is reverted.
func (w *World) Send(key *ecdsa.PrivateKey, name string, to common.Address, method string, args ...any) {
	w.t.Helper()
	w.send(key, &to, w.Pack(name, method, args...))
}

// Pack returns the call data of a method.
func (w *World) Pack(name, method string, args ...any) []byte {
	w.t.Helper()
	data, err := w.contract(name).ABI.Pack(method, args...)
	if err != nil {
		w.t.Fatalf("%s.%s: %v", name, method, err)
	}
	return data
}

// Factory deploys a factory of wallets and returns its address with that of a wallet that it has not deployed yet.
func (w *World) Factory(owner common.Address, salt [32]byte) (factory, wallet common.Address) {
	w.t.Helper()
	factory = w.Deploy("Factory")
	out := w.call(factory, w.Pack("Factory", "addressOf", owner, salt))
	return factory, common.BytesToAddress(out)
}

// Fund gives an account some ether, for gas.
func (w *World) Fund(to common.Address) {
	w.t.Helper()
	w.transact(w.Account.Key, &to, nil, big.NewInt(1e18))
}

// Delegate makes the key's account run the code at an address (EIP-7702).
func (w *World) Delegate(key *ecdsa.PrivateKey, to common.Address) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	nonce := w.nonce(crypto.PubkeyToAddress(key.PublicKey)) // the authorization takes one too
	id := uint256.MustFromBig(w.Chain)
	a, err := types.SignSetCode(key, types.SetCodeAuthorization{ChainID: *id, Address: to, Nonce: nonce})
	if err != nil {
		w.t.Fatal(err)
	}
	payer := w.nonce(w.Account.Address)
	w.mined(types.MustSignNewTx(w.Account.Key, types.LatestSignerForChainID(w.Chain), &types.SetCodeTx{
		ChainID: id, Nonce: payer, To: w.Account.Address, Gas: 200_000, GasTipCap: uint256.NewInt(1e9),
		GasFeeCap: uint256.NewInt(1e10),
		AuthList:  []types.SetCodeAuthorization{a},
	}))
}

// Code returns the code at an address.
func (w *World) Code(a common.Address) []byte {
	w.t.Helper()
	code, err := w.Client.CodeAt(w.t.Context(), a, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return code
}

func (w *World) contract(name string) Contract {
	w.t.Helper()
	c, ok := Contracts()[name]
	if !ok {
		w.t.Fatalf("Wallets.sol has no contract %s", name)
	}
	return c
}

func (w *World) send(key *ecdsa.PrivateKey, to *common.Address, data []byte) *types.Receipt {
	w.t.Helper()
	return w.transact(key, to, data, nil)
}

func (w *World) transact(key *ecdsa.PrivateKey, to *common.Address, data []byte, value *big.Int) *types.Receipt {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	nonce := w.nonce(crypto.PubkeyToAddress(key.PublicKey))
	return w.mined(types.MustSignNewTx(key, types.LatestSignerForChainID(w.Chain), &types.DynamicFeeTx{
		ChainID: w.Chain, Nonce: nonce, To: to, Data: data, Gas: 3_000_000, Value: value,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	}))
}

// nonce returns an account's next nonce. Delegate takes two for one account in one transaction, so what was used here
// counts too. w.mu is held.
func (w *World) nonce(who common.Address) uint64 {
	w.t.Helper()
	n, err := w.Client.NonceAt(w.t.Context(), who, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	n = max(n, w.used[who])
	if w.used == nil {
		w.used = map[common.Address]uint64{}
	}
	w.used[who] = n + 1
	return n
}

func (w *World) mined(tx *types.Transaction) *types.Receipt {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), Wait)
	defer cancel()
	for { // the pool learns of the newest block, and of what it gave whom, a little later
		err := w.Client.SendTransaction(ctx, tx)
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			w.t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
		if !strings.Contains(err.Error(), "insufficient funds") {
			w.t.Fatal(err)
		}
	}
	for ctx.Err() == nil {
		if r, err := w.Client.TransactionReceipt(ctx, tx.Hash()); err == nil && w.isHead(ctx, r.BlockNumber) {
			if r.Status != types.ReceiptStatusSuccessful {
				w.t.Fatalf("the transaction %s was reverted", tx.Hash())
			}
			return r
		}
		select {
		case <-ctx.Done():
		case <-time.After(3 * time.Millisecond):
		}
	}
	w.t.Fatalf("the transaction %s is not mined", tx.Hash())
	return nil
}

// isHead reports whether the node's newest block is at least this one. A receipt is served a moment before what is
// asked "at the newest block" sees it.
func (w *World) isHead(ctx context.Context, number *big.Int) bool {
	newest, err := w.Client.BlockNumber(ctx)
	return err == nil && newest >= number.Uint64()
}

func (w *World) call(to common.Address, data []byte) []byte {
	w.t.Helper()
	var out hexutil.Bytes
	err := w.Client.Client().CallContext(w.t.Context(), &out, "eth_call",
		map[string]any{"to": to, "data": hexutil.Bytes(data)}, "latest")
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}
