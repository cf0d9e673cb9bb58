package runner_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/agent/pinned"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

func rulesWith(more string) runner.Rules {
	return runner.Rules{Operator: runner.Policy{Name: "test", Source: []byte(operatorRules + more)}}
}

const closed = "  - {id: closed, at: spend, effect: forbid}\n"

// A reload is for new sessions. One that is open keeps the set that its wallet signed, after a restart too, and neither a
// tighter nor a wider set changes what it may do.
func TestAReloadReachesNewSessionsOnly(t *testing.T) {
	b := open(t, replies{calls(pay("1", "bob", "1")), text("done")})
	old := b.session
	first := b.r.Agents()[0].Rules
	got, err := b.r.Reload(t.Context(), rulesWith(closed))
	if err != nil || !got.Changed || got.Operator == first || len(got.Earlier) != 1 || got.Earlier[0] != old.ID {
		t.Fatalf("reload: %+v, %v", got, err)
	}
	if again, err := b.r.Reload(t.Context(), rulesWith(closed)); err != nil || again.Changed {
		t.Errorf("the same set again: %+v, %v; want nothing changed", again, err)
	}
	run := b.start("pay 1")
	b.until(run, provenance.CloseAnswered)
	if b.paid.Load() != 1 || b.rulesOf(run) != first {
		t.Errorf("the open session paid %d times under %s, want once under %s", b.paid.Load(), b.rulesOf(run), first)
	}
	b.verified(run)

	b.r.Close()
	b.config.Policy.Source = []byte(operatorRules + closed)
	b.restart()
	run = b.start("pay 2")
	b.until(run, provenance.CloseAnswered)
	if b.paid.Load() != 2 || b.rulesOf(run) != first {
		t.Errorf("after a restart the session paid %d times in all under %s, want twice under %s", b.paid.Load(), b.rulesOf(run), first)
	}
	b.verified(run)

	// Who signs in now signs the new set; a text with the old one is not taken any more.
	b.nonce, b.rules = "abcdefgh12345679", first
	if err := b.signIn(t.Context(), b.r); !errors.Is(err, pinned.ErrVersion) {
		t.Errorf("signed under the old set: %v, want the word that it is another version", err)
	}
	b.rules = provenance.Link{}
	if err := b.signIn(t.Context(), b.r); err != nil {
		t.Fatal(err)
	}
	run = b.start("pay 3")
	b.ended(run)
	if b.paid.Load() != 2 || b.rulesOf(run) != got.Operator {
		t.Errorf("the new session paid under %s, want nothing under %s", b.rulesOf(run), got.Operator)
	}
	b.verified(run)

	// For a set that must hold at once.
	ended, err := b.r.EndEarlier(t.Context())
	if err != nil || len(ended) != 1 || ended[0] != old.ID {
		t.Errorf("ended %v, %v; want the first session", ended, err)
	}
	if s, err := b.r.Session(t.Context(), old.ID); err != nil || s.Revoked == 0 {
		t.Errorf("the first session: %+v, %v; want it revoked", s, err)
	}
	if s, err := b.r.Session(t.Context(), b.session.ID); err != nil || s.Revoked != 0 {
		t.Errorf("the new session: %+v, %v; want it open", s, err)
	}
}

// What does not load, is not safe or fails its own tests is not taken, and nothing of it: neither the operator's set nor
// a dApp's.
func TestABadReloadChangesNothing(t *testing.T) {
	b := openWith(t, replies{text("hello")}, withDapps)
	rules := func() string {
		return fmt.Sprint(b.r.AgentsFor("")[0].Rules, b.r.AgentsFor(shop)[0].Rules, b.r.AgentsFor(games)[0].Rules)
	}
	before := rules()
	failing := "tests:\n  - {name: nothing is paid, at: spend, given: {amount: 'usdc(\"1\")'}, want: {outcome: deny}}\n"
	good := rulesWith(closed)
	for name, tt := range map[string]struct {
		with runner.Rules
		is   func(error) bool
		want string
	}{
		"a set that does not load":    {rulesWith("  - {id: x}\n"), func(err error) bool { return errors.As(err, new(*policies.LoadError)) }, `policy set "test"`},
		"its own test fails":          {rulesWith(failing), func(err error) bool { return errors.As(err, new(*runner.TestError)) }, `"nothing is paid": got permit`},
		"a dApp's that does not load": {runner.Rules{Operator: good.Operator, Dapps: []runner.Dapp{{Origin: shop, Policy: runner.Policy{Name: "shop", Source: []byte("x")}}}}, func(err error) bool { return errors.As(err, new(*policies.LoadError)) }, shop},
		"a dApp's whose own test fails": {runner.Rules{Operator: good.Operator, Dapps: []runner.Dapp{{Origin: shop, Policy: runner.Policy{Name: "shop",
			Source: []byte(strings.Replace(shopRules, `amount: 'usdc("1")'}, want`, `amount: 'usdc("9")'}, want`, 1))}}}},
			func(err error) bool { return errors.As(err, new(*runner.TestError)) }, "line 14"},
	} {
		if _, err := b.r.Reload(t.Context(), tt.with); err == nil || !tt.is(err) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if got := rules(); got != before {
			t.Errorf("%s: the rules are %s now, were %s", name, got, before)
		}
	}
	run := b.start("hi")
	b.until(run, provenance.CloseAnswered)
}

// Reloads while many runs go on: each run has the set of its session, and each record holds.
func TestReloadsUnderLoad(t *testing.T) {
	const runs, reloads = 60, 30
	b := open(t, replies{calls(pay("1", "bob", "0.1")), text("done")})
	first := b.r.Agents()[0].Rules
	requests := make([]runner.StartRequest, runs)
	for i := range requests {
		var err error
		if requests[i], err = b.request(fmt.Sprint("pay ", i), fmt.Sprintf("key-%08d", i)); err != nil {
			t.Fatal(err)
		}
	}
	ids := make([]provenance.Link, runs)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range reloads {
			if _, err := b.r.Reload(t.Context(), rulesWith(strings.Repeat(closed, i%2)+strings.Repeat("# again\n", i))); err != nil {
				t.Errorf("reload %d: %v", i, err)
			}
		}
	})
	for k := range 6 {
		wg.Go(func() {
			for i := k; i < runs; i += 6 {
				info, err := b.r.Start(t.Context(), requests[i])
				if err != nil {
					t.Errorf("run %d: %v", i, err)
					return
				}
				ids[i] = info.ID
			}
		})
	}
	wg.Wait()
	for i, id := range ids {
		if !id.Defined() {
			continue
		}
		b.ended(id)
		if got := b.rulesOf(id); got != first {
			t.Errorf("run %d has the set %s, want %s", i, got, first)
		}
		if i%10 == 0 {
			b.verified(id)
		}
	}
	if got := b.paid.Load(); got != 40 { // max_calls of the grant, whatever the sets were meanwhile
		t.Errorf("%d payments, want 40", got)
	}
	if b.r.Agents()[0].Rules == first {
		t.Error("the last reload did not come in")
	}
}

// However many sessions have come and gone since, one that is open under an earlier set is found.
func TestAnEarlierSessionIsFoundBehindAThousandNewer(t *testing.T) {
	b := open(t, replies{text("done")})
	for i := range journal.MaxSessions + 50 {
		at := b.session.Opened + 1 + int64(i/3)
		err := b.store.PutSession(t.Context(), journal.Session{
			ID: provenance.Sum(0x71, fmt.Append(nil, i)), Account: b.session.Account, Opened: at, Expires: at + 1, Message: []byte("m"), Sig: []byte("s"),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.now.Store(b.session.Opened + 10_000)
	if _, err := b.r.Reload(t.Context(), rulesWith(closed)); err != nil {
		t.Fatal(err)
	}
	ended, err := b.r.EndEarlier(t.Context())
	if err != nil || len(ended) != 1 || ended[0] != b.session.ID {
		t.Errorf("ended %v, %v; want the one open session", ended, err)
	}
}

// A stored session that cannot be read hinders neither a reload nor the end of the others. It is ended with them.
func TestADamagedSessionHindersNoReload(t *testing.T) {
	b := open(t, replies{text("done")})
	damaged := provenance.Sum(0x71, []byte("damaged"))
	err := b.store.PutSession(t.Context(), journal.Session{
		ID: damaged, Account: b.session.Account, Opened: b.session.Opened + 1, Expires: b.session.Expires, Message: []byte("m"), Sig: []byte("s"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []provenance.Link{damaged, b.session.ID}
	if got, err := b.r.Reload(t.Context(), rulesWith(closed)); err != nil || !slices.Equal(got.Earlier, want) {
		t.Errorf("reload: %+v, %v; want %v under earlier sets", got, err, want)
	}
	if ended, err := b.r.EndEarlier(t.Context()); err != nil || !slices.Equal(ended, want) {
		t.Errorf("ended %v, %v; want %v", ended, err, want)
	}
	for _, id := range want {
		if s, err := b.r.Session(t.Context(), id); err != nil || s.Revoked == 0 {
			t.Errorf("session %s: revoked at %d, %v; want it revoked", id, s.Revoked, err)
		}
	}
}

// A set that a session is pinned to is asked about known-bad actions by the program that goes on with it, and once.
func TestAPinnedSetIsProvenAfterARestart(t *testing.T) {
	b := open(t, replies{text("done")})
	b.r.Close()
	b.config.Policy.Source = []byte(operatorRules + closed) // the session's is an older one now
	b.restart()
	asked, says := 0, authority.ErrUnsafe
	b.r.ProveBy(func(sets ...*policies.Set) error {
		if asked++; len(sets) != 1 || sets[0].Name() != "test" {
			t.Errorf("asked about %d sets", len(sets))
		}
		return says
	})
	q, err := b.request("hello", "key-00000001")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.r.Start(t.Context(), q); !errors.Is(err, authority.ErrUnsafe) {
		t.Errorf("a run under a set that permits what it must deny: %v", err)
	}
	says = nil
	for range 2 {
		b.until(b.start("hello"), provenance.CloseAnswered)
	}
	if asked != 2 {
		t.Errorf("asked %d times, want once in vain and once more", asked)
	}
}
