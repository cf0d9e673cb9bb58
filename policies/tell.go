package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/internal/cond"
)

// What is here tells what a decision saw. It quotes nothing that comes from outside: a text of a request, a call, a
// result, a document or a reply is told by the name that the rule has for it. Who reads an explanation may not be one
// who may read the text, and what a page says must not come back as the words of a rule.

func (x *finding) sentence(r *Request) string {
	id := ""
	if x.rule != nil {
		id = x.rule.FullID
	}
	switch x.why {
	case erred:
		return fmt.Sprintf("%s could not be evaluated: %v", id, x.err)
	case short:
		if x.room.err != nil {
			return fmt.Sprintf("%s: %v", id, x.room.err)
		}
		b := x.room
		if !b.def.Kept() {
			return fmt.Sprintf("budget %s has a cap of %s: %s asked", b.def.ID, &b.def, b.asked)
		}
		return fmt.Sprintf("budget %s has a cap of %s: %s spent, %s reserved, %s asked, %s left",
			b.def.ID, &b.def, b.spent, b.reserved, b.asked, b.has)
	case unpermitted:
		if x.rule == nil {
			return fmt.Sprintf("%s: no rule permits this at %s", x.set.layer, r.Point)
		}
		return fmt.Sprintf("%s: no rule permits this; nearest is %s, but %s", x.set.layer, id, tellFacts(x.facts))
	}
	if x.rule.message != "" {
		return x.rule.message
	}
	s := tellFacts(x.facts)
	switch {
	case x.rule.Effect == "route":
		return id + ": this turn goes to " + strings.Join(x.rule.more.use, " or ")
	case x.why == forbidden && s == "":
		return id + ": this is forbidden"
	case s == "":
		return id + ": the wallet must approve this"
	case x.why == unapproved:
		return id + ": " + s + ", so the wallet must approve"
	}
	return id + ": " + s
}

// tellFacts tells what the atoms say now: "amount is 500 USDC, more than 10 USDC".
func tellFacts(flips []flip) string {
	parts := make([]string, 0, len(flips))
	for _, x := range flips {
		if costOf([]flip{x}) < impossible {
			parts = append(parts, x.tellFact())
		}
	}
	return strings.Join(parts, ", and ")
}

var relation = map[string]string{"<": "less than", "<=": "at most", ">": "more than", ">=": "at least"}

// tellFact tells what the atom says now, by the form of its operator.
func (x flip) tellFact() string {
	l, r, op := x.e.Relate()
	if _, err := x.e.Bool(x.f); err != nil {
		return fmt.Sprintf("%s is unknown: %v", l.Source(), err)
	}
	holds := !x.want
	switch op {
	case "from", "happened", "same", "given":
		return x.tellEvent(op, holds)
	case "in_window":
		return l.Source() + " is " + showClock(x.e.Hours, l, x.f) + ", " + oneOf(holds, "within ", "outside of ") +
			x.e.Hours.Weekly.String()
	}
	if r != nil && (l.IsForeign() || l.Op == "constant") {
		return countedAs(l) + " " + oneOf(holds, textVerbs[op][0], textVerbs[op][1]) + " " + sayValue(r, x.f)
	}
	return x.tellComparison(l, r, op, holds)
}

// oneOf returns one of two words.
func oneOf(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// textVerbs tell how a text that is not shown stands to another: where the atom holds, and where it does not.
var textVerbs = map[string][2]string{
	"contains": {"contains", "does not contain"}, "startsWith": {"starts with", "does not start with"},
	"endsWith": {"ends with", "does not end with"}, "==": {"is", "is not"}, "!=": {"is not", "is"},
	"in": {"is one of", "is not one of"}, "in_set": {"is in", "is not in"}, "in_cidr": {"is in", "is not in"},
}

// tellComparison tells of something with a value that is shown: "amount is 500 USDC, more than 10 USDC".
func (x flip) tellComparison(l, r *expression, op string, holds bool) string {
	show := sayValue
	if isSpan(l, r) {
		show = showSpan
	}
	is := countedAs(l) + " is " + show(l, x.f)
	switch op {
	case "<", "<=", ">", ">=":
		if !holds {
			op = cond.Opposite[op]
		}
		return is + ", " + relation[op] + " " + show(r, x.f)
	case "==", "!=":
		if (op == "==") == holds {
			return is
		}
		return is + ", not " + show(r, x.f)
	case "in", "in_set", "in_cidr":
		if r.Name != "" || op == "in_cidr" {
			return is + ", " + oneOf(holds, "in ", "not in ") + show(r, x.f)
		}
		return is + ", " + oneOf(holds, "one of ", "not one of ") + show(r, x.f)
	case "contains", "startsWith", "endsWith":
		return fmt.Sprintf("%s, which %s %s", is, oneOf(holds, textVerbs[op][0], textVerbs[op][1]), show(r, x.f))
	}
	return is
}

// tellEvent tells of what the run has done, where something comes from, and which arguments there are.
func (x flip) tellEvent(op string, holds bool) string {
	switch op {
	case "from":
		return fmt.Sprintf("it %s from %q", oneOf(holds, "comes", "does not come"), x.e.Name)
	case "happened":
		return x.e.Past.String() + oneOf(holds, " has happened", " has not happened")
	case "same":
		is, as := x.e.Kids[0].Source()+" is ", oneOf(holds, "as in a call of ", "as in no call of ")
		if !x.e.Kids[0].IsForeign() {
			as = showValue(x.e.Kids[0], x.f) + ", " + as
		}
		return is + as + x.e.Past.String()
	}
	return fmt.Sprintf("the argument %q is %s", x.e.Name, oneOf(holds, "given", "not given"))
}

// countedAs is what a sentence calls one side of a comparison.
func countedAs(e *expression) string {
	switch {
	case e.Past != nil && e.Op == "count":
		return "the count of " + e.Past.String()
	case e.Past != nil && e.Op == "sum":
		return "the sum of " + e.Past.String()
	}
	return e.Source()
}

// notShown stands in an atom for a text from outside.
const notShown = "(not shown)"

// showValue shows one side of a comparison, unless it is a text from outside.
func showValue(e *expression, f *frame) string {
	if e.Op == "list" {
		return e.Listed(", ")
	}
	if e.IsForeign() {
		return notShown
	}
	v, err := e.Value(f)
	if err != nil {
		return "unknown"
	}
	return wording.Clip(v.String(), 200)
}

// sayValue is [showValue] for a sentence: a text from outside is called what the rule calls it.
func sayValue(e *expression, f *frame) string {
	if e.IsForeign() {
		return e.Source()
	}
	return showValue(e, f)
}

// isSpan says whether a comparison is with minutes(5) or the like, so that people are told lengths of time.
func isSpan(l, r *expression) bool {
	return slices.ContainsFunc([]*expression{l, r}, func(e *expression) bool {
		if e == nil {
			return false
		}
		call, ok := e.Inner().Node.(*ast.CallNode)
		if !ok {
			return false
		}
		name, ok := call.Callee.(*ast.IdentifierNode)
		return ok && milliseconds[name.Value] > 0
	})
}

func showSpan(e *expression, f *frame) string {
	ms, err := e.Int(f)
	if err != nil {
		return "unknown"
	}
	return spanText(ms)
}

// showClock writes a time as the clock of the hours' place has it.
func showClock(h *cond.Hours, e *expression, f *frame) string {
	ms, err := e.Int(f)
	if err != nil {
		return "unknown"
	}
	return h.Zone.Show(ms)
}
