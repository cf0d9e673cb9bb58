// Package mandating is the command writ mandate: what the user's own account lets the agent's account pay.
package mandating

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools/mandate"
)

// A Connector opens the session that was saved.
type Connector func(ctx context.Context, server string) (*client.Client, cli.SavedSession, error)

// A giver performs writ mandate; its fields are the commands' flags.
type giver struct {
	*cli.Shell
	connect                      Connector
	server, token, account, with string
	yes                          bool
}

// Command returns writ mandate.
func Command(s *cli.Shell, connect Connector) *cobra.Command {
	g := &giver{Shell: s, connect: connect}
	give := &cobra.Command{
		Use: "give", Short: "Sign a delegation of what your session's grant allows, and hand it over", Args: cobra.NoArgs,
		Long: `Asks the server what your wallet signs to let the agent pay from your own account (ERC-7710), shows what the bytes
allow, signs them with --with and hands them over. Without --with it prints what to sign: the typed data for
eth_signTypedData_v4, and the entry for wallet_requestExecutionPermissions; hand over what comes of it with
writ mandate put.`,
		RunE: func(c *cobra.Command, _ []string) error { return g.give(c.Context()) },
	}
	give.Flags().StringVar(&g.token, "token", "", "`symbol` of the token; the grant's only one if empty")
	give.Flags().StringVar(&g.account, "account", "",
		"`address` of a smart account of yours that pays; the wallet itself if empty")
	give.Flags().StringVar(&g.with, "with", "", "sign with this `key`, keystore:PATH, file:PATH or env:NAME")
	give.Flags().BoolVar(&g.yes, "yes", false, "sign without asking")
	put := &cobra.Command{
		Use: "put FILE", Short: "Hand over a delegation that a wallet has signed", Args: cobra.ExactArgs(1),
		Long: `Hands over a file: the delegation with its signature, as JSON, or the context that a wallet has returned for
wallet_requestExecutionPermissions, 0x and hex digits. - reads it from the standard input.`,
		RunE: func(c *cobra.Command, args []string) error { return g.put(c.Context(), args[0]) },
	}
	list := &cobra.Command{
		Use: "ls", Short: "List what this session's agent may pay from your account", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return g.list(c.Context()) },
	}
	forget := &cobra.Command{
		Use: "forget HASH", Short: "Have the server forget a delegation", Args: cobra.ExactArgs(1),
		Long: `Has the server forget a delegation, so that no run of the session pays by it any more. Whoever has a copy of it and
the agent's key still could: writ mandate revoke says how to end it on the chain.`,
		RunE: func(c *cobra.Command, args []string) error { return g.forget(c.Context(), args[0]) },
	}
	revoke := &cobra.Command{
		Use: "revoke HASH", Short: "Show the transaction that revokes a delegation on the chain", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return g.showRevocation(c.Context(), args[0]) },
	}
	group := cli.Group("mandate", "Let the agent pay from your own account, within limits that the chain keeps", give, put,
		list, forget, revoke)
	group.PersistentFlags().StringVar(&g.server, "server", "", "`URL` of the server")
	return group
}

func (g *giver) give(ctx context.Context) error {
	cl, _, err := g.connect(ctx, g.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	asked, err := client.AskMandate(ctx, cl, g.token, g.account)
	if err != nil {
		return err
	}
	m, says, err := read(asked.Mandate)
	if err != nil {
		return err
	}
	if g.with == "" {
		return g.Done(asked, func(w io.Writer) {
			fmt.Fprintf(w, "%s\n%s\n\ntyped data, for eth_signTypedData_v4:\n%s\n\n"+
				"for wallet_requestExecutionPermissions:\n%s\n", wording.Reveal(asked.Text), says, asked.TypedData,
				asked.Permission)
		})
	}
	w, err := g.OpenWallet(ctx, g.with)
	if err != nil {
		return err
	}
	question := fmt.Sprintf("The server says: %s\n%s\nSign it?", wording.Reveal(asked.Text), says)
	if err := g.AskConsent(ctx, g.yes, question, "nothing was signed"); err != nil {
		return err
	}
	sig, err := w.SignTyped(signed{m})
	if err != nil {
		return err
	}
	asked.Mandate.Signature = hexutil.Encode(sig)
	return g.handOver(ctx, cl, wire.MandatePutParams{Mandate: &asked.Mandate})
}

// signed is a mandate whose digest is signed.
type signed struct{ m *mandate.Mandate }

func (s signed) Digest() ([32]byte, error) { return s.m.Digest(), nil }

// read reads what is to be signed, and says in words what its bytes allow, whatever the server says.
func read(w wire.Mandate) (*mandate.Mandate, string, error) {
	raw, err := json.Marshal(w)
	if err != nil {
		return nil, "", err
	}
	m := new(mandate.Mandate)
	if err := json.Unmarshal(raw, m); err != nil {
		return nil, "", cli.Failf(cli.ExitIncomplete, "mandate", "what the server wants signed cannot be read: %s",
			wording.Reveal(err.Error()))
	}
	l, err := m.Limits()
	if err != nil {
		return nil, "", cli.Failf(cli.ExitIncomplete, "mandate", "what the server wants signed is not signed: %s", err)
	}
	return m, fmt.Sprintf("The bytes say: on chain %d %s may pay from %s, of the token %s, %s",
		m.Chain, m.Delegate.Hex(), m.Delegator.Hex(), l.Token.Hex(), l.InUnits()), nil
}

func (g *giver) put(ctx context.Context, file string) error {
	data, err := g.ReadText(file)
	if err != nil {
		return err
	}
	var p wire.MandatePutParams
	if data = bytes.TrimSpace(data); bytes.HasPrefix(data, []byte("{")) {
		if err := json.Unmarshal(data, &p.Mandate); err != nil {
			return cli.Usage("%s is no delegation in JSON: %s", file, err)
		}
	} else {
		p.Context = string(data)
	}
	cl, _, err := g.connect(ctx, g.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	return g.handOver(ctx, cl, p)
}

func (g *giver) handOver(ctx context.Context, cl *client.Client, p wire.MandatePutParams) error {
	got, err := client.PutMandate(ctx, cl, p)
	if err != nil {
		return err
	}
	return g.Done(got, func(w io.Writer) { show(w, got) })
}

func show(w io.Writer, x wire.GivenMandate) {
	spent := ""
	if x.Spent != "" {
		spent = ", " + wording.Reveal(x.Spent) + " paid"
	}
	fmt.Fprintf(w, "%s  %s of %s: %s%s\n  %s\n", x.Hash, x.Token, x.Delegator, x.State, spent, wording.Reveal(x.Text))
	for _, n := range x.Notes {
		fmt.Fprintf(w, "  %s\n", wording.Reveal(n))
	}
}

func (g *giver) list(ctx context.Context) error {
	cl, _, err := g.connect(ctx, g.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	all, err := client.Mandates(ctx, cl)
	if err != nil {
		return err
	}
	return g.Done(wire.GivenMandates{Mandates: all}, func(w io.Writer) {
		for _, x := range all {
			show(w, x)
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "this session has handed over no delegation; see: writ mandate give")
		}
	})
}

func (g *giver) forget(ctx context.Context, hash string) error {
	cl, _, err := g.connect(ctx, g.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	if err := client.ForgetMandate(ctx, cl, hash); err != nil {
		return err
	}
	return g.Done(map[string]string{"hash": hash}, func(w io.Writer) {
		fmt.Fprintln(w, "the server has forgotten it; on the chain it still holds")
	})
}

func (g *giver) showRevocation(ctx context.Context, hash string) error {
	cl, _, err := g.connect(ctx, g.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	all, err := client.Mandates(ctx, cl)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(x wire.GivenMandate) bool { return strings.EqualFold(x.Hash, hash) })
	if i < 0 {
		return cli.Failf(cli.ExitIncomplete, "not_found",
			"this session has handed over no delegation %s; see: writ mandate ls", hash)
	}
	x := all[i]
	return g.Done(x, func(w io.Writer) {
		fmt.Fprintf(w, "cast send --from %s %s %s   # on chain %d\n", x.Delegator, x.Manager, x.Revoke, x.Chain)
	})
}
