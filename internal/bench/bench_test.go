package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const output = `goos: linux
pkg: github.com/writ-run/writ/auth
cpu: An Ordinary CPU
BenchmarkSignIn-2   	    6285	     74772 ns/op	    9738 B/op	      80 allocs/op
BenchmarkSignIn-2   	    6300	     70000 ns/op	    9738 B/op	      80 allocs/op
BenchmarkFrame/p256-16 	 6606	     54961 ns/op
--- BENCH: BenchmarkFrame
PASS
ok  	github.com/writ-run/writ/auth	3.004s
pkg: github.com/writ-run/writ/internal/store
BenchmarkFloor 	 1	 100 appends/s
BenchmarkCommit 	 1	 300 steps/s	 3.0 x-floor
BenchmarkCommit 	 1	 500 steps/s	 9.0 x-floor
BenchmarkCommit 	 1	 400 steps/s	 5.0 x-floor
`

func TestTheFigureThatCounts(t *testing.T) {
	found, err := parse(strings.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	if found.cpu != "An Ordinary CPU" {
		t.Errorf("got the CPU %q", found.cpu)
	}
	for _, c := range []struct {
		rule, bench, unit string
		want              float64
	}{
		{"a cost is its least", "auth BenchmarkSignIn", "ns/op", 70000},
		{"a sub-benchmark has its own name, without the number of CPUs", "auth BenchmarkFrame/p256", "ns/op", 54961},
		{"a rate is its most", "internal/store BenchmarkCommit", "steps/s", 500},
		{"a ratio that was measured inside is its middle", "internal/store BenchmarkCommit", own, 5},
	} {
		if got, err := found.best(c.bench, c.unit); err != nil || got != c.want {
			t.Errorf("%s: got %v, %v; want %v", c.rule, got, err, c.want)
		}
	}
	if _, err := found.best("auth BenchmarkGone", "ns/op"); err == nil {
		t.Error("a benchmark that did not run has a figure")
	}
	if _, err := parse(strings.NewReader("BenchmarkX 1 zero ns/op\n")); err == nil {
		t.Error("a value that is no number was read")
	}
}

func TestGoals(t *testing.T) {
	found, err := parse(strings.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		rule string
		row  row
		want string
	}{
		{"a ratio is the figure by its floor", row{bench: "auth BenchmarkSignIn", unit: "ns/op",
			floor: "auth BenchmarkFrame/p256", goals: "ratio <= 1.15"}, "1.27 [{ratio <= 1.15 1.27 false}]"},
		{"several goals are judged each", row{bench: "auth BenchmarkSignIn", unit: "ns/op",
			goals: "ns/op <= 80000; allocs/op <= 79"}, "0.00 [{ns/op <= 80000 70000 true} {allocs/op <= 79 80 false}]"},
		{"a rate has a lower bound", row{bench: "internal/store BenchmarkCommit", unit: "steps/s", floor: own,
			goals: "ratio >= 5"}, "5.00 [{ratio >= 5 5 true}]"},
		{"a figure may have no goal", row{bench: "auth BenchmarkSignIn", unit: "ns/op"}, "0.00 []"},
		{"a floor that did not run is an error", row{bench: "auth BenchmarkSignIn", unit: "ns/op", floor: "auth BenchmarkGone"},
			"auth BenchmarkGone reported no ns/op"},
		{"a goal that is none is an error", row{what: "x", bench: "auth BenchmarkSignIn", unit: "ns/op", goals: "ratio < 3"},
			"the goal \"ratio < 3\" of x is not `unit <= bound`"},
	} {
		l, err := c.row.judge(found)
		for i := range l.Goals {
			l.Goals[i].Got = float64(int(l.Goals[i].Got*100)) / 100
		}
		got := fmt.Sprintf("%.2f %v", l.Ratio, l.Goals)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
}

// A row that names a benchmark which is gone would fail only when somebody measures.
func TestRowsNameBenchmarksThatExist(t *testing.T) {
	for _, r := range rows {
		for _, ref := range []string{r.bench, r.floor} {
			pkg, name, ok := strings.Cut(ref, " ")
			if !ok {
				continue
			}
			name, _, _ = strings.Cut(name, "/")
			if !declares(t, filepath.Join("../..", pkg), name) {
				t.Errorf("%q: %s has no %s", r.what, pkg, name)
			}
		}
	}
}

func declares(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == name {
				return true
			}
		}
	}
	return false
}

// A benchmark is no test, so nothing else notices that one of them can no longer run.
func TestEveryBenchmarkRuns(t *testing.T) {
	if testing.Short() || os.Getenv("WRIT_WHOLE") == "" {
		t.Skip("it builds and runs the tests of ten packages: make check does, with WRIT_WHOLE=1")
	}
	t.Chdir("../..")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // go test bounds tests, and no benchmarks
	defer cancel()
	found, err := measure(ctx, 1, "1x", t.Output())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if _, err := r.judge(found); err != nil {
			t.Error(err)
		}
	}
}
