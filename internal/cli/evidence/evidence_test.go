package evidence

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/journal"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

// While a server has the data folder, a command takes what is just being written to the log for no damage; if none has
// it, the command looks, since it may be the first that opens the store after a crash.
func TestOnlyWhoHasTheDataLooksForDamage(t *testing.T) {
	from := t.TempDir()
	db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(from, "writ.db"))})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for n := range byte(4) {
		id := provenance.Sum(cid.DagCBOR, []byte{n})
		if err := db.PutSession(t.Context(), journal.Session{ID: id, Expires: 1 << 60}); err != nil {
			t.Fatal(err)
		}
	}
	for _, serving := range []bool{true, false} {
		dir := t.TempDir()
		for _, name := range []string{"writ.db", "writ.db-wal", "writ.db-mark"} {
			b, err := os.ReadFile(filepath.Join(from, name))
			if err == nil && name == "writ.db-wal" {
				b[len(b)-3*4096] ^= 1
			}
			if err := errors.Join(err, os.WriteFile(filepath.Join(dir, name), b, 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if serving {
			lock, err := datadir.Lock(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
		}
		beside, err := OpenData(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer beside.Close()
		kept, err := filepath.Glob(filepath.Join(dir, "writ.db-wal.damaged-*"))
		if err != nil || (len(kept) == 0) != serving {
			t.Errorf("a server runs: %v; put aside as damaged: %v, %v", serving, kept, err)
		}
		if r, err := beside.Recover(t.Context()); err != nil || r.Unknown() == serving {
			t.Errorf("a server runs: %v; found %+v, %v", serving, r, err)
		}
		if !serving { // the folder is free again
			lock, err := datadir.Lock(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer lock.Close()
		}
	}
}
