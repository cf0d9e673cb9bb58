package policies

import "slices"

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

// Coverage runs the set's own tests, and more, and counts what each rule and each of its atoms said.
func (s *Set) Coverage(more ...Case) Coverage {
	var requests []*Request
	for _, t := range s.cases(more) {
		if !s.skips(t) {
			requests = append(requests, &t.request)
		}
	}
	var out Coverage
	for _, r := range s.rules {
		if r.unknown {
			out.Rules = append(out.Rules, RuleCoverage{Rule: r.full, Line: r.line})
			continue
		}
		c := RuleCoverage{Rule: r.full, Line: r.line}
		var atoms []*expression
		for _, e := range []*expression{r.when, r.unless} {
			if e != nil {
				eachAtom(e, func(a *expression) {
					if !slices.Contains(atoms, a) {
						atoms = append(atoms, a)
					}
				})
			}
		}
		c.Atoms = make([]AtomCoverage, len(atoms))
		for i, a := range atoms {
			c.Atoms[i].Expr = a.source()
		}
		for _, q := range requests {
			if q.Point != r.at || !r.about(q) {
				continue
			}
			c.Asked++
			f := &frame{r: q, vars: make([]slot, s.slots)}
			note := func(a *expression, says answer) {
				x := &c.Atoms[slices.Index(atoms, a)]
				switch says {
				case yes:
					x.True++
				case no:
					x.False++
				default:
					x.Fails++
				}
			}
			if watch(r.when, f, note) == yes && (r.unless == nil || watch(r.unless, f, note) == no) {
				c.Matched++
			}
		}
		out.Of += 1 + 2*len(atoms)
		for _, n := range c.ways() {
			out.Seen += min(n, 1)
		}
		out.Rules = append(out.Rules, c)
	}
	return out
}

func (c RuleCoverage) ways() []int {
	out := []int{c.Matched}
	for _, a := range c.Atoms {
		out = append(out, a.True, a.False)
	}
	return out
}

// watch evaluates e as the evaluator does, and calls note for each atom that is looked at.
func watch(e *expression, f *frame, note func(*expression, answer)) answer {
	switch e.op {
	case "&&", "||":
		l := watch(e.kids[0], f, note)
		if l == fails || l == truthOf(e.op == "||") {
			return l
		}
		return watch(e.kids[1], f, note)
	case "!":
		switch watch(e.kids[0], f, note) {
		case yes:
			return no
		case no:
			return yes
		}
		return fails
	case "variable":
		return watch(e.inner(), f, note)
	}
	b, err := e.bool(f)
	says := truthOf(b)
	if err != nil {
		says = fails
	}
	if e.op != "constant" {
		note(e, says)
	}
	return says
}
