package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

func putOne(db *store.DB, text string) error {
	return db.PutBlocks(context.Background(), []provenance.Block{provenance.NewRaw([]byte(text))}, nil)
}

// One process keeps a store: another one that keeps it too does not get in, whatever became of lock files; a command
// beside it does. What is closed is free at once.
func TestAStoreHasOneHolder(t *testing.T) {
	dsn := store.SQLite(filepath.Join(t.TempDir(), "writ.db"))
	first := open(t, store.Config{DSN: dsn, Owner: "first"})
	_, err := store.Open(t.Context(), store.Config{DSN: dsn, Owner: "second", Shared: true})
	if !errors.Is(err, journal.ErrHeld) {
		t.Fatalf("a second holder: %v", err)
	}
	beside := open(t, store.Config{DSN: dsn, Shared: true})
	if err := errors.Join(putOne(beside, "a command"), putOne(first, "the holder"), first.Fence(t.Context())); err != nil {
		t.Error(err)
	}
	if err := errors.Join(beside.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	second := open(t, store.Config{DSN: dsn, Owner: "second"})
	if err := errors.Join(putOne(second, "the next"), second.Close()); err != nil {
		t.Error(err)
	}
}

// A holder that another process has taken the store from writes nothing more: the row is looked at in each transaction.
func TestWhoHasLostTheStoreWritesNothing(t *testing.T) {
	dsn := store.SQLite(filepath.Join(t.TempDir(), "writ.db"))
	first := open(t, store.Config{DSN: dsn, Owner: "first"})
	defer first.Close()
	beside := open(t, store.Config{DSN: dsn, Shared: true})
	defer beside.Close()
	if err := store.TakeHold(beside, "second"); err != nil {
		t.Fatal(err)
	}
	if err := putOne(first, "too late"); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("a write of who has lost the store: %v", err)
	}
	if err := first.Fence(t.Context()); !errors.Is(err, journal.ErrFenced) && !errors.Is(err, journal.ErrHeld) {
		t.Errorf("its fence: %v", err)
	}
	if _, err := beside.Block(t.Context(), provenance.Sum(cid.Raw, []byte("too late"))); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("what was refused is there: %v", err)
	}
}

// The holder takes over the runs of the one before it, whose leases have not run out: there is no other one.
func TestTheHolderTakesOverLeases(t *testing.T) {
	dsn := store.SQLite(filepath.Join(t.TempDir(), "writ.db"))
	first := open(t, store.Config{DSN: dsn, Owner: "first"})
	record := func(s string) provenance.Block {
		return provenance.Block{CID: provenance.Sum(cid.DagCBOR, []byte(s)), Data: []byte(s)}
	}
	run, session := record("run"), record("session")
	if err := first.PutSession(t.Context(), journal.Session{ID: session.CID, Expires: 1 << 60}); err != nil {
		t.Fatal(err)
	}
	err := first.Commit(t.Context(), journal.Commit{
		Run: run.CID, Step: record("step"), Blocks: []provenance.Block{run}, Status: "running",
		Open: &journal.Opening{Session: session.CID, Owner: "first", Until: 1 << 60},
	})
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	second := open(t, store.Config{DSN: dsn, Owner: "second"})
	defer second.Close()
	if _, err := second.Claim(t.Context(), run.CID, "third", 1<<60); !errors.Is(err, journal.ErrFenced) {
		t.Errorf("a claim of who does not hold the store: %v", err)
	}
	if fence, err := second.Claim(t.Context(), run.CID, "second", 1<<60); err != nil || fence != 2 {
		t.Errorf("the holder's claim: fence %d, %v, want 2", fence, err)
	}
}

// Files that are deleted or exchanged under an open store are noticed with the next write, which is not acknowledged.
func TestFilesThatGoAreNoticed(t *testing.T) {
	for _, name := range []string{"writ.db", "writ.db-wal", "writ.db-mark", "writ.db-shm"} {
		for what, do := range map[string]func(path string) error{
			"deleted": os.Remove,
			"exchanged": func(path string) error {
				b, err := os.ReadFile(path)
				return errors.Join(err, os.WriteFile(path+".new", b, 0o600), os.Rename(path+".new", path))
			},
			"a link": func(path string) error {
				return errors.Join(os.Rename(path, path+".old"), os.Symlink(path+".old", path))
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				dir := t.TempDir()
				db := open(t, store.Config{DSN: store.SQLite(filepath.Join(dir, "writ.db"))})
				defer db.Close()
				if err := errors.Join(putOne(db, "before"), db.Fence(t.Context())); err != nil {
					t.Fatal(err)
				}
				if err := do(filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				if err := db.Fence(t.Context()); !errors.Is(err, journal.ErrMoved) {
					t.Errorf("without a write: %v", err)
				}
				for range 2 {
					if err := putOne(db, "after"); !errors.Is(err, journal.ErrMoved) || !errors.Is(err, journal.ErrFull) {
						t.Errorf("a write is answered with %v", err)
					}
				}
			})
		}
	}
}

// No link is followed when the store's files are made.
func TestNoLinkIsFollowed(t *testing.T) {
	for _, name := range []string{"writ.db", "writ.db-mark"} {
		dir := t.TempDir()
		victim := filepath.Join(t.TempDir(), "victim")
		if err := errors.Join(os.WriteFile(victim, []byte("mine"), 0o600), os.Symlink(victim, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
		if db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(dir, "writ.db"))}); err == nil {
			db.Close()
			t.Errorf("a link in the place of %s was followed", name)
		}
		if b, err := os.ReadFile(victim); err != nil || string(b) != "mine" {
			t.Errorf("what the link leads to holds %q, %v", b, err)
		}
	}
}
