package store

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
)

// A file system that is really full: the store says that, and not that another process has it because its hold could
// not be renewed; and it goes on by itself once there is room.
func TestAFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m,mode=0700"); err != nil {
		t.Skipf("needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	db := openAt(t, Config{DSN: SQLite(filepath.Join(dir, "writ.db")), Owner: "me"})
	seq := uint64(0)
	var full error
	for ; full == nil; seq++ {
		if seq == 2 { // the last renewal was long ago
			set(t, db, "UPDATE holder SET until = 1")
		}
		_, full = grow(t.Context(), db, "r", seq)
	}
	for range 2 {
		err := db.Fence(t.Context())
		if !errors.Is(full, journal.ErrFull) || !errors.Is(err, journal.ErrFull) || errors.Is(err, journal.ErrHeld) {
			t.Fatalf("the write: %v; the store's health: %v; want that the disk is full", full, err)
		}
		_, full = grow(t.Context(), db, "r", seq-1)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(8 * holdFor); db.Fence(t.Context()) != nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("with room again: %v", db.Fence(t.Context()))
		}
	}
	if _, err := grow(t.Context(), db, "r", seq-1); err != nil {
		t.Errorf("with room again: %v", err)
	}
	checkWhole(t, db)
}
