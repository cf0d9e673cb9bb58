package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/internal/tamper"
	"github.com/writ-run/writ/provenance"
)

// A key is kept only if it opens the leaf to what the record commits to; a wrong one, or one that was there before,
// does not keep out the right one; and none is kept of a leaf that was erased: S16.
func TestImportKeepsRightKeysOnly(t *testing.T) {
	file, keyFile, err := tamper.Long(2)
	if err != nil {
		t.Fatal(err)
	}
	right, err := provenance.ReadKeys(bytes.NewReader(keyFile))
	if err != nil {
		t.Fatal(err)
	}
	src, err := provenance.OpenCAR(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{DSN: store.Memory})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	wrong := map[provenance.Link]provenance.LeafKey{}
	var leaves []provenance.Link
	for l := range right {
		wrong[l] = provenance.LeafKey{1, 2, 3}
		leaves = append(leaves, l)
	}
	// What an earlier version has kept unchecked.
	if err := db.PutBlocks(t.Context(), nil, []provenance.Leaf{{CID: leaves[0], Key: wrong[leaves[0]]}}); err != nil {
		t.Fatal(err)
	}
	in := &importer{db: db, src: src, keys: wrong}
	if err := in.importBlocks(t.Context()); err != nil || in.kept != 0 || in.erased != 0 {
		t.Fatalf("of wrong keys %d were kept, %d called erased: %v", in.kept, in.erased, err)
	}
	if err := db.EraseLeaf(t.Context(), leaves[1]); err != nil {
		t.Fatal(err)
	}
	in = &importer{db: db, src: src, keys: right}
	if err := in.importBlocks(t.Context()); err != nil || in.kept != len(right)-1 || in.erased != 1 {
		t.Errorf("of %d right keys %d were kept, %d called erased: %v", len(right), in.kept, in.erased, err)
	}
	for i, l := range leaves {
		k, err := db.LeafKey(t.Context(), l)
		if i == 1 {
			if !errors.Is(err, journal.ErrNotFound) {
				t.Errorf("the key of an erased leaf: %v", err)
			}
		} else if err != nil || k != right[l] {
			t.Errorf("leaf %s has another key, or none: %v", l, err)
		}
	}
}
