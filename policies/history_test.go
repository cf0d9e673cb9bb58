package policies

import (
	"strconv"
	"strings"
	"testing"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
)

// Of a past that nobody gave, nothing is known, so what asks of it denies.
func TestAnUnknownPastDenies(t *testing.T) {
	for _, when := range []string{`count("erc20.transfer") < 3`, `!happened("erc20.transfer")`, `sum("erc20.transfer", "USDC") < usdc("5")`, `!same(agent, "erc20.transfer", "memo")`} {
		s := mustLoad(t, "operator", head+"rules: [{id: a, at: output, effect: permit, when: '"+when+"'}]\n")
		other := mustLoad(t, "grant", head+"rules: [{id: a, at: output, effect: permit}]\n")
		for name, past := range map[string]Past{"none": {}, "that of layers that ask nothing": Layers{other}.Past()} {
			d := Layers{s}.Decide(&Request{Point: Output, Past: past})
			if d.Outcome != Deny || !strings.Contains(d.Message, "what the run has done so far is not known") {
				t.Errorf("%s, past %s: %s: %s", when, name, d.Outcome, d.Message)
			}
		}
		both := Layers{s, other}
		if d := both.Decide(&Request{Point: Output, Past: both.Past()}); d.Outcome != Permit {
			t.Errorf("%s: a run that has done nothing: %s: %s", when, d.Outcome, d.Message)
		}
	}
}

// A past is a value: going on from it twice gives two pasts, and leaves it as it was.
func TestAPastNeverChanges(t *testing.T) {
	l := Layers{mustLoad(t, "operator", head+`rules: [{id: a, at: output, effect: permit, when: 'count("chain.balance") < 9 && !same(agent, "erc20.transfer", "memo")'}]`+"\n")}
	with := func(p Past, memo string) Past {
		return p.With(Act{Tool: "erc20.transfer", Args: []arg.Value{{Name: "memo", Kind: arg.String, Set: true, Text: memo}}})
	}
	asks := func(p Past, memo string) bool {
		return Layers(l).Decide(&Request{Point: Output, Agent: memo, Past: p}).Outcome == Permit
	}
	empty := l.Past()
	a := with(empty, "a")
	b := with(empty, "b") // a step that was not committed, decided again
	ab := with(a, "b")
	if !asks(empty, "a") || !asks(empty, "b") || asks(a, "a") || !asks(a, "b") || !asks(b, "a") || asks(b, "b") || asks(ab, "a") || asks(ab, "b") {
		t.Error("one past shows what only another has done")
	}
	if len(empty.Acts()) != 0 || len(a.Acts()) != 1 || len(ab.Acts()) != 2 || b.Acts()[0].Args[0].Text != "b" {
		t.Errorf("acts: %v, %v, %v, %v", empty.Acts(), a.Acts(), b.Acts(), ab.Acts())
	}
}

// A sum that 256 bits do not hold is an error, and so a deny, and stays one.
func TestASumOutOfRangeDenies(t *testing.T) {
	l := Layers{mustLoad(t, "operator", head+`rules: [{id: a, at: spend, effect: permit, when: 'sum("*", "USDC", hours(1)) >= usdc("1")'}]`+"\n")}
	most, err := money.FromUnits(usdcAsset, "115792089237316195423570985008687907853269984665640564039457584007913129639935")
	if err != nil {
		t.Fatal(err)
	}
	p := l.Past().With(Act{Amount: most})
	if d := l.Decide(&Request{Point: Spend, Past: p, Amount: usdc(1)}); d.Outcome != Permit {
		t.Fatalf("%s: %s", d.Outcome, d.Message)
	}
	for name, r := range map[string]Request{
		"ended": {Past: p.With(Act{Amount: usdc(1)})}, "under way": {Past: p, Flying: []Act{{Amount: usdc(1)}}},
		"long ago": {Past: p.With(Act{Amount: usdc(1)}), Now: 1e12},
	} {
		r.Point, r.Amount = Spend, usdc(1)
		if d := l.Decide(&r); d.Outcome != Deny || !strings.Contains(d.Message, "out of range") {
			t.Errorf("%s: %s: %s", name, d.Outcome, d.Message)
		}
	}
}

func TestHistoryThatDoesNotLoad(t *testing.T) {
	for when, want := range map[string]string{
		`count("erc20.transfr") > 1`:                `there is no tool "erc20.transfr"; did you mean "erc20.transfer"?`,
		`count("class:chian") > 1`:                  `there is no class "chian"; there are read, keyed, chain, once`,
		`count(agent) > 1`:                          `count is written count("pay")`,
		`count("erc20.transfer", now) > 1`:          `a window must be a constant, such as hours(1)`,
		`count("erc20.transfer", 0) > 1`:            `a window must be longer than nothing`,
		`count("erc20.transfer", hours(1), 2) > 1`:  `count takes 1 to 2 argument(s), not 3`,
		`sum("erc20.transfer", "DOGE") > usdc("1")`: `there is no asset "DOGE"`,
		`sum("erc20.transfer", "USDC") > 5`:         `write an amount as a literal`,
		`same(wallet, "erc20.transfer", "too")`:     `erc20.transfer has no argument "too"; did you mean "to"?`,
		`same(agent, "erc20.transfer", "to")`:       `agent is a string, but argument "to" of erc20.transfer is an address`,
		`same(agent, "*", "to")`:                    `same needs the name of one tool`,
		`count([1], # > 0) > 0`:                     `unexpected token`,
		`sum([1, 2]) > 0`:                           `takes 2 to 3 argument(s)`,
		`agent | count() > 0`:                       `count is written`,
	} {
		_, err := Load([]byte(head+"rules: [{id: a, at: output, effect: permit, when: '"+when+"'}]\n"), Options{Layer: "operator", Tools: transferTools})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", when, err, want)
		}
	}
	if _, err := CompileRoute(`count("erc20.transfer") > 1`); err == nil || !strings.Contains(err.Error(), "only the rules of a policy set look back") {
		t.Errorf("a route that looks back: %v", err)
	}
}

// The cost of a step does not grow with the run: 50,000 acts cost about as much each as 500 do.
func BenchmarkPast(b *testing.B) {
	l := Layers{mustLoad(b, "operator", head+`rules:
  - {id: a, at: spend, effect: permit, when: 'count("erc20.transfer", hours(1)) < 100000 && sum("*", "USDC", minutes(10)) + amount < usdc("999999999")'}
  - {id: b, at: spend, effect: forbid, when: 'same(to, "erc20.transfer", "to") && !happened("erc20.transfer", minutes(1))'}
`)}
	for _, n := range []int{500, 50_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			p := l.Past()
			at := int64(0)
			act := Act{Tool: "erc20.transfer", OK: true, Amount: usdc(1)}
			step := func() {
				at += 1000
				act.At = at
				p = p.At(at).With(act)
			}
			for range n {
				step()
			}
			b.ReportAllocs()
			for b.Loop() {
				step()
				l.Decide(&Request{Point: Spend, Now: at, Past: p, Amount: usdc(1)})
			}
		})
	}
}
