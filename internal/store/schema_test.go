package store

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// TestReservationsOfBefore opens a store from when the table of reservations, and the column of withheld leaves, had
// the names of something else.
func TestReservationsOfBefore(t *testing.T) {
	db := openBefore(t, 15,
		"INSERT INTO ledgers VALUES ('l', 'USDC', 6, zeroblob(32), zeroblob(32))",
		"INSERT INTO holds (ledger, run, seq, idx, amount) VALUES ('l', 1, 2, 3, zeroblob(32))",
		"INSERT INTO fleeting VALUES (x'01', 1, 1, x'02')")
	var seq int64
	var withheld bool
	err := db.write(t.Context(), 0, func(ctx context.Context, tx *transaction) error {
		return tx.readRow(ctx, "SELECT seq, withheld FROM reservations JOIN fleeting USING (run)", nil, &seq, &withheld)
	})
	if err != nil || seq != 2 || !withheld {
		t.Errorf("a reservation of step %d, withheld %v, %v", seq, withheld, err)
	}
}

// openBefore makes a store as it was after some migrations, with some rows, and opens it.
func openBefore(t *testing.T, migrations int, rows ...string) *DB {
	t.Helper()
	path := t.TempDir() + "/writ.db"
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	c, err := connectSQLite(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	for version := 1; version <= migrations; version++ {
		if err := migrateTo(c, version, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range rows {
		if _, err := c.exec(row); err != nil {
			t.Fatal(row, err)
		}
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), Config{DSN: SQLite(path)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// TestKeysAndDoubtsOfBefore opens a store from when an idempotency key was a session's, so that two runs of one owner
// may have the same, and when what counts until an approval was given back.
func TestKeysAndDoubtsOfBefore(t *testing.T) {
	const session = `INSERT INTO sessions (id, cid, account, chain, key, agent, opened, expires, revoked, message, sig)
		VALUES (%d, x'%x', x'aa', 1, 'k', 'a', 1, 2, 0, x'', x'')`
	const run = `INSERT INTO runs (id, cid, session, account, agent, opened, key, hash, steps, last, head, status, owner,
		until, fence) VALUES (%d, x'%x', %[1]d, x'aa', 'a', 1, 'key', zeroblob(31) || x'0%[1]d', 1, x'', x'', 'running',
		'o', 1, 1)`
	const ledger = "INSERT INTO ledgers VALUES ('%s', 'USDC', 6, zeroblob(32), zeroblob(32))"
	const doubt = "INSERT INTO doubts VALUES (1, 1, 0, '%s', zeroblob(32), 1)"
	link := func(s string) provenance.Link { return provenance.NewRaw([]byte(s)).CID }
	var rows []string
	for id := 1; id <= 2; id++ {
		rows = append(rows, fmt.Sprintf(session, id, linkBytes(link(fmt.Sprint("session ", id)))),
			fmt.Sprintf(run, id, linkBytes(link(fmt.Sprint("run ", id)))))
	}
	rows = append(rows, fmt.Sprintf(ledger, "wallet/w/operator/parts+asked@2026-11-29#0xAA"))
	for _, l := range []string{"wallet/w/grant/unasked_to_usdc#0xAA", "wallet/w/operator/parts@2026-11-29#0xAA",
		"session/s/grant/max_total_usdc"} {
		rows = append(rows, fmt.Sprintf(doubt, l))
	}
	db := openBefore(t, 22, rows...)
	for id, want := range map[byte]string{1: "run 1", 2: "run 2"} {
		if got, err := db.RunByKey(t.Context(), link("session 1"), "key", [32]byte{31: id}); err != nil || got != link(want) {
			t.Errorf("request %d: %s, %v, want %s", id, got, err, link(want))
		}
	}
	if _, err := db.RunByKey(t.Context(), link("session 1"), "key", [32]byte{}); !errors.Is(err, journal.ErrConflict) {
		t.Errorf("another request: %v", err)
	}
	var left string
	err := db.write(t.Context(), 0, func(ctx context.Context, tx *transaction) error {
		return tx.readRow(ctx, "SELECT group_concat(ledger) FROM doubts", nil, &left)
	})
	if err != nil || left != "session/s/grant/max_total_usdc" {
		t.Errorf("in doubt are %q, %v", left, err)
	}
}
