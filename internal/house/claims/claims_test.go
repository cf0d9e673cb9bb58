package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const root = "../../.."

// No command is run here: CLAIMS.md must only not promise what is not there to be run.
func TestEveryClaimHasACommandThatExists(t *testing.T) {
	src, err := os.ReadFile(filepath.Join(root, document))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := parse(string(src))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range claims {
		for _, fault := range faults(t, c.command) {
			t.Errorf("%s:%d: %s", document, c.line, fault)
		}
	}
}

// faults says what is wrong with a command: it must be `go test packages -run pattern` where each package has a
// test for the pattern and each alternative of the pattern names a test, or `make target`, or several of these with && between.
func faults(t *testing.T, command string) []string {
	t.Helper()
	var out []string
	for part := range strings.SplitSeq(command, "&&") {
		words := strings.Fields(part)
		switch {
		case len(words) == 2 && words[0] == "make":
			makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(words[1]) + `:`).Match(makefile) {
				out = append(out, "the Makefile has no target "+words[1])
			}
		case len(words) > 2 && words[0] == "go" && words[1] == "test":
			out = append(out, testFaults(t, words[2:])...)
		default:
			out = append(out, fmt.Sprintf("%q is neither go test nor make", strings.TrimSpace(part)))
		}
	}
	return out
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Example|Fuzz)\w*)\(`)

func testFaults(t *testing.T, args []string) []string {
	t.Helper()
	var packages []string
	pattern := ""
	for i := 0; i < len(args); i++ {
		switch {
		case strings.HasPrefix(args[i], "./"):
			packages = append(packages, args[i])
		case args[i] == "-run" && i+1 < len(args):
			i++
			pattern = strings.Trim(args[i], "'")
		case args[i] != "-race" && args[i] != "-v":
			return []string{"go test with " + args[i] + " is not understood here"}
		}
	}
	if len(packages) == 0 || pattern == "" {
		return []string{"go test wants a package and a -run pattern"}
	}
	var out []string
	found := make(map[string]bool)
	for _, pkg := range packages {
		tests, some := testsOf(t, pkg), false
		for name := range strings.SplitSeq(pattern, "|") {
			name, script, _ := strings.Cut(name, "/")
			script = strings.TrimSuffix(script, "$") // which keeps go test from running those that begin alike
			re, err := regexp.Compile(name)
			if err != nil {
				return []string{fmt.Sprintf("the pattern %q: %v", name, err)}
			}
			if !slices.ContainsFunc(tests, re.MatchString) {
				continue
			}
			some, found[name] = true, true
			if name == "TestScripts" && script != "" {
				if _, err := os.Stat(filepath.Join(root, pkg, "testdata/script", script+".txtar")); err != nil {
					out = append(out, fmt.Sprintf("%s has no script %s", pkg, script))
				}
			}
		}
		if !some {
			out = append(out, fmt.Sprintf("%s has no test for %s", pkg, pattern))
		}
	}
	for name := range strings.SplitSeq(pattern, "|") {
		if name, _, _ = strings.Cut(name, "/"); !found[name] {
			out = append(out, "there is no test "+name)
		}
	}
	return out
}

func testsOf(t *testing.T, pkg string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testFunc.FindAllSubmatch(src, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}

func TestFaultsOfACommandAreFound(t *testing.T) {
	for _, c := range []struct{ rule, command, want string }{
		{"a test that exists", "go test ./internal/house/claims -run TestFaultsOfACommandAreFound", ""},
		{"one alternative of two is missing", "go test ./internal/house/claims -run 'TestFaults|TestGone'",
			"there is no test TestGone"},
		{"a folder without tests", "go test ./docs ./internal/house/claims -run TestParse", "./docs has no test for TestParse"},
		{"a script, and none that begins alike", "go test ./cmd/writ -run TestScripts/run$", ""},
		{"a script that is not there", "go test ./cmd/writ -run TestScripts/nothing", "./cmd/writ has no script nothing"},
		{"a whole package is no proof of one claim", "go test ./auth", "go test wants a package and a -run pattern"},
		{"a make target", "make test", ""},
		{"a target that is not there", "make nothing", "the Makefile has no target nothing"},
		{"each part counts", "make test && true", `"true" is neither go test nor make`},
	} {
		if got := strings.Join(faults(t, c.command), "; "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.rule, got, c.want)
		}
	}
}

func TestParseReadsRows(t *testing.T) {
	got, err := parse("# Claims\n\n| claim | command |\n|---|---|\n| it holds | `go test ./a -run 'A\\|B'` |\n")
	if want := (claim{5, "it holds", "go test ./a -run 'A|B'"}); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	for rule, src := range map[string]string{
		"no table":               "words",
		"a row without command":  "| it holds | |",
		"a command in no ticks":  "| it holds | make test |",
		"three cells":            "| a | b | `make test` |",
		"a row that is left off": "| it holds | `make test`",
	} {
		if got, err := parse(src); err == nil {
			t.Errorf("%s: read as %v", rule, got)
		}
	}
}

func TestCheckSaysWhichHold(t *testing.T) {
	var out bytes.Buffer
	all := []claim{{1, "holds", "true"}, {2, "does not", "echo because; false"}, {3, "tests nothing", "echo '[no tests to run]'"}}
	if check(context.Background(), &out, all, time.Minute, false) {
		t.Error("a failed claim passed")
	}
	for _, want := range []string{"ok  ", "  holds\n", "FAIL", "because", "it runs no test", "1 of 3 claims hold"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if got := chosen(slices.Clone(all), []string{"NOT"}); len(got) != 2 {
		t.Errorf("got %v", got)
	}
}
