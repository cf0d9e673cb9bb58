package backup

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// A backup that was killed leaves its folder; the next one removes it, and no folder that a process holds, that may have
// just been made, or that only looks alike.
func TestWhatAKilledBackupLeftIsRemoved(t *testing.T) {
	data, _ := makeFolder(t)
	dir := t.TempDir()
	put := func(name string, locked bool, age time.Duration) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		files := []string{"writ.db"}
		if locked {
			files = append(files, stageLock)
		}
		for _, f := range files {
			if err := os.WriteFile(filepath.Join(path, f), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		then := time.Now().Add(-age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
	}
	put(".writ-backup-1", true, 0)
	put(".writ-backup-2", true, 0)
	put(".writ-backup-3", false, 48*time.Hour)
	put(".writ-backup-4", false, time.Minute)
	put(".writ-backup-old", true, 48*time.Hour)
	put(".writ-backup-", true, 48*time.Hour)
	held := flock.New(filepath.Join(dir, ".writ-backup-2", stageLock))
	if ok, err := held.TryLock(); err != nil || !ok {
		t.Fatal(ok, err)
	}
	t.Cleanup(func() { held.Close() })
	if _, _, err := Make(t.Context(), Making{Data: data, To: filepath.Join(dir, "one.backup"), Program: "t"}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{".writ-backup-", ".writ-backup-2", ".writ-backup-4", ".writ-backup-old", "one.backup"}
	if len(names) != len(want) {
		t.Fatalf("there are %q, want %q", names, want)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Errorf("there are %q, want %q", names, want)
		}
	}
}
