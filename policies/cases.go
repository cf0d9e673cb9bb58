package policies

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
)

// A Case is a request and the answer that is expected of a set: one of its own tests, or one of another file, read
// with [Set.Cases].
type Case struct {
	name    string
	file    string // "" for the set's own
	line    int
	request Request
	outcome Outcome
	rule    string    // "layer/id", or ""
	reserve []Reserve // exactly this; nil does not look
	ttl     int64     // ms; 0 does not look
	asks    Obligations
	skip    bool // needs the type of a tool that is not there: see Options.Partial
}

// TestsSchema is what the schema key of a file of tests says.
const TestsSchema = "writ/policy-tests/1"

var keysTests = []string{"schema", "tests"}

// Cases reads tests for the set from another file: its schema and tests, in the form that a set's own have. Every
// error is a [*LoadError]. file is what a result calls it.
func (s *Set) Cases(file string, source []byte) ([]Case, error) {
	l := &loader{o: s.options, lim: operatorLimits, set: &Set{rules: s.rules, budgets: s.budgets},
		assets: s.literals, budgets: map[string]BudgetDef{}}
	for _, def := range s.budgets {
		_, id, _ := strings.Cut(def.ID, "/")
		l.budgets[id] = def
	}
	if root := l.document(source); root != nil {
		m := l.mapping(root, "a file of tests", keysTests)
		if v := m["schema"]; v == nil || v.Value != TestsSchema {
			l.problem(or(v, root), "schema must be %s", TestsSchema)
		}
		if m["tests"] == nil {
			l.problem(root, "tests is missing")
		}
		l.readTests(m["tests"])
	}
	if len(l.problems) > 0 {
		return nil, &LoadError{Layer: s.layer, Problems: l.problems}
	}
	for i := range l.set.tests {
		l.set.tests[i].file = file
	}
	return l.set.tests, nil
}

// A TestResult is the outcome of one of a set's own tests.
type TestResult struct {
	Name    string
	File    string // "" for the set's own tests
	Line    int    // in the source
	OK      bool
	Skipped bool     // it is about a tool that was not given
	Got     Decision // of this set alone
	Detail  string   // what differs; empty if OK
}

// Test runs the set's own tests, in order, and then more.
func (s *Set) Test(more ...Case) []TestResult {
	var out []TestResult
	for _, t := range s.cases(more) {
		out = append(out, s.run(t))
	}
	return out
}

// cases are the set's own tests, and more.
func (s *Set) cases(more []Case) []*Case {
	var out []*Case
	for _, list := range [][]Case{s.tests, more} {
		for i := range list {
			out = append(out, &list[i])
		}
	}
	return out
}

func (s *Set) run(t *Case) TestResult {
	res := TestResult{Name: t.name, File: t.file, Line: t.line, OK: true, Skipped: s.skips(t)}
	if res.Skipped {
		return res
	}
	res.Got = Layers{s}.Decide(&t.request)
	switch {
	case res.Got.Outcome != t.outcome:
		res.Detail = fmt.Sprintf("got %s (%s), want %s", res.Got.Outcome, res.Got.Message, t.outcome)
	case t.rule != "" && !slices.Contains(res.Got.Rules, t.rule):
		res.Detail = fmt.Sprintf("decided by [%s], want %s", strings.Join(res.Got.Rules, " "), t.rule)
	case t.reserve != nil && !sameReserve(res.Got.Reserve, t.reserve):
		res.Detail = fmt.Sprintf("reserves %s, want %s", reserveText(res.Got.Reserve), reserveText(t.reserve))
	case t.ttl != 0 && res.Got.TTL != t.ttl:
		res.Detail = fmt.Sprintf("the wallet has %d ms, want %d", res.Got.TTL, t.ttl)
	default:
		got := res.Got.Obligations()
		got.Route = s.Models(&t.request)
		res.Detail = t.asks.differ(got)
	}
	res.OK = res.Detail == ""
	return res
}

// skips says whether a test is about a tool that was not given.
func (s *Set) skips(t *Case) bool {
	return t.skip || slices.ContainsFunc(s.points[t.request.Point], func(r *rule) bool {
		return r.unknown && r.about(&t.request)
	})
}

func sameReserve(a, b []Reserve) bool {
	order := func(x, y Reserve) int { return strings.Compare(x.Budget, y.Budget) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order))
}

func reserveText(list []Reserve) string {
	if len(list) == 0 {
		return "nothing"
	}
	var parts []string
	for _, r := range list {
		parts = append(parts, fmt.Sprintf("%s in %s", r.Amount, r.Budget))
	}
	return strings.Join(parts, " and ")
}

const maxTests = 512

func (l *loader) readTests(n *yaml.Node) {
	seen := map[string]bool{}
	l.list(n, "tests", func(item *yaml.Node) {
		if len(l.set.tests) == maxTests {
			l.problem(item, "there are more than %d tests", maxTests)
			return
		}
		m := l.mapping(item, "a test", keysTest)
		t := Case{line: item.Line, name: l.text(m["name"], 200)}
		if t.name == "" {
			l.problem(item, "the test has no name")
		}
		if seen[t.name] {
			l.problem(item, "there are two tests of the name %q", t.name)
		}
		seen[t.name] = true
		at, _ := l.scalar(or(m["at"], item), "at")
		fields, ok := fieldsOf(Point(at))
		if !ok {
			l.hinted(or(m["at"], item), nearest(at, pointNames()), "at must be one of the ten points, not %q", clip(at))
			return
		}
		t.request.Point = Point(at)
		l.readGiven(m["given"], fields, &t)

		want := l.mapping(or(m["want"], item), "want", keysWant)
		outcome, _ := l.scalar(or(want["outcome"], item), "outcome")
		t.outcome = Outcome(outcome)
		if t.outcome != Permit && t.outcome != Approve && t.outcome != Deny {
			l.hinted(or(want["outcome"], item), nearest(outcome, []string{"permit", "approve", "deny"}),
				"outcome must be permit, approve or deny")
		}
		if r := want["rule"]; r != nil {
			id := l.name(r, r, "rule")
			var ids []string
			for _, x := range l.set.rules {
				ids = append(ids, x.id)
			}
			if !slices.Contains(ids, id) && len(l.problems) == 0 {
				l.hinted(r, nearest(id, ids), "there is no rule %q", id)
			}
			t.rule = l.o.Layer + "/" + id
		}
		l.readWanted(want, &t)
		l.readObligationsWanted(want, &t)
		l.set.tests = append(l.set.tests, t)
	})
}

// readWanted reads what a test wants besides the outcome and the rule.
func (l *loader) readWanted(want map[string]*yaml.Node, t *Case) {
	if n := want["reserve"]; n != nil {
		t.reserve = []Reserve{}
		l.pairs(n, "reserve", func(k, v *yaml.Node) {
			def, ok := l.budgets[k.Value]
			if !ok {
				l.hinted(k, nearest(k.Value, sortedKeys(l.budgets)), "there is no budget %q", clip(k.Value))
				return
			}
			if x, ok := l.constant(v, kindAmount, "an amount"); ok {
				t.reserve = append(t.reserve, Reserve{def.ID, x.m})
			}
		})
		if t.outcome != Permit {
			l.problem(n, "only a permit reserves something")
		}
	}
	if n := want["ttl"]; n != nil {
		s, _ := l.scalar(n, "ttl")
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 || t.outcome != Approve {
			l.problem(n, "ttl is how long the wallet has, such as 120s, where the outcome is approve")
		}
		t.ttl = d.Milliseconds()
	}
}

// readGiven reads a test's request. What is not given is zero; budgets are unused.
func (l *loader) readGiven(n *yaml.Node, fields []field, t *Case) {
	keys := []string{"budgets", "history"}
	for _, f := range fields {
		if f.set != nil {
			keys = append(keys, f.name)
		}
	}
	if t.request.Point == ToolCall {
		keys = append(keys, "args")
	}
	if t.request.Point != SessionIssue {
		keys = append(keys, "origins")
	}
	m := l.mapping(n, "given", keys)
	for _, f := range fields {
		if v := m[f.name]; v != nil && f.set != nil {
			if at, err := time.Parse(time.RFC3339, v.Value); err == nil && (f.name == "now" || f.name == "expires") {
				f.set(&t.request, value{kind: kindInt, i: at.UnixMilli()})
			} else if x, ok := l.given(v, f.kind, f.name); ok {
				f.set(&t.request, x)
			}
		}
	}
	l.list(m["origins"], "origins", func(x *yaml.Node) {
		if s, ok := l.scalar(x, "an origin"); ok {
			t.request.Label = t.request.Label.Join(label.Label{Origins: []string{s}})
		}
	})
	l.readArgs(m["args"], t)
	l.readHistory(m["history"], t)
	ledgers := l.mapping(m["budgets"], "budgets", nil)
	for _, id := range sortedKeys(ledgers) {
		if _, ok := l.budgets[id]; !ok {
			l.hinted(ledgers[id], nearest(id, sortedKeys(l.budgets)), "there is no budget %q", clip(id))
		}
	}
	for _, def := range l.set.budgets {
		_, id, _ := strings.Cut(def.ID, "/")
		zero := money.Of(def.Cap.Asset(), 0)
		b := Budget{ID: def.ID, Cap: def.Cap, Spent: zero, Reserved: zero}
		use := l.mapping(ledgers[id], "a budget's use", keysLedger)
		for key, to := range map[string]*money.Amount{"spent": &b.Spent, "reserved": &b.Reserved} {
			if v := use[key]; v != nil {
				if x, ok := l.given(v, kindAmount, key); ok {
					*to = x.m
				}
			}
		}
		t.request.Budgets = append(t.request.Budgets, b)
	}
}

// readHistory reads the calls that a test's run has made, oldest first.
func (l *loader) readHistory(n *yaml.Node, t *Case) {
	last := int64(math.MinInt64)
	var acts []Act
	l.list(n, "history", func(item *yaml.Node) {
		if len(acts)+len(t.request.Flying) == maxActs {
			l.problem(item, "there are more than %d calls", maxActs)
			return
		}
		m := l.mapping(item, "a call of the past", keysAct)
		var a Act
		a.Tool, _ = l.scalar(or(m["tool"], item), "tool")
		if v := m["class"]; v != nil {
			if a.Class, _ = l.scalar(v, "class"); !slices.Contains(classes, a.Class) {
				l.hinted(v, nearest(a.Class, classes), "there is no class %q", clip(a.Class))
			}
		}
		ended := "ok"
		if v := m["ended"]; v != nil {
			ended, _ = l.scalar(v, "ended")
		}
		if !slices.Contains(endings, ended) {
			l.hinted(m["ended"], nearest(ended, endings), "ended must be ok, unknown or not, for a call under way")
		}
		a.OK = ended == "ok"
		if v := m["at"]; v != nil {
			x, _ := l.given(v, kindInt, "at")
			a.At = x.i
		}
		if v := m["amount"]; v != nil {
			x, _ := l.given(v, kindAmount, "amount")
			a.Amount = x.m
		}
		if v := m["to"]; v != nil {
			x, _ := l.given(v, kindAddress, "to")
			a.To = x.a
		}
		a.Args = l.args(m["args"], a.Tool, t)
		if ended == "not" {
			t.request.Flying = append(t.request.Flying, a)
			return
		}
		if a.At < last {
			l.problem(item, "the calls must stand in the order of time")
		}
		last = a.At
		acts = append(acts, a)
	})
	t.request.Past = PastOf(acts)
}

var (
	keysAct = []string{"tool", "class", "at", "amount", "to", "args", "ended"}
	endings = []string{"ok", "unknown", "not"}
)

const maxActs = 256

func (l *loader) readArgs(n *yaml.Node, t *Case) {
	t.request.Args = l.args(n, t.request.Tool, t)
}

func (l *loader) args(n *yaml.Node, tool string, t *Case) (args []Arg) {
	if n == nil {
		return nil
	}
	i := slices.IndexFunc(l.o.Tools, func(x ToolType) bool { return x.Name == tool })
	if i < 0 {
		if t.skip = t.skip || l.o.Partial; !t.skip {
			l.problem(n, "args need a known tool, and there is no tool %q", clip(tool))
		}
		return nil
	}
	var names []string
	for _, p := range l.o.Tools[i].Params {
		names = append(names, p.Name)
	}
	m := l.mapping(n, "args", names)
	for _, p := range l.o.Tools[i].Params {
		a := Arg{Name: p.Name, Kind: p.Kind}
		if v := m[p.Name]; v != nil {
			if x, ok := l.given(v, argKind(p.Kind), p.Name); ok {
				a = Arg{Name: p.Name, Kind: p.Kind, Set: true, Text: x.s, Int: x.i, Bool: x.b, Addr: x.a, Amount: x.m}
			}
		}
		args = append(args, a)
	}
	return args
}

// given reads one value of a test: texts and addresses plainly, numbers and amounts as constants.
func (l *loader) given(n *yaml.Node, k kind, what string) (value, bool) {
	switch k {
	case kindInt, kindBool, kindAmount:
		return l.constant(n, k, what)
	case kindAddress:
		s, ok := l.scalar(n, what)
		if !ok {
			return value{}, false
		}
		a, err := parseAddress(s)
		if err != nil {
			l.problem(n, "%v", err)
		}
		return value{kind: k, a: a}, err == nil
	}
	s, ok := l.scalar(n, what)
	return value{kind: kindString, s: s}, ok
}
