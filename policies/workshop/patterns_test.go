package workshop

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/writ-run/writ/policies"
)

// Each file is a pattern over time, as rules, with its tests.
func TestPatternsOverTime(t *testing.T) {
	files, err := filepath.Glob("testdata/patterns/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d patterns, %v; want at least 10", len(files), err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := mustLoad(t, "operator", string(src))
		seen := map[policies.Outcome]bool{}
		for _, r := range Test(s, testsOf(t, s)) {
			seen[r.Got.Outcome] = true
			if !r.OK || r.Skipped {
				t.Errorf("%s: %s: %s", file, r.Name, r.Detail)
			}
		}
		if len(seen) < 2 {
			t.Errorf("%s: its tests see one outcome only", file)
		}
	}
}
