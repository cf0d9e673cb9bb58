package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/writ-run/writ/internal/cli"
)

var (
	inFence = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```$")
	inLine  = regexp.MustCompile("`(writ [^`]+)`")
	atStart = regexp.MustCompile(`(?m)^(?:    |WRIT_\w+=\S+ )*(writ [a-z].*?)(?: *#.*| {3,}.*)?$`)
	flagged = regexp.MustCompile(`(?:^| )(--?[a-z][a-z-]*)`)
)

// Every command that the pages show is one that there is, with flags that it has. Those of docs/dapp.md are run as they
// stand (internal/e2e), the rest in the scripts of testdata.
func TestCommandsOfTheDocs(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../examples/*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(append(pages, more...), "../../README.md", "../../SECURITY.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range commandsOf(string(text)) {
			found++
			if why := unknownIn(newRoot(), line); why != "" {
				t.Errorf("%s: %q: %s", filepath.Base(page), line, why)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d commands are found; has the form of the pages changed?", found)
	}
	for _, wrong := range []string{"writ rum hello", "writ runs lst", "writ run hello --agnet x", "writ export R --data D --kies f"} {
		if unknownIn(newRoot(), wrong) == "" {
			t.Errorf("%q is taken for a command", wrong)
		}
	}
}

func newRoot() *cobra.Command {
	var out bytes.Buffer
	return (&app{Shell: &cli.Shell{In: strings.NewReader(""), Out: &out, Err: &out, Env: os.Getenv}}).root()
}

func commandsOf(text string) (lines []string) {
	for _, m := range inLine.FindAllStringSubmatch(text, -1) {
		lines = append(lines, m[1])
	}
	for _, m := range atStart.FindAllStringSubmatch(inFence.ReplaceAllString(text, "$1"), -1) {
		lines = append(lines, m[1])
	}
	return lines
}

// unknownIn says what of a line is no command, or no flag of it.
func unknownIn(root *cobra.Command, line string) string {
	line, _, _ = strings.Cut(line, " -- ") // what follows is another program's
	line, _, _ = strings.Cut(line, " && ")
	words := strings.Fields(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(line, "TEXT"))
	c := root
	for _, w := range words[1:] {
		next := subcommand(c, w)
		if next == nil {
			if c.HasSubCommands() && regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(w) && w != "help" {
				return "there is no command " + w
			}
			break
		}
		c = next
	}
	c.InitDefaultHelpFlag()
	for _, m := range flagged.FindAllStringSubmatch(strings.Join(words[1:], " "), -1) {
		name := strings.TrimLeft(m[1], "-")
		switch {
		case name == "json", name == "quiet", name == "q": // of every command
		case c.Flags().Lookup(name) != nil, c.InheritedFlags().Lookup(name) != nil:
		case len(name) == 1 && (c.Flags().ShorthandLookup(name) != nil || c.InheritedFlags().ShorthandLookup(name) != nil):
		default:
			return c.CommandPath() + " has no flag " + m[1]
		}
	}
	return ""
}

func subcommand(c *cobra.Command, name string) *cobra.Command {
	for _, s := range c.Commands() {
		if s.Name() == name || s.HasAlias(name) {
			return s
		}
	}
	return nil
}
