package owntools

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/writ-run/writ/tools/mcp"
)

// Whoever decides by what a server of tools says is told what only looks like what it seems to be.
func TestLookAlikesAreNamedBeforeTheyAreAccepted(t *testing.T) {
	const alike, named = "b\u043eb", "b<U+043E Cyrillic, looks like o>b"
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
