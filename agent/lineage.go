package agent

import (
	"context"
	"fmt"

	"github.com/writ-run/writ/provenance"
)

// A Lineage says how a run came to be. Of a run that the user asked for it is zero.
type Lineage struct {
	Delegation provenance.Link   // what a sub-agent's run acts under
	Callers    []provenance.Link // the runs that wait for it, innermost first; at most provenance.MaxDelegations
}

// Lineage returns a run's.
func (r *Runner) Lineage(ctx context.Context, run provenance.Link) (l Lineage, err error) {
	for at := run; len(l.Callers) <= provenance.MaxDelegations; {
		var rec provenance.Run
		if err := r.record(ctx, at, &rec); err != nil {
			return Lineage{}, fmt.Errorf("lineage of run %s: %w", run, err)
		}
		if at == run {
			l.Delegation = rec.Delegation
		}
		if !rec.Delegation.Defined() || rec.Parent == nil {
			return l, nil
		}
		var step provenance.Step
		if err := r.record(ctx, rec.Parent.Step, &step); err != nil {
			return Lineage{}, fmt.Errorf("lineage of run %s: %w", run, err)
		}
		at = step.Run
		l.Callers = append(l.Callers, at)
	}
	return l, nil
}
