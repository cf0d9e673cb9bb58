package policies

import (
	"cmp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/internal/keys"
)

// The checks, by the name that a waiver gives.
const (
	CheckNoPermit    = "no-permit"   // a point at which nothing can be permitted
	CheckShadowed    = "shadowed"    // a rule that another one makes needless
	CheckUnreachable = "unreachable" // an approve rule that never asks
	CheckRedundant   = "redundant"   // a comparison that decides nothing
	CheckFails       = "fails"       // a rule that cannot be evaluated where another one permits
	CheckUnlimited   = "unlimited"   // a permit to spend any amount
	CheckUnreserved  = "unreserved"  // a permit to spend past a budget that other rules reserve from
	CheckUnused      = "unused"      // a budget or a named set that no rule uses
	CheckUntested    = "untested"    // a rule that no test of the set reaches
	CheckTool        = "tool"        // a rule for a tool that is not there
	CheckZone        = "zone"        // a time zone that is a fixed offset under a name that does not say so
	CheckWord        = "word"        // a comparison with a word that there is not
	CheckWaiver      = "waiver"      // a waiver of nothing
)

// Checks lists the names of all checks.
var Checks = []string{CheckNoPermit, CheckShadowed, CheckUnreachable, CheckRedundant, CheckFails, CheckUnlimited,
	CheckUnreserved, CheckUnused, CheckUntested, CheckTool, CheckZone, CheckWord, CheckWaiver}

// A Waiver keeps a finding from failing.
type Waiver struct {
	Check, For, Why string
	Line, Column    int
}

const maxWaivers = 64

func (l *loader) readWaivers(n *yaml.Node) {
	l.List(n, "waive", func(item *yaml.Node) {
		if len(l.set.waivers) == maxWaivers {
			l.Report(item, "there are more than %d waivers", maxWaivers)
			return
		}
		m := l.Mapping(item, "a waiver", keys.Waiver)
		w := Waiver{Line: item.Line, Column: item.Column, Why: l.ReadText(m["why"], 200)}
		w.Check, _ = l.Scalar(cmp.Or(m["check"], item), "check")
		if !slices.Contains(Checks, w.Check) || w.Check == CheckWaiver {
			l.ReportHint(cmp.Or(m["check"], item), wording.Nearest(w.Check, Checks), "there is no check %q to waive",
				wording.Clip(w.Check, 60))
		}
		w.For, _ = l.Scalar(cmp.Or(m["for"], item), "for")
		if w.Why == "" {
			l.Report(item, "a waiver says why")
		}
		l.set.waivers = append(l.set.waivers, w)
	})
}
