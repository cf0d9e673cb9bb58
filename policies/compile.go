package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// A scope is what a condition may name.
type scope struct {
	point   Point
	fields  []field
	args    map[string]arg.Kind    // nil if there are none here
	noArgs  string                 // why there are none
	vars    map[string]*expression // variables that are compiled
	assets  map[string]money.Asset // by the name of their literal
	sets    map[string]*namedSet
	budgets map[string]BudgetDef

	// ask notes a question about earlier steps and returns the set's own copy of it. It is nil where there are no steps.
	// tools are those that it may be about; partial says that the run has others, whose types the set does not know.
	ask     func(*question) *question
	tools   []ToolType
	partial bool

	// zone returns a time zone. It is nil where only UTC is known.
	zone func(name string) (*calendar.Zone, error)

	// variable compiles a variable, or returns nil if there is none of the name. names lists them for hints.
	variable func(name string) (*expression, *conditionError)
	names    []string
}

// compileSource takes a source through the gate and the compiler, and asks expr for a second opinion. want 0 allows any
// kind.
func (sc *scope) compileSource(src string, lim limits, want kind, what string) (*expression, *conditionError) {
	tree, err := parseCondition(src, lim)
	if err != nil {
		return nil, err
	}
	e, err := sc.compile(tree)
	if err != nil {
		return nil, err
	}
	if want != 0 && e.Kind != want {
		return nil, &conditionError{text: fmt.Sprintf("%s must be %s, not %s", what, want, e.Kind)}
	}
	if err := cond.Agree(e); err != nil {
		return nil, &conditionError{text: "expr reads this condition in another way: " + fromExpr(err).text}
	}
	return e, nil
}

// compile checks n against the scope and turns it into an expression. What is not named here is refused: that is the
// allow-list of the gate.
func (sc *scope) compile(n ast.Node) (*expression, *conditionError) {
	switch n := n.(type) {
	case *ast.BoolNode:
		return cond.Constant[Request](n, value{Kind: cond.Bool, Bool: n.Value}), nil
	case *ast.IntegerNode:
		return cond.Constant[Request](n, value{Kind: cond.Int, Int: int64(n.Value)}), nil
	case *ast.StringNode:
		if !isPlainASCII(n.Value) {
			return nil, errorAt(n, "the string holds characters that are not plain ASCII")
		}
		return cond.Constant[Request](n, value{Kind: cond.String, Text: n.Value}), nil
	case *ast.IdentifierNode:
		return sc.compileIdentifier(n)
	case *ast.MemberNode:
		return sc.compileArgument(n)
	case *ast.CallNode:
		return sc.compileCall(n)
	case *ast.UnaryNode:
		return sc.compileUnary(n)
	case *ast.BinaryNode:
		return sc.compileBinary(n)
	case *ast.FloatNode:
		return nil, errorAt(n, `there are no fractions; write an amount as a literal such as usdc("12.50"), `+
			`and a number as decimal("12.5")`)
	case *ast.BuiltinNode:
		return nil, errorAt(n, "there is no function %s", n.Name)
	case nil:
		return nil, &conditionError{text: "the condition cannot be parsed"}
	}
	return nil, errorAt(n, "%s is not part of the language", syntaxName(n))
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

func (sc *scope) compileIdentifier(n *ast.IdentifierNode) (*expression, *conditionError) {
	for i := range sc.fields {
		if f := &sc.fields[i]; f.Name == n.Value {
			return cond.Read(n, f), nil
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
			use.Node = n
			return &use, nil
		}
	}
	if n.Value == "args" {
		return nil, errorAt(n, "args is not a value; name one argument, such as args.to")
	}
	e := errorAt(n, "unknown name %q at %s", n.Value, sc.point)
	if sc.point == "" {
		e = errorAt(n, "unknown name %q; only constants can stand here", n.Value)
	}
	if p, ok := pointOfField(n.Value); ok {
		e.text = fmt.Sprintf("%q is known only at %s, not at %s", n.Value, p, sc.point)
		return nil, e
	}
	names := slices.Clone(sc.names)
	for _, f := range sc.fields {
		names = append(names, f.Name)
	}
	e.hint = wording.Nearest(n.Value, names)
	return nil, e
}

func pointOfField(name string) (Point, bool) {
	for _, e := range points {
		if slices.ContainsFunc(e.fields, func(f field) bool { return f.Name == name }) {
			return e.point, true
		}
	}
	return "", false
}

// isField says whether any point has a field of that name.
func isField(name string) bool {
	_, ok := pointOfField(name)
	return ok || slices.ContainsFunc(sessionFields, func(f field) bool { return f.Name == name })
}

// compileArgument compiles args.NAME, and args.NAME.MEMBER of an object. An absent optional argument has no value, so
// reading one is an error; so is reading a member of an absent object.
func (sc *scope) compileArgument(n *ast.MemberNode) (*expression, *conditionError) {
	name, k, err := sc.argPath(n)
	if err != nil {
		return nil, err
	}
	switch k {
	case arg.Object:
		return nil, errorAt(n, "args.%s is an object and has no value; name one of its members", name)
	case arg.List:
		return nil, errorAt(n, "args.%s is a list; only its length can be judged: len(args.%s)", name, name)
	case arg.JSON:
		return nil, errorAt(n, "nothing is known of what is in args.%s; only given(%q) can be asked", name, name)
	}
	return readArg(n, name, k), nil
}

// compileLength compiles len(args.NAME) of a list.
func (sc *scope) compileLength(n *ast.CallNode) (*expression, *conditionError) {
	m, ok := n.Arguments[0].(*ast.MemberNode)
	if !ok {
		return nil, errorAt(n, "len needs an argument that is a list, such as len(args.items)")
	}
	name, k, err := sc.argPath(m)
	if err != nil {
		return nil, err
	}
	if k != arg.List {
		return nil, errorAt(m, "args.%s is no list, so it has no length", name)
	}
	return readArg(n, name, k), nil
}

// argPath returns the declared argument that n names, such as "order.amount" for args.order.amount.
func (sc *scope) argPath(n *ast.MemberNode) (string, arg.Kind, *conditionError) {
	var parts []string
	for at := ast.Node(n); ; {
		if base, ok := at.(*ast.IdentifierNode); ok && base.Value == "args" {
			break
		}
		m, ok := at.(*ast.MemberNode)
		var name *ast.StringNode
		if ok {
			name, ok = m.Property.(*ast.StringNode)
		}
		if !ok || m.Optional || m.Method || !arg.IsName(name.Value) {
			return "", "", errorAt(n, "only args.NAME can be written with a dot; there are no methods or indexes")
		}
		parts, at = append(parts, name.Value), m.Node
	}
	slices.Reverse(parts)
	name := strings.Join(parts, ".")
	k, err := sc.argKind(n.Property, name)
	return name, k, err
}

// readArg reads an argument of the call; of a list, how long it is.
func readArg(n ast.Node, name string, k arg.Kind) *expression {
	e := &expression{Kind: cond.KindOf(k), Node: n, Op: "arg", Name: name, Arg: k}
	if k == arg.List {
		e.Kind = cond.Int
	}
	read := func(f *frame) (*arg.Value, error) {
		if a := findArg(f.Request, name, k); a != nil {
			return a, nil
		}
		return nil, fmt.Errorf("the call has no argument %q (test it with given(%q) first)", name, name)
	}
	switch e.Kind {
	case cond.Bool:
		e.Bool = ofArg(read, func(a *arg.Value) bool { return a.Bool })
	case cond.Int:
		e.Int = ofArg(read, func(a *arg.Value) int64 { return a.Int })
	case cond.String, cond.Number:
		e.Text = ofArg(read, func(a *arg.Value) string { return a.Text })
	case cond.Address:
		e.Addr = ofArg(read, func(a *arg.Value) *common.Address { return &a.Addr })
	case cond.Amount:
		e.Amount = ofArg(read, func(a *arg.Value) *money.Amount { return &a.Amount })
	}
	return e
}

// ofArg reads what an argument says, if it is there.
func ofArg[T any](read func(*frame) (*arg.Value, error), says func(*arg.Value) T) cond.Getter[Request, T] {
	return func(f *frame) (out T, err error) {
		a, err := read(f)
		if err != nil {
			return out, err
		}
		return says(a), nil
	}
}

func (sc *scope) argKind(n ast.Node, name string) (arg.Kind, *conditionError) {
	if sc.args == nil {
		return "", errorAt(n, "args are not known here: %s", sc.noArgs)
	}
	k, ok := sc.args[name]
	if !ok || !isKnown(k) {
		e := errorAt(n, "unknown argument %q", name)
		e.hint = wording.Nearest(name, slices.Sorted(maps.Keys(sc.args)))
		return "", e
	}
	return k, nil
}

func (sc *scope) compileUnary(n *ast.UnaryNode) (*expression, *conditionError) {
	k, err := sc.compile(n.Node)
	if err != nil {
		return nil, err
	}
	switch n.Operator {
	case "!", "not":
		if k.Kind != cond.Bool {
			return nil, errorAt(n, "%q needs a condition, not %s", n.Operator, k.Kind)
		}
		return cond.Not(n, k), nil
	case "-":
		if k.Kind != cond.Int {
			return nil, errorAt(n, `"-" needs an int, not %s`, k.Kind)
		}
		return cond.Negative(n, k), nil
	}
	return nil, errorAt(n, "the operator %q is not part of the language", n.Operator)
}

func (sc *scope) compileBinary(n *ast.BinaryNode) (*expression, *conditionError) {
	op := n.Operator
	switch op {
	case "and":
		op = "&&"
	case "or":
		op = "||"
	case "&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "in", "contains", "startsWith", "endsWith":
	case "/", "%":
		return nil, errorAt(n, "there is no division; multiply the other side instead")
	case "matches":
		return nil, errorAt(n, "there are no regular expressions; use contains, startsWith, endsWith or a list")
	default:
		return nil, errorAt(n, "the operator %q is not part of the language", op)
	}
	l, err := sc.compile(n.Left)
	if err != nil {
		return nil, err
	}
	if op == "in" {
		return sc.compileInList(n, l)
	}
	r, err := sc.compile(n.Right)
	if err != nil {
		return nil, err
	}
	if l.Kind != r.Kind {
		return nil, kindsDiffer(n, l, r)
	}
	if e := cond.Binary(n, op, l, r); e != nil {
		return e, nil
	}
	return nil, kindUnfit(n, op, l.Kind)
}

// kindUnfit says what an operator needs instead.
func kindUnfit(n *ast.BinaryNode, op string, k cond.Kind) *conditionError {
	switch op {
	case "&&", "||":
		return errorAt(n, "%q needs a condition on each side, not %s", n.Operator, k)
	case "<", "<=", ">", ">=":
		return errorAt(n, "%q needs ints, numbers or amounts, not %s", op, k)
	case "contains", "startsWith", "endsWith":
		return errorAt(n, "%q needs strings, not %s", op, k)
	}
	return errorAt(n, "%q cannot be used on %s", op, k)
}

func kindsDiffer(n ast.Node, l, r *expression) *conditionError {
	e := errorAt(n, "%s is %s, but %s is %s", l.Source(), l.Kind, r.Source(), r.Kind)
	for _, s := range []*expression{l, r} {
		o := l
		if s == l {
			o = r
		}
		switch {
		case o.Kind == cond.Amount && (s.Kind == cond.Int || s.Kind == cond.String):
			e.text += `; write an amount as a literal such as usdc("10")`
		case o.Kind == cond.Number && s.Kind == cond.Int:
			e.text += `; write a number as decimal("10")`
		case o.Kind == cond.Address && s.Kind == cond.String:
			e.text += `; write an address as addr("0x...")`
		}
	}
	return e
}

// maxList bounds a list of literals; longer ones belong into a named set, which is looked up by hash.
const maxList = 64

// compileInList compiles `x in [constants]`.
func (sc *scope) compileInList(n *ast.BinaryNode, l *expression) (*expression, *conditionError) {
	a, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		return nil, errorAt(n, `"in" needs a list of constants, such as class in ["read", "keyed"]`)
	}
	if len(a.Nodes) > maxList || len(a.Nodes) == 0 {
		return nil, errorAt(n, "the list has %d entries, not 1 to %d; use sets: and in_set for more", len(a.Nodes), maxList)
	}
	if l.Kind == cond.Amount || l.Kind == cond.Bool || l.Kind == cond.Number {
		return nil, errorAt(n, `"in" needs strings, ints or addresses, not %s`, l.Kind)
	}
	list := &expression{Node: a, Op: "list"}
	for _, x := range a.Nodes {
		e, err := sc.compile(x)
		if err != nil {
			return nil, err
		}
		if e.Kind != l.Kind {
			return nil, kindsDiffer(n, l, e)
		}
		if !e.IsConstant() {
			return nil, errorAt(x, "only constants can stand in a list")
		}
		v, verr := e.Value(&frame{})
		if verr != nil {
			return nil, errorAt(x, "%v", verr)
		}
		list.List = append(list.List, v)
	}
	return cond.In(n, l, list), nil
}
