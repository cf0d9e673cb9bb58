package cli

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/wire"
)

// constants returns the constants of a Go file whose names begin with a prefix, as they are written.
func constants(t *testing.T, file, prefix string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			for i, n := range v.Names {
				if lit, ok := v.Values[i].(*ast.BasicLit); ok && strings.HasPrefix(n.Name, prefix) {
					found[n.Name] = strings.Trim(lit.Value, `"`)
				}
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("%s has no constants %s...", file, prefix)
	}
	return found
}

// listedCodes returns how often each exit code is in the topic that users read.
func listedCodes(t *testing.T) map[string]int {
	t.Helper()
	listed := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^ +(\d+)  \S`).FindAllStringSubmatch(ExitCodesTopic().Long, -1) {
		listed[m[1]]++
	}
	return listed
}

// What a program can end with is what writ help exit-codes lists, neither more nor less.
func TestEveryExitCodeIsListedAndEveryListedOneExists(t *testing.T) {
	defined := map[string]int{}
	for _, code := range constants(t, "exit.go", "Exit") {
		defined[code]++
	}
	listed := listedCodes(t)
	for code, n := range defined {
		if listed[code] != n {
			t.Errorf("exit code %s has %d meanings in the code and %d in the list", code, n, listed[code])
		}
	}
	for code := range listed {
		if defined[code] == 0 {
			t.Errorf("exit code %s is listed, and nothing ends with it", code)
		}
	}
	for name, code := range constants(t, "../../agent/audit/text.go", "Exit") {
		if defined[code] == 0 {
			t.Errorf("writ-audit ends with %s, %s, which is not listed", code, name)
		}
	}
}

// Nothing ends with a number of its own: each end names one of the constants.
func TestNoCommandEndsWithABareNumber(t *testing.T) {
	files := 0
	for _, dir := range []string{"../../cmd", ".", "../verifier"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if bare := bareExit(n); bare != nil {
					t.Errorf("%s: an exit code without a name", set.Position(bare.Pos()))
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 60 {
		t.Fatalf("only %d files were found", files)
	}
}

// bareExit returns the number by which a node ends a program: the first argument of Failf or os.Exit, or a field Exit.
func bareExit(n ast.Node) *ast.BasicLit {
	switch n := n.(type) {
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if (name == "Failf" || name == "Exit") && len(n.Args) > 0 {
			lit, _ := n.Args[0].(*ast.BasicLit)
			return lit
		}
	case *ast.KeyValueExpr:
		if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Exit" {
			lit, _ := n.Value.(*ast.BasicLit)
			return lit
		}
	}
	return nil
}

// Every way in which a record says that a run ended, and a run that waits or asks, has its word, its exit code and its row of the
// docs; only an answer is a success.
func TestEveryOutcomeHasItsExitCode(t *testing.T) {
	var words []string
	for _, word := range constants(t, "../../provenance/record.go", "Close") {
		words = append(words, word)
	}
	words = append(words, "waiting", "asks")
	slices.Sort(words)
	doc, err := os.ReadFile("../../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	listed, exits := listedCodes(t), map[int]string{}
	for _, word := range words {
		status := word
		if word == "waiting" {
			status = "parked"
		}
		got, exit := OutcomeOf(status)
		if got != word || listed[strconv.Itoa(exit)] == 0 || (exit == ExitOK) != (word == "answered") {
			t.Errorf("%s: outcome %s, exit code %d", word, got, exit)
		}
		if other, twice := exits[exit]; twice {
			t.Errorf("%s and %s have one exit code, %d", word, other, exit)
		}
		exits[exit] = word
		if !strings.Contains(string(doc), fmt.Sprintf("| `%s` | %d | ", word, exit)) {
			t.Errorf("docs/failures.md has no row of %s with %d", word, exit)
		}
	}
	for word := range outcomes {
		if !slices.Contains(words, word) {
			t.Errorf("the outcome %s is none that a record can have", word)
		}
	}
	for _, status := range []string{"running", "", "a word of a newer server"} {
		if _, exit := OutcomeOf(status); exit == ExitOK {
			t.Errorf("%q is a success", status)
		}
	}
}

// Every error of the wire has a listed exit code; those for which "something went wrong on this side" is all that there is
// to say are named here.
func TestEveryErrorOfTheWireHasItsExitCode(t *testing.T) {
	inner := []wire.Code{wire.CodeParse, wire.CodeRequest, wire.CodeBatch, wire.CodeMethod, wire.CodeInternal, wire.CodeRules}
	listed := listedCodes(t)
	for _, code := range wire.Codes() {
		exit := FailureOf(wire.Errorf(code, "No.")).Exit
		if listed[strconv.Itoa(exit)] == 0 || exit == ExitOK || (exit == ExitInternal) != slices.Contains(inner, code) {
			t.Errorf("%s ends with %d", code, exit)
		}
	}
}
