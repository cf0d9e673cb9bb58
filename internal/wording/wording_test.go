package wording

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNearest(t *testing.T) {
	names := []string{"amount", "to", "asset", "calls_under_way", "tool.call"}
	for _, c := range []struct{ word, want string }{
		{"ammount", "amount"}, // one letter too many
		{"amuont", "amount"},  // two swapped count once
		{"AMOUNT", "amount"},  // case does not matter
		{"tool.cal", "tool.call"},
		{"cals_undr_wey", "calls_under_way"}, // a long word may have more mistakes
		{"from", ""},                         // more than half of it would be wrong
		{"", ""},
		{strings.Repeat("a", 65), ""},
	} {
		if got := Nearest(c.word, names); got != c.want {
			t.Errorf("Nearest(%q) = %q, want %q", c.word, got, c.want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		s    string
		n    int
		want string
	}{{"short", 5, "short"}, {"longer", 4, "long..."}, {"aéb", 2, "a..."}} {
		if got := Clip(c.s, c.n); got != c.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", c.s, c.n, got, c.want)
		}
	}
}

func FuzzClip(f *testing.F) {
	f.Add("aé", 2)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = min(max(n, 0), len(s)+1)
		if got := Clip(s, n); len(got) > n+3 || utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("Clip(%q, %d) = %q", s, n, got)
		}
	})
}
