package storetest

import (
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

func testErase(t *testing.T, b *bench) {
	leaf := provenance.Leaf{CID: provenance.NewRaw([]byte("sealed")).CID, Key: provenance.LeafKey{1, 2, 3}}
	b.must(b.PutBlocks(b.ctx, []provenance.Block{provenance.NewRaw([]byte("sealed"))}, []provenance.Leaf{leaf}))
	k, err := b.LeafKey(b.ctx, leaf.CID)
	b.must(err)
	if k != leaf.Key {
		t.Error("the leaf has another key")
	}
	wrong := provenance.Leaf{CID: leaf.CID, Key: provenance.LeafKey{9}}
	b.must(b.PutBlocks(b.ctx, nil, []provenance.Leaf{wrong}))
	b.must(b.PutBlocks(b.ctx, nil, []provenance.Leaf{leaf}))
	if k, err = b.LeafKey(b.ctx, leaf.CID); err != nil || k != leaf.Key {
		t.Errorf("a key that came before keeps out a later one: %v", err)
	}
	b.must(b.EraseLeaf(b.ctx, leaf.CID))
	b.must(b.EraseLeaf(b.ctx, leaf.CID))
	b.must(b.PutBlocks(b.ctx, nil, []provenance.Leaf{leaf})) // an import of what somebody has kept
	_, err = b.LeafKey(b.ctx, leaf.CID)
	b.wantErr("erased leaf", err, journal.ErrNotFound)
	_, err = b.Block(b.ctx, leaf.CID)
	b.wantErr("its ciphertext", err, nil)
}

func testErasure(t *testing.T, b *bench) {
	s := b.newSession(alice)
	c := b.openRun(s)
	leaf, head := provenance.NewRaw([]byte("sealed")), b.newBlock()
	c.Blocks, c.Leaves, c.Head = []provenance.Block{leaf}, []provenance.Leaf{{CID: leaf.CID,
		Key: provenance.LeafKey{1}}}, &head
	b.must(b.Commit(b.ctx, c))
	e := journal.Erasure{Run: c.Run, Old: head.CID, Head: b.newBlock(), Record: b.newBlock(),
		Leaves: []provenance.Link{leaf.CID}}
	b.wantErr("a run that is not closed", b.Erase(b.ctx, e), journal.ErrConflict)
	c = b.nextCommit(c)
	c.Status = "answered"
	b.must(b.Commit(b.ctx, c))
	wrong := e
	wrong.Old = e.Head.CID
	b.wantErr("another head", b.Erase(b.ctx, wrong), journal.ErrConflict)
	if _, err := b.LeafKey(b.ctx, leaf.CID); err != nil {
		t.Errorf("a refused erasure took the key: %v", err)
	}
	sibling := b.openRun(s)
	b.must(b.Commit(b.ctx, sibling))
	e.Shared = true
	b.wantErr("what an open run of the session shares", b.Erase(b.ctx, e), journal.ErrShared)
	if info, err := b.Run(b.ctx, c.Run); err != nil || info.Head != head.CID {
		t.Errorf("a refused erasure moved the head to %v, %v", info.Head, err)
	}
	sibling = b.nextCommit(sibling)
	sibling.Status = "answered"
	b.must(b.Commit(b.ctx, sibling))
	b.must(b.Erase(b.ctx, e))
	b.must(b.PutBlocks(b.ctx, nil, []provenance.Leaf{{CID: leaf.CID, Key: provenance.LeafKey{1}}}))
	_, err := b.LeafKey(b.ctx, leaf.CID)
	b.wantErr("the key", err, journal.ErrNotFound)
	if info, err := b.Run(b.ctx, c.Run); err != nil || info.Head != e.Head.CID {
		t.Errorf("head %v, %v, want %s", info.Head, err, e.Head.CID)
	}
	for _, l := range []provenance.Link{leaf.CID, head.CID, e.Head.CID, e.Record.CID} {
		if _, err := b.Block(b.ctx, l); err != nil {
			t.Errorf("block %s: %v", l, err)
		}
	}
	b.wantErr("the same again", b.Erase(b.ctx, e), journal.ErrConflict)
}
