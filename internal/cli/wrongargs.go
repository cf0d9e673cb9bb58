package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// wrongArguments says in one sentence what cobra found wrong with the arguments, and how the command is written.
func wrongArguments(root *cobra.Command, args []string, err error) error {
	c, _, unknown := root.Find(args)
	says, _, _ := strings.Cut(err.Error(), "\n") // below it are commands with a name like it, a line each
	_, given, counted := strings.Cut(says, "received ")
	switch {
	case unknown != nil:
		return Usage("%s%s; see: %s help", says, suggest(root, says), root.Name())
	case counted:
		return Usage("%s was given %s; write it as: %s; see: %s --help", c.CommandPath(), countArguments(given), c.UseLine(),
			c.CommandPath())
	case strings.HasPrefix(says, "unknown command "):
		return Usage("%s takes no arguments, and was given %s; see: %s --help", c.CommandPath(), quotedIn(says),
			c.CommandPath())
	}
	return Usage("%s; see: %s --help", says, c.CommandPath())
}

func countArguments(n string) string {
	switch n {
	case "0":
		return "no argument"
	case "1":
		return "one argument"
	}
	return n + " arguments"
}

// suggest names a command that the unknown one in says may have been meant for.
func suggest(root *cobra.Command, says string) string {
	root.SuggestionsMinimumDistance = 2
	if near := root.SuggestionsFor(strings.Trim(quotedIn(says), `"`)); len(near) > 0 {
		return fmt.Sprintf("; did you mean %q?", near[0])
	}
	return ""
}

// quotedIn returns the first word in quotation marks, with them.
func quotedIn(says string) string {
	_, rest, _ := strings.Cut(says, `"`)
	word, _, _ := strings.Cut(rest, `"`)
	return `"` + word + `"`
}
