package storetest

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// closeRun commits the step c as the last of its run, with a head, and returns the head's CID.
func (b *bench) closeRun(c journal.Commit, at int64) provenance.Link {
	b.t.Helper()
	head := b.newBlock()
	c.Head, c.Status, c.At = &head, "answered", at
	b.must(b.Commit(b.ctx, c))
	return head.CID
}

func (b *bench) newErasure(run, old provenance.Link) journal.Erasure {
	return journal.Erasure{Run: run, Old: old, Head: b.newBlock(), Record: b.newBlock()}
}

func testHolds(t *testing.T, b *bench) {
	c := b.openRun(b.newSession(alice))
	head := b.closeRun(c, start)
	other := b.openRun(b.newSession(bob))
	otherHead := b.closeRun(other, start)

	_, err := b.AddHold(b.ctx, journal.Hold{Run: b.newBlock().CID, By: "counsel", Why: "case 7"})
	b.wantErr("a hold on an unknown run", err, journal.ErrNotFound)
	for what, h := range map[string]journal.Hold{
		"a hold on nothing":          {By: "counsel", Why: "case 7"},
		"a hold on a run and wallet": {Run: c.Run, Wallet: alice, By: "counsel", Why: "case 7"},
		"a hold by nobody":           {Run: c.Run, Why: "case 7"},
		"a hold without a reason":    {Run: c.Run, By: "counsel"},
		"a hold with a long reason":  {Run: c.Run, By: "counsel", Why: strings.Repeat("x", 1001)},
	} {
		_, err := b.AddHold(b.ctx, h)
		b.wantRefusal(what, err)
	}
	b.now.Add(5)
	one, err := b.AddHold(b.ctx, journal.Hold{Run: c.Run, By: "counsel", Why: "case 7"})
	b.must(err)
	if one.ID == 0 || one.At != start+5 {
		t.Errorf("the hold is number %d at %d, want a number and the store's time %d", one.ID, one.At, start+5)
	}
	two, err := b.AddHold(b.ctx, journal.Hold{Wallet: alice, By: "counsel", Why: "case 8"})
	b.must(err)
	b.wantHolds(false, one, two)

	b.wantErr("an erasure of the run", b.Erase(b.ctx, b.newErasure(c.Run, head)), journal.ErrOnHold)
	e := b.newErasure(other.Run, otherHead)
	e.Callers = []provenance.Link{c.Run}
	b.wantErr("an erasure of what the run has called", b.Erase(b.ctx, e), journal.ErrOnHold)
	b.wantErr("one of two that may not be", b.Erase(b.ctx, b.newErasure(other.Run, otherHead),
		b.newErasure(c.Run, head)), journal.ErrOnHold)
	if info, err := b.Run(b.ctx, other.Run); err != nil || info.Head != otherHead {
		t.Errorf("the other erasure of a refused pair was made: %v, %v", info.Head, err)
	}

	b.wantErr("removing what is none", b.RemoveHold(b.ctx, two.ID+1, "counsel", "settled"), journal.ErrNotFound)
	b.wantRefusal("removing it for no reason", b.RemoveHold(b.ctx, one.ID, "counsel", ""))
	b.must(b.RemoveHold(b.ctx, one.ID, "judge", "settled"))
	b.wantErr("removing it twice", b.RemoveHold(b.ctx, one.ID, "counsel", "again"), journal.ErrNotFound)
	b.wantHolds(false, two)
	one.Removed, one.RemovedBy, one.RemovedWhy = b.now.Load(), "judge", "settled"
	b.wantHolds(true, one, two)
	b.wantErr("an erasure while the wallet's stands", b.Erase(b.ctx, b.newErasure(c.Run, head)), journal.ErrOnHold)
	b.must(b.RemoveHold(b.ctx, two.ID, "judge", "settled"))
	b.must(b.Erase(b.ctx, b.newErasure(c.Run, head)))
}

func (b *bench) wantHolds(all bool, want ...journal.Hold) {
	b.t.Helper()
	got, err := b.Holds(b.ctx, all)
	b.must(err)
	if len(got) != len(want) {
		b.t.Fatalf("holds: got %+v, want %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			b.t.Errorf("hold %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}

func testRetention(t *testing.T, b *bench) {
	var runs []provenance.Link
	for i := range int64(4) {
		c := b.openRun(b.newSession(alice))
		runs = append(runs, c.Run)
		if i < 3 { // the last one stays open
			b.closeRun(c, start+100*i)
		}
	}
	held := b.openRun(b.newSession(bob))
	b.closeRun(held, start)
	_, err := b.AddHold(b.ctx, journal.Hold{Wallet: bob, By: "counsel", Why: "case 7"})
	b.must(err)

	list := func(before, after int64, limit int) (ids []int64, got []provenance.Link) {
		t.Helper()
		ended, err := b.EndedRuns(b.ctx, before, after, limit)
		b.must(err)
		for _, r := range ended {
			ids, got = append(ids, r.ID), append(got, r.Run)
		}
		return ids, got
	}
	equal := func(what string, got []provenance.Link, want ...provenance.Link) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: got %v, want %v", what, got, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: got %v, want %v", what, got, want)
			}
		}
	}
	ids, got := list(start+1000, 0, 9)
	equal("all that have ended", got, runs[:3]...)
	_, got = list(start+100, 0, 9)
	equal("those that ended by then", got, runs[:2]...)
	_, got = list(start-1, 0, 9)
	equal("none so early", got)
	_, got = list(start+1000, ids[0], 1)
	equal("the next page of one", got, runs[1])
	_, got = list(start+1000, 0, -1)
	equal("less than none", got)
	b.must(b.NoteSwept(b.ctx, runs[1], start+2000))
	b.must(b.NoteSwept(b.ctx, runs[3], start+2000)) // which is open, and is to be swept when it has ended
	b.must(b.NoteSwept(b.ctx, b.newBlock().CID, start+2000))
	_, got = list(start+1000, 0, 9)
	equal("without what is swept", got, runs[0], runs[2])
}
