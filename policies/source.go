package policies

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// What is here reads YAML strictly. Problems are noted with their place, and reading goes on.

func (l *loader) problem(n *yaml.Node, format string, args ...any) {
	l.hinted(n, "", format, args...)
}

func (l *loader) hinted(n *yaml.Node, hint, format string, args ...any) {
	p := Problem{Rule: l.rule, Text: fmt.Sprintf(format, args...), Hint: hint}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	l.problems = append(l.problems, p)
}

// full says that enough has been found. A hostile source could have a problem in every byte.
func (l *loader) full() bool { return len(l.problems) >= maxProblems }

// plainYAML says whether the YAML parser can be let at a source: it takes much memory for deep nesting, which no
// policy set needs, and much time for many short lines. Brackets within texts are counted too; they come in pairs.
func plainYAML(source []byte) bool {
	const limit, maxLines = 64, 6000
	if bytes.Count(source, []byte("\n")) > maxLines {
		return false
	}
	open := 0
	for line := range bytes.Lines(source) {
		for _, c := range line {
			switch c {
			case '[', '{':
				open++
			case ']', '}':
				open = max(0, open-1)
			}
			if open > limit {
				return false
			}
		}
		// Each of these opens a block, and many can stand in one line.
		for _, mark := range []string{"- ", "? ", ": "} {
			if bytes.Count(line, []byte(mark)) > limit {
				return false
			}
		}
	}
	return true
}

// document reads one YAML document without anchors, aliases or tags.
func (l *loader) document(source []byte) *yaml.Node {
	if len(source) > l.lim.source {
		l.problem(nil, "the source has %d bytes, more than %d", len(source), l.lim.source)
		return nil
	}
	if !utf8.Valid(source) {
		l.problem(nil, "the source is not valid UTF-8")
		return nil
	}
	if !plainYAML(source) {
		l.problem(nil, "the source is nested too deeply, or has too many lines")
		return nil
	}
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(source))
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			l.problem(nil, "the source is empty")
			return nil
		}
		text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "yaml: "), "\n")
		p := Problem{Text: "not valid YAML: " + text}
		if n, _ := fmt.Sscanf(text, "line %d:", &p.Line); n == 1 {
			p.Column = 1
			p.Text = "not valid YAML: " + text[strings.Index(text, ":")+2:]
		}
		l.problems = append(l.problems, p)
		return nil
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		l.problem(nil, "the source must be one YAML document")
		return nil
	}
	if !l.plainNodes(&doc, 0) || len(doc.Content) != 1 {
		return nil
	}
	return doc.Content[0]
}

// plainNodes refuses what makes YAML hard to read the same way twice.
func (l *loader) plainNodes(n *yaml.Node, depth int) bool {
	switch {
	case depth > 12:
		l.problem(n, "the document is nested too deeply")
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		l.problem(n, "anchors and aliases are not allowed; write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		l.problem(n, "tags are not allowed")
	default:
		for _, c := range n.Content {
			if !l.plainNodes(c, depth+1) {
				return false
			}
		}
		return true
	}
	return false
}

func or(n, fallback *yaml.Node) *yaml.Node {
	if n != nil {
		return n
	}
	return fallback
}

// mapping returns the values of n by key. Unknown and repeated keys are problems; keys nil allows any.
func (l *loader) mapping(n *yaml.Node, what string, keys []string) map[string]*yaml.Node {
	m := map[string]*yaml.Node{}
	l.pairs(n, what, func(k, v *yaml.Node) {
		if keys != nil && !slices.Contains(keys, k.Value) {
			l.hinted(k, nearest(k.Value, keys), "unknown key %q in %s", clip(k.Value), what)
			return
		}
		m[k.Value] = v
	})
	return m
}

// pairs calls do for each entry of the mapping n, in order.
func (l *loader) pairs(n *yaml.Node, what string, do func(k, v *yaml.Node)) {
	if n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		l.problem(n, "%s must be a mapping of keys to values", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && !l.full(); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			l.problem(k, "a key in %s must be plain text", what)
			continue
		}
		if seen[k.Value] {
			l.problem(k, "%q is there twice in %s", clip(k.Value), what)
			continue
		}
		seen[k.Value] = true
		do(k, v)
	}
}

// list calls do for each item of the sequence n.
func (l *loader) list(n *yaml.Node, what string, do func(*yaml.Node)) {
	if n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode {
		l.problem(n, "%s must be a list", what)
		return
	}
	for _, item := range n.Content {
		if l.full() {
			return
		}
		do(item)
	}
}

// scalar returns the text of n, as it is written.
func (l *loader) scalar(n *yaml.Node, what string) (string, bool) {
	if n == nil {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		l.problem(n, "%s must be a single value", what)
		return "", false
	}
	return n.Value, true
}

func identifier(s string) bool {
	if s == "" || len(s) > 64 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func (l *loader) name(n, parent *yaml.Node, key string) string {
	if n == nil {
		l.problem(parent, "%s is missing", key)
		return ""
	}
	s, ok := l.scalar(n, key)
	if ok && !identifier(s) {
		l.problem(n, "%s %q is not a name: at most 64 lower-case letters, digits, '-' and '_', a letter first", key, clip(s))
		return ""
	}
	return s
}

// text reads words for people: any script, but nothing that hides or reorders.
func (l *loader) text(n *yaml.Node, limit int) string {
	if n == nil {
		return ""
	}
	s, ok := l.scalar(n, "a text")
	if !ok {
		return ""
	}
	if len(s) > limit {
		l.problem(n, "the text has %d bytes, more than %d", len(s), limit)
	}
	for _, r := range s {
		if r != '\n' && !unicode.IsGraphic(r) {
			l.problem(n, "the text holds a control or invisible character (U+%04X)", r)
			break
		}
	}
	return strings.TrimSpace(s)
}

// place turns an offset in the condition of n into a line and column of the source.
func place(n *yaml.Node, src string, at int) (line, column int) {
	at = min(at, len(src))
	before := src[:at]
	down := strings.Count(before, "\n")
	inLine := at - strings.LastIndexByte(before, '\n') - 1
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return n.Line + 1 + down, 1 + inLine // the block's indentation is not known here
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return n.Line + down, n.Column + 1 + inLine
	}
	return n.Line + down, n.Column + inLine
}

// nearest returns the name that a mistyped one most likely meant, or "".
func nearest(s string, names []string) string {
	best, at := "", 3
	if len(s) > 64 {
		return ""
	}
	for _, n := range names {
		if d := distance(strings.ToLower(s), strings.ToLower(n)); d < at && d*2 <= max(len(s), len(n)) {
			best, at = n, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their neighbour.
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			d := last[j]
			if a[i] != b[j] {
				d = min(d, last[j+1], row[j]) + 1
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row[j+1] = d
		}
		before, last = last, row
	}
	return last[len(b)]
}
