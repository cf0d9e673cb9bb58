package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/holiman/uint256"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// Ledgers implements journal.Database. At most 1,000 keys.
func (db ledgers) Ledgers(ctx context.Context, keys []string) ([]journal.Ledger, error) {
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%d ledgers at once, more than %d", len(keys), maxKeys)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	args := make([]any, len(keys))
	for i, k := range keys {
		args[i] = k
	}
	// One statement, so that all of them are seen at one moment.
	found, err := readAll(ctx, db.reads, scanLedger,
		"SELECT key, symbol, decimals, spent, reserved FROM ledgers WHERE key IN (?"+
			strings.Repeat(", ?", len(keys)-1)+")", args...)
	if err != nil {
		return nil, fmt.Errorf("read ledgers: %w", err)
	}
	byKey := make(map[string]journal.Ledger, len(found))
	for _, l := range found {
		byKey[l.Key] = l
	}
	ledgers := make([]journal.Ledger, len(keys))
	for i, k := range keys {
		ledgers[i] = byKey[k]
		ledgers[i].Key = k
	}
	return ledgers, nil
}

func scanLedger(scan scanner) (journal.Ledger, error) {
	var l ledgerRow
	err := scan(&l.key, &l.symbol, &l.decimals, &l.spent, &l.reserved)
	return l.ledger(l.key), err
}

// A ledgerRow is a row of ledgers. Its columns are read into one place, since each that is a variable costs an
// allocation.
type ledgerRow struct {
	key, symbol     string
	decimals        uint8
	spent, reserved [32]byte
}

func (l *ledgerRow) ledger(key string) journal.Ledger {
	a := money.Asset{Symbol: l.symbol, Decimals: l.decimals}
	return journal.Ledger{Key: key, Spent: amountOf(a, &l.spent), Reserved: amountOf(a, &l.reserved)}
}

func amountOf(a money.Asset, b *[32]byte) money.Amount {
	return money.FromUint256(a, new(uint256.Int).SetBytes32(b[:]))
}

func amountBytes(a money.Amount) []byte { b := a.Uint256().Bytes32(); return b[:] }

// NextNonce implements journal.Database: one above the highest nonce that a commit has used, or 0.
func (db ledgers) NextNonce(ctx context.Context, account string) (uint64, error) {
	var n int64
	err := db.readRow(ctx, "SELECT coalesce(max(nonce) + 1, 0) FROM tx_nonces WHERE account = ?", []any{account}, &n)
	if err != nil {
		return 0, fmt.Errorf("next nonce of %s: %w", account, err)
	}
	return uint64(n), nil
}

// Senders implements journal.Database.
func (db ledgers) Senders(ctx context.Context, account string, nonces int) ([]provenance.Link, error) {
	all, err := readAll(ctx, db.reads, scanLink, `SELECT cid FROM runs JOIN (SELECT run, max(nonce) AS newest FROM
		(SELECT run, nonce FROM tx_nonces WHERE account = ? ORDER BY nonce DESC LIMIT ?) GROUP BY run) AS used
		ON used.run = runs.id ORDER BY newest DESC`, account, nonces)
	if err != nil {
		return nil, fmt.Errorf("runs that send from %s: %w", account, err)
	}
	return all, nil
}
