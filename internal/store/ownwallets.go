package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// NoteSent implements journal.Database.
func (db ownWallets) NoteSent(ctx context.Context, run provenance.Link, call provenance.Ref, hash string) error {
	err := errors.Join(checkName("hash", hash), checkRef(call))
	if err == nil {
		err = db.write(ctx, len(hash), func(ctx context.Context, tx *transaction) error {
			n, err := tx.execCount(ctx, `INSERT INTO wallet_sent (run, seq, idx, hash) SELECT id, ?, ?, ? FROM runs WHERE cid = ?
				ON CONFLICT (run, seq, idx) DO UPDATE SET hash = excluded.hash`,
				int64(call.Seq), int64(call.Index), hash, linkBytes(run))
			if err == nil && n == 0 {
				err = journal.ErrNotFound
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("note what a wallet has sent for run %s: %w", run, err)
	}
	return nil
}

// SentHash implements journal.Database.
func (db ownWallets) SentHash(ctx context.Context, run provenance.Link, call provenance.Ref) (hash string, err error) {
	err = db.readRow(ctx, `SELECT wallet_sent.hash FROM wallet_sent JOIN runs ON runs.id = wallet_sent.run
		WHERE runs.cid = ? AND wallet_sent.seq = ? AND wallet_sent.idx = ?`, []any{linkBytes(run), int64(call.Seq), int64(call.Index)}, &hash)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return "", fmt.Errorf("read what a wallet has sent for run %s: %w", run, err)
	}
	return hash, nil
}

// IsNonceUsed implements journal.Database.
func (db ownWallets) IsNonceUsed(ctx context.Context, account string, nonce uint64) (bool, error) {
	var n int64
	err := db.readRow(ctx, "SELECT count(*) FROM tx_nonces WHERE account = ? AND nonce = ?",
		[]any{account, int64(nonce)}, &n)
	if err != nil {
		return false, fmt.Errorf("nonce %d of %s: %w", nonce, account, err)
	}
	return n > 0, nil
}
