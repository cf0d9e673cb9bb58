package auth

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"pgregory.net/rapid"

	"github.com/writ-run/writ/policies/money"
)

func TestCaveatsAreComplete(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Caveats)
		want   Code
	}{
		{"the fixture is valid", func(*Caveats) {}, ""},
		{"without an asset nothing may be spent, which is valid", func(c *Caveats) { c.MaxTotal, c.MaxPerCall, c.ApproveAbove = nil, nil, nil }, ""},
		{"every spend may need an approval", func(c *Caveats) { c.ApproveAbove = []money.Amount{money.Of(usdc, 0)} }, ""},
		{"calls are always limited", func(c *Caveats) { c.MaxCalls = 0 }, CodeCaveats},
		{"tokens are always limited", func(c *Caveats) { c.MaxTokens = 0 }, CodeCaveats},
		{"cost is always limited", func(c *Caveats) { c.MaxCostNanoUSD = 0 }, CodeCaveats},
		{"a cost is not negative", func(c *Caveats) { c.MaxCostNanoUSD = -1 }, CodeCaveats},
		{"chains are always named", func(c *Caveats) { c.Chains = nil }, CodeCaveats},
		{"a limit on calls is not endless", func(c *Caveats) { c.MaxCalls = 1 << 63 }, CodeCaveats},
		{"a limit on tokens is not endless", func(c *Caveats) { c.MaxTokens = 1 << 63 }, CodeCaveats},
		{"a limit on cost is not endless", func(c *Caveats) { c.MaxCostNanoUSD = 1<<63 - 1 }, CodeCaveats},
		{"an amount is not endless", func(c *Caveats) {
			c.MaxTotal = []money.Amount{amount(usdc, "1000000000000000")}
		}, CodeCaveats},
		{"an asset with a total has a limit per call", func(c *Caveats) { c.MaxPerCall = nil }, CodeCaveats},
		{"an asset with a total has an approval limit", func(c *Caveats) { c.ApproveAbove = nil }, CodeCaveats},
		{"an asset with a limit per call has a total", func(c *Caveats) { c.MaxTotal = nil }, CodeCaveats},
		{"the three lists name the same assets", func(c *Caveats) { c.ApproveAbove = []money.Amount{money.Of(ether, 1)} }, CodeCaveats},
		{"a call is within the total", func(c *Caveats) { c.MaxPerCall = []money.Amount{money.Of(usdc, 25_000_001)} }, CodeCaveats},
		{"an asset has a symbol", func(c *Caveats) {
			none := []money.Amount{money.Of(money.Asset{}, 1)}
			c.MaxTotal, c.MaxPerCall, c.ApproveAbove = none, none, none
		}, CodeCaveats},
		{"an asset is named once", func(c *Caveats) {
			c.MaxTotal = append(c.MaxTotal, c.MaxTotal[0])
			c.MaxPerCall = append(c.MaxPerCall, c.MaxPerCall[0])
			c.ApproveAbove = append(c.ApproveAbove, c.ApproveAbove[0])
		}, CodeCaveats},
		{"symbols differ in more than capitals", func(c *Caveats) {
			two := []money.Amount{money.Of(money.Asset{Symbol: "USDC"}, 1), money.Of(money.Asset{Symbol: "usdc"}, 1)}
			c.MaxTotal, c.MaxPerCall, c.ApproveAbove = two, two, two
		}, CodeCaveats},
		{"a recipient is nobody's burn address", func(c *Caveats) { c.Recipients = []common.Address{{}} }, CodeCaveats},
		{"a recipient is named once", func(c *Caveats) { c.Recipients = []common.Address{bob, bob} }, CodeCaveats},
		{"a host is not a pattern", func(c *Caveats) { c.Hosts = []string{"*.example.com"} }, CodeCaveats},
		{"a host has no port", func(c *Caveats) { c.Hosts = []string{"example.com:80"} }, CodeCaveats},
		{"a host is in small letters", func(c *Caveats) { c.Hosts = []string{"Example.com"} }, CodeCaveats},
		{"a model has no space", func(c *Caveats) { c.Models = []string{"a b"} }, CodeCaveats},
		{"a network says its length", func(c *Caveats) { c.From = []string{"192.0.2.7"} }, CodeCaveats},
		{"a network has nothing behind its length", func(c *Caveats) { c.From = []string{"192.0.2.7/24"} }, CodeCaveats},
		{"a network is not everybody's", func(c *Caveats) { c.From = []string{"0.0.0.0/0"} }, CodeCaveats},
		{"a network of IPv4 is not written as IPv6", func(c *Caveats) { c.From = []string{"::ffff:192.0.2.0/120"} }, CodeCaveats},
		{"a network has one spelling", func(c *Caveats) { c.From = []string{"2001:DB8::/32"} }, CodeCaveats},
		{"an origin has no path", func(c *Caveats) { c.From = []string{"https://app.example/"} }, CodeCaveats},
		{"an origin has not the port of its scheme", func(c *Caveats) { c.From = []string{"https://app.example:443"} }, CodeCaveats},
		{"a thing has a number", func(c *Caveats) { c.Things = []string{"erc721:0x70997970C51812dc3A010C7d01b50e0d17dc79C8"} }, CodeCaveats},
		{"a thing's number has one spelling", func(c *Caveats) { c.Things = []string{"erc721:0x70997970C51812dc3A010C7d01b50e0d17dc79C8/07"} }, CodeCaveats},
		{"a collection has its capitals", func(c *Caveats) { c.Things = []string{"erc721:0x70997970c51812dc3a010c7d01b50e0d17dc79c8/7"} }, CodeCaveats},
		{"things are sorted", func(c *Caveats) {
			c.Things = []string{"erc721:0x70997970C51812dc3A010C7d01b50e0d17dc79C8/7", "erc721:0x70997970C51812dc3A010C7d01b50e0d17dc79C8/1"}
		}, CodeCaveats},
		{"sources are sorted", func(c *Caveats) { c.From = []string{"192.0.2.0/24", "10.0.0.0/8"} }, CodeCaveats},
		{"hosts are sorted", func(c *Caveats) { c.Hosts = []string{"b.example", "a.example"} }, CodeCaveats},
		{"nine chains are too many", func(c *Caveats) { c.Chains = []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9} }, CodeCaveats},
		{"chain 0 does not exist", func(c *Caveats) { c.Chains = []uint64{0} }, CodeCaveats},
		{"sub-agents go four levels deep", func(c *Caveats) { c.MaxDepth = 5 }, CodeCaveats},
		{"limits that do not fit the sentence are refused", func(c *Caveats) {
			for i := range 8 {
				c.Models = append(c.Models, strings.Repeat("m", 60)+string(rune('a'+i)))
			}
		}, CodeSentence},
	} {
		c := newSignin(t).offer.Caveats
		tt.change(&c)
		if got := code(c.Validate()); got != tt.want {
			t.Errorf("%s: got %q (%v), want %q", tt.name, got, c.Validate(), tt.want)
		}
	}
}

func amount(a money.Asset, whole string) money.Amount {
	m, err := money.ParseDecimal(a, whole)
	if err != nil {
		panic(err)
	}
	return m
}

func TestSentenceOfEveryLimit(t *testing.T) {
	c := Caveats{
		MaxTotal:     []money.Amount{amount(ether, "0.5"), amount(usdc, "25")},
		MaxPerCall:   []money.Amount{amount(ether, "0.000000000000000001"), amount(usdc, "5.25")},
		ApproveAbove: []money.Amount{amount(ether, "0"), amount(usdc, "1")},
		MaxCalls:     40, MaxTokens: 200_000, MaxCostNanoUSD: 3_500_000_000, Chains: []uint64{1, 8453},
		Recipients: []common.Address{bob}, Hosts: []string{"api.example.com", "example.com"}, Models: []string{"gpt-5-mini"},
		ApproveIfTainted: true, MaxDepth: 2,
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	want := "Let agent treasurer act for me on chain 1 and 8453 until 2026-11-23 12:00:00 UTC. It may spend at most 0.5 ETH " +
		"and 25 USDC in total and 0.000000000000000001 ETH and 5.25 USDC per call, to " + bob.Hex() + " only, and must ask me " +
		"above 0 ETH or 1 USDC, counting all that went without asking since it last asked me, to one recipient or in all. It must ask me before it spends on the word of untrusted content. Limits: 40 tool calls, " +
		"200000 model tokens, 3.5 USD model cost. Models: gpt-5-mini only. Web hosts: api.example.com, example.com only. " +
		"Sub-agents: at most 2 deep."
	if got := c.Sentence("treasurer", noon); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// genCaveats draws valid caveats.
func genCaveats(t *rapid.T) Caveats {
	var c Caveats
	symbols := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z][A-Za-z0-9._-]{0,8}`), 0, 3, strings.ToLower).Draw(t, "symbols")
	for _, s := range symbols {
		a := money.Asset{Symbol: s, Decimals: uint8(rapid.IntRange(0, 18).Draw(t, "decimals"))}
		total := rapid.Uint64Range(1, 1e15-1).Draw(t, "total")
		c.MaxTotal = append(c.MaxTotal, money.Of(a, total))
		c.MaxPerCall = append(c.MaxPerCall, money.Of(a, rapid.Uint64Range(1, total).Draw(t, "per call")))
		c.ApproveAbove = append(c.ApproveAbove, money.Of(a, rapid.Uint64Range(0, 1e15-1).Draw(t, "approve")))
	}
	c.MaxCalls = rapid.Uint64Range(1, maxCalls).Draw(t, "calls")
	c.MaxTokens = rapid.Uint64Range(1, maxTokens).Draw(t, "tokens")
	c.MaxCostNanoUSD = rapid.Int64Range(1, maxCost).Draw(t, "cost")
	c.Chains = rapid.SliceOfNDistinct(rapid.Uint64Range(1, maxChain), 1, 3, rapid.ID[uint64]).Draw(t, "chains")
	for _, n := range rapid.SliceOfNDistinct(rapid.Uint64Range(1<<20, 1<<62), 0, 2, rapid.ID[uint64]).Draw(t, "recipients") {
		c.Recipients = append(c.Recipients, common.BytesToAddress(money.Of(usdc, n).Uint256().Bytes()))
	}
	c.Hosts = rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z0-9]{1,8}\.[a-z]{2,5}`), 0, 2, rapid.ID[string]).Draw(t, "hosts")
	c.Models = rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Za-z0-9._:/@+-]{1,16}`), 0, 2, rapid.ID[string]).Draw(t, "models")
	c.Things = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		"erc721:0x70997970C51812dc3A010C7d01b50e0d17dc79C8/1", "erc721:0x70997970C51812dc3A010C7d01b50e0d17dc79C8/7",
		"erc721:0x70997970C51812dc3A010C7d01b50e0d17dc79C8/115792089237316195423570985008687907853269984665640564039457584007913129639935",
	}), 0, 2, rapid.ID[string]).Draw(t, "things")
	c.From = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		"10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32", "2001:db8:1::/48", "https://app.example", "http://localhost:3000",
	}), 0, 4, rapid.ID[string]).Draw(t, "from")
	c.ApproveIfTainted = rapid.Bool().Draw(t, "tainted")
	c.MaxDepth = rapid.Uint64Range(0, MaxDepth).Draw(t, "depth")
	return c.sortedCopy()
}

// Every limit that is enforced is in the sentence, the sentence can be signed in a message, and what comes back from
// the message is what went in.
func TestEveryLimitIsSigned(t *testing.T) {
	s := newSignin(t)
	rapid.Check(t, func(t *rapid.T) {
		c := genCaveats(t)
		if code(c.Validate()) == CodeSentence {
			t.Skip("too long to be shown")
		}
		o := s.offer
		o.Caveats, o.Chain = c, rapid.SampledFrom(c.Chains).Draw(t, "chain")
		o.Agent = rapid.StringMatching(`[a-z][a-z0-9-]{0,31}`).Draw(t, "agent")
		o.Tools = rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9_]{0,7}(\.[a-z][a-z0-9_]{0,7})?`), 0, 5, rapid.ID[string]).Draw(t, "tools")
		o.Expires = o.Issued.Add(time.Duration(rapid.IntRange(1, 24*3600).Draw(t, "life")) * time.Second)
		o.OriginURI = rapid.Bool().Draw(t, "the key is in the ReCap")
		raw, err := Build(o)
		if code(err) == CodeSentence {
			t.Skip("too long with the key's fingerprint")
		}
		if err != nil {
			t.Fatal(err)
		}
		sig, err := s.wallet.SignText(raw)
		if err != nil {
			t.Fatal(err)
		}
		g, err := Reread(raw, sig)
		if err != nil {
			t.Fatal(err)
		}

		sentence, _, _ := strings.Cut(string(raw), " "+preamble)
		sentence = sentence[strings.Index(sentence, "\n\n")+2:]
		if !strings.HasPrefix(sentence, c.Sentence(o.Agent, o.Expires)) {
			t.Errorf("the statement does not begin with the limits: %s", sentence)
		}
		if g.Key != o.Key || o.OriginURI != strings.HasSuffix(sentence, " Session key: "+o.Key.Fingerprint()+".") {
			t.Errorf("the key is %s, want %s; the sentence is %s", g.Key, o.Key, sentence)
		}
		m, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if key, err := m.SessionKey(); err != nil || key != o.Key {
			t.Errorf("the message names the key %s, %v", key, err)
		}
		if len(sentence) > MaxSentence || !allBytes(sentence, isStatement) {
			t.Fatalf("the sentence cannot be shown: %s", sentence)
		}
		shown := []string{o.Agent, o.Expires.Format(time.DateTime),
			formatUint(g.Caveats.MaxCalls) + " tool calls", formatUint(g.Caveats.MaxTokens) + " model tokens",
			money.Of(usd, uint64(g.Caveats.MaxCostNanoUSD)).Decimal() + " USD model cost"}
		for i := range g.Caveats.MaxTotal {
			shown = append(shown, g.Caveats.MaxTotal[i].String(), g.Caveats.MaxPerCall[i].String(), g.Caveats.ApproveAbove[i].String())
		}
		for _, n := range g.Caveats.Chains {
			shown = append(shown, formatUint(n))
		}
		for _, a := range g.Caveats.Recipients {
			shown = append(shown, a.Hex())
		}
		shown = append(append(shown, g.Caveats.Hosts...), g.Caveats.Models...)
		if g.Caveats.ApproveIfTainted {
			shown = append(shown, "untrusted content")
		}
		if d := g.Caveats.MaxDepth; d > 0 {
			shown = append(shown, "at most "+formatUint(d)+" deep")
		}
		if len(g.Caveats.MaxTotal) == 0 {
			shown = append(shown, "may not spend anything")
		}
		for _, s := range shown {
			if !strings.Contains(sentence, s) {
				t.Errorf("%q is enforced but not in the sentence: %s", s, sentence)
			}
		}
		for _, tool := range g.Tools {
			if !strings.Contains(string(raw), "'"+tool+"'") {
				t.Errorf("tool %q is granted but not in the statement", tool)
			}
		}
		again := o
		again.Tools, again.Caveats = g.Tools, g.Caveats
		raw2, err := Build(again)
		if err != nil || string(raw2) != string(raw) {
			t.Errorf("built again from what was read, it is another message: %v", err)
		}
	})
}

// Two different sets of caveats never share a sentence: nothing that is enforced is left out of it.
func TestSentencesDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genCaveats(t), genCaveats(t)
		// Change one thing only, which is harder.
		switch rapid.IntRange(0, 8).Draw(t, "which") {
		case 0:
			b = a
			b.MaxCalls++
		case 1:
			b = a
			b.MaxTokens++
		case 2:
			b = a
			b.MaxCostNanoUSD++
		case 3:
			b = a
			b.ApproveIfTainted = !a.ApproveIfTainted
		case 4:
			b = a
			b.MaxDepth++
		case 5:
			b = a
			b.Chains = append([]uint64{9}, a.Chains...)
		case 6:
			b = a
			b.Recipients = append([]common.Address{bob}, a.Recipients...)
		case 7:
			b = a
			b.Hosts = append([]string{"added.example"}, a.Hosts...)
		}
		ra, rb := recap{agent: "a", caveats: a}, recap{agent: "a", caveats: b}
		if (ra.encodeURI() == rb.encodeURI()) != (a.Sentence("a", noon) == b.Sentence("a", noon)) && !onlyDecimals(a, b) {
			t.Errorf("different limits, one sentence: %s", a.Sentence("a", noon))
		}
	})
}

// onlyDecimals says whether some asset differs in its decimals: its amounts are shown in whole tokens.
func onlyDecimals(a, b Caveats) bool {
	for i := range min(len(a.MaxTotal), len(b.MaxTotal)) {
		x, y := a.MaxTotal[i].Asset(), b.MaxTotal[i].Asset()
		if x.Symbol == y.Symbol && x.Decimals != y.Decimals {
			return true
		}
	}
	return false
}

func TestWithinNamesWhatIsWider(t *testing.T) {
	outer := newSignin(t).offer.Caveats
	outer.Recipients, outer.Hosts, outer.Models = []common.Address{bob}, []string{"a.example"}, []string{"m"}
	for name, change := range map[string]func(*Caveats){
		"":                   func(c *Caveats) { c.MaxCalls--; c.MaxTotal, c.MaxPerCall, c.ApproveAbove = nil, nil, nil },
		"max_total":          func(c *Caveats) { c.MaxTotal = []money.Amount{money.Of(usdc, 25_000_001)} },
		"max_per_call":       func(c *Caveats) { c.MaxPerCall = []money.Amount{money.Of(usdc, 5_000_001)} },
		"approve_above":      func(c *Caveats) { c.ApproveAbove = []money.Amount{money.Of(usdc, 1_000_001)} },
		"max_calls":          func(c *Caveats) { c.MaxCalls++ },
		"max_tokens":         func(c *Caveats) { c.MaxTokens++ },
		"max_cost_usd":       func(c *Caveats) { c.MaxCostNanoUSD++ },
		"max_depth":          func(c *Caveats) { c.MaxDepth++ },
		"approve_if_tainted": func(c *Caveats) { c.ApproveIfTainted = false },
		"chains":             func(c *Caveats) { c.Chains = []uint64{1, 1337} },
		"recipients":         func(c *Caveats) { c.Recipients = nil },
		"hosts":              func(c *Caveats) { c.Hosts = []string{"a.example", "b.example"} },
		"models":             func(c *Caveats) { c.Models = nil },
	} {
		c := outer
		change(&c)
		err := c.Within(outer)
		f, ok := errors.AsType[*Fault](err)
		if name == "" && err != nil || name != "" && (!ok || f.Field != name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	other := outer
	eth := []money.Amount{money.Of(ether, 1)}
	other.MaxTotal, other.MaxPerCall, other.ApproveAbove = eth, eth, eth
	if f, ok := errors.AsType[*Fault](other.Within(outer)); !ok || f.Field != "max_total" {
		t.Errorf("another asset: got %v", f)
	}
}

func TestWithinIsAnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genCaveats(t), genCaveats(t)
		if err := a.Within(a); err != nil {
			t.Errorf("not within itself: %v", err)
		}
		ra, rb := recap{agent: "a", caveats: a}, recap{agent: "a", caveats: b}
		if a.Within(b) == nil && b.Within(a) == nil && ra.encodeURI() != rb.encodeURI() {
			t.Errorf("each within the other, and yet not the same: %+v %+v", a, b)
		}
	})
}
