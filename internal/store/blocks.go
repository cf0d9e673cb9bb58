package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// PutBlocks implements journal.Database.
func (db blocks) PutBlocks(ctx context.Context, blocks []provenance.Block, leaves []provenance.Leaf) error {
	err := cmp.Or(checkBlocks(blocks, leaves), checkLasting(leaves))
	if err == nil {
		size := 0
		for _, b := range blocks {
			size += len(b.Data)
		}
		err = db.write(ctx, size, func(ctx context.Context, tx *transaction) error {
			return tx.putBlocks(ctx, blocks, leaves)
		})
	}
	if err != nil {
		return fmt.Errorf("put blocks: %w", err)
	}
	return nil
}

// checkLasting refuses leaves that end with a run where there is no run.
func checkLasting(leaves []provenance.Leaf) error {
	for _, l := range leaves {
		if l.Ends {
			return fmt.Errorf("leaf %s ends with a run, and belongs to none", l.CID)
		}
	}
	return nil
}

func (tx *transaction) putBlocks(ctx context.Context, blocks []provenance.Block, leaves []provenance.Leaf) error {
	for _, b := range blocks {
		err := tx.exec(ctx, "INSERT INTO blocks (cid, data) VALUES (?, ?) ON CONFLICT DO NOTHING", linkBytes(b.CID),
			notNil(b.Data))
		if err != nil {
			return err
		}
	}
	for _, l := range leaves { // leaves that were erased stay erased
		err := tx.exec(ctx, `INSERT INTO leaves SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM erased WHERE cid = ?1)
			ON CONFLICT DO UPDATE SET key = excluded.key`, linkBytes(l.CID), l.Key[:])
		if err != nil {
			return err
		}
	}
	return nil
}

// errAbsent is the answer to who asks for a block that is not there: agents and readers of records have a word of
// their own for it.
var errAbsent error = absent{}

type absent struct{}

func (absent) Error() string { return journal.ErrNotFound.Error() }

func (absent) Is(target error) bool {
	return target == journal.ErrNotFound || target == provenance.ErrAbsent
}

// Block implements journal.Database. A block that is not there is provenance.ErrAbsent too, so that exports and
// gateways can read from a store. Bytes that no longer match their CID are [journal.ErrCorrupt].
func (db blocks) Block(ctx context.Context, c provenance.Link) ([]byte, error) {
	err := errAbsent
	var data []byte
	if isOurs(c) {
		err = db.readRow(ctx, "SELECT data FROM blocks WHERE cid = ?", []any{linkBytes(c)}, &data)
	}
	if errors.Is(err, journal.ErrNotFound) {
		if err = db.checkWithheld(ctx, c); err == nil {
			err = errAbsent
		}
	}
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	if err := checkRead(c, data); err != nil {
		return nil, err
	}
	return data, nil
}

// checkWithheld says whether a leaf is one that is withheld: also after its run has closed.
func (db blocks) checkWithheld(ctx context.Context, c provenance.Link) error {
	var withheld bool
	err := db.readRow(ctx, "SELECT withheld FROM fleeting WHERE cid = ?", []any{linkBytes(c)}, &withheld)
	switch {
	case errors.Is(err, journal.ErrNotFound):
		return nil
	case err == nil && withheld:
		return provenance.ErrWithheld
	}
	return err
}

// Withheld implements journal.Database.
func (db blocks) Withheld(ctx context.Context, c provenance.Link) ([]byte, error) {
	var data []byte
	err := db.readRow(ctx, "SELECT data FROM fleeting WHERE cid = ? AND data IS NOT NULL", []any{linkBytes(c)}, &data)
	if err != nil {
		return nil, fmt.Errorf("leaf %s: %w", c, err)
	}
	return data, checkRead(c, data)
}

// LeafKey implements journal.Database.
func (db blocks) LeafKey(ctx context.Context, c provenance.Link) (k provenance.LeafKey, err error) {
	var b []byte
	if err := db.readRow(ctx, "SELECT key FROM leaves WHERE cid = ?", []any{linkBytes(c)}, &b); err != nil {
		return k, fmt.Errorf("key of leaf %s: %w", c, err)
	}
	copy(k[:], b)
	return k, nil
}

// endLeaves notes the leaves of a commit that end with their run, and, if the commit closes the run, ends them.
func (tx *transaction) endLeaves(ctx context.Context, run int64, c *journal.Commit) error {
	for _, l := range c.Leaves {
		if !l.Ends {
			continue
		}
		var data any
		if l.Withheld != nil {
			data = l.Withheld
		}
		err := tx.exec(ctx, "INSERT INTO fleeting VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", linkBytes(l.CID), run,
			l.Withheld != nil, data)
		if err != nil {
			return err
		}
	}
	if !isClosed(c.Status) {
		return nil
	}
	err := tx.exec(ctx, "INSERT INTO erased SELECT cid FROM fleeting WHERE run = ? ON CONFLICT DO NOTHING", run)
	if err != nil {
		return err
	}
	n, err := tx.execCount(ctx, "DELETE FROM leaves WHERE cid IN (SELECT cid FROM fleeting WHERE run = ?)", run)
	if err != nil || n == 0 {
		return err
	}
	tx.ended = true
	if err := tx.exec(ctx, "DELETE FROM fleeting WHERE run = ? AND withheld = 0", run); err != nil {
		return err
	}
	return tx.exec(ctx, "UPDATE fleeting SET data = NULL WHERE run = ?", run)
}
