package main

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/disclosing"
	"github.com/writ-run/writ/internal/cli/runs"
	"github.com/writ-run/writ/internal/client"
)

// findRun returns the run of the wallet at a server that a text names: by its CID, or as lines show it.
func findRun(ctx context.Context, a *app, server, named string) (cid.Cid, error) {
	if run, err := cid.Decode(named); err == nil {
		return run, nil
	}
	cl, _, err := a.connectSaved(ctx, server)
	if err != nil {
		return cid.Undef, err
	}
	defer cl.Close()
	whole, err := runs.Find(ctx, cl, named)
	if err != nil {
		return cid.Undef, err
	}
	return cid.Decode(whole)
}

func discloseOnline(a *app) disclosing.Online {
	return disclosing.Online{
		Find: func(ctx context.Context, server, named string) (cid.Cid, error) {
			return findRun(ctx, a, server, named)
		},
		Export: a.exportOnline,
	}
}

// findSession returns the session of the wallet that a text names, by its CID, or as lines show it.
func findSession(ctx context.Context, cl *client.Client, text string) (string, error) {
	if _, err := cid.Decode(text); err == nil {
		return text, nil
	}
	if _, err := cli.EndOfCID(text); err != nil {
		return "", cli.Usage("%q is not a session; writ sessions ls lists them", text)
	}
	all, err := cl.Sessions(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, s := range all {
		if cli.IsShortOf(text, s.ID) {
			found = append(found, s.ID)
		}
	}
	return cli.OnlyOne(text, "session", found)
}
