package accounting

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/prices"
	"github.com/writ-run/writ/provenance"
)

// Prices is writ prices.
func Prices(a *cli.Shell) *cobra.Command {
	g := cli.Group("prices", "Make the table of what models cost", importPrices(a), checkPrices(a))
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

func checkPrices(a *cli.Shell) *cobra.Command {
	return &cobra.Command{
		Use: "check TABLE [FILE.car]", Short: "Say which prices a table has, and whether a run was priced by them",
		Long: `Prints the CID of a table that writ prices import has made. With a run's file, it compares the models that the run's
record says are priced by a table with this one; the file itself is judged by writ verify.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			src, err := readTable(args[0])
			if err != nil {
				return err
			}
			table, err := prices.Parse(src)
			if err != nil {
				return cli.Usage("%s: %s", args[0], err)
			}
			id, err := table.CID()
			if err != nil {
				return cli.Failf(cli.ExitInternal, "file", "%s", err)
			}
			out := struct {
				CID     string   `json:"cid"`
				Models  int      `json:"models"`
				Checked int      `json:"checked"`
				Differ  []string `json:"differ,omitempty"`
			}{CID: id.String(), Models: len(table.Models)}
			if len(args) > 1 {
				if out.Differ, out.Checked, err = comparePrices(table, args[1]); err != nil {
					return err
				}
			}
			if len(out.Differ) > 0 {
				return cli.Failf(cli.ExitIntegrity, "prices", "%s", strings.Join(out.Differ, "; "))
			}
			return a.Done(out, func(w io.Writer) {
				fmt.Fprintf(w, "%s\n%d models\n", out.CID, out.Models)
				if len(args) > 1 {
					fmt.Fprintf(w, "%d models of the run are priced by it\n", out.Checked)
				}
			})
		},
	}
}

// comparePrices compares a table with the prices of a run's file.
func comparePrices(table *prices.File, path string) (differ []string, checked int, err error) {
	src, f, err := evidence.OpenCAR(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	rep, ev := provenance.Verify(src, provenance.Options{})
	if ev == nil || rep.Refused() {
		return nil, 0, cli.Failf(cli.ExitIntegrity, "file", "%s is not a run's record; judge it with: writ verify", path)
	}
	return table.Compare(ev.Runtime.Models)
}

func readTable(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cli.Usage("the table cannot be read: %s", err)
	}
	defer f.Close()
	b, err := prices.Read(f)
	if err != nil {
		return nil, cli.Usage("the table cannot be read: %s", err)
	}
	return b, nil
}
