package policies

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Every recipe of docs/policies.md loads, passes its tests, which reach every rule, and gives no false alarm.
func TestCookbook(t *testing.T) {
	page, err := os.ReadFile("../docs/policies.md")
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
			s, err := Load([]byte(fmt.Sprintf("schema: %s\nname: recipe-%d\n%s", Schema, n, src)), Options{Layer: "operator", Tools: transferTools})
			if err != nil {
				t.Fatal(err)
			}
			for _, res := range s.Test() {
				if !res.OK || res.Skipped {
					t.Errorf("%s: %s", res.Name, res.Detail)
				}
			}
			r := s.Check()
			for _, f := range append(r.Findings, r.Unjudged...) {
				if f.Check != CheckNoPermit { // a recipe is about one point
					t.Errorf("a false alarm: %s", f)
				}
			}
		})
	}
	if n != 20 {
		t.Errorf("%d recipes, want 20", n)
	}
	for _, c := range Checks {
		if !strings.Contains(string(page), "| `"+c+"` |") {
			t.Errorf("the page does not tell of the check %s", c)
		}
	}
}
