package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/internal/cond"
)

// A finding is one reason why a request is not simply permitted.
type finding struct {
	set   *Set
	rule  *Rule // nil: the set has no permit rule for the point, or it is about no rule
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
	found, _, _, ttl := l.listFindings(r)
	d := Decision{Point: r.Point, Outcome: outcomeOf(found)}
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
		if x.rule != nil && x.why != unpermitted && !slices.Contains(d.Rules, x.rule.FullID) {
			d.Rules = append(d.Rules, x.rule.FullID)
		}
		for _, a := range x.atoms {
			if len(d.Atoms) < maxAtoms && !slices.Contains(d.Atoms, a) {
				d.Atoms = append(d.Atoms, a)
			}
		}
	}
	d.Message = wording.Clip(sentences[0], 1000)
	if n := len(sentences) - 1; n == 1 {
		d.Message += " (and 1 more reason)"
	} else if n > 1 {
		d.Message += fmt.Sprintf(" (and %d more reasons)", n)
	}
	d.Change = wording.Clip(l.smallestChange(r, found), 1000)
	return d
}

func outcomeOf(found []finding) Outcome {
	o := Permit
	for _, x := range found {
		if x.why != unapproved {
			return Deny
		}
		o = Approve
	}
	return o
}

// listFindings asks every rule of every layer and returns all reasons against r, in the order of the layers and rules.
func (l Layers) listFindings(r *Request) (found []finding, reserves []Reserve, rules []string, ttl int64) {
	for _, s := range l {
		f := cond.NewFrame(r, s.slots)
		permitted := s.IsOpenAt(r.Point)
		var permits []*Rule
		for _, x := range s.points[r.Point] {
			if x.Effect == "permit" {
				permits = append(permits, x)
			}
			if !x.IsAbout(r) {
				continue
			}
			holds, err := x.matches(f)
			if err != nil {
				found = append(found, finding{set: s, rule: x, why: erred, err: err, atoms: x.listAtoms(f)})
				continue
			}
			if !holds {
				continue
			}
			switch x.Effect {
			case "route":
				if !s.routesTo(x, r, f) {
					found = append(found, elsewhere(s, x, r, f))
					continue
				}
			case "forbid":
				flips := x.findFlips(f, false)
				found = append(found, finding{set: s, rule: x, why: forbidden, atoms: x.listAtoms(f), flips: flips, facts: flips})
				continue
			case "permit":
				permitted = true
			case "approve":
				if ttl == 0 || x.TTL < ttl {
					ttl = x.TTL
				}
				if !r.Approved {
					found = append(found, finding{set: s, rule: x, why: unapproved, atoms: x.listAtoms(f),
						facts: x.findFlips(f, false)})
				}
			}
			rules = append(rules, x.FullID)
			found = append(found, l.listShort(s, x, r, f, &reserves)...)
		}
		if !permitted {
			found = append(found, nearestPermit(s, permits, f))
		}
	}
	return found, reserves, rules, ttl
}

// elsewhere is the finding that a route leads to other models.
func elsewhere(s *Set, x *Rule, r *Request, f *frame) finding {
	use := make([]value, len(x.more.use))
	for i, model := range x.more.use {
		use[i] = value{Kind: cond.String, Text: model}
	}
	return finding{set: s, rule: x, why: forbidden, atoms: x.listAtoms(f),
		flips: []flip{{isIn(r.Point, "model", use...), f, true}}}
}

// listShort adds what a rule reserves to reserves, and returns what is in the way of that.
func (l Layers) listShort(s *Set, x *Rule, r *Request, f *frame, reserves *[]Reserve) (found []finding) {
	for _, res := range x.Reserves {
		m, err := res.Amount.Amount(f)
		if err == nil && !addReserve(reserves, res.Budget.ID, *m) {
			err = fmt.Errorf("budget %s counts %s, not %s", res.Budget.ID, res.Budget.Cap.Asset().Symbol, m)
		}
		if err != nil {
			found = append(found, finding{set: s, rule: x, why: erred, err: err})
			continue
		}
		if miss := roomFor(r, l, []Reserve{{res.Budget.ID, *m}}); miss != nil {
			found = append(found, shortFinding(s, x, f, res, miss))
		}
	}
	return found
}

// shortFinding explains a reservation that does not fit, as if it were the condition amount <= left.
func shortFinding(s *Set, x *Rule, f *frame, res Reservation, miss *shortage) finding {
	out := finding{set: s, rule: x, why: short, room: miss}
	if miss.err != nil {
		return out
	}
	limit := cond.Constant[Request](res.Amount.Node, value{Kind: cond.Amount, Amount: miss.has})
	fits := cond.Binary(res.Amount.Node, "<=", res.Amount, limit)
	_, name, _ := strings.Cut(res.Budget.ID, "/")
	out.atoms = []Atom{{Expr: fmt.Sprintf("%s <= left(%q)", res.Amount.Source(), name),
		Left: miss.asked.String(), Right: miss.has.String()}}
	if !miss.has.IsZero() && !res.Amount.IsConstant() {
		out.flips = []flip{{fits, f, true}}
	}
	return out
}

// nearestPermit finds the permit rule that the least change would make match.
func nearestPermit(s *Set, permits []*Rule, f *frame) finding {
	out := finding{set: s, why: unpermitted}
	best := 0
	for _, x := range permits {
		if !x.IsAbout(f.Request) || x.Unknown {
			continue
		}
		if _, err := x.matches(f); err != nil {
			continue // told as an error of its own
		}
		flips := x.findFlips(f, true)
		if c := costOf(flips); c > 0 && (out.rule == nil || c < best) {
			best = c
			out.rule, out.flips, out.facts, out.atoms = x, flips, flips, x.listAtoms(f)
		}
	}
	return out
}

// listAtoms lists the comparisons that were looked at, with their values.
func (x *Rule) listAtoms(f *frame) []Atom {
	var out []Atom
	if x.Unknown {
		return nil
	}
	if listAtoms(x.When, f, &out) && x.Unless != nil {
		listAtoms(x.Unless, f, &out)
	}
	return out
}

// listAtoms walks e as the evaluator does, short circuits included, and returns what it says; an error says false.
func listAtoms(e *expression, f *frame, out *[]Atom) bool {
	switch {
	case e.Op == "&&":
		return listAtoms(e.Kids[0], f, out) && listAtoms(e.Kids[1], f, out)
	case e.Op == "||":
		return listAtoms(e.Kids[0], f, out) || listAtoms(e.Kids[1], f, out)
	case e.Op == "!":
		return !listAtoms(e.Kids[0], f, out)
	case e.Op == "variable" && e.Kind == cond.Bool:
		return listAtoms(e.Kids[0].Inner(), f, out)
	case e.Op == "constant":
		return e.IsTrue(f)
	}
	a := Atom{Expr: wording.Clip(e.Source(), 300), Holds: e.IsTrue(f)}
	l, r := e.Sides()
	a.Left = showValue(l, f)
	if e.Hours != nil {
		a.Left = showClock(e.Hours, l, f)
	}
	if r != nil {
		a.Right = showValue(r, f)
	}
	*out = append(*out, a)
	return a.Holds
}

// findFlips returns the cheapest set of atoms whose change would make the rule match, or not match.
func (x *Rule) findFlips(f *frame, want bool) []flip {
	w := minimalFlips(x.When, f, want)
	if x.Unless == nil {
		return w
	}
	u := minimalFlips(x.Unless, f, !want)
	if want {
		return append(slices.Clone(w), u...)
	}
	return cheaperOf(w, u)
}

// minimalFlips returns the cheapest atoms of e to change so that e says want: none if it does already, nil with a cost
// of impossible if nothing would.
func minimalFlips(e *expression, f *frame, want bool) []flip {
	if b, err := e.Bool(f); err == nil && b == want {
		return nil
	}
	switch {
	case e.Op == "!":
		return minimalFlips(e.Kids[0], f, !want)
	case e.Op == "variable":
		return minimalFlips(e.Inner(), f, want)
	case e.Op == "&&" && want, e.Op == "||" && !want:
		first := minimalFlips(e.Kids[0], f, want)
		// A right side that the left one guards has no answer yet; what it needs shows once the left is mended.
		if _, err := e.Kids[1].Bool(f); err != nil && len(first) > 0 {
			return first
		}
		return append(slices.Clone(first), minimalFlips(e.Kids[1], f, want)...)
	case e.Op == "&&" || e.Op == "||":
		return cheaperOf(minimalFlips(e.Kids[0], f, want), minimalFlips(e.Kids[1], f, want))
	}
	return []flip{{e, f, want}}
}

func cheaperOf(a, b []flip) []flip {
	if costOf(b) < costOf(a) {
		return b
	}
	return a
}

// costOf sums how far the atoms are from the user's hands.
func costOf(flips []flip) int {
	n := 0
	for _, x := range flips {
		n += reachOf(x.e)
	}
	return n
}

const impossible = 1000

func reachOf(e *expression) int {
	switch e.Op {
	case "field":
		return e.Field.Reach
	case "arg":
		if e.Kind == cond.Amount || e.Kind == cond.Int || e.Kind == cond.Number {
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
	for _, k := range e.Kids {
		if k.Op != "list" && k.Op != "constant" {
			n += reachOf(k)
		}
	}
	return n
}

// smallestChange finds the smallest change that allows r. It tries what it proposes: each suggested value is put into a
// copy of the request, which is decided again, until it is permitted or needs the wallet. If the copy is denied for
// a reason that no change of the request mends, the answer is "".
func (l Layers) smallestChange(r *Request, found []finding) string {
	const approval = "an approval by the wallet"
	if outcomeOf(found) == Approve {
		return approval
	}
	try := *r
	try.Args = slices.Clone(r.Args)
	var wishes []wish
	for range 6 {
		switch outcomeOf(found) {
		case Permit:
			return joinWishes(wishes, "")
		case Approve:
			return joinWishes(wishes, approval)
		}
		var flips []flip
		for _, x := range found {
			if x.why == unapproved {
				continue
			}
			if x.why == short && len(x.flips) == 0 {
				if w, ok := x.waitForWindow(&try); ok {
					wishes = addWish(wishes, w)
					continue
				}
			}
			if x.why == erred || len(x.flips) == 0 || costOf(x.flips) >= impossible {
				return ""
			}
			flips = append(flips, x.flips...)
		}
		testable := true
		for _, x := range flips {
			w, ok := x.applyTo(&try)
			if w.text == "" {
				return ""
			}
			wishes = addWish(wishes, w)
			testable = testable && ok
		}
		if !testable {
			return joinWishes(wishes, "")
		}
		found, _, _, _ = l.listFindings(&try)
	}
	return ""
}

// A wish is one change. bound is set if it limits a number: of two on the same thing the stricter stands.
type wish struct {
	on, text string
	upper    bool
	bound    *value
}

func joinWishes(wishes []wish, last string) string {
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
		if old.bound != nil && w.bound != nil && old.upper == w.upper && old.bound.Kind == w.bound.Kind {
			c := cmp.Compare(w.bound.Int, old.bound.Int)
			switch w.bound.Kind {
			case cond.Amount:
				c, _ = w.bound.Amount.Cmp(old.bound.Amount)
			case cond.Number:
				c, _ = cond.CompareNumbers(w.bound.Text, old.bound.Text)
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
	"planned": "whether rules can plan it", "writes": "whether it asks for an act", "input": "what is to be read",
	"offered": "a number of tools", "left": "what is left",
	"size": "a size", "asset": "the asset",
}

func nounOf(e *expression) string {
	if n, ok := nouns[e.Name]; ok && e.Op == "field" {
		return n
	}
	return e.Source()
}

// applyTo says what should change, and changes try so. ok is false if it could not, so that the change is untried.
func (x flip) applyTo(try *Request) (w wish, ok bool) {
	l, r, op := x.e.Relate()
	what := nounOf(l)
	w.on = l.Source()
	if op == "from" || op == "given" {
		w.text = x.sayPresence(op)
		return w, false
	}
	if l.Op == "field" && l.Name == "approved" {
		w.text = "an approval by the wallet"
		try.Approved = true
		return w, true
	}
	if l.Past != nil {
		return x.changePast(try, l, r, op)
	}
	if l.Op == "field" && (l.Name == "untrusted" || l.Name == "tainted") && !x.want {
		w.text = "values that do not come from untrusted content"
		return w, assignTo(try, l, value{Kind: cond.Bool, Bool: x.want})
	}
	if r == nil { // a bool of its own
		w.text = fmt.Sprintf("%s to be %v", what, x.want)
		return w, assignTo(try, l, value{Kind: cond.Bool, Bool: x.want})
	}
	if op == "in_window" {
		return x.waitForHours(try, l)
	}
	if op == "in" || op == "in_set" || op == "in_cidr" {
		set := r.Listed(" or ")
		if r.Name != "" || op == "in_cidr" {
			set = "in " + set
		}
		if !x.want {
			w.text = what + " not " + set
			return w, false
		}
		w.text = what + " " + set
		return w, assignTo(try, l, r.List[0])
	}
	return x.changeSide(try, l, r, op)
}

// sayPresence says that something should be there, or should not.
func (x flip) sayPresence(op string) string {
	switch {
	case op == "from" && x.want:
		return fmt.Sprintf("something that comes from %q", x.e.Name)
	case op == "from":
		return fmt.Sprintf("something that does not come from %q", x.e.Name)
	case x.want:
		return fmt.Sprintf("the argument %q", x.e.Name)
	}
	return fmt.Sprintf("no argument %q", x.e.Name)
}

// changeSide is [flip.applyTo] for a comparison: l should say something else of r.
func (x flip) changeSide(try *Request, l, r *expression, op string) (w wish, ok bool) {
	show := func(v value) string { return v.String() }
	switch {
	case r.IsForeign():
		show = func(value) string { return r.Source() }
	case isSpan(l, r):
		show = func(v value) string { return spanText(v.Int) }
	}
	v, err := r.Value(x.f)
	if err != nil {
		return wish{}, false
	}
	if part, rest, ok := freeSummand(l, v, x.f); ok {
		l, v = part, rest
	}
	what := nounOf(l)
	w.on = l.Source()
	if !x.want {
		if o, has := cond.Opposite[op]; has {
			op = o
		} else {
			op = "not " + op
		}
	}
	switch op {
	case "==":
		if l.Name == "to" {
			what = "the recipient"
		}
		w.text = what + " " + show(v)
		return w, assignTo(try, l, v)
	case "<", "<=", ">", ">=":
		w.text = what + " of " + relation[op] + " " + show(v)
		w.bound, w.upper = &v, op[0] == '<'
		n, err := v.Next(op)
		if err != nil {
			return wish{}, false // nothing is below zero
		}
		return w, assignTo(try, l, n)
	case "contains", "startsWith", "endsWith":
		verb := map[string]string{"contains": "containing", "startsWith": "starting with", "endsWith": "ending with"}[op]
		w.text = what + " " + verb + " " + show(v)
		return w, assignTo(try, l, v)
	case "!=":
		w.text = what + " other than " + show(v)
		return w, false
	}
	w.text = what + " other than now"
	return w, false
}

// waitForHours asks for another time: the first at which the hours say what is wanted.
func (x flip) waitForHours(try *Request, l *expression) (w wish, ok bool) {
	ms, err := l.Int(x.f)
	if err != nil {
		return wish{}, false
	}
	h := x.e.Hours
	at, found := h.Weekly.Next(h.Zone, ms, x.want)
	if !found {
		return wish{}, false
	}
	w.on, w.text = l.Source(), fmt.Sprintf("%s to be %s", l.Source(), h.Zone.Show(at))
	if l.Op == "field" && l.Name == "now" {
		w = waitUntil(at, h.Zone)
	}
	return w, assignTo(try, l, value{Kind: cond.Int, Int: at})
}

// waitUntil is the wish for a later time. Of two, the later stands.
func waitUntil(until int64, z *calendar.Zone) wish {
	return wish{on: "now", text: "waiting until " + z.Show(until), bound: &value{Kind: cond.Int, Int: until}}
}

// assignTo writes v where e reads it, if that is a plain field or argument.
func assignTo(r *Request, e *expression, v value) bool {
	e = e.Inner()
	switch {
	case e.Op == "field" && e.Field.Set != nil && e.Name != "tool":
		e.Field.Set(r, v)
		if e.Name == "now" {
			r.Past = r.Past.At(r.Now)
		}
	case e.Op == "arg":
		r.SetArg(e.Name, e.Arg, v)
	default:
		return false
	}
	return true
}
