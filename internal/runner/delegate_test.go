package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A cast is a model that answers for several agents, each by its instructions.
type cast map[string]runner.Model

func (c cast) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	m := c[p.System]
	if m == nil {
		return model.Reply{}, errors.New("nobody plays this agent")
	}
	return m.Reply(ctx, p)
}

const pay1 = `{"token":"USDC","to":"bob","amount":"1"}`

// withDelegates makes "payer" the last of a line of agents, each of which calls the next: first, second, ... payer.
func withDelegates(c *runner.Config, names ...string) {
	payer := c.Agents[0]
	payer.Instructions = "payer"
	all := []agentfile.Definition{payer}
	for i := len(names) - 1; i >= 0; i-- {
		limits := caveats()
		limits.MaxDepth = uint64(len(names) - i)
		next := all[0]
		all = append([]agentfile.Definition{{
			Name: names[i], Instructions: names[i], Routes: payer.Routes, Grant: limits,
			Delegates: []agentfile.Delegate{{Agent: next.Name, Grant: next.Grant}},
		}}, all...)
	}
	c.Agents = all
}

func ask(tool string) model.Reply { return calls(call("1", tool, `{"input":"pay bob 1 USDC"}`)) }

// startAs starts a run of the bench's first agent.
func (b *bench) startAs(agentName, input string) provenance.Link {
	b.Helper()
	b.agent = agentName
	return b.start(input)
}

func (b *bench) childOf(run provenance.Link) journal.RunInfo {
	b.Helper()
	runs, err := b.r.Runs(b.Context(), b.session, 100)
	if err != nil {
		b.Fatal(err)
	}
	for _, i := range runs {
		var rec provenance.Run
		data, err := b.store.Block(b.Context(), i.ID)
		if err == nil {
			err = provenance.Decode(data, &rec)
		}
		if err != nil {
			b.Fatal(err)
		}
		if rec.Parent == nil {
			continue
		}
		var step provenance.Step
		if data, err = b.store.Block(b.Context(), rec.Parent.Step); err == nil {
			err = provenance.Decode(data, &step)
		}
		if err != nil {
			b.Fatal(err)
		}
		if step.Run == run {
			return i
		}
	}
	b.Fatalf("run %s has opened no other", run)
	return journal.RunInfo{}
}

func TestASubAgentAnswersAsATool(t *testing.T) {
	b := openWith(t, cast{
		"boss":  replies{ask("agent.payer"), text("bob is paid")},
		"payer": replies{calls(call("1", "bank.pay", pay1)), text("I paid bob 1 USDC")},
	}, func(c *runner.Config) { withDelegates(c, "boss") })
	run := b.startAs("boss", "pay bob")
	b.until(run, provenance.CloseAnswered)
	if n := b.paid.Load(); n != 1 {
		t.Errorf("%d payments", n)
	}
	child := b.childOf(run)
	if child.Agent != "payer" || child.Session != b.session.ID || child.Status != provenance.CloseAnswered {
		t.Errorf("the sub-agent's run is %+v", child)
	}
	views, err := b.r.Steps(t.Context(), run, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var result *provenance.Result
	for _, v := range views {
		if r, ok := v.Step.Event.(*provenance.Result); ok {
			result = r
		}
	}
	out, _ := result.Output.Bytes()
	if want := fmt.Sprintf(`{"answer":"I paid bob 1 USDC","ended":"answered","label":{"integrity":"tool","origins":["tool:bank.pay"],"secrecy":"session"},"run":%q,"used":{"calls":1,"cost_nano_usd":0,"in":0,"out":0,"spent":[{"asset":"USDC","decimals":6,"units":"1000000"}],"turns":2}}`, child.ID); string(out) != want || result.Child != child.Head {
		t.Errorf("the call's result is %s from %s, want %s from %s", out, result.Child, want, child.Head)
	}
	// Both histories are judged, from the caller's file alone; and the sub-agent's own file too.
	b.verified(run)
	b.verified(child.ID)
	// Its spending is in its own, its caller's and the wallet's ledgers.
	spent := 0
	for _, x := range b.machine(child.ID).Budgets() {
		if !strings.Contains(x.ID, "max_total_usdc") {
			continue
		}
		key := "session/" + b.session.ID.String() + "/" + x.ID
		if x.Of.Defined() {
			key = "delegation/" + x.Of.String() + "/" + x.ID
		}
		l, err := b.store.Ledgers(t.Context(), []string{key})
		if err != nil || l[0].Spent != money.Of(usdc, 1_000_000) {
			t.Errorf("%s: spent %s, %v; want 1 USDC", key, l[0].Spent, err)
		}
		spent++
	}
	if spent != 2 {
		t.Errorf("%d ledgers of USDC, want the grant's and the delegation's", spent)
	}
}

// A child can do no more than its own limits, and no more than those of anybody above it.
func TestASubAgentIsBoundByEveryAncestor(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(grant, delegate *auth.Caveats)
		paid   int64
	}{
		{"as it is", func(*auth.Caveats, *auth.Caveats) {}, 1},
		{"its own total is too small", func(_, d *auth.Caveats) { d.MaxTotal[0] = money.Of(usdc, 500_000); d.MaxPerCall[0] = d.MaxTotal[0] }, 0},
		{"its caller's total is too small", func(g, _ *auth.Caveats) { g.MaxTotal[0] = money.Of(usdc, 500_000); g.MaxPerCall[0] = g.MaxTotal[0] }, 0},
		{"its own call is too large", func(_, d *auth.Caveats) { d.MaxPerCall[0] = money.Of(usdc, 999_999) }, 0},
		{"its caller may not call anybody", func(g, _ *auth.Caveats) { g.MaxDepth = 0 }, 0},
		{"another chain", func(_, d *auth.Caveats) { d.Chains = []uint64{1} }, 0},
		{"its caller has used the calls up", func(g, _ *auth.Caveats) { g.MaxCalls = 1 }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b0 auth.Caveats
			b := openAs(t, cast{
				"boss":  replies{ask("agent.payer"), text("that was it")},
				"payer": replies{calls(call("1", "bank.pay", pay1)), text("done")},
			}, func(c *runner.Config) {
				withDelegates(c, "boss")
				grant, own := caveats(), caveats() // the lists of each are its own
				c.Agents[0].Grant.Chains = []uint64{1, 1337}
				grant.MaxDepth = 1
				tt.change(&grant, &own)
				c.Agents[0].Delegates[0].Grant = own
				b0 = grant
			}, func(user *user) { user.limits = &b0 })
			run := b.startAs("boss", "pay bob")
			b.ended(run)
			if n := b.paid.Load(); n != tt.paid {
				t.Errorf("%d payments, want %d: %s", n, tt.paid, b.said(run))
			}
			b.verified(run)
		})
	}
}

func TestDepthIsEnforced(t *testing.T) {
	for depth := uint64(0); depth <= 3; depth++ {
		limits := caveats()
		limits.MaxDepth = depth
		b := openAs(t, cast{
			"a": replies{ask("agent.b"), text("a is done")}, "b": replies{ask("agent.c"), text("b is done")},
			"c": replies{ask("agent.payer"), text("c is done")}, "payer": replies{calls(call("1", "bank.pay", pay1)), text("paid")},
		}, func(c *runner.Config) { withDelegates(c, "a", "b", "c") }, func(u *user) { u.limits = &limits })
		run := b.startAs("a", "go")
		b.ended(run)
		b.verified(run)
		runs, err := b.r.Runs(t.Context(), b.session, 10)
		if err != nil {
			t.Fatal(err)
		}
		paid := int64(0)
		if depth == 3 {
			paid = 1
		}
		if uint64(len(runs)) != depth+1 || b.paid.Load() != paid {
			t.Errorf("depth %d: %d runs and %d payments, want %d and %d", depth, len(runs), b.paid.Load(), depth+1, paid)
		}
	}
}

// A sub-agent that waits for the wallet keeps no goroutine, of its own or its caller's, and what it waits for
// can be approved after a restart.
func TestASubAgentWaitsForTheWallet(t *testing.T) {
	b := openWith(t, cast{
		"boss":  replies{ask("agent.payer"), text("bob is paid")},
		"payer": replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")},
	}, func(c *runner.Config) { withDelegates(c, "boss") })
	before := goroutines(0)
	run := b.startAs("boss", "pay bob 5")
	child := b.childWhen(run)
	b.until(child, "parked")
	if n := goroutines(before); n > before {
		t.Errorf("%d goroutines while both wait, %d before", n, before)
	}
	for restart := range 2 {
		if restart == 1 {
			b.r.Close()
			b.restart()
		}
		if got := b.info(child).Status; got != "parked" {
			t.Fatalf("the sub-agent's run is %q", got)
		}
	}
	pending, err := b.r.Approvals(t.Context(), b.session)
	if err != nil || len(pending) != 1 || pending[0].Run != child {
		t.Fatalf("pending: %+v, %v", pending, err)
	}
	if err := b.approve(t.Context(), b.r, pending[0]); err != nil {
		t.Fatal(err)
	}
	b.until(run, provenance.CloseAnswered)
	if n := b.paid.Load(); n != 1 {
		t.Errorf("%d payments", n)
	}
	b.verified(run)
}

// childWhen waits until a run has opened another. It looks again after a pause, since no hint is given of a new run.
func (b *bench) childWhen(run provenance.Link) provenance.Link {
	b.Helper()
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; time.Sleep(5 * time.Millisecond) {
		if runs, err := b.r.Runs(b.Context(), b.session, 10); err == nil && len(runs) > 1 {
			return b.childOf(run).ID
		}
	}
	b.Fatal("no sub-agent was called")
	return provenance.Link{}
}

// What ends a caller ends the runs that it has opened: a cancel, and a revocation.
func TestWhatEndsACallerEndsItsSubAgents(t *testing.T) {
	for how, end := range map[string]func(*bench, provenance.Link) error{
		provenance.CloseCancelled: func(b *bench, run provenance.Link) error { return b.r.Cancel(b.Context(), run) },
		provenance.CloseRevoked: func(b *bench, _ provenance.Link) error {
			return b.r.Revoke(b.Context(), b.revocation(provenance.RevokedText))
		},
	} {
		t.Run(how, func(t *testing.T) {
			b := openWith(t, cast{
				"boss":  replies{ask("agent.payer"), text("bob is paid")},
				"payer": replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")},
			}, func(c *runner.Config) { withDelegates(c, "boss") })
			run := b.startAs("boss", "pay bob 5")
			child := b.childWhen(run)
			b.until(child, "parked")
			if err := end(b, run); err != nil {
				t.Fatal(err)
			}
			b.until(run, how)
			b.until(child, how)
			if n := b.paid.Load(); n != 0 {
				t.Errorf("%d payments", n)
			}
			b.verified(run)
			b.verified(child)
		})
	}
}

// One delegation ends by itself: the run that acts under it and those that it has called. The caller goes on, told what
// came of it; so do the session and every other sub-agent. What was revoked stays so over a restart.
func TestADelegationIsRevokedByItself(t *testing.T) {
	pay5 := `{"token":"USDC","to":"bob","amount":"5"}`
	for name, tt := range map[string]struct {
		revoke func(b *bench, delegation provenance.Link) runner.RevokeRequest
		refuse bool // the proof does not hold
	}{
		"by the session key": {revoke: func(b *bench, d provenance.Link) runner.RevokeRequest {
			return b.endDelegation(provenance.RevokedSession, d)
		}},
		"by the wallet": {revoke: func(b *bench, d provenance.Link) runner.RevokeRequest {
			return b.endDelegation(provenance.RevokedText, d)
		}},
		"by the operator": {revoke: func(b *bench, d provenance.Link) runner.RevokeRequest {
			return b.endDelegation(provenance.RevokedOperator, d)
		}},
		"by a text that ends the session": {refuse: true, revoke: func(b *bench, d provenance.Link) runner.RevokeRequest {
			q := b.revocation(provenance.RevokedText)
			q.Delegation = d
			return q
		}},
		"by typed data, which names no delegation": {refuse: true, revoke: func(b *bench, d provenance.Link) runner.RevokeRequest {
			q := b.revocation(provenance.RevokedTyped)
			q.Delegation = d
			return q
		}},
		"by a text for another delegation": {refuse: true, revoke: func(b *bench, d provenance.Link) runner.RevokeRequest {
			q := b.endDelegation(provenance.RevokedText, b.session.ID)
			q.Delegation = d
			return q
		}},
		"of the session, by a text that ends a delegation": {refuse: true, revoke: func(b *bench, d provenance.Link) runner.RevokeRequest {
			q := b.endDelegation(provenance.RevokedText, d)
			q.Delegation = provenance.Link{}
			return q
		}},
		"of what is no delegation": {refuse: true, revoke: func(b *bench, _ provenance.Link) runner.RevokeRequest {
			return b.endDelegation(provenance.RevokedText, b.session.ID)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := openWith(t, cast{
				"boss":  replies{ask("agent.clerk"), ask("agent.clerk"), text("that was it")},
				"clerk": replies{ask("agent.payer"), text("the payer has ended")},
				"payer": replies{calls(call("1", "bank.pay", pay5)), text("paid")},
			}, func(c *runner.Config) {
				c.Agents[0].Limits.Turns = 16 // which all of them share
				withDelegates(c, "boss", "clerk")
				for i := range c.Agents {
					c.Agents[i].Limits.Turns = 16
				}
			})
			run := b.startAs("boss", "pay bob 5")
			clerk := b.childWhen(run)
			for begun := time.Now(); len(b.all()) < 3 && time.Since(begun) < 2*time.Minute; {
				time.Sleep(5 * time.Millisecond) // no hint is given of a new run
			}
			payer := b.childOf(clerk).ID
			b.until(payer, "parked")
			from, err := b.r.Lineage(t.Context(), clerk)
			if err != nil || len(from.Callers) != 1 || from.Callers[0] != run {
				t.Fatalf("the sub-agent's run comes from %+v, %v", from, err)
			}
			err = b.r.Revoke(t.Context(), tt.revoke(b, from.Delegation))
			if tt.refuse {
				if err == nil || b.info(payer).Status != "parked" {
					t.Errorf("%v, and the payer's run is %s", err, b.info(payer).Status)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b.until(clerk, provenance.CloseRevoked)
			b.until(payer, provenance.CloseRevoked)
			b.r.Close()
			b.restart()
			// The caller asks again, which after the first answer needs the wallet: another delegation, and that one holds.
			var last runner.PendingApproval
			for begun := time.Now(); goesOn(b.info(run).Status) && time.Since(begun) < 2*time.Minute; time.Sleep(5 * time.Millisecond) { // no hint is given of a new run
				pending, err := b.r.Approvals(t.Context(), b.session)
				if err != nil {
					t.Fatal(err)
				}
				for _, last = range pending {
					if err := b.approve(t.Context(), b.r, last); err != nil {
						t.Fatal(err)
					}
				}
			}
			b.until(run, provenance.CloseAnswered)
			if n := b.paid.Load(); n != 1 {
				t.Errorf("%d payments", n)
			}
			if s, err := b.r.Session(t.Context(), b.session.ID); err != nil || s.Revoked != 0 {
				t.Errorf("the session was revoked at %d, %v", s.Revoked, err)
			}
			for _, id := range b.all() {
				b.verified(id)
			}
			// A revocation of a delegation that the run does not act under ends nothing.
			other, err := b.r.Lineage(t.Context(), last.Run)
			if err != nil {
				t.Fatal(err)
			}
			l := b.lieAbout(payer) // the clerk, who waited for it, ended with it
			for _, s := range l.steps {
				if x, ok := s.Event.(*provenance.Lapse); ok && x.By.Defined() {
					var rec provenance.Revocation
					l.read(x.By, &rec)
					rec.Delegation = other.Delegation
					x.By = l.put(&rec)
				}
			}
			if rep := l.told(b.r.Key()); rep.Code != audit.CodeGrantRevocation {
				t.Errorf("ended by the end of another delegation: %s %s (%s)", rep.Verdict, rep.Code, rep.Detail)
			}
		})
	}
}

// endDelegation proves that a delegation of the bench's session is to end.
func (b *bench) endDelegation(method string, delegation provenance.Link) runner.RevokeRequest {
	b.Helper()
	q := runner.RevokeRequest{Session: b.session.ID, Delegation: delegation, Method: method}
	text, err := auth.DelegationEndText(b.session.ID, delegation, "enough", start)
	if err != nil {
		b.Fatal(err)
	}
	q.Message = text
	switch method {
	case provenance.RevokedText:
		q.Sig, err = b.wallet.SignText(text)
	case provenance.RevokedOperator:
		q.Sig = revocation.Sign(b.config.Key, text)
	default:
		q.Message, err = json.Marshal(wire.RevokeParams{Session: b.session.ID.String(), Delegation: delegation.String()})
		q.Frame = auth.Frame{Session: b.session.ID, Channel: [32]byte{1}, Seq: 9, Method: wire.SessionRevoke, Params: q.Message}
		if err == nil {
			q.Sig, err = b.key.SignFrame(q.Frame)
		}
	}
	if err != nil {
		b.Fatal(err)
	}
	return q
}

// A process that dies at any write goes on with the sub-agent's run where it was, and opens none twice.
func TestASubAgentSurvivesFaults(t *testing.T) {
	play := func(t *testing.T, at int64) (writes int64, paid int64) {
		path := filepath.Join(t.TempDir(), "writ.db")
		db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(path)})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		f := &failing{Store: db}
		b := openWith(t, cast{
			"boss":  replies{ask("agent.payer"), text("bob is paid")},
			"payer": replies{calls(call("1", "bank.pay", pay1)), text("paid")},
		}, func(c *runner.Config) {
			c.Store = f
			withDelegates(c, "boss")
		})
		f.n.Store(0)
		f.at.Store(at)
		b.agent = "boss"
		req, err := b.request("pay bob", "key-000001")
		if err != nil {
			t.Fatal(err)
		}
		info, err := b.r.Start(t.Context(), req)
		for range 100 {
			if err == nil && f.hit.Load() || err == nil && !goesOn(b.info(info.ID).Status) {
				break
			}
			time.Sleep(5 * time.Millisecond) // the failing store gives no hint
		}
		b.r.Close() // as a process that has died: nothing of it goes on
		f.at.Store(0)
		b.restart()
		if info, err = b.r.Start(t.Context(), req); err != nil { // the client asks again
			t.Fatal(err)
		}
		b.until(info.ID, provenance.CloseAnswered)
		b.verified(info.ID)
		runs, err := b.r.Runs(t.Context(), b.session, 10)
		if err != nil || len(runs) != 2 {
			t.Errorf("fault at write %d: %d runs, %v; want the caller's and one sub-agent's", at, len(runs), err)
		}
		return f.n.Load(), b.paid.Load()
	}
	writes, paid := play(t, 0)
	if writes < 8 || paid != 1 {
		t.Fatalf("%d writes and %d payments without a fault", writes, paid)
	}
	for at := int64(1); at <= writes; at++ {
		if _, paid := play(t, at); paid > 2 { // a keyed call may come twice with the same key
			t.Errorf("fault at write %d: %d payments", at, paid)
		}
	}
	t.Logf("%d faults", writes)
}

func goesOn(status string) bool { return status == "running" || status == "parked" }

// A failing store fails from its at-th write on, that one after it was made.
type failing struct {
	journal.Store
	n, at atomic.Int64
	hit   atomic.Bool
}

func (f *failing) write(do func() error) error {
	n, at := f.n.Add(1), f.at.Load()
	if at > 0 && n > at {
		f.hit.Store(true)
		return journal.ErrFull
	}
	err := do()
	if at > 0 && n == at {
		f.hit.Store(true)
		return journal.ErrFull
	}
	return err
}

func (f *failing) Commit(ctx context.Context, c journal.Commit) error {
	return f.write(func() error { return f.Store.Commit(ctx, c) })
}

func (f *failing) PutBlocks(ctx context.Context, b []provenance.Block, l []provenance.Leaf) error {
	return f.write(func() error { return f.Store.PutBlocks(ctx, b, l) })
}
