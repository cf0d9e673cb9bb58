package policies

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/expr-lang/expr"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies/money"
)

var (
	usdcAsset = money.Asset{Symbol: "USDC", Decimals: 6}
	ethAsset  = money.Asset{Symbol: "ETH", Decimals: 18}
)

func usdc(units uint64) money.Amount { return money.Of(usdcAsset, units) }

// twentyRules is a set of 16 forbids and 4 permits, one of which asks a set of 1,000 addresses.
func twentyRules() string {
	var b strings.Builder
	b.WriteString("schema: writ/policies/1\nname: twenty\nassets: {USDC: 6}\n")
	b.WriteString("budgets: [{id: day, cap: 'usdc(\"1000\")', scope: wallet}]\nsets:\n  friends:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "    - 0x%040x\n", i*7919+1)
	}
	b.WriteString("rules:\n")
	for i := range 16 {
		fmt.Fprintf(&b, "  - {id: forbid-%d, at: spend, effect: forbid, when: 'tool == \"bad%d\" || amount > usdc(\"%d\") && chain == %d'}\n",
			i, i, 100+i, 100+i)
	}
	b.WriteString("  - {id: p1, at: spend, effect: permit, when: 'class == \"read\"'}\n")
	b.WriteString("  - {id: p2, at: spend, effect: permit, when: 'expires - now < hours(1) && turn < 3'}\n")
	b.WriteString("  - {id: p3, at: spend, effect: permit, when: 'tool startsWith \"x.\"'}\n")
	b.WriteString("  - {id: p4, at: spend, effect: permit, when: 'asset == \"USDC\" && amount <= usdc(\"50\") && in_set(to, \"friends\")', reserve: {budget: day}}\n")
	return b.String()
}

func twentyRequest() *Request {
	return &Request{
		Point: Spend, Now: 1_700_000_000_000, Agent: "treasurer", Chain: 8453, Expires: 1_700_009_000_000, Turn: 2,
		Tool: "erc20.transfer", Class: "chain", Amount: usdc(5_000_000), To: common.HexToAddress(fmt.Sprintf("0x%040x", 776*7919+1)),
		Budgets: []Budget{{ID: "operator/day", Cap: usdc(1_000_000_000), Spent: usdc(1), Reserved: usdc(0)}},
	}
}

func BenchmarkDecide20Rules1000Set(b *testing.B) {
	l := Layers{mustLoad(b, "operator", twentyRules())}
	r := twentyRequest()
	if d := l.Decide(r); d.Outcome != Permit {
		b.Fatal(d.Message)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Decide(r)
	}
}

// BenchmarkDecide20RulesDenied is the slow path: the decision explains itself and tries what it proposes.
func BenchmarkDecide20RulesDenied(b *testing.B) {
	l := Layers{mustLoad(b, "operator", twentyRules())}
	r := twentyRequest()
	r.Amount = usdc(70_000_000)
	if d := l.Decide(r); d.Outcome != Deny {
		b.Fatal(d.Outcome)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Decide(r)
	}
}

func BenchmarkLoad(b *testing.B) {
	src := []byte(twentyRules())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Load(src, Options{Layer: "operator"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoadFloor is the least that loading costs: the YAML read into nodes, and each condition compiled by expr
// alone, without a gate, types of money or checks.
func BenchmarkLoadFloor(b *testing.B) {
	src := []byte(twentyRules())
	env := map[string]any{"tool": "", "class": "", "asset": "", "to": "", "amount": 0, "chain": 0, "now": 0, "expires": 0, "turn": 0,
		"usdc": func(string) int { return 0 }, "hours": func(int) int { return 0 }, "in_set": func(string, string) bool { return true }}
	b.ReportAllocs()
	for b.Loop() {
		var doc yaml.Node
		if err := yaml.Unmarshal(src, &doc); err != nil {
			b.Fatal(err)
		}
		for _, r := range memberOf(doc.Content[0], "rules").Content {
			if _, err := expr.Compile(memberOf(r, "when").Value, expr.Env(env), expr.AsBool()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func eth(wei uint64) money.Amount { return money.Of(ethAsset, wei) }
