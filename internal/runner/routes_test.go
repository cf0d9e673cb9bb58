package runner_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
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
	rules := askedRoutes(t, b, run)
	if strings.Join(rules, " ") != "small small escalate" {
		t.Errorf("routes %v", rules)
	}
	b.verified(run)
}

// askedRoutes returns the rule of each model call of a run.
func askedRoutes(t *testing.T, b *bench, run provenance.Link) (rules []string) {
	t.Helper()
	views, err := b.r.Steps(t.Context(), run, 0, 40)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range views {
		for _, e := range v.Step.Does {
			if ask, is := e.(*provenance.AskModel); is {
				rules = append(rules, ask.Route.Rule)
			}
		}
	}
	return rules
}

// An answer whose figures rest on nothing that the run was given is looked at again by the model that the rules then
// choose: once, told which figures they are, booked like any call, and chosen again by the auditor.
func TestFiguresFromNowhereAreLookedAtAgainOnce(t *testing.T) {
	said := func(name, words string) model.Reply {
		return model.Reply{Stop: model.StopEnd, Text: words, Model: name + "/1", Usage: model.Usage{In: 10, Out: 5}}
	}
	for _, tt := range []struct {
		rule           string
		request        string
		small, premium []model.Reply
		routes, said   string
	}{
		{"the large model answers instead", "how much does bob owe?",
			[]model.Reply{said("small", "He owes 4711 USDC.")}, []model.Reply{{}, said("premium", "That is not known here.")},
			"small unfounded", "That is not known here."},
		{"and its answer stands, whatever figures it has", "how much does bob owe?",
			[]model.Reply{said("small", "He owes 4711 USDC.")}, []model.Reply{{}, said("premium", "It is 4712 USDC.")},
			"small unfounded", "It is 4712 USDC."},
		{"figures of the request rest on it", "is 4711 much?",
			[]model.Reply{said("small", "4711 is much.")}, nil, "small", "4711 is much."},
		{"an answer without figures", "is it much?", []model.Reply{said("small", "It is.")}, nil, "small", "It is."},
		{"if the large one gives no answer, the first stands", "how much does bob owe?",
			[]model.Reply{said("small", "He owes 4711 USDC.")}, nil, "small unfounded", "He owes 4711 USDC."},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			info := func(name string) model.Info {
				return model.Info{Name: name, Kind: model.KindModel, Provider: "test", Model: name + "/1", MaxTokens: 1000,
					PriceIn: 1_000_000, PriceOut: 1_000_000}
			}
			b := openWith(t, replies{}, func(c *runner.Config) {
				src, _ := agentfile.ShippedRoutes("margin")
				routes, err := agentfile.ParseRoutes(src)
				if err != nil {
					t.Fatal(err)
				}
				c.Models = []runner.NamedModel{
					{Info: info("small"), Model: replies(tt.small)}, {Info: info("premium"), Model: replies(tt.premium)},
				}
				c.Agents[0].Routes = routes.Routes
			})
			run := b.start(tt.request)
			b.until(run, provenance.CloseAnswered)
			if got := strings.Join(askedRoutes(t, b, run), " "); got != tt.routes {
				t.Errorf("routes %q, want %q", got, tt.routes)
			}
			if got := b.said(run); got != tt.said {
				t.Errorf("said %q, want %q", got, tt.said)
			}
			b.verified(run)
		})
	}
}

// What a search found, and what the wallet's models have cost today, are known to the routes, and to the auditor.
func TestRoutesKnowWhatASearchFoundAndWhatTodayHasCost(t *testing.T) {
	passage := func(words, meaning int) map[string]any {
		return map[string]any{"cid": "bafk", "source": "mail", "text": "Dear customer.", "integrity": "tool", "words_rank": words, "meaning_rank": meaning}
	}
	found, err := json.Marshal(map[string]any{"documents": []any{passage(1, 2), passage(2, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	search := source{spec: tools.Spec{Name: "docs.search", About: "Finds documents.", Class: tools.Read,
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["query"],"properties":{"query":{"type":"string"}}}`),
		Output: &tools.Output{Integrity: label.Tool, Documents: true}}, out: found}
	info := func(name string) model.Info {
		return model.Info{Name: name, Kind: model.KindModel, Provider: "test", Model: name + "/1", MaxTokens: 1000, PriceIn: 1_000_000, PriceOut: 1_000_000}
	}
	priced := func(name string, r model.Reply) model.Reply {
		r.Model, r.Usage = name+"/1", model.Usage{In: 10, Out: 5}
		return r
	}
	rules := strings.NewReplacer(
		"scope: agent}\n", "scope: agent}\n  - {id: models, cap: 'usd(\"1\")', scope: wallet, window: day}\n",
		"at: model.route, effect: permit}", "at: model.route, effect: permit, reserve: {budget: models}}\n  - {id: documents, at: retrieval, effect: permit}",
	).Replace(operatorRules)
	small := replies{priced("small", calls(call("1", "docs.search", `{"query":"offer"}`)))}
	large := replies{priced("premium", text("none")), priced("premium", text("premium here"))}
	b := openWith(t, replies{}, func(c *runner.Config) {
		c.Policy.Source = []byte(rules)
		c.Tools = append(c.Tools, search)
		c.Agents[0].Tools = append(c.Agents[0].Tools, "docs.search")
		c.Models = []runner.NamedModel{{Info: info("small"), Model: small}, {Info: info("premium"), Model: large}}
		c.Agents[0].Routes = []agentfile.Route{
			{ID: "thin", When: "searches > 0 && found == 2 && score > 16393 && lead < 264", Use: "premium"},
			{ID: "late", When: `today > usd("0") && allowed >= usd("0.000001")`, Use: "premium"},
			{ID: "small", When: "true", Use: "small"},
		}
	})
	first := b.start("what is offered?")
	b.until(first, provenance.CloseAnswered)
	second := b.start("what else is offered?")
	b.until(second, provenance.CloseAnswered)
	for run, want := range map[provenance.Link]string{first: "small thin", second: "late"} {
		if got := strings.Join(askedRoutes(t, b, run), " "); got != want {
			t.Errorf("routes %q, want %q", got, want)
		}
		b.verified(run)
	}
	c := b.config
	c.Policy.Source = []byte(operatorRules)
	r, err := runner.New(t.Context(), c)
	if err == nil {
		r.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "by the day") {
		t.Errorf("a route asks of a budget that there is not: %v", err)
	}
}
