// Package store keeps the journal, the blocks, the ledgers, the sessions and the leases: all of a journal.Database.
//
// A [DB] is opened by its address. "sqlite:" with a path is one SQLite file; "memory:" is the same SQLite without a
// disk, for tests, examples and benchmarks, and lasts as long as its DB. storetest is the suite that both pass.
//
// Whatever a step brings with it, its record, its leaves, the amounts that it reserves and settles, the nonce that it
// signs with, becomes true in one transaction or not at all, and every method returns only when what it wrote is on
// the disk. One goroutine writes; callers that wait at the same moment share its next fsync, so many runs at once
// cost little more than one. Readers of a file use connections of their own and never wait for the writer.
//
// Blocks stand under their full CID and are hashed again on every read: changed bytes are journal.ErrCorrupt, never an
// answer. After an error of the disk the store acknowledges nothing more and says so with journal.ErrFull, since what a
// failed fsync left behind cannot be known; a full disk refuses writes until there is room again.
//
// The files are named for what they keep, as in package journal, and hold SQL that is the same for every database.
// What is SQLite's alone is in the files whose names begin with sqlite.
package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/journal"
)

// Memory is the address of a store without a disk.
const Memory = "memory:"

// SQLite returns the address of the store in the SQLite file at path.
func SQLite(path string) string { return "sqlite:" + path }

// A Config says where a [DB] is and how much it takes on.
type Config struct {
	// DSN is the store's address: "sqlite:" and the path of a file, which is created, but not its folder; or "memory:".
	// Required.
	DSN   string
	Now   func() time.Time // the clock of leases; time.Now if nil
	Queue int              // writes that may wait before journal.ErrFull is the answer; 4,096 if 0
	Group int              // writes that may share one fsync; 256 if 0
	// Owner names a process that keeps the store for itself: Open fails with journal.ErrHeld while another one does, and
	// writes do once another one has taken over. A name is made by chance for each opening. Without one the store is
	// opened beside whoever keeps it, as commands do.
	Owner string

	// Shared says that another process has the store open, or may have. A reader that looks while it writes would take
	// what is half written for damage, so only a process that has the store alone looks for any.
	Shared bool

	faults func() error  // lets tests fail a group after its writes, before COMMIT
	nonces int64         // lets tests have few; maxNonces if 0
	hold   time.Duration // lets tests wait less for a holder that is dead; holdFor if 0
}

// A DB is an open store. All methods may be called by many goroutines at once. It is put together of its owners, one
// for each part of a [journal.Database], which have the handle in common.
type DB struct {
	*handle
	runs
	blocks
	entries
	sessions
	nonces
	ledgers
	erasures
	assertions
	retention
	holds
	anchors
	pushes
	recovery
	threads
	ownWallets
}

// The owners. Each has the methods of one interface in package journal, and what they do in a transaction.
type (
	runs       struct{ *handle } // and their steps
	blocks     struct{ *handle } // and the keys of leaves
	entries    struct{ *handle } // the log
	sessions   struct{ *handle } // and what was revoked
	nonces     struct{ *handle } // of sign-ins
	ledgers    struct{ *handle } // and the nonces of transactions
	erasures   struct{ *handle }
	assertions struct{ *handle }
	retention  struct{ *handle }
	holds      struct{ *handle }
	anchors    struct{ *handle }
	pushes     struct{ *handle }
	recovery   struct{ *handle }
	// which runs follow on each other
	threads struct{ *handle }
	// what users say that their wallets have sent
	ownWallets struct{ *handle }
)

func newDB(h *handle) *DB {
	return &DB{
		handle: h, runs: runs{h}, blocks: blocks{h}, entries: entries{h}, sessions: sessions{h}, nonces: nonces{h},
		ledgers: ledgers{h}, erasures: erasures{h}, assertions: assertions{h}, retention: retention{h}, holds: holds{h},
		anchors: anchors{h}, pushes: pushes{h}, recovery: recovery{h}, threads: threads{h},
		ownWallets: ownWallets{h},
	}
}

var _ journal.Database = (*DB)(nil)

// A handle is what the owners of an open store share: where they read, and who writes for them.
type handle struct {
	engine engine
	reads  reader
	epoch  string
	now    func() time.Time

	mu     sync.RWMutex // guards closed, and sends on queue against its closing
	closed bool
	queue  chan *job // nil if callers write themselves
	writer *writer
	done   chan struct{} // closed when nobody takes from queue any more
	leave  func()        // gives up the ownership of the store; nil if there is none
}

// An engine is the database below a store, as far as it differs from others.
type engine interface {
	// beforeCommit and afterCommit are called around the COMMIT of a group that has written something.
	beforeCommit(ctx context.Context, tx *transaction) error
	// An error of afterCommit says that what was committed is lost all the same.
	afterCommit() error
	// checkFiles says whether the database still stands where it was opened.
	checkFiles() error
	// purgeDeleted takes what was deleted out of the engine's own files too, as soon as no reader needs it.
	purgeDeleted(ctx context.Context) error
	// checkDatabase looks for damage in the database as a whole.
	checkDatabase(ctx context.Context) error
	// close closes all connections, the writer's too. It is called once nobody uses them.
	close() error
}

// Open opens the store at c.DSN, or makes a new one there, and brings its schema up to date. A file is readable by its
// owner only: it holds the keys of sealed leaves. ctx bounds opening, not the store's life.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Queue <= 0 {
		c.Queue = 4096
	}
	if c.Group <= 0 {
		c.Group = 256
	}
	if c.nonces <= 0 {
		c.nonces = maxNonces
	}
	kind, place, _ := strings.Cut(c.DSN, ":") // the rest of other addresses may hold a password, and is not shown
	switch {
	case c.DSN == Memory:
		return openMemory(ctx, c)
	case kind == "sqlite" && place != "":
		db, err := openFile(ctx, place, c)
		if err != nil {
			return nil, fmt.Errorf("open store %s: %w", place, err)
		}
		return db, nil
	case kind == "sqlite":
		return nil, errors.New("open store: no path is given; write sqlite:/path/writ.db")
	case kind == "postgres", kind == "postgresql":
		return nil, errors.New("open store: PostgreSQL is not in this version; write sqlite:/path/writ.db")
	}
	return nil, errors.New("open store: its address begins neither with sqlite: nor with memory:; " +
		"write sqlite:/path/writ.db")
}

// startWriter has a goroutine write for all callers.
func (h *handle) startWriter(ctx context.Context, queue int) {
	h.queue, h.done = make(chan *job, queue), make(chan struct{})
	lasting := context.WithoutCancel(ctx)
	go func() {
		defer close(h.done)
		h.writer.writeGroups(lasting, h.queue)
	}()
}

// startRenewing has a goroutine renew the owner's row until the store is closed.
func (h *handle) startRenewing(ctx context.Context) {
	if h.writer.tx.owner == "" {
		return
	}
	stop, left := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(left)
		h.renewHold(context.WithoutCancel(ctx), stop)
	}()
	h.leave = sync.OnceFunc(func() {
		close(stop)
		<-left
	})
}

// Close implements journal.Database.
func (h *handle) Close() error {
	if h.leave != nil {
		h.leave()
	}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	if h.queue != nil {
		close(h.queue)
	}
	h.mu.Unlock()
	if h.queue != nil {
		<-h.done
	}
	return h.engine.close()
}

// Epoch implements journal.Database: 32 hex digits, made by chance with the store.
func (h *handle) Epoch(context.Context) (string, error) { return h.epoch, nil }

func newEpoch() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, by its contract
	return hex.EncodeToString(b[:])
}
