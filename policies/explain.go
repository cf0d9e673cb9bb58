package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/money"
)

// A finding is one reason why a request is not simply permitted.
type finding struct {
	set   *Set
	rule  *rule // nil: the set has no permit rule for the point, or it is about no rule
	why   reason
	err   error
	room  *shortage
	atoms []Atom
	flips []flip // what would have to change
	facts []flip // what the sentence tells
}

// A reason is why a finding stands against a request. The first in this order is told first.
type reason int

const (
	forbidden   reason = iota // the rule forbids
	erred                     // the rule cannot be evaluated
	short                     // a budget has no room for what the rule reserves
	unpermitted               // no permit matched; rule is the nearest one
	unapproved                // the rule asks for the wallet
)

// A flip is an atom and what it would have to say instead.
type flip struct {
	e    *expression
	f    *frame
	want bool
}

const maxAtoms = 16

// explain decides again, slowly, and says why. Purity makes it the same decision.
func (l Layers) explain(r *Request) Decision {
	found, _, _, ttl := l.examine(r)
	d := Decision{Point: r.Point, Outcome: outcome(found)}
	if d.Outcome == Permit { // cannot be: decide said otherwise; if it is, nothing is permitted by mistake
		d.Outcome, d.Message = Deny, "the rules were read in two ways; this is a bug in writ"
		return d
	}
	if d.Outcome == Approve {
		d.TTL = ttl
	}
	var sentences []string
	told := slices.Clone(found)
	slices.SortStableFunc(told, func(a, b finding) int { return cmp.Compare(a.why, b.why) })
	for _, x := range told {
		if s := x.sentence(r); (x.why == unapproved) == (d.Outcome == Approve) && !slices.Contains(sentences, s) {
			sentences = append(sentences, s)
		}
	}
	for _, x := range found {
		if (x.why == unapproved) != (d.Outcome == Approve) {
			continue // a deny is explained by what denies
		}
		if x.rule != nil && x.why != unpermitted && !slices.Contains(d.Rules, x.rule.full) {
			d.Rules = append(d.Rules, x.rule.full)
		}
		for _, a := range x.atoms {
			if len(d.Atoms) < maxAtoms && !slices.Contains(d.Atoms, a) {
				d.Atoms = append(d.Atoms, a)
			}
		}
	}
	d.Message = shorten(sentences[0], 1000)
	if n := len(sentences) - 1; n == 1 {
		d.Message += " (and 1 more reason)"
	} else if n > 1 {
		d.Message += fmt.Sprintf(" (and %d more reasons)", n)
	}
	d.Change = shorten(l.change(r, found), 1000)
	return d
}

func outcome(found []finding) Outcome {
	o := Permit
	for _, x := range found {
		if x.why != unapproved {
			return Deny
		}
		o = Approve
	}
	return o
}

// examine asks every rule of every layer and returns all reasons against r, in the order of the layers and rules.
func (l Layers) examine(r *Request) (found []finding, reserves []Reserve, rules []string, ttl int64) {
	for _, s := range l {
		f := &frame{r: r, vars: make([]slot, s.slots)}
		permitted := s.open(r.Point)
		var permits []*rule
		for _, x := range s.points[r.Point] {
			if x.effect == "permit" {
				permits = append(permits, x)
			}
			if !x.about(r) {
				continue
			}
			holds, err := x.holds(f)
			if err != nil {
				found = append(found, finding{set: s, rule: x, why: erred, err: err, atoms: x.atoms(f)})
				continue
			}
			if !holds {
				continue
			}
			switch x.effect {
			case "route":
				if !s.routes(x, r, f) {
					use := make([]value, len(x.more.use))
					for i, model := range x.more.use {
						use[i] = value{kind: kindString, s: model}
					}
					found = append(found, finding{set: s, rule: x, why: forbidden, atoms: x.atoms(f),
						flips: []flip{{isIn(r.Point, "model", use...), f, true}}})
					continue
				}
			case "forbid":
				flips := x.flips(f, false)
				found = append(found, finding{set: s, rule: x, why: forbidden, atoms: x.atoms(f), flips: flips, facts: flips})
				continue
			case "permit":
				permitted = true
			case "approve":
				if ttl == 0 || x.ttl < ttl {
					ttl = x.ttl
				}
				if !r.Approved {
					found = append(found, finding{set: s, rule: x, why: unapproved, atoms: x.atoms(f), facts: x.flips(f, false)})
				}
			}
			rules = append(rules, x.full)
			for _, res := range x.reserves {
				m, err := res.amount.amt(f)
				if err != nil {
					found = append(found, finding{set: s, rule: x, why: erred, err: err})
					continue
				}
				if !addReserve(&reserves, res.budget.ID, *m) {
					err := fmt.Errorf("budget %s counts %s, not %s", res.budget.ID, res.budget.Cap.Asset().Symbol, m)
					found = append(found, finding{set: s, rule: x, why: erred, err: err})
					continue
				}
				if miss := roomFor(r, l, []Reserve{{res.budget.ID, *m}}); miss != nil {
					found = append(found, shortFinding(s, x, f, res, miss))
				}
			}
		}
		if !permitted {
			found = append(found, nearestPermit(s, permits, f))
		}
	}
	return found, reserves, rules, ttl
}

// shortFinding explains a reservation that does not fit, as if it were the condition amount <= left.
func shortFinding(s *Set, x *rule, f *frame, res reservation, miss *shortage) finding {
	out := finding{set: s, rule: x, why: short, room: miss}
	if miss.err != nil {
		return out
	}
	limit := constant(res.amount.node, value{kind: kindAmount, m: miss.has})
	fits := &expression{kind: kindBool, op: "<=", node: res.amount.node, kids: []*expression{res.amount, limit},
		bool: compareAmounts(res.amount.amt, limit.amt, "<=")}
	_, name, _ := strings.Cut(res.budget.ID, "/")
	out.atoms = []Atom{{Expr: fmt.Sprintf("%s <= left(%q)", res.amount.source(), name),
		Left: miss.asked.String(), Right: miss.has.String()}}
	if !miss.has.IsZero() && !res.amount.constant() {
		out.flips = []flip{{fits, f, true}}
	}
	return out
}

// nearestPermit finds the permit rule that the least change would make match.
func nearestPermit(s *Set, permits []*rule, f *frame) finding {
	out := finding{set: s, why: unpermitted}
	best := 0
	for _, x := range permits {
		if !x.about(f.r) || x.unknown {
			continue
		}
		if _, err := x.holds(f); err != nil {
			continue // told as an error of its own
		}
		flips := x.flips(f, true)
		if c := cost(flips); c > 0 && (out.rule == nil || c < best) {
			best = c
			out.rule, out.flips, out.facts, out.atoms = x, flips, flips, x.atoms(f)
		}
	}
	return out
}

// atoms lists the comparisons that were looked at, with their values.
func (x *rule) atoms(f *frame) []Atom {
	var out []Atom
	if x.unknown {
		return nil
	}
	if listAtoms(x.when, f, &out) && x.unless != nil {
		listAtoms(x.unless, f, &out)
	}
	return out
}

// listAtoms walks e as the evaluator does, short circuits included, and returns what it says; an error says false.
func listAtoms(e *expression, f *frame, out *[]Atom) bool {
	switch {
	case e.op == "&&":
		return listAtoms(e.kids[0], f, out) && listAtoms(e.kids[1], f, out)
	case e.op == "||":
		return listAtoms(e.kids[0], f, out) || listAtoms(e.kids[1], f, out)
	case e.op == "!":
		return !listAtoms(e.kids[0], f, out)
	case e.op == "variable" && e.kind == kindBool:
		return listAtoms(e.kids[0].inner(), f, out)
	case e.op == "constant":
		return truth(e, f)
	}
	a := Atom{Expr: shorten(e.source(), 300), Holds: truth(e, f)}
	l, r := e.sides()
	a.Left = show(l, f)
	if e.hours != nil {
		a.Left = e.hours.show(l, f)
	}
	if r != nil {
		a.Right = show(r, f)
	}
	*out = append(*out, a)
	return a.Holds
}

// inner skips the wrapper of a variable.
func (e *expression) inner() *expression {
	for e.op == "variable" {
		e = e.kids[0]
	}
	return e
}

func truth(e *expression, f *frame) bool {
	b, err := e.bool(f)
	return err == nil && b
}

// sides returns what an atom compares; r is nil if it stands alone.
func (e *expression) sides() (l, r *expression) {
	if len(e.kids) == 2 {
		return e.kids[0], e.kids[1]
	}
	return e, nil
}

func show(e *expression, f *frame) string {
	if e.op == "list" {
		return e.listed(", ")
	}
	v, err := e.value(f)
	if err != nil {
		return "unknown"
	}
	return shorten(v.String(), 200)
}

// spans says whether a comparison is with minutes(5) or the like, so that people are told lengths of time.
func spans(l, r *expression) bool {
	return slices.ContainsFunc([]*expression{l, r}, func(e *expression) bool {
		if e == nil {
			return false
		}
		call, ok := e.inner().node.(*ast.CallNode)
		if !ok {
			return false
		}
		name, ok := call.Callee.(*ast.IdentifierNode)
		return ok && milliseconds[name.Value] > 0
	})
}

func showSpan(e *expression, f *frame) string {
	ms, err := e.int(f)
	if err != nil {
		return "unknown"
	}
	return span(ms)
}

// shorten cuts s to about n bytes, at a whole character. Values come from models and tools, so they can be long.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// listed shows a list or the name of a set.
func (e *expression) listed(sep string) string {
	if e.name != "" {
		return fmt.Sprintf("the set %q", e.name)
	}
	if e.text != "" {
		return e.text
	}
	parts := make([]string, 0, 8)
	for i, v := range e.list {
		if i == 8 {
			parts = append(parts, fmt.Sprintf("... (%d)", len(e.list)))
			break
		}
		parts = append(parts, v.String())
	}
	return strings.Join(parts, sep)
}

// flips returns the cheapest set of atoms whose change would make the rule match, or not match.
func (x *rule) flips(f *frame, want bool) []flip {
	w := minimal(x.when, f, want)
	if x.unless == nil {
		return w
	}
	u := minimal(x.unless, f, !want)
	if want {
		return append(slices.Clone(w), u...)
	}
	return cheaper(w, u)
}

// minimal returns the cheapest atoms of e to change so that e says want: none if it does already, nil with a cost
// of impossible if nothing would.
func minimal(e *expression, f *frame, want bool) []flip {
	if b, err := e.bool(f); err == nil && b == want {
		return nil
	}
	switch {
	case e.op == "!":
		return minimal(e.kids[0], f, !want)
	case e.op == "variable":
		return minimal(e.inner(), f, want)
	case e.op == "&&" && want, e.op == "||" && !want:
		first := minimal(e.kids[0], f, want)
		// A right side that the left one guards has no answer yet; what it needs shows once the left is mended.
		if _, err := e.kids[1].bool(f); err != nil && len(first) > 0 {
			return first
		}
		return append(slices.Clone(first), minimal(e.kids[1], f, want)...)
	case e.op == "&&" || e.op == "||":
		return cheaper(minimal(e.kids[0], f, want), minimal(e.kids[1], f, want))
	}
	return []flip{{e, f, want}}
}

func cheaper(a, b []flip) []flip {
	if cost(b) < cost(a) {
		return b
	}
	return a
}

// cost sums how far the atoms are from the user's hands.
func cost(flips []flip) int {
	n := 0
	for _, x := range flips {
		n += reach(x.e)
	}
	return n
}

const impossible = 1000

func reach(e *expression) int {
	switch e.op {
	case "field":
		return e.field.reach
	case "arg":
		if e.kind == kindAmount || e.kind == kindInt {
			return reachLimit
		}
		return reachArg
	case "given": // dropping an argument is further than changing it
		return reachArg + 1
	case "left", "spent", "count", "sum", "happened":
		return reachRun
	case "from":
		return reachFixed
	case "constant":
		return impossible
	}
	n := 0
	for _, k := range e.kids {
		if k.op != "list" && k.op != "constant" {
			n += reach(k)
		}
	}
	return n
}

func (x *finding) sentence(r *Request) string {
	id := ""
	if x.rule != nil {
		id = x.rule.full
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
			b.def.ID, &b.def, b.spent, b.held, b.asked, b.has)
	case unpermitted:
		if x.rule == nil {
			return fmt.Sprintf("%s: no rule permits this at %s", x.set.layer, r.Point)
		}
		return fmt.Sprintf("%s: no rule permits this; nearest is %s, but %s", x.set.layer, id, facts(x.facts))
	}
	if x.rule.message != "" {
		return x.rule.message
	}
	s := facts(x.facts)
	switch {
	case x.rule.effect == "route":
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

// facts tells what the atoms say now: "amount is 500 USDC, more than 10 USDC".
func facts(flips []flip) string {
	parts := make([]string, 0, len(flips))
	for _, x := range flips {
		if cost([]flip{x}) < impossible {
			parts = append(parts, x.fact())
		}
	}
	return strings.Join(parts, ", and ")
}

var opposite = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
var mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
var relation = map[string]string{"<": "less than", "<=": "at most", ">": "more than", ">=": "at least"}

// relate brings a comparison into the form "what the request says, relation, bound".
func (x flip) relate() (l, r *expression, op string) {
	l, r = x.e.sides()
	op = x.e.op
	if m, ok := mirrored[op]; ok && l.constant() && !r.constant() {
		return r, l, m
	}
	return l, r, op
}

func (x flip) fact() string {
	l, r, op := x.relate()
	if _, err := x.e.bool(x.f); err != nil {
		return fmt.Sprintf("%s is unknown: %v", l.source(), err)
	}
	holds := !x.want
	if l.op == "field" && l.field.name == "text" && r != nil {
		return textFact(op, holds, show(r, x.f))
	}
	show := show
	if spans(l, r) {
		show = showSpan
	}
	is := countedAs(l) + " is " + show(l, x.f)
	switch op {
	case "<", "<=", ">", ">=":
		if !holds {
			op = opposite[op]
		}
		return is + ", " + relation[op] + " " + show(r, x.f)
	case "==", "!=":
		if (op == "==") == holds {
			return is
		}
		return is + ", not " + show(r, x.f)
	case "in_window":
		within := "within "
		if !holds {
			within = "outside of "
		}
		return l.source() + " is " + x.e.hours.show(l, x.f) + ", " + within + x.e.hours.weekly.String()
	case "in", "in_set", "in_cidr":
		not := ""
		if !holds {
			not = "not "
		}
		if r.name != "" || op == "in_cidr" {
			return is + ", " + not + "in " + show(r, x.f)
		}
		return is + ", " + not + "one of " + show(r, x.f)
	case "contains", "startsWith", "endsWith":
		verb := map[string]string{"contains": "contain", "startsWith": "start with", "endsWith": "end with"}[op]
		does := "does"
		if !holds {
			does = "does not"
		}
		return fmt.Sprintf("%s, which %s %s %s", is, does, verb, show(r, x.f))
	case "from":
		if holds {
			return fmt.Sprintf("it comes from %q", x.e.name)
		}
		return fmt.Sprintf("it does not come from %q", x.e.name)
	case "happened":
		if holds {
			return x.e.past.String() + " has happened"
		}
		return x.e.past.String() + " has not happened"
	case "same":
		as := ", as in a call of "
		if !holds {
			as = ", as in no call of "
		}
		l := x.e.kids[0]
		return l.source() + " is " + show(l, x.f) + as + x.e.past.String()
	case "given":
		if holds {
			return fmt.Sprintf("the argument %q is given", x.e.name)
		}
		return fmt.Sprintf("the argument %q is not given", x.e.name)
	}
	return is
}

// textFact tells of the text that is decided about without quoting it: who reads the sentence may not read the text.
func textFact(op string, holds bool, r string) string {
	says := map[string][2]string{
		"contains": {"contains", "does not contain"}, "startsWith": {"starts with", "does not start with"},
		"endsWith": {"ends with", "does not end with"}, "==": {"is", "is not"}, "!=": {"is not", "is"},
		"in": {"is one of", "is not one of"}, "in_set": {"is in", "is not in"}, "in_cidr": {"is in", "is not in"},
	}[op]
	if holds {
		return "text " + says[0] + " " + r
	}
	return "text " + says[1] + " " + r
}

// countedAs is what a sentence calls one side of a comparison.
func countedAs(e *expression) string {
	switch {
	case e.past != nil && e.op == "count":
		return "the count of " + e.past.String()
	case e.past != nil && e.op == "sum":
		return "the sum of " + e.past.String()
	}
	return e.source()
}

// change finds the smallest change that allows r. It tries what it proposes: each suggested value is put into a
// copy of the request, which is decided again, until it is permitted or needs the wallet. If the copy is denied for
// a reason that no change of the request mends, the answer is "".
func (l Layers) change(r *Request, found []finding) string {
	const approval = "an approval by the wallet"
	if outcome(found) == Approve {
		return approval
	}
	try := *r
	try.Args = slices.Clone(r.Args)
	var wishes []wish
	for range 6 {
		switch outcome(found) {
		case Permit:
			return join(wishes, "")
		case Approve:
			return join(wishes, approval)
		}
		var flips []flip
		for _, x := range found {
			if x.why == unapproved {
				continue
			}
			if x.why == short && len(x.flips) == 0 {
				if w, ok := x.renew(&try); ok {
					wishes = addWish(wishes, w)
					continue
				}
			}
			if x.why == erred || len(x.flips) == 0 || cost(x.flips) >= impossible {
				return ""
			}
			flips = append(flips, x.flips...)
		}
		testable := true
		for _, x := range flips {
			w, ok := x.apply(&try)
			if w.text == "" {
				return ""
			}
			wishes = addWish(wishes, w)
			testable = testable && ok
		}
		if !testable {
			return join(wishes, "")
		}
		found, _, _, _ = l.examine(&try)
	}
	return ""
}

// A wish is one change. bound is set if it limits a number: of two on the same thing the stricter stands.
type wish struct {
	on, text string
	upper    bool
	bound    *value
}

func join(wishes []wish, last string) string {
	var parts []string
	for _, w := range wishes {
		parts = append(parts, w.text)
	}
	if last != "" {
		parts = append(parts, last)
	}
	return strings.Join(parts, " and ")
}

func addWish(wishes []wish, w wish) []wish {
	for i, old := range wishes {
		if old.on != w.on {
			continue
		}
		if old.text == w.text {
			return wishes
		}
		if old.bound != nil && w.bound != nil && old.upper == w.upper && old.bound.kind == w.bound.kind {
			c := cmp.Compare(w.bound.i, old.bound.i)
			if w.bound.kind == kindAmount {
				c, _ = w.bound.m.Cmp(old.bound.m)
			}
			if (c < 0) == w.upper {
				wishes[i] = w
			}
			return wishes
		}
	}
	return append(wishes, w)
}

// nouns are what a suggestion calls a field.
var nouns = map[string]string{
	"amount": "an amount", "to": "a recipient", "class": "a tool of class", "tool": "the tool", "model": "the model",
	"kind": "a model of kind", "provider": "the provider", "tokens": "a token bound", "cost": "a cost",
	"size": "a size", "asset": "the asset",
}

func noun(e *expression) string {
	if n, ok := nouns[e.name]; ok && e.op == "field" {
		return n
	}
	return e.source()
}

// apply says what should change, and changes try so. ok is false if it could not, so that the change is untried.
func (x flip) apply(try *Request) (w wish, ok bool) {
	l, r, op := x.relate()
	what := noun(l)
	w.on = l.source()
	if op == "from" {
		w.text = fmt.Sprintf("something that comes from %q", x.e.name)
		if !x.want {
			w.text = fmt.Sprintf("something that does not come from %q", x.e.name)
		}
		return w, false
	}
	if op == "given" {
		w.text = fmt.Sprintf("the argument %q", x.e.name)
		if !x.want {
			w.text = "no " + w.text[len("the "):]
		}
		return w, false
	}
	if l.op == "field" && l.name == "approved" {
		w.text = "an approval by the wallet"
		try.Approved = true
		return w, true
	}
	if l.past != nil {
		return x.past(try, l, r, op)
	}
	if l.op == "field" && (l.name == "untrusted" || l.name == "tainted") && !x.want {
		w.text = "values that do not come from untrusted content"
		return w, assign(try, l, value{kind: kindBool, b: x.want})
	}
	if r == nil { // a bool of its own
		w.text = fmt.Sprintf("%s to be %v", what, x.want)
		return w, assign(try, l, value{kind: kindBool, b: x.want})
	}
	if op == "in_window" {
		return x.wait(try, l)
	}
	if op == "in" || op == "in_set" || op == "in_cidr" {
		set := r.listed(" or ")
		if r.name != "" || op == "in_cidr" {
			set = "in " + set
		}
		if !x.want {
			w.text = what + " not " + set
			return w, false
		}
		w.text = what + " " + set
		return w, assign(try, l, r.list[0])
	}
	show := value.String
	if spans(l, r) {
		show = func(v value) string { return span(v.i) }
	}
	v, err := r.value(x.f)
	if err != nil {
		return wish{}, false
	}
	if part, rest, ok := summand(l, v, x.f); ok {
		l, v = part, rest
		what = noun(l)
		w.on = l.source()
	}
	if !x.want {
		if o, has := opposite[op]; has {
			op = o
		} else {
			op = "not " + op
		}
	}
	switch op {
	case "==":
		w.text = what + " " + show(v)
		if l.name == "to" {
			w.text = "the recipient " + v.String()
		}
		return w, assign(try, l, v)
	case "<", "<=", ">", ">=":
		w.text = what + " of " + relation[op] + " " + show(v)
		w.bound, w.upper = &v, op[0] == '<'
		n, err := step(v, op)
		if err != nil {
			return wish{}, false // nothing is below zero
		}
		return w, assign(try, l, n)
	case "contains", "startsWith", "endsWith":
		verb := map[string]string{"contains": "containing", "startsWith": "starting with", "endsWith": "ending with"}[op]
		w.text = what + " " + verb + " " + v.String()
		return w, assign(try, l, v)
	case "!=":
		w.text = what + " other than " + v.String()
		return w, false
	}
	w.text = what + " other than now"
	return w, false
}

// wait asks for another time: the first at which the hours say what is wanted.
func (x flip) wait(try *Request, l *expression) (w wish, ok bool) {
	ms, err := l.int(x.f)
	if err != nil {
		return wish{}, false
	}
	h := x.e.hours
	at, found := h.weekly.Next(h.zone, ms, x.want)
	if !found {
		return wish{}, false
	}
	w.on, w.text = l.source(), fmt.Sprintf("%s to be %s", l.source(), h.zone.Show(at))
	if l.op == "field" && l.name == "now" {
		w = waiting(at, h.zone)
	}
	return w, assign(try, l, value{kind: kindInt, i: at})
}

// waiting is the wish for a later time. Of two, the later stands.
func waiting(until int64, z *calendar.Zone) wish {
	return wish{on: "now", text: "waiting until " + z.Show(until), bound: &value{kind: kindInt, i: until}}
}

// show writes a time as the clock of the hours' place has it.
func (h *hours) show(e *expression, f *frame) string {
	ms, err := e.int(f)
	if err != nil {
		return "unknown"
	}
	return h.zone.Show(ms)
}

// step returns the value next to v that satisfies op.
func step(v value, op string) (value, error) {
	d := map[string]int64{"<": -1, ">": 1}[op]
	if d == 0 {
		return v, nil
	}
	var err error
	if v.kind == kindInt {
		v.i, err = addInt(v.i, d)
		return v, err
	}
	one := money.Of(v.m.Asset(), 1)
	if d < 0 {
		v.m, err = v.m.Sub(one)
	} else {
		v.m, err = v.m.Add(one)
	}
	return v, err
}

// assign writes v where e reads it, if that is a plain field or argument.
func assign(r *Request, e *expression, v value) bool {
	e = e.inner()
	switch {
	case e.op == "field" && e.field.set != nil && e.name != "tool":
		e.field.set(r, v)
		if e.name == "now" {
			r.Past = r.Past.At(r.Now)
		}
	case e.op == "arg":
		setArg(r, e.name, e.arg, v)
	default:
		return false
	}
	return true
}
