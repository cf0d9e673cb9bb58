package policies

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"

	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/money"
)

// An expression is one node of a condition, checked and compiled. Exactly one of the functions is set, by kind. The
// structure stays beside the functions so that a decision can be explained.
//
// The language has no loops, no recursion and no growing values, so an evaluation costs at most a step a node; the
// gate bounds the nodes. That is why it needs no fuel.
type expression struct {
	kind  kind
	node  ast.Node // for its source text
	op    string   // an operator, a function, "field", "arg", "variable", "constant" or "list"
	kids  []*expression
	name  string // of the field, argument, variable, set or budget
	field *field // op "field"
	arg   ArgKind
	list  []value // op "list", or the set's members in order
	parts int     // op "variable": of its definition, written out
	text  string  // op "list" of what are no values: how it is shown
	hours *hours  // op "in_window"
	past  *question

	bool func(*frame) (bool, error)
	int  func(*frame) (int64, error)
	str  func(*frame) (string, error)
	addr func(*frame) (*common.Address, error)
	amt  func(*frame) (*money.Amount, error)
}

// A frame is one evaluation: the request and the variables computed so far.
type frame struct {
	r    *Request
	vars []slot
}

// A slot remembers a variable, so that each is computed at most once a decision.
type slot struct {
	done bool
	b    bool
	i    int64
	s    string
	a    *common.Address
	m    *money.Amount
	err  error
}

// errOverflow says that whole numbers left 64 bits.
var errOverflow = errors.New("whole numbers out of range")

// value evaluates e.
func (e *expression) value(f *frame) (v value, err error) {
	v.kind = e.kind
	switch e.kind {
	case kindBool:
		v.b, err = e.bool(f)
	case kindInt:
		v.i, err = e.int(f)
	case kindString:
		v.s, err = e.str(f)
	case kindAddress:
		var a *common.Address
		if a, err = e.addr(f); err == nil {
			v.a = *a
		}
	case kindAmount:
		var m *money.Amount
		if m, err = e.amt(f); err == nil {
			v.m = *m
		}
	}
	return v, err
}

// source returns e in normal form.
func (e *expression) source() string { return e.node.String() }

// written counts the parts of e with its variables written out. What looks at a condition looks at so many.
func (e *expression) written() int {
	if e.op == "variable" {
		return e.parts
	}
	n := 1
	for _, k := range e.kids {
		n += k.written()
	}
	return n
}

// constant says whether e plainly reads nothing of the request. A variable is taken to read something.
func (e *expression) constant() bool {
	switch e.op {
	case "field", "arg", "given", "left", "spent", "from", "variable", "count", "sum", "happened", "same":
		return false
	}
	return !slices.ContainsFunc(e.kids, func(k *expression) bool { return !k.constant() })
}

func constant(n ast.Node, v value) *expression {
	e := &expression{kind: v.kind, node: n, op: "constant"}
	switch v.kind {
	case kindBool:
		e.bool = func(*frame) (bool, error) { return v.b, nil }
	case kindInt:
		e.int = func(*frame) (int64, error) { return v.i, nil }
	case kindString:
		e.str = func(*frame) (string, error) { return v.s, nil }
	case kindAddress:
		e.addr = func(*frame) (*common.Address, error) { return &v.a, nil }
	case kindAmount:
		e.amt = func(*frame) (*money.Amount, error) { return &v.m, nil }
	}
	return e
}

// A scope is what a condition may name.
type scope struct {
	point   Point
	fields  []field
	args    map[string]ArgKind     // nil if there are none here
	noArgs  string                 // why there are none
	vars    map[string]*expression // variables that are compiled
	assets  map[string]money.Asset // by the name of their literal
	sets    map[string]*namedSet
	budgets map[string]BudgetDef

	// ask notes a question of the past and returns the one that stands for it. It is nil where there is no past; tools
	// are those that it may be about, and partial says that there are others.
	ask     func(*question) *question
	tools   []ToolType
	partial bool

	// zone returns a time zone. It is nil where only UTC is known.
	zone func(name string) (*calendar.Zone, error)

	// variable compiles a variable, or returns nil if there is none of the name. names lists them for hints.
	variable func(name string) (*expression, *conditionError)
	names    []string
}

// condition takes a source through the gate and the compiler, and asks expr for a second opinion. want 0 allows any
// kind.
func (sc *scope) condition(src string, lim limits, want kind, what string) (*expression, *conditionError) {
	tree, err := parse(src, lim)
	if err != nil {
		return nil, err
	}
	e, err := sc.compile(tree)
	if err != nil {
		return nil, err
	}
	if want != 0 && e.kind != want {
		return nil, &conditionError{text: fmt.Sprintf("%s must be %s, not %s", what, want, e.kind)}
	}
	if _, err := sc.reference(src); err != nil {
		return nil, &conditionError{text: "expr reads this condition in another way: " + fromExpr(err).text}
	}
	return e, nil
}

// compile checks n against the scope and turns it into an expression. What is not named here is refused: that is the
// allow-list of the gate.
func (sc *scope) compile(n ast.Node) (*expression, *conditionError) {
	switch n := n.(type) {
	case *ast.BoolNode:
		return constant(n, value{kind: kindBool, b: n.Value}), nil
	case *ast.IntegerNode:
		return constant(n, value{kind: kindInt, i: int64(n.Value)}), nil
	case *ast.StringNode:
		if !plain(n.Value) {
			return nil, wrong(n, "the string holds characters that are not plain ASCII")
		}
		return constant(n, value{kind: kindString, s: n.Value}), nil
	case *ast.IdentifierNode:
		return sc.identifier(n)
	case *ast.MemberNode:
		return sc.argument(n)
	case *ast.CallNode:
		return sc.call(n)
	case *ast.UnaryNode:
		return sc.unary(n)
	case *ast.BinaryNode:
		return sc.binary(n)
	case *ast.FloatNode:
		return nil, wrong(n, `there are no fractions; write an amount as a literal such as usdc("12.50")`)
	case *ast.BuiltinNode:
		return nil, wrong(n, "there is no function %s", n.Name)
	case nil:
		return nil, &conditionError{text: "the condition cannot be parsed"}
	}
	return nil, wrong(n, "%s is not part of the language", syntaxName(n))
}

func syntaxName(n ast.Node) string {
	switch n.(type) {
	case *ast.NilNode:
		return "nil"
	case *ast.ConditionalNode:
		return "a conditional (write it with && and ||)"
	case *ast.VariableDeclaratorNode:
		return "let (use variables:)"
	case *ast.ArrayNode:
		return `a list outside of "in"`
	case *ast.MapNode:
		return "a map"
	case *ast.SliceNode:
		return "a slice"
	case *ast.SequenceNode:
		return "a sequence of expressions"
	case *ast.ChainNode:
		return "?."
	case *ast.BytesNode:
		return "a bytes literal"
	case *ast.PointerNode, *ast.PredicateNode:
		return "a loop"
	}
	return "this"
}

func (sc *scope) identifier(n *ast.IdentifierNode) (*expression, *conditionError) {
	for i := range sc.fields {
		if f := &sc.fields[i]; f.name == n.Value {
			return fieldExpression(n, f), nil
		}
	}
	if sc.variable != nil {
		v, err := sc.variable(n.Value)
		if err != nil {
			err.at = n.Location().From
			return nil, err
		}
		if v != nil {
			use := *v
			use.node = n
			return &use, nil
		}
	}
	if n.Value == "args" {
		return nil, wrong(n, "args is not a value; name one argument, such as args.to")
	}
	e := wrong(n, "unknown name %q at %s", n.Value, sc.point)
	if sc.point == "" {
		e = wrong(n, "unknown name %q; only constants can stand here", n.Value)
	}
	if p, ok := pointOfField(n.Value); ok {
		e.text = fmt.Sprintf("%q is known only at %s, not at %s", n.Value, p, sc.point)
		return nil, e
	}
	names := slices.Clone(sc.names)
	for _, f := range sc.fields {
		names = append(names, f.name)
	}
	e.hint = nearest(n.Value, names)
	return nil, e
}

func pointOfField(name string) (Point, bool) {
	for _, e := range points {
		if slices.ContainsFunc(e.fields, func(f field) bool { return f.name == name }) {
			return e.point, true
		}
	}
	return "", false
}

// isField says whether any point has a field of that name.
func isField(name string) bool {
	_, ok := pointOfField(name)
	return ok || slices.ContainsFunc(sessionFields, func(f field) bool { return f.name == name })
}

func fieldExpression(n ast.Node, f *field) *expression {
	e := &expression{kind: f.kind, node: n, op: "field", name: f.name, field: f}
	switch f.kind {
	case kindBool:
		e.bool = func(fr *frame) (bool, error) { return f.bool(fr.r), nil }
	case kindInt:
		e.int = func(fr *frame) (int64, error) { return f.int(fr.r), nil }
	case kindString:
		e.str = func(fr *frame) (string, error) { return f.str(fr.r), nil }
	case kindAddress:
		e.addr = func(fr *frame) (*common.Address, error) { return f.addr(fr.r), nil }
	case kindAmount:
		e.amt = func(fr *frame) (*money.Amount, error) { return f.amt(fr.r), nil }
	}
	return e
}

// variable wraps e so that it is computed at most once a decision, in slot i.
func variable(name string, e *expression, i int) *expression {
	v := &expression{kind: e.kind, node: e.node, op: "variable", name: name, kids: []*expression{e}}
	once := func(f *frame, compute func(*slot)) *slot {
		s := &f.vars[i]
		if !s.done {
			compute(s)
			s.done = true
		}
		return s
	}
	switch e.kind {
	case kindBool:
		v.bool = func(f *frame) (bool, error) {
			s := once(f, func(s *slot) { s.b, s.err = e.bool(f) })
			return s.b, s.err
		}
	case kindInt:
		v.int = func(f *frame) (int64, error) {
			s := once(f, func(s *slot) { s.i, s.err = e.int(f) })
			return s.i, s.err
		}
	case kindString:
		v.str = func(f *frame) (string, error) {
			s := once(f, func(s *slot) { s.s, s.err = e.str(f) })
			return s.s, s.err
		}
	case kindAddress:
		v.addr = func(f *frame) (*common.Address, error) {
			s := once(f, func(s *slot) { s.a, s.err = e.addr(f) })
			return s.a, s.err
		}
	case kindAmount:
		v.amt = func(f *frame) (*money.Amount, error) {
			s := once(f, func(s *slot) { s.m, s.err = e.amt(f) })
			return s.m, s.err
		}
	}
	return v
}

// argument compiles args.NAME. An absent optional argument has no value, so reading one is an error.
func (sc *scope) argument(n *ast.MemberNode) (*expression, *conditionError) {
	base, ok := n.Node.(*ast.IdentifierNode)
	prop, isName := n.Property.(*ast.StringNode)
	if !ok || base.Value != "args" || !isName || n.Optional || n.Method {
		return nil, wrong(n, "only args.NAME can be written with a dot; there are no methods or indexes")
	}
	k, err := sc.argKind(prop, prop.Value)
	if err != nil {
		return nil, err
	}
	name := prop.Value
	e := &expression{kind: argKind(k), node: n, op: "arg", name: name, arg: k}
	read := func(f *frame) (*Arg, error) {
		if a := findArg(f.r, name, k); a != nil {
			return a, nil
		}
		return nil, fmt.Errorf("the call has no argument %q (test it with given(%q) first)", name, name)
	}
	switch e.kind {
	case kindBool:
		e.bool = func(f *frame) (bool, error) {
			a, err := read(f)
			if err != nil {
				return false, err
			}
			return a.Bool, nil
		}
	case kindInt:
		e.int = func(f *frame) (int64, error) {
			a, err := read(f)
			if err != nil {
				return 0, err
			}
			return a.Int, nil
		}
	case kindString:
		e.str = func(f *frame) (string, error) {
			a, err := read(f)
			if err != nil {
				return "", err
			}
			return a.Text, nil
		}
	case kindAddress:
		e.addr = func(f *frame) (*common.Address, error) {
			a, err := read(f)
			if err != nil {
				return nil, err
			}
			return &a.Addr, nil
		}
	case kindAmount:
		e.amt = func(f *frame) (*money.Amount, error) {
			a, err := read(f)
			if err != nil {
				return nil, err
			}
			return &a.Amount, nil
		}
	}
	return e, nil
}

func (sc *scope) argKind(n ast.Node, name string) (ArgKind, *conditionError) {
	if sc.args == nil {
		return "", wrong(n, "args are not known here: %s", sc.noArgs)
	}
	k, ok := sc.args[name]
	if !ok || argKind(k) == 0 {
		e := wrong(n, "unknown argument %q", name)
		e.hint = nearest(name, slices.Sorted(maps.Keys(sc.args)))
		return "", e
	}
	return k, nil
}

func (sc *scope) unary(n *ast.UnaryNode) (*expression, *conditionError) {
	k, err := sc.compile(n.Node)
	if err != nil {
		return nil, err
	}
	switch n.Operator {
	case "!", "not":
		if k.kind != kindBool {
			return nil, wrong(n, "%q needs a condition, not %s", n.Operator, k.kind)
		}
		return &expression{kind: kindBool, node: n, op: "!", kids: []*expression{k},
			bool: func(f *frame) (bool, error) { b, err := k.bool(f); return !b && err == nil, err }}, nil
	case "-":
		if k.kind != kindInt {
			return nil, wrong(n, `"-" needs an int, not %s`, k.kind)
		}
		return &expression{kind: kindInt, node: n, op: "neg", kids: []*expression{k},
			int: func(f *frame) (int64, error) {
				i, err := k.int(f)
				if err != nil {
					return 0, err
				}
				return subInt(0, i)
			}}, nil
	}
	return nil, wrong(n, "the operator %q is not part of the language", n.Operator)
}

func (sc *scope) binary(n *ast.BinaryNode) (*expression, *conditionError) {
	op := n.Operator
	switch op {
	case "and":
		op = "&&"
	case "or":
		op = "||"
	case "&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "in", "contains", "startsWith", "endsWith":
	case "/", "%":
		return nil, wrong(n, "there is no division; multiply the other side instead")
	case "matches":
		return nil, wrong(n, "there are no regular expressions; use contains, startsWith, endsWith or a list")
	default:
		return nil, wrong(n, "the operator %q is not part of the language", op)
	}
	l, err := sc.compile(n.Left)
	if err != nil {
		return nil, err
	}
	if op == "in" {
		return sc.inList(n, l)
	}
	r, err := sc.compile(n.Right)
	if err != nil {
		return nil, err
	}
	e := &expression{kind: kindBool, node: n, op: op, kids: []*expression{l, r}}
	if l.kind != r.kind {
		return nil, mismatch(n, l, r)
	}
	switch op {
	case "&&", "||":
		if l.kind != kindBool {
			return nil, wrong(n, "%q needs a condition on each side, not %s", n.Operator, l.kind)
		}
		// expr's order: the right side is not looked at, and cannot err, once the left has decided.
		stop := op == "||"
		e.bool = func(f *frame) (bool, error) {
			if b, err := l.bool(f); err != nil || b == stop {
				return b, err
			}
			return r.bool(f)
		}
	case "==", "!=":
		e.bool = equal(l, r, op == "==")
	case "<", "<=", ">", ">=":
		switch l.kind {
		case kindInt:
			e.bool = compareInts(l.int, r.int, op)
		case kindAmount:
			e.bool = compareAmounts(l.amt, r.amt, op)
		default:
			return nil, wrong(n, "%q needs ints or amounts, not %s", op, l.kind)
		}
	case "contains", "startsWith", "endsWith":
		if l.kind != kindString {
			return nil, wrong(n, "%q needs strings, not %s", op, l.kind)
		}
		has := map[string]func(s, t string) bool{
			"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix}[op]
		e.bool = func(f *frame) (bool, error) {
			s, err := l.str(f)
			if err != nil {
				return false, err
			}
			t, err := r.str(f)
			return err == nil && has(s, t), err
		}
	case "+", "-", "*":
		e.kind = l.kind
		switch {
		case l.kind == kindInt:
			e.int = arithmetic(l.int, r.int, op)
		case l.kind == kindAmount && op != "*":
			e.amt = amountArithmetic(l.amt, r.amt, op)
		default:
			return nil, wrong(n, "%q cannot be used on %s", op, l.kind)
		}
	}
	return e, nil
}

func mismatch(n ast.Node, l, r *expression) *conditionError {
	e := wrong(n, "%s is %s, but %s is %s", l.source(), l.kind, r.source(), r.kind)
	for _, s := range []*expression{l, r} {
		o := l
		if s == l {
			o = r
		}
		switch {
		case o.kind == kindAmount && (s.kind == kindInt || s.kind == kindString):
			e.text += `; write an amount as a literal such as usdc("10")`
		case o.kind == kindAddress && s.kind == kindString:
			e.text += `; write an address as addr("0x...")`
		}
	}
	return e
}

func equal(l, r *expression, want bool) func(*frame) (bool, error) {
	switch l.kind {
	case kindBool:
		return func(f *frame) (bool, error) {
			a, err := l.bool(f)
			if err != nil {
				return false, err
			}
			b, err := r.bool(f)
			return err == nil && (a == b) == want, err
		}
	case kindInt:
		return func(f *frame) (bool, error) {
			a, err := l.int(f)
			if err != nil {
				return false, err
			}
			b, err := r.int(f)
			return err == nil && (a == b) == want, err
		}
	case kindString:
		return func(f *frame) (bool, error) {
			a, err := l.str(f)
			if err != nil {
				return false, err
			}
			b, err := r.str(f)
			return err == nil && (a == b) == want, err
		}
	case kindAddress:
		return func(f *frame) (bool, error) {
			a, err := l.addr(f)
			if err != nil {
				return false, err
			}
			b, err := r.addr(f)
			return err == nil && (*a == *b) == want, err
		}
	}
	return func(f *frame) (bool, error) {
		c, err := cmpAmounts(f, l.amt, r.amt)
		return err == nil && (c == 0) == want, err
	}
}

func compareInts(l, r func(*frame) (int64, error), op string) func(*frame) (bool, error) {
	return func(f *frame) (bool, error) {
		a, err := l(f)
		if err != nil {
			return false, err
		}
		b, err := r(f)
		if err != nil {
			return false, err
		}
		switch op {
		case "<":
			return a < b, nil
		case "<=":
			return a <= b, nil
		case ">":
			return a > b, nil
		}
		return a >= b, nil
	}
}

func compareAmounts(l, r func(*frame) (*money.Amount, error), op string) func(*frame) (bool, error) {
	return func(f *frame) (bool, error) {
		c, err := cmpAmounts(f, l, r)
		if err != nil {
			return false, err
		}
		switch op {
		case "<":
			return c < 0, nil
		case "<=":
			return c <= 0, nil
		case ">":
			return c > 0, nil
		}
		return c >= 0, nil
	}
}

func cmpAmounts(f *frame, l, r func(*frame) (*money.Amount, error)) (int, error) {
	a, err := l(f)
	if err != nil {
		return 0, err
	}
	b, err := r(f)
	if err != nil {
		return 0, err
	}
	return a.Cmp(*b)
}

func arithmetic(l, r func(*frame) (int64, error), op string) func(*frame) (int64, error) {
	do := map[string]func(a, b int64) (int64, error){"+": addInt, "-": subInt, "*": mulInt}[op]
	return func(f *frame) (int64, error) {
		a, err := l(f)
		if err != nil {
			return 0, err
		}
		b, err := r(f)
		if err != nil {
			return 0, err
		}
		return do(a, b)
	}
}

func amountArithmetic(l, r func(*frame) (*money.Amount, error), op string) func(*frame) (*money.Amount, error) {
	return func(f *frame) (*money.Amount, error) {
		a, err := l(f)
		if err != nil {
			return nil, err
		}
		b, err := r(f)
		if err != nil {
			return nil, err
		}
		var m money.Amount
		if op == "+" {
			m, err = a.Add(*b)
		} else {
			m, err = a.Sub(*b)
		}
		return &m, err
	}
}

func addInt(a, b int64) (int64, error) {
	if c := a + b; (c > a) == (b > 0) {
		return c, nil
	}
	return 0, errOverflow
}

func subInt(a, b int64) (int64, error) {
	if c := a - b; (c < a) == (b > 0) {
		return c, nil
	}
	return 0, errOverflow
}

func mulInt(a, b int64) (int64, error) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	limit := uint64(1) << 63 // of a negative product; a positive one has one less
	if (a < 0) == (b < 0) {
		limit--
	}
	if hi != 0 || lo > limit {
		return 0, errOverflow
	}
	return a * b, nil
}

func magnitude(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

// maxList bounds a list of literals; longer ones belong into a named set, which is looked up by hash.
const maxList = 64

// inList compiles `x in [constants]`.
func (sc *scope) inList(n *ast.BinaryNode, l *expression) (*expression, *conditionError) {
	a, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		return nil, wrong(n, `"in" needs a list of constants, such as class in ["read", "keyed"]`)
	}
	if len(a.Nodes) > maxList || len(a.Nodes) == 0 {
		return nil, wrong(n, "the list has %d entries, not 1 to %d; use sets: and in_set for more", len(a.Nodes), maxList)
	}
	if l.kind == kindAmount || l.kind == kindBool {
		return nil, wrong(n, `"in" needs strings, ints or addresses, not %s`, l.kind)
	}
	list := &expression{node: a, op: "list"}
	for _, x := range a.Nodes {
		e, err := sc.compile(x)
		if err != nil {
			return nil, err
		}
		if e.kind != l.kind {
			return nil, mismatch(n, l, e)
		}
		if !e.constant() {
			return nil, wrong(x, "only constants can stand in a list")
		}
		v, verr := e.value(&frame{})
		if verr != nil {
			return nil, wrong(x, "%v", verr)
		}
		list.list = append(list.list, v)
	}
	e := &expression{kind: kindBool, node: n, op: "in", kids: []*expression{l, list}}
	members := list.list
	switch l.kind {
	case kindInt:
		e.bool = func(f *frame) (bool, error) {
			x, err := l.int(f)
			return err == nil && slices.ContainsFunc(members, func(v value) bool { return v.i == x }), err
		}
	case kindString:
		e.bool = func(f *frame) (bool, error) {
			x, err := l.str(f)
			return err == nil && slices.ContainsFunc(members, func(v value) bool { return v.s == x }), err
		}
	case kindAddress:
		e.bool = func(f *frame) (bool, error) {
			x, err := l.addr(f)
			return err == nil && slices.ContainsFunc(members, func(v value) bool { return v.a == *x }), err
		}
	}
	return e, nil
}
