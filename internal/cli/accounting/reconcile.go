package accounting

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/costs"
)

// reconcile is writ costs reconcile.
func reconcile(a *cli.Shell) *cobra.Command {
	o := &costsOptions{}
	var models []string
	c := &cobra.Command{
		Use: "reconcile INVOICE.csv", Short: "Put a provider's invoice beside the record, to the nano-USD",
		Long: `The invoice is CSV with the columns id (the response's id, as the provider gave it) and cost_usd; other columns are
passed over. Each response of which the record says something else is named with its run; it ends with 29 if there is
one. --model leaves out the models of other providers.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.reconcile(c, a, args[0], models) },
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "data `folder` of the server (default that of the settings)")
	f.StringVar(&o.since, "since", "", "only runs that began on this `day` (UTC, 2026-11-28) or later")
	f.StringArrayVar(&models, "model", nil, "only this `model`, as routes call it; may be repeated")
	return c
}

func (o *costsOptions) reconcile(c *cobra.Command, a *cli.Shell, invoice string, models []string) error {
	_, since, err := o.read()
	if err != nil {
		return err
	}
	file, err := os.Open(invoice)
	if err != nil {
		return cli.Usage("the invoice cannot be read: %s", err)
	}
	defer file.Close()
	charges, err := costs.ReadInvoice(file)
	if err != nil {
		return cli.Usage("%s: %s", invoice, err)
	}
	data, _, err := a.FindData(o.data)
	if err != nil {
		return err
	}
	db, err := evidence.OpenData(c.Context(), data)
	if err != nil {
		return err
	}
	defer db.Close()
	var uses []costs.Use
	err = costs.Gather(c.Context(), db, since, func(u costs.Use) {
		if len(models) == 0 || slices.Contains(models, u.Model) {
			uses = append(uses, u)
		}
	})
	if err != nil {
		return cli.Failf(cli.ExitInternal, "store", "the journal cannot be read: %s", err)
	}
	r, err := costs.Reconcile(uses, charges)
	if err != nil {
		return cli.Failf(cli.ExitInternal, "costs", "%s", err)
	}
	text := func(w io.Writer) { printReconciliation(w, r) }
	if len(r.Mismatches) == 0 {
		return a.Done(r, text)
	}
	if !a.JSON {
		text(a.Out)
	}
	f := cli.Failf(cli.ExitAttention, "invoice", "the invoice and the record differ in %s",
		cli.Count(len(r.Mismatches), "response"))
	f.Result = r
	return f
}

func printReconciliation(w io.Writer, r *costs.Reconciliation) {
	for i, m := range r.Mismatches {
		if i == maxShown {
			fmt.Fprintf(w, "and %s more; --json has them\n", cli.Count(len(r.Mismatches)-i, "response"))
			break
		}
		run := m.Run
		if run == "" {
			run = "no run"
		}
		fmt.Fprintf(w, "%s: recorded %s, charged %s (%s)\n", cli.Plain(m.ID), usdText(m.Recorded), usdText(m.Charged), run)
	}
	fmt.Fprintf(w, "%s the same; recorded %s USD, charged %s USD, doubtful %s USD\n", cli.Count(r.Matched, "response"),
		usdText(r.Recorded), usdText(r.Charged), usdText(r.Doubtful))
}
