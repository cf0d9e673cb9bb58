package workshop

import (
	"slices"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/internal/cond"
)

// A Coverage says what the tests of a set have shown of its rules.
type Coverage struct {
	Rules []RuleCoverage `json:"rules"` // in the order of the source
	Seen  int            `json:"seen"`  // rules that matched, and answers that atoms gave
	Of    int            `json:"of"`    // rules, and two answers of each atom
}

// Percent is how much was seen, rounded down. Of nothing all was seen.
func (c Coverage) Percent() int {
	if c.Of == 0 {
		return 100
	}
	return c.Seen * 100 / c.Of
}

// A RuleCoverage is that of one rule. It counts requests.
type RuleCoverage struct {
	Rule    string         `json:"rule"` // "layer/id"
	Line    int            `json:"line"`
	Asked   int            `json:"asked"`   // that came to its point and tool
	Matched int            `json:"matched"` // for which its condition held
	Atoms   []AtomCoverage `json:"atoms"`   // in the order of the condition
}

// An AtomCoverage counts what a comparison said where it was looked at: the right side of a decided && is not.
type AtomCoverage struct {
	Expr  string `json:"expr"`
	True  int    `json:"true"`
	False int    `json:"false"`
	Fails int    `json:"fails"` // it could not be evaluated
}

// Cover runs tests, and counts what each rule and each of its atoms said.
func Cover(s *policies.Set, tests []Case) Coverage {
	var requests []*policies.Request
	for i := range tests {
		if t := &tests[i]; !skipsCase(s, t) {
			requests = append(requests, &t.request)
		}
	}
	var out Coverage
	for _, r := range s.Rules() {
		c := RuleCoverage{Rule: r.FullID, Line: r.Line}
		if !r.Unknown {
			c.count(s, r, requests)
			out.Of += 1 + 2*len(c.Atoms)
			for _, n := range c.countWays() {
				out.Seen += min(n, 1)
			}
		}
		out.Rules = append(out.Rules, c)
	}
	return out
}

// count counts what a rule and each of its atoms said to the requests.
func (c *RuleCoverage) count(s *policies.Set, r *policies.Rule, requests []*policies.Request) {
	atoms := atomsOf(r)
	c.Atoms = make([]AtomCoverage, len(atoms))
	for i, a := range atoms {
		c.Atoms[i].Expr = a.Source()
	}
	note := func(a *expression, says cond.Answer) {
		x := &c.Atoms[slices.Index(atoms, a)]
		switch says {
		case cond.Yes:
			x.True++
		case cond.No:
			x.False++
		default:
			x.Fails++
		}
	}
	for _, q := range requests {
		if q.Point != r.At || !r.IsAbout(q) {
			continue
		}
		c.Asked++
		f := s.NewFrame(q)
		if watchAtoms(r.When, f, note) == cond.Yes && (r.Unless == nil || watchAtoms(r.Unless, f, note) == cond.No) {
			c.Matched++
		}
	}
}

// atomsOf returns the atoms of a rule's conditions, each once.
func atomsOf(r *policies.Rule) (atoms []*expression) {
	for _, e := range []*expression{r.When, r.Unless} {
		if e != nil {
			e.EachAtom(func(a *expression) {
				if !slices.Contains(atoms, a) {
					atoms = append(atoms, a)
				}
			})
		}
	}
	return atoms
}

func (c RuleCoverage) countWays() []int {
	out := []int{c.Matched}
	for _, a := range c.Atoms {
		out = append(out, a.True, a.False)
	}
	return out
}

// watchAtoms evaluates e as the evaluator does, and calls note for each atom that is looked at.
func watchAtoms(e *expression, f *frame, note func(*expression, cond.Answer)) cond.Answer {
	switch e.Op {
	case "&&", "||":
		l := watchAtoms(e.Kids[0], f, note)
		if l == cond.Fails || l == cond.AnswerOf(e.Op == "||") {
			return l
		}
		return watchAtoms(e.Kids[1], f, note)
	case "!":
		switch watchAtoms(e.Kids[0], f, note) {
		case cond.Yes:
			return cond.No
		case cond.No:
			return cond.Yes
		}
		return cond.Fails
	case "variable":
		return watchAtoms(e.Inner(), f, note)
	}
	b, err := e.Bool(f)
	says := cond.AnswerOf(b)
	if err != nil {
		says = cond.Fails
	}
	if e.Op != "constant" {
		note(e, says)
	}
	return says
}
