package main

import (
	"slices"
	"testing"

	"github.com/writ-run/writ/agent/wire"
)

// Whoever decides by what the agent says is told what only looks like what it seems to be.
func TestLookAlikesAreNamedWhereSomebodyDecides(t *testing.T) {
	const alike, named = "b\u043eb", "b<U+043E Cyrillic, looks like o>b"
	q := &wire.Question{Text: "To " + alike + "?\nOr not?", Choices: []string{"alice", alike}}
	want := []string{"the agent asks: To " + named + "?", "Or not?", "  1  alice", "  2  " + named}
	if got := wordsOf(q); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
