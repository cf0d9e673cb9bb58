package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/approval"
	"github.com/writ-run/writ/internal/cli/runs"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/wording"
)

// An approver performs writ approve; its fields are the command's flags.
type approver struct {
	*app
	server, reject, keystore string
	wallet                   string // that signs here; "" for none
	refuses                  bool   // reject was given
	yes, browser, noOpen     bool
}

func approveCommand(a *app) *cobra.Command {
	p := &approver{app: a}
	c := &cobra.Command{
		Use: "approve [RUN]", Short: "Approve or refuse what waits for the wallet",
		Long: `Lists the calls that wait for the wallet. With a RUN it shows the call, and the wallet signs an approval of
exactly this call (EIP-712); any other argument would void it. With --reject the call is refused. Then the run is
watched to its end. A RUN also stands for the runs of the sub-agents that it has called.

The wallet is the one that signed in here, or:

  --keystore FILE    Ethereum's encrypted key file of the same wallet. Its password is asked for without echo, or read
                     from the file that --password-file names. It is never an argument.
  --browser          the wallet of your browser. A page on this machine opens, good for one approval and until the
                     approval's time is over; --no-open only prints its address. It is the default on a terminal if the
                     browser's wallet signed in.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p.refuses = c.Flags().Changed("reject")
			return p.approveOrList(c.Context(), args)
		},
	}
	f := c.Flags()
	f.StringVar(&p.server, "server", "", "`URL` of the server")
	f.StringVar(&p.reject, "reject", "", "refuse, and say `why`")
	f.BoolVarP(&p.yes, "yes", "y", false, "sign without asking")
	f.StringVar(&p.keystore, "keystore", "", "encrypted key `file` of the wallet")
	f.StringVar(&a.PasswordFile, "password-file", "", "`file` with the password of the key file")
	f.BoolVar(&p.browser, "browser", false, "the wallet of your browser signs")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "tell each step that follows")
	f.BoolVar(&p.noOpen, "no-open", false, "do not open the browser, only print the address")
	return c
}

// approveOrList answers what waits in the run of args, or lists all that waits if it names none.
func (p *approver) approveOrList(ctx context.Context, args []string) error {
	cl, s, err := p.connectSaved(ctx, p.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	all, err := cl.Approvals(ctx)
	if err != nil {
		return err
	}
	if p.wallet = s.Wallet; p.keystore != "" {
		p.wallet = "keystore:" + p.keystore
	}
	switch {
	case p.keystore != "" && p.browser:
		return cli.Usage("give one of --keystore and --browser")
	case p.PasswordFile != "" && !strings.HasPrefix(p.wallet, "keystore:"):
		return cli.Usage("--password-file goes with a wallet in a key file: --keystore FILE")
	case p.wallet == "" && cli.IsTerminal(p.In) && !p.JSON:
		p.browser = true
	}
	if len(args) == 0 {
		return p.listWaiting(all)
	}
	run, err := runs.Find(ctx, cl, args[0])
	if err != nil {
		return err
	}
	before, err := cl.Run(ctx, run)
	if err != nil {
		return err
	}
	if err := p.answerRun(ctx, cl, s, run, all); err != nil {
		return err
	}
	from := &wire.From{Epoch: cl.Hello().Epoch, Seq: before.Steps - 1}
	return p.watchRun(ctx, cl, s, run, false, from)
}

// listWaiting prints what waits for the wallet.
func (p *approver) listWaiting(all []wire.Approval) error {
	if p.refuses || p.yes {
		return cli.Usage("say which run is meant: writ approve RUN")
	}
	return p.Done(wire.Approvals{Approvals: all}, func(w io.Writer) {
		for _, x := range all {
			fmt.Fprintf(w, "%s  until %s  %s\n", x.Run, cli.Clock(x.Until), approval.Summary(x))
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "nothing waits for the wallet")
		}
	})
}

// answerRun answers each call of a run, or of a run of its sub-agents, that is among all.
func (p *approver) answerRun(
	ctx context.Context, cl *client.Client, s cli.SavedSession, run string, all []wire.Approval,
) error {
	found := false
	for _, x := range all {
		if x.Run != run && !slices.Contains(x.Callers, run) {
			continue
		}
		found = true
		if err := p.answerCall(ctx, cl, s, x); err != nil {
			return err
		}
	}
	if !found {
		return cli.Failf(cli.ExitIncomplete, "not_found", "nothing of run %s waits for the wallet; see: writ approve", run)
	}
	return nil
}

// answerCall shows a call, and has it refused or signed.
func (p *approver) answerCall(ctx context.Context, cl *client.Client, s cli.SavedSession, x wire.Approval) error {
	rows, err := p.showCard(s, x)
	switch {
	case err != nil:
		return err
	case p.refuses:
		return cl.Refuse(ctx, x, wording.Clip(p.reject, 190))
	case p.browser:
		return p.browserApprove(ctx, cl, s, x, rows, p.noOpen)
	case p.wallet == "":
		return cli.Failf(cli.ExitSignature, "wallet",
			"the wallet of this session signs elsewhere; approve with --browser, or with --keystore FILE")
	}
	err = p.AskConsent(ctx, p.yes, "Approve with the wallet "+s.Account+"?", "not approved; the run still waits")
	if err != nil {
		return err
	}
	return p.signApproval(ctx, cl, s, p.wallet, x)
}

// showCard shows a call that waits for the wallet, even if quiet: it was asked for. It returns what it shows.
func (a *app) showCard(s cli.SavedSession, w wire.Approval) ([][2]string, error) {
	rows, err := approval.Rows(s.Account, w)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(a.Err, cli.Paint(a.Color(a.Err)).Yellow("  The wallet is asked to approve exactly this call:"))
	for _, r := range rows {
		fmt.Fprintf(a.Err, "    %-10s %s\n", r[0], r[1])
	}
	return rows, nil
}

// signApproval has the wallet at ref approve a call.
func (a *app) signApproval(
	ctx context.Context, cl *client.Client, s cli.SavedSession, ref string, w wire.Approval,
) error {
	p, err := approval.Read(s.Account, w)
	if err != nil {
		return err
	}
	wallet, err := a.OpenWallet(ctx, ref)
	if err != nil {
		return err
	}
	if wallet.Address() != p.Account {
		return cli.Failf(cli.ExitSignature, "wallet", "%s holds another wallet than the session's, which is %s", ref,
			s.Account)
	}
	sig, err := wallet.SignTyped(p)
	if err != nil {
		return err
	}
	if err := cl.Approve(ctx, w, sig); err != nil {
		return err
	}
	a.Note("approved: the wallet %s signed exactly this call", s.Account)
	return nil
}
