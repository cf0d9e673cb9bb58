// Package runs has the commands that list, show and cancel runs, and finds the run that a text names.
package runs

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/cli/settling"
	"github.com/writ-run/writ/internal/cli/teller"
	"github.com/writ-run/writ/internal/client"
)

// A Connector opens the saved session at a server, or at the one that was signed in to last if server is empty.
type Connector func(ctx context.Context, server string) (*client.Client, cli.SavedSession, error)

// A runs is one run of writ runs.
type runs struct {
	*cli.Shell
	connect Connector
	server  string
}

// Command returns writ runs, with further commands of the group.
func Command(s *cli.Shell, connect Connector, more ...*cobra.Command) *cobra.Command {
	r := &runs{Shell: s, connect: connect}
	g := cli.Group("runs", "List, show and cancel runs, and say what came of a call in doubt",
		append([]*cobra.Command{r.list(), r.show(), r.cancel()}, more...)...)
	g.PersistentFlags().StringVar(&r.server, "server", "", "`URL` of the server")
	return g
}

func (r *runs) list() *cobra.Command {
	p := wire.ListParams{}
	var data string
	var asked bool
	c := &cobra.Command{
		Use: "ls", Short: "List the wallet's runs and what was asked, newest first",
		Long: `Lists the runs of the wallet that is signed in, newest first, with what was asked. With --data it lists those of all
wallets in a server's data folder, for its operator: whose they are and how they stand, and with --asked what was asked.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if data != "" {
				return r.listOfAll(c.Context(), data, int(p.Limit), asked)
			}
			if asked {
				return cli.Usage("--asked goes with --data; what was asked is shown of one's own runs anyway")
			}
			cl, _, err := r.connect(c.Context(), r.server)
			if err != nil {
				return err
			}
			defer cl.Close()
			all, err := cl.FindRuns(c.Context(), p)
			if err != nil {
				return err
			}
			return r.Done(all, func(w io.Writer) { printRuns(w, all, p) })
		},
	}
	f := c.Flags()
	f.Uint64Var(&p.Limit, "limit", 20, "how many at most")
	f.StringVar(&p.Find, "find", "", "only runs with this `text` in what was asked, or in their CID")
	f.StringVar(&p.Before, "before", "", "go on after this `run`, which the page before has named")
	f.StringVar(&data, "data", "", "list the runs of all wallets in this data `folder`, as its operator")
	f.BoolVar(&asked, "asked", false, "with --data: also what was asked, which is the wallets' own")
	return c
}

func printRuns(w io.Writer, all wire.Runs, p wire.ListParams) {
	if len(all.Runs) == 0 && p.Find == "" && p.Before == "" {
		fmt.Fprintln(w, `no runs yet; begin with: writ run "what is alice's USDC balance?"`)
	}
	for _, x := range all.Runs {
		fmt.Fprintln(w, Describe(x))
	}
	if all.Next != "" {
		fmt.Fprintf(w, "more: writ runs ls --before %s\n", all.Next)
	}
}

// listOfAll lists the runs of all wallets in a data folder.
func (r *runs) listOfAll(ctx context.Context, data string, limit int, asked bool) error {
	all, err := evidence.ListRuns(ctx, data, min(max(limit, 1), 10_000), asked)
	if err != nil {
		return err
	}
	return r.Done(map[string]any{"runs": all}, func(w io.Writer) {
		if len(all) == 0 {
			fmt.Fprintln(w, "no runs yet")
		}
		for _, x := range all {
			line := fmt.Sprintf("%s  %-10s %3d steps  %s  %s  %s  %s", x.ID, x.Outcome, x.Steps, x.Agent, cli.Clock(x.Opened),
				x.Owner, x.Rule)
			if asked {
				line = strings.TrimSpace(line) + "  " + askedText(x.Asked, x.Erased)
			}
			fmt.Fprintln(w, strings.TrimSpace(line))
		}
	})
}

func (r *runs) show() *cobra.Command {
	return &cobra.Command{
		Use: "show RUN", Short: "Show a run's steps", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return r.showRun(c.Context(), args[0]) },
	}
}

func (r *runs) showRun(ctx context.Context, run string) error {
	if err := IsNamed(run); err != nil {
		return err
	}
	cl, _, err := r.connect(ctx, r.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	if run, err = Find(ctx, cl, run); err != nil {
		return err
	}
	info, err := cl.Run(ctx, run)
	if err != nil {
		return err
	}
	var events []*wire.RunEvent
	for u, err := range cl.Events(ctx, run, nil) {
		if err != nil {
			return err
		}
		if u.Event != nil {
			events = append(events, u.Event)
		}
		if uint64(len(events)) >= info.Steps {
			break
		}
	}
	v := struct {
		wire.Run
		Events []*wire.RunEvent `json:"events"`
	}{info, events}
	return r.Done(v, func(w io.Writer) {
		fmt.Fprintf(w, "run %s: %s\n", info.ID, info.Status)
		if info.Forked != "" {
			fmt.Fprintf(w, "forked from step %s of another run\n", info.Forked)
		}
		t := &teller.Teller{Paint: cli.Paint(r.Color(r.Out)), Say: func(line string) { fmt.Fprintln(w, line) }, All: true}
		for _, ev := range events {
			t.Tell(ev)
		}
		for _, x := range info.Asserted {
			fmt.Fprintln(w, cli.Plain(describeAsserted(x)))
		}
	})
}

// describeAsserted says what the operator says of a call in doubt.
func describeAsserted(x wire.Asserted) string {
	says := fmt.Sprintf("settled   %s says that the call of step %d was %s", x.By, x.Effect.Seq, settling.SaidAs(x.As))
	var why []string
	if x.Reason != "" {
		why = append(why, x.Reason)
	}
	if x.Tx != "" {
		why = append(why, "transaction "+x.Tx)
	}
	if len(why) > 0 {
		says += " (" + strings.Join(why, "; ") + ")"
	}
	return says
}

func (r *runs) cancel() *cobra.Command {
	return &cobra.Command{
		Use: "cancel RUN", Short: "End a run; what it did stays done and recorded", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := IsNamed(args[0]); err != nil {
				return err
			}
			cl, _, err := r.connect(c.Context(), r.server)
			if err != nil {
				return err
			}
			defer cl.Close()
			run, err := Find(c.Context(), cl, args[0])
			if err != nil {
				return err
			}
			if err := cl.Cancel(c.Context(), run); err != nil {
				return err
			}
			return r.Done(map[string]any{"run": run}, func(w io.Writer) { fmt.Fprintln(w, "cancelled") })
		},
	}
}

// IsNamed says whether a text may name a run, before a server is asked.
func IsNamed(s string) error {
	if _, err := cid.Decode(s); err == nil {
		return nil
	}
	if _, err := cli.EndOfCID(s); err != nil {
		return cli.Usage("%q is not a CID; writ runs ls shows those of your runs", s)
	}
	return nil
}

// askedText is what was asked as a line has room for it.
func askedText(asked string, erased bool) string {
	if erased {
		return "(erased)"
	}
	return cli.Clip(cli.Plain(asked), 60)
}

// Describe is a run in one line: which, how it stands, what was asked.
func Describe(r wire.Run) string {
	asked := askedText(r.Asked, r.Erased)
	outcome := r.Outcome
	if outcome == "" {
		outcome = r.Status
	}
	line := fmt.Sprintf("%s  %-10s %3d steps  %s  %s  %s", r.ID, outcome, r.Steps, r.Agent, cli.Clock(r.Opened), asked)
	return strings.TrimRight(line, " ")
}

// Find returns the run of the wallet that a text names: by its CID, or as lines show it, by how it begins and ends
// or ends.
func Find(ctx context.Context, cl *client.Client, text string) (string, error) {
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
