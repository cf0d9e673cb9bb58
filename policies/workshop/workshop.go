// Package workshop helps those who write policy sets: it runs their tests ([Test]), finds what is probably not meant
// ([Check]), counts what tests have seen ([Cover]), makes mistakes that they should notice ([Mutate]), tells how two
// sets differ ([Diff]), and formats ([Format]). Who decides and who audits does not need it, and does not link it.
package workshop

import (
	"slices"
	"strings"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/internal/cond"
)

// A condition is compiled by what it reads, which is a [policies.Request].
type (
	expression = cond.Expr[policies.Request]
	field      = cond.Field[policies.Request]
	frame      = cond.Frame[policies.Request]
	region     = cond.Region[policies.Request]
	value      = cond.Value
)

// isIn is the condition that a field of p has one of the values.
func isIn(p policies.Point, name string, of ...value) *expression {
	fields, _ := policies.Fields(p)
	i := slices.IndexFunc(fields, func(f field) bool { return f.Name == name })
	return cond.IsOneOf(&fields[i], of...)
}

func pointNames() (out []string) {
	for _, p := range policies.Points() {
		out = append(out, string(p))
	}
	return out
}

func pointList(ps []policies.Point) string {
	names := make([]string, len(ps))
	for i, p := range ps {
		names[i] = string(p)
	}
	return strings.Join(names, ", ")
}
