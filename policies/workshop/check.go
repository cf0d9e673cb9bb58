package workshop

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/holiman/uint256"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/internal/keys"
	"github.com/writ-run/writ/policies/money"
)

// A Finding is something in a set that loads but is probably not meant. Load refuses what can only be a mistake: a
// name that is not there, a type that does not fit, a condition that says the same of every request. What is here may
// be meant, and then the set says so under waive:, with a reason.
type Finding struct {
	Check  string `json:"check"` // one of [policies.Checks]
	Line   int    `json:"line"`  // 0 if it is about the whole set
	Column int    `json:"column"`
	Rule   string `json:"rule,omitempty"`   // "layer/id", if it is about a rule
	For    string `json:"for"`              // what it is about, as a waiver names it: a rule's id, a point, ...
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
// it. tests are the set's own, and those of other files that count as its own.
func Check(s *policies.Set, tests []Case) Review {
	c := &inspector{set: s}
	for _, p := range policies.Points() {
		if len(s.Rules()) > 0 { // a set without rules says plainly that it permits nothing
			c.inspectPoint(p)
		}
	}
	budgets, sets := s.Unused()
	for _, def := range budgets {
		c.note(policies.CheckUnused, nil, def.Name(), "no rule reserves from the budget %s, so it limits nothing", def.Name())
	}
	for _, name := range sets {
		c.note(policies.CheckUnused, nil, name, "no rule uses the set %s", name)
	}
	c.findFixedZones()
	c.findUntested(tests)
	for _, w := range s.Waivers() {
		if !slices.ContainsFunc(c.out.Findings, func(f Finding) bool { return f.Check == w.Check && f.For == w.For }) {
			c.out.Findings = append(c.out.Findings,
				Finding{Check: policies.CheckWaiver, Line: w.Line, Column: w.Column, For: w.For,
					Text: fmt.Sprintf("there is nothing to waive about %s: the check %s finds nothing there", w.For, w.Check)})
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

type inspector struct {
	set *policies.Set
	out Review
}

func (c *inspector) note(check string, r *policies.Rule, about string, format string, args ...any) {
	f := Finding{Check: check, For: about, Text: fmt.Sprintf(format, args...)}
	if r != nil {
		f.Line, f.Column, f.Rule, f.For = r.Line, r.Column, r.FullID, r.ID
	}
	for _, w := range c.set.Waivers() {
		if w.Check == check && w.For == f.For {
			f.Waived = w.Why
		}
	}
	c.out.Findings = append(c.out.Findings, f)
}

// countOut counts out the regions of conds until do says enough. If they are too many, the question is noted.
func (c *inspector) countOut(check string, r *policies.Rule, conds []*expression, do func(region) bool) bool {
	if cond.NewSpace(conds, c.set.Assets()...).Each(cond.MaxCheck, do) {
		return true
	}
	f := Finding{Check: check, For: r.ID, Rule: r.FullID, Line: r.Line, Column: r.Column,
		Text: "its conditions have too many combinations to count out, so this was not judged"}
	if !slices.Contains(c.out.Unjudged, f) {
		c.out.Unjudged = append(c.out.Unjudged, f)
	}
	return false
}

// judged are the points that every run comes to.
var judged = []policies.Point{policies.ModelRoute, policies.ToolCall, policies.Spend, policies.Output}

// inspectPoint looks at the rules of one point together.
func (c *inspector) inspectPoint(p policies.Point) {
	rules := slices.DeleteFunc(slices.Clone(c.set.RulesAt(p)), func(r *policies.Rule) bool { return r.Unknown })
	for _, r := range c.set.RulesAt(p) {
		if r.Unknown {
			c.note(policies.CheckTool, r, "", "it is for %s, which is not among the tools", strings.Join(r.Tools, ", "))
		}
	}
	of := map[string][]*policies.Rule{}
	matching := map[*policies.Rule]*expression{}
	closed := false // a forbid says plainly that all of it is denied
	for _, r := range rules {
		of[r.Effect] = append(of[r.Effect], r)
		matching[r] = r.Condition()
		closed = closed || r.Effect == "forbid" && matching[r].Op == "constant"
	}
	known := len(rules) == len(c.set.RulesAt(p))
	if (len(rules) > 0 || slices.Contains(judged, p)) && !p.Open() && len(of["permit"]) == 0 && !closed && known {
		c.note(policies.CheckNoPermit, nil, string(p), "no rule permits anything at %s, so all of it is denied; "+
			"a forbid rule without when says that it is meant", p)
	}
	for i, r := range rules {
		if !c.findShadowed(r, rules[:i], rules, matching) && r.Effect == "approve" {
			c.findUnreachable(r, of["permit"], matching)
		}
		c.findRedundant(r, matching[r])
		c.findUnknownWords(r, matching[r])
		c.findFailing(r, of, matching)
		c.findDeadAssets(r, matching[r])
		c.findForeignBudget(r, matching[r])
		if p == policies.Spend && r.Effect == "permit" {
			c.findUnlimited(r, of, matching)
		}
	}
}

// isPlain says whether a rule does nothing but its effect.
func isPlain(x *policies.Rule) bool {
	return len(x.Reserves) == 0 && x.Asks() == "" &&
		(x.Effect == "permit" || x.Effect == "forbid" || x.Effect == "approve")
}

// findShadowed reports a rule that never matters, and says whether it did.
func (c *inspector) findShadowed(
	r *policies.Rule, before, rules []*policies.Rule, matching map[*policies.Rule]*expression,
) bool {
	var same []*policies.Rule // that have the same say; of two equal ones the first stays
	for _, other := range rules {
		if other == r || isPlain(r) && other.Effect != "forbid" && other.Effect != r.Effect {
			continue
		}
		if other.Effect == "forbid" && r.Effect != "forbid" {
			if c.implies(r, matching[r], matching[other]) {
				c.note(policies.CheckShadowed, r, "", "it never matters: whenever it matches, %s forbids", other.ID)
				return true
			}
			continue
		}
		if other.Effect != r.Effect || !isPlain(r) || !isPlain(other) || other.TTL > r.TTL {
			continue
		}
		if slices.Contains(before, other) || !c.implies(r, matching[other], matching[r]) {
			same = append(same, other)
		}
	}
	if i := slices.IndexFunc(same, func(o *policies.Rule) bool { return c.implies(r, matching[r], matching[o]) }); i >= 0 {
		c.note(policies.CheckShadowed, r, "", "it never matters: whenever it matches, %s matches too", same[i].ID)
		return true
	}
	return len(same) >= 2 && c.coveredBy(r, same, matching)
}

// coveredBy reports a rule that matches only where one of several others does, and says whether it is one.
func (c *inspector) coveredBy(
	r *policies.Rule, others []*policies.Rule, matching map[*policies.Rule]*expression,
) bool {
	conds, names := []*expression{matching[r]}, []string(nil)
	for _, o := range others {
		conds, names = append(conds, matching[o]), append(names, o.ID)
	}
	covered := true
	known := cond.NewSpace(conds).Each(cond.MaxLoad, func(g region) bool {
		covered = g.Says(conds[0]) == cond.No || slices.ContainsFunc(conds[1:],
			func(e *expression) bool { return g.Says(e) == cond.Yes })
		return covered
	})
	if known && covered {
		c.note(policies.CheckShadowed, r, "", "it never matters: whenever it matches, %s matches too",
			strings.Join(names, " or "))
	}
	return known && covered
}

// implies says whether b certainly matches whenever a does; r is whom the question is about.
func (c *inspector) implies(r *policies.Rule, a, b *expression) bool {
	always := true
	return c.countOut(policies.CheckShadowed, r, []*expression{a, b}, func(g region) bool {
		always = g.Says(a) == cond.No || g.Says(b) == cond.Yes
		return always
	}) && always
}

// findUnreachable reports an approve rule that never leads to an approval: it permits nothing by itself.
func (c *inspector) findUnreachable(
	r *policies.Rule, permits []*policies.Rule, matching map[*policies.Rule]*expression,
) {
	approved := isIn(r.At, "approved", value{Kind: cond.Bool, Bool: true})
	for _, p := range permits {
		reached := false
		known := c.countOut(policies.CheckUnreachable, r, []*expression{matching[r], matching[p], approved},
			func(g region) bool {
				reached = g.Says(matching[r]) == cond.Yes && g.Says(matching[p]) == cond.Yes && g.Says(approved) == cond.No
				return !reached
			})
		if reached || !known {
			return
		}
	}
	c.note(policies.CheckUnreachable, r, "", "it never asks the wallet: an approve rule permits nothing by itself, "+
		"and no permit rule matches where it does")
}

// findRedundant reports comparisons for which a plain true or false could stand.
func (c *inspector) findRedundant(r *policies.Rule, matching *expression) {
	type stand struct {
		atom *expression
		as   cond.Answer
	}
	var idle []stand
	matching.EachAtom(func(a *expression) {
		if !slices.Contains(idle, stand{a, cond.Yes}) {
			idle = append(idle, stand{a, cond.Yes}, stand{a, cond.No})
		}
	})
	forced := map[*expression]cond.Answer{}
	sift := func(g region) bool {
		g.Forced = forced
		plain := g.Says(matching)
		idle = slices.DeleteFunc(idle, func(x stand) bool {
			forced[x.atom] = x.as
			defer delete(forced, x.atom)
			return g.Says(matching) != plain
		})
		return len(idle) > 0
	}
	if !c.countOut(policies.CheckRedundant, r, []*expression{matching}, sift) {
		return
	}
	// What is still idle once the first stands aside is idle too: of two equal ones only one is.
	for len(idle) > 0 {
		x := idle[0]
		c.note(policies.CheckRedundant, r, "", "%s decides nothing: the rule says the same with %v in its place",
			x.atom.Source(),
			x.as == cond.Yes)
		forced[x.atom] = x.as
		idle = slices.DeleteFunc(idle, func(y stand) bool { return y.atom == x.atom })
		c.countOut(policies.CheckRedundant, r, []*expression{matching}, sift)
	}
}

// closedWords are the fields that have no other values than these.
var closedWords = map[string][]string{
	"class":     keys.Classes,
	"integrity": {"operator", "user", "tool", "untrusted"},
	"secrecy":   {"public", "session", "wallet", "secret"},
}

var quotedWord = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// findUnknownWords reports comparisons of such a field with a word that it never is.
func (c *inspector) findUnknownWords(r *policies.Rule, matching *expression) {
	matching.EachAtom(func(a *expression) {
		source := a.Source()
		rest := strings.Fields(quotedWord.ReplaceAllString(source, " "))
		for field, words := range closedWords {
			if !slices.Contains(rest, field) {
				continue
			}
			for _, quoted := range quotedWord.FindAllString(source, -1) {
				if w, err := strconv.Unquote(quoted); err == nil && !slices.Contains(words, w) {
					c.note(policies.CheckWord, r, "", "%s is never %q; it is %s", field, w, strings.Join(words, ", "))
				}
			}
		}
	})
}

// findFailing reports a rule that cannot be evaluated for requests which another rule permits: it takes that
// permission.
func (c *inspector) findFailing(
	r *policies.Rule, of map[string][]*policies.Rule, matching map[*policies.Rule]*expression,
) {
	for _, p := range of["permit"] {
		if p == r {
			continue
		}
		found := false
		c.countOut(policies.CheckFails, r, []*expression{matching[r], matching[p]}, func(g region) bool {
			found = g.Says(matching[r]) == cond.Fails && g.Says(matching[p]) == cond.Yes
			return !found
		})
		if found {
			c.note(policies.CheckFails, r, "", "it cannot be evaluated for some requests that %s permits, and so denies them; "+
				`test the asset first, as in asset == "USDC" && amount <= usdc("10"), or an optional argument with given`, p.ID)
			return
		}
	}
}

// findDeadAssets reports a rule that compares amounts of an asset and yet can only err for spends of it: what it says
// of that asset never counts.
func (c *inspector) findDeadAssets(r *policies.Rule, matching *expression) {
	if r.At != policies.Spend {
		return
	}
	for _, a := range c.set.Assets() {
		named := false
		matching.EachAtom(func(x *expression) {
			named = named || strings.Contains(x.Source(), strings.ToLower(a.Symbol)+`("`)
		})
		if !named {
			continue
		}
		is := isIn(policies.Spend, "asset", value{Kind: cond.String, Text: a.Symbol})
		holds, errs := false, false
		known := c.countOut(policies.CheckFails, r, []*expression{matching, is}, func(g region) bool {
			if g.Says(is) == cond.Yes {
				holds = holds || g.Says(matching) == cond.Yes
				errs = errs || g.Says(matching) == cond.Fails
			}
			return !holds
		})
		if known && errs && !holds {
			c.note(policies.CheckFails, r, "", "it compares amounts of %s, and for a spend of %s it can only err, "+
				`which denies it: test the asset before each amount, as in asset == "USDC" && amount <= usdc("10")`, a.Symbol, a.Symbol)
			return
		}
	}
}

// findForeignBudget reports a rule that matches spends of one asset and reserves them from a budget of another, which
// denies each of them.
func (c *inspector) findForeignBudget(r *policies.Rule, matching *expression) {
	for _, res := range r.Reserves {
		if r.At != policies.Spend || res.Amount.Op != "field" {
			continue
		}
		counts := res.Budget.Cap.Asset()
		for _, a := range c.set.Assets() {
			is := isIn(policies.Spend, "asset", value{Kind: cond.String, Text: a.Symbol})
			holds := false
			c.countOut(policies.CheckFails, r, []*expression{matching, is}, func(g region) bool {
				holds = g.Says(is) == cond.Yes && g.Says(matching) == cond.Yes
				return !holds
			})
			if holds && a != counts {
				c.note(policies.CheckFails, r, "", "it matches spends of %s and reserves them from %s, which counts %s, "+
					"and so denies them: give %s a budget of its own", a.Symbol, res.Budget.Name(), counts.Symbol, a.Symbol)
				return
			}
		}
	}
}

// findFixedZones reports time zones that are clocks without summer time, and may be taken for places.
func (c *inspector) findFixedZones() {
	for _, p := range c.set.Parts() {
		name, ok := strings.CutPrefix(p.Name, "zone/")
		if !ok {
			continue
		}
		z, err := calendar.NewZone(name, p.Data)
		if err != nil {
			continue // the set would not have loaded
		}
		if hours, is := z.FixedOffset(); is {
			c.note(policies.CheckZone, nil, name, "the time zone %q is UTC%+g all year, in summer too; "+
				"name a place, as in America/New_York, if its clock is meant", name, hours)
		}
	}
}

// findUnlimited reports a permit that bounds nothing, or goes past a budget.
func (c *inspector) findUnlimited(
	r *policies.Rule, of map[string][]*policies.Rule, matching map[*policies.Rule]*expression,
) {
	var stops []*expression // what keeps r from permitting alone
	for _, x := range append(slices.Clone(of["forbid"]), of["approve"]...) {
		stops = append(stops, matching[x])
	}
	unlimited := false
	for _, a := range append(c.set.Assets(), money.Asset{Symbol: "OTHER", Decimals: 18}) {
		holders, budgets := reservingIn(a, of, matching)
		free, past := c.tryAmounts(r, matching[r], a, holders, stops)
		switch {
		case free && !unlimited:
			unlimited = true
			what := a.Symbol
			if what == "OTHER" {
				what = "any asset"
			}
			c.note(policies.CheckUnlimited, r, "", "it permits any amount of %s, and nothing is reserved: "+
				"compare amount, or reserve from a budget", what)
		case past && !free:
			c.note(policies.CheckUnreserved, r, "", "it permits %s without reserving from %s, which other rules draw on",
				a.Symbol, strings.Join(budgets, " or "))
		}
	}
}

// reservingIn returns the rules that reserve in an asset, and the budgets they do it in.
func reservingIn(
	a money.Asset, of map[string][]*policies.Rule, matching map[*policies.Rule]*expression,
) (holders []*expression, budgets []string) {
	for _, x := range append(slices.Clone(of["permit"]), of["approve"]...) {
		for _, res := range x.Reserves {
			if res.Budget.Cap.Asset() != a {
				continue
			}
			holders = append(holders, matching[x])
			if id := res.Budget.Name(); !slices.Contains(budgets, id) {
				budgets = append(budgets, id)
			}
		}
	}
	return holders, budgets
}

// tryAmounts says whether a rule permits any amount of an asset (free), and whether it permits some of it where no rule
// that reserves matches (past).
func (c *inspector) tryAmounts(
	r *policies.Rule, matches *expression, a money.Asset, holders, stops []*expression,
) (free, past bool) {
	some := func(g region, list []*expression) bool {
		return slices.ContainsFunc(list, func(e *expression) bool { return g.Says(e) != cond.No })
	}
	most := money.FromUint256(a, new(uint256.Int).SetAllOne())
	is := isIn(policies.Spend, "asset", value{Kind: cond.String, Text: a.Symbol})
	all := isIn(policies.Spend, "amount", value{Kind: cond.Amount, Amount: most})
	conds := append([]*expression{matches, is, all}, holders...)
	conds = append(conds, stops...)
	c.countOut(policies.CheckUnlimited, r, conds, func(g region) bool {
		if g.Says(matches) != cond.Yes || g.Says(is) != cond.Yes || some(g, holders) || some(g, stops) {
			return true
		}
		past = past || len(holders) > 0
		free = free || g.Says(all) == cond.Yes
		return !free
	})
	return free, past
}

// findUntested reports the rules that no test reaches.
func (c *inspector) findUntested(tests []Case) {
	s := c.set
	if len(tests) == 0 && len(s.Rules()) > 0 {
		c.note(policies.CheckUntested, nil, s.Name(), "the set has no tests, so nothing shows that it does what is meant")
		return
	}
	cov := Cover(s, tests)
	for i, r := range s.Rules() {
		if !r.Unknown && cov.Rules[i].Matched == 0 {
			c.note(policies.CheckUntested, r, "", "no test reaches it")
		}
	}
}
