package policies

import (
	"slices"

	"github.com/writ-run/writ/policies/internal/cond"
)

// Condition is the condition of a rule, its tools included, as one expression.
func (x *Rule) Condition() *expression {
	e := x.When
	if x.Unless != nil {
		e = cond.And(e, cond.Not(nil, x.Unless))
	}
	if x.Tools == nil {
		return e
	}
	names := make([]value, len(x.Tools))
	for i, t := range x.Tools {
		names[i] = value{Kind: cond.String, Text: t}
	}
	return cond.And(isIn(x.At, "tool", names...), e)
}

// isIn is the condition that a field of p has one of the values.
func isIn(p Point, name string, of ...value) *expression {
	fields, _ := Fields(p)
	i := slices.IndexFunc(fields, func(f field) bool { return f.Name == name })
	return cond.IsOneOf(&fields[i], of...)
}
