package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/policies"
)

// A checkedSet is what policy check says of one set.
type checkedSet struct {
	Set      string             `json:"set"` // as it was named on the command line
	Name     string             `json:"name"`
	Rules    int                `json:"rules"`
	Tests    int                `json:"tests"`
	Findings []policies.Finding `json:"findings"` // waived ones too
	Unjudged []policies.Finding `json:"unjudged"`
	Unspoken []policies.Point   `json:"unspoken"` // open points without rules
	open     int
}

func (a *app) policyCheck() *cobra.Command {
	var tests []string
	c := &cobra.Command{
		Use: "check FILE|NAME...", Short: "Look for what is wrong or probably not meant in policy sets",
		Long: `Loads each set as a server would, with the tools that it has, and looks at its rules together: a point at which nothing
can be permitted, a rule that another one makes needless, an approve rule that never asks, a comparison that decides
nothing, a rule that fails where another one permits, a spend without a bound or past a budget, a budget or a named set
that no rule uses, a rule that no test reaches.

Each finding fails the command (exit code 64). If it is meant, the set says so, with a reason:

  waive:
    - {check: redundant, for: small-payments, why: the bound is repeated for its readers}

Questions with too many combinations to count out are listed as not judged, and points that are open and have no rule,
so that everything is permitted there (what it leads to is decided elsewhere), as that; neither fails.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			sets, open := []checkedSet{}, 0
			for _, name := range args {
				set, _, err := loadPolicy(name)
				if err != nil {
					return err
				}
				more, err := casesOf(set, tests)
				if err != nil {
					return err
				}
				r := set.Check(more...)
				s := checkedSet{Set: name, Name: set.Name(), Rules: set.Size(), Tests: len(set.Test(more...)),
					Findings: append([]policies.Finding{}, r.Findings...), Unjudged: append([]policies.Finding{}, r.Unjudged...),
					Unspoken: append([]policies.Point{}, set.Unspoken()...), open: len(r.Open())}
				sets, open = append(sets, s), open+s.open
			}
			text := func(w io.Writer) {
				p := paint(a.color(w))
				for _, s := range sets {
					for _, f := range s.Findings {
						if f.Waived != "" {
							fmt.Fprintf(w, "%s:%s: %s\n", s.Set, f, p.dim("waived: "+f.Waived))
						} else {
							fmt.Fprintf(w, "%s:%s\n", s.Set, p.yellow(f.String()))
						}
					}
					for _, f := range s.Unjudged {
						fmt.Fprintf(w, "%s:%s\n", s.Set, p.dim(f.String()))
					}
					if len(s.Unspoken) > 0 {
						fmt.Fprintln(w, p.dim(fmt.Sprintf("%s: it has no rule at %s, so everything is permitted there", s.Set, and(s.Unspoken))))
					}
					fmt.Fprintf(w, "%s: %s, %s, %s\n", s.Set, count(s.Rules, "rule"), count(s.Tests, "test"), count(s.open, "finding"))
				}
			}
			v := map[string]any{"sets": sets}
			if open == 0 {
				return a.done(v, text)
			}
			if !a.json {
				text(a.out)
			}
			f := failf(exitUsage, "policy_check", "%s; change the set, or waive what is meant with a reason", count(open, "finding"))
			f.result = v
			return f
		},
	}
	c.Flags().StringArrayVar(&tests, "tests", nil, "more tests of the set, in a `file`")
	return c
}

// casesOf reads the tests for a set that stand in files of their own.
func casesOf(set *policies.Set, files []string) ([]policies.Case, error) {
	var all []policies.Case
	for _, name := range files {
		src, err := readSource(name)
		if err != nil {
			return nil, err
		}
		cases, err := set.Cases(name, src)
		if err != nil {
			return nil, badPolicy(name, err)
		}
		all = append(all, cases...)
	}
	return all, nil
}

// and writes a list as people do: "a, b and c".
func and(list []policies.Point) string {
	var b strings.Builder
	for i, p := range list {
		switch {
		case i > 0 && i == len(list)-1:
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(string(p))
	}
	return b.String()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
