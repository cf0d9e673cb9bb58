package provenance

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// docs/record.md names every code of this package and of agent/audit, and no other.
func TestTheDocsNameEveryCode(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "record.md"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join("..", "docs", "log.md")) // those of the log have a page of their own
	if err != nil {
		t.Fatal(err)
	}
	doc = append(doc, log...)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../agent/audit/*.go")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, more...)
	here := map[string]bool{}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:const)?\s+?Code\w+\s+(?:provenance\.)?Code = "([a-z0-9_.]+)"`).FindAllSubmatch(src, -1) {
			here[string(m[1])] = true
		}
	}
	there := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z0-9_]+)` \\|").FindAllSubmatch(doc, -1) {
		there[string(m[1])] = true
	}
	for _, code := range []string{string(CodeBlockHash), string(CodeBlockSize), string(CodeKeysForm), string(CodeKeysSize)} {
		if regexp.MustCompile("`" + regexp.QuoteMeta(code) + "`").Match(doc) {
			there[code] = true
		}
	}
	if len(here) < 90 {
		t.Fatalf("only %d codes found in the source", len(here))
	}
	for code := range here {
		if !there[code] {
			t.Errorf("docs/record.md does not name %s", code)
		}
	}
	for code := range there {
		if !here[code] {
			t.Errorf("docs/record.md names %s, which is not there", code)
		}
	}
}
