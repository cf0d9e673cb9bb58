package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
)

// copyPages is how many pages are copied between two looks at the context.
const copyPages = 2048

// Snapshot copies the store in the file at from to a new file, as it is at one moment, while others write it. tell, if
// not nil, hears how many pages are copied and how many there are.
func Snapshot(ctx context.Context, from, to string, tell func(done, total int)) (err error) {
	if _, err := os.Stat(from); err != nil { // else SQLite would create an empty file
		return err
	}
	if err := createFile(to); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy the store: %w", openError(err))
		}
	}()
	src, err := connectSQLite(from, 0)
	if err != nil {
		return err
	}
	defer src.close()
	if err := checkApplication(src); err != nil {
		return err
	}
	dst, err := connectSQLite(to, 0, "synchronous = full")
	if err != nil {
		return err
	}
	if err = copyDatabase(ctx, dst, src, tell); err == nil {
		// The row names a process that writes the original.
		_, err = dst.exec("DELETE FROM holder")
	}
	if err == nil {
		err = dst.runScript("PRAGMA journal_mode = delete") // one file, whole
	}
	return errors.Join(err, dst.close())
}

func checkApplication(c *sqliteConn) error {
	app, err := readInt(c, "PRAGMA application_id")
	if err == nil && app != applicationID {
		err = errNotStore
	}
	if err == nil {
		_, err = readVersion(c)
	}
	return err
}

func copyDatabase(ctx context.Context, dst, src *sqliteConn, tell func(done, total int)) (err error) {
	// In one transaction all pages are of one moment; without it each write of others would begin the copy anew.
	if err := src.runScript("BEGIN; SELECT count(*) FROM meta"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.runScript("ROLLBACK")) }()
	b, err := sqlite.NewBackup(dst.conn, "main", src.conn, "main")
	if err != nil {
		return sqliteFault(err)
	}
	for more := true; more && err == nil; {
		if err = context.Cause(ctx); err != nil {
			break
		}
		if more, err = b.Step(copyPages); err != nil {
			err = sqliteFault(err)
		} else if tell != nil {
			tell(b.PageCount()-b.Remaining(), b.PageCount())
		}
	}
	if e := b.Close(); err == nil && e != nil {
		err = sqliteFault(e)
	}
	return err
}

// A Contents says what a store holds.
type Contents struct {
	Epoch    string `json:"epoch"`
	Blocks   int64  `json:"blocks"`
	Runs     int64  `json:"runs"`
	Open     int64  `json:"open_runs"`
	Sessions int64  `json:"open_sessions"`
	Entries  int64  `json:"log_entries"`
	LogEpoch int    `json:"log_epoch"`
	// Nonces has the next nonce of each account that has sent (CAIP-10).
	Nonces map[string]uint64 `json:"nonces,omitempty"`
}

// Check looks at all of a copy that nobody uses: its pages, the hash of each block, and each step of its runs. It
// changes nothing in what the store says. journal.ErrCorrupt or journal.ErrSigned if something is damaged.
func Check(ctx context.Context, path string) (c Contents, err error) {
	if err := checkFile(path); err != nil {
		return c, err
	}
	db, err := Open(ctx, Config{DSN: SQLite(path), Shared: true})
	if err != nil {
		return c, fmt.Errorf("%w: %w", journal.ErrCorrupt, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.engine.checkDatabase(ctx); err != nil {
		return c, err
	}
	if err := db.checkAllBlocks(ctx); err != nil {
		return c, err
	}
	ends, err := db.runEnds(ctx, 1<<40)
	if err != nil {
		return c, err
	}
	for _, e := range ends {
		t, err := db.checkTail(ctx, e)
		if err == nil && t.why != "" {
			err = fmt.Errorf("run %s: %s: %w", e.run, t.why, journal.ErrCorrupt)
		}
		if err != nil {
			return c, err
		}
	}
	if err := db.checkEntries(ctx, 1<<40); err != nil {
		return c, err
	}
	return db.readContents(ctx)
}

// checkFile says whether there is a store, before SQLite would make one.
func checkFile(path string) error {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	return err
}

func (h *handle) checkAllBlocks(ctx context.Context) error {
	_, err := readAll(ctx, h.reads, func(scan scanner) (one struct{}, err error) {
		s := rawStep{}
		var id []byte
		if err := scan(&id, &s.data); err != nil {
			return one, err
		}
		if err := parseLink(id, &s.cid); err != nil {
			return one, err
		}
		return one, checkRead(s.cid, s.data)
	}, "SELECT cid, data FROM blocks ORDER BY id")
	return err
}

func (db recovery) readContents(ctx context.Context) (c Contents, err error) {
	now := time.Now().UnixMilli()
	err = db.readRow(ctx, `SELECT (SELECT count(*) FROM blocks), (SELECT count(*) FROM runs),
		(SELECT count(*) FROM runs WHERE closed = 0),
		(SELECT count(*) FROM sessions WHERE revoked = 0 AND expires > ?), (SELECT count(*) FROM log),
		coalesce((SELECT max(n) FROM epochs), 1)`, []any{now}, &c.Blocks, &c.Runs, &c.Open, &c.Sessions, &c.Entries,
		&c.LogEpoch)
	if err != nil {
		return c, err
	}
	c.Epoch, c.Nonces = db.epoch, map[string]uint64{}
	err = db.reads.query(ctx, "SELECT account, max(nonce) + 1 FROM tx_nonces GROUP BY account", nil,
		func(scan scanner) error {
			var account string
			var n int64
			err := scan(&account, &n)
			c.Nonces[account] = uint64(n)
			return err
		})
	return c, err
}

// A Restoration is what a restored store must not forget.
type Restoration struct {
	// Sent is what accounts have sent since the copy was made, as their chain has it. It counts as spent under each cap
	// that outlives a session.
	Sent []Sent
	// Unknown says that nobody could say what was sent: each such cap counts as used up.
	Unknown bool
	// Epoch, if not nil, begins a new epoch of the log.
	Epoch *journal.LogEpoch
}

// Sent is an amount that has left an account.
type Sent struct {
	To     string // EIP-55; empty if it is not known
	Amount money.Amount
}

// Restored is what a restoration has ended.
type Restored struct {
	Epoch    string `json:"epoch"`    // the store's new one
	Runs     int64  `json:"runs"`     // that were open
	Sessions int64  `json:"sessions"` // that were open
	Reserved int64  `json:"reserved"` // reservations that count as spent
}

// Restore makes a copy into a store that can be gone on with, in one transaction: sessions and open runs end, what was
// reserved counts as spent, messages that were not yet signed are forgotten, and the store has a new epoch. The next
// Open looks at all of it.
func Restore(ctx context.Context, path string, what Restoration) (r Restored, err error) {
	if err := checkFile(path); err != nil {
		return r, err
	}
	db, err := Open(ctx, Config{DSN: SQLite(path), Shared: true})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ends, err := db.runEnds(ctx, 1<<40)
	if err != nil {
		return r, err
	}
	r.Epoch = newEpoch()
	err = db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
		err := tx.readRow(ctx, `SELECT (SELECT count(*) FROM runs WHERE closed = 0),
			(SELECT count(*) FROM sessions WHERE revoked = 0 AND expires > ?),
			(SELECT count(*) FROM reservations WHERE settled IS NULL)`, []any{tx.now()}, &r.Runs, &r.Sessions, &r.Reserved)
		if err == nil {
			err = tx.endAll(ctx, ends)
		}
		for _, s := range []string{
			"DELETE FROM nonces", // else a message signed since the backup could be used a second time
			"DELETE FROM holder",
		} {
			if err == nil {
				err = tx.exec(ctx, s)
			}
		}
		if err == nil {
			err = tx.exec(ctx, "UPDATE meta SET value = ? WHERE key = 'epoch'", r.Epoch)
		}
		if err == nil {
			err = tx.noteSent(ctx, what)
		}
		if err == nil && what.Epoch != nil {
			err = tx.beginEpoch(ctx, *what.Epoch)
		}
		return err
	})
	if err == nil {
		err = db.rewriteMark(ctx)
	}
	if err != nil {
		return r, fmt.Errorf("restore the store: %w", err)
	}
	return r, nil
}

// rewriteMark has the mark say what the database counts, so that the next opening misses nothing.
func (h *handle) rewriteMark(ctx context.Context) error {
	e, ok := h.engine.(*sqliteFile)
	if !ok {
		return nil
	}
	var n int64
	if err := h.readRow(ctx, "SELECT value FROM meta WHERE key = 'writes'", nil, &n); err != nil {
		return err
	}
	return e.mark.rewrite(n)
}

// BeginEpoch begins a new epoch of the log in a store that nobody else writes.
func BeginEpoch(ctx context.Context, path string, e journal.LogEpoch) (err error) {
	if err := checkFile(path); err != nil {
		return err
	}
	db, err := Open(ctx, Config{DSN: SQLite(path), Shared: true})
	if err != nil {
		return err
	}
	err = db.write(ctx, 0, func(ctx context.Context, tx *transaction) error { return tx.beginEpoch(ctx, e) })
	return errors.Join(err, db.Close())
}
