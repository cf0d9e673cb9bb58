package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
)

// What was sent since a backup counts under the caps that outlive a session, whether the backup had counted in them or
// not; a session's own begin anew, since all sessions end. Nothing of a copy is open, and it has another epoch.
func TestRestoreForgetsNoSpending(t *testing.T) {
	dir := t.TempDir()
	usdc := money.Asset{Symbol: "USDC", Decimals: 6}
	db, err := Open(t.Context(), Config{DSN: SQLite(filepath.Join(dir, "writ.db")), Owner: "server"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	keys := []string{"wallet/w/day", "session/s/total", "wallet/w/to#0xAA", "wallet/w/to+asked#0xAA",
		"wallet/w/day+asked@2026-11-28"}
	for _, key := range keys {
		err := db.write(t.Context(), 0, func(ctx context.Context, tx *transaction) error {
			return tx.exec(ctx, "INSERT INTO ledgers VALUES (?, 'USDC', 6, ?, ?)", key, amountBytes(money.Of(usdc, 3)),
				amountBytes(money.Of(usdc, 0)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	copied := filepath.Join(dir, "copy.db")
	if err := Snapshot(t.Context(), filepath.Join(dir, "writ.db"), copied, nil); err != nil { // while it is open
		t.Fatal(err)
	}
	if _, err := Check(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	sent := Restoration{Sent: []Sent{{To: "0xaa", Amount: money.Of(usdc, 4)}, {To: "0xbb", Amount: money.Of(usdc, 5)}}}
	for range 2 { // a restoration of a restoration counts once more, and never less
		r, err := Restore(t.Context(), copied, sent)
		if err != nil || r.Epoch == db.epoch {
			t.Fatalf("epoch %s, %v", r.Epoch, err)
		}
		sent = Restoration{}
	}
	again, err := Open(t.Context(), Config{DSN: SQLite(copied), Owner: "next"})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if r, err := again.Recover(t.Context()); err != nil || r.Unknown() {
		t.Errorf("the restored store counts as one that lost its end: %+v, %v", r, err)
	}
	got, err := again.Ledgers(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint64{12, 3, 7, 3, 3} {
		if is := got[i].Spent; is != money.Of(usdc, want) {
			t.Errorf("%s: %s spent, want %d units", got[i].Key, is, want)
		}
	}
	today := time.Now().UTC().Format(time.DateOnly)
	for key, want := range map[string]uint64{
		"wallet/new/day@" + today: 9, "wallet/new/to#0xBB": 5, "agent/a/all": 9, "session/new/total": 0,
		"wallet/new/day@2026-01-01T05Z": 9, "wallet/new/all+asked": 0, "wallet/new/to+asked#0xBB": 0,
	} {
		if is, err := again.SentBefore(t.Context(), key, usdc); err != nil || is != money.Of(usdc, want) {
			t.Errorf("%s begins with %s, want %d units; %v", key, is, want, err)
		}
	}
	err = again.write(t.Context(), 0, func(ctx context.Context, tx *transaction) error {
		d := draft{tx: tx}
		return d.reserveAmount(ctx, journal.Reservation{
			Ledger: "wallet/new/all", Amount: money.Of(usdc, 2), Cap: money.Of(usdc, 10),
		})
	})
	if !errors.Is(err, journal.ErrBudget) {
		t.Errorf("2 more fit under 10 of which 9 are sent: %v", err)
	}
}
