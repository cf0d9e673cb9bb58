//go:build unix

package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestExposedSecrets(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", filepath.Join(dir, "credentials"))
	if err := os.Symlink("..2026", filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	var files []string
	for name, mode := range map[string]os.FileMode{
		"operator.key": 0o644, "ipfs.key": 0o600, "tls.pem": 0o640, "token": 0o604, "mine": 0o400, "run": 0o611,
		"credentials/a": 0o644, "credentials-not/a": 0o644, "..2026/b": 0o644, "folder/x": 0o600,
	} {
		path := filepath.Join(dir, name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600), os.Chmod(path, mode))
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(name) != ".key" && name != "..2026/b" { // the keys of the folder are found
			files = append(files, path)
		}
	}
	if err := os.Symlink("..data/b", filepath.Join(dir, "b")); err != nil {
		t.Fatal(err)
	}
	files = append(files, dir+"/b", dir+"/..data/b", dir+"/none", dir+"/folder", dir+"/token")
	want := []string{dir + "/credentials-not/a", dir + "/operator.key", dir + "/tls.pem", dir + "/token"}
	if got := ExposedSecrets(dir, files); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if os.Geteuid() == 0 { // only root can give a file away
		if err := os.Chown(dir+"/token", 12345, 12345); err != nil {
			t.Fatal(err)
		}
		if got := ExposedSecrets(dir, []string{dir + "/token"}); !slices.Equal(got, []string{dir + "/operator.key"}) {
			t.Errorf("of another owner: %q", got)
		}
	}
	if got := HideSecret("a'b c"); got != `chmod 600 'a'\''b c'` {
		t.Error(got)
	}
}
