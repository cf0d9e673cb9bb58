// Package accounting has the commands about money: what models cost, and what they are said to.
package accounting

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/costs"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/policies/money"
)

// A costsOptions is what writ costs is asked.
type costsOptions struct {
	data, by, since  string
	own              bool
	server           string
	perRun, perToken string
	plans, paid      string
	config           string // whose revenue holds where no flag speaks
	alerts           []string
	csv              bool
}

// Costs is writ costs.
func Costs(a *cli.Shell, connect Connector) *cobra.Command {
	o := &costsOptions{}
	c := &cobra.Command{
		Use: "costs", Short: "Add up what models cost, and what is left of what users pay",
		Long: `Adds up each call of a model in the journal of a data folder, which a server may be using. Doubtful is what calls
that failed may have to be paid for: all that was reserved for them. Saved is what the dearest model of the runtime would
have cost more for the same tokens; turns that rules answered have none, and count as calls. Revenue is what --per-run and
--per-token say that users pay, --plans what plans bring in all, shared by runs, and --paid what a biller of your own
says; where none of these is there, what the configuration has under revenue. Margin is what is left of it. A rule of --alert, such as "margin < 0.2", ends the command with 29 if a line is so.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.own {
				return o.runOwn(c.Context(), a, connect)
			}
			if err := o.takeRevenue(c.Flags(), time.Now()); err != nil {
				return err
			}
			return o.run(c, a)
		},
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "data `folder` of the server (default that of the settings)")
	f.BoolVar(&o.own, "own", false, "ask the server what the wallet's own runs have cost")
	f.StringVar(&o.server, "server", "", "`URL` of the server, with --own")
	f.StringVar(&o.by, "by", "route", "add up by "+strings.Join(costs.By, ", "))
	f.StringVar(&o.since, "since", "", "only runs that began on this `day` (UTC, 2026-11-28) or later")
	f.StringVar(&o.perRun, "per-run", "0", "`USD` that users pay for a run")
	f.StringVar(&o.perToken, "per-token", "0", "`USD` that users pay for 1,000,000 tokens")
	f.StringVar(&o.plans, "plans", "0", "`USD` that users pay by plans for the time that is looked at")
	f.StringVar(&o.paid, "paid", "", "CSV `file` (of,usd) of what your biller says that runs or wallets paid; - is stdin")
	f.StringArrayVar(&o.alerts, "alert", nil,
		"`rule` about each line: margin, cost or doubtful as a share of revenue, failed of calls")
	f.StringVar(&o.config, "config", "", "configuration `file` with what users pay (default writ.yaml)")
	f.BoolVar(&o.csv, "csv", false, "write CSV")
	c.AddCommand(reconcile(a))
	return c
}

func (o *costsOptions) run(c *cobra.Command, a *cli.Shell) error {
	if !slices.Contains(costs.By, o.by) {
		return cli.Usage("--by %q is none of %s", o.by, strings.Join(costs.By, ", "))
	}
	tariff, since, err := o.read()
	if err != nil {
		return err
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
	if err := costs.Gather(c.Context(), db, since, func(u costs.Use) { uses = append(uses, u) }); err != nil {
		return cli.Failf(cli.ExitInternal, "store", "the journal cannot be read: %s", err)
	}
	lines, total, err := costs.Sum(uses, o.by, tariff)
	if err != nil {
		return cli.Failf(cli.ExitInternal, "costs", "%s", err)
	}
	alerts, err := o.findAlerts(lines)
	if err != nil {
		return err
	}
	if o.csv {
		if err := writeCSV(a.Out, o.by, lines); err != nil || len(alerts) == 0 {
			return err
		}
		return alertFailure(alerts, nil)
	}
	out := struct {
		By     string    `json:"by"`
		Lines  []rowJSON `json:"lines"`
		Total  rowJSON   `json:"total"`
		Alerts []alerted `json:"alerts,omitempty"`
	}{By: o.by, Lines: []rowJSON{}, Total: rowOf(total), Alerts: alerts}
	for _, l := range lines {
		out.Lines = append(out.Lines, rowOf(l))
	}
	text := func(w io.Writer) { printTable(w, o.by, append(lines, total)) }
	if len(alerts) == 0 {
		return a.Done(out, text)
	}
	if !a.JSON {
		text(a.Out)
	}
	return alertFailure(alerts, out)
}

// takeRevenue fills in what users pay, and the alerts, from the configuration, unless a flag speaks of any of it. What
// plans bring in a day is taken for each day from --since to now, both counted.
func (o *costsOptions) takeRevenue(flags *pflag.FlagSet, now time.Time) error {
	for _, name := range []string{"per-run", "per-token", "plans", "paid", "alert"} {
		if flags.Changed(name) {
			return nil
		}
	}
	cfg, err := node.ReadSettings(o.config, nil)
	if err != nil {
		return err
	}
	r := &cfg.Revenue
	o.perRun, o.perToken = cmp.Or(r.PerRun, o.perRun), cmp.Or(r.PerToken, o.perToken)
	o.paid, o.alerts = r.Paid, r.Alerts
	if r.Plans == "" {
		return nil
	}
	day, err := time.Parse(time.DateOnly, o.since)
	if err != nil || day.After(now) {
		return cli.Usage("revenue.plans of the configuration is for a day: say from which day on with --since, or --plans")
	}
	a, err := money.ParseDecimal(money.USD, r.Plans)
	if err != nil {
		return cli.Usage("revenue.plans: %s", err)
	}
	sum := a
	for range int64(now.Sub(day) / (24 * time.Hour)) {
		if sum, err = sum.Add(a); err != nil {
			return cli.Usage("revenue.plans: %s", err)
		}
	}
	o.plans = sum.Decimal()
	return nil
}

// An alerted line is one that a rule tells of.
type alerted struct {
	Rule string `json:"rule"`
	Of   string `json:"of"`
}

func (o *costsOptions) findAlerts(lines []costs.Line) (found []alerted, err error) {
	for _, rule := range o.alerts {
		alert, err := costs.ParseAlert(rule)
		if err != nil {
			return nil, cli.Usage("--alert: %s", err)
		}
		for i := range lines {
			if alert.Holds(&lines[i]) {
				found = append(found, alerted{alert.String(), cli.Plain(lines[i].Of)})
			}
		}
	}
	return found, nil
}

func alertFailure(alerts []alerted, result any) error {
	f := cli.Failf(cli.ExitAttention, "alert", "%s: %s", alerts[0].Of, alerts[0].Rule)
	if n := len(alerts); n > 1 {
		f.Message += fmt.Sprintf(", and %d more", n-1)
	}
	f.Result = result
	return f
}

func (o *costsOptions) read() (t costs.Tariff, since int64, err error) {
	if t, err = costs.ParseTariff(costs.Prices{Run: o.perRun, Tokens: o.perToken, Plans: o.plans}); err != nil {
		return t, 0, cli.Usage("%s", err)
	}
	if o.paid != "" {
		if t.Paid, err = readPaid(o.paid); err != nil {
			return t, 0, cli.Usage("--paid %s: %s", o.paid, err)
		}
	}
	if o.since != "" {
		day, err := time.Parse(time.DateOnly, o.since)
		if err != nil {
			return t, 0, cli.Usage("--since %q is no day, such as 2026-11-28", o.since)
		}
		since = day.UnixMilli()
	}
	return t, since, nil
}

func readPaid(path string) (costs.Paid, error) {
	if path == "-" {
		return costs.ReadPaid(os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return costs.ReadPaid(f)
}

// A rowJSON is a line as --json writes it; money is nano-USD.
type rowJSON struct {
	Of       string `json:"of"`
	Runs     int64  `json:"runs"`
	Calls    int64  `json:"calls"`
	Failed   int64  `json:"failed"`
	In       int64  `json:"in"`
	Out      int64  `json:"out"`
	Cached   int64  `json:"cached"`
	Write    int64  `json:"written"`
	Cost     int64  `json:"cost"`
	Doubtful int64  `json:"doubtful"`
	Saved    int64  `json:"saved"`
	Revenue  int64  `json:"revenue"`
	Margin   int64  `json:"margin"`
}

func rowOf(l costs.Line) rowJSON {
	return rowJSON{l.Of, l.Runs, l.Calls, l.Failed, l.In, l.Out, l.Cached, l.Written, l.Cost, l.Doubtful, l.Saved,
		l.Revenue, l.Margin}
}

var columns = []string{"runs", "calls", "failed", "in", "out", "cached", "written", "cost", "doubtful", "saved",
	"revenue", "margin"}

// writeCSV writes lines without their sum; money is nano-USD, and "nano" stands in the names of its columns.
func writeCSV(w io.Writer, by string, lines []costs.Line) error {
	out := csv.NewWriter(w)
	head := []string{by}
	for i, c := range columns {
		if i >= 7 {
			c += "_nano_usd"
		}
		head = append(head, c)
	}
	_ = out.Write(head) // Error, below, has it
	for _, l := range lines {
		row := []string{cli.Plain(l.Of)}
		for _, n := range figures(l) {
			row = append(row, strconv.FormatInt(n, 10))
		}
		_ = out.Write(row)
	}
	out.Flush()
	return out.Error()
}

func figures(l costs.Line) []int64 {
	return []int64{l.Runs, l.Calls, l.Failed, l.In, l.Out, l.Cached, l.Written, l.Cost, l.Doubtful, l.Saved, l.Revenue,
		l.Margin}
}

func printTable(w io.Writer, by string, lines []costs.Line) {
	wide := len(by)
	for _, l := range lines {
		wide = max(wide, len(l.Of))
	}
	fmt.Fprintf(w, "%-*s %6s %6s %6s %10s %10s %14s %14s %14s %14s\n", wide, by, "runs", "calls", "failed", "in", "out",
		"cost", "doubtful", "saved", "margin")
	for _, l := range lines {
		fmt.Fprintf(w, "%-*s %6d %6d %6d %10d %10d %14s %14s %14s %14s\n", wide, cli.Plain(l.Of), l.Runs, l.Calls, l.Failed,
			l.In, l.Out, usdText(l.Cost), usdText(l.Doubtful), usdText(l.Saved), usdText(l.Margin))
	}
}

// usdText writes nano-dollars as dollars.
func usdText(nano int64) string {
	sign, n := "", uint64(max(nano, 0))
	if nano < 0 {
		sign, n = "-", -uint64(nano)
	}
	return sign + money.Of(money.USD, n).Decimal()
}
