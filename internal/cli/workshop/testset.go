package workshop

import (
	"cmp"
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/policies/workshop"
)

// A testOutcome is what became of one test of a set.
type testOutcome struct {
	Name    string `json:"name"`
	File    string `json:"file"`
	Line    int    `json:"line"`
	OK      bool   `json:"ok"`
	Skipped bool   `json:"skipped,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// testOptions are the flags of writ policy test.
type testOptions struct {
	cover, mutate bool
	least         int
	tests, replay []string
	from          recordSource
}

func (sh *commands) testCommand() *cobra.Command {
	var o testOptions
	c := &cobra.Command{
		Use: "test FILE|NAME", Short: "Run a policy set's tests, and see what they show",
		Long: `Runs the tests that stand in the set, and with --tests those of other files:

  schema: writ/policy-tests/1
  tests:
    - name: after office hours the wallet is asked
      at: spend
      given: {amount: 'usdc("5")', now: 2026-03-02T19:30:00Z}
      want: {outcome: approve, rule: late}

given holds the fields of the point, args, origins, budgets, history, and now, the time at which it is asked. want holds
the outcome, and if they matter the rule, exactly what is reserved, the time to approve, and exactly what is asked for
besides: redact, limit, label, mode, route.

--coverage shows which rules matched, and which comparisons were seen true and false; --least fails below a percentage.
--mutate puts one small mistake after the other into the set, and shows those that no test notices, each with a request
that would; with it --least is the percentage of mistakes that must be noticed.
--replay decides again what was decided in runs, exported to CAR files or held by the server, and shows what this set
would have answered differently.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return o.test(c.Context(), sh, args) },
	}
	f := c.Flags()
	f.StringArrayVar(&o.tests, "tests", nil, "more tests of the set, in a `file`")
	f.BoolVar(&o.cover, "coverage", false, "show what the tests have shown of each rule and comparison")
	f.BoolVar(&o.mutate, "mutate", false, "put mistakes into the set, and show those that no test notices")
	f.IntVar(&o.least, "least", 0, "fail below this `percentage`")
	f.StringArrayVar(&o.replay, "replay", nil, "decide again what was decided in a run: its `CID` or a CAR file")
	o.from.defineFlags(c)
	return c
}

func (o *testOptions) test(ctx context.Context, sh *commands, args []string) error {
	if o.least > 0 && !o.cover && !o.mutate {
		return cli.Usage("--least is a percentage of --coverage or of --mutate; give one of them")
	}
	set, _, err := loadPolicy(args[0])
	if err != nil {
		return err
	}
	cases, err := casesOf(args[0], set, o.tests)
	if err != nil {
		return err
	}
	if len(o.replay) > 0 {
		return sh.replayRuns(ctx, set, args[0], o.replay, o.from)
	}
	r := testReport{of: args[0], found: map[string]any{}, least: o.least}
	failed := r.addTests(workshop.Test(set, cases))
	if failed == 0 && o.cover {
		r.addCoverage(workshop.Cover(set, cases))
	}
	if failed == 0 && o.mutate {
		m, err := workshop.Mutate(set, cases)
		if err != nil {
			return err
		}
		r.addMutation(m)
	}
	var fail *cli.Failure
	switch {
	case r.short != "":
		fail = cli.Failf(cli.ExitUsage, "policy_least", "%s: %s", args[0], r.short)
	case failed > 0:
		fail = cli.Failf(cli.ExitUsage, "policy_test", "%d of %d tests of %s fail", failed, len(r.tests), args[0])
	}
	return sh.report(r.found, func(w io.Writer) {
		for _, write := range r.parts {
			write(w, cli.Paint(sh.Color(w)))
		}
	}, fail)
}

// A testReport is what tests have shown of a set.
type testReport struct {
	of    string // the set, as it was named
	least int    // percent
	tests []testOutcome
	found map[string]any
	parts []func(io.Writer, cli.Paint) // of the text
	short string                       // what is below least
}

func (r *testReport) addTests(results []workshop.TestResult) (failed int) {
	r.tests = []testOutcome{}
	for _, t := range results {
		r.tests = append(r.tests, testOutcome{t.Name, cmp.Or(t.File, r.of), t.Line, t.OK, t.Skipped, t.Detail})
		if !t.OK {
			failed++
		}
	}
	r.found["tests"] = r.tests
	r.parts = append(r.parts, func(w io.Writer, p cli.Paint) { writeTests(w, p, r.tests) })
	return failed
}

func (r *testReport) addCoverage(c workshop.Coverage) {
	r.found["coverage"] = map[string]any{"rules": c.Rules, "seen": c.Seen, "of": c.Of, "percent": c.Percent()}
	r.parts = append(r.parts, func(w io.Writer, p cli.Paint) { writeCoverage(w, p, c) })
	if c.Percent() < r.least {
		r.short = fmt.Sprintf("%d%% are covered, less than %d%%", c.Percent(), r.least)
	}
}

func (r *testReport) addMutation(m workshop.Mutation) {
	killed, of := m.Score()
	r.found["mutation"] = map[string]any{"mutants": m.Mutants, "left": m.Left, "killed": killed, "of": of}
	r.parts = append(r.parts, func(w io.Writer, p cli.Paint) { writeMutation(w, p, r.of, m) })
	if killed*100 < of*r.least {
		r.short = fmt.Sprintf("%d of %d mistakes are noticed, less than %d%%", killed, of, r.least)
	}
}

func writeTests(w io.Writer, p cli.Paint, list []testOutcome) {
	for _, r := range list {
		switch {
		case r.Skipped:
			fmt.Fprintf(w, "%s  %s (about a tool that is not here)\n", p.Yellow("skip"), r.Name)
		case r.OK:
			fmt.Fprintf(w, "%s    %s\n", p.Green("ok"), r.Name)
		default:
			fmt.Fprintf(w, "%s  %s\n      %s:%d: %s\n", p.Red("FAIL"), r.Name, r.File, r.Line, r.Detail)
		}
	}
}

func writeCoverage(w io.Writer, p cli.Paint, c workshop.Coverage) {
	for _, r := range c.Rules {
		line := fmt.Sprintf("%s: asked %d, matched %d", r.Rule, r.Asked, r.Matched)
		if r.Matched == 0 {
			line = p.Red(line)
		}
		fmt.Fprintln(w, line)
		for _, x := range r.Atoms {
			line := fmt.Sprintf("  %s: true %d, false %d", x.Expr, x.True, x.False)
			if x.Fails > 0 {
				line += fmt.Sprintf(", fails %d", x.Fails)
			}
			if x.True == 0 || x.False == 0 {
				line = p.Red(line)
			}
			fmt.Fprintln(w, line)
		}
	}
	fmt.Fprintf(w, "covered: %d of %d, %d%%\n", c.Seen, c.Of, c.Percent())
}

func writeMutation(w io.Writer, p cli.Paint, file string, m workshop.Mutation) {
	n := map[workshop.Fate]int{}
	for _, x := range m.Mutants {
		if n[x.Fate]++; x.Fate != workshop.Survived {
			continue
		}
		rule := ""
		if x.Rule != "" {
			rule = "rule " + x.Rule + ": "
		}
		fmt.Fprintf(w, "%s:%d: %s%s: %s\n", file, x.Line, rule, x.What, p.Red("no test notices"))
		if x.Request != "" {
			fmt.Fprintf(w, "  this would: %s: want %s, got %s\n", x.Request, x.Want, x.Mistaken)
		}
	}
	killed, of := m.Score()
	fmt.Fprintf(w, "mistakes noticed: %d of %d; besides, %d change nothing and %d do not load\n", killed, of,
		n[workshop.Equivalent], n[workshop.Refused])
	if m.Left > 0 {
		fmt.Fprintf(w, "%d more were not tried\n", m.Left)
	}
}
