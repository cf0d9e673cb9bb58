package provenance

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/record.md names every code of this package and of agent/audit, and no other.
func TestTheDocsNameEveryCode(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "record.md"))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join("..", "docs", "log.md")) // those of the log have a page of their own
	if err != nil {
		t.Fatal(err)
	}
	doc = append(doc, log...)
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"internal/dagcbor/*.go", "logproof/*.go", "../agent/audit/*.go"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	here := map[string]bool{}
	for _, name := range files {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:const)?\s+?Code\w+\s+(?:(?:provenance\.)?Code )?= "([a-z0-9_.]+)"`).FindAllSubmatch(src, -1) {
			here[string(m[1])] = true
		}
	}
	there := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z0-9_]+)` \\|[^|\n]*\\|(?:[^|\n]*\\|)?$").FindAllSubmatch(doc, -1) {
		there[string(m[1])] = true
	}
	for _, code := range []string{string(CodeBlockHash), string(CodeBlockSize), string(CodeKeysForm),
		string(CodeKeysSize)} {
		if regexp.MustCompile("`" + regexp.QuoteMeta(code) + "`").Match(doc) {
			there[code] = true
		}
	}
	if len(here) < 90 {
		t.Fatalf("only %d codes found in the source", len(here))
	}
	for code := range here {
		if !there[code] {
			t.Errorf("docs/record.md does not name %s", code)
		}
	}
	for code := range there {
		if !here[code] {
			t.Errorf("docs/record.md names %s, which is not there", code)
		}
	}
}

// byTest has the rules that no file of the vectors can show, and the test that does: what needs a chain, a server, a
// file too large to keep, or another caller than a verifier of files.
var byTest = map[string]string{
	"context.module":     "TestResultsOfModulesAreComputedAgain",
	"context.reconciled": "TestWhatASecondToolSaysIsJudgedAgain",
	"retrieval.passage":  "TestPassagesAreHeldToTheirCIDs",
	"retrieval.rank":     "TestSearchesAreMadeAgain",
	"retrieval.result":   "TestSearchesAreMadeAgain",
	"retrieval.snapshot": "TestSnapshotsAreHeldToTheirCIDs",
	"retrieval.view":     "TestSearchesAreMadeAgain",
	"car.size":           "TestTheIndexIsBounded",
	"car.unreadable":     "TestUnreadableFile",
	"leaf.reopened":      "TestLeavesAreToldApart",
	"codec.size":         "TestCheckRefusesTooLargeABlock",
	"delegation.depth":   "TestEachFalseDelegationIsRefusedByItsOwnReason",
	"delegation.spent":   "TestTheAuditAddsUpParentAndChild",
	"approvals.contract": "TestAContractWalletPaysAndAStrangerAsksItsChainAgain",
	"grant.contract":     "TestAContractWalletPaysAndAStrangerAsksItsChainAgain",
	"grant.wallet":       "TestTheVerifierSaysWhoseWalletItMustBe",
	"grant.revocation":   "TestADelegationIsRevokedByItself",
	"replies.reused":     "TestEachFalseReuseIsRefused",
	"leaf.hash":          "TestAPayloadOpensOnlyToItsText",
	"log.missing":        "TestALogIsOneOrIsFoundOut",
	"log.tile":           "TestALogIsOneOrIsFoundOut",
	"totals.price":       "TestWhoHasTheTableFindsAnotherPrice",
	"totals.table":       "TestWhoHasTheTableFindsAnotherPrice",
	"transfers.mined":    "TestWhatIsSaidToBeMinedIsLookedFor",
}

// Each rule of docs/record.md and docs/log.md names the vectors that break it, all of them and no other, or the test
// that does; -update writes them.
func TestTheDocsNameTheVectorsOfEachRule(t *testing.T) {
	vectors := map[string][]string{}
	for _, name := range []string{"vectors.json", "log-vectors.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", "tamper", name))
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			Vectors []struct{ Name, Code string }
		}
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		for _, v := range list.Vectors {
			if v.Code != "" {
				vectors[v.Code] = append(vectors[v.Code], v.Name)
			}
		}
	}
	tests := testNames(t)
	row := regexp.MustCompile("(?m)^\\| `([a-z]+\\.[a-z0-9_]+)` \\| ([^|\n]*?) \\|(?: ([^|\n]*) \\|)?$")
	named := map[string]bool{}
	for _, doc := range []string{"record.md", "log.md"} {
		path := filepath.Join("..", "docs", doc)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wrong := 0
		out := row.ReplaceAllStringFunc(string(text), func(line string) string {
			m := row.FindStringSubmatch(line)
			code, rule := m[1], m[2]
			named[code] = true
			want := strings.Join(vectors[code], ", ")
			if want == "" {
				want = "`" + byTest[code] + "`"
				if !tests[byTest[code]] {
					t.Errorf("%s has no vector, and no test is named for it", code)
				}
			} else if byTest[code] != "" {
				t.Errorf("%s has vectors; it needs no test named", code)
			}
			if m[3] != want {
				wrong++
				if !*update {
					t.Errorf("docs/%s: %s names %q, want %q", doc, code, m[3], want)
				}
			}
			return "| `" + code + "` | " + rule + " | " + want + " |"
		})
		if *update && wrong > 0 {
			if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for code, names := range vectors {
		// these stand in the text
		if !named[code] && !strings.HasPrefix(code, "block.") && !strings.HasPrefix(code, "keys.") {
			t.Errorf("the vectors %v break %s, of which the docs say nothing", names, code)
		}
	}
}

// testNames lists the tests of the repository.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return fs.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		src, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(src, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
