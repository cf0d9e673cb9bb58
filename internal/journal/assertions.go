package journal

import (
	"context"

	"github.com/writ-run/writ/provenance"
)

// Assertions is the part of a store that takes in what the operator's wallet says of calls in doubt.
type Assertions interface {
	// Assert gives a closed run a new head, which names the assertion, and brings its ledgers to what it says: what the
	// call has counted as spent stays so, or is free again. ErrConflict if the run is not closed or has another head
	// than Old; ErrShared if a run that has called it is open, whose own sums have it as spent.
	Assert(ctx context.Context, a Assertion) error
}

// An Assertion is the operator's wallet's word on one call of one closed run.
type Assertion struct {
	Run    provenance.Link
	Old    provenance.Link  // the run's head that Head was made from
	Head   provenance.Block // the new head, of the same step
	Record provenance.Block // the provenance.Assertion that Head names
	Of     provenance.Ref   // the call
	Done   bool             // it has happened; else what it has counted is free again

	Callers []provenance.Link // of a sub-agent's run, the runs above it
}
