package main

import (
	"context"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/client"
)

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
