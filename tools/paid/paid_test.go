package paid

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/params"

	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/mined"
	"github.com/writ-run/writ/tools/x402"
)

// A market is a dev chain and a server that sells.
type market struct {
	t     *testing.T
	node  *ethclient.Client
	pool  *pool.Pool
	url   string
	chain string // its address
	sells func(m *market, w http.ResponseWriter, r *http.Request, visit int)

	mu       sync.Mutex
	visits   int
	payments []string // headers that paid, as they came
	posted   []string // of each request that posted: its type, a blank, and its body
	nonce    uint64   // of bob, who settles
}

var usdc = money.Asset{Symbol: "USDC", Decimals: 6}

func openMarket(t *testing.T, sells func(m *market, w http.ResponseWriter, r *http.Request, visit int)) *market {
	t.Helper()
	d, err := devchain.Start(t.Context(), devchain.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := pool.New(pool.Config{URLs: []string{d.URL()}, Chain: devchain.ID, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	node, err := ethclient.DialContext(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	m := &market{t: t, node: node, pool: p, chain: d.URL(), sells: sells}
	s := httptest.NewServer(m)
	m.url = strings.Replace(s.URL, "127.0.0.1", "shop.example", 1)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
		node.Close()
		p.Close()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *market) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.visits++
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			m.t.Error(err)
		}
		m.posted = append(m.posted, r.Header.Get("Content-Type")+" "+string(body))
	}
	if h := paymentOf(r); h != "" {
		m.payments = append(m.payments, h)
	}
	m.sells(m, w, r, m.visits)
}

func paymentOf(r *http.Request) string {
	return r.Header.Get("PAYMENT-SIGNATURE") + r.Header.Get("X-PAYMENT")
}

// terms are what the honest server wants.
func terms() map[string]any {
	return map[string]any{
		"scheme": "exact", "network": "eip155:1337", "amount": "10000", "asset": devchain.Book().Tokens["USDC"].Address.Hex(),
		"payTo": devchain.Accounts()["mallory"].Address.Hex(), "maxTimeoutSeconds": 60,
		"extra": map[string]any{"name": "USD Coin (dev)", "version": "2"},
	}
}

// offer answers 402 with changed terms.
func offer(w http.ResponseWriter, change func(map[string]any)) {
	t := terms()
	if change != nil {
		change(t)
	}
	b, _ := json.Marshal(map[string]any{"x402Version": 2, "resource": map[string]any{"url": "x"}, "accepts": []any{t}})
	w.Header().Set("PAYMENT-REQUIRED", base64.StdEncoding.EncodeToString(b))
	w.WriteHeader(http.StatusPaymentRequired)
}

// settle has the token take a payment, and returns the transaction; "" if it reverts.
func (m *market) settle(header string) string {
	raw, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		m.t.Error(err)
	}
	var p struct {
		Payload struct {
			Signature     hexutil.Bytes
			Authorization struct{ From, To, Value, ValidAfter, ValidBefore, Nonce string }
		}
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		m.t.Error(err)
	}
	a, sig := p.Payload.Authorization, p.Payload.Signature
	number := func(s string) []byte {
		n, _ := new(big.Int).SetString(s, 10)
		return common.LeftPadBytes(n.Bytes(), 32)
	}
	return m.take(slices.Concat(selTransfer, wordOfAddress(common.HexToAddress(a.From)),
		wordOfAddress(common.HexToAddress(a.To)), number(a.Value), number(a.ValidAfter), number(a.ValidBefore),
		common.FromHex(a.Nonce), wordOf(uint64(sig[64])), sig[:64]))
}

// take calls the token with a payment, and returns the transaction; "" if it reverts.
func (m *market) take(data []byte) string {
	to := devchain.Book().Tokens["USDC"].Address
	tx, err := types.SignNewTx(devchain.Accounts()["bob"].Key, types.LatestSignerForChainID(big.NewInt(devchain.ID)),
		&types.DynamicFeeTx{
			ChainID: big.NewInt(devchain.ID), Nonce: m.nonce, To: &to, Data: data, Gas: 300_000,
			GasTipCap: big.NewInt(params.GWei), GasFeeCap: big.NewInt(10 * params.GWei),
		})
	if err != nil {
		m.t.Error(err)
	}
	m.nonce++
	if err := m.node.SendTransaction(m.t.Context(), tx); err != nil {
		m.t.Error(err)
	}
	for {
		r, err := m.node.TransactionReceipt(m.t.Context(), tx.Hash())
		switch {
		case err == nil && r.Status == 1:
			return tx.Hash().Hex()
		case err == nil:
			return ""
		case m.t.Context().Err() != nil:
			return ""
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// another is the transaction that gave the agent its money.
func (m *market) another() string {
	b, err := m.node.BlockByNumber(m.t.Context(), big.NewInt(1))
	if err != nil {
		m.t.Error(err)
		return ""
	}
	return b.Transactions()[1].Hash().Hex()
}

func says(w http.ResponseWriter, success bool, tx string) {
	b, _ := json.Marshal(map[string]any{"success": success, "transaction": tx, "network": "eip155:1337", "errorReason": map[bool]string{false: "invalid"}[success]})
	w.Header().Set("PAYMENT-RESPONSE", base64.StdEncoding.EncodeToString(b))
}

// honest takes the money and delivers.
func honest(m *market, w http.ResponseWriter, r *http.Request, _ int) {
	if paymentOf(r) == "" {
		offer(w, nil)
		return
	}
	tx := m.settle(paymentOf(r))
	if says(w, tx != "", tx); tx == "" {
		w.WriteHeader(http.StatusPaymentRequired)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"report":"sunny"}`)
}

// tools makes the two tools of a server that is asked with GET; window is for how long an authorisation holds.
func (m *market) tools(window time.Duration) (ask, get *Tool) {
	m.t.Helper()
	list := m.toolsOf(window, http.MethodGet)
	return list[0], list[1]
}

func (m *market) toolsOf(window time.Duration, methods ...string) []*Tool {
	m.t.Helper()
	list, err := New(Config{
		Name: "paid", Methods: methods, Hosts: []string{"shop.example"}, Book: devchain.Book(), Most: []money.Amount{money.Of(usdc, 50_000)},
		Private: true, Timeout: 5 * time.Second,
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	for i, t := range list {
		if list[i], err = t.On(m.pool, devchain.Accounts()["agent"].Key, ""); err != nil {
			m.t.Fatal(err)
		}
		list[i].cfg.Window, list[i].skew, list[i].least = window, 0, 0
	}
	return list
}

// input is a call of a tool, read as the runtime reads it.
func (m *market) input(t *Tool, args map[string]string) tools.Input {
	m.t.Helper()
	d, err := tools.Compile(t.Spec())
	if err != nil {
		m.t.Fatal(err)
	}
	raw, err := json.Marshal(args)
	if err != nil {
		m.t.Fatal(err)
	}
	a, err := d.Read(raw)
	if err != nil {
		m.t.Fatal(err)
	}
	return tools.Input{Args: a, Key: [32]byte{1, 2, 3}, At: time.Now().UnixMilli()}
}

func (m *market) args(change ...string) map[string]string {
	a := map[string]string{"url": m.url + "/report", "amount": "0.01", "token": "USDC", "to": "mallory"}
	for i := 0; i+1 < len(change); i += 2 {
		a[change[i]] = change[i+1]
	}
	return a
}

// holds is what an account has of the token.
func (m *market) holds(name string) int64 {
	m.t.Helper()
	to := devchain.Book().Tokens["USDC"].Address
	h, err := m.pool.HeaderByNumber(m.t.Context(), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	s := shop{client: m.pool}
	out, err := s.view(m.t.Context(), to, h.Hash(), selBalance, wordOfAddress(devchain.Accounts()[name].Address))
	if err != nil {
		m.t.Fatal(err)
	}
	return new(big.Int).SetBytes(out).Int64()
}

func code(err error) string {
	if e, ok := errors.AsType[*tools.Error](err); ok {
		return e.Code
	}
	return ""
}

// An offer is asked for, paid once, and what is returned has the whole of it, as an auditor checks it.
func TestAnOfferIsPaid(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		m := openMarket(t, func(m *market, w http.ResponseWriter, r *http.Request, visit int) {
			if version == 2 || paymentOf(r) != "" {
				honest(m, w, r, visit)
				return
			}
			old := terms()
			old["maxAmountRequired"] = old["amount"]
			delete(old, "amount")
			w.WriteHeader(http.StatusPaymentRequired)
			json.NewEncoder(w).Encode(map[string]any{"x402Version": 1, "accepts": []any{old}})
		})
		ask, get := m.tools(time.Minute)
		out, err := ask.Call(t.Context(), m.input(ask, map[string]string{"url": m.url + "/report"}))
		if err != nil || !strings.Contains(string(out), `"offers":[{"amount":"0.01","display":"0.01 USDC","seconds":60,"to":"`+
			devchain.Accounts()["mallory"].Address.Hex()+`","token":"USDC"}]`) {
			t.Fatalf("%s, %v", out, err)
		}
		in := m.input(get, m.args())
		if out, err = get.Call(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		intent := x402.Intent{Args: in.Args, Key: in.Key, At: in.At, Book: devchain.Book()}
		paid, err := intent.Check(out)
		if err != nil || paid.Account != devchain.Accounts()["agent"].Address {
			t.Fatalf("%s: %+v, %v", out, paid, err)
		}
		m.checkMined(paid)
		if got := m.holds("mallory"); got != 10_000 || !strings.Contains(string(out), `sunny`) || strings.Contains(string(out), `"note"`) {
			t.Errorf("version %d: mallory has %d, and the answer is %s", version, got, out)
		}
	}
}

// checkMined makes sure that a chain which is asked tells a payment from every other that it could be said to be.
func (m *market) checkMined(honest *x402.Paid) {
	m.t.Helper()
	chains, err := eth.DialAll([]string{m.chain})
	if err != nil {
		m.t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*x402.Paid)
		says   string // why it is not so; "" if it is
	}{
		{"as it was", func(*x402.Paid) {}, ""},
		{"settled by another transaction", func(p *x402.Paid) { p.Tx = common.HexToHash(m.another()) }, "the record in block"},
		{"by another of its block", func(p *x402.Paid) {
			p.Tx = common.HexToHash(m.another())
			b, _ := m.node.BlockByNumber(m.t.Context(), big.NewInt(1))
			p.Number, p.Block = 1, b.Hash()
		}, "has not used the authorisation"},
		{"by one that never was", func(p *x402.Paid) { p.Tx[3] ^= 1 }, "has no such transaction"},
		{"by another authorisation", func(p *x402.Paid) { p.Nonce[3] ^= 1 }, "has not used the authorisation"},
		{"of another account", func(p *x402.Paid) { p.Account[3] ^= 1 }, "has not used the authorisation"},
		{"of another token", func(p *x402.Paid) { p.Token[3] ^= 1 }, "has not used the authorisation"},
		{"to somebody else", func(p *x402.Paid) { p.To[3] ^= 1 }, "has not moved 0.01 USDC"},
		{"of another amount", func(p *x402.Paid) { p.Amount = money.Of(usdc, 10_001) }, "has not moved 0.010001 USDC"},
		{"in a block before its own", func(p *x402.Paid) {
			b, _ := m.node.BlockByNumber(m.t.Context(), new(big.Int).SetUint64(p.Number-1))
			p.Number, p.Block = p.Number-1, b.Hash()
		}, "the record in block"},
	} {
		lie := *honest
		tt.change(&lie)
		claims := mined.Claims{Ask: func(at mined.Place) (*mined.Receipt, error) { return chains.Mined(m.t.Context(), at) }}
		claims.Note(mined.At{Seq: 3}, provenance.Ref{Seq: 3}, mined.OfPaid(&lie), true)
		at, err := claims.Check()
		rep := provenance.NewReport()
		skipped, found := claims.Conclude(rep)
		switch {
		case skipped != "":
			m.t.Errorf("%s: it was not checked: %s", tt.name, skipped)
		case tt.says == "" && (err != nil || len(found) != 1 || found[0] != "1 found on the chain"):
			m.t.Errorf("%s: %v, %q", tt.name, err, found)
		case tt.says != "" && (err == nil || at.Seq != 3 || len(found) != 0 || !strings.Contains(err.Error(), tt.says)):
			m.t.Errorf("%s: %v at %d, %q, want %q", tt.name, err, at.Seq, found, tt.says)
		}
	}
}

// hostile servers, each with what comes of a call that pays it: a code of an error by which nothing was paid, or what
// is noted of a payment that was made.
var hostile = []struct {
	name  string
	sells func(m *market, w http.ResponseWriter, r *http.Request, visit int)
	code  string
	note  string
	signs bool // it gets to see a signed payment
}{
	{name: "another price by then", code: "offer_changed", sells: changed(func(t map[string]any) { t["amount"] = "10001" })},
	{name: "a lower price by then", code: "offer_changed", sells: changed(func(t map[string]any) { t["amount"] = "9999" })},
	{name: "another recipient by then", code: "offer_changed",
		sells: changed(func(t map[string]any) { t["payTo"] = devchain.Accounts()["bob"].Address.Hex() })},
	{name: "another chain", code: "no_offer", sells: changed(func(t map[string]any) { t["network"] = "eip155:8453" })},
	{name: "another asset", code: "no_offer", sells: changed(func(t map[string]any) { t["asset"] = devchain.Accounts()["bob"].Address.Hex() })},
	{name: "another scheme", code: "no_offer", sells: changed(func(t map[string]any) { t["scheme"] = "upto" })},
	{name: "another way to move it", code: "no_offer", sells: changed(func(t map[string]any) {
		t["extra"].(map[string]any)["assetTransferMethod"] = "permit2"
	})},
	{name: "more than the operator lets a call pay", code: "no_offer", sells: changed(func(t map[string]any) { t["amount"] = "50001" })},
	{name: "another domain", code: "token_mismatch", sells: changed(func(t map[string]any) {
		t["extra"].(map[string]any)["name"] = "USD Coin"
	})},
	{name: "the recipient said twice", code: "no_offer", sells: func(_ *market, w http.ResponseWriter, _ *http.Request, _ int) {
		b, _ := json.Marshal(terms())
		twice := `{"x402Version":2,"accepts":[` + strings.Replace(string(b), `"payTo"`, `"payTo":"0x000000000000000000000000000000000000dEaD","payTo"`, 1) + `]}`
		w.Header().Set("PAYMENT-REQUIRED", base64.StdEncoding.EncodeToString([]byte(twice)))
		w.WriteHeader(http.StatusPaymentRequired)
	}},
	{name: "a huge offer", code: "no_offer", sells: func(_ *market, w http.ResponseWriter, _ *http.Request, _ int) {
		offer := base64.StdEncoding.EncodeToString([]byte(`{"x402Version":2,"error":"` + strings.Repeat("x", 40_000) + `"}`))
		w.Header().Set("PAYMENT-REQUIRED", offer)
		w.WriteHeader(http.StatusPaymentRequired)
	}},
	{name: "an endless offer", code: "no_offer", sells: func(_ *market, w http.ResponseWriter, _ *http.Request, _ int) {
		w.WriteHeader(http.StatusPaymentRequired)
		for range 64 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}},
	{name: "a huge header", code: "unreachable", sells: func(_ *market, w http.ResponseWriter, _ *http.Request, _ int) {
		w.Header().Set("PAYMENT-REQUIRED", strings.Repeat("x", 1<<20))
		w.WriteHeader(http.StatusPaymentRequired)
	}},
	{name: "free by then", code: "no_offer", sells: func(_ *market, w http.ResponseWriter, _ *http.Request, _ int) { fmt.Fprint(w, "free") }},
	{name: "leads elsewhere", code: "redirected", sells: func(_ *market, w http.ResponseWriter, r *http.Request, _ int) {
		http.Redirect(w, r, "http://elsewhere.example/", http.StatusTemporaryRedirect)
	}},
	{name: "leads elsewhere once it is paid", code: "not_settled", signs: true,
		sells: paid(func(_ *market, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.example/", http.StatusTemporaryRedirect)
		})},
	{name: "402 for ever", code: "not_settled", signs: true, sells: func(_ *market, w http.ResponseWriter, _ *http.Request, _ int) { offer(w, nil) }},
	{name: "402 for ever, and takes the money", note: "wants to be paid again", signs: true,
		sells: paid(func(m *market, w http.ResponseWriter, r *http.Request) { m.settle(paymentOf(r)); offer(w, nil) })},
	{name: "says settled, and is not", code: "not_settled", signs: true,
		sells: paid(func(_ *market, w http.ResponseWriter, _ *http.Request) {
			says(w, true, common.Hash{1}.Hex())
			fmt.Fprint(w, "here it is")
		})},
	{name: "says settled by somebody else's transaction", code: "not_settled", signs: true,
		sells: paid(func(m *market, w http.ResponseWriter, _ *http.Request) {
			says(w, true, m.another())
			fmt.Fprint(w, "here it is")
		})},
	{name: "takes the money and fails", note: "answered 500", signs: true,
		sells: paid(func(m *market, w http.ResponseWriter, r *http.Request) { m.settle(paymentOf(r)); w.WriteHeader(500) })},
	{name: "takes the money and hangs up", note: "did not answer", signs: true,
		sells: paid(func(m *market, _ http.ResponseWriter, r *http.Request) {
			m.settle(paymentOf(r))
			panic(http.ErrAbortHandler)
		})},
	{name: "takes the money and says that it failed", note: "the chain shows that it was made", signs: true,
		sells: paid(func(m *market, w http.ResponseWriter, r *http.Request) {
			m.settle(paymentOf(r))
			says(w, false, "")
			fmt.Fprint(w, "try again")
		})},
	{name: "names a transaction that is not there", note: "another transaction", signs: true,
		sells: paid(func(m *market, w http.ResponseWriter, r *http.Request) {
			m.settle(paymentOf(r))
			says(w, true, common.Hash{1}.Hex())
			fmt.Fprint(w, "here it is")
		})},
	{name: "names somebody else's transaction", note: "another transaction", signs: true,
		sells: paid(func(m *market, w http.ResponseWriter, r *http.Request) {
			m.settle(paymentOf(r))
			says(w, true, m.another())
			fmt.Fprint(w, "here it is")
		})},
	{name: "charges twice", signs: true,
		sells: paid(func(m *market, w http.ResponseWriter, r *http.Request) {
			tx := m.settle(paymentOf(r))
			if m.settle(paymentOf(r)) != "" {
				m.t.Error("the token took one authorisation twice")
			}
			says(w, true, tx)
			fmt.Fprint(w, "here it is")
		})},
	{name: "hangs up and takes nothing", code: "not_settled", signs: true,
		sells: paid(func(_ *market, _ http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })},
	{name: "a word that cannot be read", signs: true,
		sells: paid(func(m *market, w http.ResponseWriter, r *http.Request) {
			m.settle(paymentOf(r))
			w.Header().Set("PAYMENT-RESPONSE", "{}")
			fmt.Fprint(w, "here it is")
		})},
}

func changed(change func(map[string]any)) func(*market, http.ResponseWriter, *http.Request, int) {
	return func(_ *market, w http.ResponseWriter, _ *http.Request, _ int) { offer(w, change) }
}

func paid(then func(*market, http.ResponseWriter, *http.Request)) func(*market, http.ResponseWriter, *http.Request, int) {
	return func(m *market, w http.ResponseWriter, r *http.Request, _ int) {
		if paymentOf(r) == "" {
			offer(w, nil)
			return
		}
		then(m, w, r)
	}
}

// Whatever a server does, the account loses what the call says or nothing, once, and what is told is what the chain has.
func TestHostileServers(t *testing.T) {
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := openMarket(t, tt.sells)
			window := time.Minute
			if tt.code != "" {
				window = 2 * time.Second
			}
			_, get := m.tools(window)
			in := m.input(get, m.args())
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := get.Call(ctx, in)
			if code(err) != tt.code || (err != nil) != (tt.code != "") {
				t.Fatalf("%s, %v, want %q", out, err, tt.code)
			}
			m.mu.Lock()
			defer m.mu.Unlock()
			if want := map[bool]int{true: 1}[tt.signs]; len(m.payments) != want {
				t.Errorf("it got %d signed payments, want %d", len(m.payments), want)
			}
			spent := int64(0)
			if tt.code == "" {
				spent = 10_000
				var got struct{ Note string }
				if json.Unmarshal(out, &got); !strings.Contains(got.Note, tt.note) || tt.note == "" && got.Note != "" {
					t.Errorf("noted %q, want %q", got.Note, tt.note)
				}
				intent := x402.Intent{Args: in.Args, Key: in.Key, At: in.At, Book: devchain.Book()}
				if _, err := intent.Check(out); err != nil {
					t.Errorf("%s: %v", out, err)
				}
			}
			if got := m.holds("agent"); got != 1_000_000_000-spent {
				t.Errorf("the agent has %d, want %d less than in the beginning", got, spent)
			}
			if len(m.payments) == 1 && spent == 0 && m.settle(m.payments[0]) != "" {
				t.Error("an authorisation of which it was said that nothing was paid was taken later")
			}
		})
	}
}

// A call that an earlier process may have made signs the same authorisation, and is paid once.
func TestACallThatIsMadeAgainPaysOnce(t *testing.T) {
	t.Parallel()
	m := openMarket(t, paid(func(m *market, _ http.ResponseWriter, r *http.Request) {
		if len(m.payments) == 1 {
			m.settle(paymentOf(r))
		}
		panic(http.ErrAbortHandler)
	}))
	_, get := m.tools(time.Minute)
	in := m.input(get, m.args())
	first, err := get.Call(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	in.Again = true
	for range 2 {
		again, err := get.Call(t.Context(), in)
		if err != nil || string(again) != string(first) {
			t.Errorf("again %s, %v, want %s", again, err, first)
		}
	}
	if got := m.holds("mallory"); got != 10_000 || len(m.payments) != 3 || m.payments[0] != m.payments[2] {
		t.Errorf("mallory has %d by the payments %q", got, m.payments)
	}
}

// What an earlier process may have paid is not said to be unpaid before the chain says so, whatever the server wants now.
func TestWhatMayHaveBeenPaidIsNotSaidToBeUnpaid(t *testing.T) {
	t.Parallel()
	wants := terms()["amount"].(string)
	m := openMarket(t, func(m *market, w http.ResponseWriter, r *http.Request, visit int) {
		if paymentOf(r) != "" {
			m.settle(paymentOf(r))
			panic(http.ErrAbortHandler)
		}
		offer(w, func(t map[string]any) { t["amount"] = wants })
	})
	_, get := m.tools(8 * time.Second) // the chain's clock may be some seconds ahead
	in := m.input(get, m.args())
	if _, err := get.Call(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	wants = "20000"
	m.mu.Unlock()
	in.Again = true
	if out, err := get.Call(t.Context(), in); err == nil || code(err) != "" {
		t.Errorf("paid before, and now it is something else: %s, %v, want an error that says nothing for certain", out, err)
	}
	wrong := in
	wrong.Hosts = []string{"other.example"} // as if the operator had taken the host off the list since
	if out, err := get.Call(t.Context(), wrong); err == nil || code(err) != "" {
		t.Errorf("paid before, and now it is no host: %s, %v, want an error that says nothing for certain", out, err)
	}
	byBob := *get.shop
	byBob.key, byBob.from = devchain.Accounts()["bob"].Key, devchain.Accounts()["bob"].Address
	replaced, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if out, err := (&Tool{&byBob, get.spec, true}).Call(replaced, in); err == nil || code(err) != "" {
		t.Errorf("paid before, by a key that was replaced: %s, %v, want an error that says nothing for certain", out, err)
	}
	in.Key, in.At = [32]byte{9}, time.Now().UnixMilli()
	begun := time.Now()
	if out, err := get.Call(t.Context(), in); code(err) != "offer_changed" || time.Since(begun) < time.Second {
		t.Errorf("never paid: %s, %v after %s, want an error once no authorisation can hold any more", out, err, time.Since(begun))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	in.At = time.Now().UnixMilli()
	if out, err := get.Call(ctx, in); err == nil || code(err) != "" {
		t.Errorf("cut short: %s, %v, want an error that says nothing for certain", out, err)
	}
}

// An offer that allows less time than the one by which an earlier process signed does not make that one's end come sooner.
func TestAnEarlierPaymentIsWaitedForToItsEnd(t *testing.T) {
	t.Parallel()
	seconds := 60
	var once sync.Once
	shown := make(chan struct{})
	m := openMarket(t, func(_ *market, w http.ResponseWriter, r *http.Request, _ int) {
		if paymentOf(r) == "" {
			offer(w, func(t map[string]any) { t["maxTimeoutSeconds"] = seconds })
			return
		}
		once.Do(func() { close(shown) })
	})
	_, get := m.tools(8 * time.Second)
	in := m.input(get, m.args())
	ctx, end := context.WithCancel(t.Context())
	go func() { <-shown; end() }()
	if out, err := get.Call(ctx, in); err == nil || code(err) != "" {
		t.Fatalf("cut once it was shown: %s, %v", out, err)
	}
	m.mu.Lock()
	seconds = 1
	m.mu.Unlock()
	in.Again = true
	if out, err := get.Call(t.Context(), in); code(err) == "" {
		t.Fatalf("made again: %s, %v, want an error that says that nothing was paid", out, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.settle(m.payments[0]) != "" {
		t.Error("what an earlier process had signed was taken after it was said that nothing was paid")
	}
}

// leaky is a node whose owner uses what it is shown, and answers nothing.
type leaky struct {
	Client
	leak func(payment []byte)
}

func (l leaky) CallContractAtHash(ctx context.Context, msg ethereum.CallMsg, at common.Hash) ([]byte, error) {
	if bytes.HasPrefix(msg.Data, selTransfer) {
		l.leak(msg.Data)
		return nil, errors.New("no answer")
	}
	return l.Client.CallContractAtHash(ctx, msg, at)
}

// What the token was asked about is in the hands of whoever runs the node, and is not said to be unpaid before its end.
func TestWhatANodeWasShownIsNotSaidToBeUnpaid(t *testing.T) {
	t.Parallel()
	m := openMarket(t, honest)
	_, get := m.tools(time.Minute)
	get.client = leaky{m.pool, func(payment []byte) { m.take(payment) }}
	if out, err := get.Call(t.Context(), m.input(get, m.args())); err == nil || code(err) != "" {
		t.Errorf("it was used: %s, %v, want an error that says nothing for certain", out, err)
	}
	_, get = m.tools(2 * time.Second)
	var kept []byte
	get.client = leaky{m.pool, func(payment []byte) { kept = payment }}
	in := m.input(get, m.args())
	in.Key = [32]byte{8}
	if out, err := get.Call(t.Context(), in); code(err) != "chain_unavailable" {
		t.Errorf("it was kept: %s, %v", out, err)
	}
	if len(kept) == 0 || m.take(kept) != "" {
		t.Error("what the node was shown was taken after it was said that nothing was paid")
	}
}

// stale is a node that has seen no block for a while.
type stale struct {
	Client
	time uint64
}

func (s stale) HeaderByNumber(context.Context, *big.Int) (*types.Header, error) {
	return &types.Header{Number: big.NewInt(7), Time: s.time, Difficulty: new(big.Int)}, nil
}

func (stale) CallContractAtHash(context.Context, ethereum.CallMsg, common.Hash) ([]byte, error) {
	return make([]byte, 32), nil
}

// Where each block is final, too, the end of an authorisation is the chain's, unless the chain is one of tests.
func TestANodeThatLagsDoesNotEndAPayment(t *testing.T) {
	now := time.Now().Unix()
	for _, tt := range []struct {
		chain uint64
		head  int64
		over  bool
	}{{8453, now - 61, false}, {8453, now - 60, true}, {1337, now - 61, true}} {
		book := *devchain.Book()
		book.Chain = tt.chain
		p := &purchase{shop: &shop{cfg: Config{Book: &book}, client: stale{time: uint64(tt.head)}}, end: now - 60}
		if settled, over, err := p.look(t.Context()); settled != nil || over != tt.over || err != nil {
			t.Errorf("%+v: %v, %v, %v", tt, settled, over, err)
		}
	}
}

// A node's answer of any form is no domain, and nothing worse.
func TestADomainOfAnyFormIsRead(t *testing.T) {
	d := x402.Domain{Name: "USD Coin", Release: "2", Chain: 1337, Contract: common.Address{1}}
	for _, offset := range []uint64{0, 7 * 32, 1<<63 - 1, 1<<63 - 32, 1<<64 - 1} {
		out := make([]byte, 8*32)
		out[0] = 0x0f
		copy(out[32:], wordOf(offset))
		copy(out[7*32:], wordOf(1<<63-1))
		if isDomain(out, d) {
			t.Errorf("at %d there is a name", offset)
		}
	}
}

func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	m := openMarket(t, honest)
	ask, get := m.tools(time.Minute)
	for _, tt := range []struct {
		name, code string
		args       map[string]string
		hosts      []string
	}{
		{"more than one call may pay", "too_much", m.args("amount", "0.050001"), nil},
		{"another token", "unknown_token", m.args("token", "ETH"), nil},
		{"another host", "host_not_allowed", m.args("url", "http://elsewhere.example/"), nil},
		{"a host that the grant does not name", "host_not_allowed", m.args(), []string{"other.example"}},
		{"another amount than is asked for", "offer_changed", m.args("amount", "0.02"), nil},
		{"another recipient than is asked for", "offer_changed", m.args("to", "bob"), nil},
	} {
		in := m.input(get, tt.args)
		in.Hosts = tt.hosts
		if out, err := get.Call(t.Context(), in); code(err) != tt.code {
			t.Errorf("%s: %s, %v, want %s", tt.name, out, err, tt.code)
		}
	}
	in := m.input(get, m.args())
	in.At -= 2 * 60_000
	if out, err := get.Call(t.Context(), in); code(err) != "too_late" {
		t.Errorf("decided long ago: %s, %v", out, err)
	}
	if len(m.payments) > 0 {
		t.Errorf("it got signed payments: %q", m.payments)
	}
	if ask.MaxTime() >= get.MaxTime() {
		t.Errorf("asking takes %s at most, paying %s", ask.MaxTime(), get.MaxTime())
	}
}

func TestConfigsAreChecked(t *testing.T) {
	t.Parallel()
	good := Config{Name: "paid", Hosts: []string{"shop.example"}, Book: devchain.Book(), Most: []money.Amount{money.Of(usdc, 1)}}
	for name, change := range map[string]func(*Config){
		"no host":        func(c *Config) { c.Hosts = nil },
		"a wrong host":   func(c *Config) { c.Hosts = []string{"https://shop.example"} },
		"no most":        func(c *Config) { c.Most = nil },
		"nothing":        func(c *Config) { c.Most = []money.Amount{money.Of(usdc, 0)} },
		"twice":          func(c *Config) { c.Most = append(c.Most, money.Of(usdc, 2)) },
		"the native":     func(c *Config) { c.Most = []money.Amount{money.Of(money.Asset{Symbol: "ETH", Decimals: 18}, 1)} },
		"a short window": func(c *Config) { c.Window = time.Second },
		"a long window":  func(c *Config) { c.Window = time.Hour },
		"a method":       func(c *Config) { c.Methods = []string{"PUT"} },
		"a method twice": func(c *Config) { c.Methods = []string{"POST", "POST"} },
		"a wrong name":   func(c *Config) { c.Name = "Paid" },
	} {
		c := good
		c.Hosts, c.Most = slices.Clone(c.Hosts), slices.Clone(c.Most)
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	list, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := list[1].On(nil, nil, ""); err == nil {
		t.Error("it pays without a key")
	}
	if _, err := list[0].On(nil, nil, ""); err != nil {
		t.Error(err)
	}
}
