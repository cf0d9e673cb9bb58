package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/writ-run/writ/provenance"
)

var update = flag.Bool("update", false, "write the golden files, and what commands print into the scripts' expectations")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"writ-audit": func() { os.Exit(Main()) }})
}

// TestScripts runs every script of testdata/script. Each is the manual of what its name says. $V is the folder of the
// tampering vectors, and "exits CODE writ-audit ARGS..." runs and expects this exit code.
func TestScripts(t *testing.T) {
	vectors := vectorFolder(t)
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("V", filepath.Clean(vectors))
			// the log of the vectors: its files, in tree
			var entries [][]byte
			for i := range 9 {
				c := provenance.NewRaw(fmt.Appendf(nil, "another entry %d", i)).CID
				e := provenance.NewLogEntry(c, 0, c)
				entries = append(entries, e[:])
			}
			writeLog(t, filepath.Join(e.WorkDir, "tree"), entries)
			newest, err := os.ReadFile(filepath.Join(vectors, "log-9.checkpoint"))
			if err != nil {
				return err
			}
			kept, err := os.ReadFile(filepath.Join(vectors, "log-5.checkpoint"))
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(filepath.Join(e.WorkDir, "tree", "checkpoint"), newest, 0o644),
				os.WriteFile(filepath.Join(e.WorkDir, "kept.checkpoint"), kept, 0o644))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("got exit code %d, want %d", got, want)
	}
}

// TestDependencies: what the auditor is made of is listed, so that its growth is seen in review.
func TestDependencies(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	got, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Sorted(strings.SplitSeq(strings.TrimSpace(string(got)), "\n")) // what imports what is not the matter
	got = []byte(strings.Join(lines, "\n") + "\n")
	const golden = "testdata/deps.golden"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the packages that writ-audit is built from have changed; if that is meant: go test ./cmd/writ-audit -update\ngot:\n%s", got)
	}
}
