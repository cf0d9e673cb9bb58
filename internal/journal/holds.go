package journal

import (
	"context"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/provenance"
)

// Holds is the part of a store that keeps legal holds.
type Holds interface {
	// AddHold puts a run, or every run of a wallet, under a hold and returns it with its ID and its time. ErrNotFound if
	// there is no such run. By and Why are required.
	AddHold(ctx context.Context, h Hold) (Hold, error)
	// RemoveHold removes a hold. ErrNotFound if there is none of this number that stands.
	RemoveHold(ctx context.Context, id int64, by, why string) error
	// Holds lists the holds that stand, or all that ever were, oldest first.
	Holds(ctx context.Context, all bool) ([]Hold, error)
}

// A Hold is a legal hold: while it stands, no payload of a run, or of any run of a wallet, is erased. It is kept for
// good, also when it has been removed.
type Hold struct {
	ID      int64
	Run     provenance.Link // undefined if it is on a wallet
	Wallet  common.Address  // on whichever chain; zero if it is on a run
	At      int64           // ms UTC
	By, Why string

	Removed    int64 // ms UTC; 0 while it stands
	RemovedBy  string
	RemovedWhy string // why it was removed
}
