package store

import (
	"context"
	"errors"

	"github.com/writ-run/writ/internal/journal"
)

// A transaction is the one connection that writes, inside BEGIN and COMMIT. What each owner of tables does in it stands
// in the owner's file.
type transaction struct {
	conn   conn
	now    func() int64 // ms UTC
	most   int64        // sign-in nonces that may be outstanding
	nonces int64        // outstanding sign-in nonces; -1 if they must be counted
	ended  bool         // the commit at hand has deleted leaves that end with their run
	owner  string       // who holds the store; "" if it is not held
}

func (tx *transaction) exec(ctx context.Context, query string, args ...any) error {
	_, err := tx.conn.exec(query, args...)
	return err
}

// execCount runs query and returns how many rows it changed.
func (tx *transaction) execCount(ctx context.Context, query string, args ...any) (int64, error) {
	return tx.conn.exec(query, args...)
}

// readRow reads one row into dest. It returns journal.ErrNotFound if there is none.
func (tx *transaction) readRow(ctx context.Context, query string, args []any, dest ...any) error {
	return readRow(ctx, tx.conn, query, args, dest)
}

// exists says whether query finds a row of one column.
func (tx *transaction) exists(ctx context.Context, query string, args ...any) (bool, error) {
	var one int
	err := tx.readRow(ctx, query, args, &one)
	if errors.Is(err, journal.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
