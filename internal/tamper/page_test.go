package tamper

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestThePageNamesEveryLieThatIsLeft: what an operator can still invent is published, by field.
func TestThePageNamesEveryLieThatIsLeft(t *testing.T) {
	page, err := os.ReadFile("../../docs/not-proven.md")
	if err != nil {
		t.Fatal(err)
	}
	found, err := os.ReadFile("testdata/claims.golden")
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\|$").FindAllSubmatch(page, -1) {
		named = append(named, string(m[1]))
	}
	if want := strings.Split(strings.TrimSpace(string(found)), "\n"); !slices.Equal(want, named) {
		t.Errorf("docs/not-proven.md and what the audit lets pass differ:\n%s",
			differences(strings.Join(named, "\n")+"\n", string(found)))
	}
}
