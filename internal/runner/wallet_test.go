package runner_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/internal/journal"

	"github.com/ethereum/go-ethereum/accounts"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/eth"
	"github.com/writ-run/writ/internal/eth/devchain"
	"github.com/writ-run/writ/internal/eth/devchain/walletstest"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools/mined"
)

// An oracle is an auth.Contracts whose word the test decides.
type oracle struct {
	mu      sync.Mutex // guards the rest
	verdict auth.Verdict
	owners  byte
	err     error
	asked   int
	now     func() time.Time
	refuses auth.Approval // whatever else it accepts
}

func (c *oracle) Ask(_ context.Context, q auth.Question) (auth.Verification, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	verdict := c.verdict
	if digest, err := c.refuses.Digest(); err == nil && q.Hash == digest {
		verdict = auth.WrongAnswer
	}
	return auth.Verification{
		Answer: auth.Answer{Verdict: verdict, Standing: auth.StandingContract, Code: [32]byte{1}, Owners: [32]byte{c.owners}, Gas: 9},
		Chain:  q.Chain, Number: uint64(c.asked), Block: [32]byte{byte(c.asked)}, Validator: auth.ValidatorHash, Asked: 1, Agreed: 1, At: c.now(),
	}, c.err
}

func (c *oracle) Mined(context.Context, mined.Place) (*mined.Receipt, error) {
	return nil, mined.ErrNobody
}

func (c *oracle) say(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// AskAt says again what was said.
func (c *oracle) AskAt(ctx context.Context, q auth.Question, _ [32]byte) (auth.Answer, error) {
	v, err := c.Ask(ctx, q)
	return v.Answer, err
}

var theContract = common.HexToAddress("0x00000000000000000000000000000000c0ffee00")

// signInAs opens a session of a contract wallet, for which the owner's key signs.
func (b *bench) signInAs(account common.Address, chain uint64) user {
	b.Helper()
	u := b.user
	info := b.r.Agents()[0]
	limits := info.Defaults
	if !slices.Contains(limits.Chains, chain) {
		limits.Chains = append(slices.Clone(limits.Chains), chain)
		slices.Sort(limits.Chains)
	}
	now := b.config.Now()
	raw, err := auth.Build(auth.Offer{
		Scheme: "http", Domain: "127.0.0.1", Account: account, Chain: chain, Key: u.key.Public(),
		Nonce: "abcdefgh12345678", RequestID: "r1", Agent: info.Name, AgentCID: info.CID, RulesCID: info.Rules,
		Tools: info.Tools, Caveats: limits, Issued: now, Expires: now.Add(time.Hour),
	})
	if err != nil {
		b.Fatal(err)
	}
	sig, err := u.wallet.SignText(raw)
	if err != nil {
		b.Fatal(err)
	}
	g, err := auth.RereadAs(auth.MethodEIP1271, raw, sig)
	if err != nil {
		b.Fatal(err)
	}
	if _, g.Verified, err = auth.Check(b.Context(), b.config.Contracts, g.Question()); err != nil {
		b.Fatal(err)
	}
	if u.session, err = b.r.OpenSession(b.Context(), g); err != nil {
		b.Fatal(err)
	}
	u.seq = 0
	return u
}

func (b *bench) startFor(u *user, input string) provenance.Link {
	b.Helper()
	req, err := u.request(input, "key-of-"+strings.ReplaceAll(input, " ", "-"))
	if err != nil {
		b.Fatal(err)
	}
	info, err := b.r.Start(b.Context(), req)
	if err != nil {
		b.Fatal(err)
	}
	return info.ID
}

// auditedOn lets a stranger check a run, who asks chains of its own; none if chains is nil.
func (b *bench) auditedOn(run provenance.Link, chains audit.Chains) *provenance.Report {
	b.Helper()
	src, o := b.exported(run)
	if chains == nil {
		return audit.Verify(src, o)
	}
	return audit.VerifyOn(b.Context(), src, o, chains)
}

var paying = replies{
	calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done"),
}

func walletFacts(b *bench, run provenance.Link) (at []uint64) {
	b.Helper()
	views, err := b.r.Steps(b.Context(), run, 0, 256)
	if err != nil {
		b.Fatal(err)
	}
	for _, v := range views {
		if v.Step.Facts.Wallet != nil {
			at = append(at, v.Step.Seq)
		}
	}
	return at
}

// TestAContractWalletPaysAndAStrangerAsksItsChainAgain runs on a real chain: a contract wallet signs in, pays, approves
// and changes its owner.
func TestAContractWalletPaysAndAStrangerAsksItsChainAgain(t *testing.T) {
	w := walletstest.New(t)
	contracts, err := eth.New(eth.Config{Chains: []eth.Chain{{Chain: devchain.ID, URLs: []string{w.URL}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(contracts.Close)
	stranger, err := eth.Dial(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	script := append(replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`))},
		calls(call("2", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("done"))
	b := openWith(t, script, func(c *runner.Config) { c.Contracts, c.Now = contracts, time.Now })
	owner := b.wallet.Address()
	mine, other := w.Deploy("Wallet", owner), w.Deploy("Wallet", owner)
	u := b.signInAs(mine, devchain.ID)
	run := b.startFor(&u, "pay")
	b.until(run, "parked")
	pending, err := b.r.Approvals(t.Context(), u.session)
	if err != nil || len(pending) != 1 {
		t.Fatalf("approvals: %v, %v", pending, err)
	}
	p := pending[0]
	message, err := p.Approval.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	decide := func(sig []byte) error {
		return b.r.Decide(t.Context(), runner.ApprovalDecision{Run: p.Run, Effect: p.Effect, Approve: true, Message: message, Sig: sig})
	}
	// A naive wallet accepts whatever its owner signed. What the owner signed for another of its wallets names that one.
	elsewhere := p.Approval
	elsewhere.Account = other
	foreign, err := u.wallet.SignTyped(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	if err := decide(foreign); code(err) != auth.CodeSigContract {
		t.Errorf("an approval for another wallet of the same owner: got %v", err)
	}
	if err := decide(nil); code(err) != auth.CodeSigContract {
		t.Errorf("an empty approval: got %v", err)
	}
	if err := u.approve(t.Context(), b.r, p); err != nil {
		t.Fatal(err)
	}
	b.until(run, provenance.CloseAnswered)
	if n := b.paid.Load(); n != 2 {
		t.Errorf("paid %d times, want 2", n)
	}
	if at := walletFacts(b, run); !slices.Equal(at, []uint64{1, 3, 4}) && len(at) != 3 {
		t.Errorf("the chain was asked for steps %v, want for each that may move value", at)
	}

	rep := b.auditedOn(run, nil)
	if s := rep.Status(provenance.CheckGrant); rep.Verdict != provenance.Gaps || s.Status != provenance.NotChecked ||
		!strings.Contains(s.Note, "contract wallet (eip1271)") || rep.Status(provenance.CheckApprovals).Status != provenance.NotChecked {
		t.Errorf("without an endpoint: %s, %+v", rep.Verdict, rep.Checks)
	}
	if rep := b.auditedOn(run, stranger); rep.Verdict != provenance.Verified {
		t.Errorf("asked again: %s %s %s, %v", rep.Verdict, rep.Code, rep.Detail, rep.Unproven)
	}
	if rep := b.auditedOn(run, &oracle{verdict: auth.WrongAnswer, now: time.Now}); rep.Code != audit.CodeGrantContract {
		t.Errorf("asked where it is refused: %s %s", rep.Verdict, rep.Code)
	}
	if rep := b.auditedOn(run, &oracle{verdict: auth.Accepted, now: time.Now}); rep.Code != audit.CodeGrantContract {
		t.Errorf("asked where it is another wallet: %s %s", rep.Verdict, rep.Code)
	}
	approval, err := p.Approval.Question(nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep := b.auditedOn(run, refusing{stranger, approval.Hash}); rep.Code != audit.CodeApprovalsContract {
		t.Errorf("asked where the approval is refused: %s %s", rep.Verdict, rep.Code)
	}
	if rep := b.auditedOn(run, &oracle{err: errors.New("no such block"), now: time.Now}); rep.Verdict != provenance.Gaps ||
		!strings.Contains(rep.Status(provenance.CheckGrant).Note, "no such block") {
		t.Errorf("asked where nobody knows: %s %s", rep.Verdict, rep.Code)
	}

	// The owner changes: the next payment is not made, and the session is over.
	w.Fund(owner)
	key, err := crypto.HexToECDSA(strings.TrimPrefix(u.wallet.Secret(), "0x"))
	if err != nil {
		t.Fatal(err)
	}
	w.Send(key, "Wallet", mine, "setOwner", common.Address{1})
	run = b.startFor(&u, "pay again")
	info := b.ended(run)
	if n := b.paid.Load(); n != 2 || info.Status == provenance.CloseAnswered {
		t.Errorf("after the owner had changed: paid %d times, the run ended as %s", n, info.Status)
	}
	if s := b.revokedSoon(u.session.ID); s.Revoked == 0 {
		t.Error("after the owner had changed the session goes on")
	}
	if rep := b.auditedOn(run, stranger); rep.Verdict != provenance.Verified {
		t.Errorf("the run that was stopped: %s %s %s", rep.Verdict, rep.Code, rep.Detail)
	}
}

// TestAnUpgradedProxyPaysNothing: a wallet behind a proxy is upgraded on a real chain, while a run of it waits for an
// approval, to code that accepts everything.
func TestAnUpgradedProxyPaysNothing(t *testing.T) {
	w := walletstest.New(t)
	contracts, err := eth.New(eth.Config{Chains: []eth.Chain{{Chain: devchain.ID, URLs: []string{w.URL}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(contracts.Close)
	script := append(replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`))},
		calls(call("2", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("done"))
	b := openWith(t, script, func(c *runner.Config) { c.Contracts, c.Now = contracts, time.Now })
	owner := b.wallet.Address()
	first, accepts := w.Deploy("Wallet", owner), w.Deploy("Accepts")
	for name, upgrade := range map[string]func() common.Address{
		"proxy": func() common.Address { return w.Deploy("Proxy", owner, first) },
		"beacon": func() common.Address {
			return w.Deploy("BeaconProxy", owner, w.Deploy("Beacon", first))
		},
	} {
		account := upgrade()
		u := b.signInAs(account, devchain.ID)
		run := b.startFor(&u, "pay as a "+name)
		b.until(run, "parked")
		paid := b.paid.Load() // the small one
		pending, err := b.r.Approvals(t.Context(), u.session)
		if err != nil || len(pending) != 1 {
			t.Fatalf("approvals: %v, %v", pending, err)
		}
		next, slot := accepts, auth.ProxySlots[0]
		if name == "beacon" {
			next, slot = w.Deploy("Beacon", accepts), auth.ProxySlots[1]
		}
		w.Send(w.Account.Key, "Proxy", account, "set", slot, next)
		message, err := pending[0].Approval.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		err = b.r.Decide(t.Context(), runner.ApprovalDecision{
			Run: run, Effect: pending[0].Effect, Approve: true, Message: message, Sig: bytes.Repeat([]byte{0x11}, 65),
		})
		if err != nil {
			t.Fatalf("%s: the new code accepts everything: got %v", name, err)
		}
		if info := b.ended(run); info.Status == provenance.CloseAnswered || b.paid.Load() != paid {
			t.Errorf("%s: paid %d times, want %d; the run ended as %s", name, b.paid.Load(), paid, info.Status)
		}
		if s := b.revokedSoon(u.session.ID); s.Revoked == 0 {
			t.Errorf("%s: the session goes on", name)
		}
	}
}

// TestARefusedApprovalOfAReplacedOwnerEndsTheRun at once, and not with the next round; one that is merely wrong ends
// nothing.
func TestARefusedApprovalOfAReplacedOwnerEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &oracle{verdict: auth.Accepted}
		b, u := wallets(t, c, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("done")})
		run := b.startFor(&u, "pay")
		b.until(run, "parked")
		pending, err := b.r.Approvals(t.Context(), u.session)
		if err != nil || len(pending) != 1 {
			t.Fatalf("approvals: %v, %v", pending, err)
		}
		refused := func() {
			if err := u.approve(t.Context(), b.r, pending[0]); code(err) != auth.CodeSigContract {
				t.Errorf("got %v", err)
			}
		}
		c.say(func() { c.refuses = pending[0].Approval }) // its permission still stands
		refused()
		if info, err := b.r.Run(t.Context(), run); err != nil || info.Status != "parked" {
			t.Errorf("after a wrong approval: %+v, %v", info, err)
		}
		c.say(func() { c.verdict = auth.WrongAnswer })
		refused()
		synctest.Wait()
		if info, err := b.r.Run(t.Context(), run); err != nil || info.Status != provenance.CloseRevoked {
			t.Errorf("after the owner was replaced: %+v, %v", info, err)
		}
	})
}

// revokedSoon waits for a session to be revoked, and returns it in any case.
func (b *bench) revokedSoon(id provenance.Link) (s journal.Session) {
	b.Helper()
	for range 500 {
		var err error
		if s, err = b.r.Session(b.Context(), id); err != nil {
			b.Fatal(err)
		}
		if s.Revoked != 0 {
			return s
		}
		time.Sleep(10 * time.Millisecond) // the chain is a real one, and its blocks come in its own time
	}
	return s
}

func code(err error) auth.Code {
	if f, ok := errors.AsType[*auth.Fault](err); ok {
		return f.Code
	}
	return ""
}

// wallets opens a bench whose one user is a contract wallet, in a bubble of its own time.
func wallets(t *testing.T, c *oracle, m runner.Model) (*bench, user) {
	b := openWith(t, m, func(cfg *runner.Config) {
		bubbled(cfg)
		cfg.Contracts, c.now = c, cfg.Now
	})
	return b, b.signInAs(theContract, 1337)
}

func TestAContractWalletIsAskedEveryMinute(t *testing.T) {
	for rule, change := range map[string]func(*oracle){
		"it accepts its permission no more": func(c *oracle) { c.verdict = auth.WrongAnswer },
		"it is no contract any more":        func(c *oracle) { c.verdict = auth.NoCode },
		"it has other owners":               func(c *oracle) { c.owners++ },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &oracle{verdict: auth.Accepted}
			b, u := wallets(t, c, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("done")})
			c.say(func() { c.err = auth.ErrUnavailable })
			time.Sleep(10 * runner.WalletRecheck)
			synctest.Wait()
			if s, err := b.r.Session(t.Context(), u.session.ID); err != nil || s.Revoked != 0 {
				t.Fatalf("%s: no answer was taken for a no: %+v, %v", rule, s, err)
			}
			c.say(func() { c.err = nil })
			run := b.startFor(&u, "pay")
			b.until(run, "parked")
			c.say(func() { change(c) })
			time.Sleep(runner.WalletRecheck + time.Second)
			synctest.Wait()
			if s, err := b.r.Session(t.Context(), u.session.ID); err != nil || s.Revoked == 0 {
				t.Errorf("%s: after a minute the session goes on (%v)", rule, err)
			}
			b.until(run, provenance.CloseRevoked)
			if b.paid.Load() != 0 {
				t.Errorf("%s: it was paid", rule)
			}
			asked := c.asked
			time.Sleep(10 * runner.WalletRecheck)
			synctest.Wait()
			if c.asked != asked {
				t.Errorf("%s: asked %d times about a session that is over", rule, c.asked-asked)
			}
		})
	}
}

func TestAContractWalletIsWatchedAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &oracle{verdict: auth.Accepted}
		b, u := wallets(t, c, paying)
		b.r.Close()
		b.restart()
		c.say(func() { c.owners++ }) // against what was recorded at the sign-in
		time.Sleep(runner.WalletRecheck + time.Second)
		synctest.Wait()
		if s, err := b.r.Session(t.Context(), u.session.ID); err != nil || s.Revoked == 0 {
			t.Errorf("the session goes on (%v)", err)
		}
	})
}

// TestWithoutAnAnswerAContractWalletReadsAndMovesNothing: a chain that does not answer is neither yes nor no.
func TestWithoutAnAnswerAContractWalletReadsAndMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &oracle{verdict: auth.Accepted}
		b, u := wallets(t, c, replies{
			calls(call("1", "echo.say", `{"text":"hi"}`), call("2", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done"),
		})
		c.say(func() { c.err = auth.ErrUnavailable })
		run := b.startFor(&u, "pay")
		b.ended(run)
		if b.paid.Load() != 0 {
			t.Error("it was paid on nobody's word")
		}
		views, err := b.r.Steps(t.Context(), run, 0, 99)
		if err != nil {
			t.Fatal(err)
		}
		var denied, read int
		for _, v := range views {
			for _, e := range v.Step.Does {
				switch e := e.(type) {
				case *provenance.Deny:
					if slices.Equal(e.Decisions[0].Rules, []string{"loop/wallet"}) {
						denied++
					}
				case *provenance.Call:
					read++
				}
			}
		}
		if denied != 1 || read != 1 {
			t.Errorf("%d calls were denied by loop/wallet and %d made, want one each", denied, read)
		}
		c.say(func() { c.err = nil })
		run = b.startFor(&u, "pay again")
		b.until(run, provenance.CloseAnswered)
		if b.paid.Load() != 1 {
			t.Error("it was not paid when the chain answered again")
		}
		if rep := b.auditedOn(run, c); rep.Verdict != provenance.Verified {
			t.Errorf("%s %s: %s", rep.Verdict, rep.Code, rep.Detail)
		}
	})
}

// TestOneAddressOnTwoChainsIsTwoWallets: who has a contract's address on another chain sees, ends and spends nothing of
// its owner here. A key's account is one on all chains.
func TestOneAddressOnTwoChainsIsTwoWallets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &oracle{verdict: auth.Accepted}
		b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("done")}, func(cfg *runner.Config) {
			bubbled(cfg)
			cfg.Contracts, c.now = c, cfg.Now
			cfg.Policy.Source = []byte(strings.Replace(operatorRules, "scope: agent", "scope: wallet", 1))
		})
		here, there := b.signInAs(theContract, 1337), b.signInAs(theContract, 31337)
		if here.session.Owner() == there.session.Owner() || here.session.Account != there.session.Account {
			t.Fatalf("owners are %s and %s", here.session.Owner(), there.session.Owner())
		}
		run := b.startFor(&here, "pay")
		b.until(run, "parked")
		for _, x := range []struct {
			who  user
			want int
		}{{here, 1}, {there, 0}, {b.user, 0}} {
			runs, err := b.r.Runs(t.Context(), x.who.session, 10)
			if err != nil || len(runs) != x.want {
				t.Errorf("%s has %d runs, %v; want %d", x.who.session.Owner(), len(runs), err, x.want)
			}
			pending, err := b.r.Approvals(t.Context(), x.who.session)
			if err != nil || len(pending) != x.want {
				t.Errorf("%s has %d approvals, %v; want %d", x.who.session.Owner(), len(pending), err, x.want)
			}
			sessions, err := b.r.Sessions(t.Context(), x.who.session)
			if err != nil || len(sessions) != 1 || sessions[0].ID != x.who.session.ID {
				t.Errorf("%s has the sessions %v, %v", x.who.session.Owner(), sessions, err)
			}
		}
		pending, err := b.r.Approvals(t.Context(), here.session)
		if err != nil {
			t.Fatal(err)
		}
		if err := here.approve(t.Context(), b.r, pending[0]); err != nil {
			t.Fatal(err)
		}
		b.until(run, provenance.CloseAnswered)
		name := func(u user) string { return "wallet/" + u.session.Owner() + "/operator/allowance" }
		ledgers, err := b.store.Ledgers(t.Context(), []string{name(here), name(there)})
		if err != nil || ledgers[0].Spent.IsZero() || !ledgers[1].Spent.IsZero() {
			t.Errorf("the wallet's budgets are %v, %v", ledgers, err)
		}
	})
}

func TestTheOperatorLetsContractWalletsInWithTheirChain(t *testing.T) {
	for _, tt := range []struct {
		wallets   []common.Address
		contracts []string
		ok        bool
	}{
		{nil, nil, true},
		{nil, []string{"eip155:1337:" + theContract.Hex()}, true},
		{nil, []string{"eip155:1:" + theContract.Hex()}, false},
		{[]common.Address{theContract}, nil, false},
	} {
		b := openWith(t, paying, func(cfg *runner.Config) { cfg.Contracts = &oracle{verdict: auth.Accepted, now: cfg.Now} })
		b.r.Close()
		b.config.Wallets, b.config.ContractWallets = tt.wallets, tt.contracts
		b.restart()
		g, err := auth.RereadAs(auth.MethodEIP1271, b.signInText(theContract), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, g.Verified, err = auth.Check(t.Context(), b.config.Contracts, g.Question()); err != nil {
			t.Fatal(err)
		}
		if _, err = b.r.OpenSession(t.Context(), g); (err == nil) != tt.ok || !tt.ok && code(err) != auth.CodeAccount {
			t.Errorf("wallets %v, %v: got %v, want let in: %t", tt.wallets, tt.contracts, err, tt.ok)
		}
		g.Verified = nil
		if _, err = b.r.OpenSession(t.Context(), g); err == nil {
			t.Error("a contract wallet's grant was taken without what its chain said")
		}
	}
}

func (b *bench) signInText(account common.Address) []byte {
	b.Helper()
	info := b.r.Agents()[0]
	raw, err := auth.Build(auth.Offer{
		Scheme: "http", Domain: "127.0.0.1", Account: account, Chain: 1337, Key: b.key.Public(),
		Nonce: fmt.Sprintf("abcdefgh%08d", b.now.Load()%1e8), RequestID: "r1", Agent: info.Name, AgentCID: info.CID, RulesCID: info.Rules,
		Tools: info.Tools, Caveats: info.Defaults, Issued: start, Expires: start.Add(time.Hour),
	})
	if err != nil {
		b.Fatal(err)
	}
	return raw
}

// TestAContractWalletRevokes runs on a real chain: a contract wallet ends its session by a text, by typed data and by what
// its owners have approved on the chain. What its chain said is recorded, and a stranger asks again.
func TestAContractWalletRevokes(t *testing.T) {
	w := walletstest.New(t)
	contracts, err := eth.New(eth.Config{Chains: []eth.Chain{{Chain: devchain.ID, URLs: []string{w.URL}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(contracts.Close)
	stranger, err := eth.Dial(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	cut := &cuts{Contracts: contracts}
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"5"}`)), text("done")}, func(c *runner.Config) {
		c.Contracts, c.Now = cut, time.Now
	})
	owner := b.wallet.Address()
	key, err := crypto.HexToECDSA(strings.TrimPrefix(b.wallet.Secret(), "0x"))
	if err != nil {
		t.Fatal(err)
	}
	w.Fund(owner)
	single := w.Deploy("Wallet", owner)
	for _, tt := range []struct {
		rule    string
		account common.Address
		revoke  func(u user, text []byte) (q runner.RevokeRequest)
	}{
		{"by a text", single, func(u user, text []byte) (q runner.RevokeRequest) {
			q.Method, q.Message = provenance.RevokedText, text
			q.Sig, err = u.wallet.SignText(text)
			return q
		}},
		{"by typed data", single, func(u user, _ []byte) (q runner.RevokeRequest) {
			g, err2 := auth.RereadAs(auth.MethodEIP1271, u.session.Message, u.session.Sig)
			if err2 != nil {
				t.Fatal(err2)
			}
			v := auth.Revocation{
				Chain: g.Chain, Salt: auth.Salt(g.Scheme, g.Domain), Account: g.Account, Session: u.session.ID, Reason: "enough",
				IssuedAt: time.Now().UTC().Truncate(time.Second),
			}
			q.Method = provenance.RevokedTyped
			if q.Message, err = v.MarshalJSON(); err == nil {
				q.Sig, err = u.wallet.SignTyped(v)
			}
			return q
		}},
		{"by what its owners approved on the chain", w.Deploy("MultiWallet", []common.Address{owner}, common.Big1), func(u user, text []byte) (q runner.RevokeRequest) {
			q.Method, q.Message = provenance.RevokedText, text
			w.Send(key, "MultiWallet", u.session.Account, "approve", common.BytesToHash(accounts.TextHash(text)))
			return q
		}},
	} {
		u := b.signInAs(tt.account, devchain.ID)
		run := b.startFor(&u, "pay "+tt.rule)
		b.until(run, "parked")
		text, err2 := auth.RevocationText(u.session.ID, "enough", time.Now().UTC().Truncate(time.Second))
		if err2 != nil {
			t.Fatal(err2)
		}
		q := tt.revoke(u, text)
		if q.Session = u.session.ID; err != nil {
			t.Fatal(err)
		}
		for why, change := range map[string]func(*runner.RevokeRequest){
			"an empty signature over another text": func(q *runner.RevokeRequest) {
				q.Method, q.Sig = provenance.RevokedText, nil
				q.Message, _ = auth.RevocationText(u.session.ID, "now", time.Now().UTC().Truncate(time.Second))
			},
			"what is for another session": func(q *runner.RevokeRequest) { q.Session = b.session.ID },
			"a wrapper that is none": func(q *runner.RevokeRequest) {
				q.Sig = append(slices.Clone(q.Sig), []byte(strings.Repeat("\x64\x92", 16))...)
			},
		} {
			bad := q
			change(&bad)
			if err := b.r.Revoke(t.Context(), bad); !errors.Is(err, revocation.ErrRevocation) {
				t.Errorf("%s, %s: got %v", tt.rule, why, err)
			}
		}
		cut.now.Store(true)
		if err := b.r.Revoke(t.Context(), q); !errors.Is(err, auth.ErrUnavailable) || errors.Is(err, revocation.ErrRevocation) {
			t.Errorf("%s, with its chain down: got %v", tt.rule, err)
		}
		if s, err := b.r.Session(t.Context(), u.session.ID); err != nil || s.Revoked != 0 {
			t.Errorf("%s: the session ended before it was revoked (%v)", tt.rule, err)
		}
		cut.now.Store(false)
		if err := b.r.Revoke(t.Context(), q); err != nil {
			t.Fatalf("%s: %v", tt.rule, err)
		}
		b.until(run, provenance.CloseRevoked)
		if rep := b.auditedOn(run, nil); rep.Verdict != provenance.Gaps || rep.Status(provenance.CheckGrant).Status != provenance.NotChecked {
			t.Errorf("%s: audited without its chain: %s %s", tt.rule, rep.Verdict, rep.Code)
		}
		if rep := b.auditedOn(run, stranger); rep.Verdict != provenance.Verified {
			t.Errorf("%s: audited with its chain: %s %s %s, %v", tt.rule, rep.Verdict, rep.Code, rep.Detail, rep.Unproven)
		}
		if rep := b.auditedOn(run, refusing{stranger, [32]byte(accounts.TextHash(q.Message))}); tt.rule == "by a text" && rep.Code != audit.CodeGrantContract {
			t.Errorf("%s: where its chain does not say so: %s %s", tt.rule, rep.Verdict, rep.Code)
		}
	}
	if b.paid.Load() != 0 {
		t.Error("it was paid")
	}
}

// cuts is an auth.Contracts whose line is cut now and then.
type cuts struct {
	auth.Contracts
	now atomic.Bool
}

func (c *cuts) Ask(ctx context.Context, q auth.Question) (auth.Verification, error) {
	if c.now.Load() {
		return auth.Verification{}, auth.ErrUnavailable
	}
	return c.Contracts.Ask(ctx, q)
}

// refusing answers as a chain does, but for one hash.
type refusing struct {
	audit.Chains
	hash [32]byte
}

func (r refusing) AskAt(ctx context.Context, q auth.Question, block [32]byte) (auth.Answer, error) {
	a, err := r.Chains.AskAt(ctx, q, block)
	if q.Hash == r.hash {
		a.Verdict = auth.WrongAnswer
	}
	return a, err
}
