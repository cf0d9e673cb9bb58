package policies

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/arg"
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
	more := mustLoad(t, "operator", `
schema: writ/policies/1
name: more
assets: {USDC: 6}
budgets:
  - {id: day, cap: 'usdc("100")', scope: wallet, window: day, zone: America/New_York}
  - {id: payee, cap: 'usdc("60")', scope: wallet, window: week, zone: UTC, per: recipient}
  - {id: each, cap: 'usdc("90")', scope: wallet, window: call}
rules:
  - {id: pay, at: spend, effect: permit, reserve: [{budget: day}, {budget: payee}, {budget: each}]}
  - {id: hours, at: spend, effect: forbid, unless: 'in_window(now, "Mon-Fri 09:00-18:00", "Europe/Berlin")'}
  - {id: rate, at: spend, effect: forbid, when: 'count("erc20.transfer", hours(1)) >= 2'}
  - {id: total, at: spend, effect: forbid, when: 'sum("erc20.transfer", "USDC", days(1)) + amount > usdc("50") && class == "chain"'}
  - {id: looked, at: spend, effect: forbid, when: 'class == "keyed"', unless: 'happened("erc20.balance", minutes(10))'}
  - {id: twice, at: spend, effect: approve, when: 'same(to, "erc20.transfer", "to")', ttl: 60s}
  - {id: late, at: spend, effect: forbid, when: 'expires - now < minutes(5)'}
  - {id: web, at: spend, effect: forbid, when: untrusted}
  - {id: calls, at: tool.call, effect: permit}
  - {id: net, at: tool.call, tool: erc20.transfer, effect: forbid, when: 'in_cidr(args.memo, "10.0.0.0/8", "fd00::/8")'}
  - {id: mean, at: tool.call, effect: forbid, when: 'from("web:evil.example")'}
  - {id: low, at: tool.call, effect: forbid, when: 'integrity in ["tool", "untrusted"] && class == "once"'}
  - {id: tired, at: tool.call, effect: forbid, when: 'refused >= 3'}
  - {id: secret, at: output, effect: forbid, when: 'secrecy == "secret"'}
  - {id: out, at: output, effect: permit}
  - {id: cards, at: output, effect: redact, redact: {fields: [iban], patterns: ['[0-9]{13,19}']}}
  - {id: short, at: output, effect: limit, limit: {bytes: 2000}}
  - {id: page, at: tool.result, effect: label, when: 'tool == "web.fetch"', label: {integrity: untrusted, secrecy: wallet}}
  - {id: models, at: model.route, effect: permit}
  - {id: long, at: model.route, effect: route, when: tokens > 8000, route: {use: [large]}}
  - {id: cap, at: model.route, effect: limit, limit: {tokens: 4000}}
  - {id: few, at: model.response, effect: forbid, when: asks > 4}
  - {id: prompts, at: provenance.publish, effect: permit, when: part == "prompt", mode: commit-only}
  - {id: life, at: session.issue, effect: forbid, when: life > hours(1)}
  - {id: empty, at: input, effect: forbid, when: 'text contains "BEGIN PRIVATE KEY"', message: a key does not belong in a request}
  - {id: word, at: output, effect: forbid, when: 'text contains "password"'}
  - {id: source, at: retrieval, effect: permit, when: 'source == "handbook"'}
`)
	noon := int64(1_772_450_000_000) // Monday 2026-03-02, 12:13:20 in Berlin
	used := func(day, payee uint64) []Budget {
		return []Budget{{"operator/day", usdc(100e6), usdc(day), usdc(0)}, {"operator/payee", usdc(60e6), usdc(payee), usdc(0)}}
	}
	// later asks for a spend after the run has made calls, and gives what pays on a day as usual.
	later := func(change func(*Request), acts ...Act) Request {
		past := Layers{more}.Past()
		for _, a := range acts {
			past = past.With(a)
		}
		r := Request{Point: Spend, Now: noon, Expires: noon + 3_600_000, Tool: "erc20.transfer", Class: "chain", Amount: usdc(5e6),
			To: common.HexToAddress("0xa1"), Budgets: used(0, 0), Past: past.At(noon)}
		change(&r)
		return r
	}
	paid := func(minutesAgo int64, units uint64) Act {
		return Act{Tool: "erc20.transfer", Class: "chain", At: noon - minutesAgo*60_000, OK: true, Amount: usdc(units), To: common.HexToAddress("0xb0"),
			Args: []arg.Value{{Name: "to", Kind: arg.Address, Set: true, Addr: common.HexToAddress("0xb0")}}}
	}
	asks := func(p Point, change func(*Request)) Request {
		return later(func(r *Request) { *r = Request{Point: p, Now: noon, Past: r.Past}; change(r) })
	}
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
	call := func(args ...arg.Value) Request {
		return Request{Point: ToolCall, Tool: "erc20.transfer", Class: "chain", Expires: 1e9, Args: args}
	}
	text := func(name, s string) arg.Value { return arg.Value{Name: name, Kind: arg.String, Set: true, Text: s} }
	num := func(name string, i int64) arg.Value { return arg.Value{Name: name, Kind: arg.Int, Set: true, Int: i} }
	amount := func(units uint64) arg.Value {
		return arg.Value{Name: "amount", Kind: arg.Amount, Set: true, Amount: usdc(units)}
	}

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
		{"outside of hours", Layers{more}, later(func(r *Request) { r.Now += 5 * 86_400_000; r.Expires = r.Now + 3_600_000; r.Past = r.Past.At(r.Now) })},
		{"at the end of a session", Layers{more}, later(func(r *Request) { r.Expires = r.Now + 1 })},
		{"a day's budget", Layers{more}, later(func(r *Request) { r.Budgets = used(97e6, 0) })},
		{"a day's budget that is used up", Layers{more}, later(func(r *Request) { r.Budgets = used(100e6, 0) })},
		{"a recipient's budget", Layers{more}, later(func(r *Request) { r.Budgets = used(57e6, 58e6) })},
		{"the cap of a call", Layers{more}, later(func(r *Request) { r.Class, r.Amount = "once", usdc(95e6) })},
		{"too often", Layers{more}, later(func(*Request) {}, paid(50, 1), paid(20, 1))},
		{"too much in a day", Layers{more}, later(func(*Request) {}, paid(300, 30e6), paid(200, 17e6))},
		{"too much in a day already", Layers{more}, later(func(*Request) {}, paid(300, 30e6), paid(200, 21e6))},
		{"not looked up", Layers{more}, later(func(r *Request) { r.Class = "keyed" })},
		{"to the same again", Layers{more}, later(func(r *Request) { r.To = common.HexToAddress("0xb0") }, paid(20, 1))},
		{"from the web", Layers{more}, later(func(r *Request) { r.Label.Integrity = label.Untrusted })},
		{"a network", Layers{more}, asks(ToolCall, func(r *Request) { r.Tool, r.Args = "erc20.transfer", []arg.Value{text("memo", "10.1.2.3")} })},
		{"no address of a network", Layers{more}, asks(ToolCall, func(r *Request) { r.Tool, r.Args = "erc20.transfer", []arg.Value{text("memo", "localhost")} })},
		{"an origin", Layers{more}, asks(ToolCall, func(r *Request) { r.Label.Origins = []string{"web:evil.example"} })},
		{"an integrity", Layers{more}, asks(ToolCall, func(r *Request) { r.Class, r.Label.Integrity = "once", label.Tool })},
		{"refused before", Layers{more}, asks(ToolCall, func(r *Request) { r.Refused = 3 })},
		{"a secret", Layers{more}, asks(Output, func(r *Request) { r.Label.Secrecy = label.Secret })},
		{"a redaction and a limit", Layers{more}, asks(Output, func(r *Request) {})},
		{"a label", Layers{more}, asks(ToolResult, func(r *Request) { r.Tool = "web.fetch" })},
		{"a route", Layers{more}, asks(ModelRoute, func(r *Request) { r.Model, r.Tokens = "small", 9000 })},
		{"a limit of tokens", Layers{more}, asks(ModelRoute, func(r *Request) { r.Model, r.Tokens = "small", 80 })},
		{"too many calls at once", Layers{more}, asks(ModelResponse, func(r *Request) { r.Asks = 5 })},
		{"a mode", Layers{more}, asks(ProvenancePublish, func(r *Request) { r.Part = "prompt" })},
		{"a long session", Layers{more}, asks(SessionIssue, func(r *Request) { r.Life = 3_600_001 })},
		{"a key in a request", Layers{more}, asks(Input, func(r *Request) { r.Text = "-----BEGIN PRIVATE KEY-----" })},
		{"a word in an answer", Layers{more}, asks(Output, func(r *Request) { r.Text = "your password is hunter2" })},
		{"another source", Layers{more}, asks(Retrieval, func(r *Request) { r.Source = "wiki" })},
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

				Obligations Obligations `json:"obligations,omitzero"`
			}{d.Outcome, d.Rules, d.Message, d.Change, d.Atoms, d.TTL, d.Obligations()})
			if err != nil {
				t.Fatal(err)
			}
			file := "testdata/explain/" + strings.NewReplacer(",", "", "'", "", " ", "-").Replace(c.name) + ".json"
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
