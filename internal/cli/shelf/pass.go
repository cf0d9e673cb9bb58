package shelf

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/node"
)

func (x *shelf) givePass() *cobra.Command {
	var life time.Duration
	c := &cobra.Command{
		Use: "pass", Short: "Print a pass with which documents are kept from another machine", Args: cobra.NoArgs,
		Long: `Prints a pass that the operator's key has signed: until it is over, whoever has it may list, add and remove this server's
documents and say who may read them, by POST /operator/docs, which the server takes from its own machine only and through
no proxy. From elsewhere, by a tunnel:

  ssh -L 8420:127.0.0.1:8420 SERVER
  WRIT_DOCS_PASS=... writ docs add handbook --source handbook --everyone --server http://127.0.0.1:8420`,
		RunE: func(*cobra.Command, []string) error {
			if life <= 0 || life > node.MaxPass {
				return cli.Usage("--for is above 0 and at most %s", node.MaxPass)
			}
			of, err := x.FindOperator(x.data, x.server)
			if err != nil {
				return err
			}
			until := time.Now().Add(life).Truncate(time.Second)
			pass, err := node.SignDocsPass(of.Key, until)
			if err != nil {
				return err
			}
			return x.Done(map[string]any{"pass": pass, "until": until.UnixMilli()}, func(w io.Writer) {
				fmt.Fprintln(w, pass)
				fmt.Fprintf(x.Err, "whoever has this pass may keep the documents until %s\n",
					until.UTC().Format("2006-01-02 15:04 UTC"))
			})
		},
	}
	c.Flags().DurationVar(&life, "for", time.Hour, "how long the pass is good, at most 24h")
	return c
}
