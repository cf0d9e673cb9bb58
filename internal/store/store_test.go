package store_test

import (
	"testing"
	"time"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/internal/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, storetest.Config{Open: func(t testing.TB, path string, now func() time.Time) storetest.Store {
		db, err := store.Open(t.Context(), store.Config{Path: path, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}})
}

func TestMemory(t *testing.T) {
	storetest.Run(t, storetest.Config{Volatile: true,
		Open: func(_ testing.TB, _ string, now func() time.Time) storetest.Store {
			m := store.NewMemory()
			m.Now = now
			return m
		}})
}
