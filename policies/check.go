package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holiman/uint256"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies/money"
)

// A Finding is something in a set that loads but is probably not meant. Load refuses what can only be a mistake: a
// name that is not there, a type that does not fit, a condition that says the same of every request. What is here may
// be meant, and then the set says so under waive:, with a reason.
type Finding struct {
	Check  string `json:"check"` // one of Checks
	Line   int    `json:"line"`  // 0 if it is about the whole set
	Column int    `json:"column"`
	Rule   string `json:"rule,omitempty"`   // "layer/id", if it is about a rule
	For    string `json:"for"`              // what it is about, as a waiver names it: a rule's id, a point, a budget, a set
	Text   string `json:"text"`             // one sentence
	Waived string `json:"waived,omitempty"` // the reason that the set gives for keeping it
}

func (f Finding) String() string {
	s := fmt.Sprintf("%s (%s)", f.Text, f.Check)
	if f.Rule != "" {
		s = "rule " + f.For + ": " + s
	}
	if f.Line > 0 {
		s = fmt.Sprintf("%d:%d: %s", f.Line, f.Column, s)
	}
	return s
}

// The checks, by the name that a waiver gives.
const (
	CheckNoPermit    = "no-permit"   // a point at which nothing can be permitted
	CheckShadowed    = "shadowed"    // a rule that another one makes needless
	CheckUnreachable = "unreachable" // an approve rule that never asks
	CheckRedundant   = "redundant"   // a comparison that decides nothing
	CheckFails       = "fails"       // a rule that cannot be evaluated where another one permits
	CheckUnlimited   = "unlimited"   // a permit to spend any amount
	CheckUnreserved  = "unreserved"  // a permit to spend past a budget that other rules draw on
	CheckUnused      = "unused"      // a budget or a named set that no rule uses
	CheckUntested    = "untested"    // a rule that no test of the set reaches
	CheckTool        = "tool"        // a rule for a tool that is not there
	CheckWaiver      = "waiver"      // a waiver of nothing
)

// Checks lists the names of all checks.
var Checks = []string{CheckNoPermit, CheckShadowed, CheckUnreachable, CheckRedundant, CheckFails, CheckUnlimited,
	CheckUnreserved, CheckUnused, CheckUntested, CheckTool, CheckWaiver}

// A waiver keeps a finding from failing.
type waiver struct {
	check, about, why string
	line, column      int
}

const maxWaivers = 64

var keysWaiver = []string{"check", "for", "why"}

func (l *loader) readWaivers(n *yaml.Node) {
	l.list(n, "waive", func(item *yaml.Node) {
		if len(l.set.waivers) == maxWaivers {
			l.problem(item, "there are more than %d waivers", maxWaivers)
			return
		}
		m := l.mapping(item, "a waiver", keysWaiver)
		w := waiver{line: item.Line, column: item.Column, why: l.text(m["why"], 200)}
		w.check, _ = l.scalar(or(m["check"], item), "check")
		if !slices.Contains(Checks, w.check) || w.check == CheckWaiver {
			l.hinted(or(m["check"], item), nearest(w.check, Checks), "there is no check %q to waive", clip(w.check))
		}
		w.about, _ = l.scalar(or(m["for"], item), "for")
		if w.why == "" {
			l.problem(item, "a waiver says why")
		}
		l.set.waivers = append(l.set.waivers, w)
	})
}

// A Review is what Check found.
type Review struct {
	Findings []Finding `json:"findings"` // in the order of the source; waived ones too
	Unjudged []Finding `json:"unjudged"` // questions with too many combinations to count out
}

// Open returns the findings that are not waived.
func (r Review) Open() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Waived != "" })
}

// Check looks for what loads but is probably not meant. It works within a bound, and says which questions were beyond
// it. more are tests from other files that count as the set's own.
func (s *Set) Check(more ...Case) Review {
	c := &checker{set: s}
	for _, p := range points {
		if len(s.rules) > 0 { // a set without rules says plainly that it permits nothing
			c.point(p.point)
		}
	}
	for _, def := range s.budgets {
		if _, id, _ := strings.Cut(def.ID, "/"); !s.usedBudgets[id] {
			c.find(CheckUnused, nil, id, "no rule reserves from the budget %s, so it limits nothing", id)
		}
	}
	for _, name := range sortedKeys(s.sets) {
		if !s.sets[name].used {
			c.find(CheckUnused, nil, name, "no rule uses the set %s", name)
		}
	}
	c.tests(more)
	for _, w := range s.waivers {
		if !slices.ContainsFunc(c.out.Findings, func(f Finding) bool { return f.Check == w.check && f.For == w.about }) {
			c.out.Findings = append(c.out.Findings, Finding{Check: CheckWaiver, Line: w.line, Column: w.column, For: w.about,
				Text: fmt.Sprintf("there is nothing to waive about %s: the check %s finds nothing there", w.about, w.check)})
		}
	}
	slices.SortStableFunc(c.out.Findings, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return c.out
}

type checker struct {
	set *Set
	out Review
}

func (c *checker) find(check string, r *rule, about string, format string, args ...any) {
	f := Finding{Check: check, For: about, Text: fmt.Sprintf(format, args...)}
	if r != nil {
		f.Line, f.Column, f.Rule, f.For = r.line, r.column, r.full, r.id
	}
	for _, w := range c.set.waivers {
		if w.check == check && w.about == f.For {
			f.Waived = w.why
		}
	}
	c.out.Findings = append(c.out.Findings, f)
}

// ask counts out the regions of conds until do says enough. If they are too many, the question is noted.
func (c *checker) ask(check string, r *rule, conds []*expression, do func(region) bool) bool {
	if newSpace(conds, c.set.assets()...).each(maxCheck, do) {
		return true
	}
	f := Finding{Check: check, For: r.id, Rule: r.full, Line: r.line, Column: r.column,
		Text: "its conditions have too many combinations to count out, so this was not judged"}
	if !slices.Contains(c.out.Unjudged, f) {
		c.out.Unjudged = append(c.out.Unjudged, f)
	}
	return false
}

// assets lists the assets that the set declares, by their literals. The built-in ones are not spent.
func (s *Set) assets() (out []money.Asset) {
	for _, name := range sortedKeys(s.literals) {
		if a := s.literals[name]; a != money.Calls && a != money.Tokens && a != money.USD {
			out = append(out, a)
		}
	}
	return out
}

// judged are the points that every run comes to.
var judged = []Point{ModelRoute, ToolCall, Spend, Output}

// point looks at the rules of one point together.
func (c *checker) point(p Point) {
	rules := slices.DeleteFunc(slices.Clone(c.set.points[p]), func(r *rule) bool { return r.unknown })
	for _, r := range c.set.points[p] {
		if r.unknown {
			c.find(CheckTool, r, "", "it is for %s, which is not among the tools", strings.Join(r.tools, ", "))
		}
	}
	of := map[string][]*rule{}
	cond := map[*rule]*expression{}
	closed := false // a forbid says plainly that all of it is denied
	for _, r := range rules {
		of[r.effect] = append(of[r.effect], r)
		cond[r] = r.matches()
		closed = closed || r.effect == "forbid" && cond[r].op == "constant"
	}
	known := len(rules) == len(c.set.points[p])
	if (len(rules) > 0 || slices.Contains(judged, p)) && !p.Open() && len(of["permit"]) == 0 && !closed && known {
		c.find(CheckNoPermit, nil, string(p), "no rule permits anything at %s, so all of it is denied; a forbid rule without when says that it is meant", p)
	}
	for i, r := range rules {
		if !c.shadowed(r, rules[:i], rules, cond) && r.effect == "approve" {
			c.unreachable(r, of["permit"], cond)
		}
		c.redundant(r, cond[r])
		c.fails(r, of, cond)
		if p == Spend && r.effect == "permit" {
			c.spends(r, of, cond)
		}
	}
}

// plain says whether a rule does nothing but its effect.
func (x *rule) plain() bool {
	return len(x.reserves) == 0 && x.more == nil && (x.effect == "permit" || x.effect == "forbid" || x.effect == "approve")
}

// shadowed reports a rule that never matters, and says whether it did.
func (c *checker) shadowed(r *rule, before, rules []*rule, cond map[*rule]*expression) bool {
	var same []*rule // that have the same say; of two equal ones the first stays
	for _, other := range rules {
		if other == r || r.plain() && other.effect != "forbid" && other.effect != r.effect {
			continue
		}
		if other.effect == "forbid" && r.effect != "forbid" {
			if c.implies(r, cond[r], cond[other]) {
				c.find(CheckShadowed, r, "", "it never matters: whenever it matches, %s forbids", other.id)
				return true
			}
			continue
		}
		if other.effect != r.effect || !r.plain() || !other.plain() || other.ttl > r.ttl {
			continue
		}
		if slices.Contains(before, other) || !c.implies(r, cond[other], cond[r]) {
			same = append(same, other)
		}
	}
	if i := slices.IndexFunc(same, func(o *rule) bool { return c.implies(r, cond[r], cond[o]) }); i >= 0 {
		c.find(CheckShadowed, r, "", "it never matters: whenever it matches, %s matches too", same[i].id)
		return true
	}
	if len(same) < 2 {
		return false
	}
	conds, names := []*expression{cond[r]}, []string(nil)
	for _, o := range same {
		conds, names = append(conds, cond[o]), append(names, o.id)
	}
	covered := true
	known := newSpace(conds).each(maxLoad, func(g region) bool {
		covered = g.says(conds[0]) == no || slices.ContainsFunc(conds[1:], func(e *expression) bool { return g.says(e) == yes })
		return covered
	})
	if known && covered {
		c.find(CheckShadowed, r, "", "it never matters: whenever it matches, %s matches too", strings.Join(names, " or "))
	}
	return known && covered
}

// implies says whether b certainly matches whenever a does; r is whom the question is about.
func (c *checker) implies(r *rule, a, b *expression) bool {
	always := true
	return c.ask(CheckShadowed, r, []*expression{a, b}, func(g region) bool {
		always = g.says(a) == no || g.says(b) == yes
		return always
	}) && always
}

// unreachable reports an approve rule that never leads to an approval: it permits nothing by itself.
func (c *checker) unreachable(r *rule, permits []*rule, cond map[*rule]*expression) {
	approved := isIn(r.at, "approved", value{kind: kindBool, b: true})
	for _, p := range permits {
		reached := false
		known := c.ask(CheckUnreachable, r, []*expression{cond[r], cond[p], approved}, func(g region) bool {
			reached = g.says(cond[r]) == yes && g.says(cond[p]) == yes && g.says(approved) == no
			return !reached
		})
		if reached || !known {
			return
		}
	}
	c.find(CheckUnreachable, r, "", "it never asks the wallet: an approve rule permits nothing by itself, and no permit rule matches where it does")
}

// redundant reports comparisons for which a plain true or false could stand.
func (c *checker) redundant(r *rule, cond *expression) {
	type stand struct {
		atom *expression
		as   answer
	}
	var idle []stand
	eachAtom(cond, func(a *expression) {
		if !slices.Contains(idle, stand{a, yes}) {
			idle = append(idle, stand{a, yes}, stand{a, no})
		}
	})
	forced := map[*expression]answer{}
	sift := func(g region) bool {
		g.forced = forced
		plain := g.says(cond)
		idle = slices.DeleteFunc(idle, func(x stand) bool {
			forced[x.atom] = x.as
			defer delete(forced, x.atom)
			return g.says(cond) != plain
		})
		return len(idle) > 0
	}
	if !c.ask(CheckRedundant, r, []*expression{cond}, sift) {
		return
	}
	// What is still idle once the first stands aside is idle too: of two equal ones only one is.
	for len(idle) > 0 {
		x := idle[0]
		c.find(CheckRedundant, r, "", "%s decides nothing: the rule says the same with %v in its place", x.atom.source(), x.as == yes)
		forced[x.atom] = x.as
		idle = slices.DeleteFunc(idle, func(y stand) bool { return y.atom == x.atom })
		c.ask(CheckRedundant, r, []*expression{cond}, sift)
	}
}

// fails reports a rule that cannot be evaluated for requests which another rule permits: it takes that permission.
func (c *checker) fails(r *rule, of map[string][]*rule, cond map[*rule]*expression) {
	for _, p := range of["permit"] {
		if p == r {
			continue
		}
		found := false
		c.ask(CheckFails, r, []*expression{cond[r], cond[p]}, func(g region) bool {
			found = g.says(cond[r]) == fails && g.says(cond[p]) == yes
			return !found
		})
		if found {
			c.find(CheckFails, r, "", "it cannot be evaluated for some requests that %s permits, and so denies them; "+
				`test the asset first, as in asset == "USDC" && amount <= usdc("10"), or an optional argument with given`, p.id)
			return
		}
	}
}

// spends reports a permit that bounds nothing, or goes past a budget.
func (c *checker) spends(r *rule, of map[string][]*rule, cond map[*rule]*expression) {
	assets := append(c.set.assets(), money.Asset{Symbol: "OTHER", Decimals: 18})
	var stops []*expression // what keeps r from permitting alone
	for _, x := range append(slices.Clone(of["forbid"]), of["approve"]...) {
		stops = append(stops, cond[x])
	}
	some := func(g region, list []*expression) bool {
		return slices.ContainsFunc(list, func(e *expression) bool { return g.says(e) != no })
	}
	unlimited := false
	for _, a := range assets {
		var holders []*expression // rules that reserve in this asset
		var budgets []string
		for _, x := range append(slices.Clone(of["permit"]), of["approve"]...) {
			for _, res := range x.reserves {
				if res.budget.Cap.Asset() == a {
					holders = append(holders, cond[x])
					_, id, _ := strings.Cut(res.budget.ID, "/")
					if !slices.Contains(budgets, id) {
						budgets = append(budgets, id)
					}
				}
			}
		}
		most := money.FromUint256(a, new(uint256.Int).SetAllOne())
		is := isIn(Spend, "asset", value{kind: kindString, s: a.Symbol})
		all := isIn(Spend, "amount", value{kind: kindAmount, m: most})
		conds := append([]*expression{cond[r], is, all}, holders...)
		conds = append(conds, stops...)
		free, past := false, false
		c.ask(CheckUnlimited, r, conds, func(g region) bool {
			if g.says(cond[r]) != yes || g.says(is) != yes || some(g, holders) || some(g, stops) {
				return true
			}
			past = past || len(holders) > 0
			free = free || g.says(all) == yes
			return !free
		})
		switch {
		case free && !unlimited:
			unlimited = true
			what := a.Symbol
			if what == "OTHER" {
				what = "any asset"
			}
			c.find(CheckUnlimited, r, "", "it permits any amount of %s, and nothing is reserved: compare amount, or reserve from a budget", what)
		case past && !free:
			c.find(CheckUnreserved, r, "", "it permits %s without reserving from %s, which other rules draw on", a.Symbol, strings.Join(budgets, " or "))
		}
	}
}

// tests reports the rules that no test reaches.
func (c *checker) tests(more []Case) {
	s := c.set
	if len(s.tests)+len(more) == 0 && len(s.rules) > 0 {
		c.find(CheckUntested, nil, s.name, "the set has no tests, so nothing shows that it does what is meant")
		return
	}
	cov := s.Coverage(more...)
	for i, r := range s.rules {
		if !r.unknown && cov.Rules[i].Matched == 0 {
			c.find(CheckUntested, r, "", "no test reaches it")
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// refuseConstant reports a condition that says the same of every request, unless it is plainly true.
func (l *loader) refuseConstant(n *yaml.Node, e *expression, key string) {
	if e.op == "constant" && key == "when" && truth(e, nil) {
		return
	}
	can := answers(e)
	if v, ok := e.fixedValue(); ok {
		can = [3]bool{yes: v.b, no: !v.b}
	}
	switch {
	case can[yes] && !can[no] && !can[fails]:
		l.problem(n, "the condition is always true")
	case can[yes]:
	case can[fails] && !e.fixed():
		l.problem(n, "the condition is always false, or cannot be evaluated%s", clash(e))
	default:
		l.problem(n, "the condition is always false%s", clash(e))
	}
}

// answers says what e can come to. All is said where that is not known.
func answers(e *expression) (can [3]bool) {
	known := newSpace([]*expression{e}).each(maxLoad, func(g region) bool {
		can[g.says(e)] = true
		return true
	})
	if !known {
		return [3]bool{true, true, true}
	}
	return can
}

// clash names two parts of a conjunction that cannot both hold, or says nothing.
func clash(e *expression) string {
	var parts []*expression
	var split func(*expression)
	split = func(e *expression) {
		if e.op == "&&" {
			split(e.kids[0])
			split(e.kids[1])
			return
		}
		parts = append(parts, e)
	}
	split(e)
	for i, a := range parts {
		for _, b := range parts[:i] {
			both := false
			known := newSpace([]*expression{a, b}).each(maxLoad, func(g region) bool {
				both = g.says(b) == yes && g.says(a) == yes
				return !both
			})
			if known && !both && !a.fixed() && !b.fixed() {
				return fmt.Sprintf(": %s and %s cannot both hold", b.source(), a.source())
			}
		}
	}
	return ""
}
