package policies

import (
	"errors"
	"strings"
	"testing"
)

const head = "schema: writ/policies/1\nname: x\nassets: {USDC: 6}\n"

// Each bad set must be caught at load, at the right place, with a sentence that helps.
func TestLoadSaysWhatIsWrongAndWhere(t *testing.T) {
	spend := func(when string) string {
		return head + "sets: {friends: ['0x00000000000000000000000000000000000000a1']}\n" +
			"budgets: [{id: day, cap: 'usdc(\"10\")', scope: wallet}]\n" +
			"rules:\n  - {id: pay, at: spend, effect: permit, when: '" + when + "', reserve: {budget: day}}\n" +
			"  - {id: set, at: spend, effect: forbid, unless: 'in_set(to, \"friends\")'}\n"
	}
	call := func(rest string) string {
		return head + "rules:\n  - {id: pay, at: tool.call, effect: permit, " + rest + "}\n"
	}
	for _, c := range []struct{ name, source, want string }{
		{"a misspelt field is named, with a guess", spend(`amout > usdc("1")`),
			`7:49: rule pay: unknown name "amout" at spend; did you mean "amount"?`},
		{"the place is that within the condition", spend(`tool == "x" && amout > usdc("1")`),
			`7:64: rule pay: unknown name "amout" at spend; did you mean "amount"?`},
		{"a field of another point says where it belongs", spend(`tokens > 1`), `"tokens" is known only at model.route, not at spend`},
		{"an amount is not a number", spend(`amount > 10`),
			`amount is an amount, but 10 is an int; write an amount as a literal such as usdc("10")`},
		{"an address is not a text", spend(`to == "0x00000000000000000000000000000000000000a1"`),
			`write an address as addr("0x...")`},
		{"a misspelt literal is guessed", spend(`amount > udsc("1")`), `there is no function "udsc"; did you mean "usdc"?`},
		{"too many decimals are not rounded", spend(`amount > usdc("0.0000001")`), `"0.0000001" as USDC with 6 decimals`},
		{"a wrong checksum is refused", spend(`to == addr("0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed")`), "checksum"},
		{"an unknown set is guessed", spend(`in_set(to, "freinds")`), `there is no set "freinds"; did you mean "friends"?`},
		{"an unknown budget is guessed", spend(`left("daily") > amount`), `there is no budget "daily"; did you mean "day"?`},
		{"division says what to do", spend(`turn / 2 > 1`), "multiply the other side instead"},
		{"regular expressions say what to do", spend(`tool matches "x"`), "use contains, startsWith, endsWith or a list"},
		{"a constant condition is refused", spend(`1 < 2`), "the condition is always true"},
		{"a tautology is refused", spend(`tool == "a" || tool != "a"`), "the condition is always true"},
		{"a contradiction is refused", spend(`amount > usdc("10") && amount < usdc("5")`), `the condition is always false, or cannot be evaluated: amount > usdc("10") and amount < usdc("5") cannot both hold`},
		{"a contradiction of assets is refused", spend(`asset == "ETH" && amount < usdc("5")`),
			`the condition is always false, or cannot be evaluated: asset == "ETH" and amount < usdc("5") cannot both hold`},
		{"a contradiction of texts is refused", spend(`tool startsWith "erc20." && tool == "chain.balance"`), "always false: "},
		{"a contradiction of three parts is refused", spend(`(turn < 5 || calls < 5) && turn > 6 && calls > 6`), "always false"},
		{"a tautology through a variable is refused", head + "variables: {few: 'turn < 5'}\nrules: [{id: a, at: output, effect: permit, when: 'few || turn >= 5'}]\n",
			"always true"},
		{"a contradiction of lists is refused", spend(`class in ["read", "once"] && class == "chain"`), "always false"},
		{"a contradiction of times is refused", spend(`now > 10 && !(now > 5)`), "always false"},
		{"a condition that is none is refused", spend(`tool`), "when must be a bool, not a string"},
		{"comparing texts by order is refused", spend(`tool < "b"`), `"<" needs ints, numbers or amounts, not a string`},
		{"mixing kinds is refused", spend(`tool == turn`), "tool is a string, but turn is an int"},

		{"an unknown key is guessed", head + "ruls: []\n", `4:1: unknown key "ruls" in a policy set; did you mean "rules"?`},
		{"an unknown key of a rule is guessed", call("wen: 'true'"), `unknown key "wen" in a rule; did you mean "when"?`},
		{"an unknown effect is guessed", strings.Replace(call("when: 'true'"), "permit", "premit", 1), `did you mean "permit"?`},
		{"an effect has its points", strings.Replace(call("when: 'true'"), "permit", "redact", 1),
			"the effect redact stands at input, tool.result, retrieval, output, not at tool.call"},
		{"an effect has its block", head + "rules: [{id: a, at: output, effect: redact}]\n", "redact: is missing"},
		{"a block has its effect", head + "rules: [{id: a, at: output, effect: permit, limit: {bytes: 5}}]\n",
			"limit: belongs to a rule with effect: limit"},
		{"an approval is sought for calls", head + "rules: [{id: a, at: output, effect: approve}]\n", "the wallet approves calls"},
		{"what is recorded is not rewritten", head + "rules: [{id: a, at: provenance.publish, effect: redact, redact: {fields: [a]}}]\n",
			"keep it back with a permit of mode commit-only"},
		{"a mode belongs to what is published", head + "rules: [{id: a, at: output, effect: permit, mode: public}]\n", "a mode belongs to a permit at provenance.publish"},
		{"a mode is guessed", head + "rules: [{id: a, at: provenance.publish, effect: permit, mode: publik}]\n", `did you mean "public"?`},
		{"a pattern is RE2", head + "rules: [{id: a, at: output, effect: redact, redact: {patterns: ['(']}}]\n", "the pattern cannot be read"},
		{"a pattern is small", head + "rules: [{id: a, at: output, effect: redact, redact: {patterns: ['(a{0,30}){0,30}b']}}]\n", "repeats too much"},
		{"a pattern matches something", head + "rules: [{id: a, at: output, effect: redact, redact: {patterns: ['a*']}}]\n", "matches the empty text"},
		{"a limit has its points", head + "rules: [{id: a, at: output, effect: limit, limit: {tokens: 5}}]\n", "tokens are bounded at model.route, not at output"},
		{"a label is known", head + "rules: [{id: a, at: input, effect: label, label: {integrity: divine}}]\n", "integrity is operator, user, tool or untrusted"},
		{"two routes that tie", head + "rules:\n- {id: a, at: model.route, effect: route, when: 'tokens < 9', route: {use: [small]}}\n" +
			"- {id: b, at: model.route, effect: route, when: 'tokens > 4', route: {use: [large]}}\n", "it can match together with a, of the same priority"},
		{"nothing is spent on an answer", head + "budgets: [{id: d, cap: calls(5), scope: agent}]\nrules: [{id: a, at: output, effect: permit, reserve: {budget: d}}]\n",
			"nothing is spent at output"},
		{"an origin has its kind", head + "rules: [{id: a, at: output, effect: forbid, when: 'from(\"evil.example\")'}]\n", "from needs an origin"},
		{"nothing has come in when a session is issued", head + "rules: [{id: a, at: session.issue, effect: forbid, when: 'from(\"web:evil.example\")'}]\n", "nothing has come in yet"},
		{"an unknown point is guessed", head + "rules: [{id: a, at: tool.cal, effect: permit}]\n", `did you mean "tool.call"?`},
		{"two rules of one id", head + "rules: [{id: a, at: output, effect: permit}, {id: a, at: spend, effect: permit}]\n",
			"4:51: rule a: the id is there twice"},
		{"a rule without an id", head + "rules: [{at: output, effect: permit}]\n", "4:9: id is missing"},
		{"a set without rules", head, "rules is missing"},
		{"an unknown tool is guessed", call("tool: erc20.tranfer"), `there is no tool "erc20.tranfer"; did you mean "erc20.transfer"?`},
		{"a misspelt argument is guessed", call("tool: erc20.transfer, when: 'args.too == wallet'"),
			`unknown argument "too"; did you mean "to"?`},
		{"an argument has a kind", call("tool: erc20.transfer, when: 'args.to == args.token'"), "args.to is an address, but args.token is a string"},
		{"arguments need a tool", call("when: 'args.to == wallet'"), "args are not known here: only a rule with tool:"},
		{"of several tools only common arguments are known", call("tool: [erc20.transfer, erc20.balance], when: 'args.to == wallet'"),
			`unknown argument "to"`},
		{"arguments are not there at spend", head + "rules: [{id: a, at: spend, tool: erc20.transfer, effect: permit, when: 'args.fast'}]\n",
			"at spend there are amount, asset and to"},
		{"tools scope rules where a tool is at work", head + "rules: [{id: a, at: output, tool: erc20.transfer, effect: permit}]\n",
			"tool: scopes a rule where a tool is at work, not at output"},
		{"a ttl is a duration", strings.Replace(call("ttl: 5"), "permit", "approve", 1), "ttl must be a duration from 10s to 24h"},
		{"a ttl belongs to an approve", call("ttl: 60s"), "ttl belongs to an approve rule"},
		{"a forbid reserves nothing", head + "budgets: [{id: n, cap: calls(3), scope: session}]\n" +
			"rules: [{id: a, at: output, effect: forbid, reserve: {budget: n}}]\n", "a forbid rule reserves nothing"},
		{"a point without a natural amount needs one", head + "budgets: [{id: day, cap: 'usdc(\"10\")', scope: wallet}]\n" +
			"rules: [{id: a, at: output, effect: permit, reserve: {budget: day}}]\n", "amount is missing: output has no natural amount in USDC"},
		{"a constant amount counts the budget's asset", head + "budgets: [{id: day, cap: 'usdc(\"10\")', scope: wallet}]\n" +
			"rules: [{id: a, at: output, effect: permit, reserve: {budget: day, amount: calls(1)}}]\n", "counts USDC, not calls"},
		{"a budget is reserved from once a rule", head + "budgets: [{id: n, cap: calls(3), scope: session}]\n" +
			"rules: [{id: a, at: output, effect: permit, reserve: [{budget: n}, {budget: n}]}]\n", `"n" is reserved from twice`},
		{"a budget has a scope", head + "budgets: [{id: n, cap: calls(3), scope: sesion}]\nrules: []\n", `did you mean "session"?`},
		{"two budgets of one id", head + "budgets: [{id: n, cap: calls(3), scope: session}, {id: n, cap: calls(3), scope: session}]\nrules: []\n",
			`the budget "n" is there twice`},
		{"an unused variable is refused", head + "variables: {late: 'now > 5'}\nrules: []\n", "the variable late is used by no rule"},
		{"an error in a variable is at the variable", head + "variables: {late: 'nwo > 5'}\nrules: [{id: a, at: output, effect: permit, when: late}]\n",
			`4:20: rule a: unknown name "nwo" at output; did you mean "now"?`},
		{"a variable does not see those below", head + "variables: {a: 'b > 1', b: 'now + 1'}\nrules: [{id: a, at: output, effect: permit, when: a}]\n",
			`unknown name "b"`},
		{"a set of both kinds", head + "sets: {s: ['0x00000000000000000000000000000000000000a1', alice]}\nrules: []\n", "addresses or texts, not both"},
		{"an empty set", head + "sets: {s: []}\nrules: []\n", "is empty"},
		{"a member twice", head + "sets: {s: [a, a]}\nrules: []\n", `"a" is in the set twice`},
		{"unless covers when", head + "rules: [{id: a, at: output, effect: permit, when: 'size > 10', unless: 'size > 5'}]\n", "can never match"},
		{"broken YAML has a line", "schema: writ/policies/1\nname: [\n", "not valid YAML"},
		{"an upper-case layer name", "", "the source is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load([]byte(c.source), Options{Layer: "operator", Tools: transferTools})
			le, ok := errors.AsType[*LoadError](err)
			if !ok {
				t.Fatalf("got %v, want a LoadError with %q", err, c.want)
			}
			if !strings.Contains(le.Error(), c.want) {
				t.Errorf("got %s\nwant %s", le, c.want)
			}
		})
	}
}

func TestLoadReportsSeveralProblemsInOrder(t *testing.T) {
	_, err := Load([]byte(head+`rules:
  - {id: a, at: output, effect: permit, when: 'sice > 1'}
  - {id: b, at: spend, effect: permt}
  - {id: c, at: spend, effect: permit, when: 'amount > 5'}
`), Options{Layer: "operator"})
	le, ok := errors.AsType[*LoadError](err)
	if !ok || len(le.Problems) != 3 {
		t.Fatalf("got %v, want three problems", err)
	}
	for i, want := range []string{"a", "b", "c"} {
		if p := le.Problems[i]; p.Rule != want || p.Line != 5+i || p.Column == 0 {
			t.Errorf("problem %d is %+v, want one of rule %s in line %d", i, p, want, 5+i)
		}
	}
}

func TestLoadRefusesALayerThatIsNoName(t *testing.T) {
	src, _ := Builtin("read-only")
	for _, layer := range []string{"", "Operator", "a/b", "a b", "1"} {
		if _, err := Load(src, Options{Layer: layer}); err == nil {
			t.Errorf("layer %q: loaded", layer)
		}
	}
}

func TestASetKeepsItsSourceAndBudgets(t *testing.T) {
	src, _ := Builtin("spend-with-approval")
	s, err := Load(src, Options{Layer: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	got := s.Source()
	got[0] = '!'
	if string(s.Source()) != string(src) {
		t.Error("a caller can change the source")
	}
	want := []BudgetDef{{ID: "operator/allowance", Cap: usdc(1_000_000_000), Scope: "agent"}, {ID: "operator/allowance-eth", Cap: eth(1e18), Scope: "agent"}}
	b := s.Budgets()
	if len(b) != 2 || b[0] != want[0] || b[1] != want[1] {
		t.Errorf("Budgets() = %v, want %v", b, want)
	}
}

// An auditor knows only the tools of one run. A rule for another tool must not stop the set from loading, must not
// matter for the known tools, and must deny if its tool turns up after all.
func TestPartialKeepsRulesForUnknownTools(t *testing.T) {
	src := head + `variables: {late: 'now > 5'}
rules:
  - {id: mail, at: tool.call, tool: mail.send, effect: forbid, when: 'late && args.to contains "x"'}
  - {id: all, at: tool.call, effect: permit}
`
	if _, err := Load([]byte(src), Options{Layer: "operator", Tools: transferTools}); err == nil {
		t.Error("an unknown tool loads without Partial")
	}
	s, err := Load([]byte(src), Options{Layer: "operator", Tools: transferTools, Partial: true})
	if err != nil {
		t.Fatal(err)
	}
	if d := (Layers{s}).Decide(&Request{Point: ToolCall, Tool: "chain.balance"}); d.Outcome != Permit {
		t.Errorf("a known tool: %s: %s", d.Outcome, d.Message)
	}
	if d := (Layers{s}).Decide(&Request{Point: ToolCall, Tool: "mail.send"}); d.Outcome != Deny {
		t.Errorf("the unknown tool: %s", d.Outcome)
	}
}
