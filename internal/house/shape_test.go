package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// Bounds on what one reader has to keep in mind. What grows beyond them is carved by meaning; they are not raised.
const (
	maxMethods      = 35    // that are declared for one type
	maxPackageLines = 5_000 // of one package, without its tests
	maxColumns      = 120   // a tab is one
)

// walkCode calls do with the name and the text of each Go file of ours that is no test.
func walkCode(t *testing.T, do func(path string, src []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || len(d.Name()) > 2 && d.Name()[0] == '.'):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		src, err := os.ReadFile(path)
		if err == nil {
			do(path, src)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNoTypeHasTooManyMethods(t *testing.T) {
	methods := map[string]int{} // by folder and type
	walkCode(t, func(path string, src []byte) {
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
				methods[filepath.Dir(path)+"."+receiver(fn.Recv.List[0].Type)]++
			}
		}
	})
	if len(methods) < 300 {
		t.Fatalf("only %d types with methods were found", len(methods))
	}
	for name, n := range methods {
		if n > maxMethods {
			t.Errorf("%s has %d methods, more than %d: split it by who owns what", name, n, maxMethods)
		}
	}
}

func TestNoPackageIsTooLarge(t *testing.T) {
	lines := map[string]int{}
	walkCode(t, func(path string, src []byte) { lines[filepath.Dir(path)] += bytes.Count(src, []byte("\n")) })
	if len(lines) < 40 {
		t.Fatalf("only %d packages were found", len(lines))
	}
	for dir, n := range lines {
		if n > maxPackageLines {
			t.Errorf("%s has %d lines, more than %d: carve something with a meaning of its own", dir, n, maxPackageLines)
		}
	}
}

// TestLinesAreShort leaves out what stands between backquotes: texts for users and tags of fields.
func TestLinesAreShort(t *testing.T) {
	walkCode(t, func(path string, src []byte) {
		var s scanner.Scanner
		file := token.NewFileSet().AddFile(path, -1, len(src))
		s.Init(file, src, nil, 0)
		quoted := map[int]bool{} // lines
		for {
			pos, tok, text := s.Scan()
			if tok == token.EOF {
				break
			}
			if tok != token.STRING || text[0] != '`' {
				continue
			}
			for i, from := 0, file.Line(pos); i <= strings.Count(text, "\n"); i++ {
				quoted[from+i] = true
			}
		}
		line := 0
		for l := range bytes.Lines(src) {
			line++
			if n := utf8.RuneCount(bytes.TrimSuffix(l, []byte("\n"))); n > maxColumns && !quoted[line] {
				t.Errorf("%s:%d has %d columns, more than %d", path, line, n, maxColumns)
			}
		}
	})
}
