package grammar

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestANameMeansNothingElse(t *testing.T) {
	for name, want := range map[string]string{
		"bob": "", "treasury": "", "bob.eth": "", "pay-roll": "", "1inch": "", "agent": "", "stall": "",
		"please": "a word with a meaning of its own", "and": "a word with a meaning of its own", "half": "a word with a meaning of its own",
		"thanks": "a word with a meaning of its own", "pages": "", "page": "a word with a meaning of its own", "exactly": "a word with a meaning of its own",
		"usdc": "the symbol of a token", "ether": "the symbol of a token", "5": "a number", "0.5": "a number", "on": "a yes or no",
		"latest": "a block", "5usdc": "more than one word", "what's": "more than one word", "": "no word",
		"please.": "a word and the end of a sentence", "bob.": "a word and the end of a sentence",
	} {
		if got := MeaningOf(name); got != want {
			t.Errorf("%q means %q, want %q", name, got, want)
		}
	}
}

// Every word of every table in this package is refused as a name, one that is added later too.
func TestNoWordOfTheVocabularyIsAName(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	look := func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := call.Fun.(*ast.Ident)
		if !ok || f.Name != "setOf" && f.Name != "splitPhrases" && f.Name != "canonicalWords" {
			return true
		}
		for _, arg := range call.Args {
			lit, ok := arg.(*ast.BasicLit)
			if !ok {
				continue
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range strings.Fields(text) {
				if n++; MeaningOf(w) == "" {
					t.Errorf("%q of %s can name an account", w, f.Name)
				}
			}
		}
		return true
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, look)
	}
	if n < 500 {
		t.Errorf("%d words in the tables", n)
	}
}
