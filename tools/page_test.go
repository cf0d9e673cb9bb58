package tools

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestThePageSpellsArguments: each row of the page's table is how arguments are recorded.
func TestThePageSpellsArguments(t *testing.T) {
	b, err := os.ReadFile("../docs/record.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "| written | recorded |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\|$").FindAllStringSubmatch(table, -1)
	if len(rows) < 9 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		if got, err := CanonicalJSON([]byte(r[1])); err != nil || string(got) != r[2] {
			t.Errorf("%s is recorded as %s (%v), the page says %s", r[1], got, err, r[2])
		}
	}
}
