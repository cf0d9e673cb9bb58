package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/internal/journal"
)

// A sqliteFile is a store in one file, with a write-ahead log beside it.
type sqliteFile struct {
	conn    *sqliteConn // the writer's
	readers *sqlitePool
	mark    *mark
	files   sqliteFiles
	count   int64 // of the group under way
}

// openFile opens the store in the file at path.
func openFile(ctx context.Context, path string, c Config) (db *DB, err error) {
	defer func() {
		if err != nil {
			err = openError(err)
		}
	}()
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	if err := createFile(path); err != nil {
		return nil, err
	}
	var damage *logDamage
	if !c.Shared {
		if damage, err = checkLog(path); err != nil {
			return nil, err
		}
	}
	e := &sqliteFile{readers: newPool(path), files: sqliteFiles{path: path, seen: map[string]os.FileInfo{}}}
	// What undoes one job of a group is kept in memory: it would be a file of its own in each transaction.
	e.conn, err = connectSQLite(path, 0, "journal_mode = wal", "synchronous = full", "foreign_keys = 1",
		"secure_delete = 1", "temp_store = memory", "wal_autocheckpoint = 4000", "journal_size_limit = 67108864")
	if err != nil {
		return nil, err
	}
	w := newWriter(e.conn, e, c)
	epoch, err := migrate(e.conn, w.tx.now())
	if err == nil && w.tx.owner != "" {
		err = w.takeOwnership(ctx, cmp.Or(c.hold, holdFor))
	}
	if err == nil && damage != nil {
		err = w.tx.noteDamage(ctx, damage)
	}
	if err == nil {
		e.mark, err = openMark(path)
	}
	if err == nil && !c.Shared {
		err = e.checkMark(ctx, w.tx)
	}
	if err == nil {
		err = e.files.check()
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	h := &handle{engine: e, reads: e.readers, epoch: epoch, now: c.Now, writer: w}
	h.startWriter(ctx, c.Queue)
	h.startRenewing(ctx)
	return newDB(h), nil
}

// createFile creates the file if it is not there, so that SQLite does not choose its mode, and makes its name durable.
func createFile(path string) error {
	if err := refuseLink(path); err != nil {
		return err
	}
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

// refuseLink refuses a link under a name of ours: what is written would go elsewhere.
func refuseLink(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		err = fmt.Errorf("%s is a link; look where it leads, and move it away", path)
	}
	return err
}

// openError turns what can go wrong with a path into a sentence with the next step.
func openError(err error) error {
	switch {
	case errors.Is(err, journal.ErrHeld):
		return fmt.Errorf("another writ uses it; stop that one first: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not read and write the file or its folder; choose another path: %w", err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("its folder does not exist; create it first: %w", err)
	}
	switch kind, _ := faultOf(err); kind {
	case faultFormat:
		return errNotStore
	case faultDamaged:
		return damagedError{fmt.Errorf("the file is damaged; restore it from a backup (%w)", err)}
	case faultBusy:
		return fmt.Errorf("another process is using the file; stop it first (%v)", err)
	case faultReadOnly:
		return fmt.Errorf("the file or its folder cannot be written; choose another path (%v)", err)
	}
	return err
}

// A damagedError is a file whose bytes are not what was stored: journal.ErrCorrupt in other words.
type damagedError struct{ error }

func (damagedError) Is(target error) bool { return target == journal.ErrCorrupt }

func (e *sqliteFile) beforeCommit(ctx context.Context, tx *transaction) (err error) {
	e.count, err = tx.countGroup(ctx)
	return err
}

func (e *sqliteFile) afterCommit() error {
	_ = e.mark.writeCount(e.count) // an old mark is true
	return e.files.check()
}

func (e *sqliteFile) checkFiles() error { return e.files.check() }

// purgeDeleted empties the write-ahead log, which may still have what was deleted.
func (e *sqliteFile) purgeDeleted(ctx context.Context) error {
	return e.readers.query(ctx, "PRAGMA wal_checkpoint(TRUNCATE)", nil, func(scanner) error { return nil })
}

func (e *sqliteFile) checkDatabase(ctx context.Context) error { return checkPages(ctx, e.readers) }

func (e *sqliteFile) close() error {
	errs := []error{e.readers.close(), e.conn.close()}
	if e.mark != nil {
		errs = append(errs, e.mark.file.Close())
	}
	return errors.Join(errs...)
}

// checkPages has SQLite look at every page.
func checkPages(ctx context.Context, r reader) error {
	found, err := readOne(ctx, r, func(scan scanner) (s string, err error) { return s, scan(&s) },
		"PRAGMA integrity_check(1)")
	if err == nil && found != "ok" {
		err = fmt.Errorf("%w: its log is damaged, and without it %s", journal.ErrCorrupt, found)
	}
	return err
}

// A sqliteMemory is a store without a disk. It has one connection, which readers and the writer use in turn, so that a
// reader sees what is committed and nothing else.
type sqliteMemory struct {
	conn *sqliteConn
	mu   *sync.Mutex // guards conn: the writer has it for the length of a group
}

// openMemory opens a store of its own. SQLite's memdb keeps it as a file would be, which is faster than its :memory:
// databases, whose page cache is walked at each commit.
func openMemory(ctx context.Context, c Config) (*DB, error) {
	conn, err := connectSQLite("file:writ?vfs=memdb", sqlite.OpenCreate|sqlite.OpenURI, "locking_mode = exclusive",
		"journal_mode = memory", "synchronous = off", "foreign_keys = 1", "secure_delete = 1")
	if err != nil {
		return nil, fmt.Errorf("open store in memory: %w", err)
	}
	e := &sqliteMemory{conn: conn}
	w := newWriter(conn, e, c)
	e.mu = &w.mu
	epoch, err := migrate(conn, w.tx.now())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store in memory: %w", err), conn.close())
	}
	return newDB(&handle{engine: e, reads: e, epoch: epoch, now: c.Now, writer: w}), nil
}

func (e *sqliteMemory) query(ctx context.Context, query string, args []any, row func(scanner) error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conn == nil {
		return errClosed
	}
	return e.conn.query(context.WithoutCancel(ctx), query, args, row)
}

func (e *sqliteMemory) readRow(ctx context.Context, query string, args, dest []any) (found bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conn == nil {
		return false, errClosed
	}
	return e.conn.readRow(ctx, query, args, dest)
}

func (*sqliteMemory) beforeCommit(context.Context, *transaction) error { return nil }
func (*sqliteMemory) afterCommit() error                               { return nil }
func (*sqliteMemory) checkFiles() error                                { return nil }
func (*sqliteMemory) purgeDeleted(context.Context) error               { return nil }
func (e *sqliteMemory) checkDatabase(ctx context.Context) error        { return checkPages(ctx, e) }

func (e *sqliteMemory) close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	conn := e.conn
	e.conn = nil
	return conn.close()
}
