package storetest

import (
	"testing"
	"time"

	"github.com/writ-run/writ/internal/store"
)

// Memory opens a store without a disk, for as long as the test runs.
func Memory(t testing.TB) *store.DB {
	t.Helper()
	return MemoryAt(t, time.Now)
}

// MemoryAt opens a store as Memory does, with a clock of its own.
func MemoryAt(t testing.TB, now func() time.Time) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), store.Config{DSN: store.Memory, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return db
}
