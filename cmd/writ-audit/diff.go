package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/writ-run/writ/agent/audit"
)

// A difference is what came of comparing two runs. Times, CIDs and sessions always differ and do not count.
type difference struct {
	Same  bool   `json:"same"`
	Alike int    `json:"alike"`          // steps, from the first on
	Step  *int   `json:"step,omitempty"` // the first that differs
	What  string `json:"what,omitempty"` // of it
	A     string `json:"a,omitempty"`
	B     string `json:"b,omitempty"`
}

// runDiff compares two runs step by step.
func (c *command) runDiff(files []string) (int, error) {
	a, err := c.readView(files[0], c.keysA)
	if err != nil {
		return 0, err
	}
	b, err := c.readView(files[1], c.keysB)
	if err != nil {
		return 0, err
	}
	d := compareRuns(a, b)
	exit := exitDiffers
	if d.Same {
		exit = 0
	}
	if c.json {
		return exit, c.printObject(d.Same, d)
	}
	var out strings.Builder
	if d.Same {
		fmt.Fprintf(&out, "SAME %d steps say the same, but for times, CIDs and sessions\n", d.Alike)
	} else {
		fmt.Fprintf(&out, "DIFFERENT after %d steps that say the same: %s\n  A %s\n  B %s\n", d.Alike, d.What,
			audit.Printable(d.A), audit.Printable(d.B))
	}
	_, err = io.WriteString(c.out, out.String())
	return exit, err
}

func compareRuns(a, b *runView) difference {
	if a.Agent != b.Agent {
		return difference{What: "another agent, or version of it", A: a.Agent, B: b.Agent}
	}
	for i := range max(len(a.Steps), len(b.Steps)) {
		d := difference{Alike: i, Step: &i}
		if i >= len(a.Steps) || i >= len(b.Steps) {
			d.What, d.A, d.B = "one of them has ended", fmt.Sprint(len(a.Steps), " steps"), fmt.Sprint(len(b.Steps), " steps")
			return d
		}
		if d.What, d.A, d.B = firstDifference(&a.Steps[i], &b.Steps[i]); d.What != "" {
			return d
		}
	}
	return difference{Same: true, Alike: len(a.Steps)}
}

// firstDifference names the first thing in which two steps differ: what came in, what was known, what was done, and
// why.
func firstDifference(a, b *stepView) (what, inA, inB string) {
	if a.Event.Kind != b.Event.Kind || signedText(a.Event.Text) != signedText(b.Event.Text) {
		return fmt.Sprintf("the event of step %d", a.Seq), a.Event.String(), b.Event.String()
	}
	for i := range max(len(a.Facts), len(b.Facts)) {
		if x, y := nthOf(a.Facts, i), nthOf(b.Facts, i); x != y {
			return fmt.Sprintf("what step %d knew", a.Seq), x, y
		}
	}
	for i := range max(len(a.Does), len(b.Does)) {
		x, y := nthOf(a.Does, i), nthOf(b.Does, i)
		what = fmt.Sprintf("effect %d of step %d", i, a.Seq)
		if x.Kind != y.Kind || x.Text != y.Text {
			return what, x.String(), y.String()
		}
		for k := range max(len(x.Decisions), len(y.Decisions)) {
			if p, q := nthOf(x.Decisions, k), nthOf(y.Decisions, k); !reflect.DeepEqual(p, q) {
				return fmt.Sprintf("decision %d on %s", k, what), p.String(), q.String()
			}
		}
	}
	return "", "", ""
}

// signedText leaves out by which session key a request was signed.
func signedText(s string) string {
	text, _, _ := strings.Cut(s, " (signed by did:key:")
	return text
}

func nthOf[T any](list []T, i int) (v T) {
	if i < len(list) {
		v = list[i]
	}
	return v
}

func (v itemView) String() string {
	if v.Kind == "" {
		return "nothing"
	}
	return v.Kind + " " + v.Text
}

func (d decisionView) String() string {
	if d.Point == "" {
		return "nothing"
	}
	return strings.TrimSpace(fmt.Sprintf("%s: %s by %s %s %s", d.Point, d.Outcome, strings.Join(d.Rules, ", "), d.Why,
		strings.Join(d.Reserve, ", ")))
}
