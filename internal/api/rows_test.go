package api

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
)

// exportedErrors lists the error values and types that a package exports, as "ErrX" and "XError".
func exportedErrors(t *testing.T, dir string, files []string) (names []string) {
	t.Helper()
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, file), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR {
						for _, n := range v.Names {
							if strings.HasPrefix(n.Name, "Err") {
								names = append(names, n.Name)
							}
						}
					}
				}
			case *ast.FuncDecl: // a type is an error if it says so
				if d.Recv == nil || d.Name.Name != "Error" || d.Type.Params.NumFields() > 0 {
					continue
				}
				recv := d.Recv.List[0].Type
				if star, ok := recv.(*ast.StarExpr); ok {
					recv = star.X
				}
				if n, ok := recv.(*ast.Ident); ok && n.IsExported() {
					names = append(names, n.Name)
				}
			}
		}
	}
	return names
}

func TestEveryErrorBelowHasARow(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", `{{.ImportPath}} {{.Dir}} {{join .GoFiles " "}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	for _, r := range rows {
		missing[r.name] = true
	}
	delete(missing, "context.DeadlineExceeded")
	delete(missing, "context.Canceled")
	packages := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		pkg, ours := strings.CutPrefix(f[0], modulePath)
		if !ours || pkg == "internal/api" {
			continue
		}
		if parent, _, inner := strings.Cut(pkg, "/internal/"); inner && parent != "" {
			continue // what lies there is its parent's own affair: nobody else can name its errors
		}
		packages++
		for _, name := range exportedErrors(t, f[1], f[2:]) {
			full := pkg + "." + name
			found := false
			for _, r := range rows {
				found = found || r.name == full
			}
			if !found {
				t.Errorf("%s has no row: give it a code and a sentence in errors.go", full)
			}
			delete(missing, full)
		}
	}
	for name := range missing {
		t.Errorf("%s has a row and is not there", name)
	}
	if packages < 12 {
		t.Errorf("only %d packages were looked at", packages)
	}
}

func TestEachRowSaysWhatToDo(t *testing.T) {
	known := string(wire.OpenRPC("test"))
	for _, r := range rows {
		e := wire.Errorf(r.code, "%s", r.text)
		if e.Number == 0 || !strings.Contains(known, fmt.Sprintf("%q", r.code)) {
			t.Errorf("%s: the code %q is not one of the protocol's", r.name, r.code)
		}
		if !strings.HasSuffix(r.text, ".") || len(r.text) > 200 || strings.ToUpper(r.text[:1]) != r.text[:1] {
			t.Errorf("%s: %q is no sentence", r.name, r.text)
		}
		if r.code == wire.CodeInternal && r.name != "agent/wire.Error" {
			t.Errorf("%s: has no code of its own", r.name)
		}
	}
}

func TestAWrongAndALateApprovalHaveTheirCodes(t *testing.T) {
	a := &API{log: slog.New(slog.DiscardHandler)}
	for _, tt := range []struct {
		rule string
		err  error
		want wire.Code
		why  string
	}{
		{"over another call", fmt.Errorf("decide: %w", approval.ErrOther), wire.CodeApproval, "approval.other"},
		{"of a call that waits no more", fmt.Errorf("step 7: a verdict on 3.0: %w", loop.ErrLate), wire.CodeLate, "approval.closed"},
		{"after its time", fmt.Errorf("decide: %w", &auth.Fault{Code: auth.CodeApprovalLate}), wire.CodeLate, "approval.expired"},
		{"by another key", &auth.Fault{Code: auth.CodeSigSigner}, wire.CodeSignature, "sig.signer"},
	} {
		e := a.Explain(t.Context(), wire.ApprovalDecide, tt.err)
		if e.Data.Code != tt.want || e.Data.Reason != tt.why || e.Data.Retryable {
			t.Errorf("%s: got %+v, want %s, %s", tt.rule, e, tt.want, tt.why)
		}
	}
	if e := a.Explain(t.Context(), wire.RunGet, errors.New("disk on fire")); e.Data.Code != wire.CodeInternal {
		t.Errorf("got %+v", e)
	}
}
