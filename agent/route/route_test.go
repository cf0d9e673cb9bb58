package route_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies"
)

func rule(t *testing.T, id, when string, m model.Info) route.Rule {
	t.Helper()
	c, err := policies.CompileRoute(when)
	if err != nil {
		t.Fatal(err)
	}
	return route.Rule{ID: id, When: c, Model: m}
}

func TestCandidates(t *testing.T) {
	large := model.Info{Name: "large", Kind: model.KindModel, PriceIn: 2_000_000, PriceOut: 8_000_000, MaxTokens: 1000}
	small := model.Info{Name: "small", Kind: model.KindModel, PriceIn: 1_000_000, PriceOut: 1_000_000, MaxTokens: 500}
	rules := model.Info{Name: "rules", Kind: model.KindRules, MaxTokens: 100}
	all := []route.Rule{
		rule(t, "first", `turn < 2`, large), rule(t, "second", `true`, small), rule(t, "again", `true`, small), rule(t, "last", `true`, rules),
	}
	for _, tt := range []struct {
		name string
		need route.Need
		want string
	}{
		{"those whose conditions hold, in order, each once", route.Need{}, "first:large second:small last:rules"},
		{"a condition that does not hold is passed over", route.Need{Request: policies.Request{Turn: 2}}, "second:small last:rules"},
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
	free, err := route.Candidates([]route.Rule{rule(t, "r", "true", model.Info{Name: "rules", Kind: model.KindRules, MaxTokens: 9})}, route.Need{Input: 100, MaxTokens: 400})
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
	if _, err := route.Candidates([]route.Rule{overflow}, route.Need{Request: policies.Request{Turn: 1}}); err == nil || !strings.Contains(err.Error(), "route r") {
		t.Errorf("got %v, want an error that names the route", err)
	}
}
