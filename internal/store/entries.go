package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance/logproof"

	"github.com/writ-run/writ/provenance"
)

// maxPublished bounds the text of a checkpoint.
const maxPublished = logproof.MaxProof

// addEntry gives c the next place in the log, unless it has one. There is one writer, so places have no gap.
// What stands there is the entry of the run that c is a head of, at that step.
func (tx *transaction) addEntry(ctx context.Context, c, run provenance.Link, seq uint64) error {
	logged := provenance.NewLogEntry(run, seq, c)
	return tx.exec(ctx, `INSERT INTO log (idx, cid, entry) SELECT coalesce(max(idx) + 1, 0), ?, ? FROM log WHERE true
		ON CONFLICT (cid) DO NOTHING`, linkBytes(c), logged[:])
}

var errOldEntry = errors.New("it was begun by an earlier version, whose log names each head; begin a new data folder")

func scanEntry(scan scanner) (e journal.Entry, err error) {
	var c, logged, receipt []byte
	var index int64
	err = scan(&index, &c, &logged, &receipt)
	e.Index = uint64(index)
	if err = errors.Join(err, parseLink(c, &e.CID), parseLink(receipt, &e.Receipt)); err != nil {
		return e, err
	}
	var ok bool
	if e.Logged, ok = provenance.ParseLogEntry(logged); !ok {
		return e, fmt.Errorf("entry %d of the log: %w", e.Index, errOldEntry)
	}
	return e, nil
}

// Entries implements journal.Database.
func (db entries) Entries(ctx context.Context, from uint64, limit int) ([]journal.Entry, error) {
	all, err := readAll(ctx, db.reads, scanEntry, `SELECT idx, cid, entry, receipt FROM log
		WHERE idx >= ? ORDER BY idx LIMIT ?`, int64(min(from, maxNumber)), max(limit, 0))
	if err != nil {
		return nil, fmt.Errorf("list log entries: %w", err)
	}
	return all, nil
}

// Entry implements journal.Database.
func (db entries) Entry(ctx context.Context, c provenance.Link) (journal.Entry, error) {
	e, err := readOne(ctx, db.reads, scanEntry, "SELECT idx, cid, entry, receipt FROM log WHERE cid = ?",
		linkBytes(c))
	if err != nil {
		return journal.Entry{}, fmt.Errorf("log entry %s: %w", c, err)
	}
	return e, nil
}

// AddEntry implements journal.Database.
func (db entries) AddEntry(ctx context.Context, b provenance.Block) (journal.Entry, error) {
	err := checkBlock(b)
	if err == nil {
		err = db.write(ctx, len(b.Data), func(ctx context.Context, tx *transaction) error {
			return cmp.Or(tx.putBlocks(ctx, []provenance.Block{b}, nil), tx.addEntry(ctx, b.CID, b.CID, 0))
		})
	}
	if err != nil {
		return journal.Entry{}, fmt.Errorf("add log entry %s: %w", b.CID, err)
	}
	return db.Entry(ctx, b.CID)
}

// PutReceipts implements journal.Database.
func (db entries) PutReceipts(ctx context.Context, receipts []journal.Entry, blocks []provenance.Block,
	checkpoint []byte) error {
	err := checkReceipts(receipts, blocks, checkpoint)
	if err == nil {
		err = db.write(ctx, len(checkpoint)+200*len(receipts), func(ctx context.Context, tx *transaction) error {
			if err := tx.putBlocks(ctx, blocks, nil); err != nil {
				return err
			}
			for _, e := range receipts {
				err := tx.exec(ctx, "UPDATE log SET receipt = ? WHERE idx = ? AND cid = ? AND receipt IS NULL",
					linkBytes(e.Receipt), int64(e.Index), linkBytes(e.CID))
				if err != nil {
					return err
				}
			}
			return tx.exec(ctx, `INSERT INTO meta VALUES ('checkpoint', ?)
				ON CONFLICT (key) DO UPDATE SET value = excluded.value`, string(checkpoint))
		})
	}
	if err != nil {
		return fmt.Errorf("put receipts: %w", err)
	}
	return nil
}

func checkReceipts(receipts []journal.Entry, blocks []provenance.Block, checkpoint []byte) error {
	if err := checkBlocks(blocks, nil); err != nil {
		return err
	}
	if len(receipts) > maxBlocks || len(checkpoint) > maxPublished {
		return fmt.Errorf("%d receipts and a checkpoint of %d bytes, more than %d and %d",
			len(receipts), len(checkpoint), maxBlocks, maxPublished)
	}
	for _, e := range receipts {
		if !isOurs(e.CID) || e.Receipt.Defined() && !isOurs(e.Receipt) || e.Index > maxNumber {
			return fmt.Errorf("entry %d is not one of ours", e.Index)
		}
	}
	return nil
}

// Unreceipted implements journal.Database.
func (db entries) Unreceipted(ctx context.Context) (index uint64, checkpoint []byte, err error) {
	var n int64
	err = db.readRow(ctx, `SELECT coalesce((SELECT min(idx) FROM log WHERE receipt IS NULL),
		(SELECT max(idx) + 1 FROM log), 0), (SELECT value FROM meta WHERE key = 'checkpoint')`, nil, &n, &checkpoint)
	if err != nil {
		return 0, nil, fmt.Errorf("newest checkpoint: %w", err)
	}
	return uint64(n), checkpoint, nil
}
