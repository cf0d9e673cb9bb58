package workshop

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/internal/keys"
	"github.com/writ-run/writ/policies/internal/strict"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// A Case is a request and the answer that is expected of a set: one of its own tests, or one of another file.
type Case struct {
	name    string
	file    string // "" for the set's own
	line    int
	request policies.Request
	outcome policies.Outcome
	rule    string             // "layer/id", or ""
	reserve []policies.Reserve // exactly this; nil does not look
	ttl     int64              // ms; 0 does not look
	asks    policies.Obligations
	skip    bool // needs the type of a tool that is not there: see [policies.Options]
}

// TestsSchema is what the schema key of a file of tests says.
const TestsSchema = "writ/policy-tests/1"

// Keys of tests; schema.json lists the same.
var (
	keysTests  = []string{"schema", "tests"}
	keysTest   = []string{"name", "at", "given", "want"}
	keysWant   = []string{"outcome", "rule", "reserve", "ttl", "redact", "limit", "label", "mode", "route"}
	keysLedger = []string{"spent", "reserved"}
)

// Tests reads a set's own tests. [policies.Load] does not look at them, since who judges does not need them; so an
// error here, a [*policies.LoadError], is about a set that loads.
func Tests(s *policies.Set) ([]Case, error) {
	source := s.Source()
	return readCases(s, source, len(source), func(l *caseReader, root *yaml.Node) {
		l.readTests(l.Mapping(root, "a policy set", keys.Set)["tests"])
	})
}

// ReadCases reads tests for a set from another file: its schema and tests, in the form that a set's own have. Every
// error is a [*policies.LoadError]. file is what a result calls it.
func ReadCases(s *policies.Set, file string, source []byte) ([]Case, error) {
	cases, err := readCases(s, source, policies.MaxSource, func(l *caseReader, root *yaml.Node) {
		m := l.Mapping(root, "a file of tests", keysTests)
		if v := m["schema"]; v == nil || v.Value != TestsSchema {
			l.Report(cmp.Or(v, root), "schema must be %s", TestsSchema)
		}
		if m["tests"] == nil {
			l.Report(root, "tests is missing")
		}
		l.readTests(m["tests"])
	})
	for i := range cases {
		cases[i].file = file
	}
	return cases, err
}

// A caseReader holds what has been read of tests so far.
type caseReader struct {
	strict.Reader
	set     *policies.Set
	o       policies.Options              // of the set
	budgets map[string]policies.BudgetDef // by id without the layer
	tests   []Case
}

// readCases reads a document that has tests for the set.
func readCases(s *policies.Set, source []byte, limit int, read func(*caseReader, *yaml.Node)) ([]Case, error) {
	l := &caseReader{set: s, o: s.Options(), budgets: map[string]policies.BudgetDef{}}
	for _, def := range s.Budgets() {
		l.budgets[def.Name()] = def
	}
	if root := l.ReadDocument(source, limit); root != nil {
		read(l, root)
	}
	if len(l.Problems) > 0 {
		return nil, policies.NewLoadError(l.o.Layer, l.Problems)
	}
	return l.tests, nil
}

// A TestResult is the outcome of one test.
type TestResult struct {
	Name    string
	File    string // "" for the set's own tests
	Line    int    // in the source
	OK      bool
	Skipped bool              // it is about a tool that was not given
	Got     policies.Decision // of this set alone
	Detail  string            // what differs; empty if OK
}

// Test runs tests, in order.
func Test(s *policies.Set, tests []Case) []TestResult {
	out := make([]TestResult, len(tests))
	for i := range tests {
		out[i] = runCase(s, &tests[i])
	}
	return out
}

func runCase(s *policies.Set, t *Case) TestResult {
	res := TestResult{Name: t.name, File: t.file, Line: t.line, OK: true, Skipped: skipsCase(s, t)}
	if res.Skipped {
		return res
	}
	res.Got = policies.Layers{s}.Decide(&t.request)
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
		res.Detail = tellDifference(t.asks, got)
	}
	res.OK = res.Detail == ""
	return res
}

// skipsCase says whether a test is about a tool that was not given.
func skipsCase(s *policies.Set, t *Case) bool {
	return t.skip || slices.ContainsFunc(s.RulesAt(t.request.Point), func(r *policies.Rule) bool {
		return r.Unknown && r.IsAbout(&t.request)
	})
}

func sameReserve(a, b []policies.Reserve) bool {
	order := func(x, y policies.Reserve) int { return strings.Compare(x.Budget, y.Budget) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), order), slices.SortedFunc(slices.Values(b), order))
}

func reserveText(list []policies.Reserve) string {
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

func (l *caseReader) readTests(n *yaml.Node) {
	seen := map[string]bool{}
	l.List(n, "tests", func(item *yaml.Node) {
		if len(l.tests) == maxTests {
			l.Report(item, "there are more than %d tests", maxTests)
			return
		}
		m := l.Mapping(item, "a test", keysTest)
		t := Case{line: item.Line, name: l.ReadText(m["name"], 200)}
		if t.name == "" {
			l.Report(item, "the test has no name")
		}
		if seen[t.name] {
			l.Report(item, "there are two tests of the name %q", t.name)
		}
		seen[t.name] = true
		at, _ := l.Scalar(cmp.Or(m["at"], item), "at")
		fields, ok := policies.Fields(policies.Point(at))
		if !ok {
			l.ReportHint(cmp.Or(m["at"], item), wording.Nearest(at, pointNames()), "at must be one of the ten points, not %q",
				wording.Clip(at, 60))
			return
		}
		t.request.Point = policies.Point(at)
		l.readGiven(m["given"], fields, &t)

		want := l.Mapping(cmp.Or(m["want"], item), "want", keysWant)
		l.readOutcome(item, want, &t)
		l.readWanted(want, &t)
		l.readObligationsWanted(want, &t)
		l.tests = append(l.tests, t)
	})
}

// readOutcome reads the outcome that a test wants, and the rule.
func (l *caseReader) readOutcome(item *yaml.Node, want map[string]*yaml.Node, t *Case) {
	outcome, _ := l.Scalar(cmp.Or(want["outcome"], item), "outcome")
	t.outcome = policies.Outcome(outcome)
	if t.outcome != policies.Permit && t.outcome != policies.Approve && t.outcome != policies.Deny {
		l.ReportHint(cmp.Or(want["outcome"], item), wording.Nearest(outcome, []string{"permit", "approve", "deny"}),
			"outcome must be permit, approve or deny")
	}
	r := want["rule"]
	if r == nil {
		return
	}
	id := l.ReadName(r, r, "rule")
	var ids []string
	for _, x := range l.set.Rules() {
		ids = append(ids, x.ID)
	}
	if !slices.Contains(ids, id) && len(l.Problems) == 0 {
		l.ReportHint(r, wording.Nearest(id, ids), "there is no rule %q", id)
	}
	t.rule = l.o.Layer + "/" + id
}

// readWanted reads what a test wants besides the outcome and the rule.
func (l *caseReader) readWanted(want map[string]*yaml.Node, t *Case) {
	if n := want["reserve"]; n != nil {
		t.reserve = []policies.Reserve{}
		l.Pairs(n, "reserve", func(k, v *yaml.Node) {
			def, ok := l.budgets[k.Value]
			if !ok {
				l.ReportHint(k, wording.Nearest(k.Value, slices.Sorted(maps.Keys(l.budgets))), "there is no budget %q",
					wording.Clip(k.Value, 60))
				return
			}
			if x, ok := l.set.Constant(&l.Reader, v, cond.Amount, "an amount"); ok {
				t.reserve = append(t.reserve, policies.Reserve{Budget: def.ID, Amount: x.Amount})
			}
		})
		if t.outcome != policies.Permit {
			l.Report(n, "only a permit reserves something")
		}
	}
	if n := want["ttl"]; n != nil {
		s, _ := l.Scalar(n, "ttl")
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 || t.outcome != policies.Approve {
			l.Report(n, "ttl is how long the wallet has, such as 120s, where the outcome is approve")
		}
		t.ttl = d.Milliseconds()
	}
}

// dateShape is how a text begins that is meant as a time.
var dateShape = regexp.MustCompile(`^[0-9]{4,5}-[0-9]{1,2}-[0-9]`)

// readGiven reads a test's request. What is not given is zero; budgets are unused.
func (l *caseReader) readGiven(n *yaml.Node, fields []field, t *Case) {
	keys := []string{"budgets", "history"}
	for _, f := range fields {
		if f.Set != nil {
			keys = append(keys, f.Name)
		}
	}
	if t.request.Point == policies.ToolCall {
		keys = append(keys, "args")
	}
	if t.request.Point != policies.SessionIssue {
		keys = append(keys, "origins")
	}
	m := l.Mapping(n, "given", keys)
	for _, f := range fields {
		if v := m[f.Name]; v != nil && f.Set != nil {
			at, err := time.Parse(time.RFC3339, v.Value)
			switch isTime := f.Name == "now" || f.Name == "expires"; {
			case isTime && err == nil:
				f.Set(&t.request, value{Kind: cond.Int, Int: at.UnixMilli()})
				continue
			case isTime && dateShape.MatchString(v.Value): // as a condition 2027-02-29 is a number less two others
				l.Report(v, "%q is no time, such as 2026-11-28T08:00:00Z", wording.Clip(v.Value, 60))
				continue
			}
			if x, ok := l.readValue(v, f.Kind, f.Name); ok {
				f.Set(&t.request, x)
			}
		}
	}
	l.List(m["origins"], "origins", func(x *yaml.Node) {
		if s, ok := l.Scalar(x, "an origin"); ok {
			t.request.Label = t.request.Label.Join(label.Label{Origins: []string{s}})
		}
	})
	l.readArgs(m["args"], t)
	l.readHistory(m["history"], t)
	l.readBudgets(m["budgets"], t)
}

// readBudgets reads what is used of the budgets; of those that are not named, nothing is.
func (l *caseReader) readBudgets(n *yaml.Node, t *Case) {
	ledgers := l.Mapping(n, "budgets", nil)
	for _, id := range slices.Sorted(maps.Keys(ledgers)) {
		if _, ok := l.budgets[id]; !ok {
			l.ReportHint(ledgers[id], wording.Nearest(id, slices.Sorted(maps.Keys(l.budgets))), "there is no budget %q",
				wording.Clip(id, 60))
		}
	}
	for _, def := range l.set.Budgets() {
		id := def.Name()
		zero := money.Of(def.Cap.Asset(), 0)
		b := policies.Budget{ID: def.ID, Cap: def.Cap, Spent: zero, Reserved: zero}
		use := l.Mapping(ledgers[id], "a budget's use", keysLedger)
		for key, to := range map[string]*money.Amount{"spent": &b.Spent, "reserved": &b.Reserved} {
			if v := use[key]; v != nil {
				if x, ok := l.readValue(v, cond.Amount, key); ok {
					*to = x.Amount
				}
			}
		}
		t.request.Budgets = append(t.request.Budgets, b)
	}
}

// readHistory reads the calls that a test's run has made, oldest first.
func (l *caseReader) readHistory(n *yaml.Node, t *Case) {
	last := int64(math.MinInt64)
	var acts []policies.Act
	l.List(n, "history", func(item *yaml.Node) {
		if len(acts)+len(t.request.Flying) == maxActs {
			l.Report(item, "there are more than %d calls", maxActs)
			return
		}
		a, ended := l.readAct(item, t)
		if ended == "not" {
			t.request.Flying = append(t.request.Flying, a)
			return
		}
		if a.At < last {
			l.Report(item, "the calls must stand in the order of time")
		}
		last = a.At
		acts = append(acts, a)
	})
	t.request.Past = policies.PastOf(acts)
}

// readAct reads a call of the past, and how it ended.
func (l *caseReader) readAct(item *yaml.Node, t *Case) (a policies.Act, ended string) {
	m := l.Mapping(item, "a call of the past", keysAct)
	a.Tool, _ = l.Scalar(cmp.Or(m["tool"], item), "tool")
	if v := m["class"]; v != nil {
		if a.Class, _ = l.Scalar(v, "class"); !slices.Contains(keys.Classes, a.Class) {
			l.ReportHint(v, wording.Nearest(a.Class, keys.Classes), "there is no class %q", wording.Clip(a.Class, 60))
		}
	}
	ended = "ok"
	if v := m["ended"]; v != nil {
		ended, _ = l.Scalar(v, "ended")
	}
	if !slices.Contains(endings, ended) {
		l.ReportHint(m["ended"], wording.Nearest(ended, endings), "ended must be ok, unknown or not, for a call under way")
	}
	a.OK = ended == "ok"
	if v := m["at"]; v != nil {
		x, _ := l.readValue(v, cond.Int, "at")
		a.At = x.Int
	}
	if v := m["amount"]; v != nil {
		x, _ := l.readValue(v, cond.Amount, "amount")
		a.Amount = x.Amount
	}
	if v := m["to"]; v != nil {
		x, _ := l.readValue(v, cond.Address, "to")
		a.To = x.Addr
	}
	a.Args = l.readArguments(m["args"], a.Tool, t)
	return a, ended
}

var (
	keysAct = []string{"tool", "class", "at", "amount", "to", "args", "ended"}
	endings = []string{"ok", "unknown", "not"}
)

const maxActs = 256

func (l *caseReader) readArgs(n *yaml.Node, t *Case) {
	t.request.Args = l.readArguments(n, t.request.Tool, t)
}

func (l *caseReader) readArguments(n *yaml.Node, tool string, t *Case) (args []arg.Value) {
	if n == nil {
		return nil
	}
	i := slices.IndexFunc(l.o.Tools, func(x policies.ToolType) bool { return x.Name == tool })
	if i < 0 {
		if t.skip = t.skip || l.o.Partial; !t.skip {
			l.Report(n, "args need a known tool, and there is no tool %q", wording.Clip(tool, 60))
		}
		return nil
	}
	params := l.o.Tools[i].Params
	written := map[string]*yaml.Node{}
	l.findMembers(n, "", params, written)
	read := policies.Request{}
	for _, p := range params {
		read.Args = append(read.Args, arg.Value{Name: p.Name, Kind: p.Kind})
	}
	for _, p := range params {
		if v := written[p.Name]; v != nil {
			if x, ok := l.readArg(v, p); ok {
				read.SetArg(p.Name, p.Kind, x)
			}
		}
	}
	return read.Args
}

// findMembers finds what is written of which argument: order.amount: 5, or order: {amount: 5}.
func (l *caseReader) findMembers(n *yaml.Node, path string, params []arg.Param, written map[string]*yaml.Node) {
	l.Pairs(n, "args", func(k, v *yaml.Node) {
		name := path + k.Value
		i := slices.IndexFunc(params, func(p arg.Param) bool { return p.Name == name })
		if i < 0 {
			var names []string
			for _, p := range params {
				names = append(names, p.Name)
			}
			l.ReportHint(k, wording.Nearest(name, names), "unknown key %q in %s", wording.Clip(name, 60), "args")
			return
		}
		written[name] = v
		if params[i].Kind == arg.Object {
			l.findMembers(v, name+".", params, written)
		}
	})
}

// readArg reads what a test says of an argument: of a list its length or its elements, of opaque JSON anything.
func (l *caseReader) readArg(n *yaml.Node, p arg.Param) (value, bool) {
	switch {
	case p.Kind == arg.Object || p.Kind == arg.JSON:
		return value{}, true
	case p.Kind == arg.List && n.Kind == yaml.SequenceNode:
		return value{Int: int64(len(n.Content))}, true
	case p.Kind == arg.List:
		return l.readValue(n, cond.Int, p.Name)
	}
	return l.readValue(n, cond.KindOf(p.Kind), p.Name)
}

// readValue reads one value of a test: texts and addresses plainly, numbers and amounts as constants.
func (l *caseReader) readValue(n *yaml.Node, k cond.Kind, what string) (value, bool) {
	switch k {
	case cond.Int, cond.Bool, cond.Amount:
		return l.set.Constant(&l.Reader, n, k, what)
	case cond.Number:
		s, ok := l.Scalar(n, what)
		if !ok {
			return value{}, false
		}
		d, err := arg.ParseDecimal(s)
		if err != nil {
			l.Report(n, "%v", err)
		}
		return value{Kind: k, Text: d.String()}, err == nil
	case cond.Address:
		s, ok := l.Scalar(n, what)
		if !ok {
			return value{}, false
		}
		a, err := cond.ParseAddress(s)
		if err != nil {
			l.Report(n, "%v", err)
		}
		return value{Kind: k, Addr: a}, err == nil
	}
	s, ok := l.Scalar(n, what)
	return value{Kind: cond.String, Text: s}, ok
}
