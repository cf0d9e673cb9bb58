package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

const folder = "../../provenance/testdata/tamper"

func TestTheFilesAreThoseThatTheGeneratorMakes(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	size := 0
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator makes (%v); run: go generate ./internal/tamper", name, err)
		}
		size += len(want)
	}
	there, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range there {
		if _, ok := files[f.Name()]; !ok && f.Name() != "README.md" {
			t.Errorf("the generator does not make %s; delete it", f.Name())
		}
	}
	if size > 2_500_000 {
		t.Errorf("the files have %d bytes; keep them below 2.5 MB", size)
	}
}
