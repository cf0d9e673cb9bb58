package policies

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies/money"
)

// A test is a request and the answer that the set's author expects of it.
type test struct {
	name    string
	line    int
	request Request
	outcome Outcome
	rule    string // "layer/id", or ""
	skip    bool   // needs the type of a tool that is not there: see Options.Partial
}

// A TestResult is the outcome of one of a set's own tests.
type TestResult struct {
	Name    string
	Line    int // in the source
	OK      bool
	Skipped bool     // it is about a tool that was not given
	Got     Decision // of this set alone
	Detail  string   // what differs; empty if OK
}

// Test runs the set's own tests, in order.
func (s *Set) Test() []TestResult {
	var out []TestResult
	for i := range s.tests {
		t := &s.tests[i]
		skip := t.skip || slices.ContainsFunc(s.points[t.request.Point], func(r *rule) bool {
			return r.unknown && r.about(&t.request)
		})
		res := TestResult{Name: t.name, Line: t.line, OK: true, Skipped: skip}
		if !skip {
			res.Got = Layers{s}.Decide(&t.request)
			switch {
			case res.Got.Outcome != t.outcome:
				res.OK = false
				res.Detail = fmt.Sprintf("got %s (%s), want %s", res.Got.Outcome, res.Got.Message, t.outcome)
			case t.rule != "" && !slices.Contains(res.Got.Rules, t.rule):
				res.OK = false
				res.Detail = fmt.Sprintf("decided by [%s], want %s", strings.Join(res.Got.Rules, " "), t.rule)
			}
		}
		out = append(out, res)
	}
	return out
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
		t := test{line: item.Line, name: l.text(m["name"], 200)}
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
		l.set.tests = append(l.set.tests, t)
	})
}

// readGiven reads a test's request. What is not given is zero; budgets are unused.
func (l *loader) readGiven(n *yaml.Node, fields []field, t *test) {
	keys := []string{"budgets"}
	for _, f := range fields {
		if f.set != nil {
			keys = append(keys, f.name)
		}
	}
	if t.request.Point == ToolCall {
		keys = append(keys, "args")
	}
	m := l.mapping(n, "given", keys)
	for _, f := range fields {
		if v := m[f.name]; v != nil && f.set != nil {
			if x, ok := l.given(v, f.kind, f.name); ok {
				f.set(&t.request, x)
			}
		}
	}
	l.readArgs(m["args"], t)
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

func (l *loader) readArgs(n *yaml.Node, t *test) {
	if n == nil {
		return
	}
	i := slices.IndexFunc(l.o.Tools, func(x ToolType) bool { return x.Name == t.request.Tool })
	if i < 0 {
		if t.skip = l.o.Partial; !t.skip {
			l.problem(n, "args need a known tool, and there is no tool %q", clip(t.request.Tool))
		}
		return
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
		t.request.Args = append(t.request.Args, a)
	}
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
