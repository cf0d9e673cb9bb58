package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// A conn is a connection to the database. One goroutine uses it at a time. Arguments are nil, int64, int, bool,
// string or []byte; an error of the database is a [fault].
type conn interface {
	reader
	// exec runs a statement and returns how many rows it changed.
	exec(query string, args ...any) (changed int64, err error)
}

// A reader runs queries.
type reader interface {
	// query calls row for each row that query finds, until row fails. The values of a row are read by scan, in the order
	// of the columns, and are the caller's to keep.
	query(ctx context.Context, query string, args []any, row func(scan scanner) error) error
	// readRow reads the columns of the first row that query finds, if there is one. It costs less than query, and is not
	// cancelled: it is over before it could be.
	readRow(ctx context.Context, query string, args, dest []any) (found bool, err error)
}

// A scanner reads the columns of a row into pointers to int64, int, uint8, bool, string, []byte or [32]byte.
type scanner func(dest ...any) error

// A fault is an error of the database, with what it means for the caller.
type fault struct {
	kind faultKind
	err  error
}

type faultKind int

const (
	faultDisk    faultKind = iota // what became of the transaction is unknown
	faultRefusal                  // the one statement is refused, and nothing else is wrong
	faultFull                     // there is no room
	faultBusy                     // another process is in the way
	faultFormat                   // this is no database of ours
	faultDamaged
	faultReadOnly
)

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// faultOf returns what an error of the database means, or false if err is none.
func faultOf(err error) (faultKind, bool) {
	f, ok := errors.AsType[*fault](err)
	if !ok {
		return 0, false
	}
	return f.kind, true
}

// readOne reads one row of what is committed. It returns journal.ErrNotFound if there is none.
func readOne[T any](ctx context.Context, r reader, scan func(scanner) (T, error), query string, args ...any) (v T,
	err error) {
	return scan(func(dest ...any) error { return readRow(ctx, r, query, args, dest) })
}

// readRow reads the columns of one row. It returns journal.ErrNotFound if there is none.
func readRow(ctx context.Context, r reader, query string, args, dest []any) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	found, err := r.readRow(ctx, query, args, dest)
	if err == nil && !found {
		err = journal.ErrNotFound
	}
	return err
}

// readRow reads the columns of one row of what is committed. It returns journal.ErrNotFound if there is none.
func (h *handle) readRow(ctx context.Context, query string, args []any, dest ...any) error {
	return readRow(ctx, h.reads, query, args, dest)
}

// readAll reads all rows that query finds in what is committed.
func readAll[T any](ctx context.Context, r reader, scan func(scanner) (T, error), query string, args ...any) ([]T,
	error) {
	var all []T
	err := r.query(ctx, query, args, func(row scanner) error {
		v, err := scan(row)
		all = append(all, v)
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// parseLink reads a stored CID. Nothing stored is the undefined one.
func parseLink(b []byte, c *provenance.Link) error {
	if len(b) == 0 {
		return nil
	}
	got, err := cid.Cast(b)
	if err != nil {
		return fmt.Errorf("a stored CID: %w", err)
	}
	*c = got
	return nil
}

// linkBytes returns the CID's bytes, under which a block is stored.
func linkBytes(c provenance.Link) []byte { return notNil(c.Bytes()) }

// notNil keeps an empty value from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
