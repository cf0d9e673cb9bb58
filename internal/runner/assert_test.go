package runner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// cutOff is a store whose write of an assertion fails once, before it is made or after.
type cutOff struct {
	journal.Store
	after bool
	done  bool
}

var errPower = errors.New("no power")

func (c *cutOff) Assert(ctx context.Context, a journal.Assertion) error {
	s := c.Store.(journal.Assertions)
	if c.done {
		return s.Assert(ctx, a)
	}
	c.done = true
	if c.after {
		if err := s.Assert(ctx, a); err != nil {
			return err
		}
	}
	return errPower
}

// assertion is what the operator's wallet says of the one call in doubt of a run.
func (b *bench) assertion(run provenance.Link, as string) *provenance.Assertion {
	b.Helper()
	info, err := b.store.Run(b.Context(), run)
	if err != nil {
		b.Fatal(err)
	}
	open, _, err := archive.FindDoubts(b.Context(), b.store, info)
	if err != nil || len(open) != 1 {
		b.Fatalf("in doubt: %v, %v; want one call", open, err)
	}
	a := &provenance.Assertion{As: as, At: start.Add(time.Minute).UnixMilli(), By: b.wallet.Address(), Of: open[0].Of,
		Run: run, Step: open[0].Step, Chain: 1, Method: auth.MethodEOA, Why: "looked"}
	if a.Sig, err = b.wallet.SignTyped(audit.AssertedBy(a)); err != nil {
		b.Fatal(err)
	}
	return a
}

// What the operator says of a call in doubt is written whole or not at all, and once; the caps follow what is said.
func TestWhatIsSaidOfADoubtIsWrittenOnce(t *testing.T) {
	for _, as := range []string{provenance.AssertedDone, provenance.AssertedFailed} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, written %t", as, after), func(t *testing.T) {
				b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
					func(cfg *runner.Config) { cfg.Tools[0] = &panicky{cfg.Tools[0].(*payTool)} })
				run := b.start("pay")
				b.until(run, provenance.CloseInDoubt)
				ledgers := []string{"session/" + b.session.ID.String() + "/grant/max_total_usdc", "agent/payer/operator/allowance"}
				wantSpent := func(n uint64) {
					t.Helper()
					ls, err := b.store.Ledgers(t.Context(), ledgers)
					for _, l := range ls {
						if err != nil || l.Spent != money.Of(usdc, n) || !l.Reserved.IsZero() {
							t.Errorf("%v, %v; want %d spent and nothing reserved", l, err, n)
						}
					}
				}
				wantSpent(1_000_000)
				a := b.assertion(run, as)
				now := func() time.Time { return start.Add(2 * time.Minute) }
				cut := &cutOff{Store: b.store, after: after}
				if _, err := archive.Assert(t.Context(), cut, b.config.Key, a, now); !errors.Is(err, errPower) {
					t.Fatalf("the write that fails: %v", err)
				}
				b.restart() // what was written is there, and what was not is not
				want := error(nil)
				if after {
					want = archive.ErrAsserted
				}
				if _, err := archive.Assert(t.Context(), cut, b.config.Key, a, now); !errors.Is(err, want) {
					t.Fatalf("the same again: %v, want %v", err, want)
				}
				left := map[string]uint64{provenance.AssertedDone: 1_000_000}[as]
				wantSpent(left)
				if _, err := archive.Assert(t.Context(), cut, b.config.Key, a, now); !errors.Is(err, archive.ErrAsserted) {
					t.Errorf("a third time: %v", err)
				}
				wantSpent(left)
				if from, err := b.r.Lineage(t.Context(), run); err != nil || len(from.Asserted) != 1 || from.Asserted[0].As != as {
					t.Errorf("the run shows %v, %v", from.Asserted, err)
				}
				b.verified(run)
				says := "that effect 0 of step 1 was " + map[string]string{"done": "done", "failed": "not done"}[as]
				if rep := b.audited(run); !slices.ContainsFunc(rep.Unproven, func(s string) bool { return strings.HasPrefix(s, says) }) {
					t.Errorf("not among what is not proven: %q", rep.Unproven)
				}
			})
		}
	}
}

// What is said of a call binds its caps: what failed leaves room for another payment, and what was done does not.
func TestWhatFailedIsFreeForAnotherPayment(t *testing.T) {
	for as, closed := range map[string]string{
		provenance.AssertedDone: provenance.CloseDenied, provenance.AssertedFailed: provenance.CloseAnswered,
	} {
		pay := &sometimesPanicky{broken: true}
		b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
			func(cfg *runner.Config) {
				pay.payTool = cfg.Tools[0].(*payTool)
				cfg.Tools[0] = pay
				cfg.Policy.Source = []byte(strings.Replace(operatorRules, `usdc("1000")`, `usdc("1")`, 1))
			})
		first := b.start("pay")
		b.until(first, provenance.CloseInDoubt)
		pay.broken = false
		b.until(b.start("pay, while it is in doubt"), provenance.CloseDenied)
		if _, err := archive.Assert(t.Context(), b.store.(archive.Asserter), b.config.Key, b.assertion(first, as),
			func() time.Time { return start.Add(time.Hour) }); err != nil {
			t.Fatal(err)
		}
		second := b.start("pay again")
		b.until(second, closed)
		b.verified(second)
	}
}

type sometimesPanicky struct {
	*payTool
	broken bool
}

func (p *sometimesPanicky) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	if p.broken {
		panic("gone")
	}
	return p.payTool.Call(ctx, in)
}
