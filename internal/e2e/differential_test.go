package e2e

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spruceid/siwe-go"

	"github.com/writ-run/writ/auth"
)

var update = flag.Bool("update", false, "write docs/siwe-differential.md anew")

// A vector is what this test needs of a case; the README of the vectors says what the fields mean.
type vector struct {
	Name   string
	Class  int
	Raw    string
	RawHex string `json:"raw_hex"`
	Fill   *struct {
		Mark, With string
		Count      int
	}
	Signature string
	Expect    *struct {
		Domain, Nonce string
		Now           time.Time
	}
	Code auth.Code
}

// filled is s with what keeps the files small put in.
func (v *vector) filled(s string) string {
	if v.Fill == nil {
		return s
	}
	return strings.Replace(s, v.Fill.Mark, strings.Repeat(v.Fill.With, v.Fill.Count), 1)
}

const (
	accepts  = "accepts"
	rewrites = "accepts, and writes it otherwise"
	refuses  = "refuses"
	panics   = "**panics**"
)

// siweGo says what siwe-go makes of a case.
func siweGo(t *testing.T, v *vector) (verdict string) {
	t.Helper()
	raw := v.Raw
	if v.RawHex != "" {
		b, err := hex.DecodeString(v.RawHex)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(b)
	}
	defer func() {
		if recover() != nil {
			verdict = panics
		}
	}()
	raw = v.filled(raw)
	m, err := siwe.ParseMessage(raw)
	switch {
	case err != nil:
		return refuses
	case v.Expect != nil:
		if _, err := m.Verify(v.filled(v.Signature), &v.Expect.Domain, &v.Expect.Nonce, &v.Expect.Now); err != nil {
			return refuses
		}
	case m.String() != raw:
		return rewrites
	}
	return accepts
}

// ours is our own rule, which no other library can know: limits, agents, ReCaps.
func ours(c auth.Code) bool {
	r := c.Rule()
	return strings.HasPrefix(r, "a rule of ours") && c != auth.CodeAddressReserved && c != auth.CodeSigV ||
		strings.HasPrefix(r, "ERC-5573") || strings.HasPrefix(r, "did:key")
}

// docs/siwe-differential.md is what the vectors say about four libraries. This is the command that writes it:
//
//	go test ./internal/e2e -run TestDifferential -update
func TestDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	vectors, err := filepath.Abs(filepath.Join(root, "auth/testdata/vectors"))
	if err != nil {
		t.Fatal(err)
	}
	out, err := node(t, "differential.mjs", vectors).Output()
	if err != nil {
		t.Fatal(err)
	}
	var npm struct {
		Versions map[string]string
		Verdicts map[string]map[string]map[string]string
	}
	if err := json.Unmarshal(out, &npm); err != nil {
		t.Fatal(err)
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "github.com/spruceid/siwe-go")
	goVersion, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}

	var doc, tables bytes.Buffer
	cases, differ, own := 0, 0, 0
	wrong := map[string]int{} // accepted by a library, refused by us
	strict := map[string]int{}
	for _, f := range []struct{ file, title, about string }{
		{"parse.json", "The text", "Each case is a text without a signature."},
		{"signature.json", "The signature", "One good message with good and bad signatures."},
		{"signin.json", "What the server expects", "Signed messages; scheme, domain, nonce and time are given to each library that asks for them."},
	} {
		data, err := os.ReadFile(filepath.Join(vectors, f.file))
		if err != nil {
			t.Fatal(err)
		}
		var list []vector
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		if len(list) < 20 || len(npm.Verdicts[f.file]) != len(list) {
			t.Fatalf("%s: %d cases, and %d verdicts of npm's", f.file, len(list), len(npm.Verdicts[f.file]))
		}
		fmt.Fprintf(&tables, "\n## %s\n\n%s\n\n| case | writ | siwe-go | siwe | viem |\n|---|---|---|---|---|\n", f.title, f.about)
		for _, v := range list {
			cases++
			if ours(v.Code) {
				own++
				continue
			}
			want, said := accepts, refuses
			if v.Code != "" {
				want, said = refuses, "`"+string(v.Code)+"`"
			} else {
				said = accepts
			}
			theirs := []string{siweGo(t, &v), npm.Verdicts[f.file][v.Name]["siwe"], npm.Verdicts[f.file][v.Name]["viem"]}
			row := ""
			for i, s := range theirs {
				lib := []string{"siwe-go", "siwe", "viem"}[i]
				same := s == want || strings.HasPrefix(s, "not asked")
				switch {
				case !same && want == refuses:
					wrong[lib]++
				case !same:
					strict[lib]++
				}
				if s == want {
					s = ""
				}
				row += " " + s + " |"
			}
			if strings.Trim(row, " |") == "" {
				continue
			}
			differ++
			fmt.Fprintf(&tables, "| %s | %s |%s\n", cell(v.Name), said, row)
		}
	}
	fmt.Fprintf(&doc, `# Four readers of Sign-In with Ethereum

What siwe-go %s and npm's siwe %s and viem %s make of the public vectors in `+"`auth/testdata/vectors`"+`. Written by
`+"`go test ./internal/e2e -run TestDifferential -update`"+`; the same test fails if a library's verdict changes.

Of %d cases %d rest on rules of this project alone (limits, agents, ReCaps), which the others cannot know. Of the other
%d they judge %d otherwise than writ, which are listed here; an empty cell agrees with writ.

| | siwe-go | siwe | viem |
|---|---|---|---|
| accepts, rewrites or panics on what writ refuses | %d | %d | %d |
| refuses or rewrites what writ accepts | %d | %d | %d |

How they are asked: siwe-go by ParseMessage, and Verify with domain, nonce and time. siwe by its constructor, and verify
with scheme, domain, nonce and time. viem, whose parser refuses nothing, by parseSiweMessage and validateSiweMessage, and
verifyMessage. "Writes it otherwise" means that the library, which checks signatures over its own text, would check
another text than the one received. Bytes that are not UTF-8 reach the libraries of npm as U+FFFD. Some refusals of writ
are bounds of its own, which EIP-4361 leaves open: the vectors' README lists them.
`, bytes.TrimSpace(goVersion), npm.Versions["siwe"], npm.Versions["viem"], cases, own, cases-own, differ,
		wrong["siwe-go"], wrong["siwe"], wrong["viem"], strict["siwe-go"], strict["siwe"], strict["viem"])
	doc.Write(tables.Bytes())

	path := filepath.Join(root, "docs/siwe-differential.md")
	if *update {
		if err := os.WriteFile(path, doc.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, doc.Bytes()) {
		t.Error("docs/siwe-differential.md is not what the libraries say; run go test ./internal/e2e -run TestDifferential -update and read the difference")
	}
	if differ < 50 {
		t.Errorf("only %d differences: are the libraries asked?", differ)
	}
}

// cell makes a name fit for a table, whatever it holds.
func cell(s string) string {
	if len(s) > 80 {
		s = s[:60] + "..."
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, "`", "'").Replace(s)
}
