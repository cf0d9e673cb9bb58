package route

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// ModelsOf returns the models that a runtime's record describes, whose names must differ, from each other and from
// those of pools.
func ModelsOf(r *provenance.Runtime) ([]model.Info, error) {
	taken := map[string]bool{}
	var out []model.Info
	for _, m := range r.Models {
		if taken[m.Name] {
			return nil, fmt.Errorf("two models of this runtime have the name %q", m.Name)
		}
		taken[m.Name] = true
		out = append(out, ModelInfoOf(m))
	}
	for _, m := range r.Models {
		if m.Pool != "" && taken[m.Pool] {
			return nil, fmt.Errorf("a model and a pool of this runtime have the name %q", m.Pool)
		}
	}
	return out, nil
}

// ModelInfoOf returns the model that a runtime's record describes.
func ModelInfoOf(m provenance.ModelInfo) model.Info {
	return model.Info{
		Name: m.Name, Kind: model.Kind(m.Kind), Provider: m.Provider, Model: m.Model,
		PriceIn: m.PriceIn, PriceOut: m.PriceOut, MaxTokens: m.MaxTokens, Window: m.Window, Dialect: m.Dialect,
		Images:      m.Images,
		PriceCached: m.PriceCached, PriceWrite5m: m.PriceWrite5m, PriceWrite1h: m.PriceWrite1h,
		Pool: m.Pool, Weight: int64(min(m.Weight, MaxWeight)), Prices: m.Prices,
	}
}

// MaxWeight is the largest share of a pool's requests that a model may be given.
const MaxWeight = 1_000_000

// Compile makes rules of routes. A route that leads to no model that there is is left out: an agent may name models
// that a runtime does not have, and the next route is taken.
func Compile(routes []provenance.AgentRoute, models []model.Info) ([]Rule, error) {
	var rules []Rule
	for _, r := range routes {
		when, err := policies.CompileRoute(r.When)
		if err != nil {
			return nil, fmt.Errorf("route %q: %w", r.ID, err)
		}
		rule := Rule{ID: r.ID, When: when, By: r.By, Shadow: r.Shadow, Refuse: r.Use == Refuse}
		if !slices.Contains([]string{"", provenance.ByWeight, provenance.ByCost, provenance.ByLatency}, r.By) {
			return nil, fmt.Errorf("route %q: a pool is ordered by weight, cost or latency, and not by %q", r.ID, r.By)
		}
		for _, m := range models {
			if m.Name == r.Use || m.Pool != "" && m.Pool == r.Use || r.Use == None && m.Kind == model.KindRules {
				rule.Models = append(rule.Models, m)
			}
			if r.Use == None && len(rule.Models) > 0 {
				break
			}
		}
		if rule.Refuse || len(rule.Models) > 0 {
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// LeadToModel says whether any rule leads to something that answers.
func LeadToModel(rules []Rule) bool {
	return slices.ContainsFunc(rules, func(r Rule) bool { return !r.Refuse && !r.Shadow })
}

// fleetWords are the fields of which a model's newest attempts are the value.
var fleetWords = regexp.MustCompile(`\b(ttft_p50|ttft_p95|errors|breaker|queue)\b`)

// Watched lists the models, sorted, of which a step's facts say how they have answered of late: those that the
// rules lead to, but for what answers by rules, if a rule or a policy set could ask for it; else none.
func Watched(rules []Rule, a *provenance.Agent, sets ...*provenance.PolicySet) []string {
	asks := slices.ContainsFunc(a.Routes, func(r provenance.AgentRoute) bool { return fleetWords.MatchString(r.When) })
	for _, s := range sets {
		asks = asks || s != nil && fleetWords.MatchString(s.Source)
	}
	var names []string
	for _, r := range rules {
		asks = asks || r.By == provenance.ByLatency && len(r.Models) > 1
		for _, m := range r.Models {
			if m.Kind != model.KindRules {
				names = append(names, m.Name)
			}
		}
	}
	if !asks {
		return nil
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// AreComplete says whether facts tell of just the models that are watched, and nothing that no fleet would say.
func AreComplete(facts *provenance.Facts, watched []string) bool {
	return slices.EqualFunc(facts.Fleet, watched, func(f provenance.ModelFact, name string) bool {
		isDown := slices.Contains(facts.Down, name)
		return f.Name == name && f.P50 >= 0 && f.P95 >= f.P50 && f.Errors <= 1000 &&
			isDown == (f.Breaker == provenance.BreakerOpen)
	})
}
