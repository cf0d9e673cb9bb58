package policies

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies/internal/cond"
)

// refuseConstant reports a condition that says the same of every request, unless it is plainly true.
func (l *loader) refuseConstant(n *yaml.Node, e *expression, key string) {
	if e.Op == "constant" && key == "when" && e.IsTrue(nil) {
		return
	}
	can := possibleAnswers(e)
	if v, ok := e.FixedValue(); ok {
		can = [3]bool{cond.Yes: v.Bool, cond.No: !v.Bool}
	}
	switch {
	case can[cond.Yes] && !can[cond.No] && !can[cond.Fails]:
		l.Report(n, "the condition is always true")
	case can[cond.Yes]:
	case can[cond.Fails] && !e.IsFixed():
		l.Report(n, "the condition is always false, or cannot be evaluated%s", findClash(e))
	default:
		l.Report(n, "the condition is always false%s", findClash(e))
	}
}

// possibleAnswers says what e can come to. All is said where that is not known.
func possibleAnswers(e *expression) (can [3]bool) {
	known := cond.NewSpace([]*expression{e}).Each(cond.MaxLoad, func(g region) bool {
		can[g.Says(e)] = true
		return true
	})
	if !known {
		return [3]bool{true, true, true}
	}
	return can
}

// findClash names two parts of a conjunction that cannot both hold, or says nothing.
func findClash(e *expression) string {
	var parts []*expression
	var split func(*expression)
	split = func(e *expression) {
		if e.Op == "&&" {
			split(e.Kids[0])
			split(e.Kids[1])
			return
		}
		parts = append(parts, e)
	}
	split(e)
	for i, a := range parts {
		for _, b := range parts[:i] {
			both := false
			known := cond.NewSpace([]*expression{a, b}).Each(cond.MaxLoad, func(g region) bool {
				both = g.Says(b) == cond.Yes && g.Says(a) == cond.Yes
				return !both
			})
			if known && !both && !a.IsFixed() && !b.IsFixed() {
				return fmt.Sprintf(": %s and %s cannot both hold", b.Source(), a.Source())
			}
		}
	}
	return ""
}
