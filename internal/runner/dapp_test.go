package runner_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/pinned"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

const (
	shop  = "https://shop.example"
	games = "https://games.example:8443"
)

// shopRules let a page's sessions spend little: each wallet 3 USDC in all, and nothing to mallory.
const shopRules = `schema: writ/policies/1
name: shop
assets: {USDC: 6}
budgets:
  - {id: purse, cap: 'usdc("3")', scope: wallet}
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: mallory, at: spend, effect: forbid, when: 'to == addr("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")'}
  - {id: spends, at: spend, effect: permit, when: 'asset == "USDC"', reserve: {budget: purse}}
  - {id: models, at: model.route, effect: permit}
  - {id: open, at: provenance.publish, effect: permit, mode: public}
  - {id: answers, at: output, effect: permit}
tests:
  - {name: little, at: spend, given: {amount: 'usdc("1")'}, want: {outcome: permit, reserve: {purse: 'usdc("1")'}}}
`

func pay(id, to, n string) model.Call {
	return call(id, "bank.pay", `{"token":"USDC","to":"`+to+`","amount":"`+n+`"}`)
}

func withDapps(c *runner.Config) {
	c.Dapps = []runner.Dapp{
		{Origin: shop, Policy: runner.Policy{Name: "shop", Source: []byte(shopRules)}},
		{Origin: games, Policy: runner.Policy{Name: "shop", Source: []byte(shopRules)}},
	}
}

func at(origin string) func(*user) { return func(u *user) { u.origin = origin } }

// A dApp's set narrows the sessions that wallets open for its pages, and no others; an auditor comes to the same.
func TestADappsRulesNarrowItsSessions(t *testing.T) {
	script := replies{calls(pay("1", "bob", "1"), pay("2", "mallory", "1"), pay("3", "bob", "1"), pay("4", "bob", "1"), pay("5", "bob", "1")), text("done")}
	for origin, want := range map[string]int64{shop: 3, games: 3, "": 5} {
		b := openAs(t, script, func(c *runner.Config) { withDapps(c); asksAbove(20e6)(c) }, at(origin))
		run := b.start("pay")
		b.until(run, provenance.CloseAnswered)
		if got := b.paid.Load(); got != want {
			t.Errorf("at %q: %d payments, want %d", origin, got, want)
		}
		if got, want := b.rulesOf(run), b.r.AgentsFor(origin)[0].Rules; got != want {
			t.Errorf("at %q: the run has the set %s, want %s", origin, got, want)
		}
		b.verified(run)

		// What the operator's set does not publish a dApp's does not either.
		views, err := b.r.Steps(t.Context(), run, 0, 256)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			provenance.EachPayload(v.Step, func(p *provenance.Payload) {
				if p.Public() {
					t.Errorf("at %q: step %d has a public payload", origin, v.Step.Seq)
				}
			})
		}
	}
}

// Two dApps that give a budget the same name have a ledger each, and one dApp has one for all sessions of a wallet.
func TestADappsBudgetsAreItsOwn(t *testing.T) {
	b := openAs(t, replies{calls(pay("1", "bob", "1"), pay("2", "bob", "1")), text("done")}, func(c *runner.Config) {
		withDapps(c)
		asksAbove(20e6)(c)
	}, at(shop))
	for i, tt := range []struct {
		origin string
		paid   int64 // in all
	}{{shop, 2}, {shop, 3}, {games, 5}, {shop, 5}} {
		b.origin, b.nonce = tt.origin, "abcdefgh0000000"+string(rune('0'+i))
		if err := b.signIn(t.Context(), b.r); err != nil {
			t.Fatal(err)
		}
		run := b.start("pay " + string(rune('0'+i)))
		b.ended(run)
		if got := b.paid.Load(); got != tt.paid {
			t.Errorf("run %d at %s: %d payments in all, want %d", i, tt.origin, got, tt.paid)
		}
		b.verified(run)
	}
}

// A session for a dApp's pages cannot be opened without its set, and its set is good for no other pages.
func TestADappsRulesCannotBeLeftOut(t *testing.T) {
	b := openWith(t, replies{text("hello")}, withDapps)
	rules := map[string]provenance.Link{}
	for _, origin := range []string{shop, games, ""} {
		rules[origin] = b.r.AgentsFor(origin)[0].Rules
	}
	for _, tt := range []struct {
		origin, rulesOf string
		ok              bool
	}{
		{shop, shop, true}, {shop, "", false}, {shop, games, false}, {games, "", false},
		{"http://127.0.0.1", shop, false}, {"http://shop.example", shop, false}, {"https://SHOP.example", "", false},
	} {
		b.origin, b.rules = tt.origin, rules[tt.rulesOf]
		b.nonce = "abcdefgh1234567" + string(rune('a'+len(tt.origin)%26))
		err := b.signIn(t.Context(), b.r)
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, pinned.ErrVersion) && !errors.As(err, new(*auth.Fault)) {
			t.Errorf("signed for %s under the set of %q: %v", tt.origin, tt.rulesOf, err)
		}
	}
}

func TestBadDappsAreNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		dapps []runner.Dapp
		want  string
	}{
		"no origin":           {[]runner.Dapp{{Origin: "shop.example", Policy: runner.Policy{Name: "shop", Source: []byte(shopRules)}}}, `"shop.example" is not the origin`},
		"capitals":            {[]runner.Dapp{{Origin: "https://Shop.example", Policy: runner.Policy{Name: "shop", Source: []byte(shopRules)}}}, `in lower case`},
		"twice":               {[]runner.Dapp{{Origin: shop, Policy: runner.Policy{Name: "a", Source: []byte(shopRules)}}, {Origin: shop, Policy: runner.Policy{Name: "b", Source: []byte(shopRules)}}}, "two policy sets"},
		"a set that is wrong": {[]runner.Dapp{{Origin: shop, Policy: runner.Policy{Name: "shop", Source: []byte("schema: x\n")}}}, `policy set "shop" of https://shop.example`},
		"its own test fails": {[]runner.Dapp{{Origin: shop, Policy: runner.Policy{Name: "shop",
			Source: []byte(strings.Replace(shopRules, `amount: 'usdc("1")'}, want`, `amount: 'usdc("9")'}, want`, 1))}}}, `1 of its own 1 tests fail: line 14, "little"`},
	} {
		c := config(t, open(t, replies{}).store, replies{}, nil, nil)
		c.Dapps = tt.dapps
		if _, err := runner.New(t.Context(), c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
