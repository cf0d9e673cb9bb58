package pool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/pool"
)

func startChain(t *testing.T) *devchain.Chain {
	t.Helper()
	c, err := devchain.Start(t.Context(), devchain.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// A sick endpoint of the chain: it answers the methods in answers, all if that has "*", and passes the rest on.
func sick(t *testing.T, chain string, answers map[string]string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		var q struct {
			ID     json.RawMessage
			Method string
		}
		if err := json.Unmarshal(body, &q); err != nil {
			t.Error(err)
			return
		}
		answer, ok := answers[q.Method]
		if !ok && q.Method != "eth_chainId" {
			answer, ok = answers["*"]
		}
		w.Header().Set("Content-Type", "application/json")
		if ok {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, q.ID, answer)
			return
		}
		resp, err := http.Post(chain, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		io.Copy(w, resp.Body)
	}))
	t.Cleanup(s.Close)
	return s
}

func dial(t *testing.T, urls ...string) *pool.Pool {
	t.Helper()
	p, err := pool.New(pool.Config{URLs: urls, Chain: devchain.ID, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func errorAnswer(code int, message string) string {
	return fmt.Sprintf(`"error":{"code":%d,"message":%q}`, code, message)
}

// sign makes a transaction of the faucet that nobody has sent yet.
func sign(t *testing.T, p *pool.Pool) *types.Transaction {
	t.Helper()
	from := devchain.Accounts()["alice"]
	nonce, err := p.PendingNonceAt(t.Context(), from.Address)
	if err != nil {
		t.Fatal(err)
	}
	to := common.Address{1, 2, 3}
	tx, err := types.SignNewTx(from.Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)), &types.DynamicFeeTx{
		ChainID: big.NewInt(devchain.ID), Nonce: nonce, To: &to, Value: big.NewInt(1), Gas: 21_000,
		GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e10),
	})
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// mined sends a transaction and waits until it is in a block.
func mined(t *testing.T, well *pool.Pool) *types.Transaction {
	t.Helper()
	tx := sign(t, well)
	if err := well.SendTransaction(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	for { // the chain mines by itself and is asked over HTTP
		_, err := well.TransactionReceipt(t.Context(), tx.Hash())
		if err == nil {
			return tx
		}
		// A node that indexes says so as an error of its own.
		if !errors.Is(err, ethereum.NotFound) && !errors.Is(err, pool.ErrUnavailable) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// asks asks each method of a pool once.
func asks(t *testing.T, chain *devchain.Chain) map[string]func(*pool.Pool) error {
	t.Helper()
	well := dial(t, chain.URL())
	head, err := well.HeaderByNumber(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tx := mined(t, well)
	ctx, usdc := t.Context(), devchain.Book().Tokens["USDC"].Address
	at := rpc.BlockNumberOrHashWithHash(head.Hash(), false)
	decimals := ethereum.CallMsg{To: &usdc, Data: common.FromHex("313ce567")}
	alice := devchain.Accounts()["alice"].Address
	return map[string]func(*pool.Pool) error{
		"eth_getBlockByNumber": func(p *pool.Pool) error { _, err := p.HeaderByNumber(ctx, nil); return err },
		"eth_getBlockTransactionCountByHash": func(p *pool.Pool) error {
			_, err := p.TransactionCount(ctx, head.Hash())
			return err
		},
		"eth_getTransactionByBlockHashAndIndex": func(p *pool.Pool) error {
			r, err := well.TransactionReceipt(ctx, tx.Hash())
			if err == nil {
				_, err = p.TransactionInBlock(ctx, r.BlockHash, r.TransactionIndex)
			}
			return err
		},
		"eth_getBalance": func(p *pool.Pool) error { _, err := p.BalanceAtHash(ctx, alice, head.Hash()); return err },
		"eth_call": func(p *pool.Pool) error {
			out, err := p.CallContractAtHash(ctx, decimals, head.Hash())
			if err == nil && new(big.Int).SetBytes(out).Int64() != 6 {
				err = fmt.Errorf("the token's decimals are %x", out)
			}
			return err
		},
		"eth_simulateV1": func(p *pool.Pool) error {
			_, err := p.SimulateV1(ctx, ethclient.SimulateOptions{
				BlockStateCalls: []ethclient.SimulateBlock{{Calls: []ethereum.CallMsg{decimals}}},
			}, &at)
			return err
		},
		"eth_getTransactionByHash": func(p *pool.Pool) error {
			_, _,
				err := p.TransactionByHash(ctx, tx.Hash())
			return err
		},
		"eth_getTransactionReceipt": func(p *pool.Pool) error { _, err := p.TransactionReceipt(ctx, tx.Hash()); return err },
		"eth_getTransactionCount":   func(p *pool.Pool) error { _, err := p.PendingNonceAt(ctx, alice); return err },
		"eth_getCode":               func(p *pool.Pool) error { _, err := p.CodeAt(ctx, usdc, nil); return err },
		"eth_maxPriorityFeePerGas":  func(p *pool.Pool) error { _, err := p.SuggestGasTipCap(ctx); return err },
		"eth_estimateGas":           func(p *pool.Pool) error { _, err := p.EstimateGas(ctx, decimals); return err },
		"eth_sendRawTransaction":    func(p *pool.Pool) error { return p.SendTransaction(ctx, sign(t, well)) },
	}
}

// TestWhatAnEndpointSaysOfItselfIsNotTheChains has a sick endpoint first and a healthy one behind it.
func TestWhatAnEndpointSaysOfItselfIsNotTheChains(t *testing.T) {
	var cases struct {
		Any      [][2]any `json:"any_method"`
		Send     [][2]any `json:"eth_sendRawTransaction"`
		Simulate [][2]any `json:"eth_simulateV1"`
	}
	data, err := os.ReadFile("testdata/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	chain := startChain(t)
	methods := asks(t, chain)
	check := func(method string, c [2]any) {
		t.Helper()
		code, message := int(c[0].(float64)), c[1].(string)
		bad := sick(t, chain.URL(), map[string]string{method: errorAnswer(code, message)})
		if err := methods[method](dial(t, bad.URL, chain.URL())); err != nil {
			t.Errorf("%s, %d %s, with a healthy endpoint behind: %v", method, code, message, err)
		}
		err := methods[method](dial(t, bad.URL))
		var has interface{ ErrorCode() int }
		switch {
		case method == "eth_sendRawTransaction" && message == "already known":
			if err != nil {
				t.Errorf("%s, %d %s, alone: %v; the endpoint has it", method, code, message, err)
			}
		case errors.As(err, &has) && has.ErrorCode() == -32601 && method == "eth_simulateV1": // none simulates
		case !errors.Is(err, pool.ErrUnavailable):
			t.Errorf("%s, %d %s, alone: %v, want %v", method, code, message, err, pool.ErrUnavailable)
		}
	}
	for method := range methods {
		for _, c := range cases.Any {
			check(method, c)
		}
	}
	for _, c := range cases.Send {
		check("eth_sendRawTransaction", c)
	}
	for _, c := range cases.Simulate {
		check("eth_simulateV1", c)
	}
}

func TestOtherTroubleOfAnEndpoint(t *testing.T) {
	chain := startChain(t)
	methods := asks(t, chain)
	for _, tt := range []struct{ name, method, answer string }{
		{"a call that answers nothing", "eth_call", `"result":"0x"`},
		{"a receipt in no block", "eth_getTransactionReceipt", `"result":{"transactionHash":"0x` +
			fmt.Sprintf("%064x", 1) + `","status":"0x1","cumulativeGasUsed":"0x1","gasUsed":"0x1","logs":[],"logsBloom":"0x` +
			fmt.Sprintf("%0512x", 0) + `","contractAddress":null,"type":"0x2"}`},
		{"a receipt that is an error while the transaction is pending", "eth_getTransactionReceipt",
			errorAnswer(-32000, "transaction indexing is in progress")},
		{"no block", "eth_getBlockByNumber", `"result":null`},
	} {
		bad := sick(t, chain.URL(), map[string]string{tt.method: tt.answer})
		if err := methods[tt.method](dial(t, bad.URL, chain.URL())); err != nil {
			t.Errorf("%s, with a healthy endpoint behind: %v", tt.name, err)
		}
	}
}

// What a receipt leaves out is not taken for a revert: the money has moved all the same. The next endpoint is asked, and
// without one the transaction waits.
func TestAReceiptThatDoesNotSayHowItCameOut(t *testing.T) {
	chain := startChain(t)
	tx := mined(t, dial(t, chain.URL()))
	says := func(hash, status string) string {
		return `"result":{"blockNumber":"0x1","blockHash":"0x` + fmt.Sprintf("%064x", 7) + `","transactionHash":"` + hash + `",` +
			status + `"transactionIndex":"0x0","cumulativeGasUsed":"0x1","gasUsed":"0x1","logs":[],"logsBloom":"0x` +
			fmt.Sprintf("%0512x", 0) + `","contractAddress":null,"type":"0x2"}`
	}
	own := tx.Hash().Hex()
	for _, tt := range []struct {
		name, answer string
		alone        error
	}{
		{"no status", says(own, ""), ethereum.NotFound},
		{"a null status", says(own, `"status":null,`), ethereum.NotFound},
		{"a root and no status", says(own, `"root":"0x`+fmt.Sprintf("%064x", 1)+`",`), ethereum.NotFound},
		{"a status of its own", says(own, `"status":"0x2",`), pool.ErrUnavailable},
		{"a status that is no number", says(own, `"status":true,`), pool.ErrUnavailable},
		{"another transaction's", says("0x"+fmt.Sprintf("%064x", 1), `"status":"0x0",`), pool.ErrUnavailable},
	} {
		bad := sick(t, chain.URL(), map[string]string{"eth_getTransactionReceipt": tt.answer})
		if r, err := dial(t, bad.URL, chain.URL()).TransactionReceipt(t.Context(), tx.Hash()); err != nil || r.Status != 1 {
			t.Errorf("%s, with a healthy endpoint behind: %+v, %v", tt.name, r, err)
		}
		if r, err := dial(t, bad.URL).TransactionReceipt(t.Context(), tx.Hash()); !errors.Is(err, tt.alone) {
			t.Errorf("%s, alone: %+v, %v, want %v", tt.name, r, err, tt.alone)
		}
	}
	for status, want := range map[string]uint64{"0x0": 0, "0x1": 1} {
		well := sick(t, chain.URL(), map[string]string{"eth_getTransactionReceipt": says(own, `"status":"`+status+`",`)})
		if r, err := dial(t, well.URL).TransactionReceipt(t.Context(), tx.Hash()); err != nil || r.Status != want {
			t.Errorf("the status %s: %+v, %v", status, r, err)
		}
	}
}

// What was not asked for is no answer: the next endpoint is asked, and nobody is told of another's transaction.
func TestAnotherTransactionOrBlockThanWasAskedFor(t *testing.T) {
	chain := startChain(t)
	well := dial(t, chain.URL())
	tx, other := mined(t, well), mined(t, well)
	get := func(method, params string) string {
		resp, err := http.Post(chain.URL(), "application/json",
			strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"`+method+`","params":[`+params+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var a struct{ Result json.RawMessage }
		if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
			t.Fatal(err)
		}
		return `"result":` + string(a.Result)
	}
	bad := sick(t, chain.URL(), map[string]string{
		"eth_getTransactionByHash": get("eth_getTransactionByHash", `"`+other.Hash().Hex()+`"`),
		"eth_getBlockByNumber":     get("eth_getBlockByNumber", `"0x0",true`),
	})
	both, alone := dial(t, bad.URL, chain.URL()), dial(t, bad.URL)
	if got, _, err := both.TransactionByHash(t.Context(), tx.Hash()); err != nil || got.Hash() != tx.Hash() {
		t.Errorf("a transaction: %v, %v", got, err)
	}
	if got, err := both.HeaderByNumber(t.Context(), big.NewInt(1)); err != nil || got.Number.Int64() != 1 {
		t.Errorf("a header: %v, %v", got, err)
	}
	if got, err := both.BlockByNumber(t.Context(), big.NewInt(1)); err != nil || got.Number().Int64() != 1 {
		t.Errorf("a block: %v, %v", got, err)
	}
	if got, _, err := alone.TransactionByHash(t.Context(), tx.Hash()); !errors.Is(err, pool.ErrUnavailable) {
		t.Errorf("a transaction of one endpoint alone: %v, %v", got, err)
	}
	if got, err := alone.HeaderByNumber(t.Context(), big.NewInt(1)); !errors.Is(err, pool.ErrUnavailable) {
		t.Errorf("a header of one endpoint alone: %v, %v", got, err)
	}
}

func TestAMethodThatAnEndpointLacksLeavesItItsOthers(t *testing.T) {
	chain := startChain(t)
	methods := asks(t, chain)
	first := sick(t, chain.URL(), map[string]string{"eth_simulateV1": errorAnswer(-32600, "unsupported method")})
	// The second endpoint would be noticed by its answer if it were asked.
	second := sick(t, chain.URL(), map[string]string{"eth_getBalance": errorAnswer(3, "execution reverted")})
	p := dial(t, first.URL, second.URL)
	if err := methods["eth_simulateV1"](p); err != nil {
		t.Fatal(err)
	}
	if err := methods["eth_getBalance"](p); err != nil {
		t.Errorf("the first endpoint was passed over for a method that it has: %v", err)
	}
}

// What a node says of a call that cannot be executed is the chain's, in the words of geth, Nethermind, Besu, Hardhat,
// Erigon and old Parity.
func TestReversionsAreTheChains(t *testing.T) {
	chain := startChain(t)
	methods := asks(t, chain)
	for _, answer := range []string{
		errorAnswer(3, "execution reverted: paused"),
		errorAnswer(-32000, "execution reverted"),
		errorAnswer(-32000, "Execution reverted"),
		errorAnswer(-32000, "execution reverted: no snapshot in the database"), // a contract's reason has any words
		errorAnswer(-32603, "Error: VM Exception while processing transaction: reverted with reason string 'paused'"),
		`"error":{"code":-32015,"message":"VM execution error.","data":"Reverted 0x08c379a0"}`,
		errorAnswer(-32000, "out of gas"),
		errorAnswer(-32000, "invalid opcode: INVALID"),
		errorAnswer(-32000, "insufficient funds for gas * price + value"),
		errorAnswer(-32000, "insufficient funds for transfer"),
		errorAnswer(-32000, "insufficient balance for transfer"),
		errorAnswer(-32010, "Insufficient funds. The account you tried to send transaction from does not have enough funds."),
	} {
		bad := sick(t, chain.URL(), map[string]string{"eth_estimateGas": answer, "eth_call": answer})
		p := dial(t, bad.URL, chain.URL())
		for _, m := range []string{"eth_estimateGas", "eth_call"} {
			if err := methods[m](p); err == nil || errors.Is(err, pool.ErrUnavailable) {
				t.Errorf("%s, %s: got %v, want the chain's answer", m, answer, err)
			}
		}
	}
}

func TestATransactionGoesToAllEndpoints(t *testing.T) {
	chain := startChain(t)
	got := make(chan string, 8)
	listening := func(name, answer string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var q struct {
				ID     json.RawMessage
				Method string
			}
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
				t.Error(err)
			}
			w.Header().Set("Content-Type", "application/json")
			if q.Method == "eth_chainId" {
				fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":"0x539"}`, q.ID)
				return
			}
			got <- name
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, q.ID, answer)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	p, err := pool.New(pool.Config{URLs: []string{
		listening("a", `"result":"0x00"`), listening("b", errorAnswer(-32000, "nonce too low")),
		listening("c", `"result":"0x00"`),
	}, Chain: devchain.ID})
	if err != nil {
		t.Fatal(err)
	}
	tx := sign(t, dial(t, chain.URL()))
	if err := p.SendTransaction(t.Context(), tx); err != nil {
		t.Errorf("two of three took it: %v", err)
	}
	p.Close() // waits for the broadcasts that nobody waited for
	if close(got); len(got) != 3 {
		t.Errorf("%d endpoints got the transaction, want 3", len(got))
	}
	refusing, err := pool.New(pool.Config{URLs: []string{answering(t, errorAnswer(-32000, "nonce too low")),
		answering(t, errorAnswer(-32603, "internal error"))}, Chain: devchain.ID})
	if err != nil {
		t.Fatal(err)
	}
	defer refusing.Close()
	if err := refusing.SendTransaction(context.WithoutCancel(t.Context()), tx); err == nil ||
		errors.Is(err, pool.ErrUnavailable) {
		t.Errorf("got %v, want the refusal by the chain's rules", err)
	}
}

// answering is an endpoint that gives one answer to everything but its chain.
func answering(t *testing.T, answer string) string {
	return sick(t, "", map[string]string{"eth_chainId": `"result":"0x539"`, "*": answer}).URL
}
