// Package store keeps the journal, the blocks, the ledger, the sessions and the leases.
//
// A [DB] is one SQLite file. Whatever a step brings with it, its record, its leaves, the amounts that it reserves and
// settles, the nonce that it signs with, becomes true in one transaction or not at all, and every method returns only
// when what it wrote is on the disk. One goroutine writes; callers that wait at the same moment share its next fsync,
// so many runs at once cost little more than one. Readers use connections of their own and never wait for the writer.
//
// A [Memory] is the same without a disk, for tests, examples and benchmarks. Both pass storetest, the suite that says
// what agent.Store means.
//
// Blocks stand under their full CID and are hashed again on every read: changed bytes are [ErrCorrupt], never an
// answer. After an error of the disk the store acknowledges nothing more and says so with agent.ErrFull, since what
// a failed fsync left behind cannot be known; a full disk refuses writes until there is room again.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/provenance"
)

// ErrCorrupt says that stored bytes are not what was stored. The error names the block.
var ErrCorrupt = errors.New("the stored bytes do not match their CID; restore the store from a backup")

// errAbsent is the answer to who asks for a block that is not there: agents and readers of records have a word of
// their own for it.
var errAbsent error = absent{}

type absent struct{}

func (absent) Error() string { return agent.ErrNotFound.Error() }
func (absent) Is(target error) bool {
	return target == agent.ErrNotFound || target == provenance.ErrAbsent
}

// A Config says where a [DB] is and how much it takes on.
type Config struct {
	Path  string           // of the SQLite file; it is created, its folder is not. Required
	Now   func() time.Time // the clock of leases; time.Now if nil
	Queue int              // writes that may wait before agent.ErrFull is the answer; 4,096 if 0
	Group int              // writes that may share one fsync; 256 if 0

	// Shared says that another process has the store open, or may have. What is being written looks like damage to who
	// reads it meanwhile: only who has the store alone looks for any.
	Shared bool

	faults func() error // lets tests fail a group after its writes, before COMMIT
	nonces int64        // lets tests have few; maxNonces if 0
}

// A DB is a store in one SQLite file. It implements agent.Store and the nonce store of package auth. All methods may
// be called by many goroutines at once.
type DB struct {
	path    string
	readers *sql.DB
	epoch   string
	now     func() time.Time

	mu     sync.RWMutex // guards closed, and sends on queue against its closing
	closed bool
	queue  chan *job
	done   chan struct{} // closed when the writer has ended
	stop   func() error  // closes the writer's connection; called once the writer has ended
}

// Open opens the store at c.Path, or makes a new one there, and brings its schema up to date. The file is readable by
// its owner only: it holds the keys of sealed leaves. ctx bounds opening, not the store's life.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Path == "" {
		return nil, errors.New("open store: no path is given")
	}
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
	db, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", c.Path, openError(err))
	}
	return db, nil
}

func open(ctx context.Context, c Config) (*DB, error) {
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, err
	}
	if err := touch(path); err != nil {
		return nil, err
	}
	var damage *walDamage
	if !c.Shared {
		if damage, err = checkLog(path); err != nil {
			return nil, err
		}
	}
	pool, err := sql.Open("sqlite", dsn(path, "journal_mode(wal)", "synchronous(full)", "foreign_keys(1)",
		"secure_delete(1)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)"))
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1)
	w, epoch, err := newWriter(ctx, pool, c)
	if err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	if damage != nil {
		err = w.noteDamage(ctx, damage)
	}
	if err == nil {
		w.mark, err = openMark(path)
	}
	if err != nil {
		return nil, errors.Join(err, w.close(), pool.Close())
	}
	fail := func(err error) (*DB, error) {
		return nil, errors.Join(err, w.mark.file.Close(), w.close(), pool.Close())
	}
	if !c.Shared {
		if err := w.checkMark(ctx); err != nil {
			return fail(err)
		}
	}
	readers, err := sql.Open("sqlite", dsn(path, "query_only(1)"))
	if err != nil {
		return fail(err)
	}
	readers.SetMaxOpenConns(8)
	readers.SetMaxIdleConns(8)
	db := &DB{
		path:    path,
		readers: readers,
		epoch:   epoch,
		now:     c.Now,
		queue:   make(chan *job, c.Queue),
		done:    make(chan struct{}),
		stop:    func() error { return errors.Join(w.close(), pool.Close(), w.mark.file.Close()) },
	}
	lasting := context.WithoutCancel(ctx)
	go func() {
		defer close(db.done)
		w.run(lasting, db.queue)
	}()
	return db, nil
}

// touch creates the file if it is not there, so that SQLite does not choose its mode, and makes its name durable.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		return f.Close()
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{"busy_timeout(5000)", "trusted_schema(0)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// openError turns what can go wrong with a path into a sentence with the next step.
func openError(err error) error {
	var e *sqlite.Error
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not read and write the file or its folder; choose another path: %w", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("its folder does not exist; create it first: %w", err)
	case !errors.As(err, &e):
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB:
		return errNotStore
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("the file is damaged; restore it from a backup (%v)", err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("another process is using the file; stop it first (%v)", err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return fmt.Errorf("the file or its folder cannot be written; choose another path (%v)", err)
	}
	return err
}

// Close waits for the writes under way, then closes the file. Writes that come later are agent.ErrFull.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	close(db.queue)
	db.mu.Unlock()
	<-db.done
	return errors.Join(db.stop(), db.readers.Close())
}

// Epoch implements agent.Store: 32 hex digits, made by chance with the file.
func (db *DB) Epoch(context.Context) (string, error) { return db.epoch, nil }

func newEpoch() string {
	var b [16]byte
	rand.Read(b[:]) // never fails, by its contract
	return hex.EncodeToString(b[:])
}

// Bounds on what one call may bring.
const (
	maxBlocks  = 1024
	maxBytes   = 16 << 20
	maxEntries = 256 // reservations, settlements
	maxName    = 512 // bytes of a ledger's key, an idempotency key, an owner, an account, an agent's name
	maxSigned  = 64 << 10
	maxKeys    = 1000 // ledgers asked for at once
	maxNumber  = 1<<63 - 1
)

// ours says whether c has the one form that our CIDs have, so that its bytes can be a key and its hash be checked.
func ours(c provenance.Link) bool {
	s := c.KeyString()
	return len(s) == 36 && s[0] == 1 && (s[1] == cid.DagCBOR || s[1] == cid.Raw) && s[2] == 0x12 && s[3] == 32
}

// checkBlock says whether b is what its CID says.
func checkBlock(b provenance.Block) error {
	switch {
	case !ours(b.CID):
		return fmt.Errorf("block %s is not a CIDv1 of dag-cbor or raw with sha2-256", b.CID)
	case len(b.Data) > provenance.MaxBlock:
		return fmt.Errorf("block %s has %d bytes, more than %d", b.CID, len(b.Data), provenance.MaxBlock)
	case provenance.Sum(uint64(b.CID.KeyString()[1]), b.Data) != b.CID:
		return fmt.Errorf("block %s: its bytes do not match its CID", b.CID)
	}
	return nil
}

// checkRead says whether stored bytes are still those of c.
func checkRead(c provenance.Link, data []byte) error {
	if provenance.Sum(uint64(c.KeyString()[1]), data) != c {
		return fmt.Errorf("block %s: %w", c, ErrCorrupt)
	}
	return nil
}

func checkBlocks(blocks []provenance.Block, leaves []provenance.Leaf) error {
	if len(blocks) > maxBlocks || len(leaves) > maxBlocks {
		return fmt.Errorf("%d blocks and %d leaves at once, more than %d", len(blocks), len(leaves), maxBlocks)
	}
	size := 0
	for _, b := range blocks {
		if err := checkBlock(b); err != nil {
			return err
		}
		size += len(b.Data)
	}
	for _, l := range leaves {
		if !ours(l.CID) {
			return fmt.Errorf("leaf %s is not a CIDv1 of dag-cbor or raw with sha2-256", l.CID)
		}
		if l.Held == nil {
			continue
		}
		if err := checkBlock(provenance.Block{CID: l.CID, Data: l.Held}); err != nil {
			return err
		}
		if !l.Ends {
			return fmt.Errorf("leaf %s is held back and does not end with its run", l.CID)
		}
		size += len(l.Held)
	}
	if size > maxBytes {
		return fmt.Errorf("%d bytes of blocks at once, more than %d", size, maxBytes)
	}
	return nil
}

func checkName(what, s string) error {
	if len(s) > maxName {
		return fmt.Errorf("%s has %d bytes, more than %d", what, len(s), maxName)
	}
	return nil
}

func checkSession(s agent.Session) error {
	if !ours(s.ID) {
		return fmt.Errorf("its id %s is not the CID of a grant", s.ID)
	}
	if len(s.Message) > maxSigned || len(s.Sig) > maxSigned {
		return fmt.Errorf("message of %d bytes, signature of %d: more than %d", len(s.Message), len(s.Sig), maxSigned)
	}
	if s.Chain > maxNumber || s.Revoked < 0 {
		return errors.New("chain id or time of revocation out of range")
	}
	return errors.Join(checkName("session key", s.Key), checkName("agent name", s.Agent))
}
