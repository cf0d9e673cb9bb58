package runner_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

var usdc = money.Asset{Symbol: "USDC", Decimals: 6}

// start is the fixed clock of these tests.
var start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// A replies is a model that gives its replies in order, by how many tool results the prompt holds.
type replies []model.Reply

func (r replies) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	n := 0
	for _, m := range p.Messages {
		if m.Role == model.RoleAssistant {
			n++
		}
	}
	if n >= len(r) {
		return model.Reply{}, errors.New("no reply left")
	}
	return r[n], nil
}

func calls(cs ...model.Call) model.Reply { return model.Reply{Stop: model.StopTools, Calls: cs} }
func text(s string) model.Reply          { return model.Reply{Stop: model.StopEnd, Text: s} }

func call(id, tool, args string) model.Call {
	return model.Call{ID: id, Tool: tool, Args: []byte(args)}
}

// A payTool moves value without a chain: class keyed, its effects counted by idempotency key.
type payTool struct {
	class tools.Class
	n     *atomic.Int64
}

func book() *tools.Book {
	return &tools.Book{
		Chain: 1337,
		Names: map[string]common.Address{
			"bob":     common.HexToAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
			"mallory": common.HexToAddress("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
		},
		Tokens: map[string]tools.Token{
			"USDC": {Address: common.HexToAddress("0x5FbDB2315678afecb367f032d93F642f64180aa3"), Decimals: 6},
		},
	}
}

func (p *payTool) Spec() tools.Spec {
	return tools.Spec{
		Name: "bank.pay", About: "Pays a token to somebody.", Class: p.class,
		Output: &tools.Output{Integrity: label.Tool},
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["amount","to","token"],"properties":{
			"amount":{"type":"string","format":"amount","x-asset":"token"},
			"to":{"type":"string","format":"address"},
			"token":{"type":"string","format":"token"}}}`),
		Spend: &tools.Spend{Amount: "amount", Asset: "token", To: "to"}, Book: book(),
	}
}

func (p *payTool) Call(_ context.Context, in tools.Input) ([]byte, error) {
	p.n.Add(1)
	return []byte(`{"status":"ok","paid":"` + in.Args.Amount.String() + `"}`), nil
}

type echoTool struct{}

func (echoTool) Spec() tools.Spec {
	return tools.Spec{
		Name: "echo.say", About: "Says it again.", Class: tools.Read, Output: &tools.Output{Integrity: label.Tool},
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["text"],"properties":{"text":{"type":"string"}}}`),
	}
}

func (echoTool) Call(_ context.Context, in tools.Input) ([]byte, error) {
	return json.Marshal(map[string]string{"said": in.Args.Values[0].Text})
}

const operatorRules = `schema: writ/policies/1
name: test
assets: {USDC: 6}
budgets:
  - {id: allowance, cap: 'usdc("1000")', scope: agent}
rules:
  - {id: tools, at: tool.call, effect: permit}
  - {id: spends, at: spend, effect: permit, when: 'asset == "USDC"', reserve: {budget: allowance}}
  - {id: models, at: model.route, effect: permit}
  - {id: answers, at: output, effect: permit}
`

// A bench is a Runner with one open session.
type bench struct {
	testing.TB
	r     *runner.Runner
	store journal.Store
	user
	now    *atomic.Int64 // ms
	paid   *atomic.Int64
	config runner.Config
}

// A user has a wallet, a session key and an open session.
type user struct {
	begins  time.Time // of its sessions; start if zero
	session journal.Session
	key     auth.PrivateKey
	wallet  *auth.Wallet
	seq     uint64
	agent   string          // whose runs are started; the first one's if empty
	limits  *auth.Caveats   // that are signed; the agent's defaults if nil
	origin  string          // of the page that asks; http://127.0.0.1 if empty
	rules   provenance.Link // that are signed; those of the origin if undefined
	nonce   string          // of the next sign-in
}

func caveats() auth.Caveats {
	return auth.Caveats{
		MaxTotal:     []money.Amount{money.Of(usdc, 20_000_000)},
		MaxPerCall:   []money.Amount{money.Of(usdc, 10_000_000)},
		ApproveAbove: []money.Amount{money.Of(usdc, 4_500_000)},
		MaxCalls:     40, MaxTokens: 100_000, MaxCostNanoUSD: 1_000_000_000, Chains: []uint64{1337},
	}
}

// asksAbove has agents ask above so much, for tests that are about something else and pay several times.
func asksAbove(units uint64) func(*runner.Config) {
	return func(c *runner.Config) {
		for i := range c.Agents {
			above := []money.Amount{money.Of(usdc, units)}
			c.Agents[i].Grant.ApproveAbove = above
			for j := range c.Agents[i].Delegates {
				c.Agents[i].Delegates[j].Grant.ApproveAbove = above
			}
		}
	}
}

func config(t testing.TB, s journal.Store, m runner.Model, now, paid *atomic.Int64) runner.Config {
	seed := sha256.Sum256([]byte("operator"))
	return runner.Config{
		Store: s,
		Agents: []agentfile.Definition{{
			Name: "payer", Instructions: "Pay what is asked.", Tools: []string{"bank.pay", "echo.say"},
			Routes: []agentfile.Route{{ID: "only", Use: "scripted"}}, Grant: caveats(),
		}},
		Tools:  []tools.Tool{&payTool{class: tools.Keyed, n: paid}, echoTool{}},
		Models: []runner.NamedModel{{Info: model.Info{Name: "scripted", Kind: model.KindScripted, Provider: "test", Model: "script/1", MaxTokens: 1000}, Model: m}},
		Policy: runner.Policy{Name: "test", Source: []byte(operatorRules)},
		Key:    ed25519.NewKeyFromSeed(seed[:]),
		Now:    func() time.Time { return time.UnixMilli(now.Load()) },
		Rand:   &counter{},
		LeafKey: func(run provenance.Link, seq uint64, i int) provenance.LeafKey {
			return sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", run, seq, i))
		},
	}
}

// A counter is a source of chance that has none: the same seed gives the same bytes.
type counter struct {
	seed byte
	n    atomic.Uint64
}

func (c *counter) Read(b []byte) (int, error) {
	for i := 0; i < len(b); {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d/%d", c.seed, c.n.Add(1)))
		i += copy(b[i:], sum[:])
	}
	return len(b), nil
}

func open(t testing.TB, m runner.Model) *bench {
	t.Helper()
	return openWith(t, m, func(*runner.Config) {})
}

func openWith(t testing.TB, m runner.Model, change func(*runner.Config)) *bench {
	t.Helper()
	return openAs(t, m, change, func(*user) {})
}

func openAs(t testing.TB, m runner.Model, change func(*runner.Config), who func(*user)) *bench {
	t.Helper()
	b := &bench{TB: t, now: new(atomic.Int64), paid: new(atomic.Int64)}
	b.config.Now = func() time.Time { return start }
	b.store = storetest.MemoryAt(t, func() time.Time { return b.config.Now() }) // one clock, as on one machine
	b.now.Store(start.UnixMilli())
	b.config = config(t, b.store, m, b.now, b.paid)
	change(&b.config)
	b.store = b.config.Store
	b.restart()
	t.Cleanup(func() { b.r.Close() })
	who(&b.user)
	if err := b.signIn(t.Context(), b.r); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) restart() {
	b.Helper()
	r, err := runner.New(b.Context(), b.config)
	if err != nil {
		b.Fatal(err)
	}
	b.r = r
	if _, err := r.Resume(b.Context()); err != nil {
		b.Fatal(err)
	}
}

func (u *user) signIn(ctx context.Context, r *runner.Runner) (err error) {
	if u.wallet == nil {
		u.wallet, err = auth.ParseWallet("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
		if err != nil {
			return err
		}
	}
	if u.key, err = auth.Generate(auth.Ed25519, &counter{seed: 9}); err != nil {
		return err
	}
	at := cmp.Or(u.origin, "http://127.0.0.1")
	scheme, domain, _ := strings.Cut(at, "://")
	agents := r.AgentsFor(at)
	info := agents[max(slices.IndexFunc(agents, func(i runner.AgentInfo) bool { return i.Name == u.agent }), 0)]
	if u.rules.Defined() {
		info.Rules = u.rules
	}
	if u.limits != nil {
		info.Defaults = *u.limits
	}
	begins := start
	if !u.begins.IsZero() {
		begins = u.begins
	}
	raw, err := auth.Build(auth.Offer{
		Scheme: scheme, Domain: domain, Account: u.wallet.Address(), Chain: 1337, Key: u.key.Public(),
		Nonce: cmp.Or(u.nonce, "abcdefgh12345678"), RequestID: "r1", Agent: info.Name, AgentCID: info.CID, RulesCID: info.Rules,
		Tools: info.Tools, Caveats: info.Defaults, Issued: begins, Expires: begins.Add(time.Hour),
	})
	if err != nil {
		return err
	}
	sig, err := u.wallet.SignText(raw)
	if err != nil {
		return err
	}
	grant, err := auth.Reread(raw, sig)
	if err != nil {
		return err
	}
	u.session, err = r.OpenSession(ctx, grant)
	return err
}

func (u *user) request(input, key string) (runner.StartRequest, error) {
	name := u.agent
	if name == "" {
		name = "payer"
	}
	params, err := json.Marshal(wire.StartParams{Agent: name, Input: input, Key: key})
	if err != nil {
		return runner.StartRequest{}, err
	}
	u.seq++
	f := auth.Frame{Session: u.session.ID, Channel: [32]byte{1}, Seq: u.seq, Method: wire.RunStart, Params: params}
	sig, err := u.key.SignFrame(f)
	return runner.StartRequest{Session: u.session, Frame: f, Sig: sig, Agent: name, Input: input, Key: key}, err
}

func (u *user) approve(ctx context.Context, r *runner.Runner, p runner.PendingApproval) error {
	message, err := p.Approval.MarshalJSON()
	if err != nil {
		return err
	}
	sig, err := u.wallet.SignTyped(p.Approval)
	if err != nil {
		return err
	}
	return r.Decide(ctx, runner.ApprovalDecision{Run: p.Run, Effect: p.Effect, Approve: true, Message: message, Sig: sig})
}

func (b *bench) start(input string) provenance.Link {
	b.Helper()
	req, err := b.request(input, fmt.Sprintf("%x", sha256.Sum256([]byte(input)))[:32])
	if err != nil {
		b.Fatal(err)
	}
	info, err := b.r.Start(b.Context(), req)
	if err != nil {
		b.Fatal(err)
	}
	return info.ID
}

// until waits for a run to reach a status.
func (b *bench) until(run provenance.Link, status string) journal.RunInfo {
	b.Helper()
	info := b.wait(run, func(s string) bool { return s == status || s != "running" && s != "parked" })
	if info.Status != status {
		b.Fatalf("run ended as %q, want %q: %s", info.Status, status, b.said(run))
	}
	return info
}

// ended waits for a run to close.
func (b *bench) ended(run provenance.Link) journal.RunInfo {
	b.Helper()
	return b.wait(run, func(s string) bool { return s != "running" && s != "parked" })
}

func (b *bench) wait(run provenance.Link, good func(status string) bool) journal.RunInfo {
	b.Helper()
	hints, _, stop := b.r.Subscribe(run)
	defer stop()
	timeout := time.After(2 * time.Minute)
	for {
		info, err := b.r.Run(b.Context(), run)
		if err != nil {
			b.Fatal(err)
		}
		if good(info.Status) {
			return info
		}
		select {
		case <-hints:
		case <-timeout:
			b.Fatalf("run is still %q after two minutes", info.Status)
		}
	}
}

// said returns what the run told the user.
func (b *bench) said(run provenance.Link) string {
	b.Helper()
	views, err := b.r.Steps(b.Context(), run, 0, 256)
	if err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, v := range views {
		for _, e := range v.Step.Does {
			if s, ok := e.(*provenance.Say); ok {
				t, _ := s.Text.Bytes()
				out = append(out, string(t))
			}
		}
	}
	return strings.Join(out, "\n")
}

func TestARunAnswers(t *testing.T) {
	b := open(t, replies{calls(call("1", "echo.say", `{"text":"hi"}`)), text("it said hi")})
	run := b.start("echo hi")
	b.until(run, provenance.CloseAnswered)
	if got := b.said(run); got != "it said hi" {
		t.Errorf("said %q", got)
	}
	b.verified(run)
}

func TestASmallPaymentIsMadeAndALargeOneDenied(t *testing.T) {
	b := open(t, replies{
		calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`), call("2", "bank.pay", `{"token":"USDC","to":"mallory","amount":"500"}`)),
		text("paid one, not the other"),
	})
	run := b.start("pay")
	b.until(run, provenance.CloseAnswered)
	if n := b.paid.Load(); n != 1 {
		t.Errorf("paid %d times, want 1", n)
	}
	b.verified(run)
}

func TestAPaymentWaitsForTheWalletAndSurvivesARestart(t *testing.T) {
	b := open(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("paid")})
	run := b.start("pay 5")
	b.until(run, "parked")
	b.r.Close()
	b.restart()
	pending, err := b.r.Approvals(t.Context(), journal.Session{Account: b.wallet.Address(), Method: auth.MethodEOA})
	if err != nil || len(pending) != 1 {
		t.Fatalf("approvals: %v, %v; want one", pending, err)
	}
	p := pending[0]
	message, err := p.Approval.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	sig, err := b.wallet.SignTyped(p.Approval)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte(nil), sig...)
	bad[3] ^= 1
	if err := b.r.Decide(t.Context(), runner.ApprovalDecision{Run: run, Effect: p.Effect, Approve: true, Message: message, Sig: bad}); err == nil {
		t.Error("a forged approval was taken")
	}
	if err := b.r.Decide(t.Context(), runner.ApprovalDecision{Run: run, Effect: p.Effect, Approve: true, Message: message, Sig: sig}); err != nil {
		t.Fatal(err)
	}
	b.until(run, provenance.CloseAnswered)
	if n := b.paid.Load(); n != 1 {
		t.Errorf("paid %d times, want 1", n)
	}
	b.verified(run)
}

// audited exports a run and lets a stranger check it.
func (b *bench) audited(run provenance.Link) *provenance.Report {
	b.Helper()
	src, o := b.exported(run)
	return audit.Verify(src, o)
}

func (b *bench) exported(run provenance.Link) (*provenance.CAR, audit.Options) {
	b.Helper()
	var car bytes.Buffer
	if _, err := archive.Export(b.Context(), b.store, &car, run); err != nil {
		b.Fatal(err)
	}
	keys, err := b.r.Keys(b.Context(), run)
	if err != nil {
		b.Fatal(err)
	}
	for _, id := range b.all() { // a sub-agent's own keys do not open what its caller was asked
		more, err := b.r.Keys(b.Context(), id)
		if err == nil {
			maps.Copy(keys, more)
		}
	}
	src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
	if err != nil {
		b.Fatal(err)
	}
	return src, audit.Options{OperatorKey: b.r.Key(), Keys: keys}
}

func (b *bench) verified(run provenance.Link) {
	b.Helper()
	rep := b.audited(run)
	if rep.Verdict != provenance.Verified {
		out, _ := json.MarshalIndent(rep, "", "  ")
		b.Fatalf("verdict %s, want verified: %s", rep.Verdict, out)
	}
}

func TestARequestIsSignedBySessionAndOnlyOnce(t *testing.T) {
	b := open(t, replies{text("hello")})
	good, err := b.request("hi", "key-00001")
	if err != nil {
		t.Fatal(err)
	}
	forged := good
	forged.Frame.Params = bytes.Replace(good.Frame.Params, []byte("hi"), []byte("ho"), 1)
	if _, err := b.r.Start(t.Context(), forged); !errors.Is(err, runner.ErrSignature) {
		t.Errorf("another text under the same signature: %v, want ErrSignature", err)
	}
	first, err := b.r.Start(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	again, err := b.r.Start(t.Context(), good)
	if err != nil || again.ID != first.ID {
		t.Errorf("the same request again: %v, %v; want the same run", again.ID, err)
	}
	other, err := b.request("something else", "key-00001")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.Start(t.Context(), other); !errors.Is(err, journal.ErrConflict) {
		t.Errorf("another request under the same key: %v, want journal.ErrConflict", err)
	}
	b.ended(first.ID)
}

func TestAnApprovalThatDoesNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("no answer came")})
		b.r.Close()
		b.config.Now = func() time.Time { return start.Add(time.Since(bubbleStart)) }
		b.restart()
		run := b.start("pay 5")
		b.until(run, "parked")
		time.Sleep(3 * time.Minute) // by the bubble's clock
		synctest.Wait()
		b.until(run, provenance.CloseDenied)
		b.verified(run)
	})
}

// bubbleStart is when every synctest bubble begins.
var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func TestAModelThatFailsIsReplacedByTheNext(t *testing.T) {
	b := openWith(t, replies{}, func(c *runner.Config) {
		c.Models = append(c.Models, runner.NamedModel{
			Info:  model.Info{Name: "second", Kind: model.KindScripted, Provider: "test", Model: "script/2", MaxTokens: 1000},
			Model: replies{text("second here")},
		})
		c.Agents[0].Routes = append(c.Agents[0].Routes, agentfile.Route{ID: "fallback", Use: "second"})
	})
	run := b.start("hi")
	b.until(run, provenance.CloseAnswered)
	if got := b.said(run); got != "second here" {
		t.Errorf("said %q", got)
	}
	b.verified(run)
}

func TestLimitsEndARunWithAWrapUp(t *testing.T) {
	loop := calls(call("1", "echo.say", `{"text":"again"}`))
	b := openWith(t, replies{loop, loop, loop, text("that is all I found"), loop}, func(c *runner.Config) {
		c.Agents[0].Limits.Turns = 4
	})
	run := b.start("loop")
	b.until(run, provenance.CloseLimit)
	if got := b.said(run); got != "that is all I found" {
		t.Errorf("said %q", got)
	}
	b.verified(run)
}

func TestAModelThatMisbehavesDoesNotHangTheRun(t *testing.T) {
	many := make([]model.Call, 65)
	for i := range many {
		many[i] = call(fmt.Sprint(i), "echo.say", `{"text":"hi"}`)
	}
	for _, tt := range []struct {
		name   string
		reply  model.Reply
		status string
	}{
		{"names that are no UTF-8 are recorded with marks", model.Reply{Stop: model.StopEnd, Text: "ok", ID: "\xff", Model: "\xfe"}, provenance.CloseAnswered},
		{"a tool name that is no UTF-8 is no tool", calls(call("\xff", "\xfe", `{}`)), provenance.CloseFailed},
		{"more calls than a reply may have", calls(many...), provenance.CloseFailed},
		{"a text that no leaf can hold", text(strings.Repeat("x", 300<<10)), provenance.CloseFailed},
		{"arguments that are no JSON", calls(call("1", "echo.say", "\xff{")), provenance.CloseFailed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, replies{tt.reply}) // where another turn follows, no reply is left
			run := b.start("hi")
			b.until(run, tt.status)
			b.verified(run)
		})
	}
}

// A fullStore refuses one commit some times, as a store does whose disk is full for a while, or in which others are
// always faster.
type fullStore struct {
	journal.Store
	at    uint64 // the step that is refused
	times int64
	why   error
	n     atomic.Int64
}

func (s *fullStore) Commit(ctx context.Context, c journal.Commit) error {
	if c.Seq == s.at && s.n.Add(1) <= s.times {
		return fmt.Errorf("no room: %w", s.why)
	}
	return s.Store.Commit(ctx, c)
}

func TestARunThatTheStoreStoppedGoesOnByItself(t *testing.T) {
	for why, times := range map[error]int64{journal.ErrFull: 3, journal.ErrBudget: 40, journal.ErrStale: 40} {
		synctest.Test(t, func(t *testing.T) {
			full := &fullStore{at: 2, times: times, why: why}
			b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("paid")},
				func(c *runner.Config) { full.Store = c.Store; c.Store = full })
			run := b.start("pay")
			time.Sleep(time.Minute) // by the bubble's clock
			synctest.Wait()
			b.until(run, provenance.CloseAnswered)
			if full.n.Load() != times+1 {
				t.Errorf("%v: the step was tried %d times, want %d", why, full.n.Load(), times+1)
			}
			b.verified(run)
		})
	}
}
