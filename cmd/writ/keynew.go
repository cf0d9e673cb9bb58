package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/door"
	"github.com/writ-run/writ/policies/money"
)

// A keyMaker performs writ key new; its fields are the command's flags.
type keyMaker struct {
	loginOptions
	maxUSD   string
	maxCalls uint64
	tools    []string
	from     []string
	ethereum bool
}

func newKeyCommand(a *app) *cobra.Command {
	var k keyMaker
	c := &cobra.Command{
		Use: "new", Short: "Make an API key, with which a program uses an agent as a model",
		Long: `Opens a session as writ login does, for a program: the wallet signs a text with every limit, and what comes out
is a key that starts with writ_. It is shown once and kept nowhere, here or at the server. The SDKs of OpenAI and
Anthropic take it with the server's address in the place of the provider's; the agent's name is the model.

  writ key new --life 8h --max-usd 2
  OPENAI_API_KEY=writ_...     OPENAI_BASE_URL=http://127.0.0.1:8420/v1
  ANTHROPIC_API_KEY=writ_...  ANTHROPIC_BASE_URL=http://127.0.0.1:8420

With --from the key is worth something only there: from addresses of the networks that are named, as the server sees
them behind its proxies, or in pages of the origins that are, whose browsers say which they are. Both hold if both are
named, over every transport, and the wallet signs them with the other limits.

  writ key new --from 192.0.2.0/24 --from 2001:db8::7

With --ethereum the key is that of an Ethereum account, 0x and 64 hex digits, which never leaves your program: it signs
each request as ERC-8128 has it, and the server is shown no secret (docs/front-door.md).

Whoever has the key can do what the text says, until it ends or is revoked: writ key ls lists it, writ sessions
revoke ends it at once, and it ends by itself when it was not used for a while. A payment above what the text lets it
spend without asking still waits for the wallet: writ approve.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return k.makeKey(c.Context(), a, c.Flags()) },
	}
	f := c.Flags()
	k.addFlags(a, f)
	f.StringVar(&k.maxUSD, "max-usd", "", "how many `dollars` its models may cost (default: the agent's limit)")
	f.Uint64Var(&k.maxCalls, "max-calls", 0, "how many tool calls it may make (default: the agent's limit)")
	f.StringSliceVar(&k.tools, "tools", nil, "the only `tools` that it may call (default: the agent's)")
	f.StringSliceVar(&k.from, "from", nil, "the only `networks` (192.0.2.0/24) and origins of pages to use it from")
	f.BoolVar(&k.ethereum, "ethereum", false, "make the key of an Ethereum account, which signs requests (ERC-8128)")
	return c
}

// makeKey has the wallet sign and shows the key.
func (k *keyMaker) makeKey(ctx context.Context, a *app, f *pflag.FlagSet) error {
	if err := k.check(a); err != nil {
		return err
	}
	if k.plan.textFile == "-" {
		return cli.Usage("--print-message - and the key both want standard output; give --print-message a file")
	}
	if err := k.refuseNothing(f); err != nil {
		return err
	}
	limits, err := k.limits()
	if err != nil {
		return err
	}
	k.plan.limits, k.plan.tools, k.plan.unsaved = limits, k.tools, true
	if k.ethereum {
		k.plan.kind = auth.Secp256k1
	}
	s, err := a.login(ctx, k.plan)
	if err != nil {
		return err
	}
	text, account, err := keyText(s)
	if err != nil {
		return err
	}
	view := map[string]any{
		"key": text, "session": s.Session, "agent": s.Agent, "server": s.Server, "expires": s.Expires,
	}
	if limits != nil && len(limits.From) > 0 {
		view["from"] = limits.From
	}
	if k.ethereum {
		view["signer"] = account
	}
	return a.Done(view, func(w io.Writer) {
		fmt.Fprintln(w, text)
		a.Note("for agent %s at %s, until %s; it is shown this once", s.Agent, s.Server, cli.Clock(s.Expires))
		if k.ethereum {
			a.Note("  %s signs POST %s/v1/sessions/%s/run.start", account, s.Server, s.Session)
		} else {
			a.Note("  OPENAI_BASE_URL=%s/v1     ANTHROPIC_BASE_URL=%s     model %s", s.Server, s.Server, s.Agent)
		}
		a.Note("to end it: writ sessions revoke %s", s.Session)
	})
}

// refuseNothing refuses limits that were given with nothing in them: left out they would be the agent's own.
func (k *keyMaker) refuseNothing(f *pflag.FlagSet) error {
	switch {
	case f.Changed("max-usd") && k.maxUSD == "":
		return cli.Usage("--max-usd is given with nothing in it; say how many dollars, or leave it out")
	case f.Changed("max-calls") && k.maxCalls == 0:
		return cli.Usage("--max-calls is 0; a key that may call nothing is none: give at least 1, or leave it out")
	case f.Changed("from") && len(k.from) == 0:
		return cli.Usage("--from names no network; name at least one, such as 192.0.2.0/24, or leave it out")
	case f.Changed("tools") && len(k.tools) == 0:
		return cli.Usage("--tools names no tool; name at least one, or leave it out")
	}
	return nil
}

// limits returns what the flags narrow, nil if they narrow nothing.
func (k *keyMaker) limits() (*wire.Limits, error) {
	if k.maxUSD == "" && k.maxCalls == 0 && len(k.from) == 0 {
		return nil, nil
	}
	out := wire.Limits{MaxCalls: k.maxCalls}
	for _, text := range k.from {
		from, err := auth.ParseSource(text)
		if err != nil {
			return nil, cli.Usage("--from %q: %s", text, err)
		}
		out.From = append(out.From, from)
	}
	if k.maxUSD != "" {
		usd, err := money.ParseDecimal(money.USD, k.maxUSD)
		if err == nil {
			out.MaxCost, err = strconv.ParseInt(usd.Units(), 10, 64)
		}
		if err != nil || out.MaxCost <= 0 {
			return nil, cli.Usage("--max-usd %q is not an amount of dollars above 0, such as 2 or 0.50", k.maxUSD)
		}
	}
	return &out, nil
}

func keysCommand(a *app) *cobra.Command {
	var server string
	c := &cobra.Command{
		Use: "ls", Short: "List the wallet's API keys, with what each may be used for and from where", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return listKeys(c.Context(), a, server) },
	}
	c.Flags().StringVar(&server, "server", "", "`URL` of the server (default $WRIT_SERVER, else the one on this machine)")
	return c
}

// listKeys lists the sessions that are API keys. The keys themselves nobody has but who was shown them.
func listKeys(ctx context.Context, a *app, server string) error {
	cl, _, err := a.connectSaved(ctx, server)
	if err != nil {
		return err
	}
	defer cl.Close()
	all, err := cl.Sessions(ctx)
	if err != nil {
		return err
	}
	keys := slices.DeleteFunc(all, func(s wire.Session) bool { return s.Device != wire.KeyDevice })
	return a.Done(wire.Sessions{Sessions: keys}, func(w io.Writer) {
		for _, s := range keys {
			from := "from anywhere"
			if s.Limits != nil && len(s.Limits.From) > 0 {
				from = "from " + strings.Join(s.Limits.From, ", ")
			}
			fmt.Fprintf(w, "%s  %-12s %s  %s\n", s.ID, s.Agent, describeState(s, time.Now().UnixMilli()), cli.Plain(from))
		}
		if len(keys) == 0 {
			fmt.Fprintln(w, "no API keys; writ key new makes one")
		}
	})
}

// keyText writes a session as an API key; one of an Ethereum account as such, with the account.
func keyText(s cli.SavedSession) (text, account string, err error) {
	session, err := cid.Decode(s.Session)
	if err != nil {
		return "", "", fmt.Errorf("read the session: %w", err)
	}
	secret, err := auth.ParsePrivateKey(s.Key)
	if err != nil {
		return "", "", fmt.Errorf("read the session's key: %w", err)
	}
	if secret.Public().Kind() == auth.Secp256k1 {
		_, digits, _ := strings.Cut(secret.Secret(), ":")
		return "0x" + digits, secret.Public().Account().Hex(), nil
	}
	text, err = door.Key{Session: session, Secret: secret}.Text()
	return text, "", err
}
