package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/internal/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, storetest.Config{Open: func(t testing.TB, dir string, now func() time.Time) journal.Database {
		return open(t, store.Config{DSN: store.SQLite(filepath.Join(dir, "writ.db")), Now: now})
	}, Crash: copyFolder})
}

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Config{Volatile: true,
		Open: func(t testing.TB, _ string, now func() time.Time) journal.Database {
			return open(t, store.Config{DSN: store.Memory, Now: now})
		}})
}

func open(t testing.TB, c store.Config) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// copyFolder copies what the system has of the files of a store that is open: a process that is killed leaves that.
func copyFolder(t testing.TB, dir string) (left string) {
	t.Helper()
	left = t.TempDir()
	if err := os.CopyFS(left, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return left
}

// TestAddress says what an address may be; one that is refused is not shown, since it may hold a password.
func TestAddress(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                                "begins neither with sqlite: nor with memory:",
		"sqlite:":                         "no path is given",
		"/var/lib/writ.db":                "begins neither with sqlite: nor with memory:",
		"memory:x":                        "begins neither with sqlite: nor with memory:",
		"postgres://writ:hunter2@db/writ": "PostgreSQL is not in this version",
		"mysql://writ:hunter2@db/writ":    "begins neither with sqlite: nor with memory:",
	} {
		_, err := store.Open(t.Context(), store.Config{DSN: dsn})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v, want an error that says %q and no password", dsn, err, want)
		}
	}
}
