package runner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/store/storetest"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// pays is a reply that pays so much to somebody.
func pays(amount, to string) model.Reply {
	return calls(call("1", "bank.pay", `{"token":"USDC","to":"`+to+`","amount":"`+amount+`"}`))
}

// A sum in parts asks as the sum does: of 16 payments a unit below the threshold the second waits, and after it is
// approved the third goes, and the fourth waits. A restart in between forgets nothing, and the audit finds it right.
func TestAThresholdCannotBeSplit(t *testing.T) {
	b := openWith(t, replies{pays("0.999999", "bob"), text("done")}, asksAbove(1e6))
	asked := 0
	var runs []provenance.Link
	for i := range 16 {
		run := b.start(fmt.Sprint("pay ", i))
		info := b.wait(run, func(status string) bool { return status == "parked" || status == provenance.CloseAnswered })
		if want := i%2 == 1; (info.Status == "parked") != want {
			t.Fatalf("payment %d is %s; asked: %t, want %t", i+1, info.Status, info.Status == "parked", want)
		}
		if info.Status == "parked" {
			asked++
			b.restart()
			b.mustApprove(b.pending(1)[0])
		}
		b.until(run, provenance.CloseAnswered)
		runs = append(runs, run)
		if i%5 == 0 {
			b.restart()
		}
	}
	if n := b.paid.Load(); n != 16 || asked != 8 {
		t.Errorf("%d payments, %d asked; want 16 and 8", n, asked)
	}
	for _, run := range runs[:4] {
		b.verified(run)
	}
}

// However a recipient is written, it is the same one.
func TestARecipientIsCountedByItsAddress(t *testing.T) {
	bob := book().Names["bob"].Hex()
	b := openWith(t, replies{pays("0.6", "bob"), pays("0.6", bob), text("done")}, asksAbove(1e6))
	run := b.start("pay")
	b.until(run, "parked")
	if n := b.paid.Load(); n != 1 {
		t.Errorf("%d payments went without asking, want 1", n)
	}
	p := b.pending(1)[0]
	b.mustRefuse(p)
	b.until(run, provenance.CloseAnswered)
	b.verified(run)
}

// Runs that pay at the same time are counted together: what two may not both do, one of them asks for.
func TestParallelRunsShareAThreshold(t *testing.T) {
	b := openWith(t, replies{pays("0.6", "bob"), text("done")}, asksAbove(1e6))
	const n = 12
	runs := make([]provenance.Link, n)
	var wg sync.WaitGroup
	for i := range n {
		req, err := b.request("pay", fmt.Sprintf("parallel-%03d", i))
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			info, err := b.r.Start(t.Context(), req)
			if err != nil {
				t.Errorf("run %d: %v", i, err)
			}
			runs[i] = info.ID
		})
	}
	wg.Wait()
	answered := 0
	for _, run := range runs {
		if b.wait(run, func(s string) bool { return s == "parked" || s == provenance.CloseAnswered }).Status != "parked" {
			answered++
			b.verified(run)
		}
	}
	if paid := b.paid.Load(); paid != 1 || answered != 1 {
		t.Errorf("%d payments by %d runs went without asking, want 1", paid, answered)
	}
}

// A wallet that signs in again has not been asked by that.
func TestSessionsOfAWalletShareAThreshold(t *testing.T) {
	b := openWith(t, replies{pays("0.6", "bob"), text("done")}, asksAbove(1e6))
	b.until(b.start("pay"), provenance.CloseAnswered)
	first := b.session.ID
	b.nonce = "another1nonce2345678"
	if err := b.signIn(t.Context(), b.r); err != nil {
		t.Fatal(err)
	}
	if b.session.ID == first {
		t.Fatal("it is the same session")
	}
	run := b.start("pay again")
	b.until(run, "parked")
	if n := b.paid.Load(); n != 1 {
		t.Errorf("%d payments, want 1", n)
	}
}

// What a sub-agent pays without asking counts for its caller, and the other way round.
func TestASubAgentSharesItsCallersThreshold(t *testing.T) {
	limits := caveats()
	limits.MaxDepth, limits.ApproveAbove = 1, []money.Amount{money.Of(usdc, 1e6)}
	b := openAs(t, cast{
		"boss":  replies{pays("0.6", "bob"), ask("agent.payer"), text("done")},
		"payer": replies{pays("0.6", "bob"), text("paid")},
	}, func(c *runner.Config) {
		c.Store = storetest.Memory(t)
		withDelegates(c, "boss")
		c.Agents[0].Tools = []string{"bank.pay"}
		asksAbove(1e6)(c)
	}, func(u *user) { u.limits = &limits })
	run := b.startAs("boss", "pay")
	child := b.childWhen(run)
	b.until(child, "parked")
	if n := b.paid.Load(); n != 1 {
		t.Fatalf("%d payments went without asking, want the caller's alone", n)
	}
	b.mustApprove(b.pending(1)[0])
	b.until(run, provenance.CloseAnswered)
	if n := b.paid.Load(); n != 2 {
		t.Errorf("%d payments, want 2", n)
	}
	b.verified(run)
}

// What was not paid does not count.
func TestAPaymentThatFailedGivesBackWhatItCounted(t *testing.T) {
	pay := pays("0.9", "bob")
	b := openWith(t, replies{pay, pay, pay, text("done")}, func(c *runner.Config) {
		c.Tools[0] = &refusedOnce{payTool: c.Tools[0].(*payTool)}
		asksAbove(1e6)(c)
	})
	run := b.start("pay")
	b.until(run, "parked") // the first failed, the second went, the third would be more than the threshold
	if n := b.paid.Load(); n != 1 {
		t.Errorf("%d payments went without asking, want 1", n)
	}
	words := "session/" + b.session.ID.String() + "/grant/max_total_usdc"
	ls, err := b.store.Ledgers(t.Context(), []string{words})
	if err != nil || ls[0].Spent != money.Of(usdc, 900_000) {
		t.Errorf("%v, %v; want 0.9 USDC spent", ls, err)
	}
	b.mustRefuse(b.pending(1)[0])
	b.until(run, provenance.CloseAnswered)
	b.verified(run)
}

// A refusedOnce says once that it has paid nothing.
type refusedOnce struct {
	*payTool
	once sync.Once
}

func (r *refusedOnce) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	var err error
	r.once.Do(func() { err = &tools.Error{Code: "closed", Message: "The bank is closed."} })
	if err != nil {
		return nil, err
	}
	return r.payTool.Call(ctx, in)
}

// A record that shows less than went without asking, or more that no longer counts, does not replay: the ledgers of a
// threshold are checked against what the run itself did, like every other.
func TestAForgedCountDoesNotReplay(t *testing.T) {
	b := openWith(t, replies{pays("0.6", "bob"), pays("0.3", "bob"), text("done")}, asksAbove(1e6))
	run := b.start("pay")
	b.until(run, provenance.CloseAnswered)
	const counted, asked = "grant/unasked_usdc", "grant/unasked_usdc+asked"
	for name, lie := range map[string]struct {
		ledger string
		change func(*provenance.Budget)
		want   error
	}{
		"the honest run": {"", func(*provenance.Budget) {}, nil},
		"nothing was counted": {counted, func(l *provenance.Budget) {
			l.Spent, l.Reserved = money.Of(usdc, 0), money.Of(usdc, 1e6)
		}, loop.ErrLedger},
		"the threshold is another": {counted, func(l *provenance.Budget) { l.Cap = money.Of(usdc, 2e6) }, loop.ErrFacts},
		"more no longer counts than was spent": {asked, func(l *provenance.Budget) { l.Spent = money.Of(usdc, 600_001) },
			loop.ErrAsked},
	} {
		var first []provenance.Budget
		err := b.replayed(run, func(s *provenance.Step) {
			if first == nil {
				first = s.Facts.Budgets
			}
			i := slices.IndexFunc(first, func(l provenance.Budget) bool { return l.ID == lie.ledger })
			if s.Seq >= 3 && i >= 0 {
				l := first[i]
				lie.change(&l)
				s.Facts.Budgets = append(s.Facts.Budgets, l)
				slices.SortFunc(s.Facts.Budgets, func(a, b provenance.Budget) int { return strings.Compare(a.ID, b.ID) })
			}
		})
		if !errors.Is(err, lie.want) {
			t.Errorf("%s: %v, want %v", name, err, lie.want)
		}
	}
}
