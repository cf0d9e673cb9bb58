package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/provenance"
)

// checkLasting refuses leaves that end with a run where there is no run.
func checkLasting(leaves []provenance.Leaf) error {
	for _, l := range leaves {
		if l.Ends {
			return fmt.Errorf("leaf %s ends with a run, and belongs to none", l.CID)
		}
	}
	return nil
}

// fleet notes the leaves of a commit that end with their run, and, if the commit closes the run, ends them.
func (w *writer) fleet(ctx context.Context, run int64, c *agent.Commit) error {
	for _, l := range c.Leaves {
		if !l.Ends {
			continue
		}
		var data any
		if l.Held != nil {
			data = l.Held
		}
		err := w.exec(ctx, "INSERT INTO fleeting VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", key(l.CID), run, l.Held != nil, data)
		if err != nil {
			return err
		}
	}
	if !closed(c.Status) {
		return nil
	}
	n, err := w.changed(ctx, "DELETE FROM leaves WHERE cid IN (SELECT cid FROM fleeting WHERE run = ?)", run)
	if err != nil || n == 0 {
		return err
	}
	w.ended = true
	if err := w.exec(ctx, "DELETE FROM fleeting WHERE run = ? AND held = 0", run); err != nil {
		return err
	}
	return w.exec(ctx, "UPDATE fleeting SET data = NULL WHERE run = ?", run)
}

// withheld says whether a leaf is one that is held back, now or until its run closed.
func (db *DB) withheld(ctx context.Context, c provenance.Link) error {
	var held int
	err := db.get(ctx, "SELECT held FROM fleeting WHERE cid = ?", []any{key(c)}, &held)
	switch {
	case errors.Is(err, agent.ErrNotFound):
		return nil
	case err == nil && held == 1:
		return provenance.ErrWithheld
	}
	return err
}

// Held implements agent.Store.
func (db *DB) Held(ctx context.Context, c provenance.Link) ([]byte, error) {
	var data []byte
	err := db.get(ctx, "SELECT data FROM fleeting WHERE cid = ? AND data IS NOT NULL", []any{key(c)}, &data)
	if err != nil {
		return nil, fmt.Errorf("leaf %s: %w", c, err)
	}
	return data, checkRead(c, data)
}

// Erase implements agent.Eraser, so that nobody can open the leaves any more here; their ciphertext and every
// CID stay. The keys' bytes are overwritten in the file, and the journal that still had them is emptied as soon as no
// reader needs it. Backups are the operator's to erase. agent.ErrConflict if the run is not closed, or has another head
// by now;
// agent.ErrOnHold if it, or its wallet, is under a legal hold; agent.ErrShared if it is Shared, and another run of its
// session is open, or one of its wallet under a hold.
func (db *DB) Erase(ctx context.Context, all ...agent.Erasure) error {
	blocks := make([]provenance.Block, 0, 2*len(all))
	size := 0
	for _, e := range all {
		blocks = append(blocks, e.Record, e.Head)
		size += len(e.Head.Data) + len(e.Record.Data)
	}
	err := checkBlocks(blocks, nil)
	if err == nil {
		err = db.do(ctx, size, func(ctx context.Context, w *writer) error {
			for i := range all {
				if err := w.erase(ctx, &all[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err == nil {
		err = db.truncate(ctx)
	}
	if err != nil {
		return fmt.Errorf("erase leaves: %w", err)
	}
	return nil
}

func (w *writer) erase(ctx context.Context, e *agent.Erasure) error {
	n, err := w.changed(ctx, "UPDATE runs SET head = ? WHERE cid = ? AND head = ? AND closed = 1", key(e.Head.CID), key(e.Run), key(e.Old))
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("run %s is not closed, or has another head: %w", e.Run, agent.ErrConflict)
	}
	for _, run := range append([]provenance.Link{e.Run}, e.Callers...) { // here, so that one that is made meanwhile counts
		if err := w.checkHolds(ctx, run); err != nil {
			return err
		}
	}
	if e.Shared {
		if err := w.checkShared(ctx, e.Run); err != nil {
			return err
		}
	}
	if err := w.putBlocks(ctx, []provenance.Block{e.Record, e.Head}, nil); err != nil {
		return err
	}
	if err := w.addEntry(ctx, e.Head.CID); err != nil {
		return err
	}
	for _, l := range e.Leaves {
		if err := w.exec(ctx, "DELETE FROM leaves WHERE cid = ?", key(l)); err != nil {
			return err
		}
	}
	return nil
}

// EraseLeaf deletes the key of one sealed leaf, as [DB.Erase] does, without a record of it. Erasing a key that is not
// there changes nothing.
func (db *DB) EraseLeaf(ctx context.Context, c provenance.Link) error {
	err := db.do(ctx, 0, func(ctx context.Context, w *writer) error {
		return w.exec(ctx, "DELETE FROM leaves WHERE cid = ?", key(c))
	})
	if err == nil {
		err = db.truncate(ctx)
	}
	if err != nil {
		return fmt.Errorf("erase leaf %s: %w", c, err)
	}
	return nil
}

// truncate empties the write-ahead log, which may still hold what was deleted.
func (db *DB) truncate(ctx context.Context) error {
	var busy, frames, moved int
	return db.get(ctx, "PRAGMA wal_checkpoint(TRUNCATE)", nil, &busy, &frames, &moved)
}
