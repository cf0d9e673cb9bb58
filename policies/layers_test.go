package policies

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies/internal/keys"
)

// 100,000 random pairs and triples of layers, at five points: the strictest of them decides, whoever stands above whom, and
// no lower layer makes public what the operator's does not. The sets are compiled once and met in many pairs.
func TestRandomLayersNeverWiden(t *testing.T) {
	pairs := 100_000
	if testing.Short() {
		pairs = 10_000
	}
	const perLayer, asked = 80, 300
	rnd := rand.New(rand.NewPCG(7, 11))
	layers := []string{"operator", "dapp", "grant", "delegation1"}
	points := []Point{Spend, ToolCall, ModelRoute, Output, ProvenancePublish}
	conds := map[Point][]string{
		Spend: {`amount > usdc("0.00001")`, `amount <= usdc("0.00005")`, `asset == "USDC"`, `to == wallet`, `class == "chain"`,
			`left("day") >= amount`, `approved`, `now * 2 > 4`, `in_set(to, "friends")`, `spent("day") < usdc("0.00003")`, `untrusted`},
		ToolCall:          {`class == "read"`, `tool == "a"`, `turn + 1 > 3`, `calls < 2`, `approved`, `host != ""`, `tainted`},
		ModelRoute:        {`kind == "rules"`, `tokens < 5`, `cost <= usd("0.000000003")`, `model in ["x", "y"]`},
		Output:            {`size < 5`, `tainted`, `secrecy == "public"`},
		ProvenancePublish: {`part == "args"`, `tool == "a"`},
	}
	one := func(list []string) string { return list[rnd.IntN(len(list))] }
	draw := func(layer string) *Set {
		var b strings.Builder
		b.WriteString(head + "sets: {friends: ['0x00000000000000000000000000000000000000a1']}\n" +
			"budgets: [{id: day, cap: 'usdc(\"0.0001\")', scope: wallet}]\nrules:\n")
		n := 0
		for _, p := range points {
			if rnd.IntN(4) > 0 {
				fmt.Fprintf(&b, "  - {id: r%d, at: %s, effect: permit}\n", n, p)
				n++
			}
			for range rnd.IntN(3) {
				effects := []string{"permit", "permit", "forbid"}
				if p == Spend || p == ToolCall {
					effects = append(effects, "approve", "approve")
				}
				effect := one(effects)
				fmt.Fprintf(&b, "  - {id: r%d, at: %s, effect: %s", n, p, effect)
				n++
				if rnd.IntN(3) > 0 {
					fmt.Fprintf(&b, ", %s: '%s'", one([]string{"when", "when", "unless"}), one(conds[p]))
				}
				if p == Spend && effect != "forbid" && rnd.IntN(3) == 0 {
					b.WriteString(", reserve: {budget: day}")
				}
				if p == ProvenancePublish && effect == "permit" && rnd.IntN(2) == 0 {
					b.WriteString(", mode: " + one(keys.Modes))
				}
				b.WriteString("}\n")
			}
		}
		if n == 0 {
			b.WriteString("  - {id: none, at: output, effect: permit}\n")
		}
		s, err := Load([]byte(b.String()), Options{Layer: layer, Untrusted: layer != "operator"})
		if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
		return s
	}
	var sets [4][]*Set
	for i, layer := range layers {
		for range perLayer {
			sets[i] = append(sets[i], draw(layer))
		}
	}
	requests := make([]*Request, asked)
	for i := range requests {
		r := &Request{
			Point: points[rnd.IntN(len(points))], Now: int64(rnd.IntN(5)), Tool: one([]string{"a", "b"}), Class: one([]string{"read", "chain"}),
			Turn: int64(rnd.IntN(4)), Calls: int64(rnd.IntN(4)), Amount: usdc(uint64(rnd.IntN(120))), To: common.Address{19: byte(0xa0 + rnd.IntN(3))},
			Wallet: common.Address{19: 0xa2}, Model: one([]string{"x", "z"}), Kind: one([]string{"rules", "model"}), Tokens: int64(rnd.IntN(9)),
			Cost: int64(rnd.IntN(6)), Size: int64(rnd.IntN(9)), Part: one([]string{"args", "result"}), Approved: rnd.IntN(2) == 0,
		}
		for _, layer := range layers {
			r.Budgets = append(r.Budgets, Budget{layer + "/day", usdc(100), usdc(uint64(rnd.IntN(80))), usdc(uint64(rnd.IntN(20)))})
		}
		requests[i] = r
	}
	strictness := map[Outcome]int{Permit: 0, Approve: 1, Deny: 2}
	var alone [4][perLayer][]Decision
	for i := range sets {
		for k, s := range sets[i] {
			alone[i][k] = make([]Decision, asked)
			for n, r := range requests {
				alone[i][k][n] = Layers{s}.Decide(r)
			}
		}
	}
	seen := map[Outcome]int{}
	for range pairs {
		var l Layers
		want, n := 0, rnd.IntN(asked)
		public := true // as far as the operator's set goes
		lower := 1 + rnd.IntN(len(layers)-1)
		for i := range layers {
			if i > 0 && i != lower && rnd.IntN(2) == 0 {
				continue
			}
			k := rnd.IntN(perLayer)
			l = append(l, sets[i][k])
			own := alone[i][k][n]
			want = max(want, strictness[own.Outcome])
			if i == 0 {
				public = own.Mode == Public
			}
		}
		got := l.Decide(requests[n])
		if strictness[got.Outcome] != want { // so one more layer never gives a weaker answer
			t.Fatalf("%d layers give %s, the strictest alone gives %d: %s", len(l), got.Outcome, want, sources(l))
		}
		if got.Outcome == Permit && got.Mode == Public && !public {
			t.Fatalf("a lower layer makes public what the operator's does not: %s", sources(l))
		}
		seen[got.Outcome]++
	}
	for o, rank := range strictness {
		if seen[o] < pairs/100 {
			t.Errorf("%s (%d) came out %d times only: %v", o, rank, seen[o], seen)
		}
	}
}

func sources(l Layers) string {
	var b strings.Builder
	for _, s := range l {
		fmt.Fprintf(&b, "\n-- %s\n%s", s.layer, s.source)
	}
	return b.String()
}
