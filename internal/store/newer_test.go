package store

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/writ-run/writ/internal/journal"
)

// A store that a newer program wrote is neither opened nor copied: it is not damaged, and says what to do.
func TestANewerStoreIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "writ.db")
	db, err := Open(t.Context(), Config{DSN: SQLite(path)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := connectSQLite(path, 0)
	if err == nil {
		_, err = c.exec("INSERT INTO migrations VALUES (?, 0)", len(migrations)+1)
		err = errors.Join(err, c.close())
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{DSN: SQLite(path)}); !errors.Is(err, journal.ErrNewer) {
		t.Errorf("opened: %v", err)
	}
	if err := Snapshot(t.Context(), path, path+"-copy", nil); !errors.Is(err, journal.ErrNewer) {
		t.Errorf("copied: %v", err)
	}
}
