package runner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A wordy model says as much as it may in every turn, and asks for one more until it may say no more.
type wordy struct{}

func (wordy) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	use := model.Usage{In: 20, Out: p.MaxTokens}
	if len(p.Tools) == 0 { // its last words
		return model.Reply{Stop: model.StopEnd, Text: "used up", Usage: use}, nil
	}
	return model.Reply{Stop: model.StopTools, Calls: []model.Call{call(fmt.Sprint("e", len(p.Messages)), "echo.say", `{"text":"x"}`)},
		Usage: use}, nil
}

// A crowd is a model that asks thirty of the agent below at once, each with its own words.
type crowd struct{}

func (crowd) Reply(_ context.Context, p model.Prompt) (model.Reply, error) {
	if len(p.Messages) > 1 {
		return text("they have all come back"), nil
	}
	var cs []model.Call
	for _, t := range p.Tools {
		for i := range 30 {
			if strings.HasPrefix(t.Name, "agent.") {
				cs = append(cs, call(fmt.Sprint("d", i), t.Name, fmt.Sprintf(`{"input":"number %d"}`, i)))
			}
		}
	}
	return model.Reply{Stop: model.StopTools, Calls: cs}, nil
}

// openCrowdOf opens a bench whose boss has thirty of the agent below work at once, with room for all but what is tested.
func openCrowdOf(t *testing.T, c cast, line []string, change func(*runner.Config), who func(*user)) *bench {
	t.Helper()
	return openAs(t, c, func(cfg *runner.Config) {
		withDelegates(cfg, line...)
		for i := range cfg.Agents {
			l, g := &cfg.Agents[i].Limits, &cfg.Agents[i].Grant
			l.Turns, l.Calls, l.Tokens, l.Cost, l.Wall = 2_000, 2_000, 50_000_000, 1_000_000_000, time.Hour
			g.MaxCalls, g.MaxTokens, g.MaxCostNanoUSD = 10_000, 1_000_000_000, 1_000_000_000_000
		}
		for i := range cfg.Models {
			cfg.Models[i].Info.Kind, cfg.Models[i].Info.PriceIn, cfg.Models[i].Info.PriceOut = model.KindModel, 1_000_000, 1_000_000
		}
		change(cfg)
	}, who)
}

func anybody(*user) {}

// Thirty agents that each take all that they can come near to what the run may have of tokens and of money for models, and
// never above it.
func TestThirtyChildrenComeNearToTheLimitAndNoFurther(t *testing.T) {
	for name, tt := range map[string]struct {
		tokens, cost int64
		used         func(provenance.Totals) int64
	}{
		"tokens": {420_000, 1_000_000_000, func(t provenance.Totals) int64 { return int64(t.In + t.Out) }},
		"money":  {50_000_000, 420_000, func(t provenance.Totals) int64 { return t.Cost }},
	} {
		t.Run(name, func(t *testing.T) {
			b := openCrowdOf(t, cast{"boss": crowd{}, "payer": wordy{}}, []string{"boss"}, func(c *runner.Config) {
				for i := range c.Agents {
					c.Agents[i].Limits.Tokens, c.Agents[i].Limits.Cost = tt.tokens, tt.cost
				}
			}, anybody)
			run := b.startAs("boss", "use it up")
			b.ended(run)
			used := tt.used(b.totals(run))
			if limit := min(tt.tokens, tt.cost); used > limit || used < limit*8/10 {
				t.Errorf("thirty agents used %d of %d", used, limit)
			}
			b.verified(run)
		})
	}
}

// Thirty agents that each pay 1 USDC under a grant of 20 pay 20 in all.
func TestThirtyChildrenSpendTheGrantAndNoMore(t *testing.T) {
	b := openCrowdOf(t, cast{"boss": crowd{}, "payer": replies{calls(call("1", "bank.pay", pay1)), text("done")}}, []string{"boss"},
		asksAbove(20_000_000), anybody)
	run := b.startAs("boss", "pay bob")
	b.ended(run)
	if n := b.paid.Load(); n != 20 {
		t.Errorf("%d payments of 1 USDC under a cap of 20", n)
	}
	if got := b.spentOf("max_total_usdc"); got != "20 USDC" {
		t.Errorf("the wallet's ledger has %s", got)
	}
	b.verified(run)
}

// Thirty agents that each call another under a grant of one level call nobody.
func TestThirtyChildrenGoNoDeeper(t *testing.T) {
	limits := caveats()
	limits.MaxDepth, limits.MaxCalls = 1, 1000
	b := openCrowdOf(t, cast{"boss": crowd{}, "clerk": replies{ask("agent.payer"), text("nobody came")},
		"payer": replies{calls(call("1", "bank.pay", pay1)), text("paid")}}, []string{"boss", "clerk"}, func(*runner.Config) {},
		func(u *user) { u.limits = &limits })
	run := b.startAs("boss", "go")
	b.ended(run)
	runs, err := b.r.Runs(t.Context(), b.session, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(runs) != 31 || b.paid.Load() != 0 {
		t.Errorf("%d runs and %d payments, want the caller's, thirty and none", len(runs), b.paid.Load())
	}
	b.verified(run)
}
