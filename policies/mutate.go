package policies

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
	Want     string `json:"want,omitempty"` // survived: what the set answers to Request, and the mutant does not; if one was found
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
// reservations, caps, and what is redacted, routed, limited, labelled and kept. Each must make one of its tests, or of more, fail; for one that survives it looks for a
// request that would tell. The set must pass its tests.
func (s *Set) Mutate(more ...Case) (Mutation, error) {
	for _, res := range s.Test(more...) {
		if !res.OK {
			return Mutation{}, fmt.Errorf("the test %q fails; mend it first", res.Name)
		}
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(s.source, &doc); err != nil {
		return Mutation{}, fmt.Errorf("read the set again: %w", err)
	}
	m := mutator{set: s, doc: &doc, more: more}
	m.all()
	return m.out, nil
}

type mutator struct {
	set  *Set
	doc  *yaml.Node
	more []Case
	out  Mutation
	rule string
	line int
}

func (m *mutator) all() {
	root := m.doc.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		v := root.Content[i+1]
		switch root.Content[i].Value {
		case "variables":
			for j := 0; j+1 < len(v.Content); j += 2 {
				m.line = v.Content[j].Line
				m.condition(v.Content[j+1])
			}
		case "budgets":
			for _, b := range v.Content {
				m.line = b.Line
				m.condition(member(b, "cap"))
			}
		case "rules":
			for j, r := range slices.Clone(v.Content) {
				m.line, m.rule = r.Line, ""
				if id := member(r, "id"); id != nil {
					m.rule = id.Value
				}
				whole := v.Content
				v.Content = slices.Delete(slices.Clone(whole), j, j+1)
				m.try("the rule is gone")
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
				m.try(key + " is gone")
				r.Content = whole
				break
			}
		}
	}
	if e := member(r, "effect"); e != nil {
		was := e.Value
		if to := map[string]string{"permit": "approve", "approve": "permit", "forbid": "approve"}[was]; to != "" {
			e.Value = to
			m.try(was + " becomes " + to)
			e.Value = was
		}
	}
	for _, key := range []string{"when", "unless"} {
		m.condition(member(r, key))
	}
	if n := member(r, "ttl"); n != nil {
		was := n.Value
		if d, err := time.ParseDuration(was); err == nil {
			n.Value = (d + time.Second).String()
			m.try("ttl " + was + " becomes " + n.Value)
			n.Value = was
		}
	}
	m.obligations(r)
	if n := member(r, "reserve"); n != nil {
		if n.Kind == yaml.MappingNode {
			m.condition(member(n, "amount"))
		} else {
			for _, x := range n.Content {
				m.condition(member(x, "amount"))
			}
		}
	}
}

// member is the value of a key, or nil if n has none.
func member(n *yaml.Node, key string) *yaml.Node {
	for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// condition makes one mistake after the other in a condition.
func (m *mutator) condition(n *yaml.Node) {
	if n == nil || n.Kind != yaml.ScalarNode {
		return
	}
	was := *n
	for _, x := range mistakes(was.Value, m.set.literals) {
		n.Value, n.Style, n.Tag = x.text, yaml.DoubleQuotedStyle, "!!str"
		m.try(x.what)
	}
	*n = was
}

// try loads the set as it is now and lets the tests at it.
// obligations makes mistakes in what a rule asks for besides: an entry that is gone or another one, a bound that is one
// off, the next level or mode.
func (m *mutator) obligations(r *yaml.Node) {
	put := func(n *yaml.Node, what, to string) {
		was := n.Value
		n.Value = to
		m.try(what + " " + was + " becomes " + to)
		n.Value = was
	}
	for _, path := range [][2]string{{"redact", "fields"}, {"redact", "patterns"}, {"route", "use"}} {
		list := member(member(r, path[0]), path[1])
		if list == nil {
			continue
		}
		for i, x := range list.Content {
			put(x, path[1], x.Value+"~")
			if whole := list.Content; len(whole) > 1 {
				list.Content = slices.Delete(slices.Clone(whole), i, i+1)
				m.try(path[1] + " without " + x.Value)
				list.Content = whole
			}
		}
	}
	for _, path := range [][2]string{{"limit", "tokens"}, {"limit", "calls"}, {"limit", "bytes"}} {
		if n := member(member(r, path[0]), path[1]); n != nil {
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
	next(member(r, "mode"), "mode", modes)
	next(member(member(r, "label"), "integrity"), "integrity", label.Integrities())
	next(member(member(r, "label"), "secrecy"), "secrecy", label.Secrecies())
}

func (m *mutator) try(what string) {
	if len(m.out.Mutants) == maxMutants {
		m.out.Left++
		return
	}
	x := Mutant{Rule: m.rule, Line: m.line, What: what}
	defer func() { m.out.Mutants = append(m.out.Mutants, x) }()
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	err := enc.Encode(m.doc)
	var mutant *Set
	if err == nil {
		mutant, err = Load(b.Bytes(), m.set.options)
	}
	if bad, ok := errors.AsType[*LoadError](err); ok && onlyUnknownRules(bad) {
		// A rule is gone that tests want by its name: they notice.
		x.Fate, x.Test = Killed, "(a test wants the rule)"
		return
	}
	if err != nil {
		x.Fate = Refused
		return
	}
	for _, t := range append(mutant.cases(nil), m.set.cases(m.more)[len(m.set.tests):]...) {
		if res := mutant.run(t); !res.OK {
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
		x.Request, x.Want, x.Mistaken = d.Request.Describe(), d.Old.brief(), d.New.brief()
	}
}

func onlyUnknownRules(e *LoadError) bool {
	return !slices.ContainsFunc(e.Problems, func(p Problem) bool { return !strings.HasPrefix(p.Text, "there is no rule ") })
}

// A mistake is a condition with one thing changed.
type mistake struct{ text, what string }

// swaps lists what an operator is mistaken for.
var swaps = map[string][]string{
	"<": {"<=", ">="}, "<=": {"<", ">"}, ">": {">=", "<="}, ">=": {">", "<"}, "==": {"!="}, "!=": {"=="},
	"&&": {"||"}, "||": {"&&"}, "and": {"or"}, "or": {"and"}, "+": {"-"}, "-": {"+"}, "*": {"+"},
	"startsWith": {"endsWith"}, "endsWith": {"startsWith"}, "contains": {"startsWith"},
}

// mistakes lists what a condition can be mistaken for: operators for their neighbours, a negation for none, constants
// for the next ones, a list for one with an entry less.
func mistakes(src string, literals map[string]money.Asset) (out []mistake) {
	tokens, err := lexer.Lex(file.NewSource(src))
	if err != nil {
		return nil
	}
	at := func(i int) lexer.Token {
		if i < 0 || i >= len(tokens) {
			return lexer.Token{}
		}
		return tokens[i]
	}
	put := func(t lexer.Token, to, what string) {
		out = append(out, mistake{src[:t.From] + to + src[t.To:], fmt.Sprintf("%s: %s", src, what)})
	}
	turn := func(t lexer.Token, to string) {
		put(t, to, fmt.Sprintf("%s becomes %s", src[t.From:t.To], strings.TrimSpace(to)))
	}
	for i, t := range tokens {
		before := at(i - 1)
		operand := before.Is(lexer.Identifier) || before.Is(lexer.Number) || before.Is(lexer.String) ||
			before.Is(lexer.Bracket, ")") || before.Is(lexer.Bracket, "]")
		switch {
		case t.Is(lexer.Operator, "!", "not"):
			put(t, "", src[t.From:t.To]+" is gone")
		case t.Is(lexer.Operator, "in") && !before.Is(lexer.Operator, "not"):
			turn(t, "not in")
		case t.Is(lexer.Operator) && operand:
			for _, to := range swaps[t.Value] {
				turn(t, to)
			}
		case t.Is(lexer.Identifier, "true"):
			turn(t, "false")
		case t.Is(lexer.Identifier, "false"):
			turn(t, "true")
		case t.Is(lexer.Number):
			if n, err := strconv.ParseInt(strings.ReplaceAll(t.Value, "_", ""), 0, 64); err == nil {
				for _, d := range []int64{1, -1} {
					if x, err := addInt(n, d); err == nil && x >= 0 {
						turn(t, strconv.FormatInt(x, 10))
					}
				}
			}
		case t.Is(lexer.String) && before.Is(lexer.Bracket, "(") && at(i-2).Is(lexer.Identifier):
			for _, to := range otherLiterals(at(i-2).Value, t.Value, literals) {
				turn(t, strconv.Quote(to))
			}
		case t.Is(lexer.String) && before.Is(lexer.Operator) && before.Value != ",": // names in calls stay
			turn(t, strconv.Quote(t.Value+"~"))
		case t.Is(lexer.Bracket, "["):
			out = append(out, shorter(src, tokens[i:])...)
		}
	}
	return out
}

// otherLiterals are the neighbours of usdc("5") and addr("0x...").
func otherLiterals(fn, text string, literals map[string]money.Asset) (out []string) {
	if fn == "addr" {
		if a, err := parseAddress(text); err == nil {
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
		if x, err := step(value{kind: kindAmount, m: m}, op); err == nil {
			out = append(out, x.m.Decimal())
		}
	}
	return out
}

// shorter leaves out one entry of the list that tokens begin with, for each entry of a list that has two or more.
func shorter(src string, tokens []lexer.Token) (out []mistake) {
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
