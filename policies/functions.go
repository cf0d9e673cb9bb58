package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// isLiteral says whether name is a call that makes a constant of a constant, such as usdc("12.50").
func (sc *scope) isLiteral(name string) bool {
	_, ok := sc.assets[name]
	return ok || name == "addr" || name == "decimal" || milliseconds[name] > 0
}

// milliseconds are the literals of durations.
var milliseconds = map[string]int64{"seconds": 1000, "minutes": 60_000, "hours": 3_600_000, "days": 86_400_000}

var functionNames = []string{"addr", "decimal", "seconds", "minutes", "hours", "days", "in_set", "in_window", "in_cidr",
	"given", "left", "spent", "from", "count", "sum", "happened", "same", "len"}

// arity is how many arguments the functions take; those that are not here take one.
var arity = map[string][2]int{"in_set": {2, 2}, "in_window": {3, 3}, "in_cidr": {2, 1 + maxPrefixes},
	"count": {1, 2}, "sum": {2, 3}, "happened": {1, 2}, "same": {3, 4}}

func (sc *scope) compileCall(n *ast.CallNode) (*expression, *conditionError) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return nil, errorAt(n, "there are no methods")
	}
	name := callee.Value
	if !sc.isLiteral(name) && !slices.Contains(functionNames, name) {
		e := errorAt(n, "there is no function %q", name)
		e.hint = wording.Nearest(name, append(slices.Sorted(maps.Keys(sc.assets)), functionNames...))
		return nil, e
	}
	takes, several := arity[name]
	if !several {
		takes = [2]int{1, 1}
	}
	if got := len(n.Arguments); got < takes[0] || got > takes[1] {
		to := ""
		if takes[1] > takes[0] {
			to = fmt.Sprintf(" to %d", takes[1])
		}
		return nil, errorAt(n, "%s takes %d%s argument(s), not %d", name, takes[0], to, got)
	}
	switch name {
	case "count", "sum", "happened", "same":
		return sc.compileHistory(n, name)
	case "in_window":
		return sc.compileInWindow(n)
	case "in_cidr":
		return sc.compileInCIDR(n)
	case "in_set":
		return sc.compileInSet(n)
	case "given":
		return sc.compileGiven(n)
	case "len":
		return sc.compileLength(n)
	case "from":
		return sc.compileFrom(n)
	case "left", "spent":
		return sc.compileBudget(n, name)
	}
	v, err := sc.literalValue(n, name)
	if err != nil {
		return nil, err
	}
	return cond.Constant[Request](n, v), nil
}

// literalValue computes usdc("12.50"), calls(40), addr("0x...") and hours(2). All are folded here, at load.
func (sc *scope) literalValue(n *ast.CallNode, name string) (value, *conditionError) {
	asset, isAsset := sc.assets[name]
	whole := asset == money.Calls || asset == money.Tokens
	switch lit := n.Arguments[0].(type) {
	case *ast.StringNode:
		switch {
		case isAsset && !whole:
			m, err := money.ParseDecimal(asset, lit.Value)
			if err != nil {
				return value{}, errorAt(n, "%v", err)
			}
			return value{Kind: cond.Amount, Amount: m}, nil
		case name == "addr":
			a, err := cond.ParseAddress(lit.Value)
			if err != nil {
				return value{}, errorAt(n, "%v", err)
			}
			return value{Kind: cond.Address, Addr: a}, nil
		case name == "decimal":
			d, err := arg.ParseDecimal(lit.Value)
			if err != nil {
				return value{}, errorAt(n, "%v", err)
			}
			return value{Kind: cond.Number, Text: d.String()}, nil
		}
	case *ast.IntegerNode:
		ms := milliseconds[name]
		switch {
		case isAsset && whole:
			return value{Kind: cond.Amount, Amount: money.Of(asset, uint64(lit.Value))}, nil
		case ms > 0:
			i, err := cond.MulInt(int64(lit.Value), ms)
			if err != nil {
				return value{}, errorAt(n, "%v", err)
			}
			return value{Kind: cond.Int, Int: i}, nil
		}
	}
	example := name + `("12.50")`
	switch {
	case name == "decimal":
	case name == "addr":
		example = `addr("0x...")`
	case whole || !isAsset:
		example = name + "(10)"
	}
	return value{}, errorAt(n, "%s needs a literal: %s", name, example)
}

// A namedSet is a list under a name, looked up by hash.
type namedSet struct {
	kind      kind // cond.Address or cond.String
	addresses map[common.Address]struct{}
	strings   map[string]struct{}
	members   []value // sorted
	used      bool
}

func (sc *scope) compileInSet(n *ast.CallNode) (*expression, *conditionError) {
	l, err := sc.compile(n.Arguments[0])
	if err != nil {
		return nil, err
	}
	name, ok := n.Arguments[1].(*ast.StringNode)
	if !ok {
		return nil, errorAt(n, `in_set needs the name of a set: in_set(to, "friends")`)
	}
	set := sc.sets[name.Value]
	if set == nil {
		e := errorAt(name, "there is no set %q", wording.Clip(name.Value, 60))
		e.hint = wording.Nearest(name.Value, slices.Sorted(maps.Keys(sc.sets)))
		return nil, e
	}
	if set.kind != l.Kind {
		return nil, errorAt(n, "%s is %s, but the set %q holds another kind", l.Source(), l.Kind, name.Value)
	}
	set.used = true
	list := &expression{Node: name, Op: "list", Name: name.Value, List: set.members}
	e := &expression{Kind: cond.Bool, Node: n, Op: "in_set", Name: name.Value, Kids: []*expression{l, list}}
	if l.Kind == cond.String {
		e.Bool = func(f *frame) (bool, error) {
			s, err := l.Text(f)
			_, in := set.strings[s]
			return in && err == nil, err
		}
		return e, nil
	}
	e.Bool = func(f *frame) (bool, error) {
		a, err := l.Addr(f)
		if err != nil {
			return false, err
		}
		_, in := set.addresses[*a]
		return in, nil
	}
	return e, nil
}

// compileGiven compiles given("memo"): was the optional argument present?
func (sc *scope) compileGiven(n *ast.CallNode) (*expression, *conditionError) {
	name, ok := n.Arguments[0].(*ast.StringNode)
	if !ok {
		return nil, errorAt(n, `given needs the name of an argument: given("memo")`)
	}
	k, err := sc.argKind(name, name.Value)
	if err != nil {
		return nil, err
	}
	return &expression{Kind: cond.Bool, Node: n, Op: "given", Name: name.Value, Arg: k,
		Bool: func(f *frame) (bool, error) { return findArg(f.Request, name.Value, k) != nil, nil }}, nil
}

// compileBudget compiles left("id") and spent("id").
func (sc *scope) compileBudget(n *ast.CallNode, fn string) (*expression, *conditionError) {
	name, ok := n.Arguments[0].(*ast.StringNode)
	if !ok {
		return nil, errorAt(n, `%s needs the name of a budget: %s("daily")`, fn, fn)
	}
	def, err := sc.findBudget(name, name.Value)
	if err != nil {
		return nil, err
	}
	switch {
	case def.Window == PerCall:
		return nil, errorAt(n, "the budget %q is one of each call, so nothing is %s of it before", name.Value, fn)
	case def.PerRecipient && sc.point != Spend:
		return nil, errorAt(n, "the budget %q counts by recipient, which only spend has", name.Value)
	}
	return &expression{Kind: cond.Amount, Node: n, Op: fn, Name: name.Value,
		Amount: func(f *frame) (*money.Amount, error) {
			m, err := measureBudget(fn, f.Request, def)
			return &m, err
		}}, nil
}

func (sc *scope) findBudget(n ast.Node, id string) (BudgetDef, *conditionError) {
	def, ok := sc.budgets[id]
	if !ok {
		e := &conditionError{text: fmt.Sprintf("there is no budget %q", wording.Clip(id, 60))}
		if n != nil {
			e.at = n.Location().From
		}
		e.hint = wording.Nearest(id, slices.Sorted(maps.Keys(sc.budgets)))
		return BudgetDef{}, e
	}
	return def, nil
}

// compileFrom compiles from("web:evil.example"): does what is decided about come from that origin?
func (sc *scope) compileFrom(n *ast.CallNode) (*expression, *conditionError) {
	origin, ok := n.Arguments[0].(*ast.StringNode)
	if !ok || !strings.Contains(origin.Value, ":") {
		return nil, errorAt(n, `from needs an origin: from("web:example.com"), from("doc:SOURCE") or from("tool:NAME")`)
	}
	if sc.point == SessionIssue || sc.point == "" {
		return nil, errorAt(n, "nothing has come in yet where this stands")
	}
	return &expression{Kind: cond.Bool, Node: n, Op: "from", Name: origin.Value,
		Bool: func(f *frame) (bool, error) { return f.Request.Label.From(origin.Value), nil }}, nil
}
