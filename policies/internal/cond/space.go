package cond

import (
	"math/bits"
	"slices"
	"strings"

	"github.com/writ-run/writ/policies/money"
)

// What is here looks at conditions without a request. An atom is one comparison. Atoms about the same thing, its
// subject, are answered together: of all values that the thing can have only those are tried between which some atom
// changes its answer. The combinations of these are the regions of the request space, and within a region every
// condition says one thing. There is no solver: the regions are counted out, up to a bound, and who asks is told
// when it was reached.
//
// Subjects that depend on one another (to == wallet and to == addr("0x...")) are taken as independent, so a region
// may be empty. What holds in all regions holds always; what holds in some may hold never.

// An Answer is what a condition says in a region.
type Answer int8

// The answers.
const (
	No Answer = iota
	Yes
	Fails // it cannot be evaluated, so its rule denies
)

// AnswerOf is the answer of what can be evaluated.
func AnswerOf(b bool) Answer {
	if b {
		return Yes
	}
	return No
}

// Bounds of the work: combinations times atoms.
const (
	MaxLoad  = 20_000    // for one condition at load
	MaxCheck = 1_000_000 // for one question of Check or Diff
)

// A Way is one value of a subject, and what each of its atoms says of it.
type Way struct {
	Value  Value
	Absent bool // an optional argument that is not given
	Says   []Answer
}

// A Subject is one thing that atoms are about.
type Subject[R any] struct {
	Key   string
	About *Expr[R] // what is read; nil if its one atom is looked at as a whole
	Atoms []*Expr[R]
	Ways  []Way

	relations []relation[R] // of the atoms
}

// A Region fixes one way of each subject. Forced atoms say what they are told to.
type Region[R any] struct {
	*Space[R]
	Pick   []int
	Forced map[*Expr[R]]Answer
}

// A Space is what a number of conditions look at.
type Space[R any] struct {
	conds    []*Expr[R]
	Subjects []*Subject[R]
	place    map[*Expr[R]][2]int // atom: index of its subject, index in it
	assets   []money.Asset
	tooMany  bool // a subject has more values than are tried, so nothing can be said
}

// NewSpace finds the subjects of conds. Assets are those that amounts can have besides those of constants.
func NewSpace[R any](conds []*Expr[R], assets ...money.Asset) *Space[R] {
	s := &Space[R]{conds: conds, place: map[*Expr[R]][2]int{}, assets: slices.Clone(assets)}
	index := map[string]int{}
	for _, c := range conds {
		c.EachAtom(func(a *Expr[R]) {
			if _, seen := s.place[a]; seen {
				return // a variable that is used twice
			}
			rel := relationOf(a)
			key, about := subjectOf(a, rel)
			at, known := index[key]
			if !known {
				at = len(s.Subjects)
				index[key] = at
				s.Subjects = append(s.Subjects, &Subject[R]{Key: key, About: about})
			}
			sub := s.Subjects[at]
			if sub.About == nil || sub.About.Name == "asset" {
				sub.About = about
			}
			s.place[a] = [2]int{at, len(sub.Atoms)}
			sub.Atoms, sub.relations = append(sub.Atoms, a), append(sub.relations, rel)
			for _, v := range rel.consts {
				if v.Kind == Amount && !slices.Contains(s.assets, v.Amount.Asset()) {
					s.assets = append(s.assets, v.Amount.Asset())
				}
			}
		})
	}
	for _, sub := range s.Subjects {
		s.findWays(sub)
	}
	return s
}

// countRegions is how many regions there are, or more than limit if that is passed.
func (s *Space[R]) countRegions(limit int) int {
	n := uint64(1)
	for _, sub := range s.Subjects {
		hi, lo := bits.Mul64(n, uint64(len(sub.Ways)))
		if hi != 0 || lo > uint64(limit) {
			return limit + 1
		}
		n = lo
	}
	return int(n)
}

// Each calls do for every region until do returns false. It returns false, at once, if the regions times the atoms
// are more than limit.
func (s *Space[R]) Each(limit int, do func(Region[R]) bool) bool {
	n := s.countRegions(limit)
	if s.tooMany || n*(len(s.place)+1) > limit {
		return false
	}
	r := Region[R]{Space: s, Pick: make([]int, len(s.Subjects))}
	for range n {
		if !do(r) {
			return true
		}
		for i := range r.Pick {
			if r.Pick[i]++; r.Pick[i] < len(s.Subjects[i].Ways) {
				break
			}
			r.Pick[i] = 0
		}
	}
	return true
}

// Says evaluates a condition in the region, in the evaluator's order: what is decided is not looked at further.
func (r *Region[R]) Says(e *Expr[R]) Answer {
	switch e.Op {
	case "&&", "||":
		l := r.Says(e.Kids[0])
		if l == Fails || l == AnswerOf(e.Op == "||") {
			return l
		}
		return r.Says(e.Kids[1])
	case "!":
		switch r.Says(e.Kids[0]) {
		case Yes:
			return No
		case No:
			return Yes
		}
		return Fails
	case "variable":
		return r.Says(e.Inner())
	case "constant":
		return AnswerOf(e.IsTrue(nil))
	}
	at, ok := r.place[e]
	if !ok {
		return Fails // an atom of another space; a bug, and never a yes
	}
	if a, ok := r.Forced[e]; ok {
		return a
	}
	return r.Subjects[at[0]].Ways[r.Pick[at[0]]].Says[at[1]]
}

// EachAtom calls do for the comparisons of a condition.
func (e *Expr[R]) EachAtom(do func(*Expr[R])) {
	switch {
	case e.Op == "&&" || e.Op == "||" || e.Op == "!":
		for _, k := range e.Kids {
			k.EachAtom(do)
		}
	case e.Op == "variable":
		e.Inner().EachAtom(do)
	case e.Op != "constant":
		do(e)
	}
}

// MaxConsts bounds how many constants an atom is compared with one by one; a larger set is looked at as a whole.
const MaxConsts = 64

// A relation is an atom in the form "what the request says, relation, constants".
type relation[R any] struct {
	about  *Expr[R] // nil if the atom does not have the form
	op     string
	consts []Value
}

func relationOf[R any](a *Expr[R]) relation[R] {
	l, r, op := a.Relate()
	if l.Kind == Number { // between two numbers there is always another: looked at as a whole
		return relation[R]{}
	}
	switch op {
	case "==", "!=", "<", "<=", ">", ">=", "contains", "startsWith", "endsWith":
		if l.IsFixed() && !r.IsFixed() && Mirrored[op] != "" {
			l, r, op = r, l, Mirrored[op]
		}
		if v, ok := r.FixedValue(); ok && !l.IsFixed() {
			return relation[R]{l.Inner(), op, []Value{v}}
		}
	case "in", "in_set":
		if len(r.List) <= MaxConsts {
			return relation[R]{l.Inner(), "in", r.List}
		}
	case "field", "arg":
		return relation[R]{a, "==", []Value{{Kind: Bool, Bool: true}}}
	}
	return relation[R]{}
}

// Consts returns the constants that an atom compares with, if they are few.
func (e *Expr[R]) Consts() []Value { return relationOf(e).consts }

// subjectOf returns what an atom is about. An amount and its asset are one thing; so are an argument and whether it
// is given.
func subjectOf[R any](a *Expr[R], rel relation[R]) (key string, about *Expr[R]) {
	switch {
	case a.Op == "given":
		return "args." + a.Name, nil
	case rel.about == nil:
		return a.Signature() + " ", nil // the space keeps it apart from a subject of the same text
	case rel.about.Op == "field" && rel.about.Name == "asset":
		return "amount", rel.about
	}
	return rel.about.Signature(), rel.about
}

// findWays fills in the ways of a subject, one for each combination of answers.
func (s *Space[R]) findWays(sub *Subject[R]) {
	var tries []Way
	var consts []Value
	optional := false
	for i, a := range sub.Atoms {
		optional = optional || a.Op == "given"
		consts = append(consts, sub.relations[i].consts...)
	}
	switch {
	case sub.About == nil && !optional:
		sub.Ways = []Way{{Says: slices.Repeat([]Answer{Yes}, len(sub.Atoms))},
			{Says: slices.Repeat([]Answer{No}, len(sub.Atoms))}}
		return
	case sub.About == nil: // an argument of which only its being there matters
		tries = []Way{{}}
	case sub.Key == "amount" && sub.About.Op == "field":
		tries = s.amountsFor(consts)
	case sub.About.Kind == String:
		var all bool
		tries, all = textsFor(sub.relations, consts)
		s.tooMany = s.tooMany || !all
	default:
		for _, c := range consts {
			tries = append(tries, neighboursOf(c)...)
		}
	}
	if optional {
		tries = append(tries, Way{Absent: true})
	}
	for _, w := range tries {
		for i, a := range sub.Atoms {
			w.Says = append(w.Says, answerTo(&w, a, sub.relations[i]))
		}
		if !slices.ContainsFunc(sub.Ways, func(x Way) bool { return slices.Equal(x.Says, w.Says) }) {
			sub.Ways = append(sub.Ways, w)
		}
	}
}

// answerTo is what an atom says of the value.
func answerTo[R any](w *Way, a *Expr[R], rel relation[R]) Answer {
	switch {
	case a.Op == "given":
		return AnswerOf(!w.Absent)
	case w.Absent:
		return Fails
	}
	v := w.Value
	if rel.about.Op == "field" && rel.about.Name == "asset" {
		v = Value{Kind: String, Text: v.Amount.Asset().Symbol}
	}
	if rel.op == "in" {
		return AnswerOf(slices.Contains(rel.consts, v))
	}
	k := rel.consts[0]
	switch rel.op {
	case "contains":
		return AnswerOf(strings.Contains(v.Text, k.Text))
	case "startsWith":
		return AnswerOf(strings.HasPrefix(v.Text, k.Text))
	case "endsWith":
		return AnswerOf(strings.HasSuffix(v.Text, k.Text))
	}
	c, ok := v.compare(k)
	if !ok {
		return Fails
	}
	switch rel.op {
	case "==":
		return AnswerOf(c == 0)
	case "!=":
		return AnswerOf(c != 0)
	case "<":
		return AnswerOf(c < 0)
	case "<=":
		return AnswerOf(c <= 0)
	case ">":
		return AnswerOf(c > 0)
	}
	return AnswerOf(c >= 0)
}

// neighboursOf returns a constant with its neighbours.
func neighboursOf(v Value) []Way {
	out := []Way{{Value: v}}
	switch v.Kind {
	case Bool:
		out = append(out, Way{Value: Value{Kind: Bool, Bool: !v.Bool}})
	case Int, Amount:
		for _, op := range []string{"<", ">"} {
			if n, err := v.Next(op); err == nil {
				out = append(out, Way{Value: n})
			}
		}
	case Address:
		other := v
		other.Addr[19] ^= 0x5a
		out = append(out, Way{Value: other}, Way{Value: Value{Kind: Address}})
	}
	return out
}

// amountsFor returns the amounts of every asset that matter, and one of an asset that nothing names.
func (s *Space[R]) amountsFor(consts []Value) (out []Way) {
	assets := slices.Clone(s.assets)
	for _, c := range consts {
		if c.Kind == String && !slices.ContainsFunc(assets, func(a money.Asset) bool { return a.Symbol == c.Text }) {
			assets = append(assets, money.Asset{Symbol: c.Text, Decimals: 18})
		}
	}
	for _, a := range append(assets, money.Asset{Symbol: "OTHER", Decimals: 18}) {
		out = append(out, Way{Value: Value{Kind: Amount, Amount: money.Of(a, 1)}})
	}
	for _, c := range consts {
		if c.Kind == Amount {
			out = append(out, neighboursOf(c)...)
		}
	}
	return out
}

// maxParts bounds the substrings whose combinations are tried: 2^maxParts texts.
const maxParts = 6

// textsFor returns texts that give every combination of answers: the constants themselves, and for each prefix and
// suffix that is asked for a text of it with any of the parts that are asked for. What stands between them is in no
// constant, so nothing else is matched by chance. It returns false if there are too many.
func textsFor[R any](atoms []relation[R], consts []Value) (out []Way, all bool) {
	gap, prefixes, suffixes, parts := "~", []string{""}, []string{""}, []string(nil)
	for _, c := range consts {
		for _, g := range []string{"_", "|", "^", "\x00"} {
			if strings.Contains(c.Text, gap) {
				gap = g
			}
		}
	}
	for _, a := range atoms {
		k := a.consts
		switch a.op {
		case "startsWith":
			prefixes = append(prefixes, k[0].Text)
		case "endsWith":
			suffixes = append(suffixes, k[0].Text)
		case "contains":
			if !slices.Contains(parts, k[0].Text) {
				parts = append(parts, k[0].Text)
			}
		}
		if a.op == "in" || a.op == "==" || a.op == "!=" {
			for _, v := range k {
				out = append(out, Way{Value: v})
			}
		}
	}
	if len(parts) > maxParts || len(prefixes)*len(suffixes) > MaxConsts {
		return nil, false
	}
	for _, p := range prefixes {
		for _, s := range suffixes {
			for set := range 1 << len(parts) {
				b := p + gap
				for i, x := range parts {
					if set>>i&1 == 1 {
						b += x + gap
					}
				}
				out = append(out, Way{Value: Value{Kind: String, Text: b + s}})
			}
		}
	}
	return out, true
}
