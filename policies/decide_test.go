package policies

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/holiman/uint256"
	"pgregory.net/rapid"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// rulesOf writes a set of rules at tool.call: "permit: when", "forbid: when", "approve: when".
func rulesOf(lines ...string) string {
	var b strings.Builder
	b.WriteString(head + "rules:\n")
	for i, l := range lines {
		effect, when, _ := strings.Cut(l, ": ")
		fmt.Fprintf(&b, "  - {id: %s%d, at: tool.call, effect: %s, when: '%s'}\n", effect[:1], i, effect, when)
	}
	return b.String()
}

func TestPrecedenceWithinALayer(t *testing.T) {
	const overflow = "calls + 9223372036854775807 > 0" // errs for a calls above 0
	for _, c := range []struct {
		name     string
		rules    []string
		approved bool
		want     Outcome
		by       string
	}{
		{"what no rule permits is denied", []string{"permit: calls > 99"}, false, Deny, ""},
		{"a set without rules for the point denies", nil, false, Deny, ""},
		{"a permit that matches permits", []string{"permit: calls > 1"}, false, Permit, "p0"},
		{"a forbid beats a permit", []string{"permit: calls > 1", "forbid: calls > 2"}, false, Deny, "f1"},
		{"the order of the rules does not matter", []string{"forbid: calls > 2", "permit: calls > 1"}, false, Deny, "f0"},
		{"a forbid that does not match does nothing", []string{"permit: calls > 1", "forbid: calls > 99"}, false, Permit, "p0"},
		{"an approve asks for the wallet", []string{"permit: calls > 1", "approve: calls > 2"}, false, Approve, "a1"},
		{"an approve alone permits nothing", []string{"approve: calls > 2"}, false, Deny, ""},
		{"an approval satisfies an approve", []string{"permit: calls > 1", "approve: calls > 2"}, true, Permit, "p0 a1"},
		{"an approval is no permit", []string{"approve: calls > 2"}, true, Deny, ""},
		{"an approval does not lift a forbid", []string{"permit: calls > 1", "forbid: calls > 2"}, true, Deny, "f1"},
		{"a forbid beats an approve", []string{"permit: calls > 1", "approve: calls > 2", "forbid: calls > 2"}, false, Deny, "f2"},
		{"a permit that errs denies", []string{"permit: " + overflow, "permit: calls > 1"}, false, Deny, "p0"},
		{"a forbid that errs denies", []string{"forbid: " + overflow, "permit: calls > 1"}, false, Deny, "f0"},
		{"an approve that errs denies, approved or not", []string{"approve: " + overflow, "permit: calls > 1"}, true, Deny, "a0"},
		{"a decided condition is not evaluated further", []string{"permit: calls > 1 || " + overflow}, false, Permit, "p0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := rulesOf(c.rules...)
			if len(c.rules) == 0 {
				src = head + "rules: []\n"
			}
			d := Layers{mustLoad(t, "l", src)}.Decide(&Request{Point: ToolCall, Calls: 5, Approved: c.approved})
			got := strings.ReplaceAll(strings.Join(d.Rules, " "), "l/", "")
			if d.Outcome != c.want || got != c.by {
				t.Errorf("got %s by %q (%s), want %s by %q", d.Outcome, got, d.Message, c.want, c.by)
			}
			if (d.Outcome == Permit) != (d.Message == "") {
				t.Errorf("outcome %s with the message %q", d.Outcome, d.Message)
			}
		})
	}
}

func TestTheStrictestLayerWins(t *testing.T) {
	sets := map[Outcome]string{
		Permit: rulesOf("permit: calls > 1"), Approve: rulesOf("permit: calls > 1", "approve: calls > 2"), Deny: rulesOf("permit: calls > 99"),
	}
	rank := []Outcome{Permit, Approve, Deny}
	for i, a := range rank {
		for j, b := range rank {
			l := Layers{mustLoad(t, "operator", sets[a]), mustLoad(t, "grant", sets[b])}
			d := l.Decide(&Request{Point: ToolCall, Calls: 5})
			if want := rank[max(i, j)]; d.Outcome != want {
				t.Errorf("%s under %s: got %s, want %s", b, a, d.Outcome, want)
			}
		}
	}
	if d := (Layers{}).Decide(&Request{Point: ToolCall}); d.Outcome != Deny || d.Message == "" {
		t.Errorf("no layers: %+v", d)
	}
	l := Layers{mustLoad(t, "operator", sets[Permit])}
	if d := l.Decide(&Request{Point: "no.such.point", Calls: 5}); d.Outcome != Deny {
		t.Errorf("an unknown point: %+v", d)
	}
}

func TestTheShortestTTLCounts(t *testing.T) {
	approve := func(ttl string) string {
		return head + "rules: [{id: p, at: tool.call, effect: permit}, {id: a, at: tool.call, effect: approve" + ttl + "}]\n"
	}
	for _, c := range []struct {
		a, b string
		want int64
	}{{"", "", 120_000}, {", ttl: 60s", "", 60_000}, {", ttl: 5m", ", ttl: 90s", 90_000}} {
		l := Layers{mustLoad(t, "a", approve(c.a)), mustLoad(t, "b", approve(c.b))}
		if d := l.Decide(&Request{Point: ToolCall}); d.Outcome != Approve || d.TTL != c.want {
			t.Errorf("%q and %q: %s with %d ms, want %d", c.a, c.b, d.Outcome, d.TTL, c.want)
		}
	}
}

func TestToolRulesAndArguments(t *testing.T) {
	s := mustLoad(t, "operator", head+`sets: {friends: ['0x00000000000000000000000000000000000000a1']}
variables: {late: 'expires - now < minutes(5)', soon: 'late && turn > 1'}
rules:
  - {id: any, at: tool.call, effect: permit, unless: soon}
  - {id: friends, at: tool.call, tool: erc20.transfer, effect: forbid, unless: 'in_set(args.to, "friends")'}
  - {id: tokens, at: tool.call, tool: [erc20.transfer, erc20.balance], effect: forbid, when: 'args.token not in ["USDC", "ETH"]'}
  - {id: memo, at: tool.call, tool: erc20.transfer, effect: forbid, when: 'given("memo") && args.memo contains "drain"'}
  - {id: tries, at: tool.call, tool: erc20.transfer, effect: forbid, when: 'args.tries > 3'}
`)
	args := func(to string, token, memo string, tries int64) []arg.Value {
		return []arg.Value{{Name: "token", Kind: arg.String, Set: true, Text: token},
			{Name: "to", Kind: arg.Address, Set: true, Addr: common.HexToAddress(to)},
			{Name: "memo", Kind: arg.String, Set: memo != "", Text: memo},
			{Name: "tries", Kind: arg.Int, Set: tries >= 0, Int: tries}}
	}
	for _, c := range []struct {
		name string
		r    Request
		want string // the rule that denies, or ""
	}{
		{"another tool has no such rules", Request{Tool: "chain.balance"}, ""},
		{"a friend may be paid", Request{Tool: "erc20.transfer", Args: args("0xa1", "USDC", "", 1)}, ""},
		{"a stranger may not", Request{Tool: "erc20.transfer", Args: args("0xa2", "USDC", "", 1)}, "operator/friends"},
		{"a list of tools is one rule", Request{Tool: "erc20.balance", Args: args("0xa2", "DOGE", "", 1)}, "operator/tokens"},
		{"an optional argument is read if it is given", Request{Tool: "erc20.transfer", Args: args("0xa1", "USDC", "drain it", 1)}, "operator/memo"},
		{"an absent argument is an error, so a deny", Request{Tool: "erc20.transfer", Args: args("0xa1", "USDC", "", -1)}, "operator/tries"},
		{"missing arguments deny", Request{Tool: "erc20.transfer"}, "operator/friends"},
		{"an argument of another kind denies",
			Request{Tool: "erc20.transfer", Args: []arg.Value{{Name: "to", Kind: arg.String, Set: true, Text: "0xa1"}}}, "operator/friends"},
	} {
		c.r.Point, c.r.Expires = ToolCall, 10_000_000
		d := Layers{s}.Decide(&c.r)
		if c.want == "" && d.Outcome != Permit || c.want != "" && !slices.Contains(d.Rules, c.want) {
			t.Errorf("%s: got %s by %v: %s; want %q", c.name, d.Outcome, d.Rules, d.Message, c.want)
		}
	}
	late := &Request{Point: ToolCall, Tool: "chain.balance", Turn: 2, Now: 9_999_999, Expires: 10_000_000}
	if d := (Layers{s}).Decide(late); d.Outcome != Deny {
		t.Errorf("the variable does not count: %+v", d)
	}
}

func TestReservations(t *testing.T) {
	operator := mustLoad(t, "operator", head+`budgets:
  - {id: day, cap: 'usdc("100")', scope: wallet}
  - {id: calls, cap: calls(3), scope: session}
rules:
  - {id: small, at: spend, effect: permit, reserve: [{budget: day}, {budget: calls}]}
  - {id: fee, at: spend, effect: permit, when: 'amount > usdc("5")', reserve: {budget: day, amount: 'amount + usdc("1")'}}
`)
	grant := mustLoad(t, "grant", head+`budgets: [{id: total, cap: 'usdc("50")', scope: session}]
rules: [{id: pay, at: spend, effect: permit, reserve: {budget: total}}]
`)
	route := mustLoad(t, "route", head+`budgets:
  - {id: cost, cap: 'usd("0.01")', scope: session}
  - {id: tokens, cap: tokens(1000), scope: session}
rules: [{id: ask, at: model.route, effect: permit, reserve: [{budget: cost}, {budget: tokens}]}]
`)
	ledger := func(change ...Budget) []Budget {
		all := []Budget{
			{"grant/total", usdc(50e6), usdc(0), usdc(0)},
			{"operator/calls", money.Of(money.Calls, 3), money.Of(money.Calls, 0), money.Of(money.Calls, 0)},
			{"operator/day", usdc(100e6), usdc(0), usdc(0)},
			{"route/cost", money.Of(money.USD, 10_000_000), money.Of(money.USD, 0), money.Of(money.USD, 0)},
			{"route/tokens", money.Of(money.Tokens, 1000), money.Of(money.Tokens, 0), money.Of(money.Tokens, 0)},
		}
		for _, c := range change {
			for i := range all {
				if all[i].ID == c.ID {
					all[i] = c
				}
			}
		}
		return all
	}
	one := money.Of(money.Calls, 1)
	for _, c := range []struct {
		name string
		l    Layers
		r    Request
		want []Reserve // nil: denied
		says string
	}{
		{"every layer's reservations are joined", Layers{operator, grant}, Request{Point: Spend, Amount: usdc(4e6), Budgets: ledger()},
			[]Reserve{{"operator/day", usdc(4e6)}, {"operator/calls", one}, {"grant/total", usdc(4e6)}}, ""},
		{"of two rules on one budget the larger counts", Layers{operator}, Request{Point: Spend, Amount: usdc(6e6), Budgets: ledger()},
			[]Reserve{{"operator/day", usdc(7e6)}, {"operator/calls", one}}, ""},
		{"a cap can be used up", Layers{grant}, Request{Point: Spend, Amount: usdc(20e6),
			Budgets: ledger(Budget{"grant/total", usdc(50e6), usdc(20e6), usdc(10e6)})}, []Reserve{{"grant/total", usdc(20e6)}}, ""},
		{"not by one unit more", Layers{grant}, Request{Point: Spend, Amount: usdc(20e6 + 1),
			Budgets: ledger(Budget{"grant/total", usdc(50e6), usdc(20e6), usdc(10e6)})}, nil,
			"budget grant/total has a cap of 50 USDC: 20 USDC spent, 10 USDC reserved, 20.000001 USDC asked, 20 USDC left"},
		{"a ledger with a smaller cap narrows", Layers{grant}, Request{Point: Spend, Amount: usdc(20e6),
			Budgets: ledger(Budget{"grant/total", usdc(10e6), usdc(0), usdc(0)})}, nil, "10 USDC left"},
		{"a ledger with a larger cap does not widen", Layers{grant}, Request{Point: Spend, Amount: usdc(51e6),
			Budgets: ledger(Budget{"grant/total", usdc(1000e6), usdc(0), usdc(0)})}, nil, "50 USDC left"},
		{"a budget of unknown state has no room", Layers{grant}, Request{Point: Spend, Amount: usdc(1)}, nil,
			"the state of budget grant/total is not known"},
		{"another asset does not fit", Layers{grant}, Request{Point: Spend, Amount: eth(1), Budgets: ledger()}, nil, "different assets"},
		{"calls run out", Layers{operator}, Request{Point: Spend, Amount: usdc(1),
			Budgets: ledger(Budget{"operator/calls", money.Of(money.Calls, 3), money.Of(money.Calls, 2), one})}, nil, "0 calls left"},
		{"a model call draws tokens and cost", Layers{route}, Request{Point: ModelRoute, Tokens: 800, Cost: 2_000_000, Budgets: ledger()},
			[]Reserve{{"route/cost", money.Of(money.USD, 2_000_000)}, {"route/tokens", money.Of(money.Tokens, 800)}}, ""},
		{"too many tokens", Layers{route}, Request{Point: ModelRoute, Tokens: 1001, Budgets: ledger()}, nil, "1000 tokens left"},
		{"too high a cost", Layers{route}, Request{Point: ModelRoute, Cost: 10_000_001, Budgets: ledger()}, nil, "0.010000001 usd asked"},
		{"a negative cost fits nowhere", Layers{route}, Request{Point: ModelRoute, Cost: -1, Budgets: ledger()}, nil, "route/cost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.l.Decide(&c.r)
			if c.want == nil {
				if d.Outcome != Deny || len(d.Reserve) != 0 || !strings.Contains(d.Message, c.says) {
					t.Errorf("got %s: %s with %v, want a deny that says %q", d.Outcome, d.Message, d.Reserve, c.says)
				}
				return
			}
			if d.Outcome != Permit || !slices.Equal(d.Reserve, c.want) {
				t.Errorf("got %s %v (%s), want %v", d.Outcome, d.Reserve, d.Message, c.want)
			}
		})
	}
}

// An approval must not be asked for what its budget cannot pay.
func TestNoApprovalWithoutRoom(t *testing.T) {
	s := mustLoad(t, "operator", head+`budgets: [{id: day, cap: 'usdc("1")', scope: wallet}]
rules: [{id: pay, at: spend, effect: permit, reserve: {budget: day}}, {id: ask, at: spend, effect: approve}]
`)
	r := &Request{Point: Spend, Amount: usdc(2e6), Budgets: []Budget{{"operator/day", usdc(1e6), usdc(0), usdc(0)}}}
	if d := (Layers{s}).Decide(r); d.Outcome != Deny || d.TTL != 0 {
		t.Errorf("got %+v, want a deny", d)
	}
}

// The engine's arithmetic of caps equals that of big.Int, for a million random (spent, held, asked, cap) up to the edge
// of 256 bits.
func TestCapsEqualBigInt(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 50_000
	}
	rnd := rand.New(rand.NewPCG(4, 256))
	edge := new(big.Int).Lsh(big.NewInt(1), 256)
	var raw [32]byte
	units := func(b *big.Int) money.Amount {
		for i := 0; i < 32; i += 8 {
			binary.BigEndian.PutUint64(raw[i:], rnd.Uint64())
		}
		b.SetBytes(raw[:])
		switch rnd.IntN(4) {
		case 0:
			b.Rsh(b, uint(rnd.IntN(256)))
		case 1:
			b.Sub(edge, b.SetUint64(1+rnd.Uint64N(9)))
		case 2: // small ones meet each other
			b.SetUint64(rnd.Uint64N(8))
		}
		var u uint256.Int
		u.SetFromBig(b)
		return money.FromUint256(money.Calls, &u)
	}
	var limit, spent, held, asked, sum big.Int
	fits := 0
	for range n {
		capped, used, reserved, ask := units(&limit), units(&spent), units(&held), units(&asked)
		def := BudgetDef{ID: "o/b", Cap: capped}
		r := &Request{Budgets: []Budget{{"o/b", capped, used, reserved}}}
		got := roomFor(r, Layers{{budgets: []BudgetDef{def}}}, []Reserve{{"o/b", ask}}) == nil
		want := sum.Add(sum.Add(&spent, &held), &asked).Cmp(&limit) <= 0
		if got != want {
			t.Fatalf("cap %s, spent %s, reserved %s, asked %s: fits %v, want %v", &limit, &spent, &held, &asked, got, want)
		}
		if got {
			fits++
		}
	}
	if fits < n/50 || fits > n-n/50 {
		t.Errorf("only one answer is tested: %d of %d fit", fits, n)
	}
}

// Attenuation: whatever sets and requests, one more layer never turns a deny into something weaker, nor an approve
// into a permit.
func TestAddingALayerNeverWidens(t *testing.T) {
	sc := laboratory(Spend)
	var usable []string
	for _, s := range []string{
		`amount > usdc("10")`, `amount <= usdc("5")`, `asset == "USDC"`, `to == wallet`, `class == "chain"`, `turn + 1 > 3`,
		`left("day") >= amount`, `approved`, `now * 2 > 4`, `in_set(to, "friends")`,
	} {
		if compiled(sc, s) == nil && !strings.Contains(s, "friends") {
			t.Fatalf("%s does not compile", s)
		}
		usable = append(usable, s)
	}
	drawSet := func(t *rapid.T, layer string) *Set {
		var b strings.Builder
		b.WriteString(head + "sets: {friends: ['0x00000000000000000000000000000000000000a1']}\n" +
			"budgets: [{id: day, cap: 'usdc(\"0.0001\")', scope: wallet}]\nrules:\n")
		for i := range rapid.IntRange(1, 5).Draw(t, "rules") {
			effect := pick(t, "effect", "permit", "permit", "forbid", "approve")
			fmt.Fprintf(&b, "  - {id: r%d, at: spend, effect: %s", i, effect)
			if rapid.Bool().Draw(t, "when") {
				fmt.Fprintf(&b, ", when: '%s'", pick(t, "cond", usable...))
			}
			if effect != "forbid" && rapid.IntRange(0, 3).Draw(t, "reserve") == 0 {
				b.WriteString(", reserve: {budget: day}")
			}
			b.WriteString("}\n")
		}
		s, err := Load([]byte(b.String()), Options{Layer: layer})
		if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		return s
	}
	rank := map[Outcome]int{Permit: 0, Approve: 1, Deny: 2}
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSet(t, "operator"), drawSet(t, "grant")
		for range 10 {
			r := drawRequest(t, Spend)
			r.Budgets = append(r.Budgets, Budget{"grant/day", usdc(100), usdc(20), usdc(0)})
			one, other := Layers{a}.Decide(r), Layers{b}.Decide(r)
			both, turned := Layers{a, b}.Decide(r), Layers{b, a}.Decide(r)
			// Not only no weaker: exactly the stricter of the two, in either order.
			if want := max(rank[one.Outcome], rank[other.Outcome]); rank[both.Outcome] != want || rank[turned.Outcome] != want {
				t.Fatalf("%s and %s give %s and %s\n%s\n%s", one.Outcome, other.Outcome, both.Outcome, turned.Outcome, a.Source(), b.Source())
			}
			// The way that explains must say what the fast way says.
			found, reserves, rules, _ := (Layers{a, b}).listFindings(r)
			if o := outcomeOf(found); o != both.Outcome ||
				o == Permit && (!slices.Equal(reserves, both.Reserve) || !slices.Equal(rules, both.Rules)) {
				t.Fatalf("%+v, but examined: %s %v %v", both, o, reserves, rules)
			}
			if both.Outcome == Permit && len(both.Reserve) < max(len(one.Reserve), len(other.Reserve)) {
				t.Fatalf("a reservation was lost: %v, %v, %v", one.Reserve, other.Reserve, both.Reserve)
			}
			if (both.Outcome == Permit) != (both.Message == "") {
				t.Fatalf("%s with the message %q", both.Outcome, both.Message)
			}
		}
	})
}

// What Change says is true: the largest amount that it names is allowed, and one unit more is not.
func TestTheSuggestedAmountIsTheLargest(t *testing.T) {
	src, _ := Builtin("spend-with-approval")
	operator := mustLoad(t, "operator", string(src))
	rapid.Check(t, func(t *rapid.T) {
		limit := uint64(rapid.IntRange(1, 200e6).Draw(t, "cap"))
		grant, err := Load(fmt.Appendf(nil, "%sbudgets: [{id: total, cap: 'usdc(\"150\")', scope: session}]\nrules:\n"+
			"  - {id: pay, at: spend, effect: permit, reserve: {budget: total}}\n"+
			"  - {id: max, at: spend, effect: forbid, when: 'amount > usdc(\"%s\")'}\n", head, usdc(limit).Decimal()), Options{Layer: "grant"})
		if err != nil {
			t.Fatal(err)
		}
		used := uint64(rapid.IntRange(0, 150e6).Draw(t, "used"))
		l := Layers{operator, grant}
		r := &Request{Point: Spend, Class: "chain", Amount: usdc(uint64(rapid.IntRange(0, 1000e6).Draw(t, "amount"))),
			Budgets: []Budget{{"grant/total", usdc(150e6), usdc(used), usdc(0)},
				{"operator/allowance", usdc(1000e6), usdc(0), usdc(0)}, {"operator/allowance-eth", eth(1e18), eth(0), eth(0)}}}
		d := l.Decide(r)
		if d.Outcome != Deny {
			return
		}
		best := min(limit, 100e6, 150e6-used)
		if best == 0 {
			if d.Change != "" {
				t.Fatalf("nothing is left, but: %s", d.Change)
			}
			return
		}
		want := "an amount of at most " + usdc(best).String()
		if best > 50e6 {
			want += " and an approval by the wallet"
		}
		if d.Change != want {
			t.Fatalf("%s: got %q, want %q", r.Amount, d.Change, want)
		}
		r.Amount = usdc(best)
		if d := l.Decide(r); d.Outcome == Deny {
			t.Fatalf("the suggested %s is denied: %s", r.Amount, d.Message)
		}
		r.Amount = usdc(best + 1)
		if d := l.Decide(r); d.Outcome != Deny {
			t.Fatalf("%s passes too", r.Amount)
		}
	})
}

func TestASetMayBeUsedByManyAtOnce(t *testing.T) {
	l := Layers{mustLoad(t, "operator", head+`variables: {big: 'size > 10', bigger: 'big && size > 20'}
rules: [{id: p, at: output, effect: permit, unless: bigger}]
`)}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 500 {
				size := int64((i*7 + n) % 40)
				if d := l.Decide(&Request{Point: Output, Size: size}); (d.Outcome == Permit) != (size <= 20) {
					t.Errorf("size %d: %s", size, d.Outcome)
				}
			}
		})
	}
	wg.Wait()
}

func TestRouteConditions(t *testing.T) {
	r := &Request{Point: ModelRoute, Model: "small", Kind: "model", Tokens: 900, Cost: 2_000_000, Turn: 1}
	for _, c := range []struct {
		when string
		want bool
	}{
		{"true", true}, {"false", false}, {`tokens < 1000 && kind == "model"`, true}, {`cost <= usd("0.001")`, false}, {"turn == 0", false},
	} {
		rc, err := CompileRoute(c.when)
		if err != nil {
			t.Errorf("%s: %v", c.when, err)
			continue
		}
		if got, err := rc.Holds(r); err != nil || got != c.want {
			t.Errorf("%s: got %v, %v; want %v", c.when, got, err, c.want)
		}
	}
	for when, want := range map[string]string{
		"":                      "route condition 1:1: the condition is empty",
		"tokns < 5":             `route condition 1:1: unknown name "tokns" at model.route; did you mean "tokens"?`,
		"tokens":                "route condition 1:1: a route condition must be a bool, not an int",
		"amount > calls(1)":     `route condition 1:1: "amount" is known only at spend, not at model.route`,
		strings.Repeat("(", 99): "route condition 1:33: brackets are nested deeper than 32",
	} {
		if _, err := CompileRoute(when); err == nil || err.Error() != want {
			t.Errorf("%.20q: got %v, want %s", when, err, want)
		}
	}
	rc, err := CompileRoute("tokens + 9223372036854775807 > 0")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rc.Holds(r); err == nil || got {
		t.Errorf("an overflow gives %v, %v", got, err)
	}
}
