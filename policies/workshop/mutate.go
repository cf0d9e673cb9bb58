package workshop

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/internal/keys"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
)

// A Fate is what became of a mutant.
type Fate string

// The fates. Refused and equivalent mutants do not count: no test can tell them.
const (
	Killed     Fate = "killed"     // a test noticed
	Survived   Fate = "survived"   // no test noticed
	Refused    Fate = "refused"    // it does not load
	Equivalent Fate = "equivalent" // it answers every request as the set does; see [Comparison]
)

// A Mutant is a set with one small mistake put in.
type Mutant struct {
	Rule     string `json:"rule,omitempty"` // the rule's id, if it is in one
	Line     int    `json:"line"`           // where the rule, variable or budget begins
	What     string `json:"what"`           // "amount <= cap: <= becomes <"
	Fate     Fate   `json:"fate"`
	Test     string `json:"test,omitempty"` // killed: the first test that noticed
	Request  string `json:"request,omitempty"`
	Want     string `json:"want,omitempty"` // survived: what the set, not the mutant, says to Request
	Mistaken string `json:"mistaken,omitempty"`
}

// A Mutation is what the tests of a set made of its mutants.
type Mutation struct {
	Mutants []Mutant `json:"mutants"`
	Left    int      `json:"left"` // mutants beyond the bound, which were not made
}

// Score counts the mutants that tests killed, and those that they could have.
func (m Mutation) Score() (killed, of int) {
	for _, x := range m.Mutants {
		switch x.Fate {
		case Killed:
			killed++
			of++
		case Survived:
			of++
		}
	}
	return killed, of
}

// maxMutants bounds the mutants of one set.
const maxMutants = 2000

// Mutate makes small mistakes in a copy of the set, one at a time: operators and constants of conditions, rules,
// reservations, caps, and what is redacted, routed, limited, labelled and kept. Each must make one of tests
// fail, which are the set's own and those of other files; for one that survives it looks for a request that would tell.
// The set must pass its tests.
func Mutate(s *policies.Set, tests []Case) (Mutation, error) {
	for _, res := range Test(s, tests) {
		if !res.OK {
			return Mutation{}, fmt.Errorf("the test %q fails; mend it first", res.Name)
		}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(s.Source(), &doc); err != nil {
		return Mutation{}, fmt.Errorf("read the set again: %w", err)
	}
	m := mutator{set: s, doc: &doc}
	for _, t := range tests { // each mutant has its own way to read those that stand in the set
		if t.file != "" {
			m.more = append(m.more, t)
		}
	}
	m.mutateAll()
	return m.out, nil
}

type mutator struct {
	set  *policies.Set
	doc  *yaml.Node
	more []Case
	out  Mutation
	rule string
	line int
}

func (m *mutator) mutateAll() {
	root := m.doc.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		v := root.Content[i+1]
		switch root.Content[i].Value {
		case "variables":
			for j := 0; j+1 < len(v.Content); j += 2 {
				m.line = v.Content[j].Line
				m.mutateCondition(v.Content[j+1])
			}
		case "budgets":
			for _, b := range v.Content {
				m.line = b.Line
				m.mutateCondition(memberOf(b, "cap"))
			}
		case "rules":
			for j, r := range slices.Clone(v.Content) {
				m.line, m.rule = r.Line, ""
				if id := memberOf(r, "id"); id != nil {
					m.rule = id.Value
				}
				whole := v.Content
				v.Content = slices.Delete(slices.Clone(whole), j, j+1)
				m.tryMutant("the rule is gone")
				v.Content = whole
				m.inRule(r)
			}
			m.rule = ""
		}
	}
}

func (m *mutator) inRule(r *yaml.Node) {
	for _, key := range []string{"unless", "reserve"} {
		for i := 0; i+1 < len(r.Content); i += 2 {
			if r.Content[i].Value == key {
				whole := r.Content
				r.Content = slices.Delete(slices.Clone(whole), i, i+2)
				m.tryMutant(key + " is gone")
				r.Content = whole
				break
			}
		}
	}
	if e := memberOf(r, "effect"); e != nil {
		was := e.Value
		if to := map[string]string{"permit": "approve", "approve": "permit", "forbid": "approve"}[was]; to != "" {
			e.Value = to
			m.tryMutant(was + " becomes " + to)
			e.Value = was
		}
	}
	for _, key := range []string{"when", "unless"} {
		m.mutateCondition(memberOf(r, key))
	}
	if n := memberOf(r, "ttl"); n != nil {
		was := n.Value
		if d, err := time.ParseDuration(was); err == nil {
			n.Value = (d + time.Second).String()
			m.tryMutant("ttl " + was + " becomes " + n.Value)
			n.Value = was
		}
	}
	m.mutateObligations(r)
	if n := memberOf(r, "reserve"); n != nil {
		if n.Kind == yaml.MappingNode {
			m.mutateCondition(memberOf(n, "amount"))
		} else {
			for _, x := range n.Content {
				m.mutateCondition(memberOf(x, "amount"))
			}
		}
	}
}

// memberOf is the value of a key, or nil if n has none.
func memberOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// mutateCondition makes one mistake after the other in a condition.
func (m *mutator) mutateCondition(n *yaml.Node) {
	if n == nil || n.Kind != yaml.ScalarNode {
		return
	}
	was := *n
	for _, x := range listMistakes(was.Value, m.set.Literals()) {
		n.Value, n.Style, n.Tag = x.text, yaml.DoubleQuotedStyle, "!!str"
		m.tryMutant(x.what)
	}
	*n = was
}

// mutateObligations makes mistakes in what a rule asks for besides: an entry that is gone or another one, a bound that
// is one off, the next level or mode.
func (m *mutator) mutateObligations(r *yaml.Node) {
	put := func(n *yaml.Node, what, to string) {
		was := n.Value
		n.Value = to
		m.tryMutant(what + " " + was + " becomes " + to)
		n.Value = was
	}
	for _, path := range [][2]string{{"redact", "fields"}, {"redact", "patterns"}, {"route", "use"}} {
		list := memberOf(memberOf(r, path[0]), path[1])
		if list == nil {
			continue
		}
		for i, x := range list.Content {
			put(x, path[1], x.Value+"~")
			if whole := list.Content; len(whole) > 1 {
				list.Content = slices.Delete(slices.Clone(whole), i, i+1)
				m.tryMutant(path[1] + " without " + x.Value)
				list.Content = whole
			}
		}
	}
	for _, path := range [][2]string{{"limit", "tokens"}, {"limit", "calls"}, {"limit", "bytes"}} {
		if n := memberOf(memberOf(r, path[0]), path[1]); n != nil {
			if x, err := strconv.Atoi(n.Value); err == nil {
				put(n, path[1], strconv.Itoa(x+1))
				put(n, path[1], strconv.Itoa(x-1))
			}
		}
	}
	next := func(n *yaml.Node, what string, of []string) {
		if n != nil {
			put(n, what, of[(slices.Index(of, n.Value)+1)%len(of)])
		}
	}
	next(memberOf(r, "mode"), "mode", keys.Modes)
	next(memberOf(memberOf(r, "label"), "integrity"), "integrity", label.Integrities())
	next(memberOf(memberOf(r, "label"), "secrecy"), "secrecy", label.Secrecies())
}

// tryMutant loads the set as it is now and lets the tests at it.
func (m *mutator) tryMutant(what string) {
	if len(m.out.Mutants) == maxMutants {
		m.out.Left++
		return
	}
	x := Mutant{Rule: m.rule, Line: m.line, What: what}
	defer func() { m.out.Mutants = append(m.out.Mutants, x) }()
	mutant, own, err := m.loadMutant()
	if bad, ok := errors.AsType[*policies.LoadError](err); ok && onlyUnknownRules(bad) {
		// A rule is gone that tests want by its name: they notice.
		x.Fate, x.Test = Killed, "(a test wants the rule)"
		return
	}
	if err != nil {
		x.Fate = Refused
		return
	}
	for _, res := range Test(mutant, append(own, m.more...)) {
		if !res.OK {
			x.Fate, x.Test = Killed, res.Name
			return
		}
	}
	x.Fate = Survived
	c := Diff(m.set, mutant)
	switch {
	case c.Same:
		x.Fate = Equivalent
	case len(c.Differences) > 0:
		d := c.Differences[0]
		x.Request, x.Want, x.Mistaken = Describe(&d.Request), brief(d.Old), brief(d.New)
	}
}

// loadMutant loads the set as it is now, with its tests.
func (m *mutator) loadMutant() (mutant *policies.Set, own []Case, err error) {
	var b bytes.Buffer
	if err := yaml.NewEncoder(&b).Encode(m.doc); err != nil {
		return nil, nil, err
	}
	if mutant, err = policies.Load(b.Bytes(), m.set.Options()); err != nil {
		return nil, nil, err
	}
	own, err = Tests(mutant)
	return mutant, own, err
}

func onlyUnknownRules(e *policies.LoadError) bool {
	return !slices.ContainsFunc(e.Problems, func(p policies.Problem) bool {
		return !strings.HasPrefix(p.Text,
			"there is no rule ")
	})
}

// A mistake is a condition with one thing changed.
type mistake struct{ text, what string }

// swaps lists what an operator is mistaken for.
var swaps = map[string][]string{
	"<": {"<=", ">="}, "<=": {"<", ">"}, ">": {">=", "<="}, ">=": {">", "<"}, "==": {"!="}, "!=": {"=="},
	"&&": {"||"}, "||": {"&&"}, "and": {"or"}, "or": {"and"}, "+": {"-"}, "-": {"+"}, "*": {"+"},
	"startsWith": {"endsWith"}, "endsWith": {"startsWith"}, "contains": {"startsWith"},
}

// listMistakes lists what a condition can be mistaken for: operators for their neighbours, a negation for none,
// constants for the next ones, a list for one with an entry less.
func listMistakes(src string, literals map[string]money.Asset) []mistake {
	tokens, err := lexer.Lex(file.NewSource(src))
	if err != nil {
		return nil
	}
	m := mistaking{src: src, tokens: tokens, literals: literals}
	for i, t := range tokens {
		m.mistakeToken(i, t)
	}
	return m.out
}

// A mistaking is the listing of mistakes of one condition.
type mistaking struct {
	src      string
	tokens   []lexer.Token
	literals map[string]money.Asset
	out      []mistake
}

func (m *mistaking) tokenAt(i int) lexer.Token {
	if i < 0 || i >= len(m.tokens) {
		return lexer.Token{}
	}
	return m.tokens[i]
}

// put has to stand where t does.
func (m *mistaking) put(t lexer.Token, to, what string) {
	m.out = append(m.out, mistake{m.src[:t.From] + to + m.src[t.To:], fmt.Sprintf("%s: %s", m.src, what)})
}

func (m *mistaking) turn(t lexer.Token, to string) {
	m.put(t, to, fmt.Sprintf("%s becomes %s", m.src[t.From:t.To], strings.TrimSpace(to)))
}

func (m *mistaking) mistakeToken(i int, t lexer.Token) {
	before := m.tokenAt(i - 1)
	operand := before.Is(lexer.Identifier) || before.Is(lexer.Number) || before.Is(lexer.String) ||
		before.Is(lexer.Bracket, ")") || before.Is(lexer.Bracket, "]")
	switch {
	case t.Is(lexer.Operator, "!", "not"):
		m.put(t, "", m.src[t.From:t.To]+" is gone")
	case t.Is(lexer.Operator, "in") && !before.Is(lexer.Operator, "not"):
		m.turn(t, "not in")
	case t.Is(lexer.Operator) && operand:
		for _, to := range swaps[t.Value] {
			m.turn(t, to)
		}
	case t.Is(lexer.Identifier, "true"):
		m.turn(t, "false")
	case t.Is(lexer.Identifier, "false"):
		m.turn(t, "true")
	case t.Is(lexer.Number):
		for _, n := range nextNumbers(t.Value) {
			m.turn(t, n)
		}
	case t.Is(lexer.String) && before.Is(lexer.Bracket, "(") && m.tokenAt(i-2).Is(lexer.Identifier):
		for _, to := range otherLiterals(m.tokenAt(i-2).Value, t.Value, m.literals) {
			m.turn(t, strconv.Quote(to))
		}
	case t.Is(lexer.String) && before.Is(lexer.Operator) && before.Value != ",": // names in calls stay
		m.turn(t, strconv.Quote(t.Value+"~"))
	case t.Is(lexer.Bracket, "["):
		m.out = append(m.out, shorterLists(m.src, m.tokens[i:])...)
	}
}

// nextNumbers are the numbers beside a whole one that are not negative.
func nextNumbers(text string) (out []string) {
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 0, 64)
	if err != nil {
		return nil
	}
	for _, d := range []int64{1, -1} {
		if x, err := cond.AddInt(n, d); err == nil && x >= 0 {
			out = append(out, strconv.FormatInt(x, 10))
		}
	}
	return out
}

// otherLiterals are the neighbours of usdc("5") and addr("0x...").
func otherLiterals(fn, text string, literals map[string]money.Asset) (out []string) {
	if fn == "addr" {
		if a, err := cond.ParseAddress(text); err == nil {
			a[19] ^= 1
			out = append(out, strings.ToLower(a.Hex()))
		}
		return out
	}
	asset, ok := literals[fn]
	if !ok {
		return nil
	}
	m, err := money.ParseDecimal(asset, text)
	if err != nil {
		return nil
	}
	for _, op := range []string{">", "<"} {
		if x, err := (value{Kind: cond.Amount, Amount: m}).Next(op); err == nil {
			out = append(out, x.Amount.Decimal())
		}
	}
	return out
}

// shorterLists leaves out one entry of the list that tokens begin with, for each entry of a list that has two or more.
func shorterLists(src string, tokens []lexer.Token) (out []mistake) {
	var ends []lexer.Token // the opening bracket, the commas and the closing bracket
	depth := 0
	for _, t := range tokens {
		switch {
		case t.Is(lexer.Bracket, "[", "("):
			if depth++; depth == 1 {
				ends = append(ends, t)
			}
		case t.Is(lexer.Bracket, "]", ")"):
			if depth--; depth == 0 {
				ends = append(ends, t)
			}
		case t.Is(lexer.Operator, ",") && depth == 1:
			ends = append(ends, t)
		}
		if depth == 0 {
			break
		}
	}
	if len(ends) < 3 {
		return nil
	}
	for i := range len(ends) - 1 {
		from, to := ends[i].From, ends[i+1].From // with the comma before it
		if i == 0 {
			from, to = ends[0].To, ends[1].To
		}
		entry := strings.TrimSpace(src[ends[i].To:ends[i+1].From])
		out = append(out, mistake{src[:from] + src[to:], fmt.Sprintf("%s: without %s", src, entry)})
	}
	return out
}
