package journal

import (
	"context"

	"github.com/writ-run/writ/provenance"
)

// Pushes is the part of a store that knows which records are at the Kubo node that they are pushed to.
type Pushes interface {
	// Unpushed lists at most limit runs that are to be pushed, oldest first. That follows from the journal: a run's
	// newest head is not the one noted by NotePushed. A run without a head is not listed.
	Unpushed(ctx context.Context, limit int) ([]Push, error)
	// NotePushed notes that a run's head was pushed. It changes nothing for a run that is not there.
	NotePushed(ctx context.Context, run, head provenance.Link) error
}

// A Push is a run whose newest head is not noted as pushed.
type Push struct {
	Run, Head provenance.Link
	Old       provenance.Link // the head that was noted; undefined if none was
}
