package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
)

// RoutesNote names the agents of files whose own routes are not asked, since the settings have a set for all agents; ""
// if there is none.
func RoutesNote(c *config.Config) string {
	var files []string
	for _, name := range c.Agents {
		if !slices.Contains(agentfile.ShippedNames(), name) {
			files = append(files, Plain(name))
		}
	}
	if c.Routes == "" || len(files) == 0 {
		return ""
	}
	return fmt.Sprintf("the routes of %s are not asked, since routes: %s in the settings holds for all agents; take it "+
		"out if their own are to hold", strings.Join(files, ", "), Plain(c.Routes))
}

// CheckAgents says what keeps a server with settings from having the agents of some files, in the words of writ serve.
// An agent of the settings that has the name of one of them is left out. Without settings it is a server that has every
// tool which needs none. note is the [RoutesNote] of the files.
func CheckAgents(ctx context.Context, file string, names []string) (note string, err error) {
	cfg, err := ReadSettings(ctx, file, nil)
	if err != nil {
		return "", err
	}
	_, err = os.Stat(config.DefaultFile)
	alone := file == "" && errors.Is(err, fs.ErrNotExist)
	looked, err := node.Agents(names, cfg.Chain.Number())
	if err != nil {
		return "", err
	}
	all := slices.Clone(names)
	for _, name := range cfg.Agents {
		d, err := node.Agent(name, cfg.Chain.Number())
		if err != nil {
			return "", err
		}
		if !slices.ContainsFunc(looked, func(x agentfile.Definition) bool { return x.Name == d.Name }) {
			all = append(all, name)
		}
	}
	cfg.Agents = all
	if len(cfg.Chain.RPC) == 0 {
		cfg.Chain.RPC = []string{"http://127.0.0.1:1"} // which nobody asks
	}
	c, err := Prepare(ctx, cfg, node.Given{Log: slog.New(slog.DiscardHandler)})
	if err == nil && alone {
		err = node.AddStandIns(&c)
	}
	if err != nil {
		return "", err
	}
	cfg.Agents = names
	return RoutesNote(cfg), node.Rehearse(ctx, c)
}
