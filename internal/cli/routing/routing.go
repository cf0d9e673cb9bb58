// Package routing checks, tests and explains which model answers: writ route.
package routing

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/grammar"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/turn"
	"github.com/writ-run/writ/tools"
)

// Command is writ route.
func Command(a *cli.Shell) *cobra.Command {
	g := cli.Group("route", "Check, test and explain which model answers", checkRoutes(a), testRoutes(a), explainRoute(a))
	g.Long = `A route set says which model answers a turn: the first rule whose condition holds and whose model is there. writ.yaml
names one under routes; margin comes with writ. docs/models.md has the fields that conditions may use.`
	return g
}

func checkRoutes(a *cli.Shell) *cobra.Command {
	return &cobra.Command{
		Use: "check [SET]", Short: "Read a route set, by file or name, and run its tests", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			set, err := node.Routes(nameOr(args, "margin"))
			if err != nil {
				return err
			}
			out := struct {
				Name   string `json:"name"`
				Routes int    `json:"routes"`
				Tests  int    `json:"tests"`
			}{set.Name, len(set.Routes), len(set.Tests)}
			return a.Done(out, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %d routes, %d tests pass\n", cli.Plain(set.Name), out.Routes, out.Tests)
			})
		},
	}
}

func testRoutes(a *cli.Shell) *cobra.Command {
	c := checkRoutes(a)
	c.Use, c.Short = "test [SET]", "The same: a set whose tests fail is not read"
	return c
}

func nameOr(args []string, otherwise string) string {
	if len(args) > 0 {
		return args[0]
	}
	return otherwise
}

// A routed is one rule of a set and what came of it.
type routed struct {
	Route string `json:"route"`
	When  string `json:"when"`
	Use   string `json:"use"`
	Says  string `json:"says"` // taken, next, no, absent
	Cost  int64  `json:"cost"` // of one answer at most, nano-USD
}

// A routing is what the routes make of a request.
type routing struct {
	Set        string   `json:"set"`
	Planned    bool     `json:"planned"`
	Confidence int64    `json:"confidence"` // of 100
	Writes     bool     `json:"writes"`
	Verbs      string   `json:"verbs"`
	Entities   int64    `json:"entities"`
	Input      int64    `json:"input"`
	Offered    int64    `json:"offered"`
	Left       int64    `json:"left"`
	Allowed    int64    `json:"allowed"`
	Routes     []routed `json:"routes"`
}

func explainRoute(a *cli.Shell) *cobra.Command {
	var file, agent, set string
	c := &cobra.Command{
		Use: "explain REQUEST", Short: "Say which model would answer a request first, and why",
		Long: "It looks at the tools that come with writ, and not at those of your own.", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := node.ReadSettings(file, nil)
			if err != nil {
				return err
			}
			if set == "" {
				set = cfg.Routes
			}
			r, err := explainRequest(cfg, agent, set, args[0])
			if err != nil {
				return err
			}
			return a.Done(r, func(w io.Writer) { r.print(w) })
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration `file` (default writ.yaml)")
	c.Flags().StringVar(&agent, "agent", "treasurer", "`agent` that is asked, by name or file")
	c.Flags().StringVar(&set, "routes", "",
		"route `set`, by file or name; the configuration's if empty, else the agent's own")
	return c
}

// explainRequest says what the routes make of the first turn of a request, with nothing spent before.
func explainRequest(cfg *config.Config, agent, name, request string) (*routing, error) {
	list, err := node.DescribedTools()
	if err != nil {
		return nil, err
	}
	def, err := node.Agent(agent, uint64(cfg.Chain.ID))
	if err != nil {
		return nil, err
	}
	set := agentfile.RouteSet{Name: def.Name, Routes: def.Routes}
	if name != "" {
		if set, err = node.Routes(name); err != nil {
			return nil, err
		}
	}
	if err := node.PriceModels(cfg); err != nil {
		return nil, err
	}
	def.Routes = set.Routes
	models, err := node.Models(cfg.Models, []agentfile.Definition{def})
	if err != nil {
		return nil, err
	}
	infos := make([]model.Info, 0, len(models))
	for _, m := range models {
		infos = append(infos, m.Info)
	}
	r := &routing{
		Set: set.Name, Left: min(def.Limits.Cost, def.Grant.MaxCostNanoUSD), Allowed: def.Grant.MaxCostNanoUSD,
	}
	r.Input = int64(len(def.Instructions) + len(request))
	r.readRequest(list, def.Tools, request)
	return r, r.choose(set, infos, def.Limits.Tokens)
}

// readRequest reads a request as the planner would, with the tools of the agent.
func (r *routing) readRequest(list []*tools.Def, names []string, request string) {
	var offered []route.Offered
	var ts []grammar.Tool
	for _, t := range list {
		spec := t.Spec()
		if !slices.Contains(names, spec.Name) {
			continue
		}
		ts = append(ts, grammar.Tool{Name: spec.Name, Schema: spec.Schema, Utterances: spec.Utterances})
		offered = append(offered, route.Offered{Name: spec.Name, Utterances: spec.Utterances, Acts: spec.Class != tools.Read})
		r.Input += int64(len(spec.Name) + len(spec.About) + len(spec.Schema))
	}
	r.Offered = int64(len(offered))
	var f turn.Facts
	route.ReadRequest(&f, grammar.New(ts), offered, request)
	r.Planned, r.Writes, r.Verbs, r.Entities, r.Confidence = f.Planned, f.Writes, f.Verbs, f.Entities, f.Confidence
}

// choose asks the rules one after the other.
func (r *routing) choose(set agentfile.RouteSet, models []model.Info, tokens int64) error {
	need := route.Need{Input: r.Input, MaxTokens: tokens, Request: policies.Request{Facts: turn.Facts{
		Planned: r.Planned, Writes: r.Writes, Verbs: r.Verbs, Entities: r.Entities, Confidence: r.Confidence,
		Offered: r.Offered, Left: r.Left, Allowed: r.Allowed,
	}}}
	rules, err := set.Compile(models)
	if err != nil {
		return err
	}
	cands, err := route.Candidates(rules, need)
	if err != nil {
		return err
	}
	for _, rule := range set.Routes {
		x := routed{Route: rule.ID, When: rule.When, Use: rule.Use, Says: "absent"}
		for _, there := range rules {
			if there.ID == rule.ID {
				x.Says = "no"
			}
		}
		for i, c := range cands {
			if c.Rule == rule.ID {
				x.Says, x.Cost = "next", c.Request.Cost
				if i == 0 {
					x.Says = "taken"
				}
			}
		}
		r.Routes = append(r.Routes, x)
	}
	return nil
}

func (r *routing) print(w io.Writer) {
	fmt.Fprintf(w, "planned %v, writes %v, input %d tokens at most, %d tools offered, %s USD left\n", r.Planned, r.Writes,
		r.Input, r.Offered, usdText(r.Left))
	fmt.Fprintf(w, "confidence %d of 100, verbs %q, entities %d, allowed %s USD; no search and no answer yet\n",
		r.Confidence, r.Verbs, r.Entities, usdText(r.Allowed))
	for _, x := range r.Routes {
		cost := ""
		if x.Cost > 0 {
			cost = ", up to " + usdText(x.Cost) + " USD"
		}
		fmt.Fprintf(w, "%-7s %-10s %-8s %s%s\n", x.Says, cli.Plain(x.Route), cli.Plain(x.Use), cli.Plain(x.When), cost)
	}
}

// usdText writes nano-dollars as dollars.
func usdText(nano int64) string {
	sign := ""
	if nano < 0 {
		sign, nano = "-", -nano
	}
	s := strings.TrimRight(fmt.Sprintf("%s%d.%09d", sign, nano/1e9, nano%1e9), "0")
	return strings.TrimSuffix(s, ".")
}
