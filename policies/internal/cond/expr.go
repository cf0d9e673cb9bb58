// Package cond holds compiled conditions: their tree, how each of its nodes is evaluated, and what can be said of them
// without a request.
//
// Package policies compiles conditions into this form and decides with it; its workshop looks at it. What a condition
// reads is the type parameter R, so nothing here knows what a request is.
package cond

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/ast"

	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// A Frame is one evaluation: the request and the variables computed so far.
type Frame[R any] struct {
	Request *R
	Vars    []Slot
}

// NewFrame returns a frame for conditions with up to slots variables.
func NewFrame[R any](r *R, slots int) *Frame[R] {
	return &Frame[R]{Request: r, Vars: make([]Slot, slots)}
}

// A Slot remembers a variable, so that each is computed at most once a frame.
type Slot struct {
	done   bool
	bool   bool
	int    int64
	text   string
	addr   *common.Address
	amount *money.Amount
	err    error
}

// A Getter computes one value of a frame.
type Getter[R, T any] func(*Frame[R]) (T, error)

// A Field is one name of an environment: how conditions read it, and how tests and suggestions write it. Exactly one of
// its readers is set, by kind.
type Field[R any] struct {
	Name   string
	Kind   Kind
	Bool   func(*R) bool
	Int    func(*R) int64
	Text   func(*R) string
	Addr   func(*R) *common.Address
	Amount func(*R) *money.Amount
	Set    func(*R, Value) // nil if it follows from others

	// IntAt and TextAt stand in the place of Int and Text where the request has the value itself.
	IntAt  func(*R) *int64
	TextAt func(*R) *string

	// Ours says that a text is a word of the program's or of the operator's own, such as a tool's name. Any other comes
	// from outside, and no explanation shows it.
	Ours bool

	// Reach says how far from a user's hands the field is. A suggestion changes what is nearest.
	Reach int
}

// An Expr is one node of a condition, checked and compiled. Exactly one of its getters is set, by kind. The tree stays
// beside the getters so that a decision can be explained.
//
// The language has no loops, no recursion and no growing values, so an evaluation costs at most a step a node; the
// gate bounds the nodes. That is why it needs no fuel.
type Expr[R any] struct {
	Kind  Kind
	Node  ast.Node // for its source text
	Op    string   // an operator, a function, "field", "arg", "variable", "constant" or "list"
	Kids  []*Expr[R]
	Name  string       // of the field, argument, variable, set or budget
	Field *Field[R]    // op "field"
	Arg   arg.Kind     // of the argument that is read, or asked for with "given"
	List  []Value      // op "list", or the set's members in order
	Parts int          // op "variable": of its definition, written out
	Shown string       // op "list" of what are no values: how it is shown
	Hours *Hours       // op "in_window"
	Past  fmt.Stringer // what a history function asks

	Bool   Getter[R, bool]
	Int    Getter[R, int64]
	Text   Getter[R, string]
	Addr   Getter[R, *common.Address]
	Amount Getter[R, *money.Amount]
}

// Hours are weekly hours of a place.
type Hours struct {
	Weekly calendar.Weekly
	Zone   *calendar.Zone
}

// String writes the hours as a sentence has them.
func (h *Hours) String() string { return h.Weekly.String() + " in " + h.Zone.Name() }

// Value evaluates e.
func (e *Expr[R]) Value(f *Frame[R]) (v Value, err error) {
	v.Kind = e.Kind
	switch e.Kind {
	case Bool:
		v.Bool, err = e.Bool(f)
	case Int:
		v.Int, err = e.Int(f)
	case String, Number:
		v.Text, err = e.Text(f)
	case Address:
		v.Addr, err = pointedAt(e.Addr(f))
	case Amount:
		v.Amount, err = pointedAt(e.Amount(f))
	}
	return v, err
}

func pointedAt[T any](p *T, err error) (v T, _ error) {
	if err == nil {
		v = *p
	}
	return v, err
}

// Source returns e in normal form.
func (e *Expr[R]) Source() string { return e.Node.String() }

// CountParts counts the parts of e with its variables written out. What looks at a condition looks at so many.
func (e *Expr[R]) CountParts() int {
	if e.Op == "variable" {
		return e.Parts
	}
	n := 1
	for _, k := range e.Kids {
		n += k.CountParts()
	}
	return n
}

// IsConstant says whether e plainly reads nothing of the request. A variable is taken to read something.
func (e *Expr[R]) IsConstant() bool {
	switch e.Op {
	case "field", "arg", "given", "left", "spent", "from", "variable", "count", "sum", "happened", "same":
		return false
	}
	return !slices.ContainsFunc(e.Kids, func(k *Expr[R]) bool { return !k.IsConstant() })
}

// IsFixed says whether e reads nothing of the request, not even through a variable.
func (e *Expr[R]) IsFixed() bool {
	if e.Op == "variable" {
		return e.Inner().IsFixed()
	}
	if len(e.Kids) == 0 {
		return e.Op == "constant"
	}
	return !slices.ContainsFunc(e.Kids, func(k *Expr[R]) bool { return !k.IsFixed() })
}

// MaxVariables bounds the variables of one set.
const MaxVariables = 64

// FixedValue evaluates what is fixed, or returns false if that fails.
func (e *Expr[R]) FixedValue() (Value, bool) {
	if e.Op == "constant" { // by far the most of them
		v, err := e.Value(nil)
		return v, err == nil
	}
	if !e.IsFixed() {
		return Value{}, false
	}
	v, err := e.Value(NewFrame(new(R), MaxVariables))
	return v, err == nil
}

// IsForeign says whether e is a text that comes from outside, as a whole or in part: one that no explanation shows.
func (e *Expr[R]) IsForeign() bool {
	if e.Kind != String {
		return false
	}
	switch e.Op {
	case "constant", "list":
		return false
	case "field":
		return !e.Field.Ours
	}
	return len(e.Kids) == 0 || slices.ContainsFunc(e.Kids, (*Expr[R]).IsForeign)
}

// IsTrue evaluates a condition; what fails is not true.
func (e *Expr[R]) IsTrue(f *Frame[R]) bool {
	b, err := e.Bool(f)
	return err == nil && b
}

// Inner skips the wrapper of a variable.
func (e *Expr[R]) Inner() *Expr[R] {
	for e.Op == "variable" {
		e = e.Kids[0]
	}
	return e
}

// Sides returns what an atom compares; r is nil if it stands alone.
func (e *Expr[R]) Sides() (l, r *Expr[R]) {
	if len(e.Kids) == 2 {
		return e.Kids[0], e.Kids[1]
	}
	return e, nil
}

// Opposite and Mirrored are the relations that hold when one does not, and when its sides change places.
var (
	Opposite = map[string]string{"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
	Mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
)

// Relate brings a comparison into the form "what the request says, relation, bound".
func (e *Expr[R]) Relate() (l, r *Expr[R], op string) {
	l, r = e.Sides()
	if m, ok := Mirrored[e.Op]; ok && l.IsConstant() && !r.IsConstant() {
		return r, l, m
	}
	return l, r, e.Op
}

// Listed shows a list or the name of a set.
func (e *Expr[R]) Listed(sep string) string {
	if e.Name != "" {
		return fmt.Sprintf("the set %q", e.Name)
	}
	if e.Shown != "" {
		return e.Shown
	}
	parts := make([]string, 0, 8)
	for i, v := range e.List {
		if i == 8 {
			parts = append(parts, fmt.Sprintf("... (%d)", len(e.List)))
			break
		}
		parts = append(parts, v.String())
	}
	return strings.Join(parts, sep)
}

// Signature is the text of e with its variables and sets written out, so that two sets can be compared.
func (e *Expr[R]) Signature() string {
	switch e.Op {
	case "variable":
		return e.Inner().Signature()
	case "field":
		return e.Name
	case "arg":
		return "args." + e.Name
	case "constant":
		if v, ok := e.FixedValue(); ok {
			return v.String()
		}
	case "list":
		if e.Shown != "" { // hours and networks are no values, and two of them are not alike for what they have of those
			return e.Shown
		}
		var b strings.Builder
		b.Grow(len(e.List) * (common.AddressLength + 1))
		for _, v := range e.List {
			if v.Kind == Address { // without the checksum, which costs a hash each
				b.Write(v.Addr[:])
			} else {
				b.WriteString(v.String())
			}
			b.WriteByte(',')
		}
		return b.String()
	}
	if len(e.Kids) == 0 {
		return e.Source()
	}
	parts := make([]string, len(e.Kids))
	for i, k := range e.Kids {
		parts[i] = k.Signature()
	}
	return e.Op + "(" + strings.Join(parts, "; ") + ")"
}
