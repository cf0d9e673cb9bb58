package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

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

Whoever has the key can do what the text says, until it ends or is revoked: writ sessions ls lists it, writ sessions
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
	s, err := a.login(ctx, k.plan)
	if err != nil {
		return err
	}
	text, err := keyText(s)
	if err != nil {
		return err
	}
	view := map[string]any{
		"key": text, "session": s.Session, "agent": s.Agent, "server": s.Server, "expires": s.Expires,
	}
	return a.Done(view, func(w io.Writer) {
		fmt.Fprintln(w, text)
		a.Note("for agent %s at %s, until %s; it is shown this once", s.Agent, s.Server, cli.Clock(s.Expires))
		a.Note("  OPENAI_BASE_URL=%s/v1     ANTHROPIC_BASE_URL=%s     model %s", s.Server, s.Server, s.Agent)
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
	case f.Changed("tools") && len(k.tools) == 0:
		return cli.Usage("--tools names no tool; name at least one, or leave it out")
	}
	return nil
}

// limits returns what the flags narrow, nil if they narrow nothing.
func (k *keyMaker) limits() (*wire.Limits, error) {
	if k.maxUSD == "" && k.maxCalls == 0 {
		return nil, nil
	}
	out := wire.Limits{MaxCalls: k.maxCalls}
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

// keyText writes a session as an API key.
func keyText(s cli.SavedSession) (string, error) {
	session, err := cid.Decode(s.Session)
	if err != nil {
		return "", fmt.Errorf("read the session: %w", err)
	}
	secret, err := auth.ParsePrivateKey(s.Key)
	if err != nil {
		return "", fmt.Errorf("read the session's key: %w", err)
	}
	return door.Key{Session: session, Secret: secret}.Text()
}
