package chain_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/eth/pool"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	devchain "github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
)

// A kit is the tools on a chain of their own, with what it takes to call them as the runtime does.
type kit struct {
	t      *testing.T
	client *ethclient.Client
	book   *tools.Book
	tools  map[string]tools.Tool
}

func dial(t *testing.T) *ethclient.Client {
	t.Helper()
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ethclient.DialContext(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// start returns the tools of the dev chain's agent; changes are applied to the configuration first.
func start(t *testing.T, client *ethclient.Client, changes ...func(*chain.Config)) *kit {
	t.Helper()
	c := chain.Config{Client: client, Book: devchain.Book(), Key: devchain.Accounts()["agent"].Key}
	for _, f := range changes {
		f(&c)
	}
	list, err := chain.New(c)
	if err != nil {
		t.Fatal(err)
	}
	k := &kit{t, client, c.Book, map[string]tools.Tool{}}
	for _, tool := range list {
		k.tools[tool.Spec().Name] = tool
	}
	return k
}

func (k *kit) read(name, args string) tools.Input {
	k.t.Helper()
	d, err := tools.Compile(k.tools[name].Spec())
	if err != nil {
		k.t.Fatal(err)
	}
	a, err := d.Read([]byte(args))
	if err != nil {
		k.t.Fatalf("%s %s: %v", name, args, err)
	}
	return tools.Input{Args: a}
}

func (k *kit) call(name, args string) (map[string]any, error) {
	k.t.Helper()
	out, err := k.tools[name].Call(k.t.Context(), k.read(name, args))
	if err != nil {
		return nil, err
	}
	return k.object(out), nil
}

func (k *kit) object(out []byte) map[string]any {
	k.t.Helper()
	var m map[string]any
	if err := json.Unmarshal(out, &m); err != nil {
		k.t.Fatal(err)
	}
	if c, err := tools.CanonicalJSON(out); err != nil || string(c) != string(out) {
		k.t.Errorf("%s is not canonical: %v", out, err)
	}
	return m
}

func (k *kit) transfer() tools.Chain { return k.tools["erc20.transfer"].(tools.Chain) }

func (k *kit) sign(args string, floor uint64) tools.Signed {
	k.t.Helper()
	s, err := k.transfer().Sign(k.t.Context(), k.read("erc20.transfer", args), floor)
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

func (k *kit) send(s tools.Signed) map[string]any {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	out, err := k.transfer().Send(ctx, s)
	if err != nil {
		k.t.Fatal(err)
	}
	return k.object(out)
}

func (k *kit) display(account, token string) string {
	k.t.Helper()
	m, err := k.call("erc20.balance", `{"account":"`+account+`","token":"`+token+`"}`)
	if err != nil {
		k.t.Fatal(err)
	}
	return m["display"].(string)
}

func wantCode(t *testing.T, err error, code, text string) {
	t.Helper()
	e, ok := errors.AsType[*tools.Error](err)
	if !ok || e.Code != code || !strings.Contains(e.Message, text) {
		t.Errorf("got %v, want code %s with %q", err, code, text)
	}
}

var (
	_ chain.Client = (*ethclient.Client)(nil)
	_ chain.Client = (*pool.Pool)(nil)
)

func TestReading(t *testing.T) {
	k := start(t, dial(t))
	acc := devchain.Accounts()
	head, err := k.client.HeaderByNumber(t.Context(), big.NewInt(1))
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]any{"chain": 1337.0, "block": "1", "block_hash": head.Hash().Hex()}
	for _, tt := range []struct {
		name, args string
		want       map[string]any
	}{
		{"erc20.balance", `{"account":"alice","token":"USDC"}`, map[string]any{
			"account": acc["alice"].Address.Hex(), "name": "alice", "token": "USDC", "units": "1000000000", "decimals": 6.0, "display": "1000 USDC"}},
		{"erc20.balance", `{"account":"bob","token":"USDC","block":"1"}`, map[string]any{
			"account": acc["bob"].Address.Hex(), "name": "bob", "token": "USDC", "units": "25000000", "decimals": 6.0, "display": "25 USDC"}},
		{"erc20.balance", `{"account":"0x00000000000000000000000000000000000000aa","token":"ETH"}`, map[string]any{
			"account": "0x00000000000000000000000000000000000000AA", "token": "ETH", "units": "0", "decimals": 18.0, "display": "0 ETH"}},
		{"chain.balance", `{"account":"alice"}`, map[string]any{
			"account": acc["alice"].Address.Hex(), "name": "alice", "token": "ETH", "units": "100000000000000000000", "decimals": 18.0, "display": "100 ETH"}},
		{"erc20.info", `{"token":"USDC"}`, map[string]any{
			"address": k.book.Tokens["USDC"].Address.Hex(), "token": "USDC",
			"supply": map[string]any{"token": "USDC", "units": "2025000000", "decimals": 6.0, "display": "2025 USDC"}}},
	} {
		got, err := k.call(tt.name, tt.args)
		if err != nil {
			t.Fatal(err)
		}
		maps.Copy(tt.want, at)
		if a, b := text(got), text(tt.want); a != b {
			t.Errorf("%s %s: got %s, want %s", tt.name, tt.args, a, b)
		}
	}
	block, err := k.call("chain.block", `{}`)
	if err != nil || block["transactions"] != 5.0 || block["block"] != "1" || block["parent"] != head.ParentHash.Hex() {
		t.Errorf("block: got %v, %v", block, err)
	}
}

func text(v any) string { b, _ := json.Marshal(v); return string(b) }

func TestReadingRefuses(t *testing.T) {
	client := dial(t)
	k := start(t, client)
	call := func(name, args string) error { _, err := k.call(name, args); return err }
	wantCode(t, call("chain.block", `{"block":"999"}`), "unknown_block", "no block 999 yet")
	wantCode(t, call("chain.tx", `{"hash":"0x`+strings.Repeat("11", 32)+`"}`), "unknown_tx", "check the hash")
	wantCode(t, call("erc20.info", `{"token":"ETH"}`), "not_erc20", "native coin")

	k = start(t, client, func(c *chain.Config) { c.Book.Chain = 1 })
	wantCode(t, call("chain.block", `{}`), "wrong_chain", "serves chain 1337")
	k = start(t, client, func(c *chain.Config) {
		c.Book.Tokens["USDC"] = tools.Token{Address: c.Book.Tokens["USDC"].Address, Decimals: 18}
	})
	wantCode(t, call("erc20.balance", `{"account":"bob","token":"USDC"}`), "token_mismatch", "6 decimals on the chain but 18")
	k = start(t, client, func(c *chain.Config) { c.Book.Tokens["USDC"] = tools.Token{Address: c.Book.Names["bob"], Decimals: 6} })
	wantCode(t, call("erc20.balance", `{"account":"bob","token":"USDC"}`), "not_erc20", "tell the operator")

	down, err := ethclient.Dial("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	k = start(t, down)
	wantCode(t, call("chain.block", `{}`), "chain_unavailable", "try again")
	_, err = k.transfer().Send(t.Context(), tools.Signed{})
	wantCode(t, err, "bad_transaction", "was not sent")
}

func TestTransfer(t *testing.T) {
	k := start(t, dial(t))
	const args = `{"token":"USDC","to":"bob","amount":"5"}`
	sim, err := k.transfer().Simulate(t.Context(), k.read("erc20.transfer", args))
	if err != nil {
		t.Fatal(err)
	}
	seen := k.object(sim)
	if changes := text(seen["changes"]); seen["ok"] != true || seen["method"] != "eth_simulateV1" ||
		!strings.Contains(changes, `"after":"995000000"`) || !strings.Contains(changes, `"-5 USDC"`) ||
		!strings.Contains(changes, `"after":"30000000"`) || !strings.Contains(changes, `"+5 USDC"`) {
		t.Errorf("simulation: %s", sim)
	}
	if again, err := k.call("tx.simulate", args); err != nil || text(again) != text(seen) {
		t.Errorf("tx.simulate says %s, %v, the transfer %s", text(again), err, text(seen))
	}
	if got := k.display("bob", "USDC"); got != "25 USDC" {
		t.Errorf("after a simulation bob has %s", got)
	}

	s := k.sign(args, 0)
	if s.Nonce != 0 || s.Account != "eip155:1337:"+devchain.Accounts()["agent"].Address.Hex() {
		t.Errorf("signed %+v", s)
	}
	receipt := k.send(s)
	if receipt["status"] != "ok" || receipt["hash"] != s.Hash || receipt["block"] != "2" {
		t.Errorf("receipt %v", receipt)
	}
	if m := text(receipt["moves"]); !strings.Contains(m, `"display":"5 USDC"`) || !strings.Contains(m, `"name":"bob"`) {
		t.Errorf("moves %s", m)
	}
	if again := k.send(s); text(again) != text(receipt) {
		t.Errorf("sent again: %v, first %v", again, receipt)
	}
	k = start(t, k.client) // as after a restart, and many at once
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if again := k.send(s); text(again) != text(receipt) {
				t.Errorf("sent again: %v, first %v", again, receipt)
			}
		})
	}
	wg.Wait()
	other := start(t, k.client, func(c *chain.Config) { c.Key = devchain.Accounts()["alice"].Key })
	if again := other.send(s); text(again) != text(receipt) {
		t.Errorf("sent again after the key was changed: %v, first %v", again, receipt)
	}
	if bob, agent := k.display("bob", "USDC"), k.display("agent", "USDC"); bob != "30 USDC" || agent != "995 USDC" {
		t.Errorf("bob has %s and the agent %s; want one transfer of 5", bob, agent)
	}
	tx, err := k.call("chain.tx", `{"hash":"`+s.Hash+`"}`)
	if err != nil || text(tx) != text(receipt) {
		t.Errorf("chain.tx says %v, %v, the receipt %v", tx, err, receipt)
	}
}

func TestSimulationWithoutTheNodesHelpAgrees(t *testing.T) {
	client := dial(t)
	whole := start(t, client)
	plain := start(t, client, func(c *chain.Config) {
		c.Client = struct{ chain.Client }{c.Client} // hides SimulateV1
	})
	for _, args := range []string{
		`{"token":"USDC","to":"bob","amount":"5"}`, `{"token":"USDC","to":"agent","amount":"7"}`, `{"token":"USDC","to":"bob","amount":"1000.000001"}`,
	} {
		a, err := whole.call("tx.simulate", args)
		if err != nil {
			t.Fatal(err)
		}
		b, err := plain.call("tx.simulate", args)
		if err != nil {
			t.Fatal(err)
		}
		if a["ok"] != b["ok"] || text(a["changes"]) != text(b["changes"]) || text(a["reason"]) != text(b["reason"]) {
			t.Errorf("%s: the node says %s, we say %s", args, text(a), text(b))
		}
	}
}

func TestSignRefuses(t *testing.T) {
	client := dial(t)
	poor, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		rule, args string
		change     func(*chain.Config)
		code, want string
	}{
		{"more than the account holds", `{"token":"USDC","to":"mallory","amount":"1000.5"}`, nil,
			"insufficient_funds", "holds 1000 USDC, which is less than 1000.5 USDC"},
		{"the native coin", `{"token":"ETH","to":"bob","amount":"1"}`, nil, "not_erc20", "native coin"},
		{"gas above the operator's limit", `{"token":"USDC","to":"bob","amount":"1"}`, func(c *chain.Config) { c.MaxFee = 1 },
			"fee_too_high", "the operator allows 1"},
		{"an account without tokens", `{"token":"USDC","to":"bob","amount":"1"}`, func(c *chain.Config) { c.Key = poor },
			"insufficient_funds", "holds 0 USDC"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			changes := []func(*chain.Config){}
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			k := start(t, client, changes...)
			_, err := k.transfer().Sign(t.Context(), k.read("erc20.transfer", tt.args), 0)
			wantCode(t, err, tt.code, tt.want)
		})
	}
	t.Run("an account that cannot pay for gas", func(t *testing.T) {
		k := start(t, client)
		addr := crypto.PubkeyToAddress(poor.PublicKey)
		k.send(k.sign(`{"token":"USDC","to":"`+addr.Hex()+`","amount":"3"}`, 0))
		k = start(t, client, func(c *chain.Config) { c.Key = poor })
		_, err := k.transfer().Sign(t.Context(), k.read("erc20.transfer", `{"token":"USDC","to":"bob","amount":"1"}`), 0)
		wantCode(t, err, "insufficient_funds", "too little for a fee")
	})
}

func TestNonces(t *testing.T) {
	k := start(t, dial(t))
	const args = `{"token":"USDC","to":"bob","amount":"1"}`
	first, rival := k.sign(args, 0), k.sign(`{"token":"USDC","to":"alice","amount":"1"}`, 0)
	if second := k.sign(args, 1); first.Nonce != 0 || second.Nonce != 1 {
		t.Errorf("nonces %d and %d, want the floor to hold", first.Nonce, second.Nonce)
	}
	k.send(rival)
	_, err := k.transfer().Send(t.Context(), first)
	wantCode(t, err, "nonce_taken", "took nonce 0")
	if next := k.sign(args, 0); next.Nonce != 1 {
		t.Errorf("nonce %d, want the chain's", next.Nonce)
	}

	t.Run("a transaction behind a gap is open, not failed", func(t *testing.T) {
		s := k.sign(args, 7)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := k.transfer().Send(ctx, s)
		if _, told := errors.AsType[*tools.Error](err); told || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a node of another chain leaves it open", func(t *testing.T) {
		s := k.sign(args, 1)
		other := start(t, k.client, func(c *chain.Config) { c.Client = elsewhere{c.Client} })
		_, err := other.transfer().Send(t.Context(), s)
		if _, told := errors.AsType[*tools.Error](err); err == nil || told {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a transaction that is not what its record says is refused", func(t *testing.T) {
		for _, change := range []func(*tools.Signed){
			func(s *tools.Signed) { s.Nonce++ }, func(s *tools.Signed) { s.Account = "eip155:1:0x" }, func(s *tools.Signed) { s.Raw = "0x01" },
			func(s *tools.Signed) { s.Raw = "" }, func(s *tools.Signed) { s.Hash = rival.Hash },
			func(s *tools.Signed) { *s = foreign(t, devchain.Accounts()["alice"].Key, *s) },
		} {
			s := k.sign(args, 1)
			change(&s)
			_, err := k.transfer().Send(t.Context(), s)
			wantCode(t, err, "bad_transaction", "was not sent")
		}
	})
}

// elsewhere is a node that was pointed at another chain.
type elsewhere struct{ chain.Client }

func (elsewhere) ChainID(context.Context) (*big.Int, error) { return big.NewInt(1), nil }

// foreign signs the same transaction with another key.
func foreign(t *testing.T, key *ecdsa.PrivateKey, s tools.Signed) tools.Signed {
	t.Helper()
	to := common.Address{1}
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(1337)), &types.DynamicFeeTx{ChainID: big.NewInt(1337), Nonce: s.Nonce, To: &to})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	s.Hash, s.Raw = tx.Hash().Hex(), "0x"+common.Bytes2Hex(raw)
	return s
}

func TestWithoutAKeyTheToolsOnlyRead(t *testing.T) {
	list, err := chain.New(chain.Config{Client: (*ethclient.Client)(nil), Book: devchain.Book()})
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range list {
		if tool.Spec().Class != tools.Read && tool.Spec().Class != tools.WalletTx {
			t.Errorf("%s has class %s", tool.Spec().Name, tool.Spec().Class)
		}
	}
	if len(list) != 15 {
		t.Errorf("%d tools, want 15", len(list))
	}
	if _, err := chain.New(chain.Config{}); err == nil {
		t.Error("an empty configuration was accepted")
	}
}
