package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/writ-run/writ/internal/datadir"
	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
)

func TestMain(m *testing.M) {
	if os.Getenv("WRIT_TEST_RESTORE") != "" {
		os.Exit(restoreAndDie())
	}
	os.Exit(m.Run())
}

// restoreAndDie restores, and is killed after as many changes on the disk as it is told.
func restoreAndDie() int {
	var left int
	fmt.Sscan(os.Getenv("WRIT_TEST_LEFT"), &left)
	_, err := Restore(context.Background(), Restoring{
		Backup: os.Getenv("WRIT_TEST_BACKUP"), Data: os.Getenv("WRIT_TEST_RESTORE"), Operator: os.Getenv("WRIT_TEST_KEY"),
		wrote: func(string) {
			if left--; left < 0 {
				self, _ := os.FindProcess(os.Getpid())
				self.Kill()
				select {}
			}
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// makeFolder makes a data folder with an entry in its journal, and a backup of it while the store is open.
func makeFolder(t *testing.T, readers ...age.Recipient) (data, file string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := datadir.OperatorKey(data); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), store.Config{DSN: store.SQLite(filepath.Join(data, datadir.StoreFile)), Owner: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.AddEntry(t.Context(), provenance.NewRaw([]byte("an entry"))); err != nil {
		t.Fatal(err)
	}
	file, _, err = Make(t.Context(), Making{Data: data, To: data + ".backup", Program: "test", Readers: readers})
	if err != nil {
		t.Fatal(err)
	}
	return data, file
}

// wantWhole says what is wrong with a restored folder of the nth epoch.
func wantWhole(t *testing.T, data string, n int) {
	t.Helper()
	for _, name := range []string{"operator.key", "operator.pub"} {
		if _, err := os.Stat(filepath.Join(data, name)); err != nil {
			t.Error(err)
		}
	}
	holds, err := store.Check(t.Context(), filepath.Join(data, datadir.StoreFile))
	if err != nil || holds.LogEpoch != n || holds.Entries != 1 {
		t.Errorf("%+v, %v; want epoch %d and 1 entry", holds, err, n)
	}
	if _, err := os.Lstat(filepath.Join(data, keysFile)); err == nil {
		t.Error("the sealed keys are left in the folder")
	}
}

// Killed after any change on the disk, a restoration leaves no data folder, or a whole one; the next one needs no help.
func TestRestoreIsCutShort(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts processes")
	}
	from, file := makeFolder(t)
	key := filepath.Join(from, "operator.key")
	whole := 0
	for left := 0; ; left++ {
		data := filepath.Join(t.TempDir(), "new")
		if left%2 == 0 { // an empty folder may stand there
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "WRIT_TEST_RESTORE="+data, "WRIT_TEST_BACKUP="+file, "WRIT_TEST_KEY="+key,
			fmt.Sprintf("WRIT_TEST_LEFT=%d", left))
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.Exited() && err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		killed := err != nil
		entries, err := os.ReadDir(data)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		again := Restoring{Backup: file, Data: data, Operator: key}
		_, err = Restore(t.Context(), again)
		switch {
		case len(entries) > 0 && (err == nil || !strings.Contains(err.Error(), "not empty")):
			t.Errorf("after %d changes: what is there is restored over: %v", left, err)
		case len(entries) == 0 && err != nil:
			t.Errorf("after %d changes: the next one: %v", left, err)
		}
		if len(entries) > 0 {
			whole++
		}
		wantWhole(t, data, 2)
		if _, err := os.Lstat(data + datadir.StageSuffix); err == nil {
			t.Errorf("after %d changes: something is left beside it", left)
		}
		if !killed {
			if left < 7 || whole < 2 {
				t.Errorf("%d changes, %d of them after it was whole", left, whole)
			}
			return
		}
	}
}

// Keys that are sealed in a backup come back with the identity that they were sealed to, and with no other; the key
// binding, which is of the log that ended, does not. A restored folder is backed up and restored like another.
func TestRestoreKeys(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	from, _ := makeFolder(t)
	if err := os.WriteFile(filepath.Join(from, datadir.BindingFile), []byte("a binding"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "wallet.key"), []byte("another key"), 0o600); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for n := 2; n <= 4; n++ {
		file, m, err := Make(t.Context(), Making{Data: from, To: from + ".sealed", Readers: []age.Recipient{id.Recipient()}})
		if err != nil || m.Keys != "sealed" {
			t.Fatalf("%+v, %v", m, err)
		}
		to := fmt.Sprintf("%s-%d", from, n)
		for _, wrong := range [][]age.Identity{nil, {other}} {
			if _, err := Restore(t.Context(), Restoring{Backup: file, Data: to, Keys: wrong}); err == nil {
				t.Fatal("restored without the identity")
			}
			if _, err := os.Lstat(to); err == nil {
				t.Fatal("a refusal leaves a folder")
			}
		}
		for _, again := range []string{to, to + "-twin"} { // one backup, restored twice: two logs of two names
			r, err := Restore(t.Context(), Restoring{Backup: file, Data: again + "/", Keys: []age.Identity{id}})
			if err != nil || r.LogEpoch != n || r.Unbound != (n == 2) {
				t.Fatalf("%+v, %v", r, err)
			}
			if names[r.LogKey] {
				t.Errorf("two logs have the key %s", r.LogKey)
			}
			names[r.LogKey] = true
			wantWhole(t, again, n)
			if b, err := os.ReadFile(filepath.Join(again, "wallet.key")); err != nil || string(b) != "another key" {
				t.Errorf("%q, %v", b, err)
			}
			if _, err := os.Lstat(filepath.Join(again, datadir.BindingFile)); err == nil {
				t.Error("the binding of the log that ended came back")
			}
		}
		from = to
	}
}

// A folder of another's that stands where a restoration is prepared is left alone, and so is one that is under way.
func TestRestoreLeavesOthersAlone(t *testing.T) {
	from, file := makeFolder(t)
	data := filepath.Join(t.TempDir(), "new")
	stage := data + datadir.StageSuffix
	if err := os.Mkdir(stage, 0o700); err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(stage, "kept")
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := Restoring{Backup: file, Data: data, Operator: filepath.Join(from, "operator.key")}
	if _, err := Restore(t.Context(), r); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
	if err := os.RemoveAll(stage); err != nil {
		t.Fatal(err)
	}
	asked := false
	r.wrote = func(what string) {
		if what != "store" {
			return
		}
		asked = true
		second := r
		second.wrote = nil
		if _, err := Restore(t.Context(), second); err == nil || !strings.Contains(err.Error(), "under way") {
			t.Errorf("a second one at once: %v", err)
		}
	}
	if _, err := Restore(t.Context(), r); err != nil || !asked {
		t.Errorf("%v, asked %v", err, asked)
	}
	wantWhole(t, data, 2)
}
