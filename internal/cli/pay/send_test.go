package pay

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/holiman/uint256"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/tools/calldata"
)

// A call is signed once and paid once, however often it is said; and by the wallet that is asked, on its chain.
func TestACallIsPaidOnce(t *testing.T) {
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	node, err := ethclient.DialContext(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.Close)
	home, out := t.TempDir(), new(bytes.Buffer)
	env := map[string]string{"WRIT_HOME": home}
	for name, a := range devchain.Accounts() {
		env[name] = hex.EncodeToString(crypto.FromECDSA(a.Key))
	}
	shell := &cli.Shell{In: new(bytes.Buffer), Out: out, Err: out, Env: func(name string) string { return env[name] }}
	p := &payer{Shell: shell, with: "env:alice", rpc: d.URL(), maxGwei: pool.MaxGwei, yes: true}
	token, bob := devchain.Book().Tokens["USDC"].Address, devchain.Book().Names["bob"]
	data := "0xa9059cbb" + strings.Repeat("0", 24) + strings.ToLower(bob.Hex()[2:]) + strings.Repeat("0", 57) + "4c4b40" + "0"
	call := wire.WalletCall{
		Run: "bafyrun", Effect: wire.Ref{Seq: 3}, Chain: devchain.ID, From: devchain.Accounts()["alice"].Address.Hex(),
		To: token.Hex(), Value: "0x0", Data: data,
	}
	for rule, change := range map[string]func(p *payer, c *wire.WalletCall){
		"another wallet's key": func(p *payer, _ *wire.WalletCall) { p.with = "env:mallory" },
		"another chain":        func(_ *payer, c *wire.WalletCall) { c.Chain = 1 },
		"nobody agrees":        func(p *payer, _ *wire.WalletCall) { p.yes = false },
		"no transaction":       func(_ *payer, c *wire.WalletCall) { c.To = "bob" },
		"what would fail":      func(_ *payer, c *wire.WalletCall) { c.Data = c.Data[:10] },
		"no endpoint":          func(p *payer, _ *wire.WalletCall) { p.rpc = "http://127.0.0.1:1" },
	} {
		q, c := *p, call
		change(&q, &c)
		if hash, err := q.broadcast(t.Context(), c); err == nil || strings.Contains(err.Error(), env["alice"]) {
			t.Errorf("%s: %s, %v", rule, hash, err)
		}
	}
	first, err := p.broadcast(t.Context(), call)
	if err != nil {
		t.Fatal(err)
	}
	for { // the node mines by itself
		if r, err := node.TransactionReceipt(t.Context(), common.HexToHash(first)); err == nil {
			if r.Status != 1 {
				t.Fatal("it was reverted")
			}
			break
		}
		time.Sleep(time.Millisecond) // the node is asked over HTTP
	}
	for range 2 {
		if again, err := p.broadcast(t.Context(), call); err != nil || again != first {
			t.Errorf("said again: %s, %v; want %s", again, err, first)
		}
	}
	paid, err := node.CallContract(t.Context(), ethereum.CallMsg{
		To: &token, Data: append(common.FromHex("0x70a08231"), common.LeftPadBytes(bob.Bytes(), 32)...),
	}, nil)
	if want := int64(25_000_000 + 0x4c4b400); err != nil || new(big.Int).SetBytes(paid).Int64() != want {
		t.Errorf("bob has %s, %v; want %d", new(big.Int).SetBytes(paid), err, want)
	}
	if strings.Contains(out.String(), env["alice"]) {
		t.Error("the key is shown")
	}
}

// A signed transaction goes to the endpoint that is named and to no host that this one names; and what the endpoint says
// of itself is not told as the chain's word.
func TestASignedTransactionIsNotSentElsewhere(t *testing.T) {
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the signed transaction was sent on to another host")
	}))
	t.Cleanup(other.Close)
	chain, err := url.Parse(d.URL())
	if err != nil {
		t.Fatal(err)
	}
	pass := httputil.NewSingleHostReverseProxy(chain)
	for refusal, answer := range map[string]http.HandlerFunc{
		"HTTP 307": http.RedirectHandler(other.URL, http.StatusTemporaryRedirect).ServeHTTP,
		"insufficient balance": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"insufficient balance"}}`)
		},
	} {
		ends := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if bytes.Contains(body, []byte("eth_sendRawTransaction")) {
				answer(w, r)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			pass.ServeHTTP(w, r)
		}))
		t.Cleanup(ends.Close)
		env := map[string]string{
			"WRIT_HOME": t.TempDir(), "alice": hex.EncodeToString(crypto.FromECDSA(devchain.Accounts()["alice"].Key)),
		}
		out := new(bytes.Buffer)
		shell := &cli.Shell{In: out, Out: out, Err: out, Env: func(name string) string { return env[name] }}
		p := &payer{Shell: shell, with: "env:alice", rpc: ends.URL, maxGwei: pool.MaxGwei, yes: true}
		_, err = p.broadcast(t.Context(), wire.WalletCall{
			Run: "bafyrun", Effect: wire.Ref{Seq: 3}, Chain: devchain.ID, From: devchain.Accounts()["alice"].Address.Hex(),
			To: devchain.Book().Names["bob"].Hex(), Value: "0x1", Data: "0x",
		})
		if err == nil || !strings.Contains(err.Error(), "the endpoint of --rpc") ||
			strings.Contains(err.Error(), "the chain does not take") || !strings.Contains(err.Error(), refusal) {
			t.Errorf("%s: %v", refusal, err)
		}
	}
}

// What an endpoint says that gas costs is paid by the wallet, so there is a bound on it, and it is told before it is
// signed. A block without a base fee is that of a chain without one.
func TestWhatAnEndpointSaysThatGasCosts(t *testing.T) {
	d, err := devchain.Start(t.Context(), devchain.Config{Interval: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	const dear = "0xde0b6b3a7640000" // 1 ETH for a unit
	for name, tt := range map[string]struct{ tip, base, err string }{
		"as it is":                    {},
		"a tip of 1 ETH":              {tip: dear, err: "gas costs more than may be offered"},
		"a base fee of 1 ETH":         {base: `"baseFeePerGas":"` + dear + `"`, err: "gas costs more than may be offered"},
		"a block without a base fee":  {base: `"aside":null`},
		"a block whose base fee is 0": {base: `"baseFeePerGas":"0x0"`},
	} {
		ends := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			resp, err := http.Post(d.URL(), "application/json", bytes.NewReader(body))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			answer, _ := io.ReadAll(resp.Body)
			switch {
			case tt.tip != "" && bytes.Contains(body, []byte("eth_maxPriorityFeePerGas")):
				answer = regexp.MustCompile(`"result":"[^"]*"`).ReplaceAll(answer, []byte(`"result":"`+tt.tip+`"`))
			case tt.base != "" && bytes.Contains(body, []byte("eth_getBlockByNumber")):
				answer = regexp.MustCompile(`"baseFeePerGas":"[^"]*"`).ReplaceAll(answer, []byte(tt.base))
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer)
		}))
		t.Cleanup(ends.Close)
		node, err := pool.New(pool.Config{URLs: []string{ends.URL}, Chain: devchain.ID})
		if err != nil {
			t.Fatal(err)
		}
		defer node.Close()
		call := wire.WalletCall{
			Chain: devchain.ID, From: devchain.Accounts()["alice"].Address.Hex(), To: devchain.Book().Names["bob"].Hex(),
			Value: "0x1", Data: "0x",
		}
		tx, err := makeTransaction(t.Context(), node, call, pool.MaxGwei)
		if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %v, %v; want %q", name, tx, err, tt.err)
		}
	}
}

// A transaction that was counted for an equal call is that call's; this one has what was signed for that, if anything
// was, and else is signed anew.
func TestATransactionThatWasCountedForAnother(t *testing.T) {
	home := t.TempDir()
	shell := &cli.Shell{Env: func(name string) string { return map[string]string{"WRIT_HOME": home}[name] }}
	p := &payer{Shell: shell}
	to, key := devchain.Book().Names["bob"], devchain.Accounts()["alice"].Key
	sign := func(nonce uint64, value int64) signedCall {
		tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
			ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: &to, Value: big.NewInt(value),
		})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := tx.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return signedCall{Raw: hexutil.Encode(raw)}
	}
	call := func(seq uint64) wire.WalletCall { return wire.WalletCall{Run: "run", Effect: wire.Ref{Seq: seq}} }
	first, later, old, other, waits := sign(5, 1), sign(6, 1), sign(4, 1), sign(7, 2), sign(8, 1)
	for rule, tt := range map[string]struct{ before, after map[string]signedCall }{
		"exchanged for the later": {
			map[string]signedCall{"run/12.0": first, "run/11.0": later, "run/2.0": old, "run/20.0": waits},
			map[string]signedCall{"run/12.0": later, "run/11.0": first, "run/2.0": old, "run/20.0": waits},
		},
		"nothing to exchange": {
			map[string]signedCall{"run/12.0": first, "run/11.0": other, "run/2.0": old, "run/20.0": waits},
			map[string]signedCall{"run/11.0": other, "run/2.0": old, "run/20.0": waits},
		},
		"said by hand": {map[string]signedCall{"run/2.0": old}, map[string]signedCall{"run/2.0": old}},
	} {
		if err := p.Save(sentFile, tt.before); err != nil {
			t.Fatal(err)
		}
		if err := p.passOn(call(12), []wire.WalletCall{call(12), call(20)}); err != nil {
			t.Errorf("%s: %v", rule, err)
		}
		got := map[string]signedCall{}
		if err := p.Load(sentFile, &got); err != nil || !maps.Equal(got, tt.after) {
			t.Errorf("%s: %v, %v", rule, got, err)
		}
	}
}

// The list says what would move and why the wallet would be asked, beside the command that sends it.
func TestTheListShowsWhatACallMoves(t *testing.T) {
	out := new(bytes.Buffer)
	p := &payer{Shell: &cli.Shell{Out: out, Err: out}}
	if err := p.list([]wire.WalletCall{{
		Run: "bafyrun", Text: "wallet.send: 1 USDC", Summary: []byte(`{"debit":"2 USDC","credit":"1 USDC","why":["it differs"]}`),
	}}); err != nil {
		t.Fatal(err)
	}
	want := "bafyrun  wallet.send: 1 USDC\n  would leave: 2 USDC\n  would arrive: 1 USDC\n  because: it differs\n  cast send "
	if !strings.HasPrefix(out.String(), want) {
		t.Errorf("listed as:\n%s", out)
	}
	out.Reset()
	if err := p.list([]wire.WalletCall{{Run: "bafyrun", Text: "wallet.send: 1 USDC", Sent: "0xabc", Summary: []byte(`{"debit":"1 USDC"}`)}}); err != nil {
		t.Fatal(err)
	}
	if want := "bafyrun  wallet.send: 1 USDC\n  would leave: 1 USDC\n  sent as 0xabc; do not send another one\n"; out.String() != want {
		t.Errorf("what was sent is listed as:\n%s", out)
	}
}

// What somebody has sent for a call is not signed a second time.
func TestWhatWasSentIsNotSignedAgain(t *testing.T) {
	home := t.TempDir()
	p := &payer{Shell: &cli.Shell{Env: func(name string) string { return map[string]string{"WRIT_HOME": home}[name] }}, yes: true}
	_, err := p.signOnce(t.Context(), nil, nil, wire.WalletCall{Run: "bafyrun", Sent: "0xabc"})
	if err == nil || !strings.Contains(err.Error(), "0xabc was said to be sent for it") {
		t.Errorf("got %v", err)
	}
}

// What a smart account does in one transaction is said call by call, by its bytes.
func TestEachCallOfABatchIsTold(t *testing.T) {
	alice, token, vault := common.HexToAddress("0xa11ce"), common.HexToAddress("0x70"), common.HexToAddress("0x7a")
	allow := common.FromHex("095ea7b3" + strings.Repeat("0", 62) + "7a" + strings.Repeat("0", 63) + "5")
	c, err := calldata.PackBatch(alice, calldata.Call{To: token, Value: new(uint256.Int), Data: allow},
		calldata.Call{To: vault, Value: uint256.NewInt(3), Data: []byte{1, 2, 3, 4}})
	if err != nil {
		t.Fatal(err)
	}
	says := describe(types.NewTx(&types.DynamicFeeTx{To: &c.To, Value: new(big.Int), Data: c.Data}), alice)
	want := fmt.Sprintf("let spend 5 of the smallest units of token %s to %s; then, or nothing of it: 3 wei and 4 bytes of call data "+
		"(01020304) to %s", token, vault, vault)
	if says != want {
		t.Errorf("got %q, want %q", says, want)
	}
}
