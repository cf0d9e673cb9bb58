package provenance_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance"
)

// TestALogEntryOpensToItsRunAlone: who knows the run reads the head's CID, and nobody else finds it.
func TestALogEntryOpensToItsRunAlone(t *testing.T) {
	link := func(s string) provenance.Link { return provenance.Sum(cid.DagCBOR, []byte(s)) }
	run, other, head := link("run"), link("another run"), link("head")
	e := provenance.NewLogEntry(run, 7, head)
	if got := hex.EncodeToString(e[:]); got != wantLogEntry {
		t.Errorf("got %s, want %s as docs/log.md has it", got, wantLogEntry)
	}
	if c, ok := e.Open(run); !ok || c != head || e.Seq() != 7 {
		t.Errorf("opened to %s, %t, %d", c, ok, e.Seq())
	}
	if c, ok := e.Open(other); ok {
		t.Errorf("another run opens it to %s", c)
	}
	if back, ok := provenance.ParseLogEntry(e[:]); !ok || back != e {
		t.Errorf("read as %x, %t", back, ok)
	}
	if _, ok := provenance.ParseLogEntry(e[:71]); ok {
		t.Error("a short entry was read")
	}
	next, elsewhere := provenance.NewLogEntry(run, 8, head), provenance.NewLogEntry(other, 7, head)
	if next.Tag() != e.Tag() || bytes.Equal(next[40:], e[40:]) {
		t.Error("entries of a run have one tag, and the same head looks different at another number")
	}
	if elsewhere.Tag() == e.Tag() || bytes.Equal(elsewhere[40:], e[40:]) {
		t.Error("another run has another tag and another pad")
	}
	for _, c := range []provenance.Link{run, head} {
		for n := 16; n <= 32; n++ { // nor a part of either's digest
			if bytes.Contains(e[:], c.Hash()[2:2+n]) {
				t.Errorf("the entry holds %d bytes of %s", n, c)
			}
		}
	}
}

// wantLogEntry was made from the document by another program.
const wantLogEntry = "78feba22820548792df7d4d83c2d3ea52ef399a33e13a868dbfb13cc2f089ebe0000000000000007" +
	"e042a9c6c724a21a9f11cef737009aa2881200eafc02a4e7d8db58aac0f61c01"
