package store

import (
	"context"
	"fmt"

	"github.com/writ-run/writ/provenance"
)

// A Push is a run whose newest head is not noted as pushed.
type Push struct {
	Run, Head provenance.Link
	Old       provenance.Link // the head that was noted; undefined if none was
}

// Unpushed lists at most limit runs that are to be pushed, oldest first. That follows from the journal: a run's newest
// head is not the one noted by [DB.Pushed]. A run without a head is not listed.
func (db *DB) Unpushed(ctx context.Context, limit int) ([]Push, error) {
	rows, err := db.readers.QueryContext(ctx, `SELECT runs.cid, runs.head, pushed.head FROM runs
		LEFT JOIN pushed ON pushed.run = runs.id
		WHERE length(runs.head) > 0 AND runs.head IS NOT pushed.head ORDER BY runs.id LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("list what is not pushed: %w", err)
	}
	defer rows.Close()
	var list []Push
	for rows.Next() {
		var run, head, old []byte
		var p Push
		if err := rows.Scan(&run, &head, &old); err != nil {
			return nil, fmt.Errorf("list what is not pushed: %w", err)
		}
		for _, x := range []struct {
			from []byte
			to   *provenance.Link
		}{{run, &p.Run}, {head, &p.Head}, {old, &p.Old}} {
			if err := link(x.from, x.to); err != nil {
				return nil, fmt.Errorf("list what is not pushed: %w", err)
			}
		}
		list = append(list, p)
	}
	return list, rows.Err()
}

// Pushed notes that a run's head was pushed. It changes nothing for a run that is not there.
func (db *DB) Pushed(ctx context.Context, run, head provenance.Link) error {
	err := db.do(ctx, 0, func(ctx context.Context, w *writer) error {
		return w.exec(ctx, `INSERT INTO pushed (run, head) SELECT id, ? FROM runs WHERE cid = ?
			ON CONFLICT (run) DO UPDATE SET head = excluded.head`, key(head), key(run))
	})
	if err != nil {
		return fmt.Errorf("note the push of %s: %w", run, err)
	}
	return nil
}
