package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What ARCHITECTURE.md has in backticks and looks like one of these must exist:
//
//	internal/runner.Runner        a name of package internal/runner
//	agent/loop.Machine.Step      a method, a field, or a method of an interface
//	agent/loop.work.viewTurn     a name that is not exported, if the package has a slash
//	internal/runner/actor.go, cmd/writ     a file or folder, from the root of the repository; one with a slash, or a Go package
//
// A wire method such as run.start is neither.
var (
	ticked  = regexp.MustCompile("`([^`\n]+)`")
	goName  = regexp.MustCompile(`^([a-z][a-z0-9/-]*)\.([A-Za-z]\w*(?:\.[A-Za-z]\w*)?)$`)
	path    = regexp.MustCompile(`^[\w.-]+(/[\w.-]+)+$`)
	theForm = "package.Name" // how the document itself says what a name looks like
)

func TestArchitectureNamesWhatExists(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	names := declared(t)
	found := 0
	for _, m := range ticked.FindAllSubmatch(doc, -1) {
		ref := string(m[1])
		n := goName.FindStringSubmatch(ref)
		_, err := os.Stat(filepath.Join(root, ref))
		switch {
		case ref == theForm:
		case err == nil && path.MatchString(ref):
			found++
		case n != nil && (strings.Contains(n[1], "/") || n[2][0] < 'a'):
			found++
			switch pkg, ok := names[n[1]]; {
			case !ok:
				t.Errorf("`%s`: there is no package %s", ref, n[1])
			case !slices.Contains(pkg, n[2]):
				t.Errorf("`%s`: package %s declares no such name", ref, n[1])
			}
		case path.MatchString(ref):
			t.Errorf("`%s`: no such file or folder", ref)
		}
	}
	if found < 30 {
		t.Errorf("found %d references in ARCHITECTURE.md; is this test still looking at the right thing?", found)
	}
}

// declared returns the names of every package, as "Name" and "Type.Member", by the package's path from the
// root.
func declared(t *testing.T) map[string][]string {
	t.Helper()
	names := make(map[string][]string)
	eachGoFile(t, func(pkg string, f *ast.File) {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				name := d.Name.Name
				if d.Recv != nil {
					name = receiver(d.Recv.List[0].Type) + "." + name
				}
				names[pkg] = append(names[pkg], name)
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						names[pkg] = append(names[pkg], s.Name.Name)
						for _, m := range members(s.Type) {
							names[pkg] = append(names[pkg], s.Name.Name+"."+m)
						}
					case *ast.ValueSpec:
						for _, n := range s.Names {
							names[pkg] = append(names[pkg], n.Name)
						}
					}
				}
			}
		}
	})
	return names
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func members(e ast.Expr) []string {
	var list *ast.FieldList
	switch e := e.(type) {
	case *ast.StructType:
		list = e.Fields
	case *ast.InterfaceType:
		list = e.Methods
	default:
		return nil
	}
	var names []string
	for _, f := range list.List {
		for _, n := range f.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

// eachGoFile parses the repository's Go files that are not tests.
func eachGoFile(t *testing.T, do func(pkg string, f *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != root && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "node_modules"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg, err := filepath.Rel(root, filepath.Dir(p))
		do(filepath.ToSlash(pkg), f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
