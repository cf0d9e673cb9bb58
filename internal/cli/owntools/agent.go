package owntools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools/a2a"
	"github.com/writ-run/writ/tools/mcp"
)

// An agent elsewhere is one tool, and what is accepted of it is its card.

// findAgent returns what the configuration says of an agent elsewhere, if the name is one's.
func (t *toolsFile) findAgent(name string) (a config.A2A, is bool, err error) {
	c, err := node.ReadSettings(t.file, nil)
	if err != nil {
		return a, false, err
	}
	for _, s := range c.Tools {
		if s.A2A.Name == name {
			return s.A2A, true, nil
		}
	}
	return a, false, nil
}

// compareNamed compares what a source of that name says now with what was accepted.
func (t *toolsFile) compareNamed(ctx context.Context, name string) ([]mcp.Change, error) {
	a, is, err := t.findAgent(name)
	if err != nil {
		return nil, err
	}
	if is {
		change, _, err := compareAgent(ctx, a)
		return []mcp.Change{change}, err
	}
	m, err := t.find(name)
	if err != nil {
		return nil, err
	}
	return t.compare(ctx, m)
}

// compareAgent asks for an agent's card and compares it with the one that was accepted.
func compareAgent(ctx context.Context, a config.A2A) (change mcp.Change, now a2a.Card, err error) {
	was, err := a2a.ReadAccepted(a.Accepted, a.Name)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return change, now, cli.Usage("%s", err)
	}
	client, err := node.AgentClient(a)
	if err != nil {
		return change, now, err
	}
	now, err = client.Fetch(ctx)
	if err = errors.Join(err, client.Close()); err != nil {
		return change, now, cli.Failf(cli.ExitNetwork, "tools_server", "%s", strings.TrimSuffix(err.Error(), "."))
	}
	change = mcp.Change{Tool: a.Name, Kind: "same", CID: now.CID.String()}
	switch {
	case isNew:
		change.Kind, change.Fresh = "new", mcp.Definition{JSON: now.JSON}
	case was.CID != now.CID:
		change.Kind, change.Was, change.Lines = "changed", was.CID.String(), mcp.DiffLines(was.JSON, now.JSON)
	}
	if _, err := a2a.New(client, now, a2a.Use{}); err != nil {
		change.Kind, change.Why = "unusable", err.Error()
	}
	return change, now, nil
}

// acceptAgent writes down an agent's card as it is now, once that is accepted. Then it does what comes after.
func (t *toolsFile) acceptAgent(ctx context.Context, a config.A2A, yes bool, after func() error) error {
	change, card, err := compareAgent(ctx, a)
	if err != nil {
		return err
	}
	changes := []mcp.Change{change}
	if change.Kind == "unusable" {
		return cli.Usage("the agent %s cannot be asked: %s", a.Name, wording.Reveal(change.Why))
	}
	if err := t.confirm(ctx, a.Name, changes, yes); err != nil {
		return err
	}
	if err := a2a.WriteAccepted(a.Accepted, a.Name, card); err != nil {
		return err
	}
	if after != nil {
		if err := after(); err != nil {
			return err
		}
	}
	done := map[string]any{"server": a.Name, "accepted": 1, "file": a.Accepted, "tools": changes, "key": a.Key}
	return t.Done(done, func(w io.Writer) {
		if yes {
			writeChanges(w, changes)
		}
		fmt.Fprintf(w, "%s: its card is accepted, in %s\n", a.Name, a.Accepted)
		if a.Key != "" {
			fmt.Fprintf(w, "the card is signed by %s; compare that with what you know of its operator from elsewhere\n", a.Key)
		} else {
			fmt.Fprintln(w, "nobody's signature of the card is checked; set key if you know who signs it")
		}
	})
}

// addAgent adds an agent elsewhere to the configuration. If no key is named, the one that the card itself names counts
// from now on, and whoever accepts it is shown it.
func (t *toolsFile) addAgent(ctx context.Context, name string, o addOptions) error {
	a := config.A2A{
		Name: name, Card: o.card, Token: config.Secret(o.token), Key: strings.ToLower(o.key), Class: o.class,
		Private: o.private, Hosts: o.hosts, Accepted: name + ".card.json",
	}
	here := a
	here.Accepted = filepath.Join(filepath.Dir(t.path()), a.Accepted)
	add := func(before []byte) ([]byte, error) { return config.AddAgent(before, a) }
	if _, err := t.addTo(add); err != nil { // before anybody is asked
		return err
	}
	if err := refuseThere(here.Accepted); err != nil {
		return err
	}
	if a.Key == "" {
		client, err := node.AgentClient(here)
		if err != nil {
			return err
		}
		if card, err := client.Fetch(ctx); err == nil { // if not, it is asked for again, and why is said
			a.Key = client.Signer(ctx, card)
		}
		if err := client.Close(); err != nil {
			return err
		}
		here.Key = a.Key
	}
	after, err := t.addTo(add)
	if err != nil {
		return err
	}
	return t.acceptAgent(ctx, here, o.yes, func() error { return replaceFile(t.path(), after) })
}

// listAgent lists an agent elsewhere if its card was accepted. Nobody is asked.
func listAgent(a config.A2A) ([]acceptedTool, error) {
	card, err := a2a.ReadAccepted(a.Accepted, a.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, cli.Usage("%s", err)
	}
	return []acceptedTool{{
		a.Name, card.Name, a.Name, cmp.Or(a.Class, "once"), a.Known().Asks(), card.CID.String(),
	}}, nil
}
