package journal

import (
	"context"
	"errors"

	"github.com/writ-run/writ/provenance"
)

// Errors of damaged stores.
var (
	// ErrCorrupt says that stored bytes are not what was stored. The error names the block.
	ErrCorrupt = errors.New("the stored bytes do not match their CID; restore the store from a backup")
	// ErrSigned says that what is damaged stands under a signed head: cutting it off would take back what others may
	// have seen.
	ErrSigned = errors.New("the damage reaches behind a signed head; restore the newest backup of the data folder")
)

// A Recoverer is a store that looks for damage, which a crash of the machine or a failing disk has left.
type Recoverer interface {
	// Recover looks at every step of the open runs and at the newest records: the ends of the newest runs and the newest
	// heads. A damaged end is cut back to the last valid step. It changes nothing and returns [ErrSigned] or
	// [ErrCorrupt] if what is damaged stands under a head. It is to be called before anybody writes.
	Recover(ctx context.Context) (Recovery, error)
}

// A Recovery is what a start has found damaged, and what became of it.
type Recovery struct {
	Runs int   // that were looked at
	Cuts []Cut // of runs whose end was damaged

	// Of a damaged write-ahead log: where it was put aside, and how many transactions were lost that may have been
	// acknowledged.
	Log  string
	Lost int
	// Behind says that the database has not all the writes that were acknowledged, or that the mark that counts them is
	// gone, so that this cannot be known.
	Behind bool
}

// Unknown says that it is not known what was lost. Then every open run ends and every session is over.
func (r Recovery) Unknown() bool { return r.Log != "" || r.Behind }

// A Cut is a run that was cut back to its last valid step. It ends with its next step, and no effect that the lost
// steps may have had is tried again. What was cut is kept in the store.
type Cut struct {
	Run   provenance.Link
	Steps uint64 // that are left
	Lost  uint64 // steps that were cut
	Why   string // what was found
}
