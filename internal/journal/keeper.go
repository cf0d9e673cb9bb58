package journal

import (
	"context"
	"errors"
)

// Errors of [Keeper].
var (
	// ErrHeld says that another process writes the store.
	ErrHeld = errors.New("another process has this store")
	// ErrNewer says that a newer program wrote the store, in a form that this one does not know.
	ErrNewer = errors.New("the store is newer than this program")
	// ErrMoved says that files of the store were deleted or exchanged while it was open: what is written to them is lost.
	ErrMoved = errors.New("the files of the store were deleted or exchanged while it was open")
)

// A Keeper is a store that one process keeps for itself.
type Keeper interface {
	// Fence returns nil if this process may write, and otherwise says why it may not: another process has the store
	// ([ErrHeld]), its files are gone ([ErrMoved]), or the disk has failed or is
	// full ([ErrFull]). Every write is checked in the
	// same way; Fence is for those who write elsewhere on the store's behalf, and for who reports the store's health.
	Fence(ctx context.Context) error
}
