package storetest

import (
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

func testAssert(t *testing.T, b *bench) {
	s := b.newSession(alice)
	none := money.Of(usdc, 0)
	// Two calls in doubt, the second under another reservation than its own effect's, and one that is not.
	refs := []provenance.Ref{{Seq: 1}, {Seq: 1, Index: 1}, {Seq: 1, Index: 2}}
	doubts := []*provenance.Ref{{Seq: 1}, {Seq: 2, Index: 3}, nil}
	openDoubtful := func() (journal.Commit, provenance.Link) {
		c := b.openRun(s)
		for i, r := range refs {
			for _, name := range []string{"total", "day"} {
				c.Reserve = append(c.Reserve, journal.Reservation{Ledger: name, Ref: r, Amount: money.Of(usdc, uint64(10+i)),
					Cap: money.Of(usdc, 100)})
			}
		}
		b.must(b.Commit(b.ctx, c))
		c = b.nextCommit(c)
		for i, r := range refs {
			for _, name := range []string{"total", "day"} {
				c.Settle = append(c.Settle, journal.Settlement{Ledger: name, Ref: r, Used: money.Of(usdc, uint64(10+i)),
					Doubt: doubts[i]})
			}
		}
		b.must(b.Commit(b.ctx, c))
		head := b.newBlock()
		c = b.nextCommit(c)
		c.Head = &head
		return c, head.CID
	}
	c, head := openDoubtful()
	b.wantLedger("total", money.Of(usdc, 33), none)
	a := journal.Assertion{Run: c.Run, Old: head, Head: b.newBlock(), Record: b.newBlock(), Of: *doubts[1]}
	b.must(b.Commit(b.ctx, c)) // it has a head, and goes on
	b.wantErr("a run that is not closed", b.Assert(b.ctx, a), journal.ErrConflict)
	c = b.nextCommit(c)
	c.Status = provenance.CloseInDoubt
	b.must(b.Commit(b.ctx, c))

	caller := b.openRun(s)
	b.must(b.Commit(b.ctx, caller))
	a.Callers = []provenance.Link{caller.Run}
	b.wantErr("a run whose caller is open", b.Assert(b.ctx, a), journal.ErrShared)
	caller = b.nextCommit(caller)
	caller.Status = provenance.CloseAnswered
	b.must(b.Commit(b.ctx, caller))
	b.wantLedger("total", money.Of(usdc, 33), none)

	b.must(b.Assert(b.ctx, a))
	for _, name := range []string{"total", "day"} {
		b.wantLedger(name, money.Of(usdc, 22), none)
	}
	if info, err := b.Run(b.ctx, c.Run); err != nil || info.Head != a.Head.CID {
		t.Errorf("head %v, %v, want %s", info.Head, err, a.Head.CID)
	}
	b.wantErr("the same again", b.Assert(b.ctx, a), journal.ErrConflict)

	done := journal.Assertion{Run: c.Run, Old: a.Head.CID, Head: b.newBlock(), Record: b.newBlock(), Of: *doubts[0],
		Done: true}
	b.must(b.Assert(b.ctx, done))
	b.wantLedger("total", money.Of(usdc, 22), none)
	// What was said to be done has nothing left to be freed, nor has what was never in doubt.
	for _, of := range []provenance.Ref{*doubts[0], refs[2]} {
		again := journal.Assertion{Run: c.Run, Old: done.Head.CID, Head: b.newBlock(), Record: b.newBlock(), Of: of}
		b.must(b.Assert(b.ctx, again))
		b.wantLedger("total", money.Of(usdc, 22), none)
		done = again
	}
	for _, l := range []provenance.Link{head, a.Head.CID, a.Record.CID, done.Head.CID} {
		if _, err := b.Block(b.ctx, l); err != nil {
			t.Errorf("block %s: %v", l, err)
		}
	}
}
