package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheTableIsNotStale: each mutant's text is in its file just once, what comes of it is Go, and its test exists.
// Whether the tests notice, make mutants says.
func TestTheTableIsNotStale(t *testing.T) {
	const root = "../.."
	list, err := readTable(table)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range list {
		if names[m.name] || m.what == "" || m.old == m.new || len(m.packages) == 0 {
			t.Errorf("%s is there twice, or does not say all that it must", m.name)
		}
		names[m.name] = true
		src, err := m.source(root)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := parser.ParseFile(token.NewFileSet(), m.file, src, 0); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		for _, name := range strings.Split(m.run, "|") {
			name, _, _ = strings.Cut(name, "/")
			if m.run != "." && !hasTest(t, root, m.packages, strings.Trim(name, ")$")) {
				t.Errorf("%s: %v have no test %q", m.name, m.packages, name)
			}
			if strings.Contains(m.run, "(") {
				break // what follows names subtests
			}
		}
	}
	for _, name := range listPromises() {
		if !covers(names, name) {
			t.Errorf("%s has no mutant", name)
		}
	}
}

// listPromises returns the promises, the mended faults and the money rule that each must have a mutant.
func listPromises() []string {
	all := []string{"threshold", "report"}
	for i := range 13 {
		all = append(all, fmt.Sprintf("P%d", i+1))
	}
	for i := range 18 {
		all = append(all, fmt.Sprintf("S%d", i+1))
	}
	return all
}

// covers says whether one of the names has the promise among its parts: "P12-S2" is of P12 and of S2.
func covers(names map[string]bool, promise string) bool {
	for name := range names {
		if slices.Contains(strings.Split(name, "-"), promise) {
			return true
		}
	}
	return false
}

func hasTest(t *testing.T, root string, packages []string, name string) bool {
	for _, p := range packages {
		files, err := filepath.Glob(filepath.Join(root, p, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name)).Match(src) {
				return true
			}
		}
	}
	return false
}
