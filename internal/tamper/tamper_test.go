package tamper

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const folder = "../../provenance/testdata/tamper"

func TestTheFilesAreThoseThatTheListsName(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range Lists() {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !bytes.Equal(got, files[name]) {
			t.Errorf("%s is not what the generator makes (%v); if the change is meant: go generate "+
				"./internal/tamper\n%s",
				name, err, differences(string(got), string(files[name])))
		}
	}
	there, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range there {
		if name := f.Name(); name != "README.md" && !slices.Contains(Lists(), name) {
			t.Errorf("%s is made when it is needed; it does not belong into the repository", name)
		}
	}
	size := 0
	for _, data := range files {
		size += len(data)
	}
	if size > 3_700_000 {
		t.Errorf("the files have %d bytes; keep them below 3.7 MB", size)
	}
}

// differences lists the lines that are in one text only.
func differences(a, b string) string {
	lines := func(s string) map[string]bool {
		set := map[string]bool{}
		for l := range strings.Lines(s) {
			set[l] = true
		}
		return set
	}
	was, is := lines(a), lines(b)
	var out strings.Builder
	for _, l := range slices.Sorted(maps.Keys(was)) {
		if !is[l] {
			out.WriteString("- " + l)
		}
	}
	for _, l := range slices.Sorted(maps.Keys(is)) {
		if !was[l] {
			out.WriteString("+ " + l)
		}
	}
	return out.String()
}

func TestTheFilesComeOutTheSame(t *testing.T) {
	first, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	again, err := generateFiles()
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(first, again, bytes.Equal) {
		t.Error("two generations differ")
	}
}

func TestWriteWritesWhatSha256sumChecks(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(dir, Sums))
	if err != nil {
		t.Fatal(err)
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(sums), "\n"); n != len(there)-1 || n < 200 {
		t.Errorf("%d sums for %d files", n, len(there))
	}
}
