package search_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/search"
)

func TestFuse(t *testing.T) {
	got := search.Fuse([]string{"c", "a", "b"}, []string{"b", "d"})
	want := []search.Fused{{CID: "b", Words: 3, Meaning: 1}, {CID: "c", Words: 1}, {CID: "a", Words: 2}, {CID: "d", Meaning: 2}}
	if !slices.Equal(got, want) { // a and d have the same rank: by CID
		t.Errorf("got %v, want %v", got, want)
	}
}

// Words of one kind have one term, whatever their ending, marks or spelling of a number.
func TestTerms(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"paid payments", "pai payment"}, {"The votes, voted, voting", "vote"}, {"Café CAFÉ café", "cafe"},
		{"1,000 1000", "1000"}, {"2.5 %", "2.5 percent"}, {"Rook's three", "3 rook"}, {"3–4", "3 4"}, {"what is it?", ""},
		{"Straße", "strass"}, {"relational hopping", "hop relat"}, {strings.Repeat("x", 65), ""},
	} {
		terms, _ := search.Index(search.Chunk{Text: tt.text})
		var list []string
		for term := range terms {
			list = append(list, term)
		}
		slices.Sort(list)
		if got := strings.Join(list, " "); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
	whole, _ := search.Index(search.Chunk{Text: "multi-sig"})
	if whole["multisig"] == 0 || whole["multi"] == 0 {
		t.Errorf("got %v", whole)
	}
}

// What is ranked is the same whoever ranks it, in whatever order the chunks come, and a synonym weighs less.
func TestRanksAreTheSame(t *testing.T) {
	chunks := map[string]search.Chunk{}
	for i, text := range []string{"The salary of a gardener is 5.", "The wage of a gardener is 5.", "A gardener waters.", "Nothing.",
		"The salary of a gardener is 5."} {
		c := search.Chunk{Document: fmt.Sprint(i), Text: text}
		chunks[search.CIDOf(c.Bytes())] = c
	}
	ids, covers := search.Shelve(chunks).Search("what salary does a gardener have?")
	if len(ids) != 4 || chunks[ids[0]].Text != "The salary of a gardener is 5." || ids[0] > ids[1] ||
		chunks[ids[2]].Text != "The wage of a gardener is 5." || covers[ids[0]] != 1000 || covers[ids[2]] >= 1000 ||
		covers[ids[3]] >= covers[ids[2]] {
		t.Errorf("got %v %v", ids, covers)
	}
	if ids, _ := search.Shelve(nil).Search("salary"); len(ids) > 0 {
		t.Errorf("of nothing: %v", ids)
	}
}

// The logarithm of whole numbers is that of real ones, to a thousandth of a bit.
func TestWeights(t *testing.T) {
	for _, n := range []int64{0, 1, 2, 7, 100, 1 << 20} {
		for _, has := range []int64{0, 1, 5, n, 2 * n} {
			want := math.Log2(float64(2*max(n, has)+2)/float64(2*has+1)) * 1024
			if got := float64(search.Weigh(n, has)); math.Abs(got-want) > 1.01 {
				t.Errorf("%d of %d: got %v, want %v", has, n, got, want)
			}
		}
	}
}
