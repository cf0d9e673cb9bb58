package wire

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The page is all that a stranger who writes a client has.
func TestThePageSaysWhatTheCodeDoes(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(page)
	lacks := func(what, row string) {
		if !strings.Contains(text, row) {
			t.Errorf("docs/protocol.md does not say of %s: %q", what, row)
		}
	}
	for code, k := range kinds {
		again := map[bool]string{true: "yes", false: "no"}[k.retryable]
		lacks("an error", fmt.Sprintf("| `%s` | %d | %s | ", code, k.number, again))
	}
	if n := strings.Count(text, "| yes | ") + strings.Count(text, "| no | "); n != len(kinds) {
		t.Errorf("docs/protocol.md has %d errors, the code %d", n, len(kinds))
	}
	for _, m := range Methods() {
		lacks("a method", fmt.Sprintf("| `%s` | %s | %s |", m.Name, m.Access, m.About))
	}
	for _, code := range []int{CloseUnauthorized, CloseRevoked, CloseRate} {
		lacks("a close code", fmt.Sprintf("| %d | ", code))
	}
	lacks("the bound of a frame", fmt.Sprintf("%d KiB before a session is open, or %d KiB after", MaxFrameEarly>>10, MaxFrame>>10))
	lacks("the depth", fmt.Sprintf("nested deeper than %d", MaxDepth))
}
