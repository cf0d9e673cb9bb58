package workshop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/policies"
)

// Each set of testdata/bad has one mistake of a kind that people make. Its first line says what must be told of it,
// when it is loaded or by Check.
func TestBadSetsAreCaught(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d bad sets: %v", len(files), err)
	}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(src), "\n")
		want := strings.TrimPrefix(first, "# want: ")
		var told []string
		s, err := policies.Load(src, policies.Options{Layer: "operator", Tools: transferTools})
		if err != nil {
			told = append(told, err.Error())
		} else {
			for _, f := range Check(s, testsOf(t, s)).Open() {
				told = append(told, f.For+": "+f.Text)
			}
		}
		if !strings.Contains(strings.Join(told, "\n"), want) {
			t.Errorf("%s: not caught: want %q, got\n%s", filepath.Base(name), want, strings.Join(told, "\n"))
		}
	}
}
