package audit

import (
	"slices"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// A Judged is one decision of a run, made again from its record.
type Judged struct {
	Seq      int // of the step
	Step     provenance.Link
	Request  policies.Request // what was asked, budgets included
	Decision policies.Decision
}

// A Trial is everything that was decided in a run, in order, with the rules that decided it. Layers and Tools are nil
// if the record does not hold or is sealed; the report says which.
type Trial struct {
	Report *provenance.Report
	Layers policies.Layers     // the operator's set and the grant's rules
	Tools  []policies.ToolType // of the run, as the sets were loaded with them
	Judged []Judged
}

// judging is what an auditor keeps for Judge.
type judging struct {
	onDecision func(*policies.Request, policies.Decision)
	machine    *loop.Machine
	step       provenance.Link
	seq        int
}

// maxJudged bounds the decisions that are kept of one run.
const maxJudged = 100_000

// Judge judges as [Verify] does, and returns every decision that was made, models that were not chosen and answers
// that were given included. It shows what the loop asked the policies, so that another set can be asked the same.
func Judge(src provenance.Source, o Options) *Trial {
	t := &Trial{}
	a := &auditor{}
	a.onDecision = func(r *policies.Request, d policies.Decision) {
		if len(t.Judged) == maxJudged {
			return
		}
		q := *r
		q.Args, q.Budgets = slices.Clone(r.Args), slices.Clone(r.Budgets)
		t.Judged = append(t.Judged, Judged{a.seq, a.step, q, d})
	}
	t.Report = judgeRun(src, o, a)
	if a.machine != nil {
		t.Layers, t.Tools = a.machine.Layers(), a.machine.ToolTypes()
	}
	return t
}
