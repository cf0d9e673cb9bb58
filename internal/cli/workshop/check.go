package workshop

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/internal/node"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/workshop"
)

// A checkedSet is what policy check says of one set.
type checkedSet struct {
	Set      string             `json:"set"` // as it was named on the command line
	Name     string             `json:"name"`
	Rules    int                `json:"rules"`
	Tests    int                `json:"tests"`
	Findings []workshop.Finding `json:"findings"` // waived ones too
	Unjudged []workshop.Finding `json:"unjudged"`
	Unspoken []policies.Point   `json:"unspoken"` // open points without rules
	NoHits   bool               `json:"no_hits"`  // nothing that agents search is given to them
	open     int
}

// checkOptions are the flags of writ policy check.
type checkOptions struct {
	tests []string
}

func (sh *commands) checkCommand() *cobra.Command {
	var o checkOptions
	c := &cobra.Command{
		Use: "check FILE|NAME...", Short: "Look for what is wrong or probably not meant in policy sets",
		Long: `Loads each set as a server would, with the tools that it has, and looks at its rules together: a point at
which nothing can be permitted, a rule that another one makes needless, an approve rule that never asks, a comparison
that decides nothing, a rule that fails where another one permits, a spend without a bound or past a budget, a budget
or a named set that no rule uses, a rule that no test reaches.

Each finding fails the command (exit code 64). If it is meant, the set says so, with a reason:

  waive:
    - {check: redundant, for: small-payments, why: the bound is repeated for its readers}

Questions with too many combinations to count out are listed as not judged, and points that are open and have no rule,
so that everything is permitted there (what it leads to is decided elsewhere), as that; neither fails.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return o.check(sh, args) },
	}
	c.Flags().StringArrayVar(&o.tests, "tests", nil, "more tests of the set, in a `file`")
	return c
}

func (o *checkOptions) check(sh *commands, args []string) error {
	sets, open := []checkedSet{}, 0
	for _, name := range args {
		set, _, err := loadPolicy(name)
		if err != nil {
			return err
		}
		cases, err := casesOf(name, set, o.tests)
		if err != nil {
			return err
		}
		r := workshop.Check(set, cases)
		s := checkedSet{Set: name, Name: set.Name(), Rules: set.Size(), Tests: len(cases),
			Findings: append([]workshop.Finding{}, r.Findings...), Unjudged: append([]workshop.Finding{}, r.Unjudged...),
			Unspoken: append([]policies.Point{}, set.Unspoken()...), NoHits: permitsNoHits(set), open: len(r.Open())}
		sets, open = append(sets, s), open+s.open
	}
	var fail *cli.Failure
	if open > 0 {
		fail = cli.Failf(cli.ExitUsage, "policy_check", "%s; change the set, or waive what is meant with a reason",
			cli.Count(open, "finding"))
	}
	return sh.report(map[string]any{"sets": sets}, func(w io.Writer) {
		for _, s := range sets {
			s.write(w, cli.Paint(sh.Color(w)))
		}
	}, fail)
}

func (s *checkedSet) write(w io.Writer, p cli.Paint) {
	for _, f := range s.Findings {
		if f.Waived != "" {
			fmt.Fprintf(w, "%s:%s: %s\n", s.Set, f, p.Dim("waived: "+f.Waived))
		} else {
			fmt.Fprintf(w, "%s:%s\n", s.Set, p.Yellow(f.String()))
		}
	}
	for _, f := range s.Unjudged {
		fmt.Fprintf(w, "%s:%s\n", s.Set, p.Dim(f.String()))
	}
	if len(s.Unspoken) > 0 {
		fmt.Fprintln(w, p.Dim(fmt.Sprintf("%s: it has no rule at %s, so everything is permitted there", s.Set,
			joinPoints(s.Unspoken))))
	}
	if s.NoHits {
		fmt.Fprintln(w, p.Dim(s.Set+": it has no permit rule at retrieval, so agents are given nothing of what they search"))
	}
	fmt.Fprintf(w, "%s: %s, %s, %s\n", s.Set, cli.Count(s.Rules, "rule"), cli.Count(s.Tests, "test"),
		cli.Count(s.open, "finding"))
}

// permitsNoHits says whether a set that says something of tools permits nothing that they find, and does not say so.
func permitsNoHits(set *policies.Set) bool {
	isPermit := func(r *policies.Rule) bool { return r.Effect == "permit" }
	return slices.ContainsFunc(set.RulesAt(policies.ToolCall), isPermit) && len(set.RulesAt(policies.Retrieval)) == 0
}

// casesOf reads the tests of a set: its own, and those that stand in files of their own.
func casesOf(name string, set *policies.Set, files []string) ([]workshop.Case, error) {
	all, err := workshop.Tests(set)
	if err != nil {
		return nil, badPolicy(name, err)
	}
	for _, name := range files {
		src, err := node.ReadSource(name)
		if err != nil {
			return nil, err
		}
		cases, err := workshop.ReadCases(set, name, src)
		if err != nil {
			return nil, badPolicy(name, err)
		}
		all = append(all, cases...)
	}
	return all, nil
}

// joinPoints writes a list as people do: "a, b and c".
func joinPoints(list []policies.Point) string {
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
