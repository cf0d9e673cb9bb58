package cond

import (
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"

	"github.com/writ-run/writ/policies/money"
)

// What is here makes nodes. Types are checked before: by the compiler of package policies, and by [Agree].

// Constant is the node of a value that is known.
func Constant[R any](n ast.Node, v Value) *Expr[R] {
	e := &Expr[R]{Kind: v.Kind, Node: n, Op: "constant"}
	switch v.Kind {
	case Bool:
		e.Bool = alwaysValue[R](v.Bool)
	case Int:
		e.Int = alwaysValue[R](v.Int)
	case String, Number:
		e.Text = alwaysValue[R](v.Text)
	case Address:
		e.Addr = alwaysValue[R](&v.Addr)
	case Amount:
		e.Amount = alwaysValue[R](&v.Amount)
	}
	return e
}

func alwaysValue[R, T any](v T) Getter[R, T] { return func(*Frame[R]) (T, error) { return v, nil } }

// Read is the node of a field.
func Read[R any](n ast.Node, f *Field[R]) *Expr[R] {
	e := &Expr[R]{Kind: f.Kind, Node: n, Op: "field", Name: f.Name, Field: f}
	switch {
	case f.IntAt != nil:
		e.Int = readFieldAt(f.IntAt)
		return e
	case f.TextAt != nil:
		e.Text = readFieldAt(f.TextAt)
		return e
	}
	switch f.Kind {
	case Bool:
		e.Bool = readField(f.Bool)
	case Int:
		e.Int = readField(f.Int)
	case String, Number:
		e.Text = readField(f.Text)
	case Address:
		e.Addr = readField(f.Addr)
	case Amount:
		e.Amount = readField(f.Amount)
	}
	return e
}

func readField[R, T any](get func(*R) T) Getter[R, T] {
	return func(f *Frame[R]) (T, error) { return get(f.Request), nil }
}

func readFieldAt[R, T any](at func(*R) *T) Getter[R, T] {
	return func(f *Frame[R]) (T, error) { return *at(f.Request), nil }
}

// Variable wraps e so that it is computed at most once a frame, in slot i.
func Variable[R any](name string, e *Expr[R], i int) *Expr[R] {
	v := &Expr[R]{Kind: e.Kind, Node: e.Node, Op: "variable", Name: name, Kids: []*Expr[R]{e}, Parts: e.CountParts()}
	switch e.Kind {
	case Bool:
		v.Bool = computeOnce(e.Bool, i, func(s *Slot) *bool { return &s.bool })
	case Int:
		v.Int = computeOnce(e.Int, i, func(s *Slot) *int64 { return &s.int })
	case String, Number:
		v.Text = computeOnce(e.Text, i, func(s *Slot) *string { return &s.text })
	case Address:
		v.Addr = computeOnce(e.Addr, i, func(s *Slot) **common.Address { return &s.addr })
	case Amount:
		v.Amount = computeOnce(e.Amount, i, func(s *Slot) **money.Amount { return &s.amount })
	}
	return v
}

func computeOnce[R, T any](get Getter[R, T], i int, place func(*Slot) *T) Getter[R, T] {
	return func(f *Frame[R]) (T, error) {
		s := &f.Vars[i]
		if !s.done {
			*place(s), s.err = get(f)
			s.done = true
		}
		return *place(s), s.err
	}
}

// Not is the negation of a condition.
func Not[R any](n ast.Node, e *Expr[R]) *Expr[R] {
	return &Expr[R]{Kind: Bool, Node: n, Op: "!", Kids: []*Expr[R]{e},
		Bool: func(f *Frame[R]) (bool, error) { b, err := e.Bool(f); return !b && err == nil, err }}
}

// And is the conjunction of two conditions.
func And[R any](l, r *Expr[R]) *Expr[R] {
	return &Expr[R]{Kind: Bool, Op: "&&", Kids: []*Expr[R]{l, r}, Bool: decideInOrder(l.Bool, r.Bool, false)}
}

// Negative is an int with the other sign.
func Negative[R any](n ast.Node, e *Expr[R]) *Expr[R] {
	return &Expr[R]{Kind: Int, Node: n, Op: "neg", Kids: []*Expr[R]{e}, Int: func(f *Frame[R]) (int64, error) {
		i, err := e.Int(f)
		if err != nil {
			return 0, err
		}
		return SubInt(0, i)
	}}
}

// Binary is the node of an operator whose sides are of one kind, or nil if the operator is not for that kind.
func Binary[R any](n ast.Node, op string, l, r *Expr[R]) *Expr[R] {
	e := &Expr[R]{Kind: Bool, Node: n, Op: op, Kids: []*Expr[R]{l, r}}
	switch op {
	case "&&", "||":
		if l.Kind == Bool {
			e.Bool = decideInOrder(l.Bool, r.Bool, op == "||")
		}
	case "==", "!=":
		e.Bool = equalSides(l, r, op == "==")
	case "<", "<=", ">", ">=":
		switch l.Kind {
		case Int:
			e.Bool = orderSides(l, r, intOf, orderInts[op])
		case Amount:
			e.Bool = orderSides(l, r, amountOf, orderAmounts[op])
		case Number:
			e.Bool = orderSides(l, r, textOf, orderNumbers[op])
		}
	case "contains", "startsWith", "endsWith":
		if l.Kind == String {
			e.Bool = orderSides(l, r, textOf, findTexts[op])
		}
	case "+", "-", "*":
		e.Kind = l.Kind
		switch l.Kind {
		case Int:
			e.Int = joinSides(l.Int, r.Int, calculateInts[op])
		case Amount:
			if do := calculateAmounts[op]; do != nil {
				e.Amount = joinSides(l.Amount, r.Amount, do)
			}
		}
	}
	if e.Bool == nil && e.Int == nil && e.Amount == nil {
		return nil
	}
	return e
}

// decideInOrder evaluates in expr's order: the right side is not looked at, and cannot fail, once the left one says
// stop.
func decideInOrder[R any](l, r Getter[R, bool], stop bool) Getter[R, bool] {
	return func(f *Frame[R]) (bool, error) {
		if b, err := l(f); err != nil || b == stop {
			return b, err
		}
		return r(f)
	}
}

// joinSides evaluates two sides, the left one first, and joins what they say. What fails is the zero value.
func joinSides[R, T, Out any](l, r Getter[R, T], join func(a, b T) (Out, error)) Getter[R, Out] {
	return func(f *Frame[R]) (out Out, err error) {
		a, err := l(f)
		if err != nil {
			return out, err
		}
		b, err := r(f)
		if err != nil {
			return out, err
		}
		return join(a, b)
	}
}

// orderSides is [both] for relations. Most of them are with a constant, which is then not asked for each time.
func orderSides[R, T any](l, r *Expr[R], get func(*Expr[R]) Getter[R, T], holds func(a, b T) (bool, error)) Getter[R,
	bool] {
	left := get(l)
	if r.Op != "constant" {
		return joinSides(left, get(r), holds)
	}
	bound, err := get(r)(nil)
	if err != nil { // a constant has a value; if one has none, the relation has none
		return joinSides(left, get(r), holds)
	}
	return func(f *Frame[R]) (bool, error) {
		a, err := left(f)
		if err != nil {
			return false, err
		}
		return holds(a, bound)
	}
}

// The getters of an expression, by kind.
func intOf[R any](e *Expr[R]) Getter[R, int64]            { return e.Int }
func textOf[R any](e *Expr[R]) Getter[R, string]          { return e.Text }
func addrOf[R any](e *Expr[R]) Getter[R, *common.Address] { return e.Addr }
func amountOf[R any](e *Expr[R]) Getter[R, *money.Amount] { return e.Amount }

func equalSides[R any](l, r *Expr[R], want bool) Getter[R, bool] {
	switch l.Kind {
	case Bool:
		return joinSides(l.Bool, r.Bool, isSame[bool](want))
	case Int:
		return orderSides(l, r, intOf, isSame[int64](want))
	case String, Number:
		return orderSides(l, r, textOf, isSame[string](want))
	case Address:
		return orderSides(l, r, addrOf, func(a, b *common.Address) (bool, error) { return (*a == *b) == want, nil })
	}
	return orderSides(l, r, amountOf, orderedBy(money.Compare, func(c int) bool { return (c == 0) == want }))
}

func isSame[T comparable](want bool) func(a, b T) (bool, error) {
	return func(a, b T) (bool, error) { return (a == b) == want, nil }
}

var (
	orderInts = map[string]func(a, b int64) (bool, error){
		"<":  func(a, b int64) (bool, error) { return a < b, nil },
		"<=": func(a, b int64) (bool, error) { return a <= b, nil },
		">":  func(a, b int64) (bool, error) { return a > b, nil },
		">=": func(a, b int64) (bool, error) { return a >= b, nil },
	}
	orderAmounts = map[string]func(a, b *money.Amount) (bool, error){
		"<": func(a, b *money.Amount) (bool, error) { c, err := money.Compare(a, b); return c < 0 && err == nil, err },
		"<=": func(a, b *money.Amount) (bool, error) {
			c, err := money.Compare(a, b)
			return c <= 0 && err == nil, err
		},
		">": func(a, b *money.Amount) (bool, error) { c, err := money.Compare(a, b); return c > 0 && err == nil, err },
		">=": func(a, b *money.Amount) (bool, error) {
			c, err := money.Compare(a, b)
			return c >= 0 && err == nil, err
		},
	}
	orderNumbers = map[string]func(a, b string) (bool, error){
		"<":  orderedBy(CompareNumbers, func(c int) bool { return c < 0 }),
		"<=": orderedBy(CompareNumbers, func(c int) bool { return c <= 0 }),
		">":  orderedBy(CompareNumbers, func(c int) bool { return c > 0 }),
		">=": orderedBy(CompareNumbers, func(c int) bool { return c >= 0 }),
	}
	findTexts = map[string]func(a, b string) (bool, error){
		"contains":   func(a, b string) (bool, error) { return strings.Contains(a, b), nil },
		"startsWith": func(a, b string) (bool, error) { return strings.HasPrefix(a, b), nil },
		"endsWith":   func(a, b string) (bool, error) { return strings.HasSuffix(a, b), nil },
	}
	calculateInts    = map[string]func(a, b int64) (int64, error){"+": AddInt, "-": SubInt, "*": MulInt}
	calculateAmounts = map[string]func(a, b *money.Amount) (*money.Amount, error){
		"+": func(a, b *money.Amount) (*money.Amount, error) { m, err := a.Add(*b); return &m, err },
		"-": func(a, b *money.Amount) (*money.Amount, error) { m, err := a.Sub(*b); return &m, err },
	}
)

// orderedBy makes a relation of a comparison.
func orderedBy[T any](compare func(a, b T) (int, error), holds func(int) bool) func(a, b T) (bool, error) {
	return func(a, b T) (bool, error) {
		c, err := compare(a, b)
		return err == nil && holds(c), err
	}
}

// In is `x in [constants]`, where the list is of x's kind: strings, ints or addresses.
func In[R any](n ast.Node, x, list *Expr[R]) *Expr[R] {
	e := &Expr[R]{Kind: Bool, Node: n, Op: "in", Kids: []*Expr[R]{x, list}}
	members := list.List
	switch x.Kind {
	case Int:
		e.Bool = isAmong(x.Int, members, func(v *Value, i int64) bool { return v.Int == i })
	case String:
		e.Bool = isAmong(x.Text, members, func(v *Value, s string) bool { return v.Text == s })
	case Address:
		e.Bool = isAmong(x.Addr, members, func(v *Value, a *common.Address) bool { return v.Addr == *a })
	}
	return e
}

func isAmong[R, T any](get Getter[R, T], members []Value, is func(*Value, T) bool) Getter[R, bool] {
	return func(f *Frame[R]) (bool, error) {
		x, err := get(f)
		if err != nil {
			return false, err
		}
		for i := range members {
			if is(&members[i], x) {
				return true, nil
			}
		}
		return false, nil
	}
}

// IsOneOf is the condition that a field has one of the values.
func IsOneOf[R any](f *Field[R], of ...Value) *Expr[R] {
	n := &ast.IdentifierNode{Value: f.Name}
	return In(n, Read(n, f), &Expr[R]{Op: "list", List: slices.Clone(of)})
}
