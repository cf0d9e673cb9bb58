package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/writ-run/writ/internal/journal"
)

// maxAnchorTx bounds the bytes of an anchoring's transaction.
const maxAnchorTx = 4 << 10

// PutAnchoring stores a signed transaction. It is to be called before it is sent.
func (db anchors) PutAnchoring(ctx context.Context, a journal.Anchoring) error {
	err := error(nil)
	if len(a.Tx) == 0 || len(a.Tx) > maxAnchorTx || a.Nonce > maxNumber || a.Size > maxNumber {
		err = fmt.Errorf("a transaction of %d bytes, nonce %d, size %d", len(a.Tx), a.Nonce, a.Size)
	} else {
		err = db.write(ctx, len(a.Tx)+200, func(ctx context.Context, tx *transaction) error {
			return tx.exec(ctx, `INSERT INTO anchors (hash, slot, nonce, size, root, closed, made, tx)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (hash) DO NOTHING`,
				a.Hash[:], a.Slot, int64(a.Nonce), int64(a.Size), a.Root[:], a.Closed[:], a.Made, a.Tx)
		})
	}
	if err != nil {
		return fmt.Errorf("put anchor %x: %w", a.Hash, err)
	}
	return nil
}

// FinishAnchoring notes what came of a transaction: the block that has it and its time, or that it failed.
func (db anchors) FinishAnchoring(ctx context.Context, hash [32]byte, block uint64, time int64, failed bool) error {
	err := db.write(ctx, 100, func(ctx context.Context, tx *transaction) error {
		return tx.exec(ctx, "UPDATE anchors SET block = ?, time = ?, failed = ? WHERE hash = ?",
			int64(min(block, maxNumber)), time, failed, hash[:])
	})
	if err != nil {
		return fmt.Errorf("settle anchor %x: %w", hash, err)
	}
	return nil
}

// Anchorings returns the newest transactions, at most limit, the newest last.
func (db anchors) Anchorings(ctx context.Context, limit int) ([]journal.Anchoring, error) {
	scan := func(scan scanner) (a journal.Anchoring, err error) {
		var nonce, size, block int64
		var hash, root, closed []byte
		err = scan(&a.Slot, &nonce, &hash, &size, &root, &closed, &a.Made, &a.Tx, &block, &a.Time, &a.Failed)
		if err == nil && (len(hash) != 32 || len(root) != 32 || len(closed) != 32) {
			err = journal.ErrCorrupt
		}
		if err != nil {
			return a, err
		}
		a.Nonce, a.Size, a.Block = uint64(nonce), uint64(size), uint64(block)
		a.Hash, a.Root, a.Closed = [32]byte(hash), [32]byte(root), [32]byte(closed)
		return a, nil
	}
	all, err := readAll(ctx, db.reads, scan, `SELECT slot, nonce, hash, size, root, closed, made, tx, block, time, failed
		FROM anchors ORDER BY id DESC LIMIT ?`, max(limit, 0))
	if err != nil {
		return nil, fmt.Errorf("list anchors: %w", err)
	}
	slices.Reverse(all)
	return all, nil
}
