package node

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/config"
	"github.com/writ-run/writ/tools/retrieve"
)

func writeDocuments(t *testing.T, files map[string]string) config.Documents {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config.Documents{Source: "handbook", Path: dir}
}

// A document that cannot be searched is left out and told by its name and why; the others are there.
func TestADocumentThatCannotBeReadIsLeftOut(t *testing.T) {
	d := writeDocuments(t, map[string]string{
		"a.md": "alpha", "b/c.txt": "beta", "latin.md": "caf\xe9", "big.txt": strings.Repeat("x", retrieve.MaxDocument+1),
		".hidden.md": "no", "x.json": "{}", "data/writ.db": "", "data/operator.key": "", "data/kept.md": "no",
	})
	if err := os.Symlink("/etc/hostname", filepath.Join(d.Path, "link.md")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(d.Path, "folder")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(d.Path, "pipe.txt"), 0o600); err != nil {
		t.Fatal(err)
	}
	docs, skipped, err := ReadDocuments([]config.Documents{d})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range docs {
		names = append(names, x.Name+"="+x.Text)
	}
	if got := strings.Join(names, " "); got != "a.md=alpha b/c.txt=beta" {
		t.Errorf("documents: %s", got)
	}
	var out []string
	for _, x := range skipped {
		out = append(out, x.Source+"/"+x.Name+": "+x.Why)
	}
	got := strings.Join(out, "\n")
	if len(out) != 5 || !strings.Contains(got, "handbook/link.md: it is a link") || !strings.Contains(got,
		"handbook/folder: it is a link") || !strings.Contains(got, "handbook/pipe.txt: it is no ordinary file") || !strings.Contains(got, "handbook/latin.md: it is not UTF-8") || !strings.Contains(got,
		"handbook/big.txt: it has more than 4194304 bytes") {
		t.Errorf("left out: %s", got)
	}
	list, err := readingTools(&config.Config{Documents: []config.Documents{d}}, slog.New(slog.DiscardHandler))
	if err != nil || len(list) != 2 {
		t.Errorf("the server's tools: %d, %v", len(list), err)
	}
	_, _, err = ReadDocuments([]config.Documents{writeDocuments(t, map[string]string{"latin.md": "caf\xe9"})})
	if err == nil || !strings.Contains(err.Error(), "latin.md: it is not UTF-8 text") {
		t.Errorf("nothing is left: %v", err)
	}
}

func TestADataFolderIsNoSource(t *testing.T) {
	d := writeDocuments(t, map[string]string{"writ.db": "", "operator.key": "", "kept.md": "no"})
	if _, _, err := ReadDocuments([]config.Documents{d}); err == nil || !strings.Contains(err.Error(), "data folder") {
		t.Errorf("got %v", err)
	}
}

// A file that becomes another one between the look and the opening is not read: neither a link out of the folder or
// within it, nor a pipe, which would be waited for.
func TestADocumentThatIsReplacedIsNotRead(t *testing.T) {
	for what, replace := range map[string]func(dir, path string) error{
		"a link out of the folder":    func(_, path string) error { return os.Symlink("/etc/hostname", path) },
		"a link within the folder":    func(_, path string) error { return os.Symlink("other.md", path) },
		"a pipe":                      func(_, path string) error { return syscall.Mkfifo(path, 0o600) },
		"another file":                func(dir, path string) error { return os.Rename(filepath.Join(dir, "other.md"), path) },
		"a folder":                    func(_, path string) error { return os.Mkdir(path, 0o700) },
		"nothing, since it was moved": func(string, string) error { return nil },
	} {
		t.Run(what, func(t *testing.T) {
			d := writeDocuments(t, map[string]string{"one.md": "one", "other.md": "other"})
			path := filepath.Join(d.Path, "one.md")
			was, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := replace(d.Path, path); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(d.Path)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			done := make(chan string, 1)
			go func() {
				text, why := readDocument(func() (*os.File, error) { return openDocument(root, "one.md") }, was)
				done <- string(text) + "|" + why
			}()
			select {
			case got := <-done:
				if strings.HasPrefix(got, "|it ") {
					return
				}
				t.Errorf("read as %q", got)
			case <-time.After(10 * time.Second):
				t.Error("it is waited for")
			}
		})
	}
}

// What is named alone and is no ordinary file is not waited for, and told by its name.
func TestAPipeThatIsNamedIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe.txt")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, os.DevNull} {
		done := make(chan error, 1)
		go func() {
			_, _, err := ReadDocuments([]config.Documents{{Source: "handbook", Path: path}})
			_, err2 := ReadDocument(path)
			if err2 == nil || !strings.Contains(err2.Error(), "no ordinary file") {
				t.Errorf("an OpenAPI document: %v", err2)
			}
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), filepath.Base(path)+": it is no ordinary file") {
				t.Errorf("%s: %v", path, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s is waited for", path)
		}
	}
}
