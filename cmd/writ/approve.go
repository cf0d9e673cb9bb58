package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/client"
)

func (a *app) approveCommand() *cobra.Command {
	var server, reject, keystore string
	var yes, browser, noOpen bool
	c := &cobra.Command{
		Use: "approve [RUN]", Short: "Approve or refuse what waits for the wallet",
		Long: `Lists the calls that wait for the wallet. With a RUN it shows the call, and the wallet signs an approval of exactly
this call (EIP-712); any other argument would void it. With --reject the call is refused. Then the run is watched to
its end. A RUN also stands for the runs of the sub-agents that it has called.

The wallet is the one that signed in here, or:

  --keystore FILE    Ethereum's encrypted key file of the same wallet. Its password is asked for without echo, or read
                     from the file that --password-file names. It is never an argument.
  --browser          the wallet of your browser. A page on this machine opens, good for one approval and until the
                     approval's time is over; --no-open only prints its address. It is the default on a terminal if the
                     browser's wallet signed in.`,
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
			wallet := s.Wallet
			if keystore != "" {
				wallet = "keystore:" + keystore
			}
			switch {
			case keystore != "" && browser:
				return usage("give one of --keystore and --browser")
			case a.passwordFile != "" && !strings.HasPrefix(wallet, "keystore:"):
				return usage("--password-file goes with a wallet in a key file: --keystore FILE")
			case wallet == "" && isTerminal(a.in) && !a.json:
				browser = true
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
				if p.Run != args[0] && !slices.Contains(p.Callers, args[0]) {
					continue
				}
				found = true
				rows, err := a.card(s, p)
				if err != nil {
					return err
				}
				switch {
				case c.Flags().Changed("reject"):
					err = cl.Refuse(c.Context(), p, clip(reject, 190))
				case browser:
					err = a.browserApprove(c.Context(), cl, s, p, rows, noOpen)
				case wallet == "":
					return failf(exitSignature, "wallet", "the wallet of this session signs elsewhere; approve with --browser, or with --keystore FILE")
				default:
					if err := a.consent(c.Context(), yes, "Approve with the wallet "+s.Account+"?", "not approved; the run still waits"); err != nil {
						return err
					}
					err = a.sign(c.Context(), cl, s, wallet, p)
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
	f := c.Flags()
	f.BoolVarP(&yes, "yes", "y", false, "sign without asking")
	f.StringVar(&keystore, "keystore", "", "encrypted key `file` of the wallet")
	f.StringVar(&a.passwordFile, "password-file", "", "`file` with the password of the key file")
	f.BoolVar(&browser, "browser", false, "the wallet of your browser signs")
	f.BoolVar(&noOpen, "no-open", false, "do not open the browser, only print the address")
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

// card shows a call that waits for the wallet, and returns what it shows. All of it is what the signature will cover,
// but the rows that say so.
func (a *app) card(s saved, w wire.Approval) (rows [][2]string, err error) {
	p, err := readApproval(s, w)
	if err != nil {
		return nil, err
	}
	var more struct {
		Args    json.RawMessage
		Changes struct {
			Changes []struct{ Name, Account, Display string }
		}
		Why []string
	}
	if json.Unmarshal(w.Summary, &more) != nil || sha256.Sum256(more.Args) != p.Args {
		return nil, failf(exitSignature, "approval", "the server shows other arguments than it wants signed; do not sign it")
	}
	var b strings.Builder
	fmt.Fprintln(&b, paint(a.color(a.err)).yellow("  The wallet is asked to approve exactly this call:"))
	row := func(name, value string) {
		if value != "" {
			rows = append(rows, [2]string{name, plain(strings.ReplaceAll(value, "\n", " "))})
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
	return rows, nil
}

// sign has the wallet at ref approve a call.
func (a *app) sign(ctx context.Context, cl *client.Client, s saved, ref string, w wire.Approval) error {
	p, err := readApproval(s, w)
	if err != nil {
		return err
	}
	wallet, err := a.wallet(ctx, ref)
	if err != nil {
		return err
	}
	if wallet.Address() != p.Account {
		return failf(exitSignature, "wallet", "%s holds another wallet than the session's, which is %s", ref, s.Account)
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
