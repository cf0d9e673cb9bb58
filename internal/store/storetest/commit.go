package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// testOrder breaks a commit in every way at once and mends it check by check.
func testOrder(t *testing.T, b *bench) {
	s := b.newSession(alice)
	other := b.openRun(s)
	other.Nonce = &journal.TxNonce{Account: "eip155:1:0xa", Nonce: 3}
	b.must(b.Commit(b.ctx, other))
	good := b.openRun(s)
	b.must(b.RevokeSession(b.ctx, s.ID, start+1, b.newBlock().CID))
	fresh := b.newSession(alice)
	alive := b.openRun(fresh)

	c := good
	c.Run, c.Fence, c.Seq, c.Nonce = b.newBlock().CID, 9, 9, other.Nonce
	c.Reserve = []journal.Reservation{{Ledger: "l", Amount: money.Of(usdc, 2), Cap: money.Of(usdc, 1)}}
	b.wantErr("unknown run", b.Commit(b.ctx, c), journal.ErrNotFound)
	c.Run = good.Run
	b.wantErr("wrong fence", b.Commit(b.ctx, c), journal.ErrFenced)
	c.Fence = good.Fence
	b.wantErr("wrong seq", b.Commit(b.ctx, c), journal.ErrSeq)
	c.Seq = good.Seq
	b.wantErr("revoked session", b.Commit(b.ctx, c), journal.ErrStale)
	c.Run = alive.Run
	c.At = fresh.Expires
	b.wantErr("expired session", b.Commit(b.ctx, c), journal.ErrStale)
	c.At--
	b.wantErr("cap", b.Commit(b.ctx, c), journal.ErrBudget)
	c.Reserve[0].Cap = money.Of(usdc, 2)
	b.wantErr("transaction nonce", b.Commit(b.ctx, c), journal.ErrNonceUsed)
	c.Nonce = nil
	b.wantErr("all is well", b.Commit(b.ctx, c), nil)
	b.wantErr("the same step again", b.Commit(b.ctx, c), journal.ErrSeq)

	good.At = fresh.Expires
	b.wantErr("a revoked session may go on as long as it reserves nothing", b.Commit(b.ctx, good), nil)

	open := b.newOpening(fresh)
	open.Run, open.Seq = alive.Run, 1
	b.wantErr("a run that is there", b.Commit(b.ctx, open), journal.ErrConflict)
	open = b.newOpening(fresh)
	open.Seq = 1
	b.wantErr("a run that opens in the middle", b.Commit(b.ctx, open), journal.ErrSeq)
	open.Seq = 0
	open.Open.Session = b.newBlock().CID
	b.wantErr("a run of an unknown session", b.Commit(b.ctx, open), journal.ErrNotFound)
	open.Open.Session = s.ID
	open.Reserve = []journal.Reservation{{Ledger: "l", Amount: money.Of(usdc, 1), Cap: money.Of(usdc, 100)}}
	b.wantErr("an opening that reserves in a revoked session", b.Commit(b.ctx, open), journal.ErrStale)
}

func testAtomic(t *testing.T, b *bench) {
	c := b.openRun(b.newSession(alice))
	head, leaf := b.newBlock(), b.newBlock()
	c.Head, c.Status = &head, "answered"
	c.Blocks = []provenance.Block{leaf}
	c.Leaves = []provenance.Leaf{{CID: leaf.CID, Key: provenance.LeafKey{1}}}
	c.Reserve = []journal.Reservation{
		{Ledger: "fits", Amount: money.Of(usdc, 1), Cap: money.Of(usdc, 1)},
		{Ledger: "does not", Amount: money.Of(usdc, 2), Cap: money.Of(usdc, 1)},
	}
	c.Nonce = &journal.TxNonce{Account: "a", Nonce: 0}
	before, err := b.Run(b.ctx, c.Run)
	b.must(err)
	b.wantErr("over the cap", b.Commit(b.ctx, c), journal.ErrBudget)
	if after, err := b.Run(b.ctx, c.Run); err != nil || after != before {
		t.Errorf("run: got %+v, %v, want %+v", after, err, before)
	}
	for _, block := range []provenance.Block{c.Step, head, leaf} {
		_, err := b.Block(b.ctx, block.CID)
		b.wantErr("a block of it", err, journal.ErrNotFound)
	}
	_, err = b.LeafKey(b.ctx, leaf.CID)
	b.wantErr("a leaf of it", err, journal.ErrNotFound)
	b.wantLedger("fits", money.Amount{}, money.Amount{})
	if n, err := b.NextNonce(b.ctx, "a"); err != nil || n != 0 {
		t.Errorf("next nonce: got %d, %v, want 0", n, err)
	}
	open := b.newOpening(journal.Session{ID: b.newBlock().CID})
	b.wantErr("an opening without session", b.Commit(b.ctx, open), journal.ErrNotFound)
	_, err = b.Run(b.ctx, open.Run)
	b.wantErr("its run", err, journal.ErrNotFound)
}

func testMalformed(t *testing.T, b *bench) {
	s := b.newSession(alice)
	good := b.openRun(s)
	for _, bad := range []struct {
		name string
		do   func(*journal.Commit)
	}{
		{"a step that does not match its CID", func(c *journal.Commit) { c.Step.Data = []byte("x") }},
		{"no step", func(c *journal.Commit) { c.Step = provenance.Block{} }},
		{"no run", func(c *journal.Commit) { c.Run = provenance.Link{} }},
		{"a leaf that does not match its CID", func(c *journal.Commit) {
			c.Blocks = []provenance.Block{{CID: c.Step.CID, Data: []byte("x")}}
		}},
		{"a head that does not match its CID", func(c *journal.Commit) { c.Head = &provenance.Block{CID: c.Step.CID} }},
		{"no status", func(c *journal.Commit) { c.Status = "" }},
		{"a reservation of no asset", func(c *journal.Commit) { c.Reserve = []journal.Reservation{{Ledger: "m"}} }},
		{"a cap in another asset", func(c *journal.Commit) {
			c.Reserve = []journal.Reservation{{Ledger: "m", Amount: money.Of(usdc, 1), Cap: money.Of(eth, 1)}}
		}},
		{"one ledger in two assets", func(c *journal.Commit) {
			c.Reserve = []journal.Reservation{
				{Ledger: "m", Amount: money.Of(usdc, 1), Cap: money.Of(usdc, 9)},
				{Ledger: "m", Amount: money.Of(eth, 1), Cap: money.Of(eth, 9)},
			}
		}},
		{"a settlement of what was never reserved", func(c *journal.Commit) {
			c.Settle = []journal.Settlement{{Ledger: "m", Used: money.Of(usdc, 1)}}
		}},
		{"a nonce beyond 63 bits", func(c *journal.Commit) { c.Nonce = &journal.TxNonce{Account: "a", Nonce: 1 << 63} }},
		{"too many reservations", func(c *journal.Commit) { c.Reserve = make([]journal.Reservation, 10_000) }},
	} {
		c := good
		bad.do(&c)
		b.wantRefusal(bad.name, b.Commit(b.ctx, c))
	}
	b.must(b.Commit(b.ctx, good))
}

func testCancelled(t *testing.T, b *bench) {
	c := b.openRun(b.newSession(alice))
	gone := errors.New("the caller has gone")
	ctx, cancel := context.WithCancelCause(b.ctx)
	cancel(gone)
	b.wantErr("commit", b.Commit(ctx, c), gone)
	b.wantErr("put blocks", b.PutBlocks(ctx, []provenance.Block{c.Step}, nil), gone)
	if r, err := b.Run(b.ctx, c.Run); err != nil || r.Steps != 1 {
		t.Errorf("run: got %+v, %v", r, err)
	}
	b.must(b.Commit(b.ctx, c))

	// Callers that give up at any moment have either committed or left nothing, and know which.
	c = b.nextCommit(c)
	for range 200 {
		ctx, cancel := context.WithCancelCause(b.ctx)
		var wg sync.WaitGroup
		wg.Go(func() { cancel(gone) })
		err := b.Commit(ctx, c)
		wg.Wait()
		r, rerr := b.Run(b.ctx, c.Run)
		b.must(rerr)
		switch {
		case err == nil && r.Steps == c.Seq+1:
			c = b.nextCommit(c)
		case errors.Is(err, gone) && r.Steps == c.Seq:
		default:
			t.Fatalf("step %d: got %v with %d steps", c.Seq, err, r.Steps)
		}
	}
}
