package ens

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools"
)

const maxName = 255 // bytes

// Normalize returns a name as ENS knows it. It is ENSIP-15 as far as that is plain: letters, digits and hyphens of
// ASCII, and underscores before them; two labels at least. Every name that it returns ENSIP-15 returns too. Whatever
// else ENSIP-15 allows, as other scripts and emoji, looks like something else too often to be paid to, and is refused
// in a sentence that says what it is made of. The error is a [*tools.Error].
func Normalize(name string) (string, error) {
	switch {
	case len(name) > maxName:
		return "", badName(name, "is longer than %d bytes", maxName)
	case !utf8.ValidString(name):
		return "", badName(name, "is no text")
	case strings.Count(name, ".") == 0:
		return "", badName(name, "has no dot, as alice.eth has")
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLetters(name, label); err != nil {
			return "", err
		}
	}
	name = strings.ToLower(name)
	for label := range strings.SplitSeq(name, ".") {
		switch bare := strings.TrimLeft(label, "_"); {
		case label == "":
			return "", badName(name, "has nothing before, after or between dots")
		case strings.Contains(bare, "_"):
			return "", badName(name, "has an underscore that does not begin a part of it")
		case len(label) >= 4 && label[2:4] == "--":
			return "", badName(name, "has two hyphens after two letters, as the encoded form of another name has")
		}
	}
	return name, nil
}

// checkLetters refuses a part of a name that is not of ASCII, and names the scripts that it mixes.
func checkLetters(name, label string) *tools.Error {
	var scripts []string
	for _, r := range label {
		if s := scriptOf(r); s != "" && !slices.Contains(scripts, s) {
			scripts = append(scripts, s)
		}
	}
	slices.Sort(scripts)
	for _, r := range label {
		plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
		switch {
		case plain:
			continue
		case len(scripts) > 1:
			return badName(name, "mixes the scripts %s, so it is not what it looks like", wording.JoinWithAnd(scripts))
		case r < utf8.RuneSelf:
			return badName(name, "has a sign that names do not have")
		case len(scripts) == 1 && scripts[0] != "Latin":
			return badName(name, "is in the script %s, and only names of plain Latin letters are read", scripts[0])
		default:
			return badName(name, "has signs beyond plain letters, digits and hyphens")
		}
	}
	return nil
}

// scriptOf returns the script of a letter; "" of what belongs to none.
func scriptOf(r rune) string {
	if !unicode.IsLetter(r) {
		return ""
	}
	for name, table := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(table, r) {
			return name
		}
	}
	return ""
}
