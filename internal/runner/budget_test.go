package runner_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// P4: 1,000 runs at once, each wants 1 USDC, and the grant has room for 10.
func TestAThousandSpendsAgainstACapOfTen(t *testing.T) {
	b := openWith(t, replies{calls(call("1", "bank.pay", `{"token":"USDC","to":"bob","amount":"1"}`)), text("done")},
		func(c *runner.Config) {
			g := &c.Agents[0].Grant
			g.MaxTotal = []money.Amount{money.Of(usdc, 10_000_000)}
			g.MaxCalls = 5000
			asksAbove(20_000_000)(c)
		})
	const n = 1000
	var wg sync.WaitGroup
	runs := make([]provenance.Link, n)
	for i := range n {
		req, err := b.request("pay", fmt.Sprintf("spend-%04d", i))
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			info, err := b.r.Start(t.Context(), req)
			if err != nil {
				t.Errorf("run %d: %v", i, err)
				return
			}
			runs[i] = info.ID
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	paid, denied := 0, 0
	for _, run := range runs {
		switch status := b.ended(run).Status; status {
		case provenance.CloseAnswered:
			paid++
		case provenance.CloseDenied:
			denied++
		default:
			t.Errorf("a run ended as %q", status)
		}
	}
	if paid != 10 || denied != n-10 || b.paid.Load() != 10 {
		t.Errorf("%d runs paid, %d were denied, %d effects happened; want 10, %d, 10", paid, denied, b.paid.Load(), n-10)
	}
	ls, err := b.store.Ledgers(t.Context(), []string{"session/" + b.session.ID.String() + "/grant/max_total_usdc"})
	if err != nil || ls[0].Spent != money.Of(usdc, 10_000_000) || !ls[0].Reserved.IsZero() {
		t.Errorf("the ledger says %v, %v; want 10 USDC spent, nothing reserved", ls, err)
	}
	b.verified(runs[0])
	b.verified(runs[n-1])
}
