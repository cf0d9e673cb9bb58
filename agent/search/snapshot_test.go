package search_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/search"
)

func chunksOf(texts ...string) map[string]search.Chunk {
	m := map[string]search.Chunk{}
	for i, text := range texts {
		c := search.Chunk{Document: "bafkdoc", From: i, Heading: "Pay & more", Text: text}
		m[search.CIDOf(c.Bytes())] = c
	}
	return m
}

// A snapshot's file is read as it was written, and any change of it is refused.
func TestSnapshotsAreHeldToTheirCIDs(t *testing.T) {
	chunks := chunksOf("Bob is paid five.", "Carol is paid six.", "Nothing.")
	var file, again bytes.Buffer
	id, err := search.WriteSnapshot(&file, chunks)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := search.WriteSnapshot(&again, chunks); err != nil || !bytes.Equal(file.Bytes(), again.Bytes()) {
		t.Error("the same chunks gave other bytes")
	}
	s, err := search.ReadSnapshot(bytes.NewReader(file.Bytes()))
	if err != nil || s.CID != id || len(s.Chunks) != 3 {
		t.Fatalf("got %+v, %v", s, err)
	}
	want, _ := search.Shelve(chunks).Search("who is paid six?")
	if got, _ := s.Search("who is paid six?"); !slices.Equal(got, want) || s.Chunks[got[0]].Text != "Carol is paid six." {
		t.Errorf("got %q, want %q", got, want)
	}
	var other bytes.Buffer
	if _, err := search.WriteSnapshot(&other, chunksOf("Bob is paid five.", "Carol is paid six.")); err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{
		"nothing": nil, "a text changed": bytes.Replace(file.Bytes(), []byte("paid six"), []byte("paid ten"), 1),
		"cut":           file.Bytes()[:file.Len()-5],
		"another root":  append(append([]byte{}, other.Bytes()[:59]...), file.Bytes()[59:]...),
		"a block again": append(slices.Clone(other.Bytes()), lastBlock(other.Bytes())...),
	} {
		if s, err := search.ReadSnapshot(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: it is read as %+v", what, s)
		}
	}
	left := bytes.TrimSuffix(file.Bytes(), lastBlock(file.Bytes()))
	if _, err := search.ReadSnapshot(bytes.NewReader(left)); err == nil || !strings.Contains(err.Error(), "one is missing") {
		t.Errorf("a chunk left out: %v", err)
	}
}

// lastBlock returns the last section of a file whose sections are shorter than 16 KiB.
func lastBlock(file []byte) []byte {
	at := 59
	last := at
	for at < len(file) {
		last = at
		n, size := int(file[at]&0x7f), 1
		if file[at] >= 0x80 {
			n, size = n|int(file[at+1])<<7, 2
		}
		at += size + n
	}
	return file[last:]
}

// A query of any text, over chunks of any text, ranks what it ranks twice alike, and within the bounds.
func FuzzSearch(f *testing.F) {
	f.Add("what is paid?", "Bob is paid", "ünïcode\xff 1,000.5 don't")
	f.Fuzz(func(t *testing.T, query, a, b string) {
		chunks := chunksOf(a, b, query, fmt.Sprint(a, b))
		ids, covers := search.Shelve(chunks).Search(query)
		again, _ := search.Shelve(chunks).Search(query)
		if !slices.Equal(ids, again) || len(ids) > search.PerBranch {
			t.Errorf("got %q, then %q", ids, again)
		}
		for _, id := range ids {
			if covers[id] < 0 || covers[id] > 1000 {
				t.Errorf("%s covers %d", id, covers[id])
			}
		}
	})
}
