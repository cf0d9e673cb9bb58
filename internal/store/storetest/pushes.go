package storetest

import (
	"slices"
	"testing"

	"github.com/writ-run/writ/internal/journal"
)

func testPushed(t *testing.T, b *bench) {
	wants := func(what string, limit int, want ...journal.Push) {
		t.Helper()
		if got, err := b.Unpushed(b.ctx, limit); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", what, got, err, want)
		}
	}
	s := b.newSession(alice)
	c, other := b.openRun(s), b.openRun(s)
	wants("runs without a head", 9)
	first, second, third := b.newBlock(), b.newBlock(), b.newBlock()
	c.Head = &first
	b.must(b.Commit(b.ctx, c))
	other.Head = &second
	b.must(b.Commit(b.ctx, other))
	wants("two heads", 9, journal.Push{Run: c.Run, Head: first.CID}, journal.Push{Run: other.Run, Head: second.CID})
	wants("no more than asked for", 1, journal.Push{Run: c.Run, Head: first.CID})
	b.must(b.NotePushed(b.ctx, c.Run, first.CID))
	b.must(b.NotePushed(b.ctx, c.Run, first.CID))
	wants("one is pushed", 9, journal.Push{Run: other.Run, Head: second.CID})
	c = b.nextCommit(c)
	c.Head = &third
	b.must(b.Commit(b.ctx, c))
	b.must(b.NotePushed(b.ctx, other.Run, second.CID))
	wants("a newer head", 9, journal.Push{Run: c.Run, Head: third.CID, Old: first.CID})
	b.must(b.NotePushed(b.ctx, b.newBlock().CID, first.CID)) // a run that is not there
	b.must(b.NotePushed(b.ctx, c.Run, third.CID))
	wants("all is pushed", 9)
}
