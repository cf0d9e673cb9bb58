package workshop

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/writ-run/writ/policies"
)

const caseSet = head + `budgets: [{id: day, cap: 'usdc("100")', scope: wallet}]
variables:
  limit: 'usdc("5") + usdc("5")'
  owner: wallet
  usual: 'tool'
  soon: 'now + hours(1)'
  fine: 'amount <= limit && to != owner && usual endsWith "transfer" && soon < expires'
rules:
  - {id: call, at: tool.call, tool: erc20.transfer, effect: permit, when: 'args.to == wallet && args.fast && args.tries < 2 && args.amount < usdc("2")'}
  - {id: pay, at: spend, tool: [erc20.transfer], effect: permit, when: fine, reserve: {budget: day}}
tests:
  - name: arguments are typed
    at: tool.call
    given:
      tool: erc20.transfer
      wallet: 0x00000000000000000000000000000000000000a1
      args: {to: 0x00000000000000000000000000000000000000A1, fast: true, tries: 1, amount: 'usdc("1")', token: USDC}
    want: {outcome: permit, rule: call}
  - name: variables of every kind
    at: spend
    given: {tool: erc20.transfer, amount: 'usdc("10")', expires: 'hours(1) + 1'}
    want: {outcome: deny}
  - name: and their other side
    at: spend
    given: {tool: erc20.transfer, amount: 'usdc("10")', expires: hours(2), to: 0x00000000000000000000000000000000000000a2}
    want: {outcome: permit, rule: pay}
  - name: a wrong outcome fails
    at: output
    want: {outcome: permit}
  - name: a wrong rule fails
    at: spend
    given: {tool: erc20.transfer, amount: 'usdc("10")', expires: hours(2), to: 0x00000000000000000000000000000000000000a2}
    want: {outcome: permit, rule: call}
`

func TestASetRunsItsOwnTests(t *testing.T) {
	s := mustLoad(t, "operator", caseSet)
	want := []string{"", "", "", "got deny (operator: no rule permits this at output), want permit", "decided by [operator/pay], want operator/call"}
	for i, res := range Test(s, testsOf(t, s)) {
		if res.Detail != want[i] || res.OK != (want[i] == "") {
			t.Errorf("%s: ok %v: %q, want %q", res.Name, res.OK, res.Detail, want[i])
		}
	}
}

func TestATestThatIsWrongIsToldWhenItIsAskedFor(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"tries: 1", "tries: one", `unknown name "one"`},
		{"fast: true", "fast: 1", "fast must be a bool, not an int"},
		{"A1, fast", "A, fast", "is not an address"},
		{"token: USDC}", "tokn: USDC}", `unknown key "tokn" in args; did you mean "token"?`},
		{"tool: erc20.transfer\n      wallet", "tool: erc20.trans\n      wallet", `there is no tool "erc20.trans"`},
		{"amount: 'usdc(\"10\")', expires: 'hours(1) + 1'", "asset: USDC", `unknown key "asset" in given`},
		{"expires: 'hours(1) + 1'", "budgets: {dya: {}}", `there is no budget "dya"; did you mean "day"?`},
		{"name: and their other side", "name: variables of every kind", "there are two tests of the name"},
		{"at: output", "at: outptu", `did you mean "output"?`},
	} {
		if !strings.Contains(caseSet, c.from) {
			t.Fatalf("the set does not hold %q", c.from)
		}
		err := loadWithTests(strings.Replace(caseSet, c.from, c.to, 1))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.to, err, c.want)
		}
	}
}

func TestTestsSayWhatIsWrongAndWhere(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"a test of an unknown rule", head + "rules: [{id: aaaa, at: output, effect: permit}]\ntests: [{name: t, at: output, want: {outcome: permit, rule: aaab}}]\n",
			`there is no rule "aaab"; did you mean "aaaa"?`},
		{"a test gives an unknown field", head + "rules: []\ntests: [{name: t, at: output, given: {sise: 4}, want: {outcome: deny}}]\n",
			`unknown key "sise" in given; did you mean "size"?`},
		{"a test wants an outcome", head + "rules: []\ntests: [{name: t, at: output, want: {}}]\n", "outcome must be permit, approve or deny"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := loadWithTests(c.source)
			le, ok := errors.AsType[*policies.LoadError](err)
			if !ok {
				t.Fatalf("got %v, want a LoadError with %q", err, c.want)
			}
			if !strings.Contains(le.Error(), c.want) {
				t.Errorf("got %s\nwant %s", le, c.want)
			}
		})
	}
}

// A test of a tool that an auditor does not know is skipped, and Check tells of the rule.
func TestTestsOfUnknownToolsAreSkipped(t *testing.T) {
	src := head + `variables: {late: 'now > 5'}
rules:
  - {id: mail, at: tool.call, tool: mail.send, effect: forbid, when: 'late && args.to contains "x"'}
  - {id: all, at: tool.call, effect: permit}
tests:
  - {name: mail, at: tool.call, given: {tool: mail.send}, want: {outcome: permit}}
  - {name: mail to x, at: tool.call, given: {tool: mail.send, args: {to: x}}, want: {outcome: deny}}
`
	s, err := policies.Load([]byte(src), policies.Options{Layer: "operator", Tools: transferTools, Partial: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, res := range Test(s, testsOf(t, s)) {
		if !res.Skipped {
			t.Errorf("a test of the unknown tool is not skipped: %+v", res)
		}
	}
	if f := Check(s, testsOf(t, s)).Findings; !slices.ContainsFunc(f, func(f Finding) bool { return f.Check == policies.CheckTool && f.For == "mail" }) {
		t.Errorf("Check does not tell of the unknown tool: %v", f)
	}
}
