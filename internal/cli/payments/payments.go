// Package payments is the operator's command about transactions that runs wait for.
package payments

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/teller"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/wording"
)

// txOptions are the flags of writ tx.
type txOptions struct {
	*cli.Shell
	data, server string
}

// Command is writ tx.
func Command(sh *cli.Shell) *cobra.Command {
	o := &txOptions{Shell: sh}
	list := &cobra.Command{
		Use: "ls", Short: "List the transactions that runs wait for", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.order(c.Context(), node.TxList, "") },
	}
	replace := &cobra.Command{
		Use: "replace RUN|HASH", Short: "Put one with higher fees in the place of a transaction that waits",
		Long: `Signs another transaction with the same nonce that does the same and offers at least an eighth more, or what the
chain asks now, up to chain.max_fee_gwei. It is a step of its run before it is sent. One of the two is mined, and the
payment counts once.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.order(c.Context(), node.TxReplace, args[0]) },
	}
	cancel := &cobra.Command{
		Use: "cancel RUN|HASH", Short: "Put one that moves nothing in the place of a transaction that waits",
		Long: `Signs another transaction with the same nonce that pays nothing to the agent's own account. It is a step of its run
before it is sent. One of the two is mined: if it is this one nothing has moved, what was reserved is free again, and
the run says so. The payment may still be mined first.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.order(c.Context(), node.TxCancel, args[0]) },
	}
	for _, c := range []*cobra.Command{list, replace, cancel} {
		c.Flags().StringVar(&o.data, "data", "", "data `folder` of the server (default: as in writ.yaml)")
		c.Flags().StringVar(&o.server, "server", "", "`URL` of the server on this machine")
	}
	return cli.Group("tx", "List, replace and cancel the transactions that runs wait for", list, replace, cancel)
}

func (o *txOptions) order(ctx context.Context, do, tx string) error {
	of, err := o.FindOperator(o.data, o.server)
	if err != nil {
		return err
	}
	out, err := node.OrderTx(ctx, of.Client, of.URL, of.Key, do, tx)
	if err != nil {
		return err
	}
	return o.Done(out, func(w io.Writer) { writeTxs(w, out, time.Now()) })
}

// writeTxs lists transactions, and what may be done about those that wait.
func writeTxs(w io.Writer, out node.Txs, now time.Time) {
	switch {
	case out.Sent != "" && out.Cancels:
		fmt.Fprintf(w, "sent, to cancel: %s\n", out.Sent)
	case out.Sent != "":
		fmt.Fprintf(w, "sent in its place: %s\n", out.Sent)
	case len(out.Transactions) == 0:
		fmt.Fprintln(w, "no run waits for a transaction")
	}
	for _, t := range out.Transactions {
		since := now.Sub(time.UnixMilli(t.Since)).Round(time.Second)
		fmt.Fprintf(w, "%-8s  nonce %d of %s, run %s, since %s\n", t.State, t.Nonce, t.Account, t.Run, since)
		fmt.Fprintf(w, "          %s%s\n", t.Hashes[len(t.Hashes)-1], describeAttempts(t))
		if t.Cap != "" {
			fmt.Fprintf(w, "          offers at most %s gwei for a unit of gas; the newest block asked %s\n",
				teller.Gwei(t.Cap), teller.Gwei(t.Base))
		}
		if t.Behind > 0 && t.State != "behind" {
			fmt.Fprintf(w, "          %s behind it\n", waiting(t.Behind))
		}
		if t.State == "stuck" {
			fmt.Fprintf(w, "          %s\n          next: writ tx replace %s, or writ tx cancel %s\n",
				teller.SayStuck(t.Why), t.Run, t.Run)
		}
	}
	if out.More > 0 {
		fmt.Fprintf(w, "and %d more\n", out.More)
	}
}

func waiting(n int) string {
	if n == 1 {
		return "1 transaction waits"
	}
	return fmt.Sprintf("%d transactions wait", n)
}

func describeAttempts(t node.Tx) string {
	var words []string
	if n := len(t.Hashes) - 1; n > 0 {
		words = append(words, "in the place of "+wording.CountOf(int64(n), "transaction"))
	}
	if t.Cancels {
		words = append(words, "moves nothing: it cancels")
	}
	if len(words) == 0 {
		return ""
	}
	return " (" + strings.Join(words, "; ") + ")"
}
