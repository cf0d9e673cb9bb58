package accounting

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/prices"
)

// Prices is writ prices.
func Prices(a *cli.Shell) *cobra.Command {
	g := cli.Group("prices", "Make the table of what models cost", importPrices(a))
	g.Long = `writ.yaml names a table under prices. A model of another machine that is not in it, and has no price of its own, is
then refused: what is not known is never taken for free.`
	return g
}

func importPrices(a *cli.Shell) *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "import TABLE --out FILE", Short: "Read the public table of prices that LiteLLM keeps",
		Long: `Reads a file in the form of LiteLLM's model_prices_and_context_window.json and writes the prices by the token, as whole
nano-USD for 1,000,000 tokens, rounded up. Of prices in steps the dearest is taken. The CID names these prices.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if to == "" {
				return cli.Usage("say where the table is to be written: --out FILE")
			}
			table, err := readTable(args[0])
			if err != nil {
				return err
			}
			f, skipped, err := prices.Import(table)
			if err != nil {
				return cli.Usage("%s: %s", args[0], err)
			}
			b, cid, err := f.Encode()
			if err == nil {
				err = os.WriteFile(to, b, 0o644)
			}
			if err != nil {
				return cli.Failf(cli.ExitInternal, "file", "%s", err)
			}
			out := struct {
				CID     string `json:"cid"`
				Models  int    `json:"models"`
				Skipped int    `json:"skipped"`
			}{cid.String(), len(f.Models), skipped}
			return a.Done(out, func(w io.Writer) {
				fmt.Fprintf(w, "%s\n%d models have a price, %d have none by the token and are left out\n", out.CID, out.Models,
					out.Skipped)
			})
		},
	}
	c.Flags().StringVar(&to, "out", "", "`file` to write")
	return c
}

func readTable(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cli.Usage("the table cannot be read: %s", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, prices.MaxSize+1))
	if err == nil && len(b) > prices.MaxSize {
		err = errors.New("it is too large")
	}
	if err != nil {
		return nil, cli.Usage("the table cannot be read: %s", err)
	}
	return b, nil
}
