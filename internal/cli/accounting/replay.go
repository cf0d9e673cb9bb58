package accounting

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/cli/evidence"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/internal/prices"
	"github.com/writ-run/writ/internal/whatif"
)

// A replayOptions is what writ replay is asked.
type replayOptions struct{ data, routes, prices, since string }

// Replay is writ replay.
func Replay(a *cli.Shell) *cobra.Command {
	o := &replayOptions{}
	c := &cobra.Command{
		Use:   "replay [--route SET] [--price FILE]",
		Short: "Say what recorded runs would have come to under other routes",
		Long: `Chooses again, by what each recorded run knew at each of its turns, with another route set or other prices, and says
what that would have cost, taken and refused, run by run. Nobody is asked: an answer of another model is taken to be as
long as the recorded one, and as quick as that model was in the other runs. It ends with 29 if more would be spent or
refused, and with 0 if not.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return o.run(c, a) },
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "data `folder` of the server (default that of the settings)")
	f.StringVar(&o.routes, "route", "", "route `set`, by file or name; each agent's own if empty")
	f.StringVar(&o.prices, "price", "", "`file` of prices, as writ prices import makes it; the recorded ones if empty")
	f.StringVar(&o.since, "since", "", "only runs that began on this `day` (UTC, 2026-11-28) or later")
	return c
}

func (o *replayOptions) run(c *cobra.Command, a *cli.Shell) error {
	if o.routes == "" && o.prices == "" {
		return cli.Usage("say what is to be tried: --route SET, --price FILE, or both")
	}
	plan, since, err := o.read()
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
	r, err := whatif.Try(c.Context(), db, plan, since)
	if err != nil {
		return cli.Failf(cli.ExitInternal, "replay", "the runs cannot be tried: %s", err)
	}
	if !r.IsWorse() {
		return a.Done(r, func(w io.Writer) { printReport(w, r) })
	}
	if !a.JSON {
		printReport(a.Out, r)
	}
	f := cli.Failf(cli.ExitAttention, "replay.worse", "more would be spent or refused")
	f.Result = r
	return f
}

func (o *replayOptions) read() (plan whatif.Plan, since int64, err error) {
	if o.routes != "" {
		set, err := node.Routes(o.routes)
		if err != nil {
			return plan, 0, err
		}
		plan.Routes = set.Records()
	}
	if o.prices != "" {
		src, err := os.ReadFile(o.prices)
		if err != nil {
			return plan, 0, cli.Usage("--price: %s", err)
		}
		if plan.Prices, err = prices.Parse(src); err != nil {
			return plan, 0, cli.Usage("--price: %s: %s", o.prices, err)
		}
	}
	if o.since != "" {
		day, err := time.Parse(time.DateOnly, o.since)
		if err != nil {
			return plan, 0, cli.Usage("--since %q is no day, such as 2026-11-28", o.since)
		}
		since = day.UnixMilli()
	}
	return plan, since, nil
}

// maxShown bounds the runs that are shown to people; --json has all.
const maxShown = 50

func printReport(w io.Writer, r *whatif.Report) {
	for i, d := range r.Changed {
		if i == maxShown {
			fmt.Fprintf(w, "and %s more; --json has them\n", cli.Count(len(r.Changed)-i, "run"))
			break
		}
		fmt.Fprintf(w, "%s: %s -> %s\n", d.Run, sideText(&d.Was), sideText(&d.Now))
	}
	if len(r.Changed) > 0 {
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%-8s %14s %12s %8s  %s\n", "", "cost", "model time", "refused", "answers")
	for _, s := range []struct {
		name string
		sum  whatif.Sum
	}{{"was", r.Was}, {"would be", r.Now}} {
		var models []string
		for m, n := range s.sum.Models {
			models = append(models, fmt.Sprintf("%s %d", cli.Plain(m), n))
		}
		slices.Sort(models)
		fmt.Fprintf(w, "%-8s %14s %12s %8d  %s\n", s.name, usdText(s.sum.Cost), time.Duration(s.sum.Took)*time.Millisecond,
			s.sum.Refused, strings.Join(models, ", "))
	}
	fmt.Fprintf(w, "%s tried, %d would be different", cli.Count(r.Runs, "run"), len(r.Changed))
	if r.Unread > 0 {
		fmt.Fprintf(w, ", %d could not be read", r.Unread)
	}
	if r.Unpriced > 0 {
		fmt.Fprintf(w, "; %s not among the new prices", cli.Count(r.Unpriced, "model"))
	}
	fmt.Fprintln(w)
}

func sideText(s *whatif.Side) string {
	models := strings.Join(s.Models, "+")
	switch {
	case s.Refused && models == "":
		models = "refused"
	case s.Refused:
		models += "+refused"
	}
	return cli.Plain(models) + " " + usdText(s.Cost)
}
