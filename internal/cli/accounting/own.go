package accounting

import (
	"context"
	"io"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/costs"
)

// A Connector opens the saved session at a server, or at the one that was signed in to last if server is empty.
type Connector func(ctx context.Context, server string) (*client.Client, cli.SavedSession, error)

// runOwn asks a server what the wallet's own runs have cost.
func (o *costsOptions) runOwn(ctx context.Context, a *cli.Shell, connect Connector) error {
	p := wire.UsageParams{By: o.by}
	if o.since != "" {
		day, err := time.Parse(time.DateOnly, o.since)
		if err != nil {
			return cli.Usage("--since %q is no day, such as 2026-11-28", o.since)
		}
		p.Since = day.UnixMilli()
	}
	cl, _, err := connect(ctx, o.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	u, err := client.ReadUsage(ctx, cl, p)
	if err != nil {
		return err
	}
	return a.Done(u, func(w io.Writer) {
		var lines []costs.Line
		for _, l := range append(u.Lines, u.Total) {
			lines = append(lines, costs.Line{
				Of: l.Of, Runs: l.Runs, Calls: l.Calls, Failed: l.Failed, In: l.In, Out: l.Out, Cost: l.Cost, Doubtful: l.Doubtful,
			})
		}
		printTable(w, u.By, lines)
	})
}
