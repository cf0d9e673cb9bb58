package agentfile

import (
	"regexp"
	"strings"
)

// The decoder's own words name types of this program, which nobody who writes a file knows.
var (
	noField   = regexp.MustCompile(`field (\S+) not found in type \S+`)
	wrongKind = regexp.MustCompile("cannot unmarshal !!(\\w+)( `[^`]*`)? into (\\S+)")
)

// kinds are the decoder's words for what stands in a file.
var kinds = map[string]string{
	"map": "a map of keys", "seq": "a list", "str": "a text", "int": "a number", "float": "a number",
	"bool": "true or false", "null": "nothing", "timestamp": "a date",
}

// tellFault says in words of the file what a decoder found wrong with it.
func tellFault(err error) string {
	s := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "yaml: "), "unmarshal errors:")
	s = noField.ReplaceAllString(s, `there is no key "$1" here`)
	s = wrongKind.ReplaceAllStringFunc(s, func(found string) string {
		m := wrongKind.FindStringSubmatch(found)
		is := kinds[m[1]]
		if is == "" {
			is = "something else"
		}
		return is + m[2] + " stands where " + kindOf(m[3]) + " should"
	})
	return strings.Join(strings.Fields(s), " ")
}

// kindOf is what a type of this program is in a file.
func kindOf(goType string) string {
	switch t := strings.TrimPrefix(goType, "*"); {
	case strings.HasPrefix(t, "[]"):
		return "a list"
	case t == "string":
		return "a text"
	case t == "bool":
		return "true or false"
	case strings.Contains(t, "int"), strings.Contains(t, "float"):
		return "a number"
	}
	return "a map of keys"
}
