package workshop

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// A Difference is a request that two sets answer differently.
type Difference struct {
	Rule     string // of the old or the new set, "layer/id": the change that was looked at; "" if it was found beside one
	Request  policies.Request
	Old, New policies.Decision
}

// Wider says whether the new set allows what the old one did not, or without asking.
func (d Difference) Wider() bool { return strictness[d.New.Outcome] < strictness[d.Old.Outcome] }

var strictness = map[policies.Outcome]int{policies.Permit: 0, policies.Approve: 1, policies.Deny: 2}

// A Comparison is what Diff found. If there are no differences, Same says whether that is certain.
type Comparison struct {
	Differences []Difference     // at most one for each changed rule and point, in the order of the points and rules
	Same        bool             // every request gets the same answer: outcome, reservations and time to approve
	Tried       int              // requests that both sets were asked
	Unsure      []policies.Point // where nothing was found, and not all could be counted out
}

// maxTried bounds the requests that Diff asks of both sets, at each point.
const maxTried = 50_000

// Diff looks for requests that two sets of one layer answer differently: with another outcome, other reservations,
// or another time to approve. The words and the rules that decide may differ. It counts out the regions of both
// sets together where they are few enough, and then Same is a proof; otherwise it looks around the rules that
// changed. Each difference is a request that both sets were really asked, so none is a false alarm.
func Diff(old, new *policies.Set) Comparison {
	d := differ{old: old, new: new, out: Comparison{Same: true}}
	for _, p := range policies.Points() {
		d.comparePoint(p)
	}
	return d.out
}

type differ struct {
	old, new *policies.Set
	out      Comparison
	tried    int // at this point
}

func (d *differ) comparePoint(p policies.Point) {
	d.tried = 0
	changed, rest := d.changedRules(p)
	if len(changed) == 0 && !d.capsDiffer() {
		return
	}
	before := len(d.out.Differences)
	var told []string
	near := func(r *policies.Rule, others ...*policies.Rule) {
		if slices.Contains(told, r.FullID) {
			return
		}
		conds := []*expression{r.Condition()}
		for _, o := range append(others, d.counterpart(r)) {
			if o != nil {
				conds = append(conds, o.Condition())
			}
		}
		if d.searchNear(p, r, conds) {
			told = append(told, r.FullID)
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
	if !d.isProven(p) {
		d.out.Same = false
		d.out.Unsure = append(d.out.Unsure, p)
	}
}

// changedRules splits the rules at p into those that stand in one set only, by all that they do, and the others.
func (d *differ) changedRules(p policies.Point) (changed, rest []*policies.Rule) {
	in := func(list []*policies.Rule, r *policies.Rule) bool {
		return slices.ContainsFunc(list, func(x *policies.Rule) bool { return describeEffect(x) == describeEffect(r) })
	}
	for _, r := range d.new.RulesAt(p) {
		if in(d.old.RulesAt(p), r) {
			rest = append(rest, r)
		} else {
			changed = append(changed, r)
		}
	}
	for _, r := range d.old.RulesAt(p) {
		if !in(d.new.RulesAt(p), r) {
			changed = append(changed, r)
		}
	}
	return changed, rest
}

// counterpart is the rule of the same id in the other set, or nil.
func (d *differ) counterpart(r *policies.Rule) *policies.Rule {
	for _, set := range []*policies.Set{d.old, d.new} {
		for _, x := range set.RulesAt(r.At) {
			if x != r && x.FullID == r.FullID && !x.Unknown {
				return x
			}
		}
	}
	return nil
}

// describeEffect is all that a rule does, as text: two rules of one text are interchangeable.
func describeEffect(x *policies.Rule) string {
	if x.Unknown {
		return "unknown " + x.FullID // its condition was not read
	}
	s := fmt.Sprintf("%s %v %s", x.Effect, x.Tools, x.Condition().Signature())
	if x.Effect == "approve" {
		s += fmt.Sprint(" ", x.TTL)
	}
	for _, r := range x.Reserves {
		s += fmt.Sprintf(" %s %s", r.Budget.ID, r.Amount.Signature())
	}
	if more := x.Asks(); more != "" {
		s += " " + more
	}
	return s
}

// capsDiffer says whether the budgets that rules reserve from or look at are others in the new set.
func (d *differ) capsDiffer() bool { return !slices.Equal(d.old.Budgets(), d.new.Budgets()) }

// searchNear asks both sets about the regions of conds, in several surroundings, until they differ, and says whether
// they did.
func (d *differ) searchNear(p policies.Point, r *policies.Rule, conds []*expression) (found bool) {
	s := cond.NewSpace(conds, append(d.old.Assets(), d.new.Assets()...)...)
	bases := d.baseRequests(p)
	s.Each(cond.MaxCheck, func(g region) bool {
		for _, base := range bases {
			q := cloneRequest(base)
			if !writeRegion(g, q) && d.tried > maxTried/2 {
				continue // nothing new about a request that could not be made
			}
			amounts := []money.Amount{q.Amount}
			for _, sub := range s.Subjects { // a cap shows with amounts that no condition tells apart
				for _, a := range sub.Atoms {
					for _, v := range a.Consts() {
						if v.Kind == cond.Amount && p == policies.Spend && v.Amount.Asset() == q.Amount.Asset() && d.capsDiffer() {
							amounts = append(amounts, v.Amount)
						}
					}
				}
			}
			for _, q.Amount = range amounts {
				if found = d.askBoth(q, r.FullID); found {
					return false
				}
			}
		}
		return d.tried < maxTried
	})
	return found
}

// askBoth compares what both sets say of q, at several levels of the budgets.
func (d *differ) askBoth(q *policies.Request, rule string) bool {
	levels := []money.Amount{{}}
	for _, set := range []*policies.Set{d.old, d.new} {
		for _, def := range set.Budgets() {
			levels = append(levels, def.Cap)
			if left, err := def.Cap.Sub(q.Amount); err == nil && q.Amount.Asset() == def.Cap.Asset() {
				levels = append(levels, left)
			}
		}
	}
	for _, used := range levels {
		t := cloneRequest(q)
		for i := range t.Budgets {
			if b := &t.Budgets[i]; b.Cap.Asset() == used.Asset() {
				b.Spent = used
			}
		}
		d.tried++
		d.out.Tried++
		if a, b := d.old.Answer(t), d.new.Answer(t); !sameAnswer(a, b) {
			d.out.Differences = append(d.out.Differences, Difference{Rule: rule, Request: *t,
				Old: policies.Layers{d.old}.Decide(t), New: policies.Layers{d.new}.Decide(t)})
			return true
		}
		if len(t.Budgets) == 0 {
			break
		}
	}
	return false
}

// sameAnswer compares what follows from two decisions, not how they came about.
func sameAnswer(a, b policies.Decision) bool {
	for _, d := range []*policies.Decision{&a, &b} {
		d.Rules, d.Atoms, d.Message, d.Change = nil, nil, "", ""
		if d.Outcome != policies.Permit {
			d.Reserve = nil
		}
		slices.SortFunc(d.Reserve, func(x, y policies.Reserve) int { return strings.Compare(x.Budget, y.Budget) })
	}
	return reflect.DeepEqual(a, b)
}

func cloneRequest(r *policies.Request) *policies.Request {
	c := *r
	c.Args, c.Budgets = slices.Clone(r.Args), slices.Clone(r.Budgets)
	return &c
}

// maxBases bounds the requests around which changes are tried.
const maxBases = 40

// baseRequests are requests to start from: empty ones, one a tool, and those of the sets' tests.
func (d *differ) baseRequests(p policies.Point) (out []*policies.Request) {
	add := func(r *policies.Request) {
		c := cloneRequest(r)
		c.Point, c.Budgets = p, nil
		d.addBudgets(c)
		if len(out) < maxBases && !slices.ContainsFunc(out, func(x *policies.Request) bool {
			return reflect.DeepEqual(x, c)
		}) {
			out = append(out, c)
		}
	}
	// A run that has done nothing yet: of a past that is not known, what asks of it only denies.
	none := policies.PastOf(nil)
	add(&policies.Request{Past: none})
	add(&policies.Request{Past: none, Approved: true})
	for _, set := range []*policies.Set{d.old, d.new} {
		tests, _ := Tests(set) // of tests that cannot be read nothing is learnt
		for i := range tests {
			if tests[i].request.Point == p {
				add(&tests[i].request)
			}
		}
	}
	if p == policies.ToolCall {
		for _, t := range d.new.Options().Tools {
			r := &policies.Request{Past: none, Tool: t.Name}
			for _, x := range t.Params {
				r.Args = append(r.Args, arg.Value{Name: x.Name, Kind: x.Kind})
			}
			add(r)
		}
	}
	return out
}

// addBudgets gives a request the budgets of both sets, of which nothing is used.
func (d *differ) addBudgets(c *policies.Request) {
	for _, set := range []*policies.Set{d.old, d.new} {
		for _, def := range set.Budgets() {
			if b := c.Ledger(def.ID); b == nil {
				nothing := money.Of(def.Cap.Asset(), 0)
				c.Budgets = append(c.Budgets, policies.Budget{ID: def.ID, Cap: def.Cap, Spent: nothing, Reserved: nothing})
			} else if n, err := def.Cap.Cmp(b.Cap); err == nil && n > 0 {
				b.Cap = def.Cap // each set counts with its own cap, if that is smaller
			}
		}
	}
	slices.SortFunc(c.Budgets, func(x, y policies.Budget) int { return strings.Compare(x.ID, y.ID) })
}

// isProven counts out the regions of both sets' rules at p, and says whether all get the same answer.
func (d *differ) isProven(p policies.Point) bool {
	if d.capsDiffer() {
		return false
	}
	approved := isIn(p, "approved", value{Kind: cond.Bool, Bool: true})
	conds := []*expression{approved}
	of := map[*policies.Rule]*expression{}
	for _, set := range []*policies.Set{d.old, d.new} {
		for _, r := range set.RulesAt(p) {
			if r.Unknown || r.Effect == "route" {
				return false
			}
			of[r] = r.Condition()
			conds = append(conds, of[r])
		}
	}
	same := true
	return cond.NewSpace(conds, append(d.old.Assets(), d.new.Assets()...)...).Each(cond.MaxCheck,
		func(g region) bool {
			same = describeRegion(d.old, p, g, of, approved) == describeRegion(d.new, p, g, of, approved)
			return same
		}) && same
}

// describeRegion is what a set says in a region, as text.
func describeRegion(
	s *policies.Set, p policies.Point, g region, of map[*policies.Rule]*expression, approved *expression,
) string {
	permitted, ttl := s.IsOpenAt(p), int64(0)
	var reserves []string // and obligations
	for _, r := range s.RulesAt(p) {
		says := g.Says(of[r])
		if says == cond.Fails || says == cond.Yes && r.Effect == "forbid" {
			return "deny"
		}
		if says == cond.No {
			continue
		}
		switch r.Effect {
		case "permit":
			permitted = true
		case "approve":
			if g.Says(approved) == cond.No && (ttl == 0 || r.TTL < ttl) {
				ttl = r.TTL
			}
		}
		for _, x := range r.Reserves {
			if t := x.Budget.ID + " " + x.Amount.Signature(); !slices.Contains(reserves, t) {
				reserves = append(reserves, t)
			}
		}
		if t := r.Asks(); t != "" && !slices.Contains(reserves, t) {
			reserves = append(reserves, t)
		}
	}
	if !permitted {
		return "deny"
	}
	slices.Sort(reserves)
	return fmt.Sprint(ttl, reserves) // a step that waits reserves the same in the end
}

// writeRegion makes q a request of the region, as far as its subjects are things that can be set. It returns false if
// one is not, so that q may lie in another region.
func writeRegion(g region, q *policies.Request) bool {
	done := true
	for pass := range 3 { // plain things first, then what is computed from them
		for i, sub := range g.Subjects {
			w := sub.Ways[g.Pick[i]]
			if writeOrder(sub) != pass {
				continue
			}
			done = putWay(q, sub, w) && done
		}
	}
	return done
}

func writeOrder(sub *cond.Subject[policies.Request]) int {
	switch {
	case sub.About == nil && !strings.HasPrefix(sub.Key, "args."):
		return 2
	case sub.About == nil || sub.About.Op == "field" || sub.About.Op == "arg":
		return 0
	}
	return 1
}

func putWay(q *policies.Request, sub *cond.Subject[policies.Request], w cond.Way) bool {
	a := sub.Atoms[0]
	switch {
	case sub.About == nil && a.Op == "given" || w.Absent:
		i := slices.IndexFunc(sub.Atoms, func(x *expression) bool { return x.Op == "given" })
		name, k := sub.Atoms[i].Name, sub.Atoms[i].Arg
		q.SetArg(name, k, w.Value)
		if w.Absent {
			j := slices.IndexFunc(q.Args, func(x arg.Value) bool { return x.Name == name })
			q.Args[j] = arg.Value{Name: name, Kind: k}
		}
		return true
	case sub.Key == "amount" && sub.About != nil && sub.About.Op == "field":
		q.Amount = w.Value.Amount
		return true
	case sub.About != nil:
		return forceValue(q, sub.About, w.Value)
	}
	return putSides(q, a, w)
}

// putSides makes the sides of an atom that is looked at as a whole meet, or part.
func putSides(q *policies.Request, a *expression, w cond.Way) bool {
	want := w.Says[0] == cond.Yes
	l, r := a.Sides()
	if a.Hours != nil { // from the time that other hours have left there
		v, err := l.Value(cond.NewFrame(q, cond.MaxVariables))
		at, found := a.Hours.Weekly.Next(a.Hours.Zone, v.Int, want)
		return err == nil && found && forceValue(q, l, value{Kind: cond.Int, Int: at})
	}
	if r == nil || r.Op == "list" {
		if r != nil && len(r.List) > 0 && want {
			return forceValue(q, l, r.List[0])
		}
		return false
	}
	f := func() *frame { return cond.NewFrame(q, cond.MaxVariables) }
	for _, side := range []struct {
		a, b *expression
		op   string
	}{{l, r, a.Op}, {r, l, cond.Mirrored[a.Op]}} {
		op := side.op
		if !want {
			op = cond.Opposite[op]
		}
		v, err := side.b.Value(f())
		if err != nil || op == "" {
			continue
		}
		if op == "!=" {
			v, op = otherValue(v), "=="
		}
		if v, err = v.Next(op); err == nil && forceValue(q, side.a, v) && cond.AnswerOf(a.IsTrue(f())) == w.Says[0] {
			return true
		}
	}
	return cond.AnswerOf(a.IsTrue(f())) == w.Says[0]
}

// otherValue returns a value that is not v.
func otherValue(v value) value {
	switch v.Kind {
	case cond.Bool:
		v.Bool = !v.Bool
	case cond.String:
		v.Text += "~"
	case cond.Number:
		if v.Text != "0" {
			v.Text = "0"
		} else {
			v.Text = "1"
		}
	case cond.Address:
		v.Addr[19] ^= 0x5a
	default:
		for _, op := range []string{">", "<"} {
			if n, err := v.Next(op); err == nil {
				return n
			}
		}
	}
	return v
}

// forceValue makes e have the value v, where that can be done by setting one thing.
func forceValue(q *policies.Request, e *expression, v value) bool {
	e = e.Inner()
	switch {
	case e.Op == "field" && e.Field.Set != nil:
		e.Field.Set(q, v)
		return true
	case e.Op == "arg":
		q.SetArg(e.Name, e.Arg, v)
		return true
	case e.Op == "left" || e.Op == "spent":
		return forceBudget(q, e, v)
	case (e.Op == "+" || e.Op == "-") && e.Kind == cond.Int:
		return forceSum(q, e, v)
	}
	return false
}

// forceBudget makes so much of a budget left, or spent.
func forceBudget(q *policies.Request, e *expression, v value) bool {
	for i := range q.Budgets {
		b := &q.Budgets[i]
		if _, id, _ := strings.Cut(b.ID, "/"); id != e.Name || b.Cap.Asset() != v.Amount.Asset() {
			continue
		}
		b.Spent, b.Reserved = v.Amount, money.Of(v.Amount.Asset(), 0)
		if e.Op == "left" {
			if spent, err := b.Cap.Sub(v.Amount); err == nil {
				b.Spent = spent
			} else {
				b.Spent = b.Reserved // nothing
			}
		}
		return true
	}
	return false
}

// forceSum makes a sum or a difference have the value v by setting one of its sides.
func forceSum(q *policies.Request, e *expression, v value) bool {
	f := cond.NewFrame(q, cond.MaxVariables)
	l, lerr := e.Kids[0].Int(f)
	r, rerr := e.Kids[1].Int(f)
	if lerr != nil || rerr != nil {
		return false
	}
	if e.Op == "-" {
		r = -r
		if n, err := cond.AddInt(l, -v.Int); err == nil && e.Kids[0].IsFixed() {
			return forceValue(q, e.Kids[1], value{Kind: cond.Int, Int: n})
		}
	}
	if n, err := cond.SubInt(v.Int, r); err == nil && !e.Kids[0].IsFixed() &&
		forceValue(q, e.Kids[0], value{Kind: cond.Int, Int: n}) {
		return true
	}
	if n, err := cond.SubInt(v.Int, l); err == nil && e.Op == "+" {
		return forceValue(q, e.Kids[1], value{Kind: cond.Int, Int: n})
	}
	return false
}

// Change tells the difference in a line: what is asked, and both answers.
func (d Difference) Change() string {
	return fmt.Sprintf("%s: %s -> %s", Describe(&d.Request), brief(d.Old), brief(d.New))
}

// brief tells what follows from a decision.
func brief(d policies.Decision) string {
	switch {
	case d.Outcome == policies.Approve:
		return fmt.Sprintf("approve within %ds", d.TTL/1000)
	case d.Outcome == policies.Permit:
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
func Describe(r *policies.Request) string {
	given := Given(r)
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
func Given(r *policies.Request) (out []Named) {
	fields, _ := policies.Fields(r.Point)
	f, blank := &frame{Request: r}, &frame{Request: &policies.Request{}}
	n := slices.IndexFunc(fields, func(f field) bool { return f.Name == "approved" }) + 1 // the session's come first
	for i := range fields {
		i = (i + n) % len(fields)
		if fields[i].Set == nil {
			continue
		}
		e := cond.Read(nil, &fields[i])
		if v, err := e.Value(f); err == nil && isSet(v) {
			if b, err := e.Value(blank); err != nil || v != b {
				out = append(out, Named{fields[i].Name, yamlText(v)})
			}
		}
	}
	if len(r.Label.Origins) > 0 {
		out = append(out, Named{"origins", "[" + strings.Join(r.Label.Origins, ", ") + "]"})
	}
	var args []string
	for _, a := range r.Args {
		if a.Set {
			args = append(args, a.Name+": "+argText(&a))
		}
	}
	if len(args) > 0 {
		out = append(out, Named{"args", "{" + strings.Join(args, ", ") + "}"})
	}
	if used := listUsed(r); len(used) > 0 {
		out = append(out, Named{"budgets", "{" + strings.Join(used, ", ") + "}"})
	}
	return out
}

// listUsed lists the budgets of which something is used.
func listUsed(r *policies.Request) (used []string) {
	for _, b := range r.Budgets {
		var of []string
		for _, x := range []struct {
			name string
			m    money.Amount
		}{{"spent", b.Spent}, {"reserved", b.Reserved}} {
			if !x.m.IsZero() {
				of = append(of, x.name+": "+yamlText(value{Kind: cond.Amount, Amount: x.m}))
			}
		}
		if _, id, _ := strings.Cut(b.ID, "/"); len(of) > 0 {
			used = append(used, id+": {"+strings.Join(of, ", ")+"}")
		}
	}
	return used
}

// isSet says whether v is not the zero of its kind.
func isSet(v value) bool {
	switch v.Kind {
	case cond.Amount:
		return v.Amount.Asset() != money.Asset{} && (v.Amount.Asset() != money.USD || !v.Amount.IsZero())
	}
	return v != value{Kind: v.Kind}
}

// argText is an argument in YAML, as a test writes it: of a list its length, and of what is in opaque JSON nothing.
func argText(a *arg.Value) string {
	switch a.Kind {
	case arg.Object, arg.JSON:
		return "{}"
	case arg.List:
		return strconv.FormatInt(a.Int, 10)
	}
	v := cond.ValueOf(a)
	return yamlText(v)
}

// yamlText is v in YAML, as a test writes it.
func yamlText(v value) string {
	switch v.Kind {
	case cond.String:
		return strconv.Quote(v.Text)
	case cond.Amount:
		a := v.Amount.Asset()
		name := strings.NewReplacer(".", "_", "-", "_").Replace(strings.ToLower(a.Symbol))
		if a == money.Calls || a == money.Tokens {
			return name + "(" + v.Amount.Units() + ")"
		}
		return "'" + name + `("` + v.Amount.Decimal() + `")'`
	}
	return v.String()
}
