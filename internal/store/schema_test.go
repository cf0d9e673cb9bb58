package store

import (
	"context"
	"testing"
)

// TestReservationsOfBefore opens a store from when the table of reservations, and the column of withheld leaves, had
// the names of something else.
func TestReservationsOfBefore(t *testing.T) {
	path := t.TempDir() + "/writ.db"
	if err := createFile(path); err != nil {
		t.Fatal(err)
	}
	c, err := connectSQLite(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	const before = 15 // migrations
	for version := 1; version <= before; version++ {
		if err := migrateTo(c, version, 1); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []string{
		"INSERT INTO ledgers VALUES ('l', 'USDC', 6, zeroblob(32), zeroblob(32))",
		"INSERT INTO holds (ledger, run, seq, idx, amount) VALUES ('l', 1, 2, 3, zeroblob(32))",
		"INSERT INTO fleeting VALUES (x'01', 1, 1, x'02')",
	} {
		if _, err := c.exec(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	db, err := Open(t.Context(), Config{DSN: SQLite(path)})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var seq int64
	var withheld bool
	err = db.write(t.Context(), 0, func(ctx context.Context, tx *transaction) error {
		return tx.readRow(ctx, "SELECT seq, withheld FROM reservations JOIN fleeting USING (run)", nil, &seq, &withheld)
	})
	if err != nil || seq != 2 || !withheld {
		t.Errorf("a reservation of step %d, withheld %v, %v", seq, withheld, err)
	}
}
