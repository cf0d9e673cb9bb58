package workshop

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/policies"
)

func TestDiffFindsARequestThatIsAnsweredDifferently(t *testing.T) {
	base := checkHead + `variables: {cap: 'usdc("5")'}
rules:
  - {id: models, at: model.route, effect: permit, when: 'kind in ["rules", "model"] && cost <= usd("0.5")'}
  - {id: reads, at: tool.call, effect: permit, when: 'class == "read"'}
  - {id: pay, at: tool.call, tool: erc20.transfer, effect: permit, when: 'args.amount <= usdc("10") && (!given("memo") || args.memo != "x")'}
  - {id: spend, at: spend, effect: permit, when: 'asset == "USDC" && amount <= cap && expires - now > minutes(5)', reserve: {budget: day}}
  - {id: ask, at: spend, effect: approve, when: 'asset == "USDC" && amount > usdc("3") && to != wallet', ttl: 60s}
  - {id: late, at: spend, effect: forbid, when: 'spent("day") > usdc("8")'}
  - {id: out, at: output, effect: permit, when: 'size < 1000'}
  - {id: night, at: input, effect: forbid, when: 'in_window(now, "22:00-06:00", "Europe/Berlin")'}
`
	for _, c := range []struct{ name, from, to, want string }{
		{"a constant", `amount <= cap`, `amount <= cap + usdc("0.000001")`, "spend: deny -> "},
		{"a variable", `usdc("5")'}`, `usdc("4.999999")'}`, "spend: permit -> deny"},
		{"an operator", `amount > usdc("3")`, `amount >= usdc("3")`, "spend: permit -> approve"},
		{"a list", `["rules", "model"]`, `["rules"]`, "model.route: permit -> deny"},
		{"a cost", `usd("0.5")`, `usd("0.6")`, "model.route: deny -> permit"},
		{"an argument", `args.memo != "x"`, `args.memo != "y"`, "tool.call: "},
		{"an argument's bound", `usdc("10") &&`, `usdc("11") &&`, "tool.call: deny -> permit"},
		{"a time", "minutes(5)", "minutes(6)", "spend: "},
		{"two fields against one another", `to != wallet`, `to == wallet`, "spend: "},
		{"hours", `22:00-06:00`, `23:00-06:00`, "input: "},
		{"a zone", `Europe/Berlin`, `Asia/Tokyo`, "input: "},
		{"the use of a budget", `usdc("8")`, `usdc("7")`, "spend: "},
		{"a cap", `'usdc("10")', scope`, `'usdc("11")', scope`, "spend: deny -> "},
		{"a reservation", `, reserve: {budget: day}`, ``, "spend: "},
		{"a time to approve", "ttl: 60s", "ttl: 61s", "spend: approve -> approve"},
		{"a rule less", `  - {id: late, at: spend, effect: forbid, when: 'spent("day") > usdc("8")'}` + "\n", "", "spend: deny -> "},
		{"an effect", "effect: permit, when: 'size", "effect: forbid, when: 'size", "output: permit -> deny"},
		{"a rule more", "rules:\n", "rules:\n  - {id: no, at: output, effect: forbid, when: 'turn == 7'}\n", "output: permit -> deny"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(base, c.from) {
				t.Fatalf("the set does not hold %q", c.from)
			}
			old := mustLoad(t, "operator", base)
			new, err := policies.Load([]byte(strings.Replace(base, c.from, c.to, 1)), policies.Options{Layer: "operator", Tools: transferTools})
			if err != nil {
				t.Fatal(err)
			}
			got := Diff(old, new)
			if got.Same || len(got.Differences) == 0 {
				t.Fatalf("no difference among %d requests, want %q", got.Tried, c.want)
			}
			d := got.Differences[0]
			if s := string(d.Request.Point) + ": " + string(d.Old.Outcome) + " -> " + string(d.New.Outcome); !strings.HasPrefix(s, c.want) {
				t.Errorf("got %s, want %s", s, c.want)
			}
			if sameAnswer(policies.Layers{old}.Decide(&d.Request), policies.Layers{new}.Decide(&d.Request)) {
				t.Errorf("both answer the same to %+v", d.Request)
			}
			if !strings.Contains(d.Change(), " -> ") {
				t.Errorf("it is told as %q", d.Change())
			}
		})
	}
	if got := Diff(mustLoad(t, "operator", base), mustLoad(t, "operator", base)); !got.Same {
		t.Errorf("a set differs from itself: %+v", got)
	}
}

// Sets that are spelt differently and mean the same are proven so.
func TestDiffProvesThatNothingChanges(t *testing.T) {
	old := mustLoad(t, "operator", checkHead+`rules:
  - {id: a, at: spend, effect: permit, reserve: {budget: day}, when: 'asset == "USDC" && amount <= usdc("5") && !(turn >= 4)'}
  - {id: b, at: output, effect: permit, when: 'size < 10 || size > 20'}
  - {id: c, at: tool.call, effect: permit, when: 'class in ["read", "keyed"]'}
`)
	new := mustLoad(t, "operator", checkHead+`variables: {few: 'turn < 4', cap: 'usdc("2") + usdc("3")'}
rules:
  - {id: keyed, at: tool.call, effect: permit, when: 'class == "keyed"'}
  - {id: read, at: tool.call, effect: permit, when: 'class == "read"'}
  - {id: big, at: output, effect: permit, when: '20 < size'}
  - {id: small, at: output, effect: permit, unless: 'size >= 10'}
  - {id: pay, at: spend, effect: permit, reserve: {budget: day}, when: 'asset == "USDC" && few && (cap >= amount)'}
`)
	if got := Diff(old, new); !got.Same {
		t.Errorf("got %+v", got)
	}
}

// The same requests are asked each time: there is no chance in it.
func TestDiffIsDeterministic(t *testing.T) {
	a := mustLoad(t, "operator", head+"rules: [{id: a, at: output, effect: permit, when: 'size < 5 && turn < 3'}]\n")
	b := mustLoad(t, "operator", head+"rules: [{id: a, at: output, effect: permit, when: 'size < 6 && turn < 3'}]\n")
	one, two := Diff(a, b), Diff(a, b)
	if one.Tried != two.Tried || one.Differences[0].Change() != two.Differences[0].Change() {
		t.Errorf("got %+v and %+v", one, two)
	}
}
