package label

import (
	"encoding/json"
	"slices"
	"strings"
)

// CleanOrigin makes a name fit for a label: printable ASCII, short. It comes from outside.
func CleanOrigin(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 120)]
}

// Clean makes a label that was read from a record one that keeps the bounds: sorted, each origin once.
func (l Label) Clean() Label {
	out := Label{Integrity: l.Integrity, Secrecy: l.Secrecy}
	for _, o := range l.Origins {
		if o != More {
			o = CleanOrigin(o)
		}
		out = out.Join(Label{Origins: []string{o}})
	}
	return out
}

// JSON is json.Marshal, without its detours where an origin's letters stand for themselves, as nearly all do.
func (l Label) JSON() ([]byte, error) {
	plain := func(r rune) bool { return r >= ' ' && r < 0x7f && !strings.ContainsRune(`"\<>&`, r) }
	size := 64
	for _, o := range l.Origins {
		if strings.ContainsFunc(o, func(r rune) bool { return !plain(r) }) {
			return json.Marshal(l)
		}
		size += len(o) + 3
	}
	b := append(make([]byte, 0, size), `{"integrity":"`...)
	b = append(append(b, l.Integrity.String()...), `","secrecy":"`...)
	b = append(append(b, l.Secrecy.String()...), '"')
	for i, o := range l.Origins {
		if i == 0 {
			b = append(b, `,"origins":["`...)
		} else {
			b = append(b, `,"`...)
		}
		b = append(append(b, o...), '"')
	}
	if len(l.Origins) > 0 {
		b = append(b, ']')
	}
	return append(b, '}'), nil
}

// DescribeOrigins tells origins in words, the first few of them; the web and documents before tools, since that is
// where strangers write.
func DescribeOrigins(origins []string) string {
	words := map[string]string{
		"web": "web content of ", "doc": "documents of ", "tool": "what the tool ",
		"about": "the description of the tool ", "chain": "the chain, its ",
	}
	sorted := slices.Clone(origins)
	slices.SortStableFunc(sorted, func(a, b string) int {
		own := func(s string) int {
			if strings.HasPrefix(s, "tool:") {
				return 1
			}
			return 0
		}
		return own(a) - own(b)
	})
	var out []string
	for i, o := range sorted {
		kind, name, _ := strings.Cut(o, ":")
		switch {
		case i == 3 || o == More:
			return strings.Join(append(out, "others"), ", ")
		case o == "user:attachment":
			out = append(out, "a file that the user attached")
		case kind == "tool":
			out = append(out, words[kind]+name+" returned")
		case words[kind] != "":
			out = append(out, words[kind]+name)
		default:
			out = append(out, o)
		}
	}
	if len(out) == 0 {
		return "an unknown origin"
	}
	return strings.Join(out, ", ")
}
