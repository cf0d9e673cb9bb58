package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Unpushed lists at most limit runs that are to be pushed, oldest first. That follows from the journal: a run's newest
// head is not the one noted by [DB.NotePushed]. A run without a head is not listed.
func (db pushes) Unpushed(ctx context.Context, limit int) ([]journal.Push, error) {
	list, err := readAll(ctx, db.reads, scanPush, `SELECT runs.cid, runs.head, pushed.head FROM runs
		LEFT JOIN pushed ON pushed.run = runs.id
		WHERE length(runs.head) > 0 AND runs.head IS DISTINCT FROM pushed.head ORDER BY runs.id LIMIT ?`, max(limit, 0))
	if err != nil {
		return nil, fmt.Errorf("list what is not pushed: %w", err)
	}
	return list, nil
}

func scanPush(scan scanner) (p journal.Push, err error) {
	var run, head, old []byte
	err = scan(&run, &head, &old)
	return p, errors.Join(err, parseLink(run, &p.Run), parseLink(head, &p.Head), parseLink(old, &p.Old))
}

// NotePushed notes that a run's head was pushed. It changes nothing for a run that is not there.
func (db pushes) NotePushed(ctx context.Context, run, head provenance.Link) error {
	err := db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
		return tx.exec(ctx, `INSERT INTO pushed (run, head) SELECT id, ? FROM runs WHERE cid = ?
			ON CONFLICT (run) DO UPDATE SET head = excluded.head`, linkBytes(head), linkBytes(run))
	})
	if err != nil {
		return fmt.Errorf("note the push of %s: %w", run, err)
	}
	return nil
}
