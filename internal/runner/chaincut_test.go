package runner_test

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/contracts"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/ownwallet"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
	"github.com/writ-run/writ/tools/contract"
)

// The sweep of what moves on a real chain: an allowance, a deposit that uses it, and of the user's own wallet, which sends
// each that it is asked for once, a deposit that the vault is let take by the same transaction, and two payments at once;
// before them a thing of a collection is given away. The store ends at the k-th write, once just before it is done and once
// just after, and takes no other; then everything is begun anew over what it has.

// A bankChain is a chain with a vault, on which alice's account is a smart one, and what its accounts have.
type bankChain struct {
	client *ethclient.Client
	vault  common.Address
	deeds  common.Address // a collection, of which 1 to manyDeeds are the agent's at first
	next   int64          // the first that nobody was given
	tools  []tools.Tool
}

// manyDeeds is more than one chain has cuts.
const manyDeeds = 90

func openChain(t *testing.T) *bankChain {
	t.Helper()
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	l := &bankChain{}
	if l.client, err = ethclient.DialContext(t.Context(), d.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.client.Close)
	var vault struct {
		ABI      json.RawMessage
		Bytecode hexutil.Bytes
	}
	if err := json.Unmarshal(contracts.Vaults, &vault); err != nil {
		t.Fatal(err)
	}
	maker, usdc := devchain.Accounts()["mallory"], devchain.Book().Tokens["USDC"].Address
	data := append(vault.Bytecode, common.LeftPadBytes(usdc.Bytes(), 32)...) // and the kind: honest
	if _, err := l.send(t.Context(), maker, 0, nil, append(data, make([]byte, 32)...)); err != nil {
		t.Fatal(err)
	}
	l.vault = crypto.CreateAddress(maker.Address, 0)
	l.deployDeeds(t, maker)
	book := devchain.Book()
	book.Tokens["DEED"] = tools.Token{Address: l.deeds, Things: true}
	c := chain.Config{Client: l.client, Book: book, Key: devchain.Accounts()["agent"].Key}
	if l.tools, err = chain.New(c); err != nil {
		t.Fatal(err)
	}
	for name, wallet := range map[string]bool{"vault.deposit": false, "wallet.deposit": true} {
		f, err := contract.Read(contract.Config{Address: l.vault, ABI: vault.ABI, Function: "deposit", Wallet: wallet, Lets: wallet,
			Spend: contract.Move{Amount: "assets", Asset: "USDC"}, Spec: tools.Spec{Name: name, Book: book}})
		if err != nil {
			t.Fatal(err)
		}
		deposit, err := f.Sender(c)
		if err != nil {
			t.Fatal(err)
		}
		l.tools = append(l.tools, deposit)
	}
	if err := devchain.BecomeSmart(t.Context(), l.client, devchain.Accounts()["alice"]); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *bankChain) deployDeeds(t *testing.T, maker devchain.Account) {
	t.Helper()
	var deeds struct {
		ABI      abi.ABI
		Bytecode hexutil.Bytes
	}
	if err := json.Unmarshal(contracts.Deeds, &deeds); err != nil {
		t.Fatal(err)
	}
	args, err := deeds.ABI.Pack("", new(big.Int), slices.Repeat([]common.Address{devchain.Accounts()["agent"].Address}, manyDeeds))
	if err == nil {
		_, err = l.send(t.Context(), maker, 1, nil, append(deeds.Bytecode, args...))
	}
	if err != nil {
		t.Fatal(err)
	}
	l.deeds = crypto.CreateAddress(maker.Address, 1)
}

// ownerOf says whose a thing is.
func (l *bankChain) ownerOf(t *testing.T, id int64) common.Address {
	t.Helper()
	data := append(common.FromHex("0x6352211e"), common.LeftPadBytes(big.NewInt(id).Bytes(), 32)...)
	out, err := l.client.CallContract(t.Context(), callOf(l.deeds, data), nil)
	if err != nil {
		t.Fatal(err)
	}
	return common.BytesToAddress(out)
}

// send sends a transaction and waits until a block has it.
func (l *bankChain) send(ctx context.Context, from devchain.Account, nonce uint64, to *common.Address, data []byte) (common.Hash, error) {
	tx, err := types.SignNewTx(from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: to, Data: data, Gas: 16_000_000, GasTipCap: big.NewInt(1e9),
		GasFeeCap: big.NewInt(1e10),
	})
	if err == nil {
		err = devchain.SendOwn(context.WithoutCancel(ctx), l.client, tx) // a wallet is not the server's
	}
	if err != nil {
		return common.Hash{}, err
	}
	for {
		r, err := l.client.TransactionReceipt(context.WithoutCancel(ctx), tx.Hash())
		if err == nil && r.Status != 1 {
			err = errors.New("it was reverted")
		}
		if !errors.Is(err, ethereum.NotFound) && (err == nil || !strings.Contains(err.Error(), "indexing")) {
			return tx.Hash(), err
		}
		time.Sleep(time.Millisecond) // the node is asked over HTTP
	}
}

// holdings says what agent, alice, bob and the vault have, and what the vault may take of the agent's and of alice's.
func (l *bankChain) holdings(t *testing.T) (n [6]int64) {
	t.Helper()
	token := devchain.Book().Tokens["USDC"].Address
	names := devchain.Book().Names
	read := func(selector string, who ...common.Address) int64 {
		data := common.FromHex(selector)
		for _, a := range who {
			data = append(data, common.LeftPadBytes(a.Bytes(), 32)...)
		}
		out, err := l.client.CallContract(t.Context(), callOf(token, data), nil)
		if err != nil {
			t.Fatal(err)
		}
		return new(big.Int).SetBytes(out).Int64()
	}
	for i, who := range []common.Address{names["agent"], names["alice"], names["bob"], l.vault} {
		n[i] = read("0x70a08231", who)
	}
	n[4], n[5] = read("0xdd62ed3e", names["agent"], l.vault), read("0xdd62ed3e", names["alice"], l.vault)
	return n
}

func callOf(to common.Address, data []byte) ethereum.CallMsg {
	return ethereum.CallMsg{To: &to, Data: data}
}

// A cutStore takes no write from its k-th on, which it does or does not.
type cutStore struct {
	journal.Store
	n, at atomic.Int64
	done  bool
	hit   func()
}

func (c *cutStore) write(do func() error) error {
	switch n, at := c.n.Add(1), c.at.Load(); {
	case at == 0 || n < at:
		return do()
	case n > at || !c.done:
		c.hit()
		return errDisk
	}
	c.hit()
	return errors.Join(do(), errDisk)
}

func (c *cutStore) Commit(ctx context.Context, s journal.Commit) error {
	return c.write(func() error { return c.Store.Commit(ctx, s) })
}

func (c *cutStore) PutBlocks(ctx context.Context, b []provenance.Block, l []provenance.Leaf) error {
	return c.write(func() error { return c.Store.PutBlocks(ctx, b, l) })
}

func (c *cutStore) Claim(ctx context.Context, run provenance.Link, owner string, until int64) (fence uint64, err error) {
	err = c.write(func() error { fence, err = c.Store.Claim(ctx, run, owner, until); return err })
	return fence, err
}

func (c *cutStore) NoteSent(ctx context.Context, run provenance.Link, of provenance.Ref, hash string) error {
	return c.write(func() error { return c.Store.NoteSent(ctx, run, of, hash) })
}

// A sentTx is what was sent for a call.
type sentTx struct {
	hash   common.Hash
	nonce  uint64
	wanted tools.Wanted
}

// A walletUser is alice, who remembers what she has sent, whatever the server forgets.
type walletUser struct {
	*client
	chain *bankChain
	sent  map[ownwallet.Key]sentTx
	paid  int
	tells bool // says under which hash it went out
	nonce uint64
}

func keyOf(w runner.WalletCall) ownwallet.Key { return ownwallet.Key{Run: w.Run, Effect: w.Effect} }

// pay sends what waits for the wallet and was not sent yet. Who says what went out may send the last first; of two that
// are alike, and of which nothing is said, the first is taken to be paid first.
func (u *walletUser) pay(ctx context.Context) error {
	list, err := runner.OwnWalletsOf(u.r).Calls(ctx, u.user.session)
	if err != nil {
		return err
	}
	alice := devchain.Accounts()["alice"]
	if u.tells {
		slices.Reverse(list)
	}
	for _, w := range list {
		if _, is := u.sent[keyOf(w)]; !is {
			nonce, err := u.chain.client.NonceAt(ctx, alice.Address, nil)
			if err != nil {
				return err
			}
			nonce = max(nonce, u.nonce) // the node may answer with the state before its newest block
			u.nonce = nonce + 1
			to := common.HexToAddress(w.Wanted.To)
			hash, err := u.chain.send(ctx, alice, nonce, &to, common.FromHex(w.Wanted.Data))
			if err != nil {
				return err
			}
			u.sent[keyOf(w)] = sentTx{hash, nonce, w.Wanted}
			u.paid++
		}
		if u.tells {
			err := runner.OwnWalletsOf(u.r).Sent(ctx, w.Run, w.Effect, u.sent[keyOf(w)].hash.Hex())
			if e, ok := errors.AsType[*tools.Error](err); ok && e.Code == ownwallet.Counted {
				return u.passOn(ctx, w)
			}
			if err != nil && !errors.Is(err, loop.ErrLate) {
				return err
			}
		}
	}
	return nil
}

// passOn gives a payment to the call for which it was counted, in exchange for the later one that was sent for that.
func (u *walletUser) passOn(ctx context.Context, w runner.WalletCall) error {
	waiting, err := runner.OwnWalletsOf(u.r).Calls(ctx, u.user.session) // what else waits may have changed
	if err != nil {
		return err
	}
	gone := u.sent[keyOf(w)]
	delete(u.sent, keyOf(w))
	for other, p := range u.sent {
		if p.nonce > gone.nonce && reflect.DeepEqual(p.wanted, w.Wanted) &&
			!slices.ContainsFunc(waiting, func(x runner.WalletCall) bool { return keyOf(x) == other }) {
			u.sent[keyOf(w)], u.sent[other] = p, gone
			break
		}
	}
	return nil
}

// finish asks, approves and pays until the run has ended.
func (u *walletUser) finish(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	defer stop()
	req, err := u.user.request("do it all", "sweep-0001")
	if err != nil {
		return err
	}
	info, err := u.r.Start(ctx, req)
	for err == nil && (info.Status == "running" || info.Status == "parked") {
		if err = u.pay(ctx); err == nil {
			err = u.approveAll(ctx)
		}
		if errors.Is(err, loop.ErrLate) {
			err = nil
		}
		if err == nil {
			info, err = u.r.Run(ctx, info.ID)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond): // the node is asked over HTTP
		}
	}
	return err
}

func chainWorld(s journal.Store, l *bankChain, deed int64) runner.Config {
	var now atomic.Int64
	now.Store(start.UnixMilli())
	c := config(nil, s, replies{
		calls(call("1", "erc20.approve", fmt.Sprintf(`{"token":"USDC","spender":"%s","amount":"5"}`, l.vault.Hex()))),
		calls(call("2", "vault.deposit", `{"assets":"4","receiver":"agent"}`)),
		calls(call("5", "erc721.transfer", fmt.Sprintf(`{"collection":"DEED","id":"%d","to":"bob"}`, deed))),
		calls(call("6", "wallet.deposit", `{"assets":"3","receiver":"alice"}`)),
		calls(call("3", "wallet.transfer", `{"token":"USDC","to":"bob","amount":"1"}`),
			call("4", "wallet.transfer", `{"token":"USDC","to":"bob","amount":"1"}`)),
		text("all done"),
	}, &now, new(atomic.Int64))
	c.Tools = l.tools
	c.Agents[0].Tools = []string{"erc20.approve", "vault.deposit", "erc721.transfer", "wallet.deposit", "wallet.transfer"}
	one := []money.Amount{money.Of(money.Asset{Symbol: "DEED"}, 1)}
	g := &c.Agents[0].Grant
	g.MaxTotal, g.MaxPerCall = append(one, g.MaxTotal...), append(one, g.MaxPerCall...)
	g.ApproveAbove = append(one, g.ApproveAbove...)
	g.Things = []string{fmt.Sprintf("erc721:%s/%d", l.deeds.Hex(), deed)}
	c.Policy.Source = []byte(strings.Replace(operatorRules, "rules:", "rules:\n  - {id: things, at: spend, effect: permit, when: 'asset == \"DEED\"'}", 1))
	return c
}

func TestACutAtEveryWriteOfWhatMovesOnAChain(t *testing.T) {
	var wg sync.WaitGroup
	var next, cut atomic.Int64
	for range 3 {
		l := openChain(t)
		wg.Go(func() {
			// How many writes there are depends on who is quicker; behind the last of them nothing is cut.
			for n, whole := next.Add(1), 0; whole < 2 && !t.Failed(); n = next.Add(1) {
				if whole++; cutOnce(t, l, (n+1)/2, n%2 == 0) {
					cut.Add(1)
					whole = 0
				}
			}
		})
	}
	wg.Wait()
	if t.Logf("%d cuts", cut.Load()); cut.Load() < 40 {
		t.Error("so few cuts prove little")
	}
}

// cutOnce has a run whose store ends at its k-th write, and what goes on over what it has. It says whether there was
// such a write.
func cutOnce(t *testing.T, l *bankChain, k int64, done bool) bool {
	name := fmt.Sprintf("cut at write %d, which is done: %t", k, done)
	mem := storetest.MemoryAt(t, func() time.Time { return start })
	s := &cutStore{Store: mem, done: done}
	s.at.Store(k)
	hit, stop := context.WithCancel(t.Context())
	defer stop()
	s.hit = stop
	before := l.holdings(t)
	l.next++
	deed := l.next
	alice, err := auth.ParseWallet(hex.EncodeToString(crypto.FromECDSA(devchain.Accounts()["alice"].Key)))
	if err != nil {
		t.Error(err)
		return false
	}
	u := &walletUser{client: &client{store: s, config: chainWorld(s, l, deed), user: user{wallet: alice}}, chain: l,
		sent: map[ownwallet.Key]sentTx{}, tells: k%4 < 2}
	if err = u.open(hit); err == nil {
		err = u.finish(hit)
	}
	if err != nil && hit.Err() == nil {
		t.Errorf("%s: %v", name, err)
		return false
	}
	if u.r != nil {
		u.r.Close()
	}
	if hit.Err() != nil {
		u.client = &client{store: mem, config: chainWorld(mem, l, deed), user: user{wallet: alice}}
		if err = u.open(t.Context()); err == nil {
			err = u.finish(t.Context())
			u.r.Close()
		}
		if err != nil {
			t.Errorf("%s: the second start: %v", name, err)
			return false
		}
	}
	if who := l.ownerOf(t, deed); who != devchain.Accounts()["bob"].Address {
		t.Errorf("%s: the thing is of %s, not of bob", name, who)
	}
	judgeChainRun(t, name, mem, before, l.holdings(t), u.paid)
	return hit.Err() != nil
}

// judgeChainRun says whether all was done once, counted once, and can be proven.
func judgeChainRun(t *testing.T, name string, mem journal.Store, before, after [6]int64, sent int) {
	t.Helper()
	for i, want := range [6]int64{-4e6, -5e6, 2e6, 7e6, 0, 0} {
		if i == 4 { // 5 are allowed anew each time, of which the deposit takes 4
			before[i], want = 1e6, 0
		}
		if got := after[i] - before[i]; got != want {
			t.Errorf("%s: of agent, alice, bob, vault and its allowances number %d has changed by %d, want %d", name, i, got, want)
		}
	}
	if sent != 3 {
		t.Errorf("%s: the wallet was asked for %d transactions, want 3", name, sent)
	}
	runs, err := mem.Runs(t.Context(), [20]byte{}, 10)
	if err != nil || len(runs) != 1 || runs[0].Status != provenance.CloseAnswered {
		t.Errorf("%s: %+v, %v; want one run that is answered", name, runs, err)
		return
	}
	ledgers, err := mem.Ledgers(t.Context(), []string{"session/" + runs[0].Session.String() + "/grant/max_total_usdc"})
	if err != nil || ledgers[0].Spent != money.Of(usdc, 14_000_000) || !ledgers[0].Reserved.IsZero() {
		t.Errorf("%s: the grant's ledger is %v, %v", name, ledgers, err)
	}
	ledgers, err = mem.Ledgers(t.Context(), []string{"session/" + runs[0].Session.String() + "/grant/max_total_deed"})
	if err != nil || ledgers[0].Spent.String() != "1 DEED" || !ledgers[0].Reserved.IsZero() {
		t.Errorf("%s: the grant's ledger of things is %v, %v", name, ledgers, err)
	}
	verified(t, mem, runs[0].ID)
}
