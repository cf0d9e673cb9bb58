package policies

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/money"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The explanations are read by people and recorded for ever, so every word of them is under review.
func TestExplanations(t *testing.T) {
	src, _ := Builtin("spend-with-approval")
	operator := mustLoad(t, "operator", string(src))
	src, _ = Builtin("read-only")
	reader := mustLoad(t, "operator", string(src))
	grant := mustLoad(t, "grant", `
schema: writ/policies/1
name: grant
assets: {USDC: 6}
budgets:
  - {id: max_total, cap: 'usdc("25")', scope: session}
  - {id: max_calls, cap: calls(40), scope: session}
sets: {recipients: ["0x00000000000000000000000000000000000000b0", "0x00000000000000000000000000000000000000a1"]}
variables: {over: 'amount > usdc("10")', ending: 'expires - now < minutes(1)'}
rules:
  - {id: assets, at: spend, effect: forbid, unless: 'asset == "USDC"'}
  - {id: max_per_call, at: spend, effect: forbid, when: 'asset == "USDC" && over'}
  - {id: recipients, at: spend, effect: forbid, unless: 'in_set(to, "recipients")'}
  - {id: spend, at: spend, effect: permit, when: 'asset == "USDC"', reserve: [{budget: max_total}, {budget: max_calls}]}
  - {id: approve_above, at: spend, effect: approve, when: 'asset == "USDC" && amount > usdc("1")', ttl: 60s}
  - {id: late, at: tool.call, effect: forbid, when: ending, message: the session ends within a minute; sign in again}
  - {id: memo, at: tool.call, tool: erc20.transfer, effect: forbid, unless: '!given("memo") || args.memo startsWith "inv-"'}
  - {id: tries, at: tool.call, tool: erc20.transfer, effect: forbid, when: 'args.tries >= 3 || args.amount > usdc("10")'}
  - {id: tools, at: tool.call, effect: permit, when: 'tool in ["erc20.transfer", "chain.balance"]'}
  - {id: short, at: output, effect: permit, when: 'size < 1000 && turn <= 8'}
  - {id: small, at: model.route, effect: permit, when: 'model == "small" || cost <= usd("0.05") && tokens <= 4000'}
`)
	both := Layers{operator, grant}
	ledger := func(spent uint64) []Budget {
		calls := money.Of(money.Calls, 0)
		return []Budget{
			{"grant/max_calls", money.Of(money.Calls, 40), calls, calls}, {"grant/max_total", usdc(25e6), usdc(spent), usdc(0)},
			{"operator/allowance", usdc(1000e6), usdc(0), usdc(0)}, {"operator/allowance-eth", eth(1e18), eth(0), eth(0)},
		}
	}
	spend := func(units uint64, to string, spent uint64) Request {
		return Request{Point: Spend, Tool: "erc20.transfer", Class: "chain", Amount: usdc(units), To: common.HexToAddress(to), Budgets: ledger(spent)}
	}
	call := func(args ...Arg) Request {
		return Request{Point: ToolCall, Tool: "erc20.transfer", Class: "chain", Expires: 1e9, Args: args}
	}
	text := func(name, s string) Arg { return Arg{Name: name, Kind: ArgString, Set: true, Text: s} }
	num := func(name string, i int64) Arg { return Arg{Name: name, Kind: ArgInt, Set: true, Int: i} }
	amount := func(units uint64) Arg { return Arg{Name: "amount", Kind: ArgAmount, Set: true, Amount: usdc(units)} }

	for _, c := range []struct {
		name string
		l    Layers
		r    Request
	}{
		{"too much for every layer", both, spend(500e6, "0xa1", 0)},
		{"too much for the grant", Layers{grant}, spend(500e6, "0xa1", 0)},
		{"more than is left", both, spend(5e6, "0xa1", 24_800_000)},
		{"nothing is left", both, spend(5e6, "0xa1", 25e6)},
		{"needs the wallet", both, spend(5e6, "0xa1", 0)},
		{"a stranger", both, spend(500_000, "0xff", 0)},
		{"a stranger, and too much", both, spend(500e6, "0xff", 24e6)},
		{"another asset", both, Request{Point: Spend, Class: "chain", Amount: eth(5), To: common.HexToAddress("0xa1"), Budgets: ledger(0)}},
		{"an asset that no rule knows", Layers{operator}, Request{Point: Spend, Amount: money.Of(money.Calls, 1), Budgets: ledger(0)}},
		{"a write of a reader", Layers{reader}, Request{Point: ToolCall, Tool: "erc20.transfer", Class: "chain"}},
		{"a spend of a reader", Layers{reader}, spend(1, "0xa1", 0)},
		{"words of the rule", Layers{grant}, Request{Point: ToolCall, Tool: "chain.balance", Now: 1e9, Expires: 1e9 + 1}},
		{"an unknown tool", Layers{grant}, Request{Point: ToolCall, Tool: "mail.send", Expires: 1e9}},
		{"an argument", Layers{grant}, call(text("memo", "rent"), num("tries", 1), amount(1))},
		{"two arguments", Layers{grant}, call(num("tries", 7), amount(11e6))},
		{"a missing argument", Layers{grant}, call(amount(1))},
		{"a long answer", Layers{grant}, Request{Point: Output, Size: 4000, Turn: 9}},
		{"a dear model", Layers{grant}, Request{Point: ModelRoute, Model: "large", Cost: 90_000_000, Tokens: 4000}},
		{"a dear model and many tokens", Layers{grant}, Request{Point: ModelRoute, Model: "large", Cost: 90_000_000, Tokens: 9000}},
		{"a kind of model", Layers{operator}, Request{Point: ModelRoute, Kind: "oracle"}},
		{"a point without rules", Layers{grant}, Request{Point: Retrieval}},
		{"no set at all", nil, Request{Point: Output}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.l.Decide(&c.r)
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			err := enc.Encode(struct {
				Outcome Outcome  `json:"outcome"`
				Rules   []string `json:"rules"`
				Message string   `json:"message"`
				Change  string   `json:"change"`
				Atoms   []Atom   `json:"atoms"`
				TTL     int64    `json:"ttl,omitempty"`
			}{d.Outcome, d.Rules, d.Message, d.Change, d.Atoms, d.TTL})
			if err != nil {
				t.Fatal(err)
			}
			file := "testdata/explain/" + strings.ReplaceAll(strings.ReplaceAll(c.name, ",", ""), " ", "-") + ".json"
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b.Bytes(), want) {
				t.Errorf("%s: got\n%s\nwant\n%s", file, b.Bytes(), want)
			}
		})
	}
}
