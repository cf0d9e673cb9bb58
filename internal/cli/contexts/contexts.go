// Package contexts is the command that keeps several servers beside each other.
package contexts

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
)

// A context is one as it is listed.
type context struct {
	Name    string `json:"name"`
	Used    bool   `json:"used"`
	Server  string `json:"server,omitempty"`
	Account string `json:"account,omitempty"`
	Agent   string `json:"agent,omitempty"`
	Expires int64  `json:"expires,omitempty"` // ms UTC
}

// Command is writ context.
func Command(sh *cli.Shell) *cobra.Command {
	list := &cobra.Command{
		Use: "ls", Short: "List the contexts, and who is signed in where", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return listContexts(sh) },
	}
	use := &cobra.Command{
		Use: "use NAME|none", Short: "Use a context from now on, a new one too", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return useContext(sh, args[0]) },
	}
	remove := &cobra.Command{
		Use: "rm NAME", Short: "Forget a context; its session on the server goes on", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return removeContext(sh, args[0]) },
	}
	g := cli.Group("context", "Keep several servers beside each other, each with its own session", list, use, remove)
	g.Long = `A context is a name for one server and who is signed in there. WRIT_CONTEXT chooses one for a single command.

  writ context use work && writ login --server https://agents.example.com
  writ context use home && writ login --server http://127.0.0.1:8420
  WRIT_CONTEXT=work writ runs ls`
	return g
}

func listContexts(sh *cli.Shell) error {
	used, err := sh.Context()
	if err != nil {
		return err
	}
	names, err := sh.Contexts()
	if err != nil {
		return err
	}
	if used != "" && !slices.Contains(names, used) { // named by WRIT_CONTEXT, and nobody has signed in there
		names = append(names, used)
	}
	list := []context{}
	for _, name := range append([]string{""}, names...) {
		s, there, err := sh.SessionOf(name)
		if err != nil {
			return err
		}
		if name == "" && !there && len(names) > 0 && used != "" {
			continue
		}
		list = append(list, context{name, name == used, s.Server, s.Account, s.Agent, s.Expires})
	}
	return sh.Done(map[string]any{"contexts": list}, func(w io.Writer) {
		for _, c := range list {
			mark, name, says := " ", c.Name, "nobody is signed in"
			if c.Used {
				mark = "*"
			}
			if name == "" {
				name = "none"
			}
			if c.Server != "" {
				says = fmt.Sprintf("%s  %s  %s  until %s", c.Server, c.Account, c.Agent, cli.Clock(c.Expires))
			}
			fmt.Fprintf(w, "%s %-12s  %s\n", mark, name, says)
		}
	})
}

func useContext(sh *cli.Shell, name string) error {
	if name == "none" {
		name = ""
	}
	if err := sh.UseContext(name); err != nil {
		return err
	}
	s, there, err := sh.SessionOf(name)
	if err != nil {
		return err
	}
	return sh.Done(map[string]any{"context": name, "server": s.Server}, func(w io.Writer) {
		switch {
		case there:
			fmt.Fprintf(w, "%s at %s\n", s.Account, s.Server)
		case name != "":
			fmt.Fprintf(w, "%s is new; sign in: writ login --server URL\n", name)
		default:
			fmt.Fprintln(w, "no context is in use")
		}
	})
}

func removeContext(sh *cli.Shell, name string) error {
	names, err := sh.Contexts()
	if err != nil {
		return err
	}
	if !slices.Contains(names, name) {
		return cli.Usage("there is no context %q; see: writ context ls", name)
	}
	if err := sh.RemoveContext(name); err != nil {
		return err
	}
	return sh.Done(map[string]any{"context": name}, func(w io.Writer) { fmt.Fprintf(w, "%s is forgotten\n", name) })
}
