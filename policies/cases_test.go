package policies

import (
	"strings"
	"testing"
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
	for i, res := range s.Test() {
		if res.Detail != want[i] || res.OK != (want[i] == "") {
			t.Errorf("%s: ok %v: %q, want %q", res.Name, res.OK, res.Detail, want[i])
		}
	}
}

func TestATestThatIsWrongDoesNotLoad(t *testing.T) {
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
		_, err := Load([]byte(strings.Replace(caseSet, c.from, c.to, 1)), Options{Layer: "operator", Tools: transferTools})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.to, err, c.want)
		}
	}
}
