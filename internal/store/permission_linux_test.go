package store

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestPermission opens what this user may not, as an ordinary user even if the tests run as root.
func TestPermission(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file.db")
	openAt(t, Config{DSN: SQLite(file)}).Close()
	locked := filepath.Join(dir, "locked")
	for _, err := range []error{os.Chmod(file, 0), os.Mkdir(locked, 0o500)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, path := range map[string]string{
		"an unreadable file": file,
		"a read-only folder": filepath.Join(locked, "writ.db"),
	} {
		err := openOrdinary(t, path)
		if err == nil || !strings.Contains(err.Error(), "this user may not read and write the file") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// openOrdinary opens the store on a thread without root's rights to every file.
func openOrdinary(t *testing.T, path string) error {
	opened := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				opened <- err
				return
			}
		}
		_, err := Open(t.Context(), Config{DSN: SQLite(path)})
		opened <- err
	}()
	return <-opened
}
