package arg

import (
	"strconv"
	"strings"
)

// IsTyped says whether a user wrote the value of an argument, as a word or words of a request.
func IsTyped(input string, v Value) bool {
	text := ""
	switch v.Kind {
	case String, Address, Amount, Number:
		text = v.Text
	case Int:
		text = strconv.FormatInt(v.Int, 10)
	}
	if text == "" {
		return false
	}
	for before, rest := "", input; ; {
		i := strings.Index(rest, text)
		if i < 0 {
			return false
		}
		before += rest[:i]
		after := strings.TrimLeft(rest[i+len(text):], ".,;:!?)'\"")
		begins := before == "" || strings.ContainsAny(before[len(before)-1:], " \t\n('\"")
		if begins && (after == "" || after[0] <= ' ') {
			return true
		}
		before += rest[i : i+1]
		rest = rest[i+1:]
	}
}
