// Package sqlfile opens a SQLite file that stands beside the store in a data folder: what is in it can be made again,
// or is its own owner's matter. The store itself has stricter needs (internal/store).
package sqlfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// busyWait is how long a writer waits for another one, also of another process, before it fails.
const busyWait = 5 * time.Second

// connections is how many readers and writers may be at a file at once; more wait until their context ends.
const connections = 8

// A File is an open one. Many goroutines, and other processes, may use it at once.
type File struct{ pool *sqlitex.Pool }

// Open opens a file that its owner alone may read, or makes it, and prepares it in one transaction. Each pragma, such
// as "foreign_keys = 1", is set on each connection.
func Open(path string, pragmas []string, prepare func(*sqlite.Conn) error) (*File, error) {
	made, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // SQLite would let others read it
	if err == nil {
		err = made.Close()
	}
	if err != nil {
		return nil, err
	}
	pool, err := sqlitex.NewPool(path, sqlitex.PoolOptions{
		Flags: sqlite.OpenReadWrite | sqlite.OpenCreate | sqlite.OpenWAL, PoolSize: connections,
		PrepareConn: func(c *sqlite.Conn) error {
			c.SetBusyTimeout(busyWait)
			for _, p := range append([]string{"trusted_schema = 0"}, pragmas...) {
				if err := sqlitex.ExecuteTransient(c, "PRAGMA "+p, nil); err != nil {
					return fmt.Errorf("set %s: %w", p, err)
				}
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	f := &File{pool}
	if err := f.Write(context.Background(), prepare); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return f, nil
}

// Close closes it, once nobody uses it any more.
func (f *File) Close() error { return f.pool.Close() }

// Read runs do in a transaction that only reads: all of it is of one moment.
func (f *File) Read(ctx context.Context, do func(*sqlite.Conn) error) (err error) {
	c, err := f.pool.Take(ctx)
	if err != nil {
		return err
	}
	defer f.pool.Put(c)
	end := sqlitex.Transaction(c)
	defer end(&err)
	return do(c)
}

// Write runs do in a transaction of its own, which is undone if it fails.
func (f *File) Write(ctx context.Context, do func(*sqlite.Conn) error) (err error) {
	c, err := f.pool.Take(ctx)
	if err != nil {
		return err
	}
	defer f.pool.Put(c)
	end, err := sqlitex.ImmediateTransaction(c)
	if err != nil {
		return err
	}
	defer end(&err)
	return do(c)
}

// Exec runs a statement that returns no rows.
func Exec(c *sqlite.Conn, query string, args ...any) error {
	return sqlitex.Execute(c, query, &sqlitex.ExecOptions{Args: args})
}

// Each calls row for each row of a query, in order, until one fails.
func Each(c *sqlite.Conn, query string, row func(*sqlite.Stmt) error, args ...any) error {
	return sqlitex.Execute(c, query, &sqlitex.ExecOptions{Args: args, ResultFunc: row})
}

// Number returns the first column of a query's last row, and 0 if there is none.
func Number(c *sqlite.Conn, query string, args ...any) (n int64, err error) {
	err = Each(c, query, func(s *sqlite.Stmt) error { n = s.ColumnInt64(0); return nil }, args...)
	return n, err
}
