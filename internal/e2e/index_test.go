package e2e

import (
	"context"
	"encoding/json"
	"log/slog"
	"math/big"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/internal/chainindex"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/tools"
)

// An index of a real node's events: a block that the chain has replaced is in no sum any more, and what is in another
// block then counts once.
func TestAnIndexFollowsAReorg(t *testing.T) {
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	agent := crypto.PubkeyToAddress(key.PublicKey)
	c := startForeignChain(t, agent)
	client, err := pool.New(pool.Config{URLs: []string{c.url}, Chain: 8453})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	book := &tools.Book{
		Chain: 8453, Names: map[string]common.Address{"bob": bob}, Tokens: map[string]tools.Token{"USDC": {Address: c.token, Decimals: 6}},
	}
	s, err := chainindex.NewSource(chainindex.Config{
		Name: "usdc", Address: c.token, Event: "Transfer", Amount: "value", Asset: "USDC", Book: book,
		ABI: []byte(`[{"type":"event","name":"Transfer","inputs":[{"name":"from","type":"address","indexed":true},
			{"name":"to","type":"address","indexed":true},{"name":"value","type":"uint256"}]}]`),
	})
	if err != nil {
		t.Fatal(err)
	}
	x, err := chainindex.New(book, []*chainindex.Source{s})
	if err == nil {
		x, err = x.Open(t.TempDir(), client, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { x.Follow(ctx) })
	defer func() {
		cancel()
		wg.Wait()
		x.Close()
	}()
	def, err := tools.Compile(x.Spec())
	if err != nil {
		t.Fatal(err)
	}
	args, err := def.Read([]byte(`{"index":"usdc","measure":"sum","where":[{"field":"to","is":"bob"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	comesTo := func(want, why string) {
		t.Helper()
		until(t, why, func() bool {
			b, err := x.Call(t.Context(), tools.Input{Args: args})
			var r struct {
				Sum  struct{ Display string }
				To   string `json:"to_block"`
				Hash string `json:"to_block_hash"`
			}
			if err != nil || json.Unmarshal(b, &r) != nil || r.Sum.Display != want {
				return false
			}
			n, _ := new(big.Int).SetString(r.To, 10)
			h, err := c.eth.HeaderByNumber(t.Context(), n)
			return err == nil && h.Hash().Hex() == r.Hash
		})
	}
	comesTo("0 USDC", "bob has got nothing")
	pay := append(crypto.Keccak256([]byte("transfer(address,uint256)"))[:4], common.LeftPadBytes(bob[:], 32)...)
	pay = append(pay, common.LeftPadBytes(big.NewInt(1_500_000).Bytes(), 32)...)
	c.send(key, 0, &c.token, pay)
	c.mine(1)
	comesTo("1.5 USDC", "the payment is in a block")
	c.call("anvil_reorg", 1, []any{})
	comesTo("0 USDC", "the block has gone, and the payment with it")
	c.send(key, 0, &c.token, pay)
	c.mine(1)
	comesTo("1.5 USDC", "the payment is in another block, once")
}
