package runner_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/tools/toolstest"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/pinned"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// machine makes the loop of a run again, from its records alone, as an auditor does.
func (b *bench) machine(run provenance.Link) *loop.Machine {
	b.Helper()
	read := func(l provenance.Link, rec provenance.Record) {
		data, err := b.store.Block(b.Context(), l)
		if err == nil {
			err = provenance.Decode(data, rec)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	var rec provenance.Run
	read(run, &rec)
	c := loop.Config{
		Session: rec.Grant, Agent: new(provenance.Agent), Rules: new(provenance.PolicySet), Runtime: new(provenance.Runtime),
		Tools: map[provenance.Link]*provenance.ToolDef{}, Books: map[provenance.Link][]byte{},
	}
	read(rec.Agent, c.Agent)
	read(rec.Rules, c.Rules)
	read(rec.Runtime, c.Runtime)
	for _, l := range c.Agent.Tools {
		def := new(provenance.ToolDef)
		read(l, def)
		c.Tools[l] = def
		if def.Book.Defined() {
			book, err := b.store.Block(b.Context(), def.Book)
			if err != nil {
				b.Fatal(err)
			}
			c.Books[def.Book] = book
		}
	}
	grant, err := auth.Reread(b.session.Message, b.session.Sig)
	if err != nil {
		b.Fatal(err)
	}
	c.Grant = grant
	for at := rec.Delegation; at.Defined() && at != rec.Grant; {
		d := new(provenance.Delegation)
		read(at, d)
		c.Delegations = append([]authority.Delegated{{CID: at, Delegation: d}}, c.Delegations...)
		at = d.From
	}
	for i := range max(len(c.Delegations)-1, 0) {
		caller := new(provenance.Agent)
		read(c.Delegations[i].Agent, caller)
		c.Callers = append(c.Callers, caller)
	}
	if c.Agents, err = auth.Ed25519Key(b.r.Key()); err != nil {
		b.Fatal(err)
	}
	m, err := loop.New(c)
	if err != nil {
		b.Fatal(err)
	}
	return m
}

// replayed feeds a run's steps to its machine, each changed by lie, and returns the first error.
func (b *bench) replayed(run provenance.Link, lie func(*provenance.Step)) error {
	b.Helper()
	views, err := b.r.Steps(b.Context(), run, 0, 256)
	if err != nil {
		b.Fatal(err)
	}
	m, state := b.machine(run), loop.State{Run: run}
	for _, v := range views {
		lie(v.Step)
		v.Step.Facts.Budgets = state.ChangedLedgers(v.Step.Facts.Budgets) // as a liar would write it too
		if state, _, err = m.Step(state, v.Step.At, v.Step.Event, v.Step.Facts); err != nil {
			return err
		}
	}
	return nil
}

// P4, P7: an operator with his own key writes ledgers that forget what the run has just spent.
func TestLedgersCannotForgetWhatTheRunSpent(t *testing.T) {
	pay := calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`))
	b := openWith(t, replies{pay, pay, text("done")}, asksAbove(2_000_000))
	run := b.start("pay")
	b.until(run, provenance.CloseAnswered)
	if err := b.replayed(run, func(*provenance.Step) {}); err != nil {
		t.Fatalf("the honest run: %v", err)
	}
	// forget shows, from the second step on, ledgers on which nobody has drawn anything, or only what this run holds.
	forget := func(lie func(*provenance.Budget)) func(*provenance.Step) {
		var first []provenance.Budget
		return func(s *provenance.Step) {
			if first == nil {
				first = s.Facts.Budgets
				return
			}
			for _, b := range first { // beside those that came later: a recipient's own
				if !slices.ContainsFunc(s.Facts.Budgets, func(x provenance.Budget) bool { return x.ID == b.ID }) {
					s.Facts.Budgets = append(s.Facts.Budgets, b)
				}
			}
			slices.SortFunc(s.Facts.Budgets, func(a, b provenance.Budget) int { return strings.Compare(a.ID, b.ID) })
			for i := range s.Facts.Budgets {
				if b := &s.Facts.Budgets[i]; !strings.Contains(b.ID, "+asked") {
					lie(b)
				}
			}
		}
	}
	half := func(a money.Amount) money.Amount { return money.Of(a.Asset(), a.Uint256().Uint64()/2) }
	if err := b.replayed(run, forget(func(l *provenance.Budget) { l.Reserved = half(l.Cap) })); !errors.Is(err, loop.ErrLedger) {
		t.Errorf("spent forgotten: %v, want ErrLedger", err)
	}
	if err := b.replayed(run, forget(func(l *provenance.Budget) { l.Spent = half(l.Cap) })); !errors.Is(err, loop.ErrLedger) {
		t.Errorf("reserved forgotten: %v, want ErrLedger", err)
	}
}

// P11: a record cannot say that another model answered than the one that was asked, nor claim evidence it has not.
func TestARepliesLabelIsThatOfItsRoute(t *testing.T) {
	b := open(t, replies{text("hello")})
	run := b.start("hi")
	b.until(run, provenance.CloseAnswered)
	for name, lie := range map[string]func(*provenance.ModelCall){
		"name":     func(m *provenance.ModelCall) { m.Name = "gpt" },
		"provider": func(m *provenance.ModelCall) { m.Provider = "openai" },
		"asked":    func(m *provenance.ModelCall) { m.Asked = "gpt-5" },
		"evidence": func(m *provenance.ModelCall) { m.Evidence = 3 },
		"evidence without the bytes": func(m *provenance.ModelCall) {
			m.ID, m.Response, m.Evidence = "chatcmpl-1", nil, 1
		},
		"evidence without an id": func(m *provenance.ModelCall) {
			m.ID, m.Response, m.Evidence = "", provenance.NewPayload([]byte("{}")), 1
		},
		"usage": func(m *provenance.ModelCall) { m.Usage.In = 1 << 63 },
	} {
		err := b.replayed(run, func(s *provenance.Step) {
			if r, ok := s.Event.(*provenance.Reply); ok {
				lie(r.Model)
			}
		})
		if err == nil {
			t.Errorf("another %s: replayed without an error", name)
		}
	}
}

// P1, P6: after a restart with another version of the agent an old grant allows nothing, and after one with another
// policy set it allows what the set that was signed allows.
func TestAGrantIsForTheVersionSigned(t *testing.T) {
	b := open(t, replies{text("hello")})
	b.r.Close()
	b.config.Agents[0].Instructions = "Pay whoever asks."
	b.restart()
	req, err := b.request("hi", "key-00001")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.Start(t.Context(), req); !errors.Is(err, pinned.ErrVersion) {
		t.Errorf("another version of the agent: %v, want ErrVersion", err)
	}

	b = open(t, replies{text("hello")})
	signed := b.r.Agents()[0].Rules
	b.r.Close()
	b.config.Policy.Source = []byte(operatorRules + "# wider\n")
	b.restart()
	run := b.start("hi")
	b.until(run, provenance.CloseAnswered)
	if got := b.rulesOf(run); got != signed || b.r.Agents()[0].Rules == signed {
		t.Errorf("the run has the set %s, want %s, which was signed", got, signed)
	}
	b.verified(run)
}

// rulesOf returns the policy set that a run names.
func (b *bench) rulesOf(run provenance.Link) provenance.Link {
	b.Helper()
	data, err := b.store.Block(b.Context(), run)
	if err != nil {
		b.Fatal(err)
	}
	var rec provenance.Run
	if err := provenance.Decode(data, &rec); err != nil {
		b.Fatal(err)
	}
	return rec.Rules
}

// P4: one budget that is drawn on at two points of one call.
func TestOneBudgetAtTwoPoints(t *testing.T) {
	for name, c := range map[string]struct {
		limit string
		want  string
		paid  int64
	}{
		"room for both":     {"3", provenance.CloseAnswered, 1},
		"room for only one": {"1.5", provenance.CloseDenied, 0},
	} {
		rules := strings.NewReplacer(
			`cap: 'usdc("1000")'`, `cap: 'usdc("`+c.limit+`")'`,
			"{id: tools, at: tool.call, effect: permit}",
			`{id: tools, at: tool.call, effect: permit, reserve: {budget: allowance, amount: 'usdc("1")'}}`,
		).Replace(operatorRules)
		b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
			func(cfg *runner.Config) { cfg.Policy.Source = []byte(rules) })
		run := b.start("pay")
		b.until(run, c.want)
		if n := b.paid.Load(); n != c.paid {
			t.Errorf("%s: paid %d times, want %d", name, n, c.paid)
		}
		b.verified(run)
	}
}

// P4: what a model is given counts in full before it is asked, the tools that it is offered too.
func TestTheBoundOfATurnCountsTheToolsOffered(t *testing.T) {
	b := openWith(t, replies{text("hello")}, func(c *runner.Config) { c.Models[0].Info.Kind = model.KindModel })
	run := b.start("hi")
	b.until(run, provenance.CloseAnswered)
	views, err := b.r.Steps(t.Context(), run, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	ask := views[0].Step.Does[0].(*provenance.AskModel)
	input := len("Pay what is asked.") + len("hi") + len((&payTool{}).Spec().About) + 2*len(`{"additionalProperties":false`)
	for _, r := range ask.Decisions[0].Reserve {
		if r.Amount.Asset() == money.Tokens && r.Amount.Uint256().Uint64() < uint64(1000+input) {
			t.Errorf("%s are reserved; the reply alone may have 1000, the prompt has at least %d bytes", r.Amount, input)
		}
	}
}

// A session is over at the instant that its text names, not a millisecond later.
func TestASessionIsOverAtItsInstant(t *testing.T) {
	b := open(t, replies{text("hello")})
	b.now.Store(start.Add(time.Hour).UnixMilli())
	b.until(b.start("hi"), provenance.CloseRevoked)
}

// P4: a tool that acts and then fails to say so has acted, as far as the cap is concerned.
func TestAnEffectWhoseAnswerIsLostStaysCounted(t *testing.T) {
	long := `"` + strings.Repeat("x", provenance.MaxPayload) + `"`
	for name, c := range map[string]struct {
		out   string
		err   error
		spent uint64
	}{
		"the connection broke":           {"", errors.New("connection reset by peer"), 1_000_000},
		"the answer is too long":         {long, nil, 1_000_000},
		"the tool says nothing was done": {"", &tools.Error{Code: "closed", Message: "The bank is closed."}, 0},
	} {
		b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
			func(cfg *runner.Config) {
				cfg.Tools[0] = &lossyTool{payTool: cfg.Tools[0].(*payTool), out: c.out, err: c.err}
			})
		run := b.start("pay")
		b.ended(run)
		ls, err := b.store.Ledgers(t.Context(), []string{"session/" + b.session.ID.String() + "/grant/max_total_usdc"})
		if err != nil || ls[0].Spent != money.Of(usdc, c.spent) {
			t.Errorf("%s: %v spent, %v; want %d units", name, ls, err, c.spent)
		}
		b.verified(run)
	}
}

// A lossyTool pays and then answers as it likes.
type lossyTool struct {
	*payTool
	out string
	err error
}

func (l *lossyTool) Call(context.Context, tools.Input) ([]byte, error) { return []byte(l.out), l.err }

// P3: a stop is not a failure: what is under way when the Runner stops is open afterwards, not failed.
func TestStoppingTheRunnerFailsNothing(t *testing.T) {
	var begun chan struct{}
	var hold bool
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
		func(cfg *runner.Config) {
			cfg.Tools[0] = &heldTool{payTool: cfg.Tools[0].(*payTool), begun: &begun, hold: &hold}
			asksAbove(20_000_000)(cfg)
		})
	for range 20 { // which of two ready channels is taken is chance
		begun, hold = make(chan struct{}), true
		req, err := b.request("pay", fmt.Sprintf("stop-%03d", b.seq))
		if err != nil {
			t.Fatal(err)
		}
		info, err := b.r.Start(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		<-begun
		b.r.Close()
		blocks, err := b.store.Steps(t.Context(), info.ID, 0, 10)
		if err != nil || len(blocks) != 2 {
			t.Fatalf("%d steps, %v; want 2, the call open", len(blocks), err)
		}
		hold = false
		b.restart()
		b.until(info.ID, provenance.CloseAnswered)
	}
}

// A heldTool waits for the end of its context while hold is set.
type heldTool struct {
	*payTool
	begun *chan struct{}
	hold  *bool
}

func (h *heldTool) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	if *h.hold {
		close(*h.begun)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.payTool.Call(ctx, in)
}

// A chainPay is bank.pay as a chain transaction that waits to be included.
type chainPay struct {
	*payTool
	included chan struct{}
	about    string // another version of the tool has another
	chain    string // "eip155:1337" if empty
	broken   bool   // Sign panics
}

func (c *chainPay) Spec() tools.Spec {
	s := c.payTool.Spec()
	s.About += c.about
	return s
}

func (c *chainPay) Account() string {
	return cmp.Or(c.chain, "eip155:1337") + ":" + sender
}

func (c *chainPay) Simulate(_ context.Context, in tools.Input) ([]byte, error) {
	return simulate(in), nil
}

func (c *chainPay) Sign(_ context.Context, in tools.Input, floor uint64) (tools.Signed, error) {
	if c.broken {
		panic("no key")
	}
	return signTransfer(in, floor), nil
}

func (c *chainPay) Send(ctx context.Context, s tools.Signed) ([]byte, error) {
	select {
	case <-c.included:
		c.n.Add(1)
		return toolstest.ReceiptOf(s, usdc), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// An ending run that waits for its broadcast writes nothing while it waits, however long its time has been over.
func TestARunPastItsTimeWaitsQuietlyForItsBroadcast(t *testing.T) {
	pay := &chainPay{included: make(chan struct{})}
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
		func(cfg *runner.Config) {
			pay.payTool = &payTool{class: tools.ChainTx, n: cfg.Tools[0].(*payTool).n}
			cfg.Tools[0], cfg.Agents[0].Limits.Wall = pay, 10*time.Minute
		})
	run := b.start("pay")
	b.steps(run, 5) // ask, reply, simulated, signed; the broadcast is open
	b.now.Add((11 * time.Minute).Milliseconds())
	if err := b.r.Cancel(t.Context(), run); err != nil { // wakes the actor, which now sees the time
		t.Fatal(err)
	}
	for range 100 {
		runtime.Gosched()
	}
	info, err := b.r.Run(t.Context(), run)
	if err != nil || info.Steps > 6 {
		t.Errorf("%d steps, %v; want at most 6: the run writes while it only waits", info.Steps, err)
	}
	close(pay.included)
	b.ended(run)
	b.verified(run)
}

// steps waits until a run has n steps, or as many as it will have.
func (b *bench) steps(run provenance.Link, n uint64) {
	b.Helper()
	hints, _, stop := b.r.Subscribe(run)
	defer stop()
	timeout := time.After(20 * time.Second)
	for {
		info, err := b.r.Run(b.Context(), run)
		if err != nil {
			b.Fatal(err)
		}
		if info.Steps >= n-1 {
			return
		}
		select {
		case <-hints:
		case <-timeout:
			b.Fatalf("the run has %d steps after 20 s, want %d", info.Steps, n)
		}
	}
}

// A signature that is made while the wallet revokes is not broadcast.
func TestARevocationDuringTheSigningStopsTheBroadcast(t *testing.T) {
	pay := &chainPay{included: make(chan struct{})}
	close(pay.included)
	late := &lateRevoker{}
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
		func(cfg *runner.Config) {
			pay.payTool = &payTool{class: tools.ChainTx, n: cfg.Tools[0].(*payTool).n}
			cfg.Tools[0] = pay
			late.Store = cfg.Store
			cfg.Store = late
		})
	late.session, late.at = b.session.ID, start.UnixMilli()
	run := b.start("pay")
	b.until(run, provenance.CloseRevoked)
	if n := b.paid.Load(); n != 0 {
		t.Errorf("%d transactions were broadcast after the revocation", n)
	}
	b.verified(run)
}

// A lateRevoker revokes the session after the facts of a step that takes a transaction nonce were read.
type lateRevoker struct {
	journal.Store
	session provenance.Link
	at      int64
}

func (l *lateRevoker) Commit(ctx context.Context, c journal.Commit) error {
	if c.Nonce != nil {
		if err := l.Store.RevokeSession(ctx, l.session, l.at, provenance.Sum(0x71, nil)); err != nil {
			return err
		}
	}
	return l.Store.Commit(ctx, c)
}

// P10: many who wake one parked run at once all get an answer that is about the run, and the run goes on.
func TestManyWakeOneParkedRun(t *testing.T) {
	for i := range 30 {
		b := open(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")})
		claims := &claimCounter{Store: b.store}
		b.r.Close()
		b.config.Store = claims
		b.restart()
		run := b.start("pay 5")
		b.until(run, "parked")
		pending, err := b.r.Approvals(t.Context(), journal.Session{Account: b.wallet.Address(), Method: auth.MethodEOA})
		if err != nil || len(pending) != 1 {
			t.Fatalf("approvals: %v, %v", pending, err)
		}
		claims.n.Store(0)
		var wg sync.WaitGroup
		errs := make([]error, 6)
		for k := range errs {
			wg.Go(func() { errs[k] = b.approve(t.Context(), b.r, pending[0]) })
		}
		wg.Wait()
		taken := 0
		for _, err := range errs {
			if err == nil {
				taken++
			} else if errors.Is(err, journal.ErrFenced) || errors.Is(err, journal.ErrSeq) {
				t.Errorf("round %d: %v", i, err)
			}
		}
		b.until(run, provenance.CloseAnswered)
		if taken != 1 || b.paid.Load() != 1 {
			t.Errorf("round %d: %d approvals were taken, paid %d times; want 1, 1", i, taken, b.paid.Load())
		}
		if n := claims.n.Load(); n > int64(len(errs)) {
			t.Errorf("round %d: the run was claimed %d times for %d calls", i, n, len(errs))
		}
	}
}

// A claimCounter counts how often runs are taken up.
type claimCounter struct {
	journal.Store
	n atomic.Int64
}

func (c *claimCounter) Claim(ctx context.Context, run provenance.Link, owner string, until int64) (uint64, error) {
	c.n.Add(1)
	return c.Store.Claim(ctx, run, owner, until)
}

// P9, P10: a run that cannot be read any more, a leaf of it being erased, keeps nobody else from going on.
func TestARunThatCannotBeReadStopsNoOther(t *testing.T) {
	b := open(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")})
	lost, whole := b.start("pay 5"), b.start("pay 5 again")
	b.until(lost, "parked")
	b.until(whole, "parked")
	b.r.Close()
	keys, err := archive.Keys(t.Context(), b.store, lost)
	if err != nil {
		t.Fatal(err)
	}
	views, err := b.r.Steps(t.Context(), lost, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	leaf := views[0].Step.Event.(*provenance.Ask).Request.Leaf()
	if _, there := keys[leaf]; !there {
		t.Fatal("the request has no key to erase")
	}
	if err := b.store.(*store.DB).EraseLeaf(t.Context(), leaf); err != nil {
		t.Fatal(err)
	}
	b.restart()
	pending, err := b.r.Approvals(t.Context(), journal.Session{Account: b.wallet.Address(), Method: auth.MethodEOA})
	if err != nil || len(pending) != 1 || pending[0].Run != whole {
		t.Fatalf("approvals: %v, %v; want the one of the whole run", pending, err)
	}
	if err := b.approve(t.Context(), b.r, pending[0]); err != nil {
		t.Fatal(err)
	}
	b.until(whole, provenance.CloseAnswered)
}

// P10: a parked run goes on at the price and under the label that it began with.
func TestAParkedRunSurvivesANewPriceTable(t *testing.T) {
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), {Text: "paid", Stop: model.StopEnd, Usage: model.Usage{In: 10, Out: 10}}},
		func(c *runner.Config) { c.Models[0].Info.PriceIn = 1_000_000 })
	run := b.start("pay 5")
	b.until(run, "parked")
	b.r.Close()
	b.config.Models[0].Info.PriceIn = 7_000_000
	b.restart()
	pending, err := b.r.Approvals(t.Context(), journal.Session{Account: b.wallet.Address(), Method: auth.MethodEOA})
	if err != nil || len(pending) != 1 {
		t.Fatalf("approvals: %v, %v", pending, err)
	}
	if err := b.approve(t.Context(), b.r, pending[0]); err != nil {
		t.Fatal(err)
	}
	b.until(run, provenance.CloseAnswered)
	b.verified(run)
}

// P3: a transaction that may be out is seen through after a restart, though the address book has changed meanwhile.
func TestASignedTransactionOutlivesAChangeOfItsTool(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*runner.Config)
		sent   int64
		spent  uint64
	}{
		"a new version of the tool sends it":    {func(cfg *runner.Config) { cfg.Tools[0].(*chainPay).about = "Pays." }, 1, 1_000_000},
		"without a tool for it, it is in doubt": {func(cfg *runner.Config) { cfg.Tools[0].(*chainPay).chain = "eip155:1" }, 0, 1_000_000},
	} {
		pay := &chainPay{included: make(chan struct{})}
		b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
			func(cfg *runner.Config) {
				pay.payTool = &payTool{class: tools.ChainTx, n: cfg.Tools[0].(*payTool).n}
				cfg.Tools[0] = pay
			})
		run := b.start("pay")
		b.steps(run, 5)
		b.r.Close()
		again := *pay
		b.config.Tools[0] = &again
		c.change(&b.config)
		close(pay.included)
		b.restart()
		b.ended(run)
		if n := b.paid.Load(); n != c.sent {
			t.Errorf("%s: sent %d times, want %d", name, n, c.sent)
		}
		ls, err := b.store.Ledgers(t.Context(), []string{"session/" + b.session.ID.String() + "/grant/max_total_usdc"})
		if err != nil || ls[0].Spent != money.Of(usdc, c.spent) {
			t.Errorf("%s: %v spent, %v; want %d units", name, ls, err, c.spent)
		}
		b.verified(run)
	}
}

// P9: who has the blocks and no key cannot check a guess of what the user asked against the digests in the open.
func TestAPromptDigestConfirmsNoGuess(t *testing.T) {
	b := open(t, replies{text("done")})
	run := b.start("send 5 USDC to bob")
	b.until(run, provenance.CloseAnswered)
	views, err := b.r.Steps(t.Context(), run, 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := views[0].Step.Does[0].(*provenance.AskModel).Prompt
	m, s := b.machine(run), *views[0].Step
	for name, c := range map[string]struct {
		params string
		same   bool
	}{
		"the text and a guess of the key": {`{"agent":"payer","input":"send 5 USDC to bob","idempotency_key":"guess-0001"}`, false},
		"the exact params":                {"", true},
	} {
		ask := *s.Event.(*provenance.Ask)
		if c.params != "" {
			ask.Request = provenance.NewPayload([]byte(c.params))
		}
		_, next, err := m.Step(loop.State{Run: run}, s.At, &ask, s.Facts)
		if err != nil {
			t.Fatal(err)
		}
		if got := next.Does[0].(*provenance.AskModel).Prompt; (got == want) != c.same {
			t.Errorf("%s: the digest is the same: %v, want %v", name, got == want, c.same)
		}
	}
}

// P1: agents spend their own money, so the operator says on whose word.
func TestOnlyTheOperatorsWalletsAreServed(t *testing.T) {
	b := open(t, replies{text("hello")})
	b.r.Close()
	b.config.Wallets = []common.Address{{1}}
	b.restart()
	req, err := b.request("hi", "key-00001")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.Start(t.Context(), req); !isFault(err, auth.CodeAccount) {
		t.Errorf("a run of a wallet that was taken off the list: %v", err)
	}
	if err := b.signIn(t.Context(), b.r); !isFault(err, auth.CodeAccount) {
		t.Errorf("a session of a wallet that is not on the list: %v", err)
	}
	b.r.Close()
	b.config.Wallets = append(b.config.Wallets, b.wallet.Address())
	b.restart()
	if err := b.signIn(t.Context(), b.r); err != nil {
		t.Errorf("a wallet on the list: %v", err)
	}
}

func isFault(err error, code auth.Code) bool {
	f, ok := errors.AsType[*auth.Fault](err)
	return ok && f.Code == code
}

// P3: a tool that panics ends neither the process nor another's run, and what it may have moved stays counted.
func TestAToolThatPanicsIsInDoubt(t *testing.T) {
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
		func(cfg *runner.Config) { cfg.Tools[0] = &panicky{cfg.Tools[0].(*payTool)} })
	run := b.start("pay")
	b.until(run, provenance.CloseInDoubt)
	ls, err := b.store.Ledgers(t.Context(), []string{"session/" + b.session.ID.String() + "/grant/max_total_usdc"})
	if err != nil || ls[0].Spent != money.Of(usdc, 1_000_000) || !ls[0].Reserved.IsZero() {
		t.Errorf("%v, %v; want 1 USDC spent", ls, err)
	}
	b.verified(run)
}

type panicky struct{ *payTool }

func (panicky) Call(context.Context, tools.Input) ([]byte, error) { panic("a secret of the payload") }

// A signer that panics lets go of its account.
func TestASignerThatPanicsLetsGo(t *testing.T) {
	pay := &chainPay{included: make(chan struct{}), broken: true}
	close(pay.included)
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
		func(cfg *runner.Config) {
			pay.payTool = &payTool{class: tools.ChainTx, n: cfg.Tools[0].(*payTool).n}
			cfg.Tools[0] = pay
		})
	b.ended(b.start("pay"))
	pay.broken = false
	b.until(b.start("pay again"), provenance.CloseAnswered)
	if n := b.paid.Load(); n != 1 {
		t.Errorf("paid %d times, want 1", n)
	}
}
