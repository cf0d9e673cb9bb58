package wire

import (
	"fmt"
	"os"
	"regexp"
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
	_, below, _ := strings.Cut(text, "\n### How a call and a run end\n")
	below, _, _ = strings.Cut(below, "\n**To miss nothing.**")
	for _, word := range wordsIn(t, "../../provenance/record.go", `\n\t(?:Status|Lapse|Phase|Close)\w+ += "(\w+)"`, 23) {
		if !strings.Contains(below, "`"+word+"`") {
			t.Errorf("docs/protocol.md does not say how a call or a run ends: %q", word)
		}
	}
	for _, word := range wordsIn(t, "../../internal/journal/runs.go", `(?:Status == |StatusCut = )"(\w+)"`, 3) {
		if !strings.Contains(below, "| `"+word+"` |") {
			t.Errorf("docs/protocol.md does not say the state of a run: %q", word)
		}
	}
	for _, kind := range wordsIn(t, "../../internal/api/view.go", `Kind: +"(\w+)"`, 11) {
		if kind != "unknown" { // of records that a later program has written
			lacks("a kind", fmt.Sprintf("| `%s` | ", kind))
		}
	}
}

// wordsIn returns what a form finds in a file of the code, which is at least so much.
func wordsIn(t *testing.T, file, form string, least int) (words []string) {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(form).FindAllSubmatch(source, -1) {
		words = append(words, string(m[1]))
	}
	if len(words) < least {
		t.Fatalf("%s has %q; the form is no longer that of the code", file, words)
	}
	return words
}
