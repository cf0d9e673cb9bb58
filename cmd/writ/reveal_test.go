package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/tools/mcp"
)

// Whoever decides by what the agent or a server of tools says is told what only looks like what it seems to be.
func TestLookAlikesAreNamedWhereSomebodyDecides(t *testing.T) {
	const alike, named = "b\u043eb", "b<U+043E Cyrillic, looks like o>b"
	q := &wire.Question{Text: "To " + alike + "?\nOr not?", Choices: []string{"alice", alike}}
	want := []string{"the agent asks: To " + named + "?", "Or not?", "  1  alice", "  2  " + named}
	if got := wordsOf(q); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	spelled := fmt.Sprintf(`{"name":%q,"description":%q,"inputSchema":{"type":"object"}}`, alike, "Pays "+alike+".")
	var out bytes.Buffer
	writeChanges(&out, []mcp.Change{
		{Tool: alike, Kind: "new", Fresh: mcp.Definition{JSON: []byte(spelled)}},
		{Tool: "a", Kind: "unusable", Why: "it names " + alike},
		{Tool: "b", Kind: "changed", Lines: mcp.Lines(fmt.Appendf(nil, "%q", alike))},
	})
	if n := strings.Count(out.String(), named); n != 5 || strings.Contains(out.String(), alike) {
		t.Errorf("%d are named, want 5:\n%s", n, out.String())
	}
}
