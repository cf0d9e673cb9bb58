package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/client"
)

// describeRun is a run in one line: which, how it stands, what was asked.
func describeRun(r wire.Run) string {
	asked := cli.Clip(cli.Plain(r.Asked), 60)
	if r.Erased {
		asked = "(erased)"
	}
	outcome := r.Outcome
	if outcome == "" {
		outcome = r.Status
	}
	line := fmt.Sprintf("%s  %-10s %3d steps  %s  %s  %s", r.ID, outcome, r.Steps, r.Agent, cli.Clock(r.Opened), asked)
	return strings.TrimRight(line, " ")
}

// findRun returns the run of the wallet that a text names: by its CID, or as lines show it, by how it begins and ends
// or ends.
func findRun(ctx context.Context, cl *client.Client, text string) (string, error) {
	if _, err := cid.Decode(text); err == nil {
		return text, nil
	}
	end, err := cli.EndOfCID(text)
	if err != nil {
		return "", cli.Usage("%q is not a CID; writ runs ls shows those of your runs", text)
	}
	var found []string
	for p := (wire.ListParams{Limit: 1000, Find: end}); ; {
		list, err := cl.FindRuns(ctx, p)
		if err != nil {
			return "", err
		}
		for _, r := range list.Runs {
			if cli.IsShortOf(text, r.ID) {
				found = append(found, r.ID)
			}
		}
		if p.Before = list.Next; p.Before == "" || len(found) > 1 {
			return cli.OnlyOne(text, "run", found)
		}
	}
}

// isWholeCID refuses what is no CID. Whose keys are given away or deleted is named whole.
func isWholeCID(s string) error {
	if _, err := cid.Decode(s); err != nil {
		return cli.Usage("%q is not a CID; writ runs ls shows those of your runs", s)
	}
	return nil
}

// findSession returns the session of the wallet that a text names, in the same way.
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
