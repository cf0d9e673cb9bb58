package devchain_test

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"flag"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/eth/pool"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools"
)

var update = flag.Bool("update", false, "write the golden files")

func startDev(t *testing.T) *devchain.Chain {
	t.Helper()
	d, err := devchain.Start(t.Context(), devchain.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func dialPool(t *testing.T, urls ...string) *pool.Pool {
	t.Helper()
	p, err := pool.New(pool.Config{URLs: urls, Chain: devchain.ID, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func balance(t *testing.T, p *pool.Pool, account common.Address) int64 {
	t.Helper()
	head, err := p.HeaderByNumber(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	usdc := devchain.Book().Tokens["USDC"].Address
	data := append(common.FromHex("70a08231"), common.LeftPadBytes(account[:], 32)...)
	out, err := p.CallContractAtHash(t.Context(), ethereum.CallMsg{To: &usdc, Data: data}, head.Hash())
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(out).Int64()
}

func send(t *testing.T, p *pool.Pool, key *ecdsa.PrivateKey, nonce uint64, to common.Address, data []byte) common.Hash {
	t.Helper()
	tx, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: &to, Data: data, Gas: 100_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SendTransaction(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	return tx.Hash()
}

// receipt waits until the transaction is mined.
func receipt(t *testing.T, p *pool.Pool, hash common.Hash) *types.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		newest, err := p.HeaderByNumber(ctx, nil)
		var r *types.Receipt
		if err == nil {
			r, err = p.TransactionReceipt(ctx, hash)
		}
		// A receipt is served a moment before the newest state is that of its block.
		if err == nil && newest.Number.Cmp(r.BlockNumber) >= 0 {
			return r
		}
		if ctx.Err() != nil {
			t.Fatalf("%s is not mined: %v", hash, err)
		}
		time.Sleep(5 * time.Millisecond) // the node mines by itself and is asked over HTTP
	}
}

func TestDevChain(t *testing.T) {
	d := startDev(t)
	p := dialPool(t, d.URL())
	acc := devchain.Accounts()
	for name, want := range map[string]int64{"agent": 1000e6, "alice": 1000e6, "bob": 25e6, "mallory": 0} {
		if got := balance(t, p, acc[name].Address); got != want {
			t.Errorf("%s has %d units of USDC, want %d", name, got, want)
		}
	}
	usdc := devchain.Book().Tokens["USDC"].Address
	move := func(to common.Address, n int64) []byte {
		return append(append(common.FromHex("a9059cbb"), common.LeftPadBytes(to[:], 32)...), common.LeftPadBytes(big.NewInt(n).Bytes(), 32)...)
	}
	var last common.Hash
	for nonce := range uint64(20) { // more than one block's worth of waiting transactions
		last = send(t, p, acc["alice"].Key, nonce, usdc, move(acc["bob"].Address, 1e6))
	}
	if r := receipt(t, p, last); r.Status != 1 {
		t.Error("a transfer was reverted")
	}
	if got := balance(t, p, acc["bob"].Address); got != 45e6 {
		t.Errorf("bob has %d, want 45 USDC", got)
	}
	if r := receipt(t, p, send(t, p, acc["mallory"].Key, 0, usdc, move(acc["bob"].Address, 1))); r.Status != 0 {
		t.Error("mallory sent what she does not have")
	}
	mint := append(common.FromHex("40c10f19"), move(acc["mallory"].Address, 1e6)[4:]...)
	if r := receipt(t, p, send(t, p, acc["mallory"].Key, 1, usdc, mint)); r.Status != 0 {
		t.Error("mallory minted")
	}
}

func TestDevChainIsTheSameEachTime(t *testing.T) {
	got := append(devchain.Book().JSON(), '\n')
	if _, err := tools.ParseBook(got); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/book.json", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile("testdata/book.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(golden) {
		t.Errorf("got %s, want %s: wallets and records know these addresses", got, golden)
	}
}

func TestDevChainRefuses(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, tt := range []struct {
		rule string
		c    devchain.Config
		want string
	}{
		{"a port in use", devchain.Config{Addr: l.Addr().String()}, "choose another port"},
		{"an address that others can reach", devchain.Config{Addr: "0.0.0.0:0"}, "not on loopback"},
		{"no port", devchain.Config{Addr: "127.0.0.1"}, "not host:port"},
		{"a port that is none", devchain.Config{Addr: "127.0.0.1:70000"}, "between 0 and 65535"},
		{"an interval that is too long", devchain.Config{Interval: time.Hour}, "between 0 and 1 minute"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			d, err := devchain.Start(t.Context(), tt.c)
			if err == nil {
				d.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if tt.rule == "a port in use" && !errors.Is(err, devchain.ErrInUse) {
				t.Errorf("%v is not ErrInUse", err)
			}
		})
	}
}

func TestCloseTwice(t *testing.T) {
	d := startDev(t)
	if err := errors.Join(d.Close(), d.Close()); err != nil {
		t.Error(err)
	}
}

func TestPool(t *testing.T) {
	answer := func(status int, body string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			w.Write([]byte(body))
		}))
		t.Cleanup(s.Close)
		return s
	}
	gone := answer(200, "")
	gone.Close()
	bad := map[string]*httptest.Server{
		"an endpoint that is gone":         gone,
		"an endpoint that is down":         answer(503, "no"),
		"an endpoint over its rate":        answer(429, "no"),
		"an endpoint that talks nonsense":  answer(200, "<html>"),
		"an endpoint of another chain":     answer(200, `{"jsonrpc":"2.0","id":1,"result":"0x1"}`),
		"an endpoint that redirects":       redirect(t),
		"an endpoint that never stops":     answer(200, `{"jsonrpc":"2.0","id":1,"result":"`+strings.Repeat("0", 9<<20)+`"}`),
		"an endpoint with an error inside": answer(200, `{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"rate"}}`),
	}
	d := startDev(t)
	for rule, s := range bad {
		t.Run(rule+" is passed over", func(t *testing.T) {
			if _, err := dialPool(t, s.URL, d.URL()).HeaderByNumber(t.Context(), nil); err != nil {
				t.Error(err)
			}
		})
		t.Run(rule+" alone is unavailable, and its key is not told", func(t *testing.T) {
			_, err := dialPool(t, s.URL+"/v3/SECRET").HeaderByNumber(t.Context(), nil)
			if !errors.Is(err, pool.ErrUnavailable) || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("what the chain says no to is not asked again", func(t *testing.T) {
		usdc := devchain.Book().Tokens["USDC"].Address
		_, err := dialPool(t, d.URL(), gone.URL).EstimateGas(t.Context(), ethereum.CallMsg{To: &usdc, Data: []byte{1, 2, 3, 4}})
		if err == nil || errors.Is(err, pool.ErrUnavailable) || !strings.Contains(err.Error(), "revert") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("what no endpoint has is not found", func(t *testing.T) {
		if _, err := dialPool(t, d.URL()).TransactionReceipt(t.Context(), common.Hash{1}); !errors.Is(err, ethereum.NotFound) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a cancelled call is cancelled, not unavailable", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := dialPool(t, d.URL()).ChainID(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
	for rule, c := range map[string]pool.Config{
		"no endpoint": {Chain: 1}, "no chain id": {URLs: []string{"http://x"}}, "a URL of another kind": {URLs: []string{"ws://x/SECRET"}, Chain: 1},
	} {
		if _, err := pool.New(c); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: got %v", rule, err)
		}
	}
}

func redirect(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusTemporaryRedirect))
	t.Cleanup(s.Close)
	return s
}

// TestContractIsReproducible compiles all contracts again, if the compiler is installed.
func TestContractIsReproducible(t *testing.T) {
	if _, err := os.Stat("contracts/node_modules/solc"); err != nil {
		t.Skip("the compiler is not installed: run npm ci in internal/eth/devchain/contracts")
	}
	cmd := exec.CommandContext(t.Context(), "node", "build.mjs", "--check")
	cmd.Dir = "contracts"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
