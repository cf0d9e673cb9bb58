package runner_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/costs"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// An inTurn fails in turn: without cost, with a cost that is not known, and not at all.
type inTurn struct{ n atomic.Int64 }

func (f *inTurn) Reply(context.Context, model.Prompt) (model.Reply, error) {
	switch f.n.Add(1) % 3 {
	case 0:
		return model.Reply{}, &fault.Fault{Code: fault.ModelRequest}
	case 1:
		return model.Reply{}, &fault.Fault{Code: fault.ModelStopped}
	}
	return model.Reply{Stop: model.StopEnd, Text: "first", Model: "a/1", Usage: model.Usage{In: 7, Out: 3, CachedIn: 2}}, nil
}

// A thousand runs at once, against a cap on what models cost that has room for ten calls, with a second model to fall
// back on: the cap holds, and the sum over the steps is the ledger, to the nano-USD.
func TestAThousandRunsWithFallbackStayWithinACapWorthTen(t *testing.T) {
	first := model.Info{Name: "first", Kind: model.KindModel, Provider: "test", Model: "a/1", PriceIn: 3_000_000_001,
		PriceOut: 15_000_000_007, PriceCached: 300_000_003, MaxTokens: 1000}
	second := first
	second.Name, second.Model, second.PriceIn = "second", "b/1", 1_000_000_001
	const most = 200_000_000 // about ten calls at their bound
	b := openWith(t, replies{}, func(c *runner.Config) {
		c.Models = []runner.NamedModel{{Info: first, Model: &inTurn{}}, {Info: second, Model: replies{
			model.Reply{Stop: model.StopEnd, Text: "second", Model: "b/1", Usage: model.Usage{In: 11, Out: 5}}}}}
		c.Agents[0].Routes = []agentfile.Route{{ID: "first", Use: "first"}, {ID: "second", Use: "second"}}
		c.Agents[0].Grant.MaxCostNanoUSD, c.Agents[0].Grant.MaxTokens = most, 1_000_000_000
	})
	var wg sync.WaitGroup
	runs := make([]provenance.Link, 1000)
	for i := range runs {
		req, err := b.request("hi", fmt.Sprintf("cost-%04d", i))
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
	ended := map[string]int{}
	for _, run := range runs {
		ended[b.ended(run).Status]++
	}
	spent := b.checkSums("route")
	if spent <= 0 || spent > most || ended[provenance.CloseAnswered] == 0 || ended[provenance.CloseAnswered] == len(runs) {
		t.Errorf("%d nano-USD were spent of %d; runs ended as %v", spent, most, ended)
	}
	b.verified(runs[0])
	b.verified(runs[len(runs)-1])
}

// checkSums compares what the steps come to, added up in each way, with the session's ledger, and returns it.
func (b *bench) checkSums(by ...string) int64 {
	b.Helper()
	var uses []costs.Use
	if err := costs.Gather(b.Context(), b.store, 0, func(u costs.Use) { uses = append(uses, u) }); err != nil {
		b.Fatal(err)
	}
	ls, err := b.store.Ledgers(b.Context(), []string{"session/" + b.session.ID.String() + "/grant/cost"})
	if err != nil || len(ls) != 1 || !ls[0].Reserved.IsZero() {
		b.Fatalf("the ledger says %+v, %v", ls, err)
	}
	for _, by := range by {
		lines, total, err := costs.Sum(uses, by, costs.Tariff{})
		if err != nil {
			b.Fatal(err)
		}
		sum := int64(0)
		for _, l := range lines {
			sum += l.Cost + l.Doubtful
		}
		if want := money.Of(money.USD, uint64(total.Cost+total.Doubtful)); ls[0].Spent != want || sum != total.Cost+total.Doubtful {
			b.Errorf("by %s: the ledger says %s, the steps %s, the lines %d nano-USD", by, ls[0].Spent, want, sum)
		}
	}
	return int64(ls[0].Spent.Uint256().Uint64())
}
