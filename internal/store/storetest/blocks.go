package storetest

import (
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

func testBlocks(t *testing.T, b *bench) {
	one, two := b.newBlock(), provenance.NewRaw([]byte("raw"))
	empty := provenance.NewRaw([]byte{})
	b.must(b.PutBlocks(b.ctx, []provenance.Block{one, two, empty}, nil))
	b.must(b.PutBlocks(b.ctx, []provenance.Block{one}, nil))
	for _, want := range []provenance.Block{one, two, empty} {
		got, err := b.Block(b.ctx, want.CID)
		b.must(err)
		if string(got) != string(want.Data) {
			t.Errorf("block %s: got %q, want %q", want.CID, got, want.Data)
		}
	}
	_, err := b.Block(b.ctx, b.newBlock().CID)
	b.wantErr("unknown block", err, journal.ErrNotFound)
	b.wantErr("unknown block, to a reader of records", err, provenance.ErrAbsent)
	_, err = b.Block(b.ctx, provenance.Link{})
	b.wantErr("undefined link", err, journal.ErrNotFound)
	_, err = b.Block(b.ctx, provenance.Sum(cid.Raw, one.Data))
	b.wantErr("the same hash under another codec", err, journal.ErrNotFound)
	b.wantRefusal("wrong hash", b.PutBlocks(b.ctx, []provenance.Block{{CID: one.CID, Data: []byte("other")}}, nil))
	b.wantRefusal("no CID", b.PutBlocks(b.ctx, []provenance.Block{{Data: []byte("other")}}, nil))
	b.wantRefusal("too large", b.PutBlocks(b.ctx, []provenance.Block{provenance.NewRaw(make([]byte,
		provenance.MaxBlock+1))}, nil))

	e1, err := b.Epoch(b.ctx)
	b.must(err)
	e2, err := b.Epoch(b.ctx)
	b.must(err)
	if e1 == "" || e1 != e2 {
		t.Errorf("epoch: got %q, then %q", e1, e2)
	}
}

func testFleeting(t *testing.T, b *bench) {
	c, other := b.openRun(b.newSession(alice)), b.openRun(b.newSession(bob))
	lasting, ends, withheld, others := provenance.NewRaw([]byte("lasts")), provenance.NewRaw([]byte("ends")),
		provenance.NewRaw([]byte("withheld")), provenance.NewRaw([]byte("another run's"))
	key := provenance.LeafKey{1}
	c.Blocks = []provenance.Block{lasting, ends}
	c.Leaves = []provenance.Leaf{{CID: lasting.CID, Key: key}, {CID: ends.CID, Key: key, Ends: true},
		{CID: withheld.CID, Key: key, Ends: true, Withheld: withheld.Data}}
	b.must(b.Commit(b.ctx, c))
	other.Leaves = []provenance.Leaf{{CID: others.CID, Key: key, Ends: true, Withheld: others.Data}}
	b.must(b.Commit(b.ctx, other))
	look := func(l provenance.Block, block, kept, keyed error) {
		t.Helper()
		_, err := b.Block(b.ctx, l.CID)
		b.wantErr("block of the leaf that is "+string(l.Data), err, block)
		data, err := b.Withheld(b.ctx, l.CID)
		b.wantErr("what is withheld of the leaf that is "+string(l.Data), err, kept)
		if err == nil && string(data) != string(l.Data) {
			t.Errorf("withheld bytes %q, want %q", data, l.Data)
		}
		_, err = b.LeafKey(b.ctx, l.CID)
		b.wantErr("key of the leaf that is "+string(l.Data), err, keyed)
	}
	look(lasting, nil, journal.ErrNotFound, nil)
	look(ends, nil, journal.ErrNotFound, nil)
	look(withheld, provenance.ErrWithheld, nil, nil)
	c = b.nextCommit(c)
	c.Status = "answered"
	b.must(b.Commit(b.ctx, c))
	look(lasting, nil, journal.ErrNotFound, nil)
	look(ends, nil, journal.ErrNotFound, journal.ErrNotFound)
	look(withheld, provenance.ErrWithheld, journal.ErrNotFound, journal.ErrNotFound)
	look(others, provenance.ErrWithheld, nil, nil)
	b.wantRefusal("a leaf that ends with a run that there is not",
		b.PutBlocks(b.ctx, nil, []provenance.Leaf{{CID: ends.CID, Key: key, Ends: true}}))
	other = b.nextCommit(other)
	other.Leaves = []provenance.Leaf{{CID: ends.CID, Key: key, Ends: true, Withheld: []byte("other bytes")}}
	b.wantRefusal("withheld bytes of another leaf", b.Commit(b.ctx, other))
	other.Leaves = []provenance.Leaf{{CID: withheld.CID, Key: key, Withheld: withheld.Data}}
	b.wantRefusal("a withheld leaf that stays", b.Commit(b.ctx, other))
}
