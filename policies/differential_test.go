package policies

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr/vm"
	"pgregory.net/rapid"

	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/internal/cond"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// laboratory is a scope with some of everything.
func laboratory(p Point) *scope {
	fields, _ := Fields(p)
	a1, a2 := common.HexToAddress("0xa1"), common.HexToAddress("0xa2")
	sc := &scope{
		point: p, fields: fields, noArgs: "none here", zone: programZone,
		assets:  map[string]money.Asset{"usdc": usdcAsset, "eth": ethAsset, "calls": money.Calls, "tokens": money.Tokens, "usd": money.USD},
		budgets: map[string]BudgetDef{"day": {ID: "operator/day", Cap: usdc(100), Scope: "wallet"}, "gone": {ID: "operator/gone", Cap: usdc(9), Scope: "wallet"}},
		sets: map[string]*namedSet{
			"friends": {kind: cond.Address, addresses: map[common.Address]struct{}{a1: {}, a2: {}},
				members: []value{{Kind: cond.Address, Addr: a1}, {Kind: cond.Address, Addr: a2}}},
			"names": {kind: cond.String, strings: map[string]struct{}{"pay": {}, "": {}},
				members: []value{{Kind: cond.String}, {Kind: cond.String, Text: "pay"}}},
		},
	}
	l := &loader{set: &Set{}}
	sc.ask, sc.tools = l.noteQuestion, transferTools
	asked.Store(sc, l.set)
	if p == ToolCall {
		sc.args = map[string]arg.Kind{}
		for _, x := range transferTools[2].Params {
			sc.args[x.Name] = x.Kind
		}
	}
	return sc
}

// asked has what the conditions of a laboratory ask of the past.
var asked sync.Map

// drawPast gives r a past, as far as sc asks of one.
func drawPast(t *rapid.T, sc *scope, r *Request) {
	set, _ := asked.Load(sc)
	r.Past = Layers{set.(*Set)}.Past()
	at := pick[int64](t, "first act", 0, 1, 1_779_999_000_000)
	var older Past
	for range rapid.IntRange(0, 6).Draw(t, "acts") {
		at += pick[int64](t, "later", 0, 1, 1999, 2000, 3_600_000)
		older = r.Past
		r.Past = r.Past.With(drawAct(t, at))
		if rapid.IntRange(0, 3).Draw(t, "fork") == 0 { // a step that was not committed is forgotten
			r.Past = older.With(drawAct(t, at))
		}
		if rapid.Bool().Draw(t, "moves") {
			r.Past = r.Past.At(at)
		}
	}
	for range rapid.IntRange(0, 2).Draw(t, "flying") {
		r.Flying = append(r.Flying, drawAct(t, 0))
	}
}

func drawAct(t *rapid.T, at int64) Act {
	a := Act{Tool: pick(t, "tool", "erc20.transfer", "erc20.transfer", "chain.balance"), Class: pick(t, "class", "chain", "read"), At: at,
		OK: rapid.IntRange(0, 3).Draw(t, "ok") > 0}
	if rapid.Bool().Draw(t, "moves value") {
		a.Amount = drawAmount(t)
	}
	for _, x := range transferTools[2].Params {
		a.Args = append(a.Args, arg.Value{Name: x.Name, Kind: x.Kind, Set: rapid.IntRange(0, 9).Draw(t, "set") > 0,
			Text: pick(t, "text", "", "pay"), Int: pick[int64](t, "int", 0, 1, 2), Addr: pick(t, "addr", common.Address{}, common.HexToAddress("0xa1")),
			Amount: drawAmount(t)})
	}
	return a
}

// programZone returns a zone as it comes with the program.
func programZone(name string) (*calendar.Zone, error) {
	rules, ok := calendar.Rules(name)
	if !ok {
		return nil, fmt.Errorf("there is no time zone %q", name)
	}
	return calendar.NewZone(name, rules)
}

// pick draws one of the values.
func pick[T any](t *rapid.T, name string, of ...T) T { return rapid.SampledFrom(of).Draw(t, name) }

func drawAmount(t *rapid.T) money.Amount {
	asset := pick(t, "asset", usdcAsset, usdcAsset, usdcAsset, ethAsset, money.Calls)
	m, _ := money.FromUnits(asset, pick(t, "units", "0", "1", "99", "100", "101", "5000000",
		"115792089237316195423570985008687907853269984665640564039457584007913129639935"))
	return m
}

func drawNumber(t *rapid.T) string { return pick(t, "number", "0", "-1.5", "1.25", "1e-9", "1e+100") }

func drawRequest(t *rapid.T, p Point) *Request {
	num := func() int64 {
		return pick[int64](t, "int", 0, 1, 2, 3, 100, -1, 1_780_000_000_000, math.MaxInt64, math.MinInt64)
	}
	text := func() string {
		return pick(t, "text", "", "pay", "payment", "read", "USDC", "10.0.0.7", "::ffff:10.0.0.7", "fd00::1")
	}
	addr := func() common.Address {
		return pick(t, "addr", common.Address{}, common.HexToAddress("0xa1"), common.HexToAddress("0xff"))
	}
	r := &Request{
		Point: p, Now: num(), Agent: text(), Wallet: addr(), Chain: num(), Expires: num(), Turn: num(), Calls: num(),
		Tool: text(), Class: text(), Amount: drawAmount(t), To: addr(), Model: text(), Kind: text(), Provider: text(),
		Tokens: num(), Cost: num(), Size: num(), Approved: rapid.Bool().Draw(t, "approved"),
		Budgets: []Budget{{"operator/day", usdc(100), usdc(40), usdc(uint64(rapid.IntRange(0, 80).Draw(t, "reserved")))}},
	}
	for _, x := range transferTools[2].Params {
		said := text()
		if x.Kind == arg.Number {
			said = drawNumber(t)
		}
		r.Args = append(r.Args, arg.Value{Name: x.Name, Kind: x.Kind, Set: rapid.IntRange(0, 9).Draw(t, "set") > 0,
			Text: said, Int: num(), Bool: rapid.Bool().Draw(t, "b"), Addr: addr(), Amount: drawAmount(t)})
	}
	return r
}

// drawSource draws a well-typed expression of a kind.
func drawSource(t *rapid.T, sc *scope, k kind, depth int) string {
	leaf := depth <= 0 || rapid.IntRange(0, 3).Draw(t, "leaf") == 0
	sub := func(k kind) string { return drawSource(t, sc, k, depth-1) }
	if leaf {
		var options []string
		for _, f := range sc.fields {
			if f.Kind == k {
				options = append(options, f.Name)
			}
		}
		for _, x := range transferTools[2].Params {
			if sc.args != nil && cond.KindOf(x.Kind) == k {
				options = append(options, "args."+x.Name)
			}
			if sc.args != nil && x.Kind == arg.List && k == cond.Int {
				options = append(options, "len(args."+x.Name+")")
			}
		}
		slices.Sort(options)
		switch k {
		case cond.Bool:
			options = append(options, "true", "false", `happened("chain.balance")`, `happened("*", hours(1))`, `happened("class:chain", seconds(2))`)
			if sc.args != nil {
				options = append(options, `given("memo")`, `given("to")`, `given("order.count")`, `given("meta")`)
			}
		case cond.Int:
			options = append(options, "0", "1", "3", "100", "-1", "9223372036854775807", "hours(1)", "seconds(2)", "days(1)", `count("erc20.transfer")`, `count("*", seconds(2))`, `count("class:read", hours(1))`, "0x10", "1_000")
		case cond.String:
			options = append(options, `""`, `"pay"`, `'USDC'`, "`read`")
		case cond.Address:
			options = append(options, `addr("0x00000000000000000000000000000000000000a1")`, `addr("0x00000000000000000000000000000000000000ff")`)
		case cond.Number:
			options = append(options, `decimal("0")`, `decimal("-1.50")`, `decimal("12.5e-1")`)
		case cond.Amount:
			options = append(options, `usdc("0.0001")`, `usdc("5")`, `eth("0.000000000000000001")`, "calls(1)", `left("day")`, `spent("day")`, `left("gone")`,
				`sum("erc20.transfer", "USDC")`, `sum("*", "ETH", seconds(2))`, `sum("class:chain", "USDC", hours(1))`)
		}
		return pick(t, "leaf of "+k.String(), options...)
	}
	switch k {
	case cond.Bool:
		switch pick(t, "form", "&&", "||", "and", "or", "!", "==", "<", "in", "has", "in_set", "chain", "in_window", "in_cidr", "same") {
		case "same":
			w := pick(t, "window", ")", ", hours(1))")
			switch pick(t, "kind", cond.Int, cond.String, cond.Address, cond.Number) {
			case cond.Int:
				return "same(" + sub(cond.Int) + `, "erc20.transfer", "tries"` + w
			case cond.String:
				return "same(" + sub(cond.String) + `, "erc20.transfer", "memo"` + w
			case cond.Number:
				return "same(" + sub(cond.Number) + `, "erc20.transfer", "order.price"` + w
			}
			return "same(" + sub(cond.Address) + `, "erc20.transfer", "to"` + w
		case "in_window":
			return "in_window(" + sub(cond.Int) + pick(t, "hours", `, "Mon-Fri 09:00-18:00", "America/New_York")`, `, "22:00-06:00", "UTC")`)
		case "in_cidr":
			return "in_cidr(" + sub(cond.String) + pick(t, "nets", `, "10.0.0.0/8")`, `, "192.168.0.0/16", "fd00::/8")`)
		case "&&":
			return "(" + sub(cond.Bool) + " && " + sub(cond.Bool) + ")"
		case "||":
			return "(" + sub(cond.Bool) + " || " + sub(cond.Bool) + ")"
		case "and":
			return "(" + sub(cond.Bool) + " and " + sub(cond.Bool) + ")"
		case "or":
			return "(" + sub(cond.Bool) + " or " + sub(cond.Bool) + ")"
		case "!":
			return pick(t, "not", "!(", "not (") + sub(cond.Bool) + ")"
		case "==":
			k := pick(t, "kind", cond.Bool, cond.Int, cond.String, cond.Address, cond.Amount, cond.Number)
			return "(" + sub(k) + pick(t, "eq", " == ", " != ") + sub(k) + ")"
		case "<":
			k := pick(t, "kind", cond.Int, cond.Amount, cond.Number)
			return "(" + sub(k) + pick(t, "op", " < ", " <= ", " > ", " >= ") + sub(k) + ")"
		case "chain":
			return "(" + sub(cond.Int) + " < " + sub(cond.Int) + " <= " + sub(cond.Int) + ")"
		case "in":
			in := pick(t, "in", " in ", " not in ")
			switch pick(t, "kind", cond.Int, cond.String, cond.Address) {
			case cond.Int:
				return "(" + sub(cond.Int) + in + pick(t, "list", "[1, 2]", "[3]", "[hours(1), 0]", "[1, 2, 3, 100]") + ")"
			case cond.String:
				return "(" + sub(cond.String) + in + pick(t, "list", `["pay"]`, `["", "read", "USDC"]`) + ")"
			}
			return "(" + sub(cond.Address) + in + `[addr("0x00000000000000000000000000000000000000a1")])`
		case "has":
			return "(" + sub(cond.String) + pick(t, "op", " contains ", " startsWith ", " endsWith ", " not contains ") + sub(cond.String) + ")"
		}
		if rapid.Bool().Draw(t, "names") {
			return "in_set(" + sub(cond.String) + `, "names")`
		}
		return "in_set(" + sub(cond.Address) + `, "friends")`
	case cond.Int:
		if rapid.IntRange(0, 5).Draw(t, "neg") == 0 {
			return "-(" + sub(cond.Int) + ")"
		}
		return "(" + sub(cond.Int) + pick(t, "op", " + ", " - ", " * ") + sub(cond.Int) + ")"
	case cond.Amount:
		return "(" + sub(cond.Amount) + pick(t, "op", " + ", " - ") + sub(cond.Amount) + ")"
	}
	return sub(k)
}

// sameAsExpr holds our evaluator against expr's machine on one request: the same value, or an error from both.
func sameAsExpr(sc *scope, src string, e *expression, program *vm.Program, r *Request) error {
	got, gotErr := e.Value(&frame{Request: r})
	want, wantErr := vm.Run(program, sc.referenceEnv(r))
	switch {
	case wantErr == nil && errors.Is(gotErr, money.ErrOverflow) && hasOverflown(r):
		return nil // ours stays an error for good, expr's is of the window alone: see TestASumOutOfRangeDenies
	case (gotErr == nil) != (wantErr == nil):
		return fmt.Errorf("%s\n ours: %v (%v)\n expr: %v (%v)", src, got, gotErr, want, wantErr)
	case gotErr == nil && refValue(got) != want:
		return fmt.Errorf("%s\n ours: %v\n expr: %v", src, got, want)
	}
	return nil
}

// hasOverflown says whether the acts of the past, all together, move more of one asset than an amount holds.
func hasOverflown(r *Request) bool {
	sums := map[money.Asset]money.Amount{}
	for _, a := range r.Past.Acts() {
		sum, there := sums[a.Amount.Asset()]
		if !there {
			sums[a.Amount.Asset()] = a.Amount
			continue
		}
		more, err := sum.Add(a.Amount)
		if err != nil {
			return true
		}
		sums[a.Amount.Asset()] = more
	}
	return false
}

func TestOurEvaluatorAgreesWithExpr(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc := laboratory(pick(t, "point", Spend, ToolCall, ModelRoute))
		k := pick(t, "kind", cond.Bool, cond.Bool, cond.Bool, cond.Int, cond.Amount)
		src := drawSource(t, sc, k, 4)
		tree, cerr := parseCondition(src, operatorLimits)
		if cerr != nil {
			t.Skip(cerr.text) // too large
		}
		e, cerr := sc.compile(tree)
		if cerr != nil {
			t.Fatalf("%s is refused: %s", src, cerr.text)
		}
		program, err := sc.reference(src)
		if err != nil {
			t.Fatalf("expr refuses %s: %v", src, err)
		}
		if err := cond.Agree(e); err != nil {
			t.Fatalf("expr's checker refuses %s: %v", src, err)
		}
		for range 8 {
			r := drawRequest(t, sc.point)
			drawPast(t, sc, r)
			if err := sameAsExpr(sc, src, e, program, r); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// What the normal form says must be what the source says, since explanations and static checks go by it.
func TestNormalFormMeansTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sc := laboratory(pick(t, "point", Spend, ToolCall))
		src := drawSource(t, sc, cond.Bool, 3)
		e := compiled(sc, src)
		if e == nil {
			t.Skip("too large")
		}
		again := compiled(sc, e.Source())
		if again == nil {
			t.Fatalf("%s has the normal form %s, which is refused", src, e.Source())
		}
		r := drawRequest(t, sc.point)
		drawPast(t, sc, r)
		a, aerr := e.Value(&frame{Request: r})
		b, berr := again.Value(&frame{Request: r})
		if a != b || (aerr == nil) != (berr == nil) {
			t.Fatalf("%s is %v (%v), but %s is %v (%v)", src, a, aerr, e.Source(), b, berr)
		}
	})
}

func compiled(sc *scope, src string) *expression {
	tree, err := parseCondition(src, operatorLimits)
	if err != nil {
		return nil
	}
	e, err := sc.compile(tree)
	if err != nil {
		return nil
	}
	return e
}

// FuzzExpr: whatever text gets through the gate, expr accepts it too and evaluates it to the same.
func FuzzExpr(f *testing.F) {
	for _, src := range []string{
		`amount <= usdc("10") && in_set(to, "friends")`, `2 < turn < 4`, `tool not in ["a", "b"] and !(calls * -2 > -3)`,
		`args.to == wallet || given("memo") && args.memo contains "x"`, `left("day") - amount >= usdc("1")`, "tool == `x` // y",
		`to | in_set("friends")`, `tokens > 1_000`, `expires - now < hours(1)`, `in_window(now, "Mon-Fri 09:00-18:00", "Europe/Berlin")`, `!in_cidr(tool, "10.0.0.0/8")`,
		`count("erc20.transfer", hours(1)) >= 3 && !same(to, "erc20.transfer", "to")`, `sum("*", "USDC") + amount > usdc("5")`, `!happened("chain.balance")`,
	} {
		f.Add(src)
	}
	var base *Request
	requests := func(p Point) []*Request {
		base = &Request{Point: p, Now: 5, Turn: 3, Tool: "a", Amount: usdc(7), To: common.HexToAddress("0xa1"),
			Args:    []arg.Value{{Name: "to", Kind: arg.Address, Set: true}, {Name: "memo", Kind: arg.String}},
			Budgets: []Budget{{"operator/day", usdc(100), usdc(1), usdc(2)}}}
		big := *base
		big.Now, big.Calls, big.Amount, big.Approved = math.MaxInt64, math.MinInt64, eth(3), true
		return []*Request{base, &big, {Point: p}}
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, p := range []Point{Spend, ToolCall, ModelRoute} {
			sc := laboratory(p)
			e := compiled(sc, src)
			if e == nil {
				continue
			}
			program, err := sc.reference(src)
			if err != nil {
				continue // Load refuses it: both must agree
			}
			set, _ := asked.LoadAndDelete(sc)
			for i, r := range requests(p) {
				r.Past = Layers{set.(*Set)}.Past().With(Act{Tool: "chain.balance", Class: "read", OK: true}).
					With(Act{Tool: "erc20.transfer", Class: "chain", At: int64(i), OK: i > 0, Amount: usdc(uint64(i) * 3), Args: base.Args})
				if err := sameAsExpr(sc, src, e, program, r); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// FuzzLoad: no source kills the loader; one that loads is kept as it is, decides twice the same, and never permits
// what a set that denies everything is layered with.
func FuzzLoad(f *testing.F) {
	for _, name := range BuiltinNames() {
		src, _ := Builtin(name)
		f.Add(string(src))
	}
	f.Add(head + "variables: {late: 'now > 5'}\nrules: [{id: a, at: output, effect: approve, ttl: 60s, unless: late}]\n")
	deny, _ := Builtin("deny-all")
	none, err := Load(deny, Options{Layer: "none"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src string) {
		s, err := Load([]byte(src), Options{Layer: "operator", Tools: transferTools})
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
			return
		}
		if string(s.Source()) != src {
			t.Error("the source has changed")
		}
		for _, p := range points {
			r := &Request{Point: p.point, Tool: "erc20.transfer", Class: "chain", Amount: usdc(5), Kind: "rules"}
			a, b := Layers{s}.Decide(r), Layers{s}.Decide(r)
			if fmt.Sprint(a) != fmt.Sprint(b) {
				t.Errorf("two answers: %+v and %+v", a, b)
			}
			if d := (Layers{s, none}).Decide(r); d.Outcome != Deny && p.point != ProvenancePublish { // what happened is kept, sealed
				t.Errorf("layered with deny-all it says %s", d.Outcome)
			}
		}
	})
}
