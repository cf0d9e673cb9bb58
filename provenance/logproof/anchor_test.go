package logproof

import (
	"bytes"
	"errors"
	"testing"

	"github.com/writ-run/writ/provenance"
)

// FuzzReadAnchor: an event that is read is one that a call makes, word for word.
func FuzzReadAnchor(f *testing.F) {
	a := Anchor{Size: 300, Root: [32]byte{1}, Closed: [32]byte{2}, Made: 1_750_000_000}
	f.Add(a.Call())
	f.Add(make([]byte, 128))
	f.Add(bytes.Repeat([]byte{0xff}, 128))
	f.Fuzz(func(t *testing.T, words []byte) {
		if len(words) < 32 {
			return
		}
		a, ok := ReadAnchor([32]byte(words), words[32:])
		if ok && !bytes.Equal(a.Call(), words) {
			t.Errorf("two spellings of one anchor: %x", words)
		}
	})
}

// The times of anchors and heads bound each other, with a minute for clocks.
func TestPlaceOfAHead(t *testing.T) {
	const at = 1_750_000_000
	a := Anchors{List: []Anchor{{Size: 5, Made: at, Time: at + 20}, {Size: 9, Made: at + 3600, Time: at + 3620}}}
	for _, tc := range []struct {
		name  string
		index uint64
		at    int64
		code  provenance.Code
	}{
		{"between its anchors", 6, at + 1000, ""},
		{"a minute before the one that lacks it", 6, at - 60, ""},
		{"before the one that lacks it", 6, at - 61, CodeAnchorTime},
		{"a minute after the block that has it", 6, at + 3680, ""},
		{"after the block that has it", 6, at + 3681, CodeAnchorTime},
		{"before all", 4, at - 100_000, ""},
		{"in the first, after its block", 4, at + 81, CodeAnchorTime},
		{"not anchored yet", 9, at + 100_000, ""},
		{"not anchored yet, and said to be old", 9, at + 3000, CodeAnchorTime},
	} {
		if err := a.Place(tc.index, tc.at*1000); codeOf(err) != tc.code {
			t.Errorf("%s: got %v, want %q", tc.name, err, tc.code)
		}
	}
	if x, ok := a.Cover(5); !ok || x.Size != 9 {
		t.Errorf("entry 5 is covered by %+v", x)
	}
	if _, ok := a.Cover(9); ok {
		t.Error("entry 9 is covered")
	}
}

func codeOf(err error) provenance.Code {
	if f, ok := errors.AsType[*provenance.Fault](err); ok {
		return f.Code
	}
	if err != nil {
		return "?"
	}
	return ""
}
