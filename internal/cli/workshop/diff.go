package workshop

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/workshop"
)

// A differenceView is a difference as JSON.
type differenceView struct {
	Rule  string           `json:"rule,omitempty"`
	Point string           `json:"point"`
	Given []workshop.Named `json:"given"`
	Old   decisionView     `json:"old"`
	New   decisionView     `json:"new"`
	Wider bool             `json:"wider"`
}

// diffOptions are the flags of writ policy diff.
type diffOptions struct {
	noWider bool
}

func (sh *commands) diffCommand() *cobra.Command {
	var o diffOptions
	c := &cobra.Command{
		Use: "diff OLD NEW", Short: "Show requests that two policy sets answer differently",
		Long: `Looks for requests that the two sets answer differently: with another outcome, other reservations, or another
time to approve. Each one that it shows was really asked of both, in the form that a test's given has, so that it can
be made a test. If it finds none it says whether that is certain, or only that none was found among so many.

With --no-wider a new set that allows something which the old one does not, or without asking the wallet, fails the
command (exit code 3), and so does one of which that is not certain.`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error { return o.diff(sh, args) },
	}
	c.Flags().BoolVar(&o.noWider, "no-wider", false, "fail if NEW allows something that OLD does not")
	return c
}

func (o *diffOptions) diff(sh *commands, args []string) error {
	old, _, err := loadPolicy(args[0])
	if err != nil {
		return err
	}
	new, _, err := loadPolicy(args[1])
	if err != nil {
		return err
	}
	r := workshop.Diff(old, new)
	list, wider := []differenceView{}, 0
	for _, d := range r.Differences {
		v := decisionViews([]policies.Decision{d.Old, d.New})
		list = append(list,
			differenceView{d.Rule, string(d.Request.Point), append([]workshop.Named{}, workshop.Given(&d.Request)...), v[0],
				v[1], d.Wider()})
		if d.Wider() {
			wider++
		}
	}
	v := map[string]any{"differences": list, "same": r.Same, "tried": r.Tried,
		"unsure": append([]policies.Point{}, r.Unsure...)}
	var fail *cli.Failure
	switch {
	case !o.noWider:
	case wider > 0:
		fail = cli.Failf(cli.ExitSignature, "policy_wider", "%s allows more than %s", args[1], args[0])
	case len(r.Unsure) > 0:
		fail = cli.Failf(cli.ExitSignature, "policy_wider", "it is not certain that %s allows no more than %s", args[1],
			args[0])
	}
	return sh.report(v, func(w io.Writer) { writeDifferences(w, cli.Paint(sh.Color(w)), r) }, fail)
}

func writeDifferences(w io.Writer, p cli.Paint, r workshop.Comparison) {
	for _, d := range r.Differences {
		line := d.Change()
		if d.Wider() {
			line += " " + p.Red("(wider)")
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
