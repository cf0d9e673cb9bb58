package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Erase implements journal.Database, so that nobody can open the leaves any more here; their ciphertext and every CID
// stay. The keys' bytes are overwritten in the file, and the journal that still had them is emptied as soon as no
// reader needs it. Backups are the operator's to erase. journal.ErrConflict if the run is not closed, or has another
// head by now; journal.ErrOnHold if it, or its wallet, is under a legal hold; journal.ErrShared if it is Shared, and
// another run of its session is open, or one of its wallet under a hold.
func (db erasures) Erase(ctx context.Context, all ...journal.Erasure) error {
	blocks := make([]provenance.Block, 0, 2*len(all))
	size := 0
	for _, e := range all {
		blocks = append(blocks, e.Record, e.Head)
		size += len(e.Head.Data) + len(e.Record.Data)
	}
	err := checkBlocks(blocks, nil)
	if err == nil {
		err = db.write(ctx, size, func(ctx context.Context, tx *transaction) error {
			for i := range all {
				if err := tx.eraseRun(ctx, &all[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil {
		err = db.engine.purgeDeleted(ctx)
	}
	if err != nil {
		return fmt.Errorf("erase leaves: %w", err)
	}
	return nil
}

func (tx *transaction) eraseRun(ctx context.Context, e *journal.Erasure) error {
	n, err := tx.execCount(ctx, "UPDATE runs SET head = ? WHERE cid = ? AND head = ? AND closed = 1",
		linkBytes(e.Head.CID), linkBytes(e.Run), linkBytes(e.Old))
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("run %s is not closed, or has another head: %w", e.Run, journal.ErrConflict)
	}
	// Looked up in this transaction, so that a run opened meanwhile counts.
	for _, run := range append([]provenance.Link{e.Run}, e.Callers...) {
		if err := tx.checkHolds(ctx, run); err != nil {
			return err
		}
	}
	if e.Shared {
		if err := tx.checkShared(ctx, e.Run); err != nil {
			return err
		}
	}
	if err := tx.putBlocks(ctx, []provenance.Block{e.Record, e.Head}, nil); err != nil {
		return err
	}
	var steps int64
	if err := tx.readRow(ctx, "SELECT steps FROM runs WHERE cid = ?", []any{linkBytes(e.Run)}, &steps); err != nil {
		return err
	}
	if err := tx.addEntry(ctx, e.Head.CID, e.Run, uint64(steps-1)); err != nil { // the head names the run's last step
		return err
	}
	for _, l := range e.Leaves {
		if err := tx.eraseKey(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// eraseKey deletes a leaf's key and remembers that, so that no copy of it comes back.
func (tx *transaction) eraseKey(ctx context.Context, leaf provenance.Link) error {
	err := tx.exec(ctx, "INSERT INTO erased VALUES (?) ON CONFLICT DO NOTHING", linkBytes(leaf))
	if err == nil {
		err = tx.exec(ctx, "DELETE FROM leaves WHERE cid = ?", linkBytes(leaf))
	}
	return err
}

// checkShared says whether what a run shares is still needed: by a run of its session that is open, or by one that is
// under a legal hold, of any session of its wallet, since one session's key may have ended another.
func (tx *transaction) checkShared(ctx context.Context, run provenance.Link) error {
	var needed bool
	err := tx.readRow(ctx, `SELECT EXISTS (SELECT 1 FROM runs WHERE account = mine.account AND (`+runOnHold+`
		OR closed = 0 AND session = mine.session)) FROM runs AS mine WHERE cid = ?`, []any{linkBytes(run)}, &needed)
	if err == nil && needed {
		return fmt.Errorf("run %s: %w", run, journal.ErrShared)
	}
	return err
}

// EraseLeaf deletes the key of one sealed leaf, as [DB.Erase] does, without a record of it. Erasing a key that is not
// there changes nothing.
func (db erasures) EraseLeaf(ctx context.Context, c provenance.Link) error {
	err := db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
		return tx.eraseKey(ctx, c)
	})
	if err == nil {
		err = db.engine.purgeDeleted(ctx)
	}
	if err != nil {
		return fmt.Errorf("erase leaf %s: %w", c, err)
	}
	return nil
}

// EndedRuns implements journal.Database.
func (db retention) EndedRuns(ctx context.Context, before, after int64, limit int) ([]journal.EndedRun, error) {
	runs, err := readAll(ctx, db.reads, func(scan scanner) (r journal.EndedRun, err error) {
		var id []byte
		err = scan(&r.ID, &id)
		return r, errors.Join(err, parseLink(id, &r.Run))
	}, `SELECT id, cid FROM runs WHERE closed = 1 AND swept = 0 AND ended <= ? AND id > ?
		AND NOT `+runOnHold+` ORDER BY id LIMIT ?`,
		before, after, max(limit, 0))
	if err != nil {
		return nil, fmt.Errorf("list ended runs: %w", err)
	}
	return runs, nil
}

// NoteSwept implements journal.Database.
func (db retention) NoteSwept(ctx context.Context, run provenance.Link, at int64) error {
	err := db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
		return tx.exec(ctx, "UPDATE runs SET swept = ? WHERE cid = ? AND closed = 1", at, linkBytes(run))
	})
	if err != nil {
		return fmt.Errorf("note that run %s is swept: %w", run, err)
	}
	return nil
}
