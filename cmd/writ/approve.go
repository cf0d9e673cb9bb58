package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/client"
)

func (a *app) approveCommand() *cobra.Command {
	var server, reject string
	var yes bool
	c := &cobra.Command{
		Use: "approve [RUN]", Short: "Approve or refuse what waits for the wallet",
		Long: `Lists the calls that wait for the wallet. With a RUN it shows the call, and the wallet signs an approval of exactly
this call (EIP-712); any other argument would void it. With --reject the call is refused. Then the run is watched to
its end.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			cl, s, err := a.connect(c.Context(), server)
			if err != nil {
				return err
			}
			defer cl.Close()
			all, err := cl.Approvals(c.Context())
			if err != nil {
				return err
			}
			if len(args) == 0 {
				if c.Flags().Changed("reject") || yes {
					return usage("say which run is meant: writ approve RUN")
				}
				return a.done(wire.Approvals{Approvals: all}, func(w io.Writer) {
					for _, p := range all {
						fmt.Fprintf(w, "%s  until %s  %s\n", p.Run, clock(p.Until), plain(textOf(p)))
					}
					if len(all) == 0 {
						fmt.Fprintln(w, "nothing waits for the wallet")
					}
				})
			}
			if err := isCID(args[0]); err != nil {
				return err
			}
			before, err := cl.Run(c.Context(), args[0])
			if err != nil {
				return err
			}
			found := false
			for _, p := range all {
				if p.Run != args[0] {
					continue
				}
				found = true
				if err := a.card(s, p); err != nil {
					return err
				}
				switch {
				case c.Flags().Changed("reject"):
					err = cl.Refuse(c.Context(), p, clip(reject, 190))
				case s.Wallet == "":
					return failf(exitSignature, "wallet", "the wallet of this session signs elsewhere; sign in with --key or --keystore to approve here")
				default:
					if err := a.consent(c.Context(), yes, "Approve with the wallet "+s.Account+"?", "not approved; the run still waits"); err != nil {
						return err
					}
					err = a.sign(c.Context(), cl, s, p)
				}
				if err != nil {
					return err
				}
			}
			if !found {
				return failf(exitIncomplete, "not_found", "nothing of run %s waits for the wallet; see: writ approve", args[0])
			}
			from := &wire.From{Epoch: cl.Hello().Epoch, Seq: before.Steps - 1}
			return a.watch(c.Context(), cl, s, args[0], false, from)
		},
	}
	c.Flags().StringVar(&server, "server", "", "`URL` of the server")
	c.Flags().StringVar(&reject, "reject", "", "refuse, and say `why`")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "sign without asking")
	return c
}

// consent asks the user before the wallet signs. Where nobody can be asked, only --yes is an answer.
func (a *app) consent(ctx context.Context, yes bool, question, refused string) error {
	if yes {
		return nil
	}
	if a.json || !isTerminal(a.in) {
		return usage("nobody is there to ask whether the wallet shall sign; say so with --yes")
	}
	ok, err := a.ask(ctx, question)
	if err == nil && !ok {
		err = failf(exitDenied, "user_rejected", "%s", refused)
	}
	return err
}

// readApproval reads what the server wants signed, after making sure that it is for this account and this run: a
// server must not get a wallet to sign anything else.
func readApproval(s saved, w wire.Approval) (auth.Approval, error) {
	p, err := auth.ParseApproval([]byte(w.Message))
	if err != nil {
		return p, fmt.Errorf("the server's approval: %w", err)
	}
	if p.Account != common.HexToAddress(s.Account) || p.Run.String() != w.Run || p.Step.String() != w.Step {
		return p, failf(exitSignature, "approval", "the server gave an approval for another account or run; do not sign it")
	}
	return p, nil
}

// card shows a call that waits for the wallet. All of it is what the signature will cover.
func (a *app) card(s saved, w wire.Approval) error {
	p, err := readApproval(s, w)
	if err != nil {
		return err
	}
	var more struct {
		Args    json.RawMessage
		Changes struct {
			Changes []struct{ Name, Account, Display string }
		}
		Why []string
	}
	if json.Unmarshal(w.Summary, &more) != nil || sha256.Sum256(more.Args) != p.Args {
		return failf(exitSignature, "approval", "the server shows other arguments than it wants signed; do not sign it")
	}
	var b strings.Builder
	fmt.Fprintln(&b, paint(a.color(a.err)).yellow("  The wallet is asked to approve exactly this call:"))
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "    %-9s %s\n", name, plain(strings.ReplaceAll(value, "\n", " ")))
		}
	}
	row("what", p.Summary)
	row("tool", p.Tool)
	row("arguments", string(more.Args))
	if p.Amount.Asset().Symbol != "" {
		row("amount", p.Amount.String())
		row("to", p.Recipient.Hex())
	}
	for _, c := range more.Changes.Changes { // said by the server, and not signed
		row("simulated", or(c.Name, c.Account)+" "+c.Display)
	}
	for _, why := range more.Why {
		row("because", why)
	}
	row("until", clock(p.NotAfter.UnixMilli())+", "+time.Until(p.NotAfter).Round(time.Second).String()+" left")
	fmt.Fprint(a.err, b.String()) // asked for, so shown even if quiet
	return nil
}

func (a *app) sign(ctx context.Context, cl *client.Client, s saved, w wire.Approval) error {
	p, err := readApproval(s, w)
	if err != nil {
		return err
	}
	wallet, err := a.wallet(ctx, s.Wallet)
	if err != nil {
		return err
	}
	if wallet.Address() != p.Account {
		return failf(exitSignature, "wallet", "%s now holds another wallet than the session's; sign in again", s.Wallet)
	}
	sig, err := wallet.SignTyped(p)
	if err != nil {
		return err
	}
	if err := cl.Approve(ctx, w, sig); err != nil {
		return err
	}
	a.note("approved: the wallet %s signed exactly this call", s.Account)
	return nil
}

// textOf returns the one line that says what a call would do.
func textOf(w wire.Approval) string {
	var s struct{ Text string }
	if json.Unmarshal(w.Summary, &s) != nil {
		return ""
	}
	return s.Text
}
