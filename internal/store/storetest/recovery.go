package storetest

import (
	"crypto/ed25519"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// realRun commits a run of real records, which Recover can read: steps that follow on each other, each of which
// reserves 1 USDC in the ledger "l", and a signed head with the first. It returns the next commit and the last step.
func (b *bench) realRun(steps uint64) (next journal.Commit, last provenance.Link) {
	b.t.Helper()
	s := b.newSession(alice)
	run := b.encodeRecord(&provenance.Run{Agent: s.ID, Grant: s.ID, Rules: s.ID, Runtime: s.ID, Opened: start})
	c := b.newOpening(s)
	c.Run, c.Blocks = run.CID, []provenance.Block{run}
	for seq := range steps {
		c.Step = b.encodeRecord(&provenance.Step{
			Run: run.CID, Seq: seq, Prev: last, At: start, Event: &provenance.Lapse{Why: provenance.LapseCancelled},
			Does: []provenance.Effect{&provenance.Close{Reason: provenance.CloseAnswered}},
		})
		if seq == 0 {
			h := &provenance.Head{Run: run.CID, Step: c.Step.CID, At: start}
			b.must(h.Sign(ed25519.NewKeyFromSeed(make([]byte, 32))))
			head := b.encodeRecord(h)
			c.Head = &head
		}
		c.Reserve = []journal.Reservation{{Ledger: "l", Ref: provenance.Ref{Seq: seq}, Amount: money.Of(usdc, 1),
			Cap: money.Of(usdc, 100)}}
		b.must(b.Commit(b.ctx, c))
		c, last = b.nextCommit(c), c.Step.CID
	}
	return c, last
}

func (b *bench) encodeRecord(rec provenance.Record) provenance.Block {
	b.t.Helper()
	block, err := provenance.Encode(rec)
	b.must(err)
	return block
}

func (b *bench) wantSound() {
	b.t.Helper()
	r, err := b.Recover(b.ctx)
	b.must(err)
	if r.Runs != 1 || len(r.Cuts) != 0 || r.Unknown() {
		b.t.Errorf("recovery: got %+v, want one run and no damage", r)
	}
}

func testRecover(t *testing.T, b *bench) {
	c, _ := b.realRun(5)
	before, err := b.Run(b.ctx, c.Run)
	b.must(err)
	b.wantSound()
	if after, err := b.Run(b.ctx, c.Run); err != nil || after != before {
		t.Errorf("a store without damage was changed: %+v, %v, want %+v", after, err, before)
	}
	c.Settle = []journal.Settlement{{Ledger: "l", Ref: provenance.Ref{Seq: 1}, Used: money.Of(usdc, 0)}}
	b.must(b.Commit(b.ctx, c))
	b.wantLedger("l", money.Of(usdc, 0), money.Of(usdc, 4))
}

// testCrash looks at what a process leaves that is killed: all that was acknowledged.
func testCrash(t *testing.T, config Config) {
	b := newBench(t)
	dir := t.TempDir()
	b.Database = config.Open(t, dir, b.clock)
	c, last := b.realRun(7)
	b.must(b.RevokeDelegation(b.ctx, b.newBlock().CID, start, b.newBlock().CID))
	left := config.Crash(t, dir)
	b.must(b.Close())

	b.Database = config.Open(t, left, b.clock)
	defer func() { b.must(b.Close()) }()
	b.wantSound()
	if r, err := b.Run(b.ctx, c.Run); err != nil || r.Steps != 7 || r.Last != last {
		t.Errorf("run: got %+v, %v, want its 7 steps", r, err)
	}
	b.wantLedger("l", money.Of(usdc, 0), money.Of(usdc, 7))
	if e, err := b.Entries(b.ctx, 0, 9); err != nil || len(e) != 1 {
		t.Errorf("log: got %+v, %v, want one entry", e, err)
	}
	b.must(b.Commit(b.ctx, c))
}
