package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/workshop"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
)

func policyCommand(a *app) *cobra.Command {
	return cli.Group("policy", "Check, test, explain, compare, reload and show policy sets",
		append(workshop.Commands(a.Shell, a.exportOnline), policyReload(a))...)
}

// reloadOptions are the flags of writ policy reload.
type reloadOptions struct {
	data, server string
	end          bool
}

func policyReload(a *app) *cobra.Command {
	var o reloadOptions
	c := &cobra.Command{
		Use: "reload", Short: "Have a running server read its policy sets again",
		Long: `Has the server on this machine read its configuration again, and of it the policy sets: the operator's and
those of dApps. They are loaded, proven and tested by their own tests aside; if anything is wrong with them the old
ones stay, and the reason is told. SIGHUP does the same to a server that no terminal has started, and its outcome is in
the log.

New sessions get the new sets. A session that is open keeps the set that its wallet signed until it ends, after a
restart too: a reload widens nothing. Nor does it tighten what is open; for a set that must hold at once,
--end-sessions ends the sessions of all others, and their wallets sign in again.

The order is signed by the operator's key, in the server's data folder.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.reload(c.Context(), a) },
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "data `folder` of the server (default: as in writ.yaml)")
	f.StringVar(&o.server, "server", "", "`URL` of the server on this machine")
	f.BoolVar(&o.end, "end-sessions", false, "end the sessions that are open under other sets")
	return c
}

func (o *reloadOptions) reload(ctx context.Context, a *app) error {
	of, err := a.FindOperator(o.data, o.server)
	if err != nil {
		return err
	}
	out, err := node.OrderReload(ctx, of.Client, of.URL, of.Key, o.end)
	if err != nil {
		return err
	}
	return a.Done(out, func(w io.Writer) { writeReloaded(w, out) })
}

// writeReloaded says what a reload has changed.
func writeReloaded(w io.Writer, out node.Reloaded) {
	what := "reloaded"
	if !out.Changed {
		what = "reloaded; nothing has changed"
	}
	fmt.Fprintf(w, "%s\noperator  %s\n", what, out.Operator)
	for _, origin := range slices.Sorted(maps.Keys(out.Dapps)) {
		fmt.Fprintf(w, "dapp      %s  %s\n", out.Dapps[origin], cli.Plain(origin))
	}
	if len(out.Restart) > 0 {
		fmt.Fprintf(w, "changed too, and taken only when the server starts again: %s\n", strings.Join(out.Restart, ", "))
	}
	if out.Ended > 0 {
		fmt.Fprintf(w, "%s of earlier sets ended\n", cli.Count(out.Ended, "session"))
	}
	if out.Earlier > 0 {
		fmt.Fprintf(w, "%s under earlier sets; --end-sessions ends them\n", countEarlier(out.Earlier))
	}
}

func countEarlier(n int) string {
	if n == 1 {
		return "1 session goes on"
	}
	return fmt.Sprintf("%d sessions go on", n)
}

// dappFlags reads ORIGIN=FILE, or ORIGIN alone: a page that has the operator's rules a second time, which narrow
// nothing.
func dappFlags(list []string, operator string) (out []config.Dapp, err error) {
	for _, s := range list {
		origin, file, named := strings.Cut(s, "=")
		if !strings.Contains(origin, "://") || named && file == "" {
			return nil, cli.Usage("--dapp %s: write ORIGIN or ORIGIN=FILE, for instance http://localhost:5173 or "+
				"https://shop.example=shop.yaml", cli.Plain(s))
		}
		if !named {
			file = operator
		}
		out = append(out, config.Dapp{Origin: origin, Policies: file})
	}
	return out, nil
}
