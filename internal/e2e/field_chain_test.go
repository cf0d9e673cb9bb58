package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/internal/eth/devchain"
)

// A sickEndpoint passes questions on to a chain, but for the methods that it answers by itself.
type sickEndpoint struct {
	*httptest.Server

	mu     sync.Mutex
	answer map[string]string // guarded by mu; by method, or for all as "*"; a whole body if it does not begin with a quote
	status int               // guarded by mu; of its own answers
}

func startSick(t *testing.T, chain string) *sickEndpoint {
	t.Helper()
	e := &sickEndpoint{}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the server took the question back
		}
		var q struct {
			ID     json.RawMessage
			Method string
		}
		if json.Unmarshal(body, &q) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		e.mu.Lock()
		answer, ok := e.answer[q.Method]
		if !ok {
			answer, ok = e.answer["*"]
		}
		status := e.status
		e.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case ok && strings.HasPrefix(answer, `"`):
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, q.ID, answer)
		case ok:
			w.WriteHeader(status)
			_, _ = io.WriteString(w, answer)
		default:
			resp, err := http.Post(chain, "application/json", bytes.NewReader(body))
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			defer resp.Body.Close()
			_, _ = io.Copy(w, resp.Body)
		}
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *sickEndpoint) set(status int, method, answer string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.answer = status, map[string]string{method: answer}
}

type sickness struct {
	name, method, answer string
	status               int
}

// listSicknesses returns what endpoints answer when the fault is theirs.
func listSicknesses(t *testing.T) (out []sickness) {
	t.Helper()
	var cases struct {
		Any      [][2]any `json:"any_method"`
		Send     [][2]any `json:"eth_sendRawTransaction"`
		Simulate [][2]any `json:"eth_simulateV1"`
	}
	b, err := os.ReadFile(filepath.Join(root, "internal/eth/pool/testdata/answers.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	put := func(method string, list [][2]any) {
		for _, c := range list {
			out = append(out, sickness{fmt.Sprint(method, " ", c[0], " ", c[1]), method,
				fmt.Sprintf(`"error":{"code":%v,"message":%q}`, c[0], c[1]), 200})
		}
	}
	put("*", cases.Any)
	put("eth_sendRawTransaction", cases.Send)
	put("eth_simulateV1", cases.Simulate)
	return append(out,
		sickness{"a call that answers nothing", "eth_call", `"result":"0x"`, 200},
		sickness{"a receipt that is an error", "eth_getTransactionReceipt",
			`"error":{"code":-32000,"message":"transaction indexing is in progress"}`, 200},
		sickness{"a receipt in no block", "eth_getTransactionReceipt", `"result":{"status":"0x1","logs":[]}`, 200},
		sickness{"a page", "*", "<html><body>Bad gateway</body></html>", 200},
		sickness{"a page and 502", "*", "<html><body>Bad gateway</body></html>", 502},
		sickness{"429", "*", `{"error":"slow down"}`, 429},
		sickness{"401", "*", `{"message":"invalid key"}`, 401},
		sickness{"403", "*", "error code: 1010", 403},
		sickness{"503, an error in JSON-RPC", "*", `"error":{"code":-32000,"message":"overloaded"}`, 503},
		sickness{"no body", "*", " ", 200},
		sickness{"half a body", "*", `{"jsonrpc":"2.0","id":1,"resu`, 200},
		sickness{"another's answer", "*", `{"jsonrpc":"2.0","id":987654,"result":"0x1"}`, 200},
		sickness{"neither result nor error", "*", `{"jsonrpc":"2.0","id":1}`, 200},
		sickness{"null", "*", `"result":null`, 200},
		sickness{"no newest block", "eth_getBlockByNumber", `"result":null`, 200},
		sickness{"no count of transactions", "eth_getTransactionCount", `"result":"0x"`, 200},
		sickness{"no fees", "eth_maxPriorityFeePerGas", `"error":{"code":-32601,"message":"no such method"}`, 200},
		sickness{"no gas", "eth_estimateGas", `"error":{"code":-32000,"message":"backend timed out"}`, 200},
	)
}

// testEndpointsOfTheField has a sick endpoint before a well one: users read balances and pay, and each payment is made
// once.
func testEndpointsOfTheField(t *testing.T, bin string) {
	all := listSicknesses(t)
	const servers = 4 // each of which waits for its chain most of the time
	for i := range servers {
		t.Run(fmt.Sprint(i+1), func(t *testing.T) {
			t.Parallel()
			testSicknesses(t, bin, all[i*len(all)/servers:(i+1)*len(all)/servers])
		})
	}
}

func testSicknesses(t *testing.T, bin string, list []sickness) {
	chain, err := devchain.Start(t.Context(), devchain.Config{Addr: "127.0.0.1:0", Interval: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { chain.Close() })
	sick := startSick(t, chain.URL())
	home := t.TempDir()
	config := filepath.Join(home, "writ.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "wallets: [any]\nagents: [%s]\nchain: {id: 1337, rpc: [%s, %s]}\n",
		writeAgent(t), sick.URL, chain.URL()), 0o600); err != nil {
		t.Fatal(err)
	}
	r := serve(t, filepath.Join(bin, "writ"), home, "serve", "--config", config, "--data", filepath.Join(home, "data"))
	p := signIn(t, bin, r.URL, "fielder")
	before, paid := bobsUSDC(t, chain), int64(0)
	for _, s := range list {
		sick.set(s.status, s.method, s.answer)
		if e := p.run("what is bob's USDC balance?"); e.Exit != 0 || !strings.Contains(e.Said, "USDC") {
			t.Errorf("%s: a balance: %+v", s.name, e)
		}
		e := p.run("send 0.1 USDC to bob", "--yes-approve")
		if e.Exit != 0 || !strings.Contains(e.Said, "Sent 0.1 USDC to bob") {
			t.Errorf("%s: a payment: %+v", s.name, e)
		}
		paid += 100_000
		if got := bobsUSDC(t, chain); got != before+paid {
			t.Fatalf("%s: bob has %d more, want %d", s.name, got-before, paid)
		}
	}
}

func bobsUSDC(t *testing.T, chain *devchain.Chain) int64 {
	t.Helper()
	c, err := ethclient.DialContext(t.Context(), chain.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	token := devchain.Book().Tokens["USDC"].Address
	data := append(common.FromHex("70a08231"), common.LeftPadBytes(devchain.Accounts()["bob"].Address.Bytes(), 32)...)
	out, err := c.CallContract(t.Context(), ethereum.CallMsg{To: &token, Data: data}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(out).Int64()
}
