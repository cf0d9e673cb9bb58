package wording

import (
	"fmt"
	"strings"
)

// JoinWithAnd makes a list of some words: "a, b and c".
func JoinWithAnd(words []string) string {
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " and " + words[n-1]
	}
	return strings.Join(words, "")
}

// CountOf says how many there are of a noun: "1 event", "2 events".
func CountOf(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
