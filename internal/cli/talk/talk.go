// Package talk has the command that lists, shows, renames and forgets threads.
package talk

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/client"
)

// A Connector opens the saved session at a server, or at the one that was signed in to last if server is empty.
type Connector func(ctx context.Context, server string) (*client.Client, cli.SavedSession, error)

// A threads is one run of writ threads.
type threads struct {
	*cli.Shell
	connect Connector
	server  string
	agent   string
}

// Command returns writ threads.
func Command(s *cli.Shell, connect Connector) *cobra.Command {
	t := &threads{Shell: s, connect: connect}
	g := cli.Group("threads", "List, show, rename and forget threads", t.list(), t.show(), t.rename(), t.remove())
	f := g.PersistentFlags()
	f.StringVar(&t.server, "server", "", "`URL` of the server")
	f.StringVar(&t.agent, "agent", "", "which agent (default: the session's)")
	return g
}

// withClient calls do with an open session.
func (t *threads) withClient(ctx context.Context, do func(*client.Client) error) error {
	cl, s, err := t.connect(ctx, t.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	if t.agent == "" {
		t.agent = s.Agent
	}
	return do(cl)
}

func (t *threads) list() *cobra.Command {
	p := wire.ThreadsParams{}
	c := &cobra.Command{
		Use: "ls", Short: "List threads, those with the newest runs first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return t.withClient(c.Context(), func(cl *client.Client) error {
				p.Agent = t.agent
				all, err := cl.Threads().List(c.Context(), p)
				if err != nil {
					return err
				}
				return t.Done(all, func(w io.Writer) { printThreads(w, all) })
			})
		},
	}
	c.Flags().Uint64Var(&p.Limit, "limit", 20, "how many at most")
	c.Flags().StringVar(&p.Cursor, "cursor", "", "go on after this `run`, which the page before has named")
	return c
}

func printThreads(w io.Writer, all wire.Threads) {
	if len(all.Threads) == 0 {
		fmt.Fprintln(w, `no threads; begin one with: writ run --thread NAME "what is bob's USDC balance?"`)
	}
	for _, x := range all.Threads {
		fmt.Fprintf(w, "%-20s %3d runs  %-10s %s  %s\n", x.Name, x.Runs, x.Status, cli.Clock(x.Opened), cli.Plain(x.Asked))
	}
	if all.Next != "" {
		fmt.Fprintf(w, "more: writ threads ls --cursor %s\n", all.Next)
	}
}

func (t *threads) show() *cobra.Command {
	p := wire.ThreadParams{}
	c := &cobra.Command{
		Use: "show THREAD", Short: "Show what was asked and said, newest first", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withClient(c.Context(), func(cl *client.Client) error {
				p.Agent, p.Name = t.agent, args[0]
				turns, err := cl.Threads().Read(c.Context(), p)
				if err != nil {
					return err
				}
				return t.Done(turns, func(w io.Writer) { printTurns(w, turns) })
			})
		},
	}
	c.Flags().Uint64Var(&p.Limit, "limit", 20, "how many at most")
	c.Flags().StringVar(&p.Cursor, "cursor", "", "go on with this `run`, which the page before has named")
	return c
}

func printTurns(w io.Writer, all wire.Turns) {
	fmt.Fprintf(w, "%s with %s: %d runs\n", all.Thread.Name, all.Thread.Agent, all.Thread.Runs)
	for _, x := range all.Turns {
		fmt.Fprintf(w, "\n%s  %s  %s\n", x.Run, x.Status, cli.Clock(x.Opened))
		fmt.Fprintf(w, "  asked  %s\n", orErased(x.Asked))
		if x.Said != "" {
			fmt.Fprintf(w, "  said   %s\n", cli.Plain(x.Said))
		}
	}
	if all.Next != "" {
		fmt.Fprintf(w, "\nearlier: writ threads show %s --cursor %s\n", all.Thread.Name, all.Next)
	}
}

func orErased(text string) string {
	if text == "" {
		return "(erased)"
	}
	return cli.Plain(text)
}

func (t *threads) rename() *cobra.Command {
	return &cobra.Command{
		Use: "rename THREAD NEW", Short: "Give a thread another name", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withClient(c.Context(), func(cl *client.Client) error {
				p := wire.RenameParams{Agent: t.agent, Name: args[0], To: args[1]}
				if err := cl.Threads().Rename(c.Context(), p); err != nil {
					return err
				}
				return t.Done(map[string]any{"thread": args[1]}, func(w io.Writer) {
					fmt.Fprintf(w, "%s is now called %s\n", args[0], args[1])
				})
			})
		},
	}
}

func (t *threads) remove() *cobra.Command {
	return &cobra.Command{
		Use: "rm THREAD", Short: "Forget a thread; its runs and their records stay",
		Long: `Forgets that runs follow on each other: the name is free again, and a new run of it is told nothing. The runs stay
with their records, which name the runs before them; writ erase erases what they hold.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return t.withClient(c.Context(), func(cl *client.Client) error {
				if err := cl.Threads().Forget(c.Context(), wire.ForgetParams{Agent: t.agent, Name: args[0]}); err != nil {
					return err
				}
				return t.Done(map[string]any{"thread": args[0]}, func(w io.Writer) {
					fmt.Fprintf(w, "%s is forgotten; its runs stay: writ runs ls\n", args[0])
				})
			})
		},
	}
}
