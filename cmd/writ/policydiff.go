package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/policies"
)

// A differenceView is a difference as JSON.
type differenceView struct {
	Rule  string           `json:"rule,omitempty"`
	Point string           `json:"point"`
	Given []policies.Named `json:"given"`
	Old   decisionView     `json:"old"`
	New   decisionView     `json:"new"`
	Wider bool             `json:"wider"`
}

func (a *app) policyDiff() *cobra.Command {
	var noWider bool
	c := &cobra.Command{
		Use: "diff OLD NEW", Short: "Show requests that two policy sets answer differently",
		Long: `Looks for requests that the two sets answer differently: with another outcome, other reservations, or another time to
approve. Each one that it shows was really asked of both, in the form that a test's given has, so that it can be made a
test. If it finds none it says whether that is certain, or only that none was found among so many.

With --no-wider a new set that allows something which the old one does not, or without asking the wallet, fails the
command (exit code 3), and so does one of which that is not certain.`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			old, _, err := loadPolicy(args[0])
			if err != nil {
				return err
			}
			new, _, err := loadPolicy(args[1])
			if err != nil {
				return err
			}
			r := policies.Diff(old, new)
			list, wider := []differenceView{}, 0
			for _, d := range r.Differences {
				v := decisionViews([]policies.Decision{d.Old, d.New})
				list = append(list, differenceView{d.Rule, string(d.Request.Point), append([]policies.Named{}, d.Request.Given()...), v[0], v[1], d.Wider()})
				if d.Wider() {
					wider++
				}
			}
			v := map[string]any{"differences": list, "same": r.Same, "tried": r.Tried, "unsure": append([]policies.Point{}, r.Unsure...)}
			text := func(w io.Writer) {
				p := paint(a.color(w))
				for _, d := range r.Differences {
					line := d.Change()
					if d.Wider() {
						line += " " + p.red("(wider)")
					}
					fmt.Fprintln(w, line)
					if d.Rule != "" {
						fmt.Fprintf(w, "  by a change of %s\n", d.Rule)
					}
				}
				switch {
				case r.Same:
					fmt.Fprintln(w, "no request is answered differently")
				case len(r.Differences) == 0:
					fmt.Fprintf(w, "no difference was found among %d requests; there are too many to be certain\n", r.Tried)
				}
				for _, p := range r.Unsure {
					fmt.Fprintf(w, "not certain at %s\n", p)
				}
			}
			if !noWider || wider == 0 && len(r.Unsure) == 0 {
				return a.done(v, text)
			}
			if !a.json {
				text(a.out)
			}
			f := failf(exitSignature, "policy_wider", "%s allows more than %s", args[1], args[0])
			if wider == 0 {
				f = failf(exitSignature, "policy_wider", "it is not certain that %s allows no more than %s", args[1], args[0])
			}
			f.result = v
			return f
		},
	}
	c.Flags().BoolVar(&noWider, "no-wider", false, "fail if NEW allows something that OLD does not")
	return c
}
