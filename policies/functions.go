package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"

	"github.com/writ-run/writ/policies/money"
)

// literal says whether name is a call that makes a constant of a constant, such as usdc("12.50").
func (sc *scope) literal(name string) bool {
	_, ok := sc.assets[name]
	return ok || name == "addr" || milliseconds[name] > 0
}

// milliseconds are the literals of durations.
var milliseconds = map[string]int64{"seconds": 1000, "minutes": 60_000, "hours": 3_600_000, "days": 86_400_000}

var functionNames = []string{"addr", "seconds", "minutes", "hours", "days", "in_set", "in_window", "in_cidr", "given", "left", "spent", "from",
	"count", "sum", "happened", "same"}

// arity is how many arguments the functions take; those that are not here take one.
var arity = map[string][2]int{"in_set": {2, 2}, "in_window": {3, 3}, "in_cidr": {2, 1 + maxPrefixes},
	"count": {1, 2}, "sum": {2, 3}, "happened": {1, 2}, "same": {3, 4}}

func (sc *scope) call(n *ast.CallNode) (*expression, *conditionError) {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return nil, wrong(n, "there are no methods")
	}
	name := callee.Value
	if !sc.literal(name) && !slices.Contains(functionNames, name) {
		e := wrong(n, "there is no function %q", name)
		e.hint = nearest(name, append(slices.Sorted(maps.Keys(sc.assets)), functionNames...))
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
		return nil, wrong(n, "%s takes %d%s argument(s), not %d", name, takes[0], to, got)
	}
	switch name {
	case "count", "sum", "happened", "same":
		return sc.history(n, name)
	case "in_window":
		return sc.inWindow(n)
	case "in_cidr":
		return sc.inCIDR(n)
	case "in_set":
		return sc.inSet(n)
	case "given":
		return sc.given(n)
	case "from":
		return sc.from(n)
	case "left", "spent":
		return sc.budget(n, name)
	}
	v, err := sc.literalValue(n, name)
	if err != nil {
		return nil, err
	}
	return constant(n, v), nil
}

// literalValue computes usdc("12.50"), calls(40), addr("0x...") and hours(2). All are folded here, at load.
func (sc *scope) literalValue(n *ast.CallNode, name string) (value, *conditionError) {
	asset, isAsset := sc.assets[name]
	whole := asset == money.Calls || asset == money.Tokens
	switch arg := n.Arguments[0].(type) {
	case *ast.StringNode:
		switch {
		case isAsset && !whole:
			m, err := money.ParseDecimal(asset, arg.Value)
			if err != nil {
				return value{}, wrong(n, "%v", err)
			}
			return value{kind: kindAmount, m: m}, nil
		case name == "addr":
			a, err := parseAddress(arg.Value)
			if err != nil {
				return value{}, wrong(n, "%v", err)
			}
			return value{kind: kindAddress, a: a}, nil
		}
	case *ast.IntegerNode:
		ms := milliseconds[name]
		switch {
		case isAsset && whole:
			return value{kind: kindAmount, m: money.Of(asset, uint64(arg.Value))}, nil
		case ms > 0:
			i, err := mulInt(int64(arg.Value), ms)
			if err != nil {
				return value{}, wrong(n, "%v", err)
			}
			return value{kind: kindInt, i: i}, nil
		}
	}
	example := name + `("12.50")`
	switch {
	case name == "addr":
		example = `addr("0x...")`
	case whole || !isAsset:
		example = name + "(10)"
	}
	return value{}, wrong(n, "%s needs a literal: %s", name, example)
}

// parseAddress reads 0x and 40 hex digits: all of one case, or mixed with a valid checksum (EIP-55).
func parseAddress(s string) (common.Address, error) {
	if len(s) != 42 || s[:2] != "0x" || strings.Trim(s[2:], "0123456789abcdefABCDEF") != "" {
		return common.Address{}, fmt.Errorf("%q is not an address: 0x and 40 hex digits", clip(s))
	}
	a := common.HexToAddress(s)
	if h := s[2:]; h != strings.ToLower(h) && h != strings.ToUpper(h) && a.Hex() != s {
		return common.Address{}, fmt.Errorf("the checksum of address %s is wrong", s)
	}
	return a, nil
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}

// A namedSet is a list under a name, looked up by hash.
type namedSet struct {
	kind      kind // kindAddress or kindString
	addresses map[common.Address]struct{}
	strings   map[string]struct{}
	members   []value // sorted
	used      bool
}

func (sc *scope) inSet(n *ast.CallNode) (*expression, *conditionError) {
	l, err := sc.compile(n.Arguments[0])
	if err != nil {
		return nil, err
	}
	name, ok := n.Arguments[1].(*ast.StringNode)
	if !ok {
		return nil, wrong(n, `in_set needs the name of a set: in_set(to, "friends")`)
	}
	set := sc.sets[name.Value]
	if set == nil {
		e := wrong(name, "there is no set %q", clip(name.Value))
		e.hint = nearest(name.Value, slices.Sorted(maps.Keys(sc.sets)))
		return nil, e
	}
	if set.kind != l.kind {
		return nil, wrong(n, "%s is %s, but the set %q holds another kind", l.source(), l.kind, name.Value)
	}
	set.used = true
	list := &expression{node: name, op: "list", name: name.Value, list: set.members}
	e := &expression{kind: kindBool, node: n, op: "in_set", name: name.Value, kids: []*expression{l, list}}
	if l.kind == kindString {
		e.bool = func(f *frame) (bool, error) {
			s, err := l.str(f)
			_, in := set.strings[s]
			return in && err == nil, err
		}
		return e, nil
	}
	e.bool = func(f *frame) (bool, error) {
		a, err := l.addr(f)
		if err != nil {
			return false, err
		}
		_, in := set.addresses[*a]
		return in, nil
	}
	return e, nil
}

// given compiles given("memo"): was the optional argument present?
func (sc *scope) given(n *ast.CallNode) (*expression, *conditionError) {
	name, ok := n.Arguments[0].(*ast.StringNode)
	if !ok {
		return nil, wrong(n, `given needs the name of an argument: given("memo")`)
	}
	k, err := sc.argKind(name, name.Value)
	if err != nil {
		return nil, err
	}
	return &expression{kind: kindBool, node: n, op: "given", name: name.Value, arg: k,
		bool: func(f *frame) (bool, error) { return findArg(f.r, name.Value, k) != nil, nil }}, nil
}

// budget compiles left("id") and spent("id").
func (sc *scope) budget(n *ast.CallNode, fn string) (*expression, *conditionError) {
	name, ok := n.Arguments[0].(*ast.StringNode)
	if !ok {
		return nil, wrong(n, `%s needs the name of a budget: %s("daily")`, fn, fn)
	}
	def, err := sc.findBudget(name, name.Value)
	if err != nil {
		return nil, err
	}
	switch {
	case def.Window == PerCall:
		return nil, wrong(n, "the budget %q is one of each call, so nothing is %s of it before", name.Value, fn)
	case def.PerRecipient && sc.point != Spend:
		return nil, wrong(n, "the budget %q counts by recipient, which only spend has", name.Value)
	}
	return &expression{kind: kindAmount, node: n, op: fn, name: name.Value,
		amt: func(f *frame) (*money.Amount, error) {
			m, err := measure(fn, f.r, def)
			return &m, err
		}}, nil
}

func (sc *scope) findBudget(n ast.Node, id string) (BudgetDef, *conditionError) {
	def, ok := sc.budgets[id]
	if !ok {
		e := &conditionError{text: fmt.Sprintf("there is no budget %q", clip(id))}
		if n != nil {
			e.at = n.Location().From
		}
		e.hint = nearest(id, slices.Sorted(maps.Keys(sc.budgets)))
		return BudgetDef{}, e
	}
	return def, nil
}

// from compiles from("web:evil.example"): does what is decided about come from that origin?
func (sc *scope) from(n *ast.CallNode) (*expression, *conditionError) {
	origin, ok := n.Arguments[0].(*ast.StringNode)
	if !ok || !strings.Contains(origin.Value, ":") {
		return nil, wrong(n, `from needs an origin: from("web:example.com"), from("doc:SOURCE") or from("tool:NAME")`)
	}
	if sc.point == SessionIssue || sc.point == "" {
		return nil, wrong(n, "nothing has come in yet where this stands")
	}
	return &expression{kind: kindBool, node: n, op: "from", name: origin.Value,
		bool: func(f *frame) (bool, error) { return f.r.Label.From(origin.Value), nil }}, nil
}
