package loop

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/layer"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

var (
	usdc      = money.Asset{Symbol: "USDC", Decimals: 6}
	testTools = []string{"agent.other", "chain.balance", "erc20.transfer", "web.fetch"}
	payees    = []common.Address{{1, 1, 1, 1}, {2, 2, 2, 2}, {3, 3, 3, 3}}
	models    = []string{"large", "rules", "small"}
)

// some returns a random part of a sorted list; perhaps all of it, or nothing.
func some[T any](r *rand.Rand, list []T) (out []T) {
	for _, v := range list {
		if r.IntN(6) > 0 {
			out = append(out, v)
		}
	}
	return out
}

func randomCaveats(r *rand.Rand) auth.Caveats {
	c := auth.Caveats{
		MaxCalls: 3 + uint64(r.IntN(8)), MaxTokens: 50 + uint64(r.IntN(100)), MaxCostNanoUSD: 50 + int64(r.IntN(100)),
		Chains: []uint64{1, 10, 1337}[r.IntN(5)/4 : 3], MaxDepth: uint64(min(r.IntN(12), 4)),
		Recipients: some(r, payees), Models: some(r, models),
	}
	if r.IntN(12) > 0 {
		total := 30 + uint64(r.IntN(50))
		c.MaxTotal = []money.Amount{money.Of(usdc, total)}
		c.MaxPerCall = []money.Amount{money.Of(usdc, 10+uint64(r.IntN(int(total)-10)))}
		c.ApproveAbove = []money.Amount{money.Of(usdc, uint64(r.IntN(30)))}
	}
	return c
}

const everything = `schema: writ/policies/1
name: all
assets: {USDC: 6}
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: spends, at: spend, effect: permit}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

// A line is the layers of one random delegation tree's branch, by how many sub-agents stand below each: the rules of
// the same limits differ in that.
type line struct {
	caveats [][]auth.Caveats // by place, then by number
	sets    map[[3]int]*policies.Set
}

// layersOf returns the layers of an agent that is n levels below the grant; picked names the limits at each place.
func (l *line) layersOf(t testing.TB, picked []int, n int) policies.Layers {
	out := policies.Layers{l.set(t, -1, 0, 0)}
	for i := range n + 1 {
		out = append(out, l.set(t, i, picked[i], n-i))
	}
	return out
}

func (l *line) set(t testing.TB, place, number, below int) *policies.Set {
	key := [3]int{place, number, below}
	if s := l.sets[key]; s != nil {
		return s
	}
	var types []policies.ToolType
	for _, name := range testTools {
		types = append(types, policies.ToolType{Name: name})
	}
	src, o := []byte(everything), policies.Options{Layer: LayerOperator, Tools: types}
	if place >= 0 {
		o = policies.Options{Layer: LayerGrant, Untrusted: true, Tools: types}
		if place > 0 {
			o.Layer = authority.LayerName(place - 1)
		}
		c := l.caveats[place][number]
		granted := testTools[:len(testTools)-(number%8)/7]
		src = layer.Write(granted, c, testTools[:1], uint64(below))
	}
	s, err := policies.Load(src, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	l.sets[key] = s
	return s
}

// P5: in 100,000 random delegation trees, whatever limits the delegations name, wider ones too, no descendant is
// permitted what an ancestor is not, nor without the wallet what an ancestor is permitted only with it.
func TestNoDescendantMayDoWhatAnAncestorMayNot(t *testing.T) {
	trees := 100_000
	if testing.Short() {
		trees = 2_000
	}
	r := rand.New(rand.NewPCG(1, 2))
	l := &line{sets: map[[3]int]*policies.Set{}}
	for range provenance.MaxDelegations + 1 {
		var all []auth.Caveats
		for range 16 {
			all = append(all, randomCaveats(r))
		}
		l.caveats = append(l.caveats, all)
	}
	outcomes := map[policies.Outcome]int{}
	for tree := range trees {
		picked := make([]int, provenance.MaxDelegations+1)
		for i := range picked {
			picked[i] = r.IntN(len(l.caveats[i]))
		}
		depth := 1 + r.IntN(provenance.MaxDelegations)
		mine := l.layersOf(t, picked, depth)
		q := policies.Request{
			Point: []policies.Point{policies.ToolCall, policies.Spend, policies.ModelRoute}[r.IntN(3)],
			Tool:  testTools[r.IntN(len(testTools))], Class: "chain", Chain: int64([]uint64{1, 10, 1337}[r.IntN(3)]),
			Amount: money.Of(usdc,
				uint64(r.IntN(30))), To: payees[r.IntN(len(payees))], Model: models[r.IntN(len(models))], Kind: "model",
			Tokens: int64(r.IntN(60)), Cost: int64(r.IntN(60)), Approved: r.IntN(4) == 0, Expires: 1,
		}
		for _, s := range mine {
			for _, b := range s.Budgets() {
				used := money.Of(b.Cap.Asset(), uint64(r.IntN(4)))
				q.Budgets = append(q.Budgets,
					policies.Budget{ID: b.ID, Cap: b.Cap, Spent: used, Reserved: money.Of(b.Cap.Asset(), 0)})
			}
		}
		slices.SortFunc(q.Budgets, func(a, b policies.Budget) int { return strings.Compare(a.ID, b.ID) })
		got := mine.Decide(&q)
		outcomes[got.Outcome]++
		if got.Outcome == policies.Deny {
			continue
		}
		// Whoever permits draws on every layer's ledgers in the one decision.
		if layers := drawn(got.Reserve); q.Point != policies.Spend && len(layers) != depth+1 {
			t.Fatalf("tree %d: %d levels deep it draws on %v only", tree, depth, layers)
		}
		for above := range depth {
			a := l.layersOf(t, picked, above).Decide(&q)
			if a.Outcome == policies.Deny || a.Outcome == policies.Approve && got.Outcome == policies.Permit {
				t.Fatalf("tree %d: %s at depth %d, but %s at depth %d: %+v\n%s", tree, got.Outcome, depth, a.Outcome,
					above, q, a.Message)
			}
		}
	}
	t.Logf("%d trees: %v", trees, outcomes)
	for _, o := range []policies.Outcome{policies.Permit, policies.Approve, policies.Deny} {
		if outcomes[o] < trees/100 {
			t.Errorf("only %d of %d trees came to %s; they prove little", outcomes[o], trees, o)
		}
	}
}

func drawn(rs []policies.Reserve) map[string]bool {
	out := map[string]bool{}
	for _, r := range rs {
		name, _, _ := strings.Cut(r.Budget, "/")
		out[name] = true
	}
	return out
}

var seedKey = ed25519.NewKeyFromSeed(make([]byte, 32))

func agentsKey(t testing.TB) auth.PublicKey {
	k, err := auth.Ed25519Key(seedKey.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, d *provenance.Delegation) {
	d.Issuer = agentsKey(t).String()
	b, err := d.Signed()
	if err != nil {
		t.Fatal(err)
	}
	d.Sig = ed25519.Sign(seedKey, b)
}

// unbounded are hard stops that narrow nothing.
var unbounded = provenance.Limits{Calls: 1 << 40, Tokens: 1 << 40, Cost: 1 << 60}

func linkOf(s string) provenance.Link { return provenance.Sum(0x71, []byte(s)) }

// What an agent delegates of its own accord always holds; anything later, wider, deeper or by another key does not.
func TestDelegationsOnlyNarrow(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const at = int64(1_800_000_000_000)
	made, refused := 0, map[string]int{}
	for n := range 500 {
		c := randomCaveats(r)
		c.MaxDepth = 4
		g := &auth.Grant{
			Tools: some(r,
				testTools), Caveats: c, NotBefore: time.UnixMilli(at), Expires: time.UnixMilli(at + 3_600_000),
		}
		var chain []authority.Delegated
		for len(chain) < provenance.MaxDelegations {
			a, err := authority.New(g, chain, agentsKey(t))
			if err != nil {
				t.Fatalf("tree %d at depth %d: %v", n, len(chain), err)
			}
			to := &provenance.Delegate{
				Agent: linkOf("agent"), Tools: some(r,
					testTools), Caveats: randomCaveats(r).JSON(), Life: int64(1 + r.IntN(7_200_000)),
			}
			d, err := a.Delegate(to, &provenance.Handed{Limits: unbounded}, linkOf("from"), provenance.Parent{Step: linkOf("step")},
				at+int64(len(chain)))
			if _, none := errors.AsType[*auth.Fault](err); none {
				break // nothing is left
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, lie := range []struct {
				rule   string
				change func(*provenance.Delegation)
			}{
				{authority.DelegationLater, func(d *provenance.Delegation) { d.Expires = a.Expires() + 1 }},
				{authority.DelegationLater, func(d *provenance.Delegation) { d.At = d.Expires }},
				{authority.DelegationLater, func(d *provenance.Delegation) { d.At = at - 3_600_000 }},
				{authority.DelegationWider,
					func(d *provenance.Delegation) { d.Tools = append(slices.Clone(d.Tools), "zzz.all") }},
				{authority.DelegationWider, func(d *provenance.Delegation) {
					wide := a.Caveats()
					wide.MaxCalls++
					d.Caveats = wide.JSON()
				}},
				// as many levels again
				{authority.DelegationWider, func(d *provenance.Delegation) { d.Caveats = a.Caveats().JSON() }},
				{authority.DelegationForm, func(d *provenance.Delegation) { d.Caveats = "{}" }},
			} {
				x := *d
				lie.change(&x)
				sign(t, &x)
				_, err := authority.New(g, append(slices.Clone(chain), authority.Delegated{CID: linkOf("x"), Delegation: &x}), agentsKey(t))
				if e, ok := errors.AsType[*authority.DelegationError](err); !ok || e.Rule != lie.rule {
					t.Fatalf("tree %d at depth %d: got %v, want %s", n, len(chain), err, lie.rule)
				}
				refused[lie.rule]++
			}
			sign(t, d)
			forged := *d
			forged.Sig = slices.Clone(d.Sig)
			forged.Sig[0] ^= 1
			other := *d
			other.Issuer = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK"
			for _, lie := range []struct {
				rule string
				d    *provenance.Delegation
			}{{authority.DelegationSignature, &forged}, {authority.DelegationIssuer, &other}} {
				_, err := authority.New(g, append(slices.Clone(chain), authority.Delegated{CID: linkOf("x"), Delegation: lie.d}), agentsKey(t))
				if e, ok := errors.AsType[*authority.DelegationError](err); !ok || e.Rule != lie.rule {
					t.Fatalf("tree %d at depth %d: got %v, want %s", n, len(chain), err, lie.rule)
				}
			}
			chain = append(chain, authority.Delegated{CID: linkOf(fmt.Sprint(n, len(chain))), Delegation: d})
			made++
		}
	}
	t.Logf("%d delegations, refused %v", made, refused)
	if made < 500 {
		t.Errorf("only %d delegations were made", made)
	}
}
