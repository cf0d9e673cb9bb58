// Package mandating is the command writ mandate: what the user's own account lets the agent's account pay.
package mandating

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/tools/mandate"
)

// A Connector opens the session that was saved.
type Connector func(ctx context.Context, server string) (*client.Client, cli.SavedSession, error)

// A giver performs writ mandate; its fields are the commands' flags.
type giver struct {
	*cli.Shell
	connect                      Connector
	server, token, account, with string
	delegate, contract           string
	yes                          bool
}

// Command returns writ mandate.
func Command(s *cli.Shell, connect Connector) *cobra.Command {
	g := &giver{Shell: s, connect: connect}
	give := &cobra.Command{
		Use: "give", Short: "Sign a delegation of what your session's grant allows, and hand it over", Args: cobra.NoArgs,
		Long: `Asks the server what your wallet signs to let the agent pay from your own account (ERC-7710), shows what the bytes
allow, signs them with --with and hands them over. Without --with it prints what to sign: the typed data for
eth_signTypedData_v4, and the entry for wallet_requestExecutionPermissions, both made here from the bytes that are
shown; hand over what comes of it with writ mandate put.

With --yes nobody reads the bytes, so they are held to what you have said: the account that pays, the grant that your
wallet has signed with writ login, and --delegate and --contract, which no grant names. Anything wider is not signed.`,
		RunE: func(c *cobra.Command, _ []string) error { return g.give(c.Context()) },
	}
	give.Flags().StringVar(&g.token, "token", "", "`symbol` of the token; the grant's only one if empty")
	give.Flags().StringVar(&g.account, "account", "",
		"`address` of a smart account of yours that pays; the wallet itself if empty")
	give.Flags().StringVar(&g.with, "with", "", "sign with this `key`, keystore:PATH, file:PATH or env:NAME")
	give.Flags().StringVar(&g.delegate, "delegate", "", "`address` of the agent's account, to which alone it may be")
	give.Flags().StringVar(&g.contract, "contract", "", "`address` of the token's contract, of which alone it may be")
	give.Flags().BoolVar(&g.yes, "yes", false, "sign without asking; needs --delegate and --contract")
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
	cl, saved, err := g.connect(ctx, g.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	asked, err := client.AskMandate(ctx, cl, g.token, g.account)
	if err != nil {
		return err
	}
	if g.with == "" {
		return g.showAsked(asked, saved)
	}
	w, err := g.OpenWallet(ctx, g.with)
	if err != nil {
		return err
	}
	if err := g.sign(ctx, w, &asked, saved); err != nil {
		return err
	}
	return g.handOver(ctx, cl, wire.MandatePutParams{Mandate: &asked.Mandate})
}

// showAsked shows what a wallet elsewhere is to sign. All of it is made of the bytes that were read: what the server
// says of them is not passed on.
func (g *giver) showAsked(asked wire.MandateAsk, saved cli.SavedSession) error {
	r, err := g.read(asked.Mandate, saved)
	if err != nil {
		return err
	}
	if asked.TypedData, err = json.Marshal(r.m.TypedData()); err != nil {
		return err
	}
	if asked.Permission, err = json.Marshal(r.permission()); err != nil {
		return err
	}
	return g.Done(asked, func(w io.Writer) {
		fmt.Fprintf(w, "The server says: %s\n%s\n\ntyped data, for eth_signTypedData_v4:\n%s\n\n"+
			"for wallet_requestExecutionPermissions:\n%s\n", wording.Reveal(asked.Text), r.describe(), asked.TypedData,
			asked.Permission)
	})
}

// sign signs what was asked if the user agrees; with --yes, only what is no wider than what the user has said.
func (g *giver) sign(ctx context.Context, w *auth.Wallet, asked *wire.MandateAsk, saved cli.SavedSession) error {
	r, err := g.read(asked.Mandate, saved)
	if err != nil {
		return err
	}
	if g.yes && len(r.wider) > 0 {
		return cli.Failf(cli.ExitDenied, "mandate", "nothing was signed, since %s; without --yes you are shown it and asked",
			strings.Join(r.wider, "; "))
	}
	question := fmt.Sprintf("The server says: %s\n%s\nSign it?", wording.Reveal(asked.Text), r.describe())
	if err := g.AskConsent(ctx, g.yes, question, "nothing was signed"); err != nil {
		return err
	}
	sig, err := w.SignTyped(signed{r.m})
	if err != nil {
		return err
	}
	asked.Mandate.Signature = hexutil.Encode(sig)
	return nil
}

// signed is a mandate whose digest is signed.
type signed struct{ m *mandate.Mandate }

func (s signed) Digest() ([32]byte, error) { return s.m.Digest(), nil }

// A reading is what the bytes of a mandate allow, whatever the server says.
type reading struct {
	m     *mandate.Mandate
	l     mandate.Limits
	wider []string // how it is wider than what the user has said, or cannot be compared with it
}

// read reads what is to be signed.
func (g *giver) read(w wire.Mandate, saved cli.SavedSession) (r reading, err error) {
	raw, err := json.Marshal(w)
	if err != nil {
		return r, err
	}
	r.m = new(mandate.Mandate)
	if err := json.Unmarshal(raw, r.m); err != nil {
		return r, cli.Failf(cli.ExitIncomplete, "mandate", "what the server wants signed cannot be read: %s",
			wording.Reveal(err.Error()))
	}
	if r.l, err = r.m.Limits(); err == nil && r.l.Before == 0 {
		err = errors.New("it never ends")
	}
	if err != nil {
		return r, cli.Failf(cli.ExitIncomplete, "mandate", "what the server wants signed is not signed: %s", err)
	}
	r.wider, err = g.compare(r.m, r.l, saved)
	return r, err
}

// compare says how a mandate is wider than what the user has said: by flags, and by the grant that the wallet signed.
func (g *giver) compare(m *mandate.Mandate, l mandate.Limits, saved cli.SavedSession) (wider []string, err error) {
	for _, x := range []struct {
		flag, want, what string
		got              common.Address
	}{
		{"--account", cmp.Or(g.account, saved.Account), "it lets pay from", m.Delegator},
		{"--delegate", g.delegate, "it is to", m.Delegate},
		{"--contract", g.contract, "it is of the token", l.Token},
	} {
		switch {
		case x.want == "":
			wider = append(wider, fmt.Sprintf("%s %s, and no %s says whether it may", x.what, x.got.Hex(), x.flag))
		case !common.IsHexAddress(x.want):
			return nil, cli.Usage("%s %q is no address", x.flag, x.want)
		case common.HexToAddress(x.want) != x.got:
			wider = append(wider, fmt.Sprintf("%s %s, not %s", x.what, x.got.Hex(), x.want))
		}
	}
	if l.Others > 0 {
		wider = append(wider, "it has conditions that are not understood here")
	}
	grant, err := auth.Parse([]byte(saved.Message))
	if err != nil || grant.Expiration == nil {
		return append(wider, "the grant is not saved, to compare with; run: writ login"), nil
	}
	c, err := auth.CaveatsOf([]byte(saved.Message))
	if err != nil {
		return append(wider, "the saved grant cannot be read; run: writ login"), nil
	}
	of := &auth.Grant{Caveats: c, Expires: grant.Expiration.Time}
	i := slices.IndexFunc(c.MaxTotal, func(a money.Amount) bool {
		return strings.EqualFold(a.Asset().Symbol, g.token) || g.token == "" && len(c.MaxTotal) == 1
	})
	if i < 0 {
		return append(wider, "the grant lets nothing of the token be spent, or --token does not say which"), nil
	}
	w, ok := mandate.WishOf(of, saved.Session, m, l, c.MaxTotal[i].Asset())
	if !ok {
		return append(wider, fmt.Sprintf("the grant is not for chain %d", m.Chain)), nil
	}
	for _, d := range w.Compare(l) {
		if d.Wider {
			wider = append(wider, "it is wider than the grant: "+d.Text)
		}
	}
	return wider, nil
}

// describe says in words what the bytes allow.
func (r *reading) describe() string {
	out := fmt.Sprintf("The bytes say: on chain %d %s may pay from %s, of the token %s, %s",
		r.m.Chain, r.m.Delegate.Hex(), r.m.Delegator.Hex(), r.l.Token.Hex(), r.l.InUnits())
	for _, x := range r.wider {
		out += "\n  mind that " + x
	}
	return out
}

// permission returns the same for a wallet with wallet_requestExecutionPermissions.
func (r *reading) permission() any {
	w := mandate.Wish{
		Chain: r.m.Chain, Delegator: r.m.Delegator, Delegate: r.m.Delegate, Token: r.l.Token,
		Total: money.FromUint256(money.Asset{Symbol: "units"}, r.l.Total), Recipients: r.l.Recipients,
		Until: time.Unix(int64(min(r.l.Before, math.MaxInt64)), 0),
	}
	return w.Permission("writ: let the agent pay " + r.l.InUnits())
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
	cl, saved, err := g.connect(ctx, g.server)
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
	return g.Done(x, func(w io.Writer) { printRevocation(w, x, saved.Account) })
}

// printRevocation says how a delegation is revoked by whom alone its contract lets: the account that pays.
func printRevocation(w io.Writer, x wire.GivenMandate, wallet string) {
	if strings.EqualFold(x.Delegator, wallet) {
		fmt.Fprintf(w, "cast send --from %s %s %s   # on chain %d\n", x.Delegator, x.Manager, x.Revoke, x.Chain)
		return
	}
	fmt.Fprintf(w, "Only the account that pays, %s, can revoke it, and it is not the wallet of this session. Have it "+
		"send, on chain %d:\n  to    %s\n  data  %s\n", x.Delegator, x.Chain, x.Manager, x.Revoke)
}
