// Package owntools are the commands about tools of the operator's own: what there is, and what is accepted of it.
package owntools

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/compute"
	"github.com/writ-run/writ/internal/cli/toolsignin"
	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools/mcp"
	"github.com/writ-run/writ/tools/openapi"
)

// Command returns writ tools.
func Command(s *cli.Shell) *cobra.Command {
	t := &toolsFile{Shell: s}
	g := cli.Group("tools", "Add tools of your own, and accept what their servers say of them",
		t.listCommand(), t.addCommand(), t.loginCommand(), t.diffCommand(), t.acceptCommand(), t.operationsCommand(),
		compute.Command(s))
	g.Long = `Tools of your own come from servers of the Model Context Protocol (MCP), or from an HTTP interface that an OpenAPI
document describes; writ.yaml names them under tools, and writ tools add writes an entry for a server. What a server
says of a tool is offered to no model until you have accepted it, word by word; if it says something else later,
the tool is not called until you have accepted that too. docs/tools.md has the whole story.`
	g.PersistentFlags().StringVar(&t.file, "config", "", "configuration `file` (default writ.yaml)")
	return g
}

// A toolsFile is the configuration whose servers of tools a command is about.
type toolsFile struct {
	*cli.Shell
	file string
}

func (t *toolsFile) path() string { return cmp.Or(t.file, config.DefaultFile) }

// find returns what the configuration says of a server.
func (t *toolsFile) find(name string) (config.MCP, error) {
	c, err := node.ReadSettings(t.file, nil)
	if err != nil {
		return config.MCP{}, err
	}
	var names []string
	for _, s := range c.Tools {
		if s.MCP.Name == name {
			return s.MCP, nil
		}
		if s.MCP.Name != "" {
			names = append(names, s.MCP.Name)
		}
	}
	if len(names) == 0 {
		return config.MCP{}, cli.Usage("there is no server of tools in %s; begin with: writ tools add %s -- COMMAND",
			t.path(), name)
	}
	return config.MCP{}, cli.Usage("there is no server %q in %s; there are %s", name, t.path(), strings.Join(names, ", "))
}

// compare asks a server for its tools and compares them with what was accepted. Nothing was if accepting is new.
func (t *toolsFile) compare(ctx context.Context, m config.MCP) ([]mcp.Change, error) {
	accepted, err := mcp.ReadAccepted(m.Accepted, m.Name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, cli.Usage("%s", err)
	}
	s, err := node.ToolSource(m, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	now, faults, err := s.List(ctx)
	if err = errors.Join(err, s.Close()); err != nil {
		return nil, cli.Failf(cli.ExitNetwork, "tools_server", "%s", strings.TrimSuffix(err.Error(), "."))
	}
	return mcp.Compare(m.Name, accepted, now, faults), nil
}

func (t *toolsFile) listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Short: "List the tools that were accepted", Args: cobra.NoArgs,
		Long: "Lists the tools that were accepted, and what the configuration says of each. No server is asked.",
		RunE: func(*cobra.Command, []string) error {
			c, err := node.ReadSettings(t.file, nil)
			if err != nil {
				return err
			}
			rows, err := listAccepted(c)
			if err != nil {
				return err
			}
			return t.Done(map[string]any{"tools": rows}, func(w io.Writer) {
				for _, r := range rows {
					asks := ""
					if r.Asks {
						asks = "asks the wallet"
					}
					fmt.Fprintf(w, "%-40s %-6s %-16s %s\n", r.Name, r.Class, asks, r.CID)
				}
				if len(rows) == 0 {
					fmt.Fprintf(w, "nothing was accepted yet; begin with: writ tools add NAME -- COMMAND\n")
				}
			})
		},
	}
}

// An acceptedTool is a tool of a source of the configuration, as --json shows it.
type acceptedTool struct {
	Server string `json:"server"`
	Tool   string `json:"tool"`
	Name   string `json:"name"`
	Class  string `json:"class"`
	Asks   bool   `json:"asks_wallet"`
	CID    string `json:"cid"`
}

// listAccepted lists the tools of every source. No server is asked.
func listAccepted(c *config.Config) ([]acceptedTool, error) {
	rows := []acceptedTool{}
	gathered, err := node.DescribeGathered(c)
	if err != nil {
		return nil, err
	}
	for _, x := range gathered {
		rows = append(rows, acceptedTool{"", "", x.Name, string(x.Class), x.AskWallet, x.Definition})
	}
	for _, s := range c.Tools {
		for _, u := range s.OpenAPI.Use {
			rows = append(rows, acceptedTool{s.Name(), u.Tool, cmp.Or(u.As, openapi.ToolName(s.Name(), u.Tool)),
				cmp.Or(u.Class, "once"), u.Asks(), ""})
		}
		if x := s.Contract; x.Name != "" {
			spec, err := node.DescribeContract(c, x)
			if err != nil {
				return nil, err
			}
			rows = append(rows, acceptedTool{"", x.Function, x.Name, string(spec.Class), spec.AskWallet, spec.Definition})
		}
		if s.Paid.Name != "" {
			list, err := node.DescribePaid(c, s.Paid)
			if err != nil {
				return nil, err
			}
			for _, x := range list {
				rows = append(rows, acceptedTool{s.Name(), "", x.Name, string(x.Class), x.AskWallet, x.Definition})
			}
		}
		if x := s.Wasm; x.Name != "" {
			spec, err := node.DescribeModule(x)
			if err != nil {
				return nil, err
			}
			rows = append(rows, acceptedTool{"", "", x.Name, string(spec.Class), spec.AskWallet, spec.Definition})
		}
		if x := s.A2A; x.Name != "" {
			row, err := listAgent(x)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row...)
		}
		if s.MCP.Name == "" {
			continue
		}
		accepted, err := mcp.ReadAccepted(s.MCP.Accepted, s.MCP.Name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, cli.Usage("%s", err)
		}
		for _, d := range accepted {
			var u config.ToolUse
			if i := slices.IndexFunc(s.MCP.Use, func(u config.ToolUse) bool { return u.Tool == d.Name }); i >= 0 {
				u = s.MCP.Use[i]
			}
			u.Class = cmp.Or(u.Class, string(d.Class()))
			rows = append(rows, acceptedTool{s.MCP.Name, d.Name, cmp.Or(u.As, mcp.ToolName(s.MCP.Name, d.Name)),
				cmp.Or(u.Class, "once"), u.Asks(), d.CID.String()})
		}
	}
	return rows, nil
}

func (t *toolsFile) diffCommand() *cobra.Command {
	return &cobra.Command{
		Use: "diff SERVER", Short: "Compare what a server says of its tools with what was accepted", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			changes, err := t.compareNamed(c.Context(), args[0])
			if err != nil {
				return err
			}
			return t.Done(map[string]any{"server": args[0], "tools": changes, "changed": isChanged(changes)}, func(w io.Writer) {
				writeChanges(w, changes)
				if isChanged(changes) {
					fmt.Fprintf(w, "\nread it; it becomes what agents are offered with: writ tools accept %s --yes\n", args[0])
				} else {
					fmt.Fprintln(w, "all is as it was accepted")
				}
			})
		},
	}
}

func (t *toolsFile) loginCommand() *cobra.Command {
	var o toolsignin.Options
	c := &cobra.Command{
		Use: "login SERVER", Short: "Sign in at a server of tools that wants somebody to", Args: cobra.ExactArgs(1),
		Long: `Opens a page in a browser. Who signs in there lets this program use the server's tools in his name (OAuth 2.1).
What is kept of that is in the file that the server's entry names under login; a running server takes it up by itself,
and makes its tokens anew as long as that is permitted.

The browser must be on this machine, since it is led back to it. On another one, say --paste: the page that cannot be
shown at the end has the address to paste here.`,
		RunE: func(c *cobra.Command, args []string) error {
			m, err := t.find(args[0])
			if err != nil {
				return err
			}
			switch {
			case m.URL == "":
				return cli.Usage("%s is a program; give it its secrets under env", m.Name)
			case m.Login == "":
				return cli.Usage("say where to keep the sign-in first: add  login: %s.login.json  to the entry of %s in %s",
					m.Name, m.Name, t.path())
			}
			if err := toolsignin.SignIn(c.Context(), t.Shell, m, o); err != nil {
				return err
			}
			return t.Done(map[string]any{"server": m.Name, "file": m.Login}, func(w io.Writer) {
				fmt.Fprintf(w, "%s: signed in; what is kept of it is in %s\n", m.Name, m.Login)
			})
		},
	}
	o.AddFlags(c.Flags())
	return c
}

func (t *toolsFile) operationsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "operations DOCUMENT", Short: "List the operations of an OpenAPI document, which can be tools",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			data, err := node.ReadDocument(args[0])
			if err != nil {
				return cli.Usage("%s", err)
			}
			doc, err := openapi.Read(data)
			if err != nil {
				return cli.Usage("%s: %s", args[0], err)
			}
			all := doc.Operations()
			return t.Done(map[string]any{"document": doc.CID(), "operations": all}, func(w io.Writer) {
				for _, o := range all {
					fmt.Fprintf(w, "%-24s %-6s %-32s %s\n", cli.Plain(o.ID), o.Method, cli.Plain(o.Path), cli.Plain(o.About))
				}
			})
		},
	}
}

func isChanged(changes []mcp.Change) bool {
	return slices.ContainsFunc(changes, func(c mcp.Change) bool {
		return c.Kind != "same" && (c.Kind != "unusable" || c.Was != "")
	})
}

// writeChanges shows changes with every word of what is new.
func writeChanges(w io.Writer, changes []mcp.Change) {
	for _, c := range changes {
		fmt.Fprintf(w, "%-9s %s  %s\n", c.Kind, wording.Reveal(c.Tool), cmp.Or(c.CID, c.Was))
		lines := c.Lines
		switch c.Kind {
		case "new":
			lines = mcp.Lines(c.Fresh.JSON)
		case "unusable":
			lines = []string{"it is left out: " + wording.Reveal(c.Why)}
		}
		for _, l := range lines { // in which package mcp has named what looks like something else
			fmt.Fprintf(w, "          %s\n", l)
		}
	}
}

func (t *toolsFile) acceptCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "accept SERVER [TOOL...]", Short: "Accept what a server says of its tools now",
		Long: `Shows how what a server says of its tools differs from what was accepted, and accepts it once you say so: all of
its tools, or those that are named. Descriptions are read by models. Accept what you would have written yourself.

The server takes up what is accepted at its next start. Agents that name a changed tool are then of another version, so
wallets sign in again: a grant is for the words that were accepted when it was signed.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if a, is, err := t.findAgent(args[0]); err != nil || is {
				if err != nil {
					return err
				}
				return t.acceptAgent(c.Context(), a, yes, nil)
			}
			m, err := t.find(args[0])
			if err != nil {
				return err
			}
			changes, err := t.compare(c.Context(), m)
			if err != nil {
				return err
			}
			for _, name := range args[1:] {
				if !slices.ContainsFunc(changes, func(c mcp.Change) bool { return c.Tool == name && c.Kind != "unusable" }) {
					return cli.Usage("the server %s has no tool %q that can be accepted", m.Name, name)
				}
			}
			return t.accept(c.Context(), m, changes, args[1:], yes, nil)
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "accept without being asked; look at writ tools diff first")
	return c
}

// confirm shows changes and asks whether they are accepted.
func (t *toolsFile) confirm(ctx context.Context, name string, changes []mcp.Change, yes bool) error {
	if yes {
		return nil
	}
	writeChanges(t.Err, changes)
	if t.JSON || !cli.IsTerminal(t.In) {
		return cli.Usage("nobody is there to ask; read what %s says, above, and then say --yes", name)
	}
	ok, err := t.Ask(ctx, "Accept this?")
	if err == nil && !ok {
		err = cli.Failf(cli.ExitDenied, "user_rejected", "nothing was accepted")
	}
	return err
}

// accept writes down what is accepted: the named tools of the changes, or all. Then it does what comes after.
func (t *toolsFile) accept(
	ctx context.Context, m config.MCP, changes []mcp.Change, names []string, yes bool, after func() error,
) error {
	var keep []mcp.Definition
	for _, c := range changes {
		named := len(names) == 0 || slices.Contains(names, c.Tool)
		switch {
		case c.Kind == "same", c.Kind != "gone" && c.Kind != "unusable" && named:
			keep = append(keep, c.Fresh)
		case c.Before.Name != "" && !named: // as it was
			keep = append(keep, c.Before)
		}
	}
	if err := t.confirm(ctx, m.Name, changes, yes); err != nil {
		return err
	}
	if err := mcp.WriteAccepted(m.Accepted, m.Name, keep); err != nil {
		return err
	}
	if after != nil {
		if err := after(); err != nil {
			return err
		}
	}
	done := map[string]any{"server": m.Name, "accepted": len(keep), "file": m.Accepted, "tools": changes}
	return t.Done(done, func(w io.Writer) {
		if yes {
			writeChanges(w, changes)
		}
		fmt.Fprintf(w, "%s: %d tools are accepted, in %s\n", m.Name, len(keep), m.Accepted)
	})
}

// addOptions are the flags of writ tools add.
type addOptions struct {
	url, token string
	card       string
	key        string
	class      string
	hosts      []string
	env        []string
	login      bool
	private    bool
	resources  bool
	prompts    bool
	yes        bool
}

func (t *toolsFile) addCommand() *cobra.Command {
	var o addOptions
	c := &cobra.Command{
		Use: "add NAME [-- COMMAND ARG...]", Short: "Add a server of tools to the configuration, and accept its tools",
		Long: `Starts a server, or connects to it, shows every word that it says of its tools, and once you accept them adds the
server to the configuration and writes what was accepted to NAME.tools.json beside it.

  writ tools add files -- npx -y @modelcontextprotocol/server-filesystem /srv/notes
  writ tools add crm --url https://crm.example/mcp --token file:/run/secrets/crm
  writ tools add tracker --url https://tracker.example/mcp --login

With --card it is an agent of another server (A2A 1.0), and what is accepted is its card:

  writ tools add desk.ask --card https://other.example/.well-known/agent-card.json --token env:DESK_KEY

Tools begin with no trust: an effect that may not be repeated, untrusted results, the wallet asked before each call. What
you know better stands under use in the configuration. An agent has a tool if its file names it.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if n := c.ArgsLenAtDash(); n > 1 || n < 0 && len(args) > 1 {
				return cli.Usage("write the program behind --: writ tools add NAME -- COMMAND ARG...")
			}
			if o.card != "" {
				if len(args) > 1 || o.url != "" || o.login || o.resources || o.prompts || len(o.env) > 0 {
					return cli.Usage("--card goes with --token, --key, --class, --host and --private, and with no program and no url")
				}
				return t.addAgent(c.Context(), args[0], o)
			}
			if o.key != "" || o.class != "" || len(o.hosts) > 0 {
				return cli.Usage("--key, --class and --host are for an agent; say its --card")
			}
			return t.add(c.Context(), args[0], args[1:], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.url, "url", "", "`URL` of a server on the network, instead of a command")
	f.StringVar(&o.token, "token", "", "bearer token for it, as file:PATH or env:NAME")
	f.StringArrayVar(&o.env, "env", nil,
		"`NAME=REF` for its environment, where REF is file:PATH or env:NAME; may be given again")
	f.BoolVar(&o.login, "login", false, "sign in at it by a browser first; what is kept of that is in NAME.login.json")
	f.BoolVar(&o.private, "private", false, "the URL is of a private network or this machine, and may be http")
	f.BoolVar(&o.resources, "resources", false, "what it has to be read is tools too: resources/read and resources/NAME")
	f.BoolVar(&o.prompts, "prompts", false, "its prompts are tools too: prompts/NAME")
	f.StringVar(&o.card, "card", "", "`URL` of the card of an agent elsewhere, which speaks A2A 1.0")
	f.StringVar(&o.key, "key", "", "the key that signs the card, in `HEX`; the one that the card names if empty")
	f.StringVar(&o.class, "class", "", "what repeating a message to the agent would do: read, keyed or once")
	f.StringArrayVar(&o.hosts, "host", nil,
		"`HOST` at which the agent may be, beside that of its card; may be given again")
	f.BoolVar(&o.yes, "yes", false, "accept without being asked")
	return c
}

func (t *toolsFile) add(ctx context.Context, name string, command []string, o addOptions) error {
	m := config.MCP{
		Name: name, Command: command, URL: o.url, Token: config.Secret(o.token), Private: o.private,
		Resources: o.resources, Prompts: o.prompts, Accepted: name + ".tools.json",
	}
	if o.login {
		m.Login = name + ".login.json"
	}
	for _, e := range o.env {
		key, ref, ok := strings.Cut(e, "=")
		if !ok || !strings.HasPrefix(ref, "file:") && !strings.HasPrefix(ref, "env:") {
			return cli.Usage("--env takes NAME=file:PATH or NAME=env:NAME; plain values stand in the configuration")
		}
		m.Env = append(m.Env, config.EnvEntry{Name: key, Secret: config.Secret(ref)})
	}
	if _, err := t.find(name); err == nil {
		return cli.Usage("%s has the server %s already; accept what it says now: writ tools accept %s", t.path(), name, name)
	}
	after, err := t.addTo(func(before []byte) ([]byte, error) { return config.AddServer(before, m) })
	if err != nil {
		return err
	}
	here := m
	here.Accepted = filepath.Join(filepath.Dir(t.path()), m.Accepted)
	if o.login {
		here.Login = filepath.Join(filepath.Dir(t.path()), m.Login)
	}
	if err := refuseThere(here.Accepted); err != nil {
		return err
	}
	if o.login {
		if err := toolsignin.SignIn(ctx, t.Shell, here, toolsignin.Options{}); err != nil {
			return err
		}
	}
	changes, err := t.compare(ctx, here)
	if err != nil {
		return err
	}
	return t.accept(ctx, here, changes, nil, o.yes, func() error { return replaceFile(t.path(), after) })
}

// addTo returns the configuration with one more entry, checked.
func (t *toolsFile) addTo(add func(before []byte) ([]byte, error)) ([]byte, error) {
	before, err := os.ReadFile(t.path())
	if err != nil && (!errors.Is(err, fs.ErrNotExist) || t.file != "") {
		return nil, cli.Usage("the configuration cannot be read: %s", err)
	}
	after, err := add(before)
	if err != nil {
		return nil, cli.Usage("%s: %s", t.path(), err)
	}
	if err := config.CheckTools(after, t.path()); err != nil {
		return nil, cli.Usage("%s", err)
	}
	return after, nil
}

// refuseThere refuses to write over what was accepted before.
func refuseThere(file string) error {
	if _, err := os.Stat(file); err == nil {
		return cli.Usage("%s is there already; remove it first if it is of no use", file)
	}
	return nil
}

// replaceFile puts another text in a file's place, whole or not at all.
func replaceFile(path string, data []byte) error {
	mode := fs.FileMode(0o644)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	part, err := os.CreateTemp(filepath.Dir(path), ".writ-")
	if err != nil {
		return err
	}
	defer os.Remove(part.Name())
	_, err = part.Write(data)
	if err = errors.Join(err, part.Chmod(mode), part.Sync(), part.Close()); err != nil {
		return err
	}
	return os.Rename(part.Name(), path)
}
