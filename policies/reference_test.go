package policies

import (
	"fmt"
	"math/big"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// The reference is expr itself: the differential tests hold its virtual machine against our evaluator. These types have
// no exported fields and no methods, so a condition can do nothing with them but what our functions and operators do.
type (
	refRequest struct{ r *Request }
	refAmount  struct{ m money.Amount }
	refAddress struct{ a common.Address }
	refNumber  struct{ s string }
)

// reference compiles src with expr. It is told of those operators and functions only that src has: for each operator
// expr checks the whole tree once more.
func (sc *scope) reference(src string) (*vm.Program, error) {
	// count and sum would be loops of expr's own; refRename gives them their way.
	// No optimizer: it makes `x || true` true where evaluating x fails, and a rule that errs must deny.
	opts := []expr.Option{
		expr.Env(sc.referenceEnv(nil)), expr.DisableAllBuiltins(), expr.Optimize(false), expr.Patch(refRename{sc})}
	for name := range ourOwn {
		opts = append(opts, expr.Function(name, func(...any) (any, error) { return nil, errNoHistory }))
	}
	where := func(word, name string, f func(p ...any) (any, error), types ...any) {
		if strings.Contains(src, word) {
			opts = append(opts, expr.Function("fn_"+name, f, types...))
		}
	}
	fn := func(name string, f func(p ...any) (any, error), types ...any) { where(name, name, f, types...) }
	operator := func(op, name string, f func(p ...any) (any, error), typ any) {
		if strings.Contains(src, op) {
			opts = append(opts, expr.Function("fn_"+name, f, typ), expr.Operator(op, "fn_"+name))
		}
	}
	for _, op := range []string{"+", "-", "*"} {
		do := map[string]func(a, b int64) (int64, error){"+": cond.AddInt, "-": cond.SubInt, "*": cond.MulInt}[op]
		operator(op, "int"+op, func(p ...any) (any, error) {
			i, err := do(int64(p[0].(int)), int64(p[1].(int)))
			return int(i), err
		}, new(func(int, int) int))
		if op == "*" {
			continue
		}
		operator(op, "amount"+op, func(p ...any) (any, error) {
			a, b := p[0].(refAmount).m, p[1].(refAmount).m
			var m money.Amount
			var err error
			if op == "+" {
				m, err = a.Add(b)
			} else {
				m, err = a.Sub(b)
			}
			return refAmount{m}, err
		}, new(func(refAmount, refAmount) refAmount))
	}
	where("-", "neg", func(p ...any) (any, error) {
		i, err := cond.SubInt(0, int64(p[0].(int)))
		return int(i), err
	}, new(func(int) int))
	holds := map[string]func(int) bool{
		"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
		">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 },
		"==": func(c int) bool { return c == 0 }, "!=": func(c int) bool { return c != 0 },
	}
	for _, op := range []string{"<", "<=", ">", ">=", "==", "!="} {
		operator(op, "cmp"+op, func(p ...any) (any, error) {
			c, err := p[0].(refAmount).m.Cmp(p[1].(refAmount).m)
			return err == nil && holds[op](c), err
		}, new(func(refAmount, refAmount) bool))
		operator(op, "num"+op, func(p ...any) (any, error) {
			a, _ := new(big.Rat).SetString(p[0].(refNumber).s)
			b, _ := new(big.Rat).SetString(p[1].(refNumber).s)
			return holds[op](a.Cmp(b)), nil
		}, new(func(refNumber, refNumber) bool))
	}
	lit := func(name string, arg any) (any, error) {
		n := &ast.CallNode{Callee: &ast.IdentifierNode{Value: name}, Arguments: []ast.Node{&ast.NilNode{}}}
		switch a := arg.(type) {
		case string:
			n.Arguments[0] = &ast.StringNode{Value: a}
		case int:
			n.Arguments[0] = &ast.IntegerNode{Value: a}
		}
		v, err := sc.literalValue(n, name)
		if err != nil {
			return nil, err
		}
		return refValue(v), nil
	}
	for name := range sc.assets {
		fn(name, func(p ...any) (any, error) { return lit(name, p[0]) },
			new(func(string) refAmount), new(func(int) refAmount))
	}
	fn("decimal", func(p ...any) (any, error) { return lit("decimal", p[0]) }, new(func(string) refNumber))
	fn("addr", func(p ...any) (any, error) { return lit("addr", p[0]) }, new(func(string) refAddress))
	for name := range milliseconds {
		fn(name, func(p ...any) (any, error) { return lit(name, p[0]) }, new(func(int) int))
	}
	fn("in_set", func(p ...any) (any, error) {
		set := sc.sets[p[1].(string)]
		in := false
		switch x := p[0].(type) {
		case string:
			_, in = set.strings[x]
		case refAddress:
			_, in = set.addresses[x.a]
		}
		return in, nil
	}, new(func(string, string) bool), new(func(refAddress, string) bool))
	sc.referenceHistory(fn)
	fn("in_window", func(p ...any) (any, error) {
		w, err := calendar.ParseWeekly(p[1].(string))
		if err != nil {
			return nil, err
		}
		z, err := sc.findZone(p[2].(string))
		if err != nil {
			return nil, err
		}
		return w.Holds(z, int64(p[0].(int)))
	}, new(func(int, string, string) bool))
	fn("in_cidr", func(p ...any) (any, error) {
		var list []string
		for _, s := range p[1:] {
			list = append(list, s.(string))
		}
		nets, err := parsePrefixes(list)
		if err != nil {
			return nil, err
		}
		return inPrefixes(p[0].(string), nets)
	}, new(func(string, ...string) bool))
	fn("given", func(p ...any) (any, error) {
		name := p[1].(string)
		return findArg(p[0].(refRequest).r, name, sc.args[name]) != nil, nil
	}, new(func(refRequest, string) bool))
	fn("from", func(p ...any) (any, error) {
		return p[0].(refRequest).r.Label.From(p[1].(string)), nil
	}, new(func(refRequest, string) bool))
	for _, name := range []string{"left", "spent"} {
		fn(name, func(p ...any) (any, error) {
			m, err := measureBudget(name, p[0].(refRequest).r, sc.budgets[p[1].(string)])
			return refAmount{m}, err
		}, new(func(refRequest, string) refAmount))
	}
	argument := func(p ...any) (any, error) {
		name := p[1].(string)
		a := findArg(p[0].(refRequest).r, name, sc.args[name])
		if a == nil {
			return nil, fmt.Errorf("no argument %s", name)
		}
		if a.Kind == arg.List {
			return int(a.Int), nil
		}
		return refValue(value{Kind: cond.KindOf(a.Kind), Bool: a.Bool, Int: a.Int, Text: a.Text, Addr: a.Addr, Amount: a.Amount}), nil
	}
	where("args", "arg_bool", argument, new(func(refRequest, string) bool))
	where("args", "arg_int", argument, new(func(refRequest, string) int))
	where("args", "arg_list", argument, new(func(refRequest, string) int))
	where("args", "arg_string", argument, new(func(refRequest, string) string))
	where("args", "arg_address", argument, new(func(refRequest, string) refAddress))
	where("args", "arg_number", argument, new(func(refRequest, string) refNumber))
	where("args", "arg_amount", argument, new(func(refRequest, string) refAmount))
	return expr.Compile(src, opts...)
}

// referenceEnv is the flat environment as expr reads it. A nil r gives the types.
func (sc *scope) referenceEnv(r *Request) map[string]any {
	if r == nil {
		r = &Request{}
	}
	env := map[string]any{"fn_request": refRequest{r}}
	f := &frame{Request: r}
	for i := range sc.fields {
		v, _ := cond.Read(nil, &sc.fields[i]).Value(f)
		env[sc.fields[i].Name] = refValue(v)
	}
	for name, e := range sc.vars {
		if e != nil {
			env[name] = refValue(value{Kind: e.Kind})
		}
	}
	return env
}

func refValue(v value) any {
	switch v.Kind {
	case cond.Bool:
		return v.Bool
	case cond.Int:
		return int(v.Int)
	case cond.String:
		return v.Text
	case cond.Address:
		return refAddress{v.Addr}
	case cond.Number:
		return refNumber{v.Text}
	}
	return refAmount{v.Amount}
}

// refRename puts our functions out of the way of fields of the same name (tokens, calls), and gives the request to
// those that read it.
type refRename struct{ sc *scope }

func (p refRename) Visit(n *ast.Node) {
	request := &ast.IdentifierNode{Value: "fn_request"}
	switch x := (*n).(type) {
	case *ast.CallNode:
		c, ok := x.Callee.(*ast.IdentifierNode)
		if !ok || strings.HasPrefix(c.Value, "fn_") {
			return
		}
		args := x.Arguments
		switch c.Value {
		case "len":
			ast.Patch(n, args[0])
			return
		case "given", "left", "spent", "from", "count", "sum", "happened", "same":
			args = append([]ast.Node{request}, args...)
		}
		ast.Patch(n, &ast.CallNode{Callee: &ast.IdentifierNode{Value: "fn_" + c.Value}, Arguments: args})
	case *ast.MemberNode:
		if name, ok := x.Property.(*ast.StringNode); ok {
			path := name.Value
			if of, ok := x.Node.(*ast.CallNode); ok { // args.order of args.order.amount, which was visited before
				path = of.Arguments[1].(*ast.StringNode).Value + "." + path
			}
			ast.Patch(n, &ast.CallNode{Callee: &ast.IdentifierNode{Value: "fn_arg_" + string(p.sc.args[path])},
				Arguments: []ast.Node{request, &ast.StringNode{Value: path}}})
		}
	case *ast.UnaryNode:
		if x.Operator == "-" {
			ast.Patch(n, &ast.CallNode{Callee: &ast.IdentifierNode{Value: "fn_neg"}, Arguments: []ast.Node{x.Node}})
		}
	}
}

// referenceHistory defines the history functions the slow way: each walks over all acts, every time.
func (sc *scope) referenceHistory(fn func(name string, f func(p ...any) (any, error), types ...any)) {
	walk := func(q *question, r *Request, done func(a *Act, flying bool)) error {
		if r.Past.plan == nil {
			return errNoHistory
		}
		for _, a := range r.Past.Acts() {
			if q.isAbout(&a) && q.isWithin(a.At, r.Now) {
				done(&a, false)
			}
		}
		for _, a := range r.Flying {
			if q.isAbout(&a) {
				done(&a, true)
			}
		}
		return nil
	}
	window := func(p []any, i int) int64 {
		if i < len(p) {
			return int64(p[i].(int))
		}
		return 0
	}
	fn("count", func(p ...any) (any, error) {
		n := 0
		q := &question{fn: "count", tool: p[1].(string), window: window(p, 2)}
		err := walk(q, p[0].(refRequest).r, func(*Act, bool) { n++ })
		return n, err
	}, new(func(refRequest, string) int), new(func(refRequest, string, int) int))
	fn("happened", func(p ...any) (any, error) {
		is := false
		q := &question{fn: "happened", tool: p[1].(string), window: window(p, 2)}
		err := walk(q, p[0].(refRequest).r, func(a *Act, flying bool) { is = is || a.OK && !flying })
		return is, err
	}, new(func(refRequest, string) bool), new(func(refRequest, string, int) bool))
	fn("sum", func(p ...any) (any, error) {
		asset, _ := sc.assetOf(p[2].(string))
		sum := money.Of(asset, 0)
		var over error
		q := &question{fn: "sum", tool: p[1].(string), asset: asset, window: window(p, 3)}
		err := walk(q, p[0].(refRequest).r, func(a *Act, _ bool) {
			if over == nil {
				sum, over = sum.Add(a.Amount)
			}
		})
		if err == nil {
			err = over
		}
		return refAmount{sum}, err
	}, new(func(refRequest, string, string) refAmount), new(func(refRequest, string, string, int) refAmount))
	same := func(p ...any) (any, error) {
		is := false
		q := &question{fn: "same", tool: p[2].(string), arg: p[3].(string), window: window(p, 4)}
		err := walk(q, p[0].(refRequest).r, func(a *Act, _ bool) {
			for i := range a.Args {
				if x := &a.Args[i]; x.Name == q.arg && x.Set && refValue(cond.ValueOf(x)) == p[1] {
					is = true
				}
			}
		})
		return is, err
	}
	fn("same", same,
		new(func(refRequest, bool, string, string) bool), new(func(refRequest, bool, string, string, int) bool),
		new(func(refRequest, int, string, string) bool), new(func(refRequest, int, string, string, int) bool),
		new(func(refRequest, string, string, string) bool), new(func(refRequest, string, string, string, int) bool),
		new(func(refRequest, refAddress, string, string) bool), new(func(refRequest, refAddress, string, string, int) bool),
		new(func(refRequest, refNumber, string, string) bool), new(func(refRequest, refNumber, string, string, int) bool),
		new(func(refRequest, refAmount, string, string) bool), new(func(refRequest, refAmount, string, string, int) bool))
}
