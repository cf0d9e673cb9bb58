package auth

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"
)

// codes returns the values of all constants of the type Code in auth.go.
func codes(t *testing.T) (list []Code) {
	t.Helper()
	f, err := goparser.ParseFile(token.NewFileSet(), "auth.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		s, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Code(s))
		return true
	})
	if len(list) < 50 {
		t.Fatalf("found %d codes only", len(list))
	}
	return list
}

func TestEveryCodeRestsOnARule(t *testing.T) {
	list := codes(t)
	for _, c := range list {
		if c.Rule() == "" {
			t.Errorf("%s has no rule", c)
		}
	}
	if len(rules) != len(list) {
		t.Errorf("%d rules for %d codes", len(rules), len(list))
	}
}

func TestAFaultSaysWhere(t *testing.T) {
	w := testWallet(t, 1)
	base := strings.Replace(plain, "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1", w.Address().Hex(), 1)
	for _, tt := range []struct {
		name         string
		edit         func(string) string
		domain       string
		after        time.Duration
		code         Code
		field        string
		line, column int
	}{
		{"as it is", func(s string) string { return s }, "", 0, "", "", 0, 0},
		{"a byte outside ASCII", sub("terms", "t\u00e9rms"), "", 0, CodeASCII, "message", 4, 15},
		{"a character outside the statement's", sub("terms", "t%rms"), "", 0, CodeStatementChar, "statement", 4, 15},
		{"a missing line", line("Version: 1\n", ""), "", 0, CodeLine, "Version", 7, 1},
		{"a value", line("Chain ID: ", "Chain ID: 01"), "", 0, CodeChainForm, "Chain ID", 8, 11},
		{"the time of an option", line("Not Before: ", "Not Before: now"), "", 0, CodeTimeForm, "Not Before", 12, 13},
		{"the domain behind a scheme", sub("app.example.com", "https://app.example.com:99999"), "", 0, CodeDomainForm, "domain", 1, 9},
		{"a resource", sub("https://app.example.com/claim.json", "claim"), "", 0, CodeResourceForm, "Resources", 16, 3},
		{"a line break at the end", func(s string) string { return s + "\n" }, "", 0, CodeLine, "message", 17, 1},
		{"the end", func(s string) string { return s[:strings.Index(s, "\nNonce")] }, "", 0, CodeLine, "message", 9, 1},
		{"another domain", func(s string) string { return s }, "example.com", 0, CodeDomain, "domain", 1, 1},
		{"no domain to compare with", func(s string) string { return s }, "-", 0, CodeExpect, "domain", 1, 1},
		{"too late", func(s string) string { return s }, "", time.Hour, CodeExpired, "Expiration Time", 11, 1},
		{"the last moment", func(s string) string { return s }, "", time.Hour - 1, "", "", 0, 0},
		{"too early", line("Not Before: ", "Not Before: 2026-11-23T12:01:01Z"), "", 0, CodeEarly, "Not Before", 12, 1},
		{"early by the skew", line("Not Before: ", "Not Before: 2026-11-23T12:01:00Z"), "", 0, "", "", 0, 0},
		{"issued later", func(s string) string { return s }, "", -Skew - 1, CodeIssued, "Issued At", 10, 1},
		{"issued later by the skew", line("Not Before: ", "Not Before: 2026-11-23T11:00:00Z"), "", -Skew, "", "", 0, 0},
		{"no times but one, long ago", func(s string) string {
			return strings.Replace(strings.Replace(s, "\nExpiration Time: 2026-11-23T13:00:00.000Z", "", 1), "2026-11-23T12", "2016-11-23T12", 1)
		}, "", 0, "", "", 0, 0},
		{"what siwe-go cannot read, and the EIP allows", line("Request ID: ", "Request ID: "), "", 0, "", "", 0, 0},
	} {
		raw := tt.edit(base)
		sig, err := w.SignText([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		domain := tt.domain
		switch domain {
		case "":
			domain = "app.example.com"
		case "-":
			domain = ""
		}
		_, err = Examine([]byte(raw), sig, domain, noon.Add(tt.after))
		f, _ := err.(*Fault)
		if f == nil {
			f = new(Fault)
		}
		if f.Code != tt.code || f.Field != tt.field || f.Line != tt.line || f.Column != tt.column {
			t.Errorf("%s: got %v at column %d, want %s of %q in line %d at column %d", tt.name, err, f.Column, tt.code, tt.field, tt.line, tt.column)
		}
	}
	sig, err := testWallet(t, 2).SignText([]byte(base))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Examine([]byte(base), sig, "app.example.com", noon); code(err) != CodeSigSigner {
		t.Errorf("another wallet's signature: got %v", err)
	}
	if _, err := Examine([]byte(base), sig, "app.example.com", time.Time{}); code(err) != CodeExpect {
		t.Errorf("without a time: got %v", err)
	}
}

func TestAMismatchNamesItsLine(t *testing.T) {
	s := newSignin(t)
	want := s.want
	want.Chain = 5
	_, err := Verify(s.raw, s.sig, want)
	if f, ok := err.(*Fault); !ok || f.Line != 8 || f.Code != CodeChain {
		t.Errorf("got %v, want line 8", err)
	}
	m, err := Parse(s.raw)
	if err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]int{"scheme": 1, "address": 2, "statement": 4, "URI": 6, "key": 6, "Nonce": 9, "Request ID": 13, "Resources": 14, "ReCap": 17, "signature": 0} {
		if got := m.Line(field); got != want {
			t.Errorf("%s: got line %d, want %d\n%s", field, got, want, s.raw)
		}
	}
}
