package runner_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/paid"
)

// A seller sells a page for 5 USDC by x402, on a chain. Now and then it takes the money and hangs up.
type seller struct {
	t      *testing.T
	chain  *bankChain
	asked  atomic.Int64 // payments that it was shown
	hangUp atomic.Bool
}

func (s *seller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			s.t.Error(err)
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	if header := r.Header.Get("PAYMENT-SIGNATURE"); header != "" {
		s.asked.Add(1)
		tx, err := s.settle(header)
		switch {
		case s.hangUp.Load():
			panic(http.ErrAbortHandler)
		case err == nil:
			w.Header().Set("PAYMENT-RESPONSE", encode(map[string]any{"success": true, "transaction": tx.Hex()}))
			fmt.Fprint(w, "here it is")
			return
		}
	}
	w.Header().Set("PAYMENT-REQUIRED", encode(map[string]any{"x402Version": 2, "accepts": []any{map[string]any{
		"scheme": "exact", "network": "eip155:1337", "amount": "5000000", "asset": devchain.Book().Tokens["USDC"].Address,
		"payTo": devchain.Accounts()["bob"].Address, "maxTimeoutSeconds": 300,
		"extra": map[string]any{"name": "USD Coin (dev)", "version": "2"},
	}}}))
	w.WriteHeader(http.StatusPaymentRequired)
}

// settle has the token take a payment. One that it was shown before is refused.
func (s *seller) settle(header string) (common.Hash, error) {
	var p struct {
		Payload struct {
			Signature     hexutil.Bytes
			Authorization struct{ From, To, Value, ValidAfter, ValidBefore, Nonce string }
		}
	}
	raw, err := base64.StdEncoding.DecodeString(header)
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil {
		return common.Hash{}, err
	}
	a, sig := p.Payload.Authorization, p.Payload.Signature
	word := func(n string) []byte {
		v, _ := new(big.Int).SetString(n, 10)
		return common.BigToHash(v).Bytes()
	}
	address := func(x string) []byte { return common.LeftPadBytes(common.HexToAddress(x).Bytes(), 32) }
	data := slices.Concat(crypto.Keccak256([]byte("transferWithAuthorization(address,address,uint256,uint256,uint256," +
		"bytes32,uint8,bytes32,bytes32)"))[:4], address(a.From), address(a.To), word(a.Value), word(a.ValidAfter),
		word(a.ValidBefore), common.FromHex(a.Nonce), word(fmt.Sprint(sig[64])), sig[:64])
	bob, usdc := devchain.Accounts()["bob"], devchain.Book().Tokens["USDC"].Address
	nonce, err := s.chain.client.PendingNonceAt(s.t.Context(), bob.Address)
	if err != nil {
		return common.Hash{}, err
	}
	return s.chain.send(s.t.Context(), bob, nonce, &usdc, data)
}

// A run whose store ends at any of its writes buys once: what is signed again is the same, and what was paid counts once.
func TestACutAtEveryWriteOfWhatIsBought(t *testing.T) {
	l := openChain(t)
	s := &seller{t: t, chain: l}
	server := httptest.NewServer(s)
	defer server.Close()
	list, err := paid.New(paid.Config{
		Name: "paid", Hosts: []string{"127.0.0.1"}, Book: devchain.Book(), Most: []money.Amount{money.Of(usdc, 6_000_000)},
		Private: true, Window: 5 * time.Minute, Methods: []string{http.MethodGet, http.MethodPost},
	})
	if err != nil {
		t.Fatal(err)
	}
	var own []tools.Tool
	for _, x := range list {
		on, err := x.On(l.client, devchain.Accounts()["agent"].Key, "")
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, on)
	}
	args := fmt.Sprintf(`"url":"%s/","amount":"5","token":"USDC","to":"bob"`, server.URL)
	for from, ask := range [][2]string{
		{"paid.get", "{" + args + "}"}, {"paid.post", `{"body":"{\"city\":\"Oslo\"}",` + args + "}"},
	} {
		cut := 0
		for n, whole := int64(0), 0; whole < 4 && !t.Failed(); n++ {
			s.hangUp.Store(n%3 == 0)
			if whole++; s.cutOnce(ask, own, int64(1000*from)+n, 1+n/2, n%2 == 0) {
				cut, whole = cut+1, 0
			}
		}
		if t.Logf("%s: %d cuts, %d payments shown", ask[0], cut, s.asked.Load()); cut < 12 {
			t.Errorf("%s: %d cuts prove little", ask[0], cut)
		}
	}
}

// cutOnce has a run whose store ends at its k-th write, and what goes on over what it has.
func (s *seller) cutOnce(ask [2]string, own []tools.Tool, n, k int64, done bool) bool {
	t := s.t
	name := fmt.Sprintf("%s, cut at write %d, which is done: %t", ask[0], k, done)
	begins := time.Now().Truncate(time.Second) // the runner's time stands still, the chain's does not
	mem := storetest.MemoryAt(t, func() time.Time { return begins })
	store := &cutStore{Store: mem, done: done}
	store.at.Store(k)
	hit, stop := context.WithCancel(t.Context())
	defer stop()
	store.hit = stop
	world := func(s journal.Store) runner.Config {
		c := config(nil, s, replies{
			calls(call("1", ask[0], ask[1])),
			text("all done"),
		}, new(atomic.Int64), new(atomic.Int64))
		c.Now = func() time.Time { return begins }
		c.Tools, c.Agents[0].Tools = own, []string{ask[0]}
		return c
	}
	alice, err := auth.ParseWallet(hex.EncodeToString(crypto.FromECDSA(devchain.Accounts()["alice"].Key)))
	if err != nil {
		t.Fatal(err)
	}
	before := s.chain.holdings(t)
	run := func(ctx context.Context, s journal.Store) error {
		c := &client{store: s, config: world(s), user: user{
			wallet: alice, begins: begins, nonce: fmt.Sprintf("abcdefgh%08d", n), // else all would be one run, paid once
		}}
		err := c.open(ctx)
		if err == nil {
			err = c.drive(ctx)
		}
		if c.r != nil {
			c.r.Close()
		}
		return err
	}
	if err := run(hit, store); err != nil && hit.Err() == nil {
		t.Fatalf("%s: %v", name, err)
	}
	if hit.Err() != nil {
		if err := run(t.Context(), mem); err != nil {
			t.Fatalf("%s: the second start: %v", name, err)
		}
	}
	after := s.chain.holdings(t)
	if after[0]-before[0] != -5_000_000 || after[2]-before[2] != 5_000_000 {
		t.Errorf("%s: the agent has %d more, bob %d", name, after[0]-before[0], after[2]-before[2])
	}
	runs, err := mem.Runs(t.Context(), [20]byte{}, 10)
	if err != nil || len(runs) != 1 || runs[0].Status != provenance.CloseAnswered {
		t.Fatalf("%s: %+v, %v; want one run that is answered", name, runs, err)
	}
	ledgers, err := mem.Ledgers(t.Context(), []string{"session/" + runs[0].Session.String() + "/grant/max_total_usdc"})
	if err != nil || ledgers[0].Spent != money.Of(usdc, 5_000_000) || !ledgers[0].Reserved.IsZero() {
		t.Errorf("%s: the grant's ledger is %v, %v", name, ledgers, err)
	}
	verified(t, mem, runs[0].ID)
	return hit.Err() != nil
}
