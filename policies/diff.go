package policies

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ/policies/money"
)

// A Difference is a request that two sets answer differently.
type Difference struct {
	Rule     string // of the old or the new set, "layer/id": the change that was looked at; "" if it was found beside one
	Request  Request
	Old, New Decision
}

// Wider says whether the new set allows what the old one did not, or without asking.
func (d Difference) Wider() bool { return strict[d.New.Outcome] < strict[d.Old.Outcome] }

var strict = map[Outcome]int{Permit: 0, Approve: 1, Deny: 2}

// A Comparison is what Diff found. If there are no differences, Same says whether that is certain.
type Comparison struct {
	Differences []Difference // at most one for each changed rule and point, in the order of the points and rules
	Same        bool         // every request gets the same answer: outcome, reservations and time to approve
	Tried       int          // requests that both sets were asked
	Unsure      []Point      // where nothing was found, and not all could be counted out
}

// maxTried bounds the requests that Diff asks of both sets, at each point.
const maxTried = 50_000

// Diff looks for requests that two sets of one layer answer differently: with another outcome, other reservations,
// or another time to approve. The words and the rules that decide may differ. It counts out the regions of both
// sets together where they are few enough, and then Same is a proof; otherwise it looks around the rules that
// changed. Each difference is a request that both sets were really asked, so none is a false alarm.
func Diff(old, new *Set) Comparison {
	d := differ{old: old, new: new, out: Comparison{Same: true}}
	for _, p := range points {
		d.point(p.point)
	}
	return d.out
}

type differ struct {
	old, new *Set
	out      Comparison
	tried    int // at this point
}

func (d *differ) point(p Point) {
	d.tried = 0
	changed, rest := d.changes(p)
	if len(changed) == 0 && !d.capsDiffer() {
		return
	}
	before := len(d.out.Differences)
	var told []string
	near := func(r *rule, others ...*rule) {
		if slices.Contains(told, r.full) {
			return
		}
		conds := []*expression{r.matches()}
		for _, o := range append(others, d.counterpart(r)) {
			if o != nil {
				conds = append(conds, o.matches())
			}
		}
		if d.near(p, r, conds) {
			told = append(told, r.full)
		}
	}
	for _, r := range changed {
		near(r)
	}
	for i := 0; i < len(rest) && len(d.out.Differences) == before; i++ {
		for _, r := range changed {
			near(r, rest[i])
		}
	}
	if len(d.out.Differences) == before && len(changed) == 0 { // only a cap
		for _, r := range rest {
			near(r)
		}
	}
	if len(d.out.Differences) > before {
		d.out.Same = false
		return
	}
	if !d.proven(p) {
		d.out.Same = false
		d.out.Unsure = append(d.out.Unsure, p)
	}
}

// changes splits the rules at p into those that stand in one set only, by all that they do, and the others.
func (d *differ) changes(p Point) (changed, rest []*rule) {
	in := func(list []*rule, r *rule) bool {
		return slices.ContainsFunc(list, func(x *rule) bool { return x.does() == r.does() })
	}
	for _, r := range d.new.points[p] {
		if in(d.old.points[p], r) {
			rest = append(rest, r)
		} else {
			changed = append(changed, r)
		}
	}
	for _, r := range d.old.points[p] {
		if !in(d.new.points[p], r) {
			changed = append(changed, r)
		}
	}
	return changed, rest
}

// counterpart is the rule of the same id in the other set, or nil.
func (d *differ) counterpart(r *rule) *rule {
	for _, set := range []*Set{d.old, d.new} {
		for _, x := range set.points[r.at] {
			if x != r && x.full == r.full && !x.unknown {
				return x
			}
		}
	}
	return nil
}

// does is all that a rule does, as text: two rules of one text are interchangeable.
func (x *rule) does() string {
	if x.unknown {
		return "unknown " + x.full // its condition was not read
	}
	s := fmt.Sprintf("%s %v %s", x.effect, x.tools, signature(x.matches()))
	if x.effect == "approve" {
		s += fmt.Sprint(" ", x.ttl)
	}
	for _, r := range x.reserves {
		s += fmt.Sprintf(" %s %s", r.budget.ID, signature(r.amount))
	}
	if x.more != nil {
		s += " " + x.more.String()
	}
	return s
}

// capsDiffer says whether the budgets that rules draw on or look at are others in the new set.
func (d *differ) capsDiffer() bool { return !slices.Equal(d.old.budgets, d.new.budgets) }

// near asks both sets about the regions of conds, in several surroundings, until they differ, and says whether they
// did.
func (d *differ) near(p Point, r *rule, conds []*expression) (found bool) {
	s := newSpace(conds, append(d.old.assets(), d.new.assets()...)...)
	bases := d.bases(p)
	s.each(maxCheck, func(g region) bool {
		for _, base := range bases {
			q := base.clone()
			if !g.write(q) && d.tried > maxTried/2 {
				continue // nothing new about a request that could not be made
			}
			amounts := []money.Amount{q.Amount}
			for _, sub := range s.subjects { // a cap shows with amounts that no condition tells apart
				for _, a := range sub.atoms {
					for _, v := range constsOf(a) {
						if v.kind == kindAmount && p == Spend && v.m.Asset() == q.Amount.Asset() && d.capsDiffer() {
							amounts = append(amounts, v.m)
						}
					}
				}
			}
			for _, q.Amount = range amounts {
				if found = d.ask(q, r.full); found {
					return false
				}
			}
		}
		return d.tried < maxTried
	})
	return found
}

// ask compares what both sets say of q, at several levels of the budgets.
func (d *differ) ask(q *Request, rule string) bool {
	levels := []money.Amount{{}}
	for _, set := range []*Set{d.old, d.new} {
		for _, def := range set.budgets {
			levels = append(levels, def.Cap)
			if left, err := def.Cap.Sub(q.Amount); err == nil && q.Amount.Asset() == def.Cap.Asset() {
				levels = append(levels, left)
			}
		}
	}
	for _, used := range levels {
		t := q.clone()
		for i := range t.Budgets {
			if b := &t.Budgets[i]; b.Cap.Asset() == used.Asset() {
				b.Spent = used
			}
		}
		d.tried++
		d.out.Tried++
		if a, b := d.old.quick(t), d.new.quick(t); !sameAnswer(a, b) {
			d.out.Differences = append(d.out.Differences, Difference{Rule: rule, Request: *t,
				Old: Layers{d.old}.Decide(t), New: Layers{d.new}.Decide(t)})
			return true
		}
		if len(t.Budgets) == 0 {
			break
		}
	}
	return false
}

// quick decides without explaining.
func (s *Set) quick(r *Request) Decision {
	d := Decision{Point: r.Point, Outcome: Permit}
	if !s.decide(r, &d) || d.Outcome == Permit && roomFor(r, Layers{s}, d.Reserve) != nil {
		return Decision{Point: r.Point, Outcome: Deny}
	}
	if d.Outcome == Approve { // the time to approve comes with the explanation
		d.TTL = Layers{s}.explain(r).TTL
	}
	return d
}

// sameAnswer compares what follows from two decisions, not how they came about.
func sameAnswer(a, b Decision) bool {
	for _, d := range []*Decision{&a, &b} {
		d.Rules, d.Atoms, d.Message, d.Change = nil, nil, "", ""
		if d.Outcome != Permit {
			d.Reserve = nil
		}
		slices.SortFunc(d.Reserve, func(x, y Reserve) int { return strings.Compare(x.Budget, y.Budget) })
	}
	return reflect.DeepEqual(a, b)
}

func (r *Request) clone() *Request {
	c := *r
	c.Args, c.Budgets = slices.Clone(r.Args), slices.Clone(r.Budgets)
	return &c
}

// maxBases bounds the requests around which changes are tried.
const maxBases = 40

// bases are requests to start from: empty ones, one a tool, and those of the sets' tests.
func (d *differ) bases(p Point) (out []*Request) {
	add := func(r *Request) {
		c := r.clone()
		c.Point, c.Budgets = p, nil
		for _, set := range []*Set{d.old, d.new} {
			for _, def := range set.budgets {
				if b := findLedger(c, def.ID); b == nil {
					nothing := money.Of(def.Cap.Asset(), 0)
					c.Budgets = append(c.Budgets, Budget{ID: def.ID, Cap: def.Cap, Spent: nothing, Reserved: nothing})
				} else if n, err := def.Cap.Cmp(b.Cap); err == nil && n > 0 {
					b.Cap = def.Cap // each set counts with its own cap, if that is smaller
				}
			}
		}
		slices.SortFunc(c.Budgets, func(x, y Budget) int { return strings.Compare(x.ID, y.ID) })
		if len(out) < maxBases && !slices.ContainsFunc(out, func(x *Request) bool { return reflect.DeepEqual(x, c) }) {
			out = append(out, c)
		}
	}
	// A run that has done nothing yet: of a past that is not known, what asks of it only denies.
	none := PastOf(nil)
	add(&Request{Past: none})
	add(&Request{Past: none, Approved: true})
	for _, set := range []*Set{d.old, d.new} {
		for i := range set.tests {
			if set.tests[i].request.Point == p {
				add(&set.tests[i].request)
			}
		}
	}
	if p == ToolCall {
		for _, t := range d.new.options.Tools {
			r := &Request{Past: none, Tool: t.Name}
			for _, x := range t.Params {
				r.Args = append(r.Args, Arg{Name: x.Name, Kind: x.Kind})
			}
			add(r)
		}
	}
	return out
}

// proven counts out the regions of both sets' rules at p, and says whether all get the same answer.
func (d *differ) proven(p Point) bool {
	if d.capsDiffer() {
		return false
	}
	approved := isIn(p, "approved", value{kind: kindBool, b: true})
	conds := []*expression{approved}
	of := map[*rule]*expression{}
	for _, set := range []*Set{d.old, d.new} {
		for _, r := range set.points[p] {
			if r.unknown || r.effect == "route" {
				return false
			}
			of[r] = r.matches()
			conds = append(conds, of[r])
		}
	}
	same := true
	return newSpace(conds, append(d.old.assets(), d.new.assets()...)...).each(maxCheck, func(g region) bool {
		same = d.old.abstract(p, g, of, approved) == d.new.abstract(p, g, of, approved)
		return same
	}) && same
}

// abstract is what a set says in a region, as text.
func (s *Set) abstract(p Point, g region, of map[*rule]*expression, approved *expression) string {
	permitted, ttl := s.open(p), int64(0)
	var reserves []string // and obligations
	for _, r := range s.points[p] {
		says := g.says(of[r])
		if says == fails || says == yes && r.effect == "forbid" {
			return "deny"
		}
		if says == no {
			continue
		}
		switch r.effect {
		case "permit":
			permitted = true
		case "approve":
			if g.says(approved) == no && (ttl == 0 || r.ttl < ttl) {
				ttl = r.ttl
			}
		}
		for _, x := range r.reserves {
			if t := x.budget.ID + " " + signature(x.amount); !slices.Contains(reserves, t) {
				reserves = append(reserves, t)
			}
		}
		if r.more != nil {
			if t := r.more.String(); !slices.Contains(reserves, t) {
				reserves = append(reserves, t)
			}
		}
	}
	if !permitted {
		return "deny"
	}
	slices.Sort(reserves)
	return fmt.Sprint(ttl, reserves) // a step that waits reserves the same in the end
}

// write makes q a request of the region, as far as its subjects are things that can be set. It returns false if one
// is not, so that q may lie in another region.
func (g region) write(q *Request) bool {
	done := true
	for pass := range 3 { // plain things first, then what is computed from them
		for i, sub := range g.subjects {
			w := sub.ways[g.pick[i]]
			if order(sub) != pass {
				continue
			}
			done = put(q, sub, w) && done
		}
	}
	return done
}

func order(sub *subject) int {
	switch {
	case sub.about == nil && !strings.HasPrefix(sub.key, "args."):
		return 2
	case sub.about == nil || sub.about.op == "field" || sub.about.op == "arg":
		return 0
	}
	return 1
}

func put(q *Request, sub *subject, w way) bool {
	a := sub.atoms[0]
	switch {
	case sub.about == nil && a.op == "given" || w.absent:
		i := slices.IndexFunc(sub.atoms, func(x *expression) bool { return x.op == "given" })
		name, k := sub.atoms[i].name, sub.atoms[i].arg
		setArg(q, name, k, w.v)
		if w.absent {
			j := slices.IndexFunc(q.Args, func(x Arg) bool { return x.Name == name })
			q.Args[j] = Arg{Name: name, Kind: k}
		}
		return true
	case sub.key == "amount" && sub.about != nil && sub.about.op == "field":
		q.Amount = w.v.m
		return true
	case sub.about != nil:
		return force(q, sub.about, w.v)
	}
	// An atom that is looked at as a whole: make its sides meet, or part.
	want := w.says[0] == yes
	l, r := a.sides()
	if r == nil || r.op == "list" {
		if r != nil && len(r.list) > 0 && want {
			return force(q, l, r.list[0])
		}
		return false
	}
	f := func() *frame { return &frame{r: q, vars: make([]slot, maxVariables)} }
	for _, side := range []struct {
		a, b *expression
		op   string
	}{{l, r, a.op}, {r, l, mirrored[a.op]}} {
		op := side.op
		if !want {
			op = opposite[op]
		}
		v, err := side.b.value(f())
		if err != nil || op == "" {
			continue
		}
		if op == "!=" {
			v, op = other(v), "=="
		}
		if v, err = step(v, op); err == nil && force(q, side.a, v) && truthOf(truth(a, f())) == w.says[0] {
			return true
		}
	}
	return truthOf(truth(a, f())) == w.says[0]
}

// other returns a value that is not v.
func other(v value) value {
	switch v.kind {
	case kindBool:
		v.b = !v.b
	case kindString:
		v.s += "~"
	case kindAddress:
		v.a[19] ^= 0x5a
	default:
		for _, op := range []string{">", "<"} {
			if n, err := step(v, op); err == nil {
				return n
			}
		}
	}
	return v
}

// force makes e have the value v, where that can be done by setting one thing.
func force(q *Request, e *expression, v value) bool {
	e = e.inner()
	switch {
	case e.op == "field" && e.field.set != nil:
		e.field.set(q, v)
		return true
	case e.op == "arg":
		setArg(q, e.name, e.arg, v)
		return true
	case e.op == "left" || e.op == "spent":
		for i := range q.Budgets {
			b := &q.Budgets[i]
			if _, id, _ := strings.Cut(b.ID, "/"); id != e.name || b.Cap.Asset() != v.m.Asset() {
				continue
			}
			b.Spent, b.Reserved = v.m, money.Of(v.m.Asset(), 0)
			if e.op == "left" {
				b.Spent = remainder(b.Cap, v.m)
			}
			return true
		}
	case (e.op == "+" || e.op == "-") && e.kind == kindInt:
		f := &frame{r: q, vars: make([]slot, maxVariables)}
		l, lerr := e.kids[0].int(f)
		r, rerr := e.kids[1].int(f)
		if lerr != nil || rerr != nil {
			return false
		}
		if e.op == "-" {
			r = -r
			if n, err := addInt(l, -v.i); err == nil && e.kids[0].fixed() {
				return force(q, e.kids[1], value{kind: kindInt, i: n})
			}
		}
		if n, err := subInt(v.i, r); err == nil && !e.kids[0].fixed() && force(q, e.kids[0], value{kind: kindInt, i: n}) {
			return true
		}
		if n, err := subInt(v.i, l); err == nil && e.op == "+" {
			return force(q, e.kids[1], value{kind: kindInt, i: n})
		}
	}
	return false
}

// Change tells the difference in a line: what is asked, and both answers.
func (d Difference) Change() string {
	return fmt.Sprintf("%s: %s -> %s", d.Request.Describe(), d.Old.brief(), d.New.brief())
}

// brief tells what follows from a decision.
func (d Decision) brief() string {
	switch {
	case d.Outcome == Approve:
		return fmt.Sprintf("approve within %ds", d.TTL/1000)
	case d.Outcome == Permit:
		more := d.Obligations().Lines()
		if len(d.Reserve) > 0 {
			more = append([]string{"reserving " + reserveText(d.Reserve)}, more...)
		}
		return strings.Join(append([]string{"permit"}, more...), ", ")
	}
	return string(d.Outcome)
}

// Describe tells a request in a line: its point and the fields that are not zero, in the form that a test's given
// has.
func (r *Request) Describe() string {
	given := r.Given()
	if len(given) == 0 {
		return string(r.Point)
	}
	parts := make([]string, len(given))
	for i, x := range given {
		parts[i] = x.Name + ": " + x.Value
	}
	return string(r.Point) + " {" + strings.Join(parts, ", ") + "}"
}

// A Named is one field of a request, as a test of a set writes it.
type Named struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Given lists what is not zero in a request, in the form that a test's given has, so that it can be made a test.
func (r *Request) Given() (out []Named) {
	fields, _ := fieldsOf(r.Point)
	f, blank := &frame{r: r}, &frame{r: &Request{}}
	n := len(sessionFields) // what is asked comes before who asks and when
	for i := range fields {
		i = (i + n) % len(fields)
		if fields[i].set == nil {
			continue
		}
		e := fieldExpression(nil, &fields[i])
		if v, err := e.value(f); err == nil && v.set() {
			if b, err := e.value(blank); err != nil || v != b {
				out = append(out, Named{fields[i].name, v.given()})
			}
		}
	}
	if len(r.Label.Origins) > 0 {
		out = append(out, Named{"origins", "[" + strings.Join(r.Label.Origins, ", ") + "]"})
	}
	var args []string
	for _, a := range r.Args {
		if a.Set {
			v := value{kind: argKind(a.Kind), b: a.Bool, i: a.Int, s: a.Text, a: a.Addr, m: a.Amount}
			args = append(args, a.Name+": "+v.given())
		}
	}
	if len(args) > 0 {
		out = append(out, Named{"args", "{" + strings.Join(args, ", ") + "}"})
	}
	var used []string
	for _, b := range r.Budgets {
		var of []string
		for _, x := range []struct {
			name string
			m    money.Amount
		}{{"spent", b.Spent}, {"reserved", b.Reserved}} {
			if !x.m.IsZero() {
				of = append(of, x.name+": "+value{kind: kindAmount, m: x.m}.given())
			}
		}
		if _, id, _ := strings.Cut(b.ID, "/"); len(of) > 0 {
			used = append(used, id+": {"+strings.Join(of, ", ")+"}")
		}
	}
	if len(used) > 0 {
		out = append(out, Named{"budgets", "{" + strings.Join(used, ", ") + "}"})
	}
	return out
}

// set says whether v is not the zero of its kind.
func (v value) set() bool {
	switch v.kind {
	case kindAmount:
		return v.m.Asset() != money.Asset{} && (v.m.Asset() != money.USD || !v.m.IsZero())
	}
	return v != value{kind: v.kind}
}

// given is v in YAML, as a test writes it.
func (v value) given() string {
	switch v.kind {
	case kindString:
		return strconv.Quote(v.s)
	case kindAmount:
		a := v.m.Asset()
		name := strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToLower(a.Symbol))
		if a == money.Calls || a == money.Tokens {
			return name + "(" + v.m.Units() + ")"
		}
		return "'" + name + `("` + v.m.Decimal() + `")'`
	}
	return v.String()
}
