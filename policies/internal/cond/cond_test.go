package cond

import (
	"math"
	"testing"

	"github.com/expr-lang/expr/ast"
)

// A thing is what the conditions of these tests read.
type thing struct {
	size int64
	name string
}

var (
	sizeOf = &Field[thing]{Name: "size", Kind: Int, IntAt: func(t *thing) *int64 { return &t.size }}
	nameOf = &Field[thing]{Name: "name", Kind: String, TextAt: func(t *thing) *string { return &t.name }}
)

func read(f *Field[thing]) *Expr[thing] { return Read(&ast.IdentifierNode{Value: f.Name}, f) }

func intConstant(i int64) *Expr[thing] {
	return Constant[thing](&ast.IntegerNode{Value: int(i)}, Value{Kind: Int, Int: i})
}

// size > 5 && name is one of two names.
func sample() *Expr[thing] {
	large := Binary(&ast.BinaryNode{}, ">", read(sizeOf), intConstant(5))
	named := IsOneOf(nameOf, Value{Kind: String, Text: "a"}, Value{Kind: String, Text: "b"})
	return And(large, named)
}

func TestAConditionIsEvaluated(t *testing.T) {
	for _, c := range []struct {
		of   thing
		want bool
	}{{thing{6, "a"}, true}, {thing{5, "a"}, false}, {thing{6, "c"}, false}} {
		if got, err := sample().Bool(NewFrame(&c.of, 0)); err != nil || got != c.want {
			t.Errorf("%+v: got %v (%v), want %v", c.of, got, err, c.want)
		}
	}
}

// Three sizes (below, at and above 5) times three names (a and b, which one atom does not tell apart, and another one).
func TestRegionsAreCountedOut(t *testing.T) {
	e := sample()
	yes, all := 0, 0
	known := NewSpace([]*Expr[thing]{e}).Each(MaxLoad, func(g Region[thing]) bool {
		all++
		if g.Says(e) == Yes {
			yes++
		}
		return true
	})
	if !known || all != 4 || yes != 1 {
		t.Errorf("%d of %d regions say yes (known: %v), want 1 of 4", yes, all, known)
	}
}

func TestAVariableIsComputedOnce(t *testing.T) {
	n := 0
	counted := &Field[thing]{Name: "counted", Kind: Bool, Bool: func(*thing) bool { n++; return true }}
	v := Variable("v", read(counted), 0)
	f := NewFrame(&thing{}, 1)
	for range 3 {
		if b, err := v.Bool(f); !b || err != nil {
			t.Fatalf("got %v (%v)", b, err)
		}
	}
	if n != 1 {
		t.Errorf("computed %d times, want once", n)
	}
}

func TestExprAgrees(t *testing.T) {
	if err := Agree(Binary(&ast.BinaryNode{Operator: "+", Left: &ast.IntegerNode{}, Right: &ast.IntegerNode{}}, "+", intConstant(1), read(sizeOf))); err != nil {
		t.Errorf("a sum of ints: %v", err)
	}
	wrong := &Expr[thing]{Kind: Bool, Node: &ast.BoolNode{}, Op: "<", Kids: []*Expr[thing]{read(sizeOf), read(nameOf)}}
	if err := Agree(wrong); err == nil {
		t.Error("an int below a text passes")
	}
}

func TestWholeNumbersDoNotWrap(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(a, b int64) (int64, error)
		a, b int64
	}{
		{"add", AddInt, math.MaxInt64, 1}, {"subtract", SubInt, math.MinInt64, 1},
		{"multiply", MulInt, math.MinInt64, -1}, {"multiply", MulInt, 1 << 32, 1 << 31},
	} {
		if got, err := c.do(c.a, c.b); err == nil {
			t.Errorf("%s %d and %d: got %d", c.name, c.a, c.b, got)
		}
	}
	if got, err := MulInt(math.MinInt64, 1); err != nil || got != math.MinInt64 {
		t.Errorf("got %d (%v)", got, err)
	}
}
