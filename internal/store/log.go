package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/provenance"
)

// maxPublished bounds the text of a checkpoint.
const maxPublished = provenance.MaxProof

// addEntry gives c the next place in the log, unless it has one. There is one writer, so places have no gap.
func (w *writer) addEntry(ctx context.Context, c provenance.Link) error {
	return w.exec(ctx, `INSERT INTO log (idx, cid) SELECT coalesce(max(idx) + 1, 0), ? FROM log WHERE true
		ON CONFLICT (cid) DO NOTHING`, key(c))
}

func scanEntry(scan func(...any) error) (e agent.Entry, err error) {
	var c, receipt []byte
	var index int64
	err = scan(&index, &c, &receipt)
	e.Index = uint64(index)
	return e, errors.Join(err, link(c, &e.CID), link(receipt, &e.Receipt))
}

// Entries implements agent.Store.
func (db *DB) Entries(ctx context.Context, from uint64, limit int) ([]agent.Entry, error) {
	all, err := list(ctx, db, scanEntry, "SELECT idx, cid, receipt FROM log WHERE idx >= ? ORDER BY idx LIMIT ?",
		int64(min(from, maxNumber)), max(limit, 0))
	if err != nil {
		return nil, fmt.Errorf("list log entries: %w", err)
	}
	return all, nil
}

// Entry implements agent.Store.
func (db *DB) Entry(ctx context.Context, c provenance.Link) (agent.Entry, error) {
	e, err := scanEntry(db.readers.QueryRowContext(ctx, "SELECT idx, cid, receipt FROM log WHERE cid = ?", key(c)).Scan)
	if err != nil {
		return agent.Entry{}, fmt.Errorf("log entry %s: %w", c, notFound(err))
	}
	return e, nil
}

// AddEntry implements agent.Store.
func (db *DB) AddEntry(ctx context.Context, b provenance.Block) (agent.Entry, error) {
	err := checkBlock(b)
	if err == nil {
		err = db.do(ctx, len(b.Data), func(ctx context.Context, w *writer) error {
			return cmp.Or(w.putBlocks(ctx, []provenance.Block{b}, nil), w.addEntry(ctx, b.CID))
		})
	}
	if err != nil {
		return agent.Entry{}, fmt.Errorf("add log entry %s: %w", b.CID, err)
	}
	return db.Entry(ctx, b.CID)
}

// PutReceipts implements agent.Store.
func (db *DB) PutReceipts(ctx context.Context, receipts []agent.Entry, blocks []provenance.Block, checkpoint []byte) error {
	err := checkReceipts(receipts, blocks, checkpoint)
	if err == nil {
		err = db.do(ctx, len(checkpoint)+200*len(receipts), func(ctx context.Context, w *writer) error {
			if err := w.putBlocks(ctx, blocks, nil); err != nil {
				return err
			}
			for _, e := range receipts {
				err := w.exec(ctx, "UPDATE log SET receipt = ? WHERE idx = ? AND cid = ? AND receipt IS NULL",
					key(e.Receipt), int64(e.Index), key(e.CID))
				if err != nil {
					return err
				}
			}
			return w.exec(ctx, `INSERT INTO meta VALUES ('checkpoint', ?)
				ON CONFLICT (key) DO UPDATE SET value = excluded.value`, string(checkpoint))
		})
	}
	if err != nil {
		return fmt.Errorf("put receipts: %w", err)
	}
	return nil
}

func checkReceipts(receipts []agent.Entry, blocks []provenance.Block, checkpoint []byte) error {
	if err := checkBlocks(blocks, nil); err != nil {
		return err
	}
	if len(receipts) > maxBlocks || len(checkpoint) > maxPublished {
		return fmt.Errorf("%d receipts and a checkpoint of %d bytes, more than %d and %d",
			len(receipts), len(checkpoint), maxBlocks, maxPublished)
	}
	for _, e := range receipts {
		if !ours(e.CID) || e.Receipt.Defined() && !ours(e.Receipt) || e.Index > maxNumber {
			return fmt.Errorf("entry %d is not one of ours", e.Index)
		}
	}
	return nil
}

// Unreceipted implements agent.Store.
func (db *DB) Unreceipted(ctx context.Context) (index uint64, checkpoint []byte, err error) {
	var n int64
	err = db.get(ctx, `SELECT coalesce((SELECT min(idx) FROM log WHERE receipt IS NULL),
		(SELECT max(idx) + 1 FROM log), 0), (SELECT value FROM meta WHERE key = 'checkpoint')`, nil, &n, &checkpoint)
	if err != nil {
		return 0, nil, fmt.Errorf("newest checkpoint: %w", err)
	}
	return uint64(n), checkpoint, nil
}

// A memoryLog is the log of a [Memory]. Its fields are guarded by Memory.mu.
type memoryLog struct {
	entries    []agent.Entry
	index      map[provenance.Link]int
	noted      []bool // PutReceipts was called
	checkpoint []byte
}

func (m *Memory) addEntry(c provenance.Link) {
	l := &m.log
	if _, there := l.index[c]; there {
		return
	}
	if l.index == nil {
		l.index = map[provenance.Link]int{}
	}
	l.index[c] = len(l.entries)
	l.entries = append(l.entries, agent.Entry{Index: uint64(len(l.entries)), CID: c})
	l.noted = append(l.noted, false)
}

// Entries implements agent.Store.
func (m *Memory) Entries(_ context.Context, from uint64, limit int) ([]agent.Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n := uint64(len(m.log.entries))
	from = min(from, n)
	return slices.Clone(m.log.entries[from:min(n, from+uint64(max(limit, 0)))]), nil
}

// Entry implements agent.Store.
func (m *Memory) Entry(_ context.Context, c provenance.Link) (agent.Entry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	i, ok := m.log.index[c]
	if !ok {
		return agent.Entry{}, fmt.Errorf("log entry %s: %w", c, agent.ErrNotFound)
	}
	return m.log.entries[i], nil
}

// AddEntry implements agent.Store.
func (m *Memory) AddEntry(ctx context.Context, b provenance.Block) (agent.Entry, error) {
	if err := cmp.Or(context.Cause(ctx), checkBlock(b)); err != nil {
		return agent.Entry{}, fmt.Errorf("add log entry %s: %w", b.CID, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put([]provenance.Block{b}, nil)
	m.addEntry(b.CID)
	return m.log.entries[m.log.index[b.CID]], nil
}

// PutReceipts implements agent.Store.
func (m *Memory) PutReceipts(ctx context.Context, receipts []agent.Entry, blocks []provenance.Block, checkpoint []byte) error {
	if err := cmp.Or(context.Cause(ctx), checkReceipts(receipts, blocks, checkpoint)); err != nil {
		return fmt.Errorf("put receipts: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put(blocks, nil)
	for _, e := range receipts {
		if i, ok := m.log.index[e.CID]; ok && uint64(i) == e.Index && !m.log.noted[i] {
			m.log.noted[i], m.log.entries[i].Receipt = true, e.Receipt
		}
	}
	m.log.checkpoint = slices.Clone(checkpoint)
	return nil
}

// Unreceipted implements agent.Store.
func (m *Memory) Unreceipted(context.Context) (index uint64, checkpoint []byte, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	i := slices.Index(m.log.noted, false)
	if i < 0 {
		i = len(m.log.noted)
	}
	return uint64(i), m.log.checkpoint, nil
}
