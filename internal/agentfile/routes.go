package agentfile

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/turn"
	"github.com/writ-run/writ/provenance"
)

// RoutesSchema names the version of the format of route sets.
const RoutesSchema = "writ/routes/1"

// A RouteSet is the routes of any agent, in a file of their own, with its tests.
type RouteSet struct {
	Schema string      `yaml:"schema"`
	Name   string      `yaml:"name"`
	Routes []Route     `yaml:"routes"`
	Tests  []RouteTest `yaml:"tests"`
}

// A RouteTest says which rule of a set holds first for a turn.
type RouteTest struct {
	Name   string            `yaml:"name"`
	Given  RouteView         `yaml:"given"`
	Models map[string]string `yaml:"models"` // that there are, with what one call costs at most in USD
	Want   string            `yaml:"want"`   // the rule's id; empty if none holds
}

// A RouteView is what is known of a turn, in a test.
type RouteView struct {
	Planned bool   `yaml:"planned"`
	Writes  bool   `yaml:"writes"`
	Input   int64  `yaml:"input"`
	Offered int64  `yaml:"offered"`
	Turn    int64  `yaml:"turn"`
	Left    string `yaml:"left"`  // USD
	Spent   string `yaml:"spent"` // USD

	Mistakes int64 `yaml:"mistakes"`
	Failed   int64 `yaml:"failed"`

	Verbs      string `yaml:"verbs"`
	Entities   int64  `yaml:"entities"`
	Confidence int64  `yaml:"confidence"`
	Allowed    string `yaml:"allowed"` // USD
	Today      string `yaml:"today"`   // USD
	Unfounded  int64  `yaml:"unfounded"`
	Searches   int64  `yaml:"searches"`
	Found      int64  `yaml:"found"`
	Score      int64  `yaml:"score"`
	Lead       int64  `yaml:"lead"`
}

// facts returns them as the loop has them.
func (v *RouteView) facts() (turn.Facts, error) {
	f := turn.Facts{
		Planned: v.Planned, Writes: v.Writes, Verbs: v.Verbs, Entities: v.Entities, Confidence: v.Confidence,
		Offered: v.Offered, Mistakes: v.Mistakes, Failed: v.Failed, Unfounded: v.Unfounded, Searches: v.Searches,
		Found: v.Found, Score: v.Score, Lead: v.Lead,
	}
	for _, x := range []struct {
		name, usd string
		to        *int64
	}{
		{"left", v.Left, &f.Left}, {"spent", v.Spent, &f.Spent}, {"allowed", v.Allowed, &f.Allowed},
		{"today", v.Today, &f.Today},
	} {
		if x.usd == "" {
			continue
		}
		var err error
		if *x.to, err = parseNanoUSD(x.usd); err != nil {
			return f, fmt.Errorf("%s: %w", x.name, err)
		}
	}
	return f, nil
}

//go:embed routes/*.yaml
var routeSets embed.FS

// ShippedRoutes returns the source of a route set that comes with writ: "margin".
func ShippedRoutes(name string) ([]byte, bool) {
	b, err := routeSets.ReadFile("routes/" + name + ".yaml")
	return b, err == nil
}

// ParseRoutes reads a route set: strict YAML, at most 64 KiB. A field that there is not in a condition is an error.
func ParseRoutes(src []byte) (RouteSet, error) {
	var s RouteSet
	if len(src) > maxFile {
		return s, fmt.Errorf("a route set of %d bytes is longer than %d", len(src), maxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	dec.KnownFields(true)
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("read the route set: %s", tellFault(err))
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return s, errors.New("read the route set: it holds more than one document")
	}
	switch {
	case s.Schema != RoutesSchema:
		return s, fmt.Errorf("read the route set: schema is %q; this program reads %q", s.Schema, RoutesSchema)
	case len(s.Routes) == 0 || len(s.Routes) > maxRoutes:
		return s, fmt.Errorf("a route set has 1 to %d routes", maxRoutes)
	}
	seen := map[string]bool{}
	for _, r := range s.Routes {
		switch {
		case r.ID == "" || r.Use == "":
			return s, errors.New("each route has an id and says what it uses")
		case seen[r.ID]:
			return s, fmt.Errorf("route %q is there twice", r.ID)
		case slices.Contains(route.Reserved, r.Use):
			return s, fmt.Errorf("route %q uses %q, which there is not yet", r.ID, r.Use)
		case r.Priority > maxPriority:
			return s, fmt.Errorf("route %q has the priority %d; it is 0 to %d", r.ID, r.Priority, maxPriority)
		}
		seen[r.ID] = true
		if _, err := policies.CompileRoute(orTrue(r.When)); err != nil {
			return s, fmt.Errorf("route %q: %w", r.ID, err)
		}
	}
	return s, nil
}

const (
	maxRoutes   = 64
	maxPriority = 9 // as throttle.MaxPriority
)

func orTrue(when string) string {
	if when == "" {
		return "true"
	}
	return when
}

// Compile makes rules of the routes for the models that there are.
func (s RouteSet) Compile(models []model.Info) ([]route.Rule, error) {
	return route.Compile(routesOf(s.Routes), models)
}

// routesOf returns routes as an agent's record has them.
func routesOf(list []Route) []provenance.AgentRoute {
	var out []provenance.AgentRoute
	for _, r := range list {
		out = append(out, provenance.AgentRoute{
			ID: r.ID, When: orTrue(r.When), Use: r.Use, By: r.By, Shadow: r.Shadow, Priority: r.Priority,
			Hedge: r.Hedge,
		})
	}
	return out
}

// RunTests runs the tests of the set and returns what each that fails came to.
func (s RouteSet) RunTests() (failed []string, err error) {
	for _, t := range s.Tests {
		got, err := s.runTest(t)
		if err != nil {
			return nil, fmt.Errorf("test %q: %w", t.Name, err)
		}
		if got != t.Want {
			failed = append(failed, fmt.Sprintf("%s: route %q is taken, and not %q", t.Name, got, t.Want))
		}
	}
	return failed, nil
}

// tokensOfTests make a call of a model cost what a test says.
const tokensOfTests = 1_000_000

func (s RouteSet) runTest(t RouteTest) (taken string, err error) {
	models := []model.Info{{Name: "rules", Kind: model.KindRules, MaxTokens: tokensOfTests}}
	for name, usd := range t.Models {
		cost, err := parseNanoUSD(usd)
		if err != nil {
			return "", fmt.Errorf("models.%s: %w", name, err)
		}
		models = append(models, model.Info{Name: name, Kind: model.KindModel, MaxTokens: tokensOfTests, PriceOut: cost})
	}
	facts, err := t.Given.facts()
	if err != nil {
		return "", err
	}
	need := route.Need{
		MaxTokens: tokensOfTests, Input: t.Given.Input, Request: policies.Request{Turn: t.Given.Turn, Facts: facts},
	}
	rules, err := s.Compile(models)
	if err != nil {
		return "", err
	}
	cands, err := route.Candidates(rules, need)
	if err != nil || len(cands) == 0 {
		return "", err
	}
	return cands[0].Rule, nil
}

// AsksOfToday says whether a route of the agent asks what a day has cost, which only a budget by the day knows.
func (d Definition) AsksOfToday() bool {
	return slices.ContainsFunc(d.Routes, func(r Route) bool { return route.AsksOfToday(r.When) })
}

// Records returns the routes of the set as an agent's record has them.
func (s RouteSet) Records() []provenance.AgentRoute { return routesOf(s.Routes) }
