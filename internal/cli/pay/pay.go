// Package pay is the command writ pay: what the user's own wallet is asked to send.
package pay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/approval"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/eth/pool"
	"github.com/writ-run/writ/internal/ownwallet"
	"github.com/writ-run/writ/internal/wording"
)

// A Connector opens the session that was saved.
type Connector func(ctx context.Context, server string) (*client.Client, cli.SavedSession, error)

// A payer performs writ pay; its fields are the command's flags.
type payer struct {
	*cli.Shell
	connect      Connector
	server, sent string
	with, rpc    string
	maxGwei      uint64
	yes          bool
}

// Command returns writ pay.
func Command(s *cli.Shell, connect Connector) *cobra.Command {
	p := &payer{Shell: s, connect: connect}
	c := &cobra.Command{
		Use: "pay [RUN]", Short: "Show what your own wallet is asked to send, and say that it has",
		Long: `Lists the transactions that your own wallet is asked to send, each as a command of cast, which signs with your key.
There is no key of yours on the server. With a RUN and --sent HASH the server is told under which hash the wallet has sent
it. With --with and --rpc the command itself signs and sends it, with a key or keystore of yours on this machine: it says
what the bytes do, asks, and if it is called again sends the same bytes. The server believes the chain: it finds what the wallet has sent also if nobody
tells it, and a transaction that is not the one that was asked for is refused.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return p.payOrList(c.Context(), args) },
	}
	c.Flags().StringVar(&p.server, "server", "", "`URL` of the server")
	c.Flags().StringVar(&p.sent, "sent", "", "`hash` of the transaction that the wallet has sent")
	c.Flags().StringVar(&p.with, "with", "", "sign it with this `key`, keystore:PATH, file:PATH or env:NAME, and send it")
	c.Flags().StringVar(&p.rpc, "rpc", "", "`URL` of the chain's endpoint, with --with")
	c.Flags().Uint64Var(&p.maxGwei, "max-fee-gwei", pool.MaxGwei, "`gwei` for a unit of gas at most, with --with")
	c.Flags().BoolVar(&p.yes, "yes", false, "sign without asking")
	return c
}

func (p *payer) payOrList(ctx context.Context, args []string) error {
	switch {
	case (p.sent != "" || p.with != "") != (len(args) == 1), p.sent != "" && p.with != "":
		return cli.Usage("a RUN goes with --sent or --with: writ pay RUN --sent HASH, or writ pay RUN --with KEY --rpc URL")
	case (p.with != "") != (p.rpc != ""):
		return cli.Usage("--with and --rpc go together: the key that signs, and the chain's endpoint")
	}
	cl, _, err := p.connect(ctx, p.server)
	if err != nil {
		return err
	}
	defer cl.Close()
	all, err := client.WalletCalls(ctx, cl)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return p.list(all)
	}
	i := slices.IndexFunc(all, func(w wire.WalletCall) bool { return w.Run == args[0] })
	if i < 0 {
		return cli.Failf(cli.ExitIncomplete, "not_found", "run %s waits for no transaction of the wallet; see: writ pay",
			args[0])
	}
	if p.with != "" {
		if p.sent, err = p.broadcast(ctx, all[i]); err != nil {
			return err
		}
	}
	if err := client.Sent(ctx, cl, all[i], p.sent); err != nil {
		return p.explainRefusal(ctx, cl, err, all[i])
	}
	return p.Done(map[string]string{"run": args[0], "hash": p.sent}, func(w io.Writer) {
		fmt.Fprintf(w, "the run looks for it on the chain; see: writ runs show %s\n", args[0])
	})
}

// explainRefusal has the call signed or said anew if its transaction was counted for another one.
func (p *payer) explainRefusal(
	ctx context.Context, cl *client.Client, err error, call wire.WalletCall,
) error {
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Data.Reason != ownwallet.Counted {
		return err
	}
	waiting, err := client.WalletCalls(ctx, cl) // which has changed
	if err == nil {
		err = p.passOn(call, waiting)
	}
	if err != nil {
		return err
	}
	return cli.Failf(cli.ExitIncomplete, ownwallet.Counted, "transaction %s was counted for another call that asks for "+
		"the same and has waited longer; to pay this one, too, say it again", p.sent)
}

// describeMoves says in lines what the server knows of a call beside its text.
func describeMoves(call wire.WalletCall) string {
	var b strings.Builder
	for _, r := range approval.SendRows(call) {
		fmt.Fprintf(&b, "  %s: %s\n", r[0], r[1])
	}
	return b.String()
}

func (p *payer) list(all []wire.WalletCall) error {
	return p.Done(wire.WalletCalls{Calls: all}, func(w io.Writer) {
		for _, x := range all {
			if x.Sent != "" {
				fmt.Fprintf(w, "%s  %s\n%s  sent as %s; do not send another one\n", x.Run, wording.Reveal(x.Text),
					describeMoves(x), wording.Reveal(x.Sent))
				continue
			}
			fmt.Fprintf(w, "%s  %s\n%s  cast send --from %s --value %s %s %s   # on chain %d\n", x.Run, wording.Reveal(x.Text),
				describeMoves(x), x.From, x.Value, x.To, x.Data, x.Chain)
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "the wallet is asked to send nothing")
		}
	})
}
