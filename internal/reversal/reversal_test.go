package reversal

import (
	"context"
	"errors"
	"log/slog"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"

	"github.com/writ-run/writ/tools"
)

// A fakeChain has blocks, receipts and one account's next nonce.
type fakeChain struct {
	blocks   map[uint64]*types.Header
	receipts map[string]*types.Receipt
	nonce    uint64
	err      error
	asked    int
}

func (c *fakeChain) HeaderByNumber(_ context.Context, n *big.Int) (*types.Header, error) {
	c.asked++
	h := c.blocks[n.Uint64()]
	if h == nil && c.err == nil {
		return nil, ethereum.NotFound
	}
	return h, c.err
}

func (c *fakeChain) TransactionReceipt(_ context.Context, hash common.Hash) (*types.Receipt, error) {
	if r := c.receipts[hash.Hex()]; r != nil {
		return r, nil
	}
	return nil, ethereum.NotFound
}

func (c *fakeChain) NonceAt(context.Context, common.Address, *big.Int) (uint64, error) {
	return c.nonce, nil
}

func header(n uint64, branch string) *types.Header {
	return &types.Header{Number: new(big.Int).SetUint64(n), Extra: []byte(branch), Difficulty: new(big.Int)}
}

func hashOf(n uint64) string { return common.BigToHash(new(big.Int).SetUint64(1000 + n)).Hex() }

func pay(nonce, block uint64) Payment {
	return Payment{
		Signed: tools.Signed{Account: "eip155:1:0x00000000000000000000000000000000000000aA", Nonce: nonce, Hash: hashOf(nonce)},
		Block:  new(big.Int).SetUint64(block), Hash: header(block, "").Hash(),
	}
}

// What is said of payments that were final, by what the chain has now. In each case nonce 1 was in block 11 and nonce 0
// in block 10.
func TestLook(t *testing.T) {
	in := func(n uint64, branch string, status uint64) *types.Receipt {
		h := header(n, branch)
		return &types.Receipt{Status: status, BlockNumber: h.Number, BlockHash: h.Hash()}
	}
	other := tools.Attempt{Signed: tools.Signed{Hash: hashOf(7)}}
	cancel := tools.Attempt{Signed: tools.Signed{Hash: hashOf(8)}, Cancels: true}
	for _, tt := range []struct {
		name     string
		newest   Payment
		branches [2]string // of blocks 10 and 11
		nonce    uint64
		receipts map[string]*types.Receipt
		want     []string
		asked    int
	}{
		{name: "all are there, and one question says so", nonce: 2, asked: 1},
		{name: "the newest is gone", branches: [2]string{"", "b"}, nonce: 1, want: []string{"1 returned"}},
		{name: "both are gone, the lowest nonce is first", branches: [2]string{"b", "b"}, want: []string{"0 returned", "1 returned"}},
		{name: "another transaction has the nonce of one", branches: [2]string{"b", "b"}, nonce: 1,
			want: []string{"0 reversed", "1 returned"}},
		{name: "it is in another block", branches: [2]string{"", "b"}, nonce: 2,
			receipts: map[string]*types.Receipt{hashOf(1): in(11, "b", 1)}},
		{name: "a receipt of a block that the chain does not have counts for nothing", branches: [2]string{"", "b"}, nonce: 1,
			receipts: map[string]*types.Receipt{hashOf(1): in(11, "c", 1)}, want: []string{"1 returned"}},
		{name: "it is reverted in another block", branches: [2]string{"", "b"}, nonce: 2,
			receipts: map[string]*types.Receipt{hashOf(1): in(11, "b", 0)}, want: []string{"1 reversed"}},
		{name: "one with other fees that does the same is in its place", branches: [2]string{"", "b"}, nonce: 2,
			newest:   Payment{Others: []tools.Attempt{other}},
			receipts: map[string]*types.Receipt{other.Hash: in(11, "b", 1)}},
		{name: "one that cancels it is in its place", branches: [2]string{"", "b"}, nonce: 2,
			newest:   Payment{Others: []tools.Attempt{cancel}},
			receipts: map[string]*types.Receipt{cancel.Hash: in(11, "b", 1)}, want: []string{"1 reversed"}},
		{name: "it was cancelled, and is paid now", branches: [2]string{"", "b"}, nonce: 2,
			newest:   Payment{Cancels: true, Others: []tools.Attempt{other}},
			receipts: map[string]*types.Receipt{other.Hash: in(11, "b", 1)}, want: []string{"1 reversed"}},
		{name: "one that was reverted is not sent again", branches: [2]string{"", "b"}, nonce: 1,
			newest: Payment{Failed: true}, want: []string{"1 held"}},
		{name: "the chain is shorter than it was: nothing is known yet", branches: [2]string{"", "-"}, nonce: 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &fakeChain{blocks: map[uint64]*types.Header{}, receipts: tt.receipts, nonce: tt.nonce}
			for i, b := range tt.branches {
				if n := uint64(10 + i); b != "-" {
					c.blocks[n] = header(n, b)
				}
			}
			newest := pay(1, 11)
			newest.Others, newest.Cancels, newest.Failed = tt.newest.Others, tt.newest.Cancels, tt.newest.Failed
			found, err := Look(t.Context(), c, []Payment{newest, pay(0, 10)})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				got = append(got, f.Payment.Block.String()[1:]+" "+f.State)
				if f.Says() == "" || f.Next() == "" {
					t.Errorf("of %s nothing is said", f.State)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
			if tt.asked > 0 && c.asked != tt.asked {
				t.Errorf("it took %d questions, want %d", c.asked, tt.asked)
			}
		})
	}
	if _, err := Look(t.Context(), &fakeChain{err: errors.New("down")}, []Payment{pay(0, 10)}); err == nil {
		t.Error("a chain that does not answer has no payments missing")
	}
}

// One look that misses a payment may be of an endpoint that is behind: it counts, and is sent, once it was missed three
// times in a row.
func TestAPaymentIsMissedThreeTimes(t *testing.T) {
	w := NewWatch(Config{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	gone := []Finding{{pay(1, 11), Returned}, {pay(0, 10), Reversed}}
	for i, tt := range []struct {
		found []Finding
		again int
	}{{gone, 0}, {gone, 0}, {nil, 0}, {gone, 0}, {gone, 0}, {gone, 1}, {gone, 1}, {nil, 0}} {
		if got := w.note(t.Context(), tt.found); len(got) != tt.again || w.Count(Returned) != tt.again {
			t.Errorf("look %d: %d are sent again, want %d", i, len(got), tt.again)
		}
	}
}
