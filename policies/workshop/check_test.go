package workshop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/internal/cond"
)

const checkHead = "schema: writ/policies/1\nname: x\nassets: {USDC: 6, ETH: 18}\n" +
	"budgets: [{id: day, cap: 'usdc(\"10\")', scope: wallet}]\n" +
	"sets: {friends: ['0x00000000000000000000000000000000000000a1'], names: [a, b]}\n"

// findings loads a set with rules at some points and returns what Check finds of one kind, as "rule: text".
func findings(t *testing.T, check, src string) (out []string) {
	t.Helper()
	s := mustLoad(t, "operator", src)
	r := Check(s, testsOf(t, s))
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
		{"a rule within another", policies.CheckShadowed, `
  - {id: wide, at: output, effect: permit, when: 'size < 100'}
  - {id: narrow, at: output, effect: permit, when: 'size < 10 && turn < 5'}`, "narrow: it never matters: whenever it matches, wide matches too"},
		{"the earlier of two", policies.CheckShadowed, `
  - {id: narrow, at: output, effect: permit, when: 'size < 10'}
  - {id: wide, at: output, effect: permit, when: 'size < 100'}`, "narrow: it never matters: whenever it matches, wide matches too"},
		{"the later of two that are the same", policies.CheckShadowed, `
  - {id: one, at: output, effect: permit, when: 'size < 10'}
  - {id: two, at: output, effect: permit, unless: 'size >= 10'}`, "two: it never matters: whenever it matches, one matches too"},
		{"a rule within two others", policies.CheckShadowed, `
  - {id: low, at: output, effect: permit, when: 'size < 10'}
  - {id: high, at: output, effect: permit, when: 'size >= 10'}
  - {id: mid, at: output, effect: permit, when: 'size > 5 && size < 15'}`, "mid: it never matters: whenever it matches, low or high matches too"},
		{"a permit within a forbid", policies.CheckShadowed, `
  - {id: stop, at: output, effect: forbid, when: 'size > 50'}
  - {id: big, at: output, effect: permit, when: 'size > 100'}`, "big: it never matters: whenever it matches, stop forbids"},
		{"a rule for a tool within one for any", policies.CheckShadowed, `
  - {id: all, at: tool.call, effect: permit}
  - {id: one, at: tool.call, effect: permit, tool: erc20.balance}`, "one: it never matters: whenever it matches, all matches too"},
		{"one for any is not within one for a tool", policies.CheckShadowed, `
  - {id: all, at: tool.call, effect: permit, when: 'turn < 5'}
  - {id: one, at: tool.call, effect: permit, tool: erc20.balance}`, ""},
		{"a rule that reserves is never needless", policies.CheckShadowed, `
  - {id: all, at: spend, effect: permit, when: 'asset == "USDC" && amount < usdc("5")', reserve: {budget: day}}
  - {id: one, at: spend, effect: permit, when: 'asset == "USDC" && amount < usdc("4")', reserve: {budget: day, amount: 'usdc("4")'}}`, ""},
		{"other hours are not the same", policies.CheckShadowed, `
  - {id: berlin, at: output, effect: permit, when: 'in_window(now, "Sun 02:00-03:00", "Europe/Berlin")'}
  - {id: nepal, at: output, effect: permit, when: 'in_window(now, "Sun 02:00-03:00", "Asia/Kathmandu")'}
  - {id: later, at: output, effect: permit, when: 'in_window(now, "Sun 02:00-03:01", "Europe/Berlin")'}`, ""},
		{"a smaller network of the same beginning is not the same", policies.CheckShadowed, `
  - {id: all, at: tool.call, tool: erc20.transfer, effect: permit, when: 'given("memo") && in_cidr(args.memo, "10.0.0.0/24")'}
  - {id: one, at: tool.call, tool: erc20.transfer, effect: permit, when: 'given("memo") && in_cidr(args.memo, "10.0.0.0/8")'}`, ""},
		{"the same hours are", policies.CheckShadowed, `
  - {id: one, at: output, effect: permit, when: 'in_window(now, "Sun 02:00-03:00", "Europe/Berlin")'}
  - {id: two, at: output, effect: permit, when: 'in_window(now, "Sun 02:00-03:00", "Europe/Berlin") && turn < 5'}`, "two: it never matters"},
		{"an approve that asks sooner is not needless", policies.CheckShadowed, `
  - {id: ok, at: tool.call, effect: permit}
  - {id: slow, at: tool.call, effect: approve, when: 'calls > 5', ttl: 120s}
  - {id: soon, at: tool.call, effect: approve, when: 'calls > 9', ttl: 60s}`, ""},
		{"an approve beside the permits", policies.CheckUnreachable, `
  - {id: small, at: spend, effect: permit, when: 'asset == "USDC" && amount <= usdc("10")', reserve: {budget: day}}
  - {id: big, at: spend, effect: approve, when: 'asset == "USDC" && amount > usdc("10")'}`, "big: it never asks the wallet"},
		{"a permit that needs the approval first", policies.CheckUnreachable, `
  - {id: small, at: spend, effect: permit, when: 'asset == "USDC" && (amount <= usdc("10") || approved)', reserve: {budget: day}}
  - {id: big, at: spend, effect: approve, when: 'asset == "USDC" && amount > usdc("10")'}`, "big: it never asks the wallet"},
		{"an approve within the permits", policies.CheckUnreachable, `
  - {id: small, at: spend, effect: permit, when: 'asset == "USDC" && amount <= usdc("10")', reserve: {budget: day}}
  - {id: big, at: spend, effect: approve, when: 'asset == "USDC" && amount > usdc("5")'}`, ""},
		{"a bound above a tighter one", policies.CheckRedundant, `
  - {id: a, at: output, effect: permit, when: 'size < 10 && size < 20'}`, "a: size < 20 decides nothing"},
		{"a part that contradicts itself", policies.CheckRedundant, `
  - {id: a, at: tool.call, effect: permit, when: 'class == "read" || tool == "a" && tool == "b"'}`, `a: tool == "a" decides nothing: the rule says the same with false in its place`},
		{"a prefix that a name has anyway", policies.CheckRedundant, `
  - {id: a, at: tool.call, effect: permit, when: 'tool == "erc20.transfer" && tool startsWith "erc20."'}`, "decides nothing"},
		{"what unless takes out matters", policies.CheckRedundant, `
  - {id: a, at: tool.call, effect: permit, when: 'class in ["read", "keyed"] && turn < 9', unless: 'tool contains "mail" || tool endsWith ".send"'}`, ""},
		{"the break within the hours matters", policies.CheckRedundant, `
  - {id: a, at: output, effect: permit, when: 'in_window(now, "Mon 09:00-18:00", "UTC") && !in_window(now, "Mon 12:00-13:00", "UTC")'}`, ""},
		{"a network taken out of a larger one matters", policies.CheckRedundant, `
  - {id: a, at: tool.call, tool: erc20.transfer, effect: permit, when: 'given("memo") && in_cidr(args.memo, "10.0.0.0/8") && !in_cidr(args.memo, "10.0.0.0/16")'}`, ""},
		{"an asset test matters", policies.CheckRedundant, `
  - {id: a, at: spend, effect: permit, when: 'asset == "USDC" && amount < usdc("5")', reserve: {budget: day}}`, ""},
		{"an amount without its asset, beside another permit", policies.CheckFails, `
  - {id: a, at: spend, effect: permit, when: 'amount < usdc("5")', reserve: {budget: day}}
  - {id: b, at: spend, effect: permit, when: 'asset == "ETH" && amount < eth("1")'}`, "a: it cannot be evaluated for some requests that b permits"},
		{"an optional argument without given", policies.CheckFails, `
  - {id: a, at: tool.call, tool: erc20.transfer, effect: forbid, when: 'args.memo contains "x" && args.fast'}
  - {id: b, at: tool.call, tool: erc20.transfer, effect: permit, when: 'given("memo") || args.tries < 2'}`, "a: it cannot be evaluated for some requests that b permits"},
		{"an amount without its asset, alone", policies.CheckFails, `
  - {id: a, at: spend, effect: permit, when: 'amount < usdc("5")', reserve: {budget: day}}`, ""},
		{"a budget of another asset", policies.CheckFails, `
  - {id: a, at: spend, effect: permit, when: 'asset == "ETH" && amount < eth("1")', reserve: {budget: day}}`, "a: it matches spends of ETH and reserves them from day, which counts USDC"},
		{"a budget of one of two assets", policies.CheckFails, `
  - {id: a, at: spend, effect: permit, when: 'asset == "ETH" && amount < eth("1") || asset == "USDC" && amount < usdc("5")', reserve: {budget: day}}`, "a: it matches spends of ETH"},
		{"an amount of the budget's own asset", policies.CheckFails, `
  - {id: a, at: spend, effect: permit, when: 'asset == "ETH" && amount < eth("1")', reserve: {budget: day, amount: 'usdc("4")'}}`, ""},
		{"a spend without a bound", policies.CheckUnlimited, `
  - {id: a, at: spend, effect: permit, when: 'in_set(to, "friends")'}`, "a: it permits any amount of"},
		{"a spend with only a lower bound", policies.CheckUnlimited, `
  - {id: a, at: spend, effect: permit, when: 'asset == "ETH" && amount > eth("1")'}`, "a: it permits any amount of ETH"},
		{"a spend with a budget", policies.CheckUnlimited, `
  - {id: a, at: spend, effect: permit, when: 'asset == "USDC"', reserve: {budget: day}}`, ""},
		{"a spend with a bound in another rule", policies.CheckUnlimited, `
  - {id: a, at: spend, effect: permit, when: 'asset == "ETH"'}
  - {id: b, at: spend, effect: forbid, when: 'asset == "ETH" && amount > eth("1")'}`, ""},
		{"a spend for which the wallet is asked", policies.CheckUnlimited, `
  - {id: a, at: spend, effect: permit, when: 'asset == "ETH"'}
  - {id: b, at: spend, effect: approve}`, ""},
		{"a way past a budget", policies.CheckUnreserved, `
  - {id: a, at: spend, effect: permit, when: 'asset == "USDC" && in_set(to, "friends") && amount < usdc("5")'}
  - {id: b, at: spend, effect: permit, when: 'asset == "USDC" && amount < usdc("3")', reserve: {budget: day}}`, "a: it permits USDC without reserving from day"},
		{"no way past a budget", policies.CheckUnreserved, `
  - {id: a, at: spend, effect: permit, when: 'asset == "USDC" && in_set(to, "friends") && amount < usdc("2")'}
  - {id: b, at: spend, effect: permit, when: 'asset == "USDC" && amount < usdc("3")', reserve: {budget: day}}`, ""},
		{"a point without a permit", policies.CheckNoPermit, `
  - {id: a, at: output, effect: permit}`, "tool.call: no rule permits anything at tool.call, so all of it is denied"},
		{"a point that only asks", policies.CheckNoPermit, `
  - {id: a, at: tool.call, effect: approve, when: 'turn > 2'}`, "tool.call: no rule permits anything at tool.call, so all of it is denied"},
		{"a class that there is not", policies.CheckWord, `
  - {id: a, at: tool.call, effect: permit, when: 'class == "reed"'}`, `a: class is never "reed"; it is read, keyed, chain, once, wallet`},
		{"one of several", policies.CheckWord, `
  - {id: a, at: tool.call, effect: permit, when: 'turn < 9 && (class in ["read", "wirte"] || tool == "x")'}`, `a: class is never "wirte"`},
		{"an integrity that there is not", policies.CheckWord, `
  - {id: a, at: output, effect: forbid, when: 'integrity != "trusted"'}`, `a: integrity is never "trusted"; it is operator, user, tool, untrusted`},
		{"words that there are", policies.CheckWord, `
  - {id: a, at: tool.call, effect: permit, when: 'class in ["read", "keyed", "chain", "once", "wallet"] && tool == "reed"'}
  - {id: b, at: output, effect: forbid, when: 'integrity == "untrusted" && secrecy in ["public", "session", "wallet", "secret"]'}`, ""},
		{"a budget and sets that nothing uses", policies.CheckUnused, `
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
	got := findings(t, policies.CheckNoPermit, checkHead+"rules: [{id: no, at: spend, effect: forbid}]\n")
	if slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "spend") }) {
		t.Errorf("a false alarm: %v", got)
	}
}

func TestCheckTellsOfRulesWithoutATest(t *testing.T) {
	set := head + "rules:\n  - {id: a, at: output, effect: permit, when: 'size < 9'}\n  - {id: b, at: output, effect: forbid, when: 'size < 3'}\n"
	if got := findings(t, policies.CheckUntested, set); len(got) != 1 || !strings.Contains(got[0], "the set has no tests") {
		t.Errorf("got %v", got)
	}
	set += "tests: [{name: t, at: output, given: {size: 5}, want: {outcome: permit}}]\n"
	if got := findings(t, policies.CheckUntested, set); len(got) != 1 || got[0] != "b: no test reaches it" {
		t.Errorf("got %v", got)
	}
	s := mustLoad(t, "operator", set)
	more, err := ReadCases(s, "more.yaml", []byte("schema: writ/policy-tests/1\ntests: [{name: t, at: output, want: {outcome: deny, rule: b}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(Check(s, append(testsOf(t, s), more...)).Findings, func(f Finding) bool { return f.Check == policies.CheckUntested }) {
		t.Error("a test of another file does not count")
	}
}

func TestAWaiverKeepsAFindingAndSaysWhy(t *testing.T) {
	set := head + "rules:\n  - {id: a, at: output, effect: permit, when: 'size < 9 && size < 10'}\nwaive:\n"
	r := Check(mustLoad(t, "operator", set+"  - {check: redundant, for: a, why: two owners}\n  - {check: shadowed, for: a, why: none}\n"), nil)
	waived, needless := false, false
	for _, f := range r.Findings {
		waived = waived || f.Check == policies.CheckRedundant && f.Waived == "two owners"
		needless = needless || f.Check == policies.CheckWaiver && f.For == "a" && strings.Contains(f.Text, "shadowed")
	}
	if !waived || !needless {
		t.Errorf("got %+v", r.Findings)
	}
	if slices.ContainsFunc(r.Open(), func(f Finding) bool { return f.Check == policies.CheckRedundant }) {
		t.Error("a waived finding is open")
	}
	for _, c := range []struct{ waiver, want string }{
		{"{check: shadwed, for: a, why: x}", `there is no check "shadwed" to waive; did you mean "shadowed"?`},
		{"{check: waiver, for: a, why: x}", `there is no check "waiver" to waive`},
		{"{check: shadowed, for: a}", "a waiver says why"},
	} {
		_, err := policies.Load([]byte(set+"  - "+c.waiver+"\n"), policies.Options{Layer: "operator"})
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
	r := Check(s, testsOf(t, s))
	if len(r.Unjudged) == 0 || r.Unjudged[0].Rule != "operator/a" {
		t.Errorf("got %+v", r)
	}
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Check == policies.CheckRedundant }) {
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
	for _, r := range s.Rules() {
		matching := r.Condition()
		known := cond.NewSpace([]*expression{matching}, s.Assets()...).Each(cond.MaxCheck, func(g region) bool {
			q := &policies.Request{Point: policies.Spend}
			if !writeRegion(g, q) {
				return true
			}
			tried++
			got := cond.No
			for _, reads := range (policies.Layers{s}).Read(q) {
				if reads.Rule != r.FullID {
					continue
				}
				if got = cond.AnswerOf(reads.Matches); reads.Error != "" {
					got = cond.Fails
				}
			}
			if want := g.Says(matching); got != want {
				t.Errorf("%s: the analysis says %d, the evaluator %d of %+v", r.ID, want, got, q)
				return false
			}
			return true
		})
		if !known {
			t.Errorf("%s is beyond the bound", r.ID)
		}
	}
	if tried < 50 {
		t.Errorf("only %d regions were tried", tried)
	}
}

func FuzzWorkshop(f *testing.F) {
	for _, name := range policies.BuiltinNames() {
		src, _ := policies.Builtin(name)
		f.Add(string(src))
	}
	f.Fuzz(func(t *testing.T, src string) {
		s, err := policies.Load([]byte(src), policies.Options{Layer: "operator", Tools: transferTools})
		if err != nil {
			return
		}
		tests, _ := Tests(s)
		Test(s, tests)
		Check(s, tests)
	})
}
