package route_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

func rule(t *testing.T, id, when string, m model.Info) route.Rule {
	t.Helper()
	c, err := policies.CompileRoute(when)
	if err != nil {
		t.Fatal(err)
	}
	return route.Rule{ID: id, When: c, Models: []model.Info{m}}
}

func TestCandidates(t *testing.T) {
	large := model.Info{Name: "large", Kind: model.KindModel, PriceIn: 2_000_000, PriceOut: 8_000_000, MaxTokens: 1000}
	small := model.Info{Name: "small", Kind: model.KindModel, PriceIn: 1_000_000, PriceOut: 1_000_000, MaxTokens: 500}
	rules := model.Info{Name: "rules", Kind: model.KindRules, MaxTokens: 100}
	all := []route.Rule{
		rule(t, "first", `turn < 2`, large), rule(t, "second", `true`, small), rule(t, "again", `true`, small), rule(t,
			"last", `true`, rules),
	}
	for _, tt := range []struct {
		name string
		need route.Need
		want string
	}{
		{"those whose conditions hold, in order, each once", route.Need{}, "first:large second:small last:rules"},
		{"a condition that does not hold is passed over", route.Need{Request: policies.Request{Turn: 2}},
			"second:small last:rules"},
		{"a model that is down is passed over", route.Need{Down: []string{"small"}}, "first:large last:rules"},
		{"a model that failed this turn is passed over", route.Need{Tried: []string{"large", "small"}}, "last:rules"},
		{"none is left", route.Need{Tried: []string{"large", "small"}, Down: []string{"rules"}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := route.Candidates(all, tt.need)
			if err != nil {
				t.Fatal(err)
			}
			var s []string
			for _, c := range got {
				s = append(s, c.Rule+":"+c.Model.Name)
			}
			if strings.Join(s, " ") != tt.want {
				t.Errorf("got %q, want %q", strings.Join(s, " "), tt.want)
			}
		})
	}
}

func TestACandidateCarriesTheUpperBoundOfItsCost(t *testing.T) {
	m := model.Info{Name: "m", Kind: model.KindModel, PriceIn: 2_000_000, PriceOut: 8_000_000, MaxTokens: 1000}
	got, err := route.Candidates([]route.Rule{rule(t, "r", "true", m)}, route.Need{Input: 100, MaxTokens: 400})
	if err != nil {
		t.Fatal(err)
	}
	// 100 tokens in at 2 nano-USD each, 400 out at 8: the run's room is less than the model's own bound.
	if r := got[0].Request; r.Tokens != 500 || r.Cost != 100*2+400*8 {
		t.Errorf("tokens %d, cost %d; want 500, 3400", r.Tokens, r.Cost)
	}
	free, err := route.Candidates([]route.Rule{rule(t, "r", "true",
		model.Info{Name: "rules", Kind: model.KindRules, MaxTokens: 9})}, route.Need{Input: 100, MaxTokens: 400})
	if err != nil {
		t.Fatal(err)
	}
	if r := free[0].Request; r.Tokens != 0 || r.Cost != 0 {
		t.Errorf("rules count no tokens: got %d, %d", r.Tokens, r.Cost)
	}
}

func TestAConditionThatCannotBeEvaluatedIsAnError(t *testing.T) {
	if _, err := policies.CompileRoute("nosuch == 1"); err == nil {
		t.Error("a condition on an unknown name compiled")
	}
	overflow := rule(t, "r", "turn + 9223372036854775807 > 0", model.Info{Name: "m"})
	if _, err := route.Candidates([]route.Rule{overflow}, route.Need{Request: policies.Request{Turn: 1}}); err == nil ||
		!strings.Contains(err.Error(), "route r") {
		t.Errorf("got %v, want an error that names the route", err)
	}
}

func names(cands []route.Candidate) string {
	var s []string
	for _, c := range cands {
		s = append(s, c.Model.Name)
	}
	return strings.Join(s, " ")
}

func TestEqualsAreOrdered(t *testing.T) {
	pool := []model.Info{
		{Name: "a", Kind: model.KindModel, Pool: "p", PriceOut: 3_000_000, MaxTokens: 10, Weight: 8},
		{Name: "b", Kind: model.KindModel, Pool: "p", PriceOut: 1_000_000, MaxTokens: 10, Weight: 2},
		{Name: "c", Kind: model.KindModel, Pool: "p", PriceOut: 2_000_000, MaxTokens: 10},
	}
	facts := []provenance.ModelFact{
		{Name: "a", P95: 900, Errors: 500, Breaker: provenance.BreakerClosed},
		{Name: "b", P95: 100, Breaker: provenance.BreakerHalfOpen}, {Name: "c", P95: 1000, Breaker: provenance.BreakerClosed},
	}
	for _, tt := range []struct{ by, when, want string }{
		{provenance.ByCost, "true", "b c a"},
		{provenance.ByLatency, "true", "c a b"}, // a fails half of the time; b only lets single attempts through
		{provenance.ByCost, `breaker == "closed" && errors < 100`, "c"},
		{provenance.ByCost, `price_out < usd("0.0025") && ttft_p95 > 500`, "c"},
	} {
		rules, err := route.Compile([]provenance.AgentRoute{{ID: "r", When: tt.when, Use: "p", By: tt.by}}, pool)
		if err != nil {
			t.Fatal(err)
		}
		got, err := route.Candidates(rules, route.Need{MaxTokens: 10, Fleet: facts})
		if err != nil || names(got) != tt.want {
			t.Errorf("by %s when %s: %q, %v; want %q", tt.by, tt.when, names(got), err, tt.want)
		}
	}
	rules, err := route.Compile([]provenance.AgentRoute{{ID: "r", When: "true", Use: "p"}}, pool)
	if err != nil {
		t.Fatal(err)
	}
	first := map[string]int{}
	for i := range 1100 {
		n := route.Need{MaxTokens: 10, Lot: [32]byte{byte(i), byte(i >> 8)}}
		one, err := route.Candidates(rules, n)
		two, _ := route.Candidates(rules, n)
		if err != nil || len(one) != 3 || names(one) != names(two) {
			t.Fatalf("%q, %q: %v", names(one), names(two), err)
		}
		first[one[0].Model.Name]++
	}
	if first["a"] < 720 || first["a"] > 880 || first["b"] < 140 || first["b"] > 260 || first["c"] < 60 {
		t.Errorf("weights 8, 2 and 1 of 1,100 lots: %v", first)
	}
	if _, err := route.Compile([]provenance.AgentRoute{{ID: "r", When: "true", Use: "p", By: "whim"}}, pool); err == nil {
		t.Error("a pool is ordered by whim")
	}
}

// A shadow rule changes nothing but what is said of it.
func TestAShadowRuleHasNoEffect(t *testing.T) {
	models := []model.Info{{Name: "a", MaxTokens: 1}, {Name: "b", MaxTokens: 1}}
	live := []provenance.AgentRoute{{ID: "1", When: "true", Use: "a"}, {ID: "2", When: "true", Use: "b"}}
	for _, tt := range []struct {
		shadow provenance.AgentRoute
		want   string
	}{
		{provenance.AgentRoute{ID: "s", When: "turn < 2", Use: "b", Shadow: true}, "s"},
		{provenance.AgentRoute{ID: "s", When: "turn > 2", Use: "b", Shadow: true}, ""},
		{provenance.AgentRoute{ID: "s", When: "true", Use: "refuse", Shadow: true}, "s"},
		{provenance.AgentRoute{ID: "s", When: "turn + 9223372036854775807 > 0", Use: "b", Shadow: true}, ""},
	} {
		rules, err := route.Compile(append([]provenance.AgentRoute{tt.shadow}, live...), models)
		if err != nil {
			t.Fatal(err)
		}
		got, err := route.Candidates(rules, route.Need{Request: policies.Request{Turn: 1}})
		if err != nil || names(got) != "a b" || got[0].Shadow != tt.want {
			t.Errorf("%s: %q, shadow %q, %v", tt.shadow.When, names(got), got[0].Shadow, err)
		}
	}
}
