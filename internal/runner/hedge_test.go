package runner_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/whatif"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// dozing answers at once, and once asleep only when it is woken or not waited for any more.
type dozing struct {
	name   string
	asleep *atomic.Bool
	wake   chan struct{}
	asked  *atomic.Int64
}

func (m dozing) Reply(ctx context.Context, _ model.Prompt) (model.Reply, error) {
	m.asked.Add(1)
	if m.asleep.Load() {
		select {
		case <-m.wake:
		case <-ctx.Done():
			return model.Reply{}, ctx.Err()
		}
	}
	return model.Reply{
		Stop: model.StopEnd, Text: m.name + " here", Model: m.name + "/1", TTFT: 1,
		Usage: model.Usage{In: 10, Out: 5},
	}, nil
}

// A hedged bench has two models of one price, of which the first is known by what it has answered.
type hedged struct {
	*bench
	first, second dozing
}

func openHedged(t *testing.T, hedge bool) *hedged {
	t.Helper()
	h := &hedged{}
	for i, m := range []*dozing{&h.first, &h.second} {
		*m = dozing{[]string{"first", "second"}[i], new(atomic.Bool), make(chan struct{}), new(atomic.Int64)}
	}
	h.bench = openWith(t, replies{}, func(c *runner.Config) {
		for _, m := range []dozing{h.first, h.second} {
			c.Models = append(c.Models, runner.NamedModel{Model: m, Info: model.Info{
				Name: m.name, Kind: model.KindModel, Provider: "test", Model: m.name + "/1", MaxTokens: 100,
				PriceIn: 1_000_000_000, PriceOut: 1_000_000_000,
			}})
		}
		c.Agents[0].Routes = []agentfile.Route{{ID: "one", Use: "first", Hedge: hedge}, {ID: "two", Use: "second"}}
	})
	for i := range 20 { // what a percentile is made of
		h.until(h.start(fmt.Sprintf("say something, %d", i)), provenance.CloseAnswered)
	}
	return h
}

// ends tells how the questions of a run ended, by their models.
func (h *hedged) ends(run provenance.Link) string {
	h.Helper()
	views, err := h.r.Steps(h.Context(), run, 0, 16)
	if err != nil {
		h.Fatal(err)
	}
	asked, out := map[provenance.Ref]string{}, ""
	for _, v := range views {
		if r, is := v.Step.Event.(*provenance.Reply); is {
			end := "answered"
			if r.Model == nil {
				end = r.Failed
			}
			out += fmt.Sprintf("%s %s; ", asked[r.Of], end)
		}
		for i, e := range v.Step.Does {
			if ask, is := e.(*provenance.AskModel); is {
				asked[provenance.Ref{Seq: v.Step.Seq, Index: uint64(i)}] = ask.Route.Model
			}
		}
	}
	return out
}

// A model that does not begin to answer has another one asked beside it, which answers; the auditor takes the same two
// questions and the same answer, and the ledger has what both may have cost.
func TestASlowModelIsHedged(t *testing.T) {
	h := openHedged(t, true)
	h.first.asleep.Store(true)
	run := h.start("say something else")
	h.until(run, provenance.CloseAnswered)
	if said, ends := h.said(run), h.ends(run); said != "second here" ||
		ends != "first "+string(fault.ModelOutrun)+"; second answered; " && ends != "second answered; first "+string(fault.ModelOutrun)+"; " {
		t.Errorf("said %q; %s", said, ends)
	}
	h.verified(run)
	h.checkSums()
	tried, err := whatif.Try(t.Context(), h.store, whatif.Plan{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ls, err := h.store.Ledgers(t.Context(), []string{"session/" + h.session.ID.String() + "/grant/cost"})
	if err != nil {
		t.Fatal(err)
	}
	if spent := money.Of(money.USD, uint64(tried.Was.Cost)); ls[0].Spent != spent || len(tried.Changed) != 0 ||
		tried.Was.Models["second"] != 1 {
		t.Errorf("under its own rules it cost %s, and the ledger says %s; %+v", spent, ls[0].Spent, tried)
	}
}

// A turn that may write has no second model, nor has one whose route does not say so, nor has each turn: of twenty that
// were asked one may.
func TestHedgesAreForFewThatOnlyRead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hedge  bool
		inputs []string
		want   int64
	}{
		{"a turn that may write", true, []string{"pay 5 USDC to bob"}, 0},
		{"a route that does not say so", false, []string{"say something else"}, 0},
		{"one of twenty", true, []string{"say something else", "say more"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := openHedged(t, tt.hedge)
			h.first.asleep.Store(true)
			for _, input := range tt.inputs {
				run := h.start(input)
				time.Sleep(700 * time.Millisecond) // longer than the least that a model is waited for
				select {
				case h.first.wake <- struct{}{}:
				case <-time.After(10 * time.Millisecond): // it was outrun
				}
				h.until(run, provenance.CloseAnswered)
				h.verified(run)
			}
			if n := h.second.asked.Load(); n != tt.want {
				t.Errorf("the second model was asked %d times, want %d", n, tt.want)
			}
		})
	}
}

// A server that ends while both are asked asks both again, and the run still has one answer.
func TestAHedgedTurnGoesOnAfterARestart(t *testing.T) {
	h := openHedged(t, true)
	h.first.asleep.Store(true)
	h.second.asleep.Store(true)
	run := h.start("say something else")
	for h.second.asked.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	h.r.Close()
	before := h.first.asked.Load()
	h.second.asleep.Store(false)
	h.restart()
	h.until(run, provenance.CloseAnswered)
	if said := h.said(run); said != "second here" || h.first.asked.Load() > before+1 || h.second.asked.Load() != 2 {
		t.Errorf("said %q; the first was asked %d times more, the second %d times in all", said,
			h.first.asked.Load()-before, h.second.asked.Load())
	}
	h.verified(run)
	h.checkSums()
}
