// Package journal has the nouns that the store, the runner and their callers share, and what they may ask of a store.
//
// What a store keeps has owners, and each owner has a small interface, in a file with its nouns: [Blocks],
// [Sessions], [Runs], [Ledgers], [Entries] of the log, [Erasures], [Assertions], [Retention], [Holds], [Anchors],
// [Pushes], [Threads], [OwnWallets], [Keeper] and [Recoverer]; nonces of sign-in are auth.Nonces. Who asks for
// something names the smallest of them, or only the reading half. A [Store] is what a Runner needs, a [Database] all
// that a server process keeps. internal/store has the one implementation and storetest its suite.
package journal

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/writ-run/writ/auth"
)

// Errors of a store. Each is wrapped with what was being done.
var (
	ErrNotFound  = errors.New("not found")
	ErrFenced    = errors.New("another process owns this run")
	ErrSeq       = errors.New("the journal is elsewhere") // the step's seq is not the next one
	ErrBudget    = errors.New("the budget has no room")   // a reservation does not fit any more; decide again
	ErrStale     = errors.New("the session has changed")  // revoked or expired since the facts were read; decide again
	ErrEarly     = fmt.Errorf("%w: it was opened at a time that the clock has not reached", ErrStale)
	ErrIdle      = errors.New("the session was not used for too long")
	ErrNonceUsed = errors.New("the transaction nonce is taken")
	ErrConflict  = errors.New("the idempotency key was used for another request")
	ErrFull      = errors.New("the store accepts no more writes") // disk full, or closed
)

// A Store is what a Runner needs. Every method may be called by many goroutines at once, and returns only when what it
// wrote is durable.
type Store interface {
	// Epoch names this store's incarnation; a client that resumes with another epoch must start over.
	Epoch(ctx context.Context) (string, error)

	Keeper
	Blocks
	Sessions
	Runs
	Threads
	Ledgers
	Entries
	OwnWallets
}

// Records is what an export reads: a run, its blocks and its place in the log.
type Records interface {
	BlockReader
	RunReader
	EntryReader
}

// A Database is all that a server process keeps in one store.
type Database interface {
	Store
	Erasures
	Assertions
	Retention
	Holds
	Anchors
	Pushes
	Recoverer
	auth.Nonces
	// Close waits for the writes under way. Writes that come later are ErrFull.
	io.Closer
}
