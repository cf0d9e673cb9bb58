package runner_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// margin opens a bench with the published routes over three models that cost what they cost.
func margin(t testing.TB, maxCost int64) *bench {
	t.Helper()
	src, _ := agentfile.ShippedRoutes("margin")
	set, err := agentfile.ParseRoutes(src)
	if err != nil {
		t.Fatal(err)
	}
	priced := func(name string, in, out int64) runner.NamedModel {
		return runner.NamedModel{
			Info:  model.Info{Name: name, Kind: model.KindModel, Provider: "test", Model: name + "/1", PriceIn: in, PriceOut: out, MaxTokens: 1000},
			Model: replies{model.Reply{Stop: model.StopEnd, Text: name + " here", Model: name + "/1", Usage: model.Usage{In: 10, Out: 5}}},
		}
	}
	return openWith(t, replies{text("unused")}, func(c *runner.Config) {
		c.Models = []runner.NamedModel{priced("small", 100_000_000, 400_000_000), priced("premium", 3_000_000_000, 15_000_000_000),
			{Info: model.Info{Name: "rules", Kind: model.KindRules, Provider: "writ", Model: "planner/1", MaxTokens: 1000}, Model: replies{text("rules here")}}}
		c.Agents[0].Routes = set.Routes
		c.Agents[0].Grant.MaxCostNanoUSD = maxCost
	})
}

func TestMarginChoosesByWhatTheTurnIsAbout(t *testing.T) {
	for _, tt := range []struct {
		request, rule, said string
		maxCost             int64
		status              string
	}{
		{"what do you make of it?", "small", "small here", 1_000_000_000, provenance.CloseAnswered},
		{"kindly pay whoever is owed something", "write", "premium here", 1_000_000_000, provenance.CloseAnswered},
		{"what do you make of it?", "", "This needs a model: one answer may cost up to 0.0004", 1000, provenance.CloseLimit},
	} {
		b := margin(t, tt.maxCost)
		run := b.start(tt.request)
		b.until(run, tt.status)
		if said := b.said(run); !strings.HasPrefix(said, tt.said) {
			t.Errorf("%s: said %q, want %q", tt.request, said, tt.said)
		}
		views, err := b.r.Steps(t.Context(), run, 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		rule := ""
		for _, e := range views[0].Step.Does {
			if ask, is := e.(*provenance.AskModel); is {
				rule = ask.Route.Rule
			}
		}
		if rule != tt.rule {
			t.Errorf("%s: route %q, want %q", tt.request, rule, tt.rule)
		}
		b.verified(run) // by the auditor, who chooses again
	}
}

// A small model whose calls cannot be read twice is not asked a third time: the run goes on with the large one, and the
// auditor chooses so again.
func TestARunWhoseCallsCannotBeReadGoesOnWithTheLargeModel(t *testing.T) {
	info := func(name string) model.Info {
		return model.Info{Name: name, Kind: model.KindModel, Provider: "test", Model: name + "/1", MaxTokens: 1000}
	}
	wrong := model.Reply{
		Stop: model.StopTools, Model: "small/1", Calls: []model.Call{{ID: "1", Tool: "bank.pay", Args: []byte(`{"colour":1}`)}},
	}
	right := model.Reply{Stop: model.StopEnd, Text: "premium here", Model: "premium/1"}
	b := openWith(t, replies{}, func(c *runner.Config) {
		src, _ := agentfile.ShippedRoutes("margin")
		routes, err := agentfile.ParseRoutes(src)
		if err != nil {
			t.Fatal(err)
		}
		c.Models = []runner.NamedModel{
			{Info: info("small"), Model: replies{wrong, wrong}},
			{Info: info("premium"), Model: replies{right, right, right}},
		}
		c.Agents[0].Routes = routes.Routes
	})
	run := b.start("what do you make of it?")
	b.until(run, provenance.CloseFailed)
	views, err := b.r.Steps(t.Context(), run, 0, 20)
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for _, v := range views {
		for _, e := range v.Step.Does {
			if ask, is := e.(*provenance.AskModel); is {
				rules = append(rules, ask.Route.Rule)
			}
		}
	}
	if strings.Join(rules, " ") != "small small escalate" {
		t.Errorf("routes %v", rules)
	}
	b.verified(run)
}
