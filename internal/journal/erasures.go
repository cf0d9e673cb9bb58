package journal

import (
	"context"
	"errors"

	"github.com/writ-run/writ/provenance"
)

// Errors of [Erasures].
var (
	// ErrOnHold says that a legal hold keeps the payloads of a run.
	ErrOnHold = errors.New("the run is under a legal hold")
	// ErrShared says that a leaf is not only this run's, and that another run still needs it.
	ErrShared = errors.New("another run needs it too, which is open or under a legal hold")
)

// Erasures is the part of a store that can erase.
type Erasures interface {
	// Erase makes erasures, all of them or none. ErrConflict if a run is not closed, or has another head than Old;
	// ErrOnHold if a run or its wallet is under a legal hold; ErrShared if an erasure is Shared and another run of the
	// session is open, or one of the wallet under a hold.
	Erase(ctx context.Context, all ...Erasure) error
	// EraseLeaf deletes the key of one sealed leaf, without a record of it. Erasing one that is not there changes
	// nothing.
	EraseLeaf(ctx context.Context, c provenance.Link) error
}

// An Erasure deletes leaf keys of one closed run and gives the run a new head, which says so.
type Erasure struct {
	Run    provenance.Link
	Old    provenance.Link   // the run's head that Head was made from
	Head   provenance.Block  // the new head, of the same step
	Record provenance.Block  // the provenance.Erasure that Head names
	Leaves []provenance.Link // whose keys are deleted
	Shared bool              // some of Leaves are not the run's alone: its session's other runs need them too

	Callers []provenance.Link // of a sub-agent's run, the runs above it: a hold on one of them is on this one too
}

// Retention is the part of a store that knows how long it has kept what.
type Retention interface {
	// EndedRuns lists closed runs that ended at or before the time before, that are not swept, and of which neither run
	// nor wallet is under a hold, in the order of their ID and above after; at most limit.
	EndedRuns(ctx context.Context, before, after int64, limit int) ([]EndedRun, error)
	// NoteSwept notes that a run has nothing left to erase.
	NoteSwept(ctx context.Context, run provenance.Link, at int64) error
}

// An EndedRun is a closed run whose payloads have not been swept. ID orders runs by when they were opened.
type EndedRun struct {
	ID  int64
	Run provenance.Link
}
