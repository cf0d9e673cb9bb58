package runner_test

import (
	"context"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/ledgerid"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/subagent"
	devchain "github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools/chain"
)

// familyRules count by agent, by wallet and day, and by recipient: what a sub-agent spends is its callers' spending too.
const familyRules = `schema: writ/policies/1
name: family
assets: {USDC: 6}
budgets:
  - {id: allowance, cap: 'usdc("1000")', scope: agent}
  - {id: daily, cap: 'usdc("500")', scope: wallet, window: day}
  - {id: each, cap: 'usdc("100")', scope: agent, window: day, per: recipient}
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: spends, at: spend, effect: permit, when: 'asset == "USDC"', reserve: [{budget: allowance}, {budget: daily}, {budget: each}]}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

func devChain(t *testing.T) *ethclient.Client {
	t.Helper()
	d, err := devchain.Start(t.Context(), devchain.Config{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ethclient.DialContext(t.Context(), d.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// A transfer on a real chain, two levels of sub-agents down. The wallet's approval names the run that spends; the money
// is drawn from the ledgers of everybody above it; and a stranger who has one of the three files verifies it.
func TestASubAgentPaysOnARealChain(t *testing.T) {
	client := devChain(t)
	bob := devchain.Book().Names["bob"]
	b := openWith(t, cast{
		"boss":  replies{ask("agent.clerk"), text("bob is paid")},
		"clerk": replies{ask("agent.payer"), text("the payer has paid")},
		"payer": replies{calls(call("1", "erc20.transfer", `{"token":"USDC","to":"bob","amount":"5"}`)), text("I paid bob 5 USDC")},
	}, func(c *runner.Config) {
		list, err := chain.New(chain.Config{Client: client, Book: devchain.Book(), Key: devchain.Accounts()["agent"].Key})
		if err != nil {
			t.Fatal(err)
		}
		c.Tools, c.Policy.Source = list, []byte(familyRules)
		c.Agents[0].Tools = []string{"erc20.transfer"}
		withDelegates(c, "boss", "clerk")
	})
	before := tokens(t, client, bob)
	run := b.startAs("boss", "pay bob 5 USDC")
	clerk := b.childWhen(run)
	for begun := time.Now(); len(b.all()) < 3 && time.Since(begun) < 2*time.Minute; {
		time.Sleep(5 * time.Millisecond) // no hint is given of a new run
	}
	payer := b.childOf(clerk).ID
	b.until(payer, "parked")

	pending, err := b.r.Approvals(t.Context(), b.session)
	if err != nil || len(pending) != 1 {
		t.Fatalf("pending: %+v, %v", pending, err)
	}
	p := pending[0]
	if p.Run != payer || p.Approval.Run != payer || p.Approval.Session != b.session.ID {
		t.Errorf("the approval is for run %s of %s, want the sub-agent's %s", p.Approval.Run, p.Approval.Session, payer)
	}
	// The same call of the same wallet, but said to be of its caller's run: another approval.
	for _, other := range []provenance.Link{run, clerk} {
		x := p
		x.Approval.Run = other
		if err := b.approve(t.Context(), b.r, x); err == nil {
			t.Error("an approval that names a caller's run was taken for the sub-agent's")
		}
	}
	// While the wallet is asked nothing is held back; nobody above has spent.
	if err := b.approve(t.Context(), b.r, p); err != nil {
		t.Fatal(err)
	}
	b.until(run, provenance.CloseAnswered)
	if got := new(big.Int).Sub(tokens(t, client, bob), before); got.Int64() != 5_000_000 {
		t.Errorf("bob has %s units more, want 5000000", got)
	}

	// Every ledger above the transfer has it, as spent and no more as reserved.
	want := map[string]int{"grant/max_total_usdc": 1, "delegation1/max_total_usdc": 1, "delegation2/max_total_usdc": 1, "operator/allowance": 3, "operator/daily": 1}
	m := b.machine(payer)
	ids := map[string]int{}
	ledgers, err := m.Ledgers(loop.State{}, start.UnixMilli(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ledgers {
		if l.Cap.Asset() != usdc || strings.Contains(l.Key, "/unasked_") { // the wallet was asked, so nothing went without
			continue
		}
		key := map[string]string{
			"session": "session/" + b.session.ID.String(), "wallet": "wallet/" + b.wallet.Address().Hex(),
			"agent": "agent/" + orElse(l.Caller, "payer"), loop.ScopeDelegation: "delegation/" + l.Of.String(),
		}[l.Scope] + "/" + l.Key
		got, err := b.store.Ledgers(t.Context(), []string{key})
		if err != nil || got[0].Spent != money.Of(usdc, 5_000_000) || got[0].Reserved != money.Of(usdc, 0) {
			t.Errorf("%s: spent %s, reserved %s, %v; want 5 USDC and nothing", key, got[0].Spent, got[0].Reserved, err)
		}
		ids[ledgerid.Budget(l.ID)]++
	}
	if !maps.Equal(ids, want) {
		t.Errorf("ledgers of USDC: %v, want %v", ids, want)
	}
	for _, name := range []string{"boss", "clerk", "payer"} { // and by recipient, each agent its own
		key := "agent/" + name + "/operator/each@2026-11-23#" + bob.Hex()
		if got, err := b.store.Ledgers(t.Context(), []string{key}); err != nil || got[0].Spent != money.Of(usdc, 5_000_000) {
			t.Errorf("%s: spent %s, %v", key, got[0].Spent, err)
		}
	}

	// Sums go up, files stand alone.
	for _, id := range []provenance.Link{run, clerk, payer} {
		if got := b.totals(id); len(got.Spent) != 1 || got.Spent[0] != money.Of(usdc, 5_000_000) {
			t.Errorf("run %s says that %v was spent, want 5 USDC", id, got.Spent)
		}
		b.verified(id)
	}
	if top, low := b.totals(run), b.totals(payer); top.Calls != 3 || low.Calls != 1 {
		t.Errorf("%d and %d calls, want 3 and 1", top.Calls, low.Calls)
	}
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// tokens returns how many units of USDC an account has on the dev chain.
func tokens(t *testing.T, client *ethclient.Client, of common.Address) *big.Int {
	t.Helper()
	usdc := devchain.Book().Tokens["USDC"].Address
	data := append(common.FromHex("0x70a08231"), common.LeftPadBytes(of[:], 32)...) // balanceOf(address)
	out, err := client.CallContract(t.Context(), ethereum.CallMsg{To: &usdc, Data: data}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return new(big.Int).SetBytes(out)
}

func (b *bench) totals(run provenance.Link) provenance.Totals {
	b.Helper()
	views, err := b.r.Steps(b.Context(), run, 0, 256)
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range views[len(views)-1].Step.Does {
		if c, ok := e.(*provenance.Close); ok {
			return c.Totals
		}
	}
	b.Fatalf("run %s has not closed", run)
	return provenance.Totals{}
}

// A budget by agent binds a sub-agent's callers: what the caller has used up, its sub-agent cannot spend for it.
func TestACallersBudgetBindsItsSubAgents(t *testing.T) {
	rules := strings.Replace(operatorRules, `usdc("1000")`, `usdc("1.5")`, 1)
	b := openWith(t, cast{
		"boss":  replies{calls(call("1", "bank.pay", pay1)), ask("agent.payer"), text("that was it")},
		"payer": replies{calls(call("1", "bank.pay", pay1)), text("done")},
	}, func(c *runner.Config) {
		c.Policy.Source = []byte(rules)
		withDelegates(c, "boss")
		c.Agents[0].Tools = []string{"bank.pay"}
	})
	run := b.startAs("boss", "pay bob twice")
	b.ended(run)
	if n := b.paid.Load(); n != 1 {
		t.Errorf("%d payments; 1.5 USDC of the caller's allowance are room for one", n)
	}
	b.verified(run)
	// The sub-agent itself has its whole allowance.
	child := b.childOf(run).ID
	b.verified(child)
	got, err := b.store.Ledgers(t.Context(), []string{"agent/payer/operator/allowance", "agent/boss/operator/allowance"})
	if err != nil || !got[0].Spent.IsZero() || got[1].Spent != money.Of(usdc, 1_000_000) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A forgetful store belongs to an operator who lets a sub-agent spend what its caller has spent already: from the second
// run on it shows the ledgers as if nothing had been drawn before, and takes every reservation.
type forgetful struct {
	journal.Store
	mu   sync.Mutex // guards the rest
	runs int
	base map[string]journal.Ledger
	seen []string
}

func (f *forgetful) Ledgers(ctx context.Context, keys []string) ([]journal.Ledger, error) {
	out, err := f.Store.Ledgers(ctx, keys)
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range out {
		f.seen = append(f.seen, keys[i])
		if was, ok := f.base[keys[i]]; ok && err == nil && was.Spent.Asset() == out[i].Spent.Asset() {
			if out[i].Spent, err = out[i].Spent.Sub(was.Spent); err == nil {
				out[i].Reserved, err = out[i].Reserved.Sub(was.Reserved)
			}
		}
	}
	return out, err
}

func (f *forgetful) Commit(ctx context.Context, c journal.Commit) error {
	for i := range c.Reserve {
		c.Reserve[i].Cap = money.Of(c.Reserve[i].Cap.Asset(), 1<<62)
	}
	if c.Open != nil {
		f.mu.Lock()
		keys := slices.Clone(f.seen)
		f.runs++
		second := f.runs == 2
		f.mu.Unlock()
		if second {
			all, err := f.Store.Ledgers(ctx, keys)
			if err != nil {
				return err
			}
			f.mu.Lock()
			f.base = map[string]journal.Ledger{}
			for i, l := range all {
				f.base[keys[i]] = l
			}
			f.mu.Unlock()
		}
	}
	return f.Store.Commit(ctx, c)
}

// What parent and sub-agent spend together is within what the parent may: an operator whose books show each of them a
// fresh ledger can write the two histories, but not join them.
func TestTheAuditAddsUpParentAndChild(t *testing.T) {
	limits := caveats() // 20 USDC in all
	limits.MaxDepth, limits.ApproveAbove = 1, []money.Amount{money.Of(usdc, 25_000_000)}
	pay := func(amount string) string { return `{"token":"USDC","to":"bob","amount":"` + amount + `"}` }
	f := &forgetful{Store: storetest.Memory(t)}
	b := openAs(t, cast{
		"boss":  replies{calls(call("1", "bank.pay", pay("10"))), calls(call("2", "bank.pay", pay("5"))), ask("agent.payer"), text("done")},
		"payer": replies{calls(call("1", "bank.pay", pay("10"))), text("paid")},
	}, func(c *runner.Config) {
		c.Store = f
		withDelegates(c, "boss")
		c.Agents[0].Tools = []string{"bank.pay"}
		c.Agents[0].Grant.ApproveAbove = limits.ApproveAbove
		c.Agents[0].Delegates[0].Grant.ApproveAbove = limits.ApproveAbove
	}, func(u *user) { u.limits = &limits })
	run := b.startAs("boss", "pay")
	child := b.childWhen(run)
	b.until(child, provenance.CloseAnswered)
	if n := b.paid.Load(); n != 3 {
		t.Fatalf("%d payments, want 10 + 5 by the caller and 10 by the sub-agent", n)
	}
	time.Sleep(50 * time.Millisecond) // the outcome is refused, of which there is no hint
	if got := b.info(run).Status; got != "running" {
		t.Errorf("the caller went on as %q with an outcome that cannot be", got)
	}
	// By itself it shows nothing wrong; what its caller, which has not closed, was asked is not opened by its keys.
	if rep := b.audited(child); rep.Verdict != provenance.Gaps {
		t.Errorf("the sub-agent's run by itself is %s: %s %s", rep.Verdict, rep.Code, rep.Detail)
	}

	l := b.stepsOf(run)
	last := l.steps[len(l.steps)-1]
	var ref provenance.Ref
	for i, e := range last.Does {
		if _, ok := e.(*provenance.Call); ok {
			ref = provenance.Ref{Seq: last.Seq, Index: uint64(i)}
		}
	}
	views, err := b.r.Steps(t.Context(), child, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	o, err := subagent.OutcomeOf(child, views[len(views)-1].Step)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*subagent.Outcome){
		"as it was":                              func(*subagent.Outcome) {},
		"an asset that the caller may not spend": func(o *subagent.Outcome) { o.Used.Spent[0].Asset = "DAI" },
		"a cost below zero":                      func(o *subagent.Outcome) { o.Used.Cost = -1 },
		"more calls than can be":                 func(o *subagent.Outcome) { o.Used.Calls = 1 << 60 },
	} {
		l := b.stepsOf(run)
		told := o
		told.Used.Spent = slices.Clone(o.Used.Spent)
		change(&told)
		out := provenance.NewPayload(told.JSON())
		block, err := out.Publish()
		if err != nil {
			t.Fatal(err)
		}
		l.more[block.CID] = block.Data
		l.steps = append(l.steps, &provenance.Step{
			At: last.At, Seq: last.Seq + 1, Does: []provenance.Effect{},
			Event: &provenance.Result{Of: ref, Status: provenance.StatusOK, Child: b.info(child).Head, Output: out},
		})
		if rep := l.toldAsCaller(); rep.Verdict != provenance.Failed || rep.Code != audit.CodeDelegationSpent {
			t.Errorf("%s: %s %q (%s), want %q", name, rep.Verdict, rep.Code, rep.Detail, audit.CodeDelegationSpent)
		}
	}
}
