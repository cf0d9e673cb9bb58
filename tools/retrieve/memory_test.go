package retrieve

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// manyWords makes n bytes of text: as prose has its words, few of them frequent and many rare, or all different.
func manyWords(n int, r *rand.Rand, different bool) string {
	var b strings.Builder
	for b.Len() < n {
		if different {
			fmt.Fprintf(&b, "w%x ", r.Uint32())
		} else {
			fmt.Fprintf(&b, "Word%d ", int(20/(r.Float64()+0.00001)))
		}
		switch r.IntN(100) {
		case 0, 1, 2, 3, 4, 5, 6, 7:
			b.WriteString(". ")
		case 8:
			b.WriteString("\n\n")
		}
	}
	return b.String()[:n]
}

// What an index takes is bounded by its texts, also if no word comes twice.
func TestAnIndexIsNotMuchLargerThanItsTexts(t *testing.T) {
	const size = 8 << 20
	for _, test := range []struct {
		what      string
		different bool
		most      float64 // times the texts
	}{{"prose", false, 1}, {"words that are all different", true, 3}} {
		r := rand.New(rand.NewPCG(1, 2))
		var docs []Document
		for i := range 2 {
			docs = append(docs, Document{Source: "a", Name: fmt.Sprint(i), Text: manyWords(size/2, r, test.different)})
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		tool, err := New(docs)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		times := float64(after.HeapAlloc-before.HeapAlloc) / size
		t.Logf("%s: the index takes %.2f times the texts", test.what, times)
		if times > test.most {
			t.Errorf("%s: the index takes %.2f times the texts, more than %g", test.what, times, test.most)
		}
		runtime.KeepAlive(tool)
		runtime.KeepAlive(docs)
	}
}

// An index finds each word where it is, as often as it is there, and no other.
func TestAnIndexFindsEachWord(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var x indexer
	want := map[string]map[uint32]uint32{}
	for p := range uint32(200) {
		var words []string
		for range r.IntN(60) {
			w := fmt.Sprintf("w%d", r.IntN(500))
			words = append(words, w)
			if want[w] == nil {
				want[w] = map[uint32]uint32{}
			}
			want[w][p]++
		}
		if n := x.add(p, words); n != len(words) {
			t.Fatalf("%d words taken, want %d", n, len(words))
		}
	}
	index := x.finish()
	for n := range 600 {
		w := fmt.Sprintf("w%d", n)
		got := map[uint32]uint32{}
		list := index.find(w)
		for _, p := range list {
			got[p.passage] = p.count
		}
		if !maps.Equal(got, want[w]) || len(list) != len(want[w]) ||
			!slices.IsSortedFunc(list, func(a, b posting) int { return int(a.passage) - int(b.passage) }) {
			t.Fatalf("%s: got %v, want %v", w, list, want[w])
		}
	}
}
