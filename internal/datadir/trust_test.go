package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A folder that others have filled, or can change, is refused before anything in it is read or written: neither a key
// that somebody has planted nor a link to somebody's file is taken.
func TestAPlantedFolderIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		plant func(dir string) error
		want  string
	}{
		"a folder that others can write":  {func(d string) error { return os.Chmod(d, 0o777) }, "others can write"},
		"a folder that a group can write": {func(d string) error { return os.Chmod(d, 0o770) }, "others can write"},
		"a key that others can write": {func(d string) error {
			return errors.Join(os.WriteFile(d+"/operator.key", []byte("ab"), 0o600), os.Chmod(d+"/operator.key", 0o666))
		}, "others can write"},
		"a link for a key": {func(d string) error { return os.Symlink("/etc/hostname", d+"/operator.key") }, "is a link"},
		"a link for a mark": {func(d string) error {
			return os.Symlink(filepath.Join(d, "victim"), d+"/writ.db-mark")
		}, "is a link"},
		"a link for a lock":  {func(d string) error { return os.Symlink("elsewhere", d+"/writ.lock") }, "is a link"},
		"a link for the log": {func(d string) error { return os.Symlink("/tmp", d+"/log") }, "is a link"},
		"a link in the log": {func(d string) error {
			return errors.Join(os.Mkdir(d+"/log", 0o700), os.Symlink("/tmp", d+"/log/tile"))
		}, "is a link"},
		"a second name": {func(d string) error {
			other := d + "/other"
			return errors.Join(os.WriteFile(other, nil, 0o600), os.Link(other, d+"/operator.key"))
		}, "has another name"},
		"a folder of somebody else": {func(d string) error {
			if os.Geteuid() != 0 {
				return os.Chmod(d, 0o777) // only root can give a folder away
			}
			return os.Chown(d, 12345, 12345)
		}, "not to be trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			if err := errors.Join(os.Mkdir(dir, 0o700), tt.plant(dir)); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for what, use := range map[string]func() error{
				"the server":   func() error { _, err := Lock(dir); return err },
				"a command":    func() error { _, _, err := TryLock(dir); return err },
				"reading keys": func() error { _, err := OperatorKey(dir); return err },
			} {
				err := use()
				if u, ok := errors.AsType[*UseError](err); !ok || !strings.Contains(u.Says, tt.want) {
					t.Errorf("%s: %v, want one that says %q", what, err, tt.want)
				}
			}
			if after, err := os.ReadDir(dir); err != nil || len(after) != len(before) {
				t.Errorf("the folder has changed: %v, %v", after, err)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "data")
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(lock.Unlock(), CheckTrust(dir)); err != nil {
		t.Errorf("one's own folder: %v", err)
	}
}
