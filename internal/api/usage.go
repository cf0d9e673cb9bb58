package api

import (
	"context"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/costs"
)

// maxUsageRuns bounds the runs that one usage.get adds up.
const maxUsageRuns = 1000

// usageBy is what a wallet's own costs are added up by.
var usageBy = slices.DeleteFunc(slices.Clone(costs.By), func(by string) bool { return by == "wallet" })

func getUsage(c *Call, ctx context.Context, p wire.UsageParams) (any, error) {
	if p.By == "" {
		p.By = "day"
	}
	if !slices.Contains(usageBy, p.By) {
		return nil, wire.Errorf(wire.CodeParams, "Costs are added up by %s.", strings.Join(usageBy, ", "))
	}
	if isConfined(c.api, c.seat.session) {
		return nil, wire.Errorf(wire.CodeForbidden, "What all of a wallet costs is not for an API key; ask with a "+
			"session of the wallet's.")
	}
	if c.api.cfg.Costs == nil {
		return nil, wire.Errorf(wire.CodeMethod, "This server does not add up costs.")
	}
	var uses []costs.Use
	own := c.seat.session
	scope := costs.Scope{Account: own.Account, Owner: own.Owner(), Since: p.Since, Runs: maxUsageRuns}
	more, err := costs.GatherOf(ctx, c.api.cfg.Costs, scope, func(u costs.Use) { uses = append(uses, u) })
	if err != nil {
		return nil, err
	}
	lines, total, err := costs.Sum(uses, p.By, costs.Tariff{})
	if err != nil {
		return nil, err
	}
	out := wire.Usage{By: p.By, Lines: []wire.UsageLine{}, Total: viewUsage(total), More: more}
	for _, l := range lines {
		out.Lines = append(out.Lines, viewUsage(l))
	}
	return out, nil
}

func viewUsage(l costs.Line) wire.UsageLine {
	return wire.UsageLine{
		Of: l.Of, Runs: l.Runs, Calls: l.Calls, Failed: l.Failed, In: l.In, Out: l.Out, Cached: l.Cached,
		Cost: l.Cost, Doubtful: l.Doubtful,
	}
}
