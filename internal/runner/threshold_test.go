package runner_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A payer is a model that pays a sum to bob, and then is done.
type payer struct{ sum *string }

func (p *payer) Reply(ctx context.Context, m model.Prompt) (model.Reply, error) {
	return replies{pays(*p.sum, "bob"), text("done")}.Reply(ctx, m)
}

// signInAgain opens another session of the same wallet.
func (b *bench) signInAgain() {
	b.Helper()
	first := b.session.ID
	b.nonce += "another1nonce"
	if err := b.signIn(b.Context(), b.r); err != nil {
		b.Fatal(err)
	}
	if b.session.ID == first {
		b.Fatal("it is the same session")
	}
}

// What a doubt has counted towards a threshold stays when it is settled as failed: an approval may have ended that
// count. So nothing is freed twice, and no more is ever shown as approved than was spent, which would damage every run
// of the wallet from then on.
func TestSettlingADoubtFreesNoThreshold(t *testing.T) {
	sums := map[string]string{"doubtful": "0.6", "small": "0.4", "next": "0.2", "large": "0.9", "last": "0.6"}
	for name, x := range map[string]struct{ before, after, asks []string }{
		"spent since the approval": {[]string{"small", "next", "large"}, []string{"last"}, []string{"next", "last"}},
		"approved and no more":     {[]string{"last"}, []string{"small"}, []string{"last"}},
		"before any approval":      {nil, []string{"last", "small"}, []string{"last"}},
	} {
		t.Run(name, func(t *testing.T) {
			pay := &sometimesPanicky{}
			next := "0.6"
			b := openWith(t, &payer{sum: &next}, func(c *runner.Config) {
				pay.payTool = c.Tools[0].(*payTool)
				c.Tools[0] = pay
				asksAbove(1e6)(c)
			})
			say := func(what string) provenance.Link {
				next = sums[what]
				return b.start(what)
			}
			pays := func(what string) {
				t.Helper()
				run := say(what)
				asked := b.wait(run, func(s string) bool { return s != "running" }).Status == "parked"
				if asked {
					b.mustApprove(b.pending(1)[0])
				}
				b.until(run, provenance.CloseAnswered)
				if want := slices.Contains(x.asks, what); asked != want {
					t.Errorf("%s: asked %t, want %t", what, asked, want)
				}
				b.verified(run)
			}
			pay.broken = true
			doubtful := say("doubtful")
			b.until(doubtful, provenance.CloseInDoubt)
			pay.broken = false
			for _, what := range x.before {
				pays(what)
			}
			if _, err := archive.Assert(t.Context(), b.store.(archive.Asserter), b.config.Key,
				b.assertion(doubtful, provenance.AssertedFailed), func() time.Time { return start.Add(time.Hour) }); err != nil {
				t.Fatal(err)
			}
			for _, what := range x.after {
				pays(what)
			}
			b.verified(doubtful)
		})
	}
}

// What was sent since a backup counts towards the thresholds once it is restored, whether or not the chain was asked,
// and until the wallet approves.
func TestARestorationCountsTowardsAThreshold(t *testing.T) {
	bob := book().Names["bob"].Hex()
	for name, what := range map[string]store.Restoration{
		"the chain was asked": {Sent: []store.Sent{{To: bob, Amount: money.Of(usdc, 600_000)}}},
		"it was not":          {Unknown: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			openFile := func(name string) *store.DB {
				db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(dir, name)),
					Now: func() time.Time { return start }})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { db.Close() })
				return db
			}
			b := openWith(t, replies{pays("0.6", "bob"), text("done")}, func(c *runner.Config) {
				c.Store = openFile("writ.db")
				c.Policy.Source = []byte(strings.Replace(operatorRules, "scope: agent", "scope: session", 1))
				asksAbove(1e6)(c)
			})
			b.until(b.start("one goes"), provenance.CloseAnswered)
			second := b.start("one is asked")
			b.until(second, "parked")
			b.mustApprove(b.pending(1)[0])
			b.until(second, provenance.CloseAnswered) // now there is a ledger of what an approval has ended
			copied := filepath.Join(dir, "copy.db")
			if err := store.Snapshot(t.Context(), filepath.Join(dir, "writ.db"), copied, nil); err != nil {
				t.Fatal(err)
			}
			b.until(b.start("one that the backup has not"), provenance.CloseAnswered)
			b.r.Close()
			for range 2 { // again, after what counts was approved
				if _, err := store.Restore(t.Context(), copied, what); err != nil {
					t.Fatal(err)
				}
				db := openFile("copy.db")
				b.store, b.config.Store = db, db
				b.restart()
				b.signInAgain()
				run := b.start("after the restoration " + b.nonce)
				b.until(run, "parked")
				b.mustApprove(b.pending(1)[0])
				b.until(run, provenance.CloseAnswered)
				b.verified(run)
				run = b.start("and one more " + b.nonce)
				b.until(run, provenance.CloseAnswered)
				b.verified(run)
				b.r.Close()
				db.Close()
			}
		})
	}
}

// Who signs in again and repeats a request whose answer did not come has the run that is there, and pays once.
func TestAnIdempotencyKeyIsTheWallets(t *testing.T) {
	b := openWith(t, replies{pays("0.6", "bob"), text("done")}, func(c *runner.Config) { c.Store = storetest.Memory(t) })
	first := b.start("pay")
	b.until(first, provenance.CloseAnswered)
	b.signInAgain()
	if again := b.start("pay"); again != first {
		t.Errorf("another run was started: %s, not %s", again, first)
	}
	if n := b.paid.Load(); n != 1 {
		t.Errorf("%d payments, want 1", n)
	}
	info, err := b.store.Run(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	req, err := b.request("pay more", "key-00001")
	if err == nil {
		info, err = b.r.Start(t.Context(), req)
	}
	if err != nil || info.ID == first {
		t.Fatalf("another key: %s, %v", info.ID, err)
	}
	b.until(info.ID, provenance.CloseAnswered)
	b.signInAgain()
	if req, err = b.request("pay something else", "key-00001"); err == nil {
		_, err = b.r.Start(t.Context(), req)
	}
	if !errors.Is(err, journal.ErrConflict) {
		t.Errorf("the same key with another text: %v", err)
	}
}
