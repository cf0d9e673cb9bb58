package storetest

import (
	"reflect"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance/logproof"
)

func testAnchors(t *testing.T, b *bench) {
	anchoring := func(n byte) journal.Anchoring {
		return journal.Anchoring{
			Anchor: logproof.Anchor{Size: uint64(n), Root: [32]byte{n}, Closed: [32]byte{n, 1}, Made: start + int64(n)},
			Slot:   int64(n), Nonce: uint64(n), Hash: [32]byte{n, 2}, Tx: []byte{n, 3},
		}
	}
	wants := func(what string, limit int, want ...journal.Anchoring) {
		t.Helper()
		got, err := b.Anchorings(b.ctx, limit)
		b.must(err)
		if len(got) != len(want) || len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	wants("none yet", 9)
	one, two, three := anchoring(1), anchoring(2), anchoring(3)
	for _, a := range []journal.Anchoring{one, two, one, three} {
		b.must(b.PutAnchoring(b.ctx, a))
	}
	wants("all, the newest last", 9, one, two, three)
	wants("the newest two", 2, two, three)
	wants("less than none", -1)
	b.must(b.FinishAnchoring(b.ctx, one.Hash, 77, start+9, false))
	b.must(b.FinishAnchoring(b.ctx, two.Hash, 0, 0, true))
	b.must(b.FinishAnchoring(b.ctx, [32]byte{9}, 1, 1, false)) // which is not there
	one.Block, one.Time = 77, start+9
	two.Failed = true
	wants("with what came of them", 9, one, two, three)

	empty, large := anchoring(4), anchoring(5)
	empty.Tx, large.Tx = nil, make([]byte, 4<<10+1)
	b.wantRefusal("no transaction", b.PutAnchoring(b.ctx, empty))
	b.wantRefusal("a large transaction", b.PutAnchoring(b.ctx, large))
	wants("without those", 9, one, two, three)
}
