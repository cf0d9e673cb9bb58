package policies

import (
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// limits bound one policy set. There are two profiles: what an operator writes, and what comes from anyone else.
type limits struct {
	source    int // bytes of the set
	rules     int
	condition int // bytes of one condition
	nesting   int // brackets in it, and depth of its tree
	nodes     int // of its tree
	written   int // of its tree with the variables written out: two that use the one above twice double it each time
}

var (
	operatorLimits  = limits{source: MaxSource, rules: 256, condition: 4 << 10, nesting: 32, nodes: 400, written: 2000}
	untrustedLimits = limits{source: 16 << 10, rules: 64, condition: 2 << 10, nesting: 16, nodes: 128, written: 500}
)

// A conditionError says what is wrong at an offset of a condition's source.
type conditionError struct {
	at         int
	text, hint string
}

func (e *conditionError) Error() string { return e.text }

func errorAt(n ast.Node, format string, args ...any) *conditionError {
	return &conditionError{at: n.Location().From, text: fmt.Sprintf(format, args...)}
}

// parseCondition reads one condition into a tree. It refuses by length, alphabet and nesting before the parser sees the
// text: expr's own parser recurses without a bound on brackets. What the tree may hold is for [scope.compile] to say.
func parseCondition(src string, lim limits) (tree ast.Node, err *conditionError) {
	if len(src) > lim.condition {
		return nil, &conditionError{text: fmt.Sprintf("the condition has %d bytes, more than %d", len(src), lim.condition)}
	}
	if strings.TrimSpace(src) == "" {
		return nil, &conditionError{text: "the condition is empty"}
	}
	depth, run := 0, 0
	for i := range len(src) {
		// The parser recurses on each of these before it counts nodes.
		if c := src[i]; c == '!' || c == '-' || c == '+' {
			if run++; run > lim.nesting {
				return nil, &conditionError{at: i, text: fmt.Sprintf("more than %d signs in a row", lim.nesting)}
			}
		} else if c != ' ' {
			run = 0
		}
		switch c := src[i]; {
		case c == '(' || c == '[' || c == '{':
			if depth++; depth > lim.nesting {
				return nil, &conditionError{at: i, text: fmt.Sprintf("brackets are nested deeper than %d", lim.nesting)}
			}
		case c == ')' || c == ']' || c == '}':
			depth--
		case c == ';':
			return nil, &conditionError{at: i, text: `";" is not part of the language`}
		case c > '~' || c < ' ' && c != '\n':
			return nil, &conditionError{at: i, text: fmt.Sprintf("character %#x is not plain ASCII", c)}
		}
	}

	c := &conf.Config{MaxNodes: uint(lim.nodes), Disabled: noBuiltins, Functions: ourOwn}
	// The parser is not ours: should it ever panic, the condition is refused and the process lives.
	defer func() {
		if p := recover(); p != nil {
			tree, err = nil, &conditionError{text: "the condition cannot be parsed"}
		}
	}()
	t, perr := parser.ParseWithConfig(src, c)
	if perr != nil {
		return nil, fromExpr(perr)
	}
	if t == nil || t.Node == nil {
		return nil, &conditionError{text: "the condition cannot be parsed"}
	}
	return t.Node, nil
}

// noBuiltins makes the parser read every function of expr's as a call of an unknown one. Never written to.
var noBuiltins = func() map[string]bool {
	m := map[string]bool{}
	for _, f := range builtin.Builtins {
		m[f.Name] = true
	}
	return m
}()

// ourOwn makes the parser read count("pay") and sum(...) as calls and not as its own loops. Never written to.
var ourOwn = conf.FunctionsTable{"count": {Name: "count"}, "sum": {Name: "sum"}}

// fromExpr keeps the sentence and the place of an error of expr's, without its drawing.
func fromExpr(err error) *conditionError {
	if e, ok := errors.AsType[*file.Error](err); ok {
		return &conditionError{at: e.From, text: strings.ReplaceAll(e.Message, "\n", " ")}
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	return &conditionError{text: text}
}

// isPlainASCII says whether s is printable ASCII. An escape in a string literal could smuggle in what the gate refuses.
func isPlainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
