package workshop

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/policies"
)

// Every recipe of docs/policies.md loads, passes its tests, which reach every rule, and gives no false alarm.
func TestCookbook(t *testing.T) {
	page, err := os.ReadFile("../../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, part := range strings.Split(string(page), "\n### ")[1:] {
		title, _, _ := strings.Cut(part, "\n")
		_, after, _ := strings.Cut(part, "```yaml\n")
		src, _, ok := strings.Cut(after, "```")
		if !ok {
			t.Errorf("%s: no recipe", title)
			continue
		}
		n++
		t.Run(title, func(t *testing.T) {
			s, err := policies.Load([]byte(fmt.Sprintf("schema: %s\nname: recipe-%d\n%s", policies.Schema, n, src)), policies.Options{Layer: "operator", Tools: slices.Concat(transferTools, orderTools)})
			if err != nil {
				t.Fatal(err)
			}
			for _, res := range Test(s, testsOf(t, s)) {
				if !res.OK || res.Skipped {
					t.Errorf("%s: %s", res.Name, res.Detail)
				}
			}
			r := Check(s, testsOf(t, s))
			for _, f := range append(r.Findings, r.Unjudged...) {
				if f.Check != policies.CheckNoPermit { // a recipe is about one point
					t.Errorf("a false alarm: %s", f)
				}
			}
		})
	}
	if n != 21 {
		t.Errorf("%d recipes, want 21", n)
	}
	for _, c := range policies.Checks {
		if !strings.Contains(string(page), "| `"+c+"` |") {
			t.Errorf("the page does not tell of the check %s", c)
		}
	}
}
