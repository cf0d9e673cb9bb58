package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
)

// What an account has sent between a backup and its restoration is on the chain, and for whom is not. So it counts
// under each cap that outlives a session: those of all wallets and of all agents. Caps that the backup had counted are
// raised when it is restored; those that it had not begin with it, since they may have been begun in between.

// noteSent counts what was sent since the backup.
func (tx *transaction) noteSent(ctx context.Context, what Restoration) error {
	if what.Unknown {
		if err := tx.exec(ctx, "INSERT INTO restored VALUES (?, '', '', 0, ?)", tx.now(), allUnits[:]); err != nil {
			return err
		}
	}
	for _, s := range what.Sent {
		a := s.Amount.Asset()
		err := tx.exec(ctx, "INSERT INTO restored VALUES (?, ?, ?, ?, ?)", tx.now(), s.To, a.Symbol, int64(a.Decimals),
			amountBytes(s.Amount))
		if err != nil {
			return err
		}
	}
	var all []journal.Ledger
	err := tx.conn.query(ctx, "SELECT key, symbol, decimals, spent, reserved FROM ledgers", nil, func(scan scanner) error {
		l, err := scanLedger(scan)
		all = append(all, l)
		return err
	})
	for _, l := range all {
		if err != nil {
			return err
		}
		if !countsSent(l.Key) {
			continue
		}
		if what.Unknown { // besides what is there: an approval may have ended the count of that
			l.Spent = l.Spent.AddCapped(amountOf(l.Spent.Asset(), &allUnits))
		}
		for _, s := range what.Sent {
			if s.Amount.Asset() == l.Spent.Asset() && countsTo(l.Key, s.To) {
				l.Spent = l.Spent.AddCapped(s.Amount)
			}
		}
		err = tx.exec(ctx, "UPDATE ledgers SET spent = ? WHERE key = ?", amountBytes(l.Spent), l.Key)
	}
	return err
}

// allUnits is an amount over every cap, with room for what is reserved besides.
var allUnits = [32]byte{0x40}

// askedSuffix ends the name of a budget that counts how much of another no longer counts, since the wallet approved a
// spend after it; see package loop. Nothing sent is added to it: that would take it off the count of the other again.
const askedSuffix = "+asked"

// countsSent says whether a ledger counts what was sent since a backup.
func countsSent(key string) bool {
	name, _, _ := strings.Cut(key, "#")
	name, _, _ = strings.Cut(name, "@")
	return (strings.HasPrefix(key, "wallet/") || strings.HasPrefix(key, "agent/")) && !strings.HasSuffix(name, askedSuffix)
}

// countsTo says whether a ledger counts what is sent to an address: those by recipient count their own, and what went
// to nobody known.
func countsTo(key, to string) bool {
	_, recipient, by := strings.Cut(key, "#")
	return !by || to == "" || strings.EqualFold(recipient, to)
}

// spanOf returns how long a window lasts at most, by its label: an hour's has a T, a week's a W, a month's no day.
func spanOf(label string) int64 {
	const hour = int64(3600_000)
	switch {
	case strings.Contains(label, "T"):
		return hour
	case strings.Contains(label, "W"):
		return 7 * 25 * hour
	case len(label) == len("2006-01"):
		return 31 * 25 * hour
	}
	return 25 * hour // a day on which clocks are put back
}

// sentBefore returns what a ledger that has no row begins with: it may have been begun, and lost, before a restoration.
func sentBefore(ctx context.Context, r reader, key string, asset money.Asset, now int64) (money.Amount, error) {
	sum := money.Of(asset, 0)
	if !countsSent(key) {
		return sum, nil
	}
	name, _, _ := strings.Cut(key, "#")
	_, label, windowed := strings.Cut(name, "@")
	err := r.query(ctx, `SELECT recipient, amount FROM restored
		WHERE (symbol = ? AND decimals = ? OR symbol = '') AND (at > ? OR ?)`,
		[]any{asset.Symbol, int64(asset.Decimals), now - spanOf(label), !windowed}, func(scan scanner) error {
			var to string
			var units [32]byte
			if err := scan(&to, &units); err != nil {
				return err
			}
			if countsTo(key, to) {
				sum = sum.AddCapped(amountOf(asset, &units))
			}
			return nil
		})
	if err != nil {
		return sum, fmt.Errorf("what was sent before the restoration: %w", err)
	}
	return sum, nil
}

// beginEpoch has the log go on under a new name. What stands in the journal is taken in anew and gets new receipts;
// the old ones stay among the blocks.
func (tx *transaction) beginEpoch(ctx context.Context, e journal.LogEpoch) error {
	err := tx.exec(ctx, "INSERT INTO epochs VALUES (?, ?, ?, ?)", int64(e.N), e.VKey, e.Statement, tx.now())
	if err == nil {
		err = tx.exec(ctx, "UPDATE log SET receipt = NULL")
	}
	if err == nil {
		err = tx.exec(ctx, "DELETE FROM meta WHERE key = 'checkpoint'")
	}
	return err
}

// LogEpochs implements journal.Entries.
func (db entries) LogEpochs(ctx context.Context) ([]journal.LogEpoch, error) {
	all, err := readAll(ctx, db.reads, func(scan scanner) (e journal.LogEpoch, err error) {
		return e, scan(&e.N, &e.VKey, &e.Statement)
	}, "SELECT n, vkey, statement FROM epochs ORDER BY n")
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return nil, fmt.Errorf("list the log's epochs: %w", err)
	}
	return all, nil
}

// SentBefore implements journal.Ledgers.
func (db ledgers) SentBefore(ctx context.Context, key string, asset money.Asset) (money.Amount, error) {
	return sentBefore(ctx, db.reads, key, asset, db.now().UnixMilli())
}
