package cli

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// errShort says that a text is no CID that was shortened.
var errShort = errors.New("not a short CID")

// shortest is how many characters of a CID's end name it at least.
const shortest = 6

// EndOfCID returns the end of the CID that a short one stands for: of "bafyre..hylphi", as [ShortCID] writes it, or of
// its end alone.
func EndOfCID(text string) (string, error) {
	begin, end, dots := strings.Cut(text, "..")
	if !dots {
		begin, end = "", text
	}
	const letters = "abcdefghijklmnopqrstuvwxyz234567" // of base32, as CIDs of version 1 are written
	if len(end) < shortest || strings.Trim(begin+end, letters) != "" ||
		!strings.HasPrefix("bafyrei", begin[:min(7, len(begin))]) {
		return "", errShort
	}
	return end, nil
}

// IsShortOf says whether a text that [EndOfCID] takes stands for a CID.
func IsShortOf(text, cid string) bool {
	begin, end, dots := strings.Cut(text, "..")
	if !dots {
		begin, end = "", text
	}
	return strings.HasPrefix(cid, begin) && strings.HasSuffix(cid, end)
}

// OnlyOne returns what a short CID stands for, if that is one thing.
func OnlyOne(text, what string, found []string) (string, error) {
	switch len(found) {
	case 0:
		return "", Failf(ExitIncomplete, "not_found", "there is no %s of yours that ends in %s", what, text)
	case 1:
		return found[0], nil
	}
	return "", Usage("%s stands for %s and for %s; write more of it", text, found[0], found[1])
}

// Clip cuts a text that is too long for a line, at a character.
func Clip(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-3]) + "..."
}
