package main

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/agentfile"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
)

func agentsCommand(a *app) *cobra.Command {
	return cli.Group("agents", "List, show, check and begin agents",
		listAgents(a), showAgent(a), checkAgents(a), printAgentSchema(a), beginAgent(a))
}

func listAgents(a *app) *cobra.Command {
	var server string
	c := &cobra.Command{
		Use: "ls", Short: "List the agents of the server", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			server, err := a.FindServer(server)
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
			return a.Done(wire.Agents{Agents: all}, func(w io.Writer) {
				for _, x := range all {
					fmt.Fprintf(w, "%-12s %s\n             %s\n             %s\n", x.Name, cli.Plain(x.About), x.CID,
						strings.Join(x.Tools, " "))
				}
			})
		},
	}
	c.Flags().StringVar(&server, "server", "", "`URL` of the server")
	return c
}

func showAgent(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show FILE|NAME", Short: "Check an agent file, or one that comes with writ, and show it",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			d, err := node.Agent(args[0], config.DevChain)
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
				v.Routes = append(v.Routes, route{r.ID, cmp.Or(r.When, "true"), r.Use})
			}
			for _, x := range d.Delegates {
				v.Delegates = append(v.Delegates, x.Agent)
			}
			return a.Done(v, func(w io.Writer) { writeAgent(w, d) })
		},
	}
}

// writeAgent shows what an agent file says.
func writeAgent(w io.Writer, d agentfile.Definition) {
	fmt.Fprintf(w, "%s: %s\ntools: %s\n", d.Name, d.About, strings.Join(d.Tools, " "))
	for _, x := range d.Delegates {
		limits := "its own limits"
		if x.Grant.MaxCalls > 0 {
			limits = fmt.Sprintf("at most %d tool calls", x.Grant.MaxCalls)
		}
		fmt.Fprintf(w, "calls the agent %s: %s\n", x.Agent, limits)
	}
	for _, r := range d.Routes {
		fmt.Fprintf(w, "route %s: %s if %s\n", r.ID, r.Use, cmp.Or(r.When, "true"))
	}
	fmt.Fprintf(w, "\n%s", d.Instructions)
}

func checkAgents(a *app) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use: "check FILE...", Short: "Check agent files", Args: cobra.MinimumNArgs(1),
		Long: `Says what writ serve would say of the files: whether they can be read, whether the tools are there,
whether the conditions of the routes can be asked. With settings (--config, or a writ.yaml that is there) tools, agents
and models are theirs. Without, they are those that every server can have.`,
		RunE: func(c *cobra.Command, args []string) error {
			note, err := cli.CheckAgents(c.Context(), file, args)
			if err != nil {
				return err
			}
			if note != "" {
				a.Note("%s", note)
			}
			return a.Done(map[string]any{"files": args}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: in order\n", strings.Join(args, ", "))
			})
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration `file` (default writ.yaml, if it is there)")
	return c
}

func printAgentSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of agent files, for editors", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.Done(json.RawMessage(agentfile.JSONSchema), func(w io.Writer) { w.Write(agentfile.JSONSchema) })
		},
	}
}

func beginAgent(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "init NAME", Short: "Write an agent file to begin with, NAME.yaml", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			source := []byte(strings.Replace(agentStarter, "NAME", args[0], 1))
			if _, err := agentfile.Parse(source, config.DevChain); err != nil {
				return cli.Usage("%v", err)
			}
			file := args[0] + ".yaml"
			if err := writeNew(file, source, 0o644); err != nil {
				return err
			}
			return a.Done(map[string]any{"file": file}, func(w io.Writer) {
				fmt.Fprintf(w, "%s written; next: edit it, writ agents check %s, and list it under agents in writ.yaml\n", file,
					file)
			})
		},
	}
}

// agentStarter is an agent file to begin with.
const agentStarter = `# An agent. docs/agents.md says what each key means; "writ agents check FILE" looks at it.
schema: writ/agent/1
name: NAME
about: Says what it does, in one sentence for its user.
instructions: |
  You answer questions about accounts and tokens. Use a tool for every figure, and say where it is from.
tools: [chain.balance, erc20.balance, erc20.info]
routes: # the first whose model is there
  - {id: model, when: 'true', use: model}
  - {id: rules, when: 'true', use: rules}
limits: {turns: 8, calls: 16, tokens: 100000, usd: "0.50", wall: 1h}
grant: # what a wallet is asked for; without chains it is the server's chain
  max_calls: 40
  max_tokens: 200000
  max_usd: "1.00"
  # To let it spend: tools erc20.transfer, and
  # assets: {USDC: 6}
  # max_total: {USDC: "25"}
  # max_per_call: {USDC: "10"}
  # approve_above: {USDC: "1"}
`

// writeNew writes a file that must not be there yet.
func writeNew(name string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return cli.Usage("%s is there already; it was left as it is", name)
	} else if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// walletCommand makes keys of wallets.
func walletCommand(a *app) *cobra.Command {
	create := &cobra.Command{
		Use: "new FILE", Short: "Make an account and write its private key to a file that only you can read",
		Long: `Make an account and write its private key to a file that only you can read. The file is what --key file:FILE and
chain.key: file:FILE name. Whoever has it has the account: keep a copy where it cannot be lost or seen.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			w, err := auth.NewWallet(rand.Reader)
			if err != nil {
				return err
			}
			if err := writeNew(args[0], []byte(w.Secret()+"\n"), 0o600); err != nil {
				return err
			}
			return a.Done(map[string]any{"file": args[0], "address": w.Address().Hex()}, func(out io.Writer) {
				fmt.Fprintf(out, "%s: its key is in %s\n", w.Address().Hex(), args[0])
			})
		},
	}
	return cli.Group("wallet", "Make accounts", create)
}
