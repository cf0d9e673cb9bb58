package policies

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const checkHead = "schema: writ/policies/1\nname: x\nassets: {USDC: 6, ETH: 18}\n" +
	"budgets: [{id: day, cap: 'usdc(\"10\")', scope: wallet}]\n" +
	"sets: {friends: ['0x00000000000000000000000000000000000000a1'], names: [a, b]}\n"

// findings loads a set with rules at some points and returns what Check finds of one kind, as "rule: text".
func findings(t *testing.T, check, src string) (out []string) {
	t.Helper()
	r := mustLoad(t, "operator", src).Check()
	for _, f := range r.Findings {
		if f.Check == check {
			out = append(out, f.For+": "+f.Text)
		}
	}
	if len(r.Unjudged) > 0 {
		t.Errorf("not judged: %v", r.Unjudged)
	}
	return out
}

func TestCheckFinds(t *testing.T) {
	for _, c := range []struct{ name, check, rules, want string }{
		{"a rule within another", CheckShadowed, `
  - {id: wide, at: output, effect: permit, when: 'size < 100'}
  - {id: narrow, at: output, effect: permit, when: 'size < 10 && turn < 5'}`, "narrow: it never matters: whenever it matches, wide matches too"},
		{"the earlier of two", CheckShadowed, `
  - {id: narrow, at: output, effect: permit, when: 'size < 10'}
  - {id: wide, at: output, effect: permit, when: 'size < 100'}`, "narrow: it never matters: whenever it matches, wide matches too"},
		{"the later of two that are the same", CheckShadowed, `
  - {id: one, at: output, effect: permit, when: 'size < 10'}
  - {id: two, at: output, effect: permit, unless: 'size >= 10'}`, "two: it never matters: whenever it matches, one matches too"},
		{"a rule within two others", CheckShadowed, `
  - {id: low, at: output, effect: permit, when: 'size < 10'}
  - {id: high, at: output, effect: permit, when: 'size >= 10'}
  - {id: mid, at: output, effect: permit, when: 'size > 5 && size < 15'}`, "mid: it never matters: whenever it matches, low or high matches too"},
		{"a permit within a forbid", CheckShadowed, `
  - {id: stop, at: output, effect: forbid, when: 'size > 50'}
  - {id: big, at: output, effect: permit, when: 'size > 100'}`, "big: it never matters: whenever it matches, stop forbids"},
		{"a rule for a tool within one for any", CheckShadowed, `
  - {id: all, at: tool.call, effect: permit}
  - {id: one, at: tool.call, effect: permit, tool: erc20.balance}`, "one: it never matters: whenever it matches, all matches too"},
		{"one for any is not within one for a tool", CheckShadowed, `
  - {id: all, at: tool.call, effect: permit, when: 'turn < 5'}
  - {id: one, at: tool.call, effect: permit, tool: erc20.balance}`, ""},
		{"a rule that reserves is never needless", CheckShadowed, `
  - {id: all, at: spend, effect: permit, when: 'asset == "USDC" && amount < usdc("5")', reserve: {budget: day}}
  - {id: one, at: spend, effect: permit, when: 'asset == "USDC" && amount < usdc("4")', reserve: {budget: day, amount: 'usdc("4")'}}`, ""},
		{"an approve that asks sooner is not needless", CheckShadowed, `
  - {id: ok, at: tool.call, effect: permit}
  - {id: slow, at: tool.call, effect: approve, when: 'calls > 5', ttl: 120s}
  - {id: soon, at: tool.call, effect: approve, when: 'calls > 9', ttl: 60s}`, ""},
		{"an approve beside the permits", CheckUnreachable, `
  - {id: small, at: spend, effect: permit, when: 'asset == "USDC" && amount <= usdc("10")', reserve: {budget: day}}
  - {id: big, at: spend, effect: approve, when: 'asset == "USDC" && amount > usdc("10")'}`, "big: it never asks the wallet"},
		{"a permit that needs the approval first", CheckUnreachable, `
  - {id: small, at: spend, effect: permit, when: 'asset == "USDC" && (amount <= usdc("10") || approved)', reserve: {budget: day}}
  - {id: big, at: spend, effect: approve, when: 'asset == "USDC" && amount > usdc("10")'}`, "big: it never asks the wallet"},
		{"an approve within the permits", CheckUnreachable, `
  - {id: small, at: spend, effect: permit, when: 'asset == "USDC" && amount <= usdc("10")', reserve: {budget: day}}
  - {id: big, at: spend, effect: approve, when: 'asset == "USDC" && amount > usdc("5")'}`, ""},
		{"a bound above a tighter one", CheckRedundant, `
  - {id: a, at: output, effect: permit, when: 'size < 10 && size < 20'}`, "a: size < 20 decides nothing"},
		{"a part that contradicts itself", CheckRedundant, `
  - {id: a, at: tool.call, effect: permit, when: 'class == "read" || tool == "a" && tool == "b"'}`, `a: tool == "a" decides nothing: the rule says the same with false in its place`},
		{"a prefix that a name has anyway", CheckRedundant, `
  - {id: a, at: tool.call, effect: permit, when: 'tool == "erc20.transfer" && tool startsWith "erc20."'}`, "decides nothing"},
		{"what unless takes out matters", CheckRedundant, `
  - {id: a, at: tool.call, effect: permit, when: 'class in ["read", "keyed"] && turn < 9', unless: 'tool contains "mail" || tool endsWith ".send"'}`, ""},
		{"an asset test matters", CheckRedundant, `
  - {id: a, at: spend, effect: permit, when: 'asset == "USDC" && amount < usdc("5")', reserve: {budget: day}}`, ""},
		{"an amount without its asset, beside another permit", CheckFails, `
  - {id: a, at: spend, effect: permit, when: 'amount < usdc("5")', reserve: {budget: day}}
  - {id: b, at: spend, effect: permit, when: 'asset == "ETH" && amount < eth("1")'}`, "a: it cannot be evaluated for some requests that b permits"},
		{"an optional argument without given", CheckFails, `
  - {id: a, at: tool.call, tool: erc20.transfer, effect: forbid, when: 'args.memo contains "x" && args.fast'}
  - {id: b, at: tool.call, tool: erc20.transfer, effect: permit, when: 'given("memo") || args.tries < 2'}`, "a: it cannot be evaluated for some requests that b permits"},
		{"an amount without its asset, alone", CheckFails, `
  - {id: a, at: spend, effect: permit, when: 'amount < usdc("5")', reserve: {budget: day}}`, ""},
		{"a spend without a bound", CheckUnlimited, `
  - {id: a, at: spend, effect: permit, when: 'in_set(to, "friends")'}`, "a: it permits any amount of"},
		{"a spend with only a lower bound", CheckUnlimited, `
  - {id: a, at: spend, effect: permit, when: 'asset == "ETH" && amount > eth("1")'}`, "a: it permits any amount of ETH"},
		{"a spend with a budget", CheckUnlimited, `
  - {id: a, at: spend, effect: permit, when: 'asset == "USDC"', reserve: {budget: day}}`, ""},
		{"a spend with a bound in another rule", CheckUnlimited, `
  - {id: a, at: spend, effect: permit, when: 'asset == "ETH"'}
  - {id: b, at: spend, effect: forbid, when: 'asset == "ETH" && amount > eth("1")'}`, ""},
		{"a spend for which the wallet is asked", CheckUnlimited, `
  - {id: a, at: spend, effect: permit, when: 'asset == "ETH"'}
  - {id: b, at: spend, effect: approve}`, ""},
		{"a way past a budget", CheckUnreserved, `
  - {id: a, at: spend, effect: permit, when: 'asset == "USDC" && in_set(to, "friends") && amount < usdc("5")'}
  - {id: b, at: spend, effect: permit, when: 'asset == "USDC" && amount < usdc("3")', reserve: {budget: day}}`, "a: it permits USDC without reserving from day"},
		{"no way past a budget", CheckUnreserved, `
  - {id: a, at: spend, effect: permit, when: 'asset == "USDC" && in_set(to, "friends") && amount < usdc("2")'}
  - {id: b, at: spend, effect: permit, when: 'asset == "USDC" && amount < usdc("3")', reserve: {budget: day}}`, ""},
		{"a point without a permit", CheckNoPermit, `
  - {id: a, at: output, effect: permit}`, "tool.call: no rule permits anything at tool.call, so all of it is denied"},
		{"a point that only asks", CheckNoPermit, `
  - {id: a, at: tool.call, effect: approve, when: 'turn > 2'}`, "tool.call: no rule permits anything at tool.call, so all of it is denied"},
		{"a budget and sets that nothing uses", CheckUnused, `
  - {id: a, at: output, effect: permit}`, "day: no rule reserves from the budget day"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := findings(t, c.check, checkHead+"rules:"+c.rules+"\n")
			if c.want == "" && len(got) > 0 {
				t.Errorf("a false alarm: %v", got)
			}
			if c.want != "" && !slices.ContainsFunc(got, func(s string) bool { return strings.Contains(s, c.want) }) {
				t.Errorf("got %v, want %q", got, c.want)
			}
		})
	}
}

func TestAForbidWithoutWhenClosesAPoint(t *testing.T) {
	got := findings(t, CheckNoPermit, checkHead+"rules: [{id: no, at: spend, effect: forbid}]\n")
	if slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "spend") }) {
		t.Errorf("a false alarm: %v", got)
	}
}

func TestCheckTellsOfRulesWithoutATest(t *testing.T) {
	set := head + "rules:\n  - {id: a, at: output, effect: permit, when: 'size < 9'}\n  - {id: b, at: output, effect: forbid, when: 'size < 3'}\n"
	if got := findings(t, CheckUntested, set); len(got) != 1 || !strings.Contains(got[0], "the set has no tests") {
		t.Errorf("got %v", got)
	}
	set += "tests: [{name: t, at: output, given: {size: 5}, want: {outcome: permit}}]\n"
	if got := findings(t, CheckUntested, set); len(got) != 1 || got[0] != "b: no test reaches it" {
		t.Errorf("got %v", got)
	}
	s := mustLoad(t, "operator", set)
	more, err := s.Cases("more.yaml", []byte("schema: writ/policy-tests/1\ntests: [{name: t, at: output, want: {outcome: deny, rule: b}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(s.Check(more...).Findings, func(f Finding) bool { return f.Check == CheckUntested }) {
		t.Error("a test of another file does not count")
	}
}

func TestAWaiverKeepsAFindingAndSaysWhy(t *testing.T) {
	set := head + "rules:\n  - {id: a, at: output, effect: permit, when: 'size < 9 && size < 10'}\nwaive:\n"
	r := mustLoad(t, "operator", set+"  - {check: redundant, for: a, why: two owners}\n  - {check: shadowed, for: a, why: none}\n").Check()
	waived, needless := false, false
	for _, f := range r.Findings {
		waived = waived || f.Check == CheckRedundant && f.Waived == "two owners"
		needless = needless || f.Check == CheckWaiver && f.For == "a" && strings.Contains(f.Text, "shadowed")
	}
	if !waived || !needless {
		t.Errorf("got %+v", r.Findings)
	}
	if slices.ContainsFunc(r.Open(), func(f Finding) bool { return f.Check == CheckRedundant }) {
		t.Error("a waived finding is open")
	}
	for _, c := range []struct{ waiver, want string }{
		{"{check: shadwed, for: a, why: x}", `there is no check "shadwed" to waive; did you mean "shadowed"?`},
		{"{check: waiver, for: a, why: x}", `there is no check "waiver" to waive`},
		{"{check: shadowed, for: a}", "a waiver says why"},
	} {
		_, err := Load([]byte(set+"  - "+c.waiver+"\n"), Options{Layer: "operator"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.waiver, err, c.want)
		}
	}
}

// A question beyond the bound is told as such, at once, and nothing is found by guessing.
func TestCheckSaysWhatItCouldNotJudge(t *testing.T) {
	wide := ""
	for i := range 24 {
		wide += fmt.Sprintf("(turn + %d * size > 7) || ", i)
	}
	s := mustLoad(t, "operator", head+"rules:\n  - {id: a, at: output, effect: permit, when: '"+strings.TrimSuffix(wide, " || ")+"'}\n")
	r := s.Check()
	if len(r.Unjudged) == 0 || r.Unjudged[0].Rule != "operator/a" {
		t.Errorf("got %+v", r)
	}
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Check == CheckRedundant }) {
		t.Errorf("found without judging: %+v", r.Findings)
	}
}

// What the analysis says of a region is what the evaluator says of a request in it.
func TestRegionsAgreeWithTheEvaluator(t *testing.T) {
	s := mustLoad(t, "operator", checkHead+`variables: {cap: 'usdc("5") + usdc("5")', small: 'amount <= cap'}
rules:
  - {id: a, at: spend, effect: permit, reserve: {budget: day}, when: 'asset == "USDC" && small && (tool startsWith "erc" || tool contains "pay" || class in ["read", "once"]) && !(to == addr("0x00000000000000000000000000000000000000a1")) && turn != 3'}
  - {id: b, at: spend, effect: forbid, when: 'usdc("3") > amount && in_set(to, "friends") && in_set(tool, "names")'}
  - {id: c, at: spend, tool: [erc20.transfer], effect: forbid, when: 'expires - now < hours(1) && approved == false'}
`)
	tried := 0
	for _, r := range s.rules {
		cond := r.matches()
		known := newSpace([]*expression{cond}, s.assets()...).each(maxCheck, func(g region) bool {
			q := &Request{Point: Spend}
			if !g.write(q) {
				return true
			}
			tried++
			f := &frame{r: q, vars: make([]slot, s.slots)}
			got := no
			if r.about(q) {
				holds, err := r.holds(f)
				if got = truthOf(holds); err != nil {
					got = fails
				}
			}
			if want := g.says(cond); got != want {
				t.Errorf("%s: the analysis says %d, the evaluator %d of %+v", r.id, want, got, q)
				return false
			}
			return true
		})
		if !known {
			t.Errorf("%s is beyond the bound", r.id)
		}
	}
	if tried < 50 {
		t.Errorf("only %d regions were tried", tried)
	}
}
