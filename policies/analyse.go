package policies

import (
	"cmp"
	"math/bits"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"

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

// An answer is what a condition says in a region.
type answer int8

const (
	no answer = iota
	yes
	fails // it cannot be evaluated, so its rule denies
)

func truthOf(b bool) answer {
	if b {
		return yes
	}
	return no
}

// Bounds of the work: combinations times atoms.
const (
	maxLoad  = 20_000    // for one condition at load
	maxCheck = 1_000_000 // for one question of Check or Diff
)

// A way is one value of a subject, and what each of its atoms says of it.
type way struct {
	v      value
	absent bool // an optional argument that is not given
	says   []answer
}

// A subject is one thing that atoms are about.
type subject struct {
	key   string
	about *expression // what is read; nil if its one atom is looked at as a whole
	atoms []*expression
	ways  []way
}

// A region fixes one way of each subject. Forced atoms say what they are told to.
type region struct {
	*space
	pick   []int
	forced map[*expression]answer
}

// A space is what a number of conditions look at.
type space struct {
	conds    []*expression
	subjects []*subject
	place    map[*expression][2]int // atom: index of its subject, index in it
	assets   []money.Asset
	tooMany  bool // a subject has more values than are tried, so nothing can be said
}

// newSpace finds the subjects of conds. Assets are those that amounts can have besides those of constants.
func newSpace(conds []*expression, assets ...money.Asset) *space {
	s := &space{conds: conds, place: map[*expression][2]int{}, assets: slices.Clone(assets)}
	index := map[string]int{}
	for _, c := range conds {
		eachAtom(c, func(a *expression) {
			if _, seen := s.place[a]; seen {
				return // a variable that is used twice
			}
			key, about := subjectOf(a)
			at, known := index[key]
			if !known {
				at = len(s.subjects)
				index[key] = at
				s.subjects = append(s.subjects, &subject{key: key, about: about})
			}
			sub := s.subjects[at]
			if sub.about == nil || sub.about.name == "asset" {
				sub.about = about
			}
			s.place[a] = [2]int{at, len(sub.atoms)}
			sub.atoms = append(sub.atoms, a)
			for _, v := range constsOf(a) {
				if v.kind == kindAmount && !slices.Contains(s.assets, v.m.Asset()) {
					s.assets = append(s.assets, v.m.Asset())
				}
			}
		})
	}
	for _, sub := range s.subjects {
		s.findWays(sub)
	}
	return s
}

// size is how many regions there are, or more than limit if that is passed.
func (s *space) size(limit int) int {
	n := uint64(1)
	for _, sub := range s.subjects {
		hi, lo := bits.Mul64(n, uint64(len(sub.ways)))
		if hi != 0 || lo > uint64(limit) {
			return limit + 1
		}
		n = lo
	}
	return int(n)
}

// each calls do for every region until do returns false. It returns false, at once, if the regions times the atoms
// are more than limit.
func (s *space) each(limit int, do func(region) bool) bool {
	n := s.size(limit)
	if s.tooMany || n*(len(s.place)+1) > limit {
		return false
	}
	r := region{space: s, pick: make([]int, len(s.subjects))}
	for range n {
		if !do(r) {
			return true
		}
		for i := range r.pick {
			if r.pick[i]++; r.pick[i] < len(s.subjects[i].ways) {
				break
			}
			r.pick[i] = 0
		}
	}
	return true
}

// says evaluates a condition in the region, in the evaluator's order: what is decided is not looked at further.
func (r *region) says(e *expression) answer {
	switch e.op {
	case "&&", "||":
		l := r.says(e.kids[0])
		if l == fails || l == truthOf(e.op == "||") {
			return l
		}
		return r.says(e.kids[1])
	case "!":
		switch r.says(e.kids[0]) {
		case yes:
			return no
		case no:
			return yes
		}
		return fails
	case "variable":
		return r.says(e.inner())
	case "constant":
		return truthOf(truth(e, nil))
	}
	at, ok := r.place[e]
	if !ok {
		return fails // an atom of another space; a bug, and never a yes
	}
	if a, ok := r.forced[e]; ok {
		return a
	}
	return r.subjects[at[0]].ways[r.pick[at[0]]].says[at[1]]
}

// eachAtom calls do for the comparisons of a condition.
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

// fixed says whether e reads nothing of the request, not even through a variable.
func (e *expression) fixed() bool {
	if e.op == "variable" {
		return e.inner().fixed()
	}
	if len(e.kids) == 0 {
		return e.op == "constant"
	}
	return !slices.ContainsFunc(e.kids, func(k *expression) bool { return !k.fixed() })
}

// fixedValue evaluates what is fixed, or returns false if that fails.
func (e *expression) fixedValue() (value, bool) {
	if e.op == "constant" { // by far the most of them
		v, err := e.value(nil)
		return v, err == nil
	}
	if !e.fixed() {
		return value{}, false
	}
	v, err := e.value(&frame{r: &Request{}, vars: make([]slot, maxVariables)})
	return v, err == nil
}

// maxConsts bounds how many constants an atom is compared with one by one; a larger set is looked at as a whole.
const maxConsts = 64

// relateFixed brings an atom into the form "what the request says, relation, constants".
func relateFixed(a *expression) (about *expression, op string, consts []value) {
	l, r, op := flip{e: a}.relate()
	switch op {
	case "==", "!=", "<", "<=", ">", ">=", "contains", "startsWith", "endsWith":
		if l.fixed() && !r.fixed() && mirrored[op] != "" {
			l, r, op = r, l, mirrored[op]
		}
		if v, ok := r.fixedValue(); ok && !l.fixed() {
			return l.inner(), op, []value{v}
		}
	case "in", "in_set":
		if len(r.list) <= maxConsts {
			return l.inner(), "in", r.list
		}
	case "field", "arg":
		return a, "==", []value{{kind: kindBool, b: true}}
	}
	return nil, "", nil
}

func constsOf(a *expression) []value { _, _, c := relateFixed(a); return c }

// subjectOf returns what an atom is about. An amount and its asset are one thing; so are an argument and whether it
// is given.
func subjectOf(a *expression) (key string, about *expression) {
	if a.op == "given" {
		return "args." + a.name, nil
	}
	about, _, consts := relateFixed(a)
	if consts == nil {
		return signature(a) + " ", nil // the space keeps it apart from a subject of the same text
	}
	if about.op == "field" && about.name == "asset" {
		return "amount", about
	}
	return signature(about), about
}

// signature is the text of an expression with its variables and sets written out, so that two sets can be compared.
func signature(e *expression) string {
	switch e.op {
	case "variable":
		return signature(e.inner())
	case "field":
		return e.name
	case "arg":
		return "args." + e.name
	case "constant":
		if v, ok := e.fixedValue(); ok {
			return v.String()
		}
	case "list":
		var b strings.Builder
		b.Grow(len(e.list) * (common.AddressLength + 1))
		for _, v := range e.list {
			if v.kind == kindAddress { // without the checksum, which costs a hash each
				b.Write(v.a[:])
			} else {
				b.WriteString(v.String())
			}
			b.WriteByte(',')
		}
		return b.String()
	}
	if len(e.kids) == 0 {
		return e.source()
	}
	parts := make([]string, len(e.kids))
	for i, k := range e.kids {
		parts[i] = signature(k)
	}
	return e.op + "(" + strings.Join(parts, "; ") + ")"
}

// findWays fills in the ways of a subject, one for each combination of answers.
func (s *space) findWays(sub *subject) {
	var tries []way
	var consts []value
	optional := false
	for _, a := range sub.atoms {
		optional = optional || a.op == "given"
		consts = append(consts, constsOf(a)...)
	}
	switch {
	case sub.about == nil && !optional:
		sub.ways = []way{{says: slices.Repeat([]answer{yes}, len(sub.atoms))}, {says: slices.Repeat([]answer{no}, len(sub.atoms))}}
		return
	case sub.about == nil: // an argument of which only its being there matters
		tries = []way{{}}
	case sub.key == "amount" && sub.about.op == "field":
		tries = s.amounts(consts)
	case sub.about.kind == kindString:
		var all bool
		tries, all = texts(sub.atoms, consts)
		s.tooMany = s.tooMany || !all
	default:
		for _, c := range consts {
			tries = append(tries, around(c)...)
		}
	}
	if optional {
		tries = append(tries, way{absent: true})
	}
	for _, w := range tries {
		for _, a := range sub.atoms {
			w.says = append(w.says, w.answer(a))
		}
		if !slices.ContainsFunc(sub.ways, func(x way) bool { return slices.Equal(x.says, w.says) }) {
			sub.ways = append(sub.ways, w)
		}
	}
}

// answer is what an atom says of the value.
func (w way) answer(a *expression) answer {
	switch {
	case a.op == "given":
		return truthOf(!w.absent)
	case w.absent:
		return fails
	}
	about, op, consts := relateFixed(a)
	v := w.v
	if about.op == "field" && about.name == "asset" {
		v = value{kind: kindString, s: v.m.Asset().Symbol}
	}
	if op == "in" {
		return truthOf(slices.Contains(consts, v))
	}
	k := consts[0]
	switch op {
	case "contains":
		return truthOf(strings.Contains(v.s, k.s))
	case "startsWith":
		return truthOf(strings.HasPrefix(v.s, k.s))
	case "endsWith":
		return truthOf(strings.HasSuffix(v.s, k.s))
	}
	c, ok := compareValues(v, k)
	if !ok {
		return fails
	}
	switch op {
	case "==":
		return truthOf(c == 0)
	case "!=":
		return truthOf(c != 0)
	case "<":
		return truthOf(c < 0)
	case "<=":
		return truthOf(c <= 0)
	case ">":
		return truthOf(c > 0)
	}
	return truthOf(c >= 0)
}

// around returns a constant with its neighbours.
func around(v value) []way {
	out := []way{{v: v}}
	switch v.kind {
	case kindBool:
		out = append(out, way{v: value{kind: kindBool, b: !v.b}})
	case kindInt, kindAmount:
		for _, op := range []string{"<", ">"} {
			if n, err := step(v, op); err == nil {
				out = append(out, way{v: n})
			}
		}
	case kindAddress:
		other := v
		other.a[19] ^= 0x5a
		out = append(out, way{v: other}, way{v: value{kind: kindAddress}})
	}
	return out
}

// amounts returns the amounts of every asset that matter, and one of an asset that nothing names.
func (s *space) amounts(consts []value) (out []way) {
	assets := slices.Clone(s.assets)
	for _, c := range consts {
		if c.kind == kindString && !slices.ContainsFunc(assets, func(a money.Asset) bool { return a.Symbol == c.s }) {
			assets = append(assets, money.Asset{Symbol: c.s, Decimals: 18})
		}
	}
	for _, a := range append(assets, money.Asset{Symbol: "OTHER", Decimals: 18}) {
		out = append(out, way{v: value{kind: kindAmount, m: money.Of(a, 1)}})
	}
	for _, c := range consts {
		if c.kind == kindAmount {
			out = append(out, around(c)...)
		}
	}
	return out
}

// maxParts bounds the substrings whose combinations are tried: 2^maxParts texts.
const maxParts = 6

// texts returns texts that give every combination of answers: the constants themselves, and for each prefix and
// suffix that is asked for a text of it with any of the parts that are asked for. What stands between them is in no
// constant, so nothing else is matched by chance. It returns false if there are too many.
func texts(atoms []*expression, consts []value) (out []way, all bool) {
	gap, prefixes, suffixes, parts := "~", []string{""}, []string{""}, []string(nil)
	for _, c := range consts {
		for _, g := range []string{"_", "|", "^", "\x00"} {
			if strings.Contains(c.s, gap) {
				gap = g
			}
		}
	}
	for _, a := range atoms {
		_, op, k := relateFixed(a)
		switch op {
		case "startsWith":
			prefixes = append(prefixes, k[0].s)
		case "endsWith":
			suffixes = append(suffixes, k[0].s)
		case "contains":
			if !slices.Contains(parts, k[0].s) {
				parts = append(parts, k[0].s)
			}
		}
		if op == "in" || op == "==" || op == "!=" {
			for _, v := range k {
				out = append(out, way{v: v})
			}
		}
	}
	if len(parts) > maxParts || len(prefixes)*len(suffixes) > maxConsts {
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
				out = append(out, way{v: value{kind: kindString, s: b + s}})
			}
		}
	}
	return out, true
}

// compareValues orders two values of one kind; values without an order are 0 if equal and else 1. It returns false
// for amounts of two assets.
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

// matches is the condition of a rule, its tools included, as one expression.
func (x *rule) matches() *expression {
	e := x.when
	if x.unless != nil {
		not := &expression{kind: kindBool, op: "!", kids: []*expression{x.unless}}
		e = &expression{kind: kindBool, op: "&&", kids: []*expression{e, not}}
	}
	if x.tools == nil {
		return e
	}
	names := make([]value, len(x.tools))
	for i, t := range x.tools {
		names[i] = value{kind: kindString, s: t}
	}
	return &expression{kind: kindBool, op: "&&", kids: []*expression{isIn(x.at, "tool", names...), e}}
}

// isIn is the condition that a field of p has one of the values.
func isIn(p Point, name string, of ...value) *expression {
	fields, _ := fieldsOf(p)
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	n := &ast.IdentifierNode{Value: name}
	f := fieldExpression(n, &fields[i])
	return &expression{kind: kindBool, node: n, op: "in", kids: []*expression{f, {op: "list", list: of}}}
}
