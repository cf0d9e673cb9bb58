package cond

import (
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/writ-run/writ/policies/money"
)

// A condition whose types our compiler has checked is checked once more by expr's own checker, and the two must agree.
// It sees the tree that expr's parser read, with a name of the right type where something is read or computed that
// expr does not know, or is a constant. In the tests all of expr stands beside our evaluator: see reference in
// reference_test.go.

// exprAmount, exprAddress and exprNumber are the types that amounts, addresses and numbers have in expr. They have no
// exported fields and no methods, so expr can do nothing with them but what it is told of.
type (
	exprAmount  struct{ _ money.Amount }
	exprAddress struct{ _ common.Address }
	exprNumber  struct{ _ string }
)

// typeOf is what expr takes each kind for.
var typeOf = map[Kind]reflect.Type{
	Bool: reflect.TypeFor[bool](), Int: reflect.TypeFor[int](), String: reflect.TypeFor[string](),
	Address: reflect.TypeFor[exprAddress](), Amount: reflect.TypeFor[exprAmount](),
	Number: reflect.TypeFor[exprNumber](),
}

// A secondOpinion is expr's checker with what it is told of. Both keep what they have learnt of types, so one is used
// by one goroutine at a time.
type secondOpinion struct {
	config  conf.Config
	checker checker.Checker
}

var secondOpinions = sync.Pool{New: func() any {
	s := &secondOpinion{}
	function := func(name string, types ...any) *builtin.Function {
		f := &builtin.Function{Name: name}
		for _, t := range types {
			f.Types = append(f.Types, reflect.TypeOf(t))
		}
		return f
	}
	s.config.Functions = conf.FunctionsTable{}
	for _, f := range []*builtin.Function{
		function("compare_amounts", func(a, b exprAmount) bool { return false }),
		function("add_amounts", func(a, b exprAmount) exprAmount { return a }),
		function("in_window", func(int) bool { return false }),
		function("in_cidr", func(string) bool { return false }),
		function("in_set", func(string) bool { return false }, func(exprAddress) bool { return false }),
		function("same", func(bool) bool { return false }, func(int) bool { return false },
			func(string) bool { return false },
			func(exprAddress) bool { return false }, func(exprAmount) bool { return false },
			func(exprNumber) bool { return false }),
		function("compare_numbers", func(a, b exprNumber) bool { return false }),
	} {
		s.config.Functions[f.Name] = f
	}
	s.config.WithEnv(map[string]any{
		"a_bool": false, "an_int": 0, "a_string": "", "an_address": exprAddress{},
		"an_amount": exprAmount{}, "a_number": exprNumber{}})
	return s
}}

// Agree asks expr's checker for the type of e.
func Agree[R any](e *Expr[R]) error {
	s := secondOpinions.Get().(*secondOpinion)
	defer secondOpinions.Put(s)
	t, err := s.checker.Check(&parser.Tree{Node: e.forExpr(), Source: file.NewSource(e.Source())}, &s.config)
	if err != nil {
		return err
	}
	if t != typeOf[e.Kind] {
		return fmt.Errorf("it is %s and not %s", t, e.Kind)
	}
	return nil
}

// somethingOf is a name that stands for any value of a kind.
func somethingOf(k Kind) ast.Node {
	names := [...]string{"nothing", "a_bool", "an_int", "a_string", "an_address", "an_amount", "a_number"}
	return &ast.IdentifierNode{Value: names[k]}
}

// forExpr writes e as expr's checker is to see it.
func (e *Expr[R]) forExpr() ast.Node {
	switch e.Op {
	case "!", "neg":
		op := map[string]string{"!": "!", "neg": "-"}[e.Op]
		return &ast.UnaryNode{Operator: op, Node: e.Kids[0].forExpr()}
	case "in_set", "in_window", "in_cidr", "same":
		return callOf(e.Op, e.Kids[0].forExpr())
	case "in":
		list := &ast.ArrayNode{}
		for _, v := range e.Kids[1].List {
			list.Nodes = append(list.Nodes, somethingOf(v.Kind))
		}
		return &ast.BinaryNode{Operator: "in", Left: e.Kids[0].forExpr(), Right: list}
	case "&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "contains", "startsWith", "endsWith":
		l, r := e.Kids[0].forExpr(), e.Kids[1].forExpr()
		switch e.Kids[0].Kind {
		case Number:
			return callOf("compare_numbers", l, r)
		case Amount:
		default:
			return &ast.BinaryNode{Operator: e.Op, Left: l, Right: r}
		}
		if slices.Contains([]string{"+", "-"}, e.Op) {
			return callOf("add_amounts", l, r)
		}
		return callOf("compare_amounts", l, r)
	}
	return somethingOf(e.Kind)
}

func callOf(name string, args ...ast.Node) ast.Node {
	return &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: args}
}
