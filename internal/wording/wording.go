// Package wording shortens and compares words for the messages that people read, and makes them fit for a terminal.
package wording

import "strings"

// Clip cuts s to about n bytes, at a whole character, and marks that something is missing. What comes from models,
// tools and strangers can be long.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// maxWord bounds the words that Nearest compares: the work grows with the square of their length.
const maxWord = 64

// Nearest returns the one of names that a mistyped word most likely meant, or "" if none is near. Up to two mistakes
// count, in a long word one for every third letter, and at most half the letters may be wrong. Case does not matter.
func Nearest(word string, names []string) string {
	if len(word) > maxWord {
		return ""
	}
	best, least := "", 1+max(2, len(word)/3)
	for _, n := range names {
		if len(n) > maxWord {
			continue
		}
		if d := mistakes(strings.ToLower(word), strings.ToLower(n)); d < least && d*2 <= max(len(word), len(n)) {
			best, least = n, d
		}
	}
	return best
}

// mistakes counts the letters to insert, delete, replace or swap with their neighbour to make b of a.
func mistakes(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			d := last[j]
			if a[i] != b[j] {
				d = min(d, last[j+1], row[j]) + 1
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row[j+1] = d
		}
		before, last = last, row
	}
	return last[len(b)]
}
