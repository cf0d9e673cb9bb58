package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/policies"
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

func (a *app) policyTest() *cobra.Command {
	var cover, mutate bool
	var least int
	var tests, replay []string
	var from recordSource
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
		RunE: func(c *cobra.Command, args []string) error {
			if least > 0 && !cover && !mutate {
				return usage("--least is a percentage of --coverage or of --mutate; give one of them")
			}
			set, _, err := loadPolicy(args[0])
			if err != nil {
				return err
			}
			more, err := casesOf(set, tests)
			if err != nil {
				return err
			}
			if len(replay) > 0 {
				return a.policyReplay(c.Context(), set, args[0], replay, from)
			}
			list, failed := []testOutcome{}, 0
			for _, r := range set.Test(more...) {
				list = append(list, testOutcome{r.Name, or(r.File, args[0]), r.Line, r.OK, r.Skipped, r.Detail})
				if !r.OK {
					failed++
				}
			}
			v := map[string]any{"tests": list}
			var parts []func(io.Writer)
			parts = append(parts, func(w io.Writer) { testsText(w, paint(a.color(w)), list) })
			short := ""
			if failed == 0 && cover {
				cov := set.Coverage(more...)
				v["coverage"] = map[string]any{"rules": cov.Rules, "seen": cov.Seen, "of": cov.Of, "percent": cov.Percent()}
				parts = append(parts, func(w io.Writer) { coverageText(w, paint(a.color(w)), cov) })
				if cov.Percent() < least {
					short = fmt.Sprintf("%d%% are covered, less than %d%%", cov.Percent(), least)
				}
			}
			if failed == 0 && mutate {
				m, err := set.Mutate(more...)
				if err != nil {
					return err
				}
				killed, of := m.Score()
				v["mutation"] = map[string]any{"mutants": m.Mutants, "left": m.Left, "killed": killed, "of": of}
				parts = append(parts, func(w io.Writer) { mutationText(w, paint(a.color(w)), args[0], m) })
				if killed*100 < of*least {
					short = fmt.Sprintf("%d of %d mistakes are noticed, less than %d%%", killed, of, least)
				}
			}
			text := func(w io.Writer) {
				for _, part := range parts {
					part(w)
				}
			}
			if failed == 0 && short == "" {
				return a.done(v, text)
			}
			if !a.json {
				text(a.out)
			}
			f := failf(exitUsage, "policy_test", "%d of %d tests of %s fail", failed, len(list), args[0])
			if short != "" {
				f = failf(exitUsage, "policy_least", "%s: %s", args[0], short)
			}
			f.result = v
			return f
		},
	}
	f := c.Flags()
	f.StringArrayVar(&tests, "tests", nil, "more tests of the set, in a `file`")
	f.BoolVar(&cover, "coverage", false, "show what the tests have shown of each rule and comparison")
	f.BoolVar(&mutate, "mutate", false, "put mistakes into the set, and show those that no test notices")
	f.IntVar(&least, "least", 0, "fail below this `percentage`")
	f.StringArrayVar(&replay, "replay", nil, "decide again what was decided in a run: its `CID` or a CAR file")
	from.flags(c)
	return c
}

func testsText(w io.Writer, p paint, list []testOutcome) {
	for _, r := range list {
		switch {
		case r.Skipped:
			fmt.Fprintf(w, "%s  %s (about a tool that is not here)\n", p.yellow("skip"), r.Name)
		case r.OK:
			fmt.Fprintf(w, "%s    %s\n", p.green("ok"), r.Name)
		default:
			fmt.Fprintf(w, "%s  %s\n      %s:%d: %s\n", p.red("FAIL"), r.Name, r.File, r.Line, r.Detail)
		}
	}
}

func coverageText(w io.Writer, p paint, c policies.Coverage) {
	for _, r := range c.Rules {
		line := fmt.Sprintf("%s: asked %d, matched %d", r.Rule, r.Asked, r.Matched)
		if r.Matched == 0 {
			line = p.red(line)
		}
		fmt.Fprintln(w, line)
		for _, x := range r.Atoms {
			line := fmt.Sprintf("  %s: true %d, false %d", x.Expr, x.True, x.False)
			if x.Fails > 0 {
				line += fmt.Sprintf(", fails %d", x.Fails)
			}
			if x.True == 0 || x.False == 0 {
				line = p.red(line)
			}
			fmt.Fprintln(w, line)
		}
	}
	fmt.Fprintf(w, "covered: %d of %d, %d%%\n", c.Seen, c.Of, c.Percent())
}

func mutationText(w io.Writer, p paint, file string, m policies.Mutation) {
	n := map[policies.Fate]int{}
	for _, x := range m.Mutants {
		if n[x.Fate]++; x.Fate != policies.Survived {
			continue
		}
		rule := ""
		if x.Rule != "" {
			rule = "rule " + x.Rule + ": "
		}
		fmt.Fprintf(w, "%s:%d: %s%s: %s\n", file, x.Line, rule, x.What, p.red("no test notices"))
		if x.Request != "" {
			fmt.Fprintf(w, "  this would: %s: want %s, got %s\n", x.Request, x.Want, x.Mistaken)
		}
	}
	killed, of := m.Score()
	fmt.Fprintf(w, "mistakes noticed: %d of %d; besides, %d change nothing and %d do not load\n", killed, of, n[policies.Equivalent], n[policies.Refused])
	if m.Left > 0 {
		fmt.Fprintf(w, "%d more were not tried\n", m.Left)
	}
}
