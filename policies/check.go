package policies

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Warning is something in a set that loads but is probably not meant.
type Warning struct {
	Line int    // of the rule; 0 if it is about the whole set
	Rule string // "layer/id", or ""
	Text string
}

// Check looks for what is suspicious: a point that permits nothing, a rule that can never matter, a budget or set
// that nothing uses, a rule that no test of the set reaches.
func (s *Set) Check() []Warning {
	var out []Warning
	warn := func(r *rule, format string, args ...any) {
		w := Warning{Text: fmt.Sprintf(format, args...)}
		if r != nil {
			w.Line, w.Rule = r.line, r.full
		}
		out = append(out, w)
	}
	for _, p := range []Point{ModelRoute, ToolCall, Spend, Output} {
		if !slices.ContainsFunc(s.points[p], func(r *rule) bool { return r.effect == "permit" }) {
			warn(nil, "no rule permits anything at %s, so all of it is denied", p)
		}
	}
	for _, def := range s.budgets {
		if _, id, _ := strings.Cut(def.ID, "/"); !s.usedBudgets[id] {
			warn(nil, "no rule reserves from the budget %s, so it limits nothing", def.ID)
		}
	}
	for _, name := range sortedKeys(s.sets) {
		if !s.sets[name].used {
			warn(nil, "no rule uses the set %s", name)
		}
	}
	hit := map[string]bool{}
	for _, t := range s.Test() {
		for _, id := range t.Got.Rules {
			hit[id] = true
		}
	}
	for i, r := range s.rules {
		if r.unknown {
			warn(r, "it is for %s, which is not among the tools", strings.Join(r.tools, ", "))
			continue
		}
		if len(s.tests) > 0 && !hit[r.full] {
			warn(r, "no test of the set reaches it")
		}
		for j, other := range s.rules {
			if i == j || other.unknown || other.at != r.at || !covers(other.tools, r.tools) {
				continue
			}
			same := other.effect == r.effect && len(other.reserves)+len(r.reserves) == 0 && other.ttl <= r.ttl
			if other.effect != "forbid" && !same || !implies(r, other) {
				continue
			}
			if other.effect == "forbid" && r.effect != "forbid" {
				warn(r, "it never matters: whenever it matches, %s forbids", other.full)
				break
			}
			if same && (j < i || !implies(other, r)) {
				warn(r, "it never matters: whenever it matches, %s matches too", other.full)
				break
			}
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// covers says whether a rule for tools a is asked whenever one for tools b is. nil is any tool.
func covers(a, b []string) bool {
	return a == nil || b != nil && !slices.ContainsFunc(b, func(t string) bool { return !slices.Contains(a, t) })
}

// refuseConstant reports a condition that says the same of every request, unless it is plainly true.
func (l *loader) refuseConstant(n *yaml.Node, e *expression, key string) {
	if e.op == "constant" && key == "when" && truth(e, nil) {
		return
	}
	yes, no := answers(e)
	if e.constant() {
		yes = truth(e, &frame{r: &Request{}})
	} else if yes && no {
		return
	}
	l.problem(n, "the condition is always %v", yes)
}

// answers says whether e can be true and whether it can be false. Both are said where that is not known.
func answers(e *expression) (yes, no bool) {
	known := regions([]*expression{e}, func(v []bool) {
		yes = yes || v[0]
		no = no || !v[0]
	})
	if !known {
		return true, true
	}
	return yes, no
}

// matches is the condition of a rule as one expression.
func (x *rule) matches() *expression {
	if x.unless == nil {
		return x.when
	}
	not := &expression{kind: kindBool, op: "!", kids: []*expression{x.unless}}
	return &expression{kind: kindBool, op: "&&", kids: []*expression{x.when, not}}
}

// implies says whether b certainly matches whenever a does.
func implies(a, b *rule) bool {
	always := true
	return regions([]*expression{a.matches(), b.matches()}, func(v []bool) {
		always = always && (!v[0] || v[1])
	}) && always
}

// maxJudged bounds the work of regions: combinations times atoms.
const maxJudged = 20_000

// A sample is a way that one thing in a condition can turn out: the value of what is compared with constants, or the
// truth of an atom that is looked at as a whole.
type sample struct {
	v     value
	holds bool
}

// An issue is what an atom is about, in the pick of a region.
type issue struct {
	at     int     // index of its subject
	op     string  // as [flip.relate] has it
	consts []value // what it is compared with; nil if it is looked at as a whole
}

// regions splits the requests into regions within which every atom says the same, and calls do with what the
// conditions say in each. It returns false if they are too many. Things that depend on one another are taken as
// independent, so a region may be empty: what holds in all regions holds always, not the other way round.
func regions(conds []*expression, do func([]bool)) bool {
	subjects := map[string]int{}
	var samples [][]sample
	atoms := map[*expression]issue{}
	for _, c := range conds {
		eachAtom(c, func(a *expression) {
			key, consts := subject(a)
			at, known := subjects[key]
			if !known {
				at = len(samples)
				subjects[key] = at
				samples = append(samples, nil)
			}
			_, _, op := flip{e: a}.relate()
			atoms[a] = issue{at, op, consts}
			ways := []sample{{holds: true}, {}}
			if consts != nil {
				ways = nil
				for _, c := range consts {
					ways = append(ways, around(c)...)
				}
			}
			for _, w := range ways {
				if !slices.Contains(samples[at], w) {
					samples[at] = append(samples[at], w)
				}
			}
		})
	}
	n := 1
	for _, of := range samples {
		if n *= len(of); n*(len(atoms)+1) > maxJudged {
			return false
		}
	}
	pick := make([]sample, len(samples))
	answers := make([]bool, len(conds))
	for i := range n {
		rest := i
		for j, of := range samples {
			pick[j], rest = of[rest%len(of)], rest/len(of)
		}
		sound := true
		for j, c := range conds {
			answers[j] = judge(c, atoms, pick, &sound)
		}
		if sound {
			do(answers)
		}
	}
	return true
}

func eachAtom(e *expression, do func(*expression)) {
	switch {
	case e.op == "&&" || e.op == "||" || e.op == "!":
		for _, k := range e.kids {
			eachAtom(k, do)
		}
	case e.op == "variable":
		eachAtom(e.inner(), do)
	case e.op != "constant":
		do(e)
	}
}

// subject returns what an atom is about, and the constants that it is compared with; nil if it stands for itself.
func subject(a *expression) (string, []value) {
	l, r, op := flip{e: a}.relate()
	switch op {
	case "==", "!=", "<", "<=", ">", ">=":
		if r.constant() && !l.constant() {
			if v, err := r.value(&frame{}); err == nil {
				return l.source(), []value{v}
			}
		}
	case "in":
		return l.source(), r.list
	}
	if a.op == "field" || a.op == "arg" {
		return a.source(), []value{{kind: kindBool, b: true}}
	}
	return a.source() + " ", nil // the space keeps it apart from a subject of the same text
}

// around returns a constant with its neighbours.
func around(v value) []sample {
	out := []sample{{v: v}}
	switch v.kind {
	case kindBool:
		out = append(out, sample{v: value{kind: kindBool, b: !v.b}})
	case kindInt, kindAmount:
		for _, op := range []string{"<", ">"} {
			if n, err := step(v, op); err == nil {
				out = append(out, sample{v: n})
			}
		}
	case kindString:
		out = append(out, sample{v: value{kind: kindString, s: "\x00 any other"}})
	case kindAddress:
		out = append(out, sample{v: value{kind: kindAddress}})
	}
	return out
}

// judge evaluates e for one pick. sound becomes false where amounts of two assets would meet.
func judge(e *expression, atoms map[*expression]issue, pick []sample, sound *bool) bool {
	switch e.op {
	case "&&":
		return judge(e.kids[0], atoms, pick, sound) && judge(e.kids[1], atoms, pick, sound)
	case "||":
		return judge(e.kids[0], atoms, pick, sound) || judge(e.kids[1], atoms, pick, sound)
	case "!":
		return !judge(e.kids[0], atoms, pick, sound)
	case "variable":
		return judge(e.inner(), atoms, pick, sound)
	case "constant":
		return truth(e, nil)
	}
	a := atoms[e]
	s := pick[a.at]
	if a.consts == nil {
		return s.holds
	}
	switch a.op {
	case "in":
		return slices.Contains(a.consts, s.v)
	case "field", "arg":
		return s.v.b
	}
	c, ok := compareValues(s.v, a.consts[0])
	*sound = *sound && ok
	switch a.op {
	case "==":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// compareValues orders two values of one kind; values without an order are 0 if equal and else 1.
func compareValues(a, b value) (int, bool) {
	switch a.kind {
	case kindInt:
		return cmp.Compare(a.i, b.i), true
	case kindAmount:
		c, err := a.m.Cmp(b.m)
		return c, err == nil
	}
	if a == b {
		return 0, true
	}
	return 1, true
}
