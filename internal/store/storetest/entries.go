package storetest

import (
	"slices"
	"sync"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// testLog: heads get their places in the order of commits, without a gap and each once.
func testLog(t *testing.T, b *bench) {
	s := b.newSession(alice)
	wantNext := func(index uint64, checkpoint string) {
		t.Helper()
		i, c, err := b.Unreceipted(b.ctx)
		if err != nil || i != index || string(c) != checkpoint {
			t.Errorf("unreceipted: got %d %q, %v, want %d %q", i, c, err, index, checkpoint)
		}
	}
	wantNext(0, "")
	var want []journal.Entry
	open := func() provenance.Link {
		c, head := b.newOpening(s), b.newBlock()
		c.Head = &head
		b.must(b.Commit(b.ctx, c))
		want = append(want, journal.Entry{
			Index: uint64(len(want)), CID: head.CID, Logged: provenance.NewLogEntry(c.Run, c.Seq, head.CID),
		})
		return head.CID
	}
	open()
	second := open()
	other := b.newBlock()
	for range 2 { // the same block keeps its place
		if e, err := b.AddEntry(b.ctx, other); err != nil || e != entryOf(2, other.CID) {
			t.Errorf("an entry that is no head: %+v, %v", e, err)
		}
	}
	want = append(want, entryOf(2, other.CID))
	if got, err := b.Block(b.ctx, other.CID); err != nil || string(got) != string(other.Data) {
		t.Errorf("its block: %q, %v", got, err)
	}
	open()
	wantEntries := func(from uint64, limit int, want []journal.Entry) {
		t.Helper()
		if got, err := b.Entries(b.ctx, from, limit); err != nil || !slices.Equal(got, want) {
			t.Errorf("entries from %d: got %+v, %v, want %+v", from, got, err, want)
		}
	}
	wantEntries(0, 100, want)
	wantEntries(1, 2, want[1:3])
	wantEntries(4, 100, nil)
	wantEntries(1<<63, 100, nil)
	_, err := b.Entry(b.ctx, b.newBlock().CID)
	b.wantErr("an entry that is not there", err, journal.ErrNotFound)
	wantNext(0, "")

	receipt, proof := b.newBlock(), b.newBlock()
	want[1].Receipt = receipt.CID
	b.must(b.PutReceipts(b.ctx, []journal.Entry{want[0], want[1], want[2]}, []provenance.Block{receipt, proof},
		[]byte("three")))
	wantNext(3, "three")
	again := want[1]
	again.Receipt = proof.CID
	b.must(b.PutReceipts(b.ctx, []journal.Entry{again}, nil, []byte("still three")))
	wantNext(3, "still three")
	wantEntries(0, 100, want) // the first receipt stays
	if e, err := b.Entry(b.ctx, second); err != nil || e != want[1] {
		t.Errorf("the entry with its receipt: %+v, %v", e, err)
	}
	open()
	wantNext(3, "still three")
}

// testLogRace: many commits at once, and every place is taken once.
func testLogRace(t *testing.T, b *bench) {
	s := b.newSession(alice)
	var wg sync.WaitGroup
	heads := make([]provenance.Link, 64)
	for i := range heads {
		c, head := b.newOpening(s), b.newBlock()
		c.Head, heads[i] = &head, head.CID
		wg.Go(func() {
			if err := b.Commit(b.ctx, c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := b.Entries(b.ctx, 0, 1000)
	if err != nil || len(got) != len(heads) {
		t.Fatalf("%d entries of %d heads, %v", len(got), len(heads), err)
	}
	for i, e := range got {
		if e.Index != uint64(i) || !slices.Contains(heads, e.CID) {
			t.Errorf("entry %d: %+v", i, e)
		}
	}
}

// entryOf is the entry of a block that is no head.
func entryOf(index uint64, c provenance.Link) journal.Entry {
	return journal.Entry{Index: index, CID: c, Logged: provenance.NewLogEntry(c, 0, c)}
}
