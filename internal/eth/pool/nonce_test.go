package pool_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/chain"
)

const saysNonce = "eth_getTransactionCount"

// One endpoint that says a wrong nonce is outvoted: the lower of two counts, and of more the middle.
func TestOneEndpointsWrongNonceIsOutvoted(t *testing.T) {
	low, high, odd := `"result":"0x0"`, `"result":"0x64"`, errorAnswer(-32000, "missing trie node")
	good := `"result":"0x5"`
	for _, tt := range []struct {
		answers []string
		want    uint64
	}{
		{[]string{good}, 5},
		{[]string{high}, 100}, // nobody else to ask
		{[]string{high, good}, 5},
		{[]string{good, high}, 5},
		{[]string{low, good}, 0}, // the caller's own count is above it
		{[]string{high, good, good}, 5},
		{[]string{low, good, good}, 5},
		{[]string{good, low, high}, 5},
		{[]string{low, good, good, high}, 5},
		{[]string{odd, good}, 5},
		{[]string{odd, high, good}, 5},
	} {
		var urls []string
		for _, a := range tt.answers {
			urls = append(urls, answering(t, a))
		}
		p := dial(t, urls...)
		for what, ask := range map[string]func() (uint64, error){
			"pending": func() (uint64, error) { return p.PendingNonceAt(t.Context(), common.Address{1}) },
			"mined":   func() (uint64, error) { return p.NonceAt(t.Context(), common.Address{1}, nil) },
		} {
			if got, err := ask(); err != nil || got != tt.want {
				t.Errorf("%v, %s: %d, %v; want %d", tt.answers, what, got, err, tt.want)
			}
		}
	}
}

// Whatever an endpoint says of nonces beside a good one, each payment is mined, with the next nonce of the account.
func TestPaymentsGoOnBesideAnEndpointThatSaysWrongNonces(t *testing.T) {
	for name, lie := range map[string]string{"too low": `"result":"0x0"`, "too high": `"result":"0x64"`} {
		for _, liar := range []int{0, 1} {
			c := startChain(t)
			urls := []string{c.URL(), c.URL()}
			urls[liar] = sick(t, c.URL(), map[string]string{saysNonce: lie}).URL
			k, err := chain.New(chain.Config{Client: dial(t, urls...), Book: devchain.Book(), Key: devchain.Accounts()["agent"].Key})
			if err != nil {
				t.Fatal(err)
			}
			var pays tools.Chain
			for _, tool := range k {
				if tool.Spec().Name == "erc20.transfer" {
					pays = tool.(tools.Chain)
				}
			}
			floor := uint64(0)
			for n := range 3 {
				got := payOnce(t, pays, floor)
				if n > 0 && got != floor {
					t.Errorf("%s, endpoint %d: payment %d has the nonce %d, after %d", name, liar, n, got, floor-1)
				}
				floor = got + 1
			}
		}
	}
}

// payOnce has a payment mined, and returns its nonce.
func payOnce(t *testing.T, pays tools.Chain, floor uint64) uint64 {
	t.Helper()
	def, err := tools.Compile(pays.Spec())
	if err != nil {
		t.Fatal(err)
	}
	args, err := def.Read([]byte(`{"amount":"1","to":"bob","token":"USDC"}`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := pays.Sign(t.Context(), tools.Input{Args: args}, floor)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := pays.Send(ctx, s)
	var receipt struct{ Status string }
	if err != nil || json.Unmarshal(out, &receipt) != nil || receipt.Status != "ok" {
		t.Fatalf("nonce %d: %s, %v", s.Nonce, out, err)
	}
	return s.Nonce
}
