// Package overlook is the operator's command that opens the operations page.
package overlook

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/node"
)

// Command is writ ops.
func Command(sh *cli.Shell) *cobra.Command {
	var data, server string
	var life time.Duration
	c := &cobra.Command{
		Use: "ops", Short: "Print a link to the operations page of a running server", Args: cobra.NoArgs,
		Long: `Prints a link to the page on which the operator sees costs, margin, routes, latency, fallbacks, denials by rule, calls
that wait for wallets, transactions and health. Behind the # stands a pass that the operator's key has signed: whoever has
it may look, on this machine and not through a proxy, until it is over, and can change nothing. A browser does not send
what stands behind the #, and the page takes it out of the address at once.

From elsewhere: ssh -L 8420:127.0.0.1:8420 SERVER, with the server's port, and open the link there.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if life <= 0 || life > node.MaxPass {
				return cli.Usage("--for is above 0 and at most %s", node.MaxPass)
			}
			of, err := sh.FindOperator(data, server)
			if err != nil {
				return err
			}
			until := time.Now().Add(life).Truncate(time.Second)
			pass, err := node.SignPass(of.Key, until)
			if err != nil {
				return err
			}
			out := struct {
				URL   string `json:"url"`
				Until int64  `json:"until"` // ms UTC
			}{of.URL + "/#ops/" + pass, until.UnixMilli()}
			return sh.Done(out, func(w io.Writer) {
				fmt.Fprintf(w, "%s\n", out.URL)
				fmt.Fprintf(sh.Err, "whoever has this link may look until %s, on this machine\n",
					until.UTC().Format("2006-01-02 15:04 UTC"))
			})
		},
	}
	c.Flags().StringVar(&data, "data", "", "data `folder` of the server (default: as in writ.yaml)")
	c.Flags().StringVar(&server, "server", "", "`URL` of the server on this machine")
	c.Flags().DurationVar(&life, "for", 12*time.Hour, "how long the link is good, at most 24h")
	return c
}
