package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/client"
)

// shippedAgents are those that every server runs; the researcher needs documents and hosts, which a configuration names.
var shippedAgents = []string{"treasurer", "reader"}

func (a *app) agentsCommand() *cobra.Command {
	var server string
	list := &cobra.Command{
		Use: "ls", Short: "List the agents of the server", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			server, err := a.server(server)
			if err != nil {
				return err
			}
			cl, err := client.Dial(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			all, err := cl.Agents(c.Context())
			if err != nil {
				return err
			}
			return a.done(wire.Agents{Agents: all}, func(w io.Writer) {
				for _, x := range all {
					fmt.Fprintf(w, "%-12s %s\n             %s\n             %s\n", x.Name, plain(x.About), x.CID, strings.Join(x.Tools, " "))
				}
			})
		},
	}
	list.Flags().StringVar(&server, "server", "", "`URL` of the server")
	show := &cobra.Command{
		Use: "show FILE|NAME", Short: "Check an agent file, or one that comes with writ, and show it", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := definition(args[0])
			if err != nil {
				return err
			}
			type route struct {
				ID   string `json:"id"`
				When string `json:"when"`
				Use  string `json:"use"`
			}
			v := struct {
				Name         string   `json:"name"`
				About        string   `json:"about"`
				Instructions string   `json:"instructions"`
				Tools        []string `json:"tools"`
				Routes       []route  `json:"routes"`
				Delegates    []string `json:"delegates,omitempty"` // the agents that it may call
			}{Name: d.Name, About: d.About, Instructions: d.Instructions, Tools: d.Tools}
			for _, r := range d.Routes {
				v.Routes = append(v.Routes, route{r.ID, r.When, r.Use})
			}
			for _, x := range d.Delegates {
				v.Delegates = append(v.Delegates, x.Agent)
			}
			return a.done(v, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s\ntools: %s\n", d.Name, d.About, strings.Join(d.Tools, " "))
				for _, x := range d.Delegates {
					limits := "its own limits"
					if x.Grant.MaxCalls > 0 {
						limits = fmt.Sprintf("at most %d tool calls", x.Grant.MaxCalls)
					}
					fmt.Fprintf(w, "calls the agent %s: %s\n", x.Agent, limits)
				}
				for _, r := range d.Routes {
					fmt.Fprintf(w, "route %s: %s if %s\n", r.ID, r.Use, r.When)
				}
				fmt.Fprintf(w, "\n%s", d.Instructions)
			})
		},
	}
	return group("agents", "List and show agents", list, show)
}

// definition reads an agent: one that comes with writ by its name, else a file.
func definition(name string) (agent.Definition, error) {
	if d, err := agent.Shipped(name); err == nil {
		return d, nil
	}
	src, err := readSource(name)
	if errors.Is(err, fs.ErrNotExist) {
		return agent.Definition{}, usage("there is no agent %q: it is neither a file nor one that comes with writ (%s)", name, strings.Join(agent.ShippedNames(), ", "))
	} else if err != nil {
		return agent.Definition{}, err
	}
	d, err := agent.ParseDefinition(src)
	if err != nil {
		return d, usage("%s: %s", name, oneLine(err))
	}
	return d, nil
}
