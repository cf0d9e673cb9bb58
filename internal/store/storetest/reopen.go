package storetest

import (
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

func testReopen(t *testing.T, c Config) {
	b := newBench(t)
	dir := t.TempDir()
	b.Database = c.Open(t, dir, b.clock)
	s := b.newSession(alice)
	first := b.newOpening(s)
	first.Open.Key, first.Open.Hash = "k", [32]byte{1}
	b.must(b.Commit(b.ctx, first))
	next := b.nextCommit(first)
	head := b.newBlock()
	next.Head, next.Status = &head, "parked"
	next.Leaves = []provenance.Leaf{{CID: next.Step.CID, Key: provenance.LeafKey{1}}}
	next.Reserve = []journal.Reservation{{Ledger: "l", Ref: provenance.Ref{Seq: 1}, Amount: money.Of(usdc, 7),
		Cap: money.Of(usdc, 10)}}
	next.Nonce = &journal.TxNonce{Account: "a", Nonce: 4}
	b.must(b.Commit(b.ctx, next))
	b.must(b.RevokeSession(b.ctx, s.ID, start+3, b.newBlock().CID))
	b.must(b.NoteSent(b.ctx, first.Run, provenance.Ref{Seq: 1}, "0xab"))
	b.must(b.PutNonce(b.ctx, "n", []byte("data"), b.clock().Add(time.Minute)))
	epoch, err := b.Epoch(b.ctx)
	b.must(err)
	run, err := b.Run(b.ctx, first.Run)
	b.must(err)
	b.must(b.Close())
	b.must(b.Close())
	b.wantErr("a write after closing", b.PutBlocks(b.ctx, nil, nil), journal.ErrFull)

	b.Database = c.Open(t, dir, b.clock)
	defer func() { b.must(b.Close()) }()
	if e, err := b.Epoch(b.ctx); err != nil || e != epoch {
		t.Errorf("epoch: got %q, %v, want %q", e, err, epoch)
	}
	if r, err := b.Run(b.ctx, first.Run); err != nil || r != run {
		t.Errorf("run: got %+v, %v, want %+v", r, err, run)
	}
	b.wantSteps(first.Run, 0, 9, first.Step, next.Step)
	if e, err := b.Entries(b.ctx, 0, 9); err != nil || len(e) != 1 || e[0].CID != head.CID {
		t.Errorf("log: got %+v, %v", e, err)
	}
	if got, err := b.Session(b.ctx, s.ID); err != nil || got.Revoked != start+3 {
		t.Errorf("session: got %+v, %v", got, err)
	}
	b.wantLedger("l", money.Of(usdc, 0), money.Of(usdc, 7))
	if _, err := b.LeafKey(b.ctx, next.Step.CID); err != nil {
		t.Error(err)
	}
	if n, err := b.NextNonce(b.ctx, "a"); err != nil || n != 5 {
		t.Errorf("next nonce: got %d, %v, want 5", n, err)
	}
	if hash, err := b.SentHash(b.ctx, first.Run, provenance.Ref{Seq: 1}); err != nil || hash != "0xab" {
		t.Errorf("what a wallet has sent: got %q, %v", hash, err)
	}
	if id, err := b.RunByKey(b.ctx, s.ID, "k", [32]byte{1}); err != nil || id != first.Run {
		t.Errorf("by key: got %s, %v", id, err)
	}
	if open, err := b.OpenRuns(b.ctx); err != nil || len(open) != 1 {
		t.Errorf("unfinished: got %v, %v", open, err)
	}
	_, err = b.Claim(b.ctx, first.Run, "node 2", start+20_000)
	b.wantErr("its lease", err, journal.ErrFenced)
	c2 := b.nextCommit(next)
	c2.Settle = []journal.Settlement{{Ledger: "l", Ref: provenance.Ref{Seq: 1}, Used: money.Of(usdc, 2)}}
	b.must(b.Commit(b.ctx, c2))
	b.wantLedger("l", money.Of(usdc, 2), money.Of(usdc, 0))
	if data, err := b.TakeNonce(b.ctx, "n", b.clock()); err != nil || string(data) != "data" {
		t.Errorf("nonce: got %q, %v", data, err)
	}
}
