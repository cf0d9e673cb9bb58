// Package strict reads YAML strictly: one document, no anchors, tags or repeated keys, nothing that two parsers could
// read in two ways. What is wrong is noted with its place, and reading goes on, so that an author sees all at once.
package strict

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/internal/wording"
)

// A Problem is one thing that is wrong with a source.
type Problem struct {
	Line   int // from 1; 0 if it is about the whole source
	Column int
	Rule   string // what was being read, or ""
	Text   string // one sentence
	Hint   string // the name that was probably meant, or ""
}

// Compare orders problems by their place.
func (p Problem) Compare(q Problem) int {
	return cmp.Or(cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// A Reader reads one source. What it is asked for and is not there, or is something else, is a problem; the answer is
// then the zero value.
type Reader struct {
	Rule     string // is being read, for the problems; "" outside of one
	Problems []Problem
}

const maxProblems = 20

// Report notes a problem at n; nil is the whole source.
func (r *Reader) Report(n *yaml.Node, format string, args ...any) {
	r.ReportHint(n, "", format, args...)
}

// ReportHint notes a problem and the name that was probably meant.
func (r *Reader) ReportHint(n *yaml.Node, hint, format string, args ...any) {
	p := Problem{Rule: r.Rule, Text: fmt.Sprintf(format, args...), Hint: hint}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	r.Problems = append(r.Problems, p)
}

// IsFull says that enough has been found. A hostile source could have a problem in every byte.
func (r *Reader) IsFull() bool { return len(r.Problems) >= maxProblems }

// plainYAML says whether the YAML parser can be let at a source: it takes much memory for deep nesting, which no
// policy set needs, and much time for many short lines. Brackets within texts are counted too; they come in pairs.
func plainYAML(source []byte) bool {
	const limit, maxLines = 64, 6000
	if bytes.Count(source, []byte("\n")) > maxLines {
		return false
	}
	open := 0
	var marks [3]int // of this line; each "- ", "? " and ": " opens a block, and many can stand in one line
	for i, c := range source {
		switch c {
		case '[', '{':
			open++
		case ']', '}':
			open = max(0, open-1)
		case '\n':
			marks = [3]int{}
		case ' ':
			if mark := strings.IndexByte("-?:", source[max(0, i-1)]); mark >= 0 {
				marks[mark]++
				if marks[mark] > limit {
					return false
				}
			}
		}
		if open > limit {
			return false
		}
	}
	return true
}

// ReadDocument reads one YAML document without anchors, aliases or tags.
func (r *Reader) ReadDocument(source []byte, limit int) *yaml.Node {
	if len(source) > limit {
		r.Report(nil, "the source has %d bytes, more than %d", len(source), limit)
		return nil
	}
	if !utf8.Valid(source) {
		r.Report(nil, "the source is not valid UTF-8")
		return nil
	}
	if !plainYAML(source) {
		r.Report(nil, "the source is nested too deeply, or has too many lines")
		return nil
	}
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(source))
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			r.Report(nil, "the source is empty")
			return nil
		}
		text, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "yaml: "), "\n")
		p := Problem{Text: "not valid YAML: " + text}
		if n, _ := fmt.Sscanf(text, "line %d:", &p.Line); n == 1 {
			p.Column = 1
			p.Text = "not valid YAML: " + text[strings.Index(text, ":")+2:]
		}
		r.Problems = append(r.Problems, p)
		return nil
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		r.Report(nil, "the source must be one YAML document")
		return nil
	}
	if !r.checkNodes(&doc, 0) || len(doc.Content) != 1 {
		return nil
	}
	return doc.Content[0]
}

// checkNodes refuses what makes YAML hard to read the same way twice.
func (r *Reader) checkNodes(n *yaml.Node, depth int) bool {
	switch {
	case depth > 12:
		r.Report(n, "the document is nested too deeply")
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.Report(n, "anchors and aliases are not allowed; write the value out")
	case n.Style&yaml.TaggedStyle != 0:
		r.Report(n, "tags are not allowed")
	default:
		for _, c := range n.Content {
			if !r.checkNodes(c, depth+1) {
				return false
			}
		}
		return true
	}
	return false
}

// Mapping returns the values of n by key. Unknown and repeated keys are problems; keys nil allows any.
func (r *Reader) Mapping(n *yaml.Node, what string, keys []string) map[string]*yaml.Node {
	m := map[string]*yaml.Node{}
	r.Pairs(n, what, func(k, v *yaml.Node) {
		if keys != nil && !slices.Contains(keys, k.Value) {
			r.ReportHint(k, wording.Nearest(k.Value, keys), "unknown key %q in %s", wording.Clip(k.Value, 60), what)
			return
		}
		m[k.Value] = v
	})
	return m
}

// Pairs calls do for each entry of the mapping n, in order.
func (r *Reader) Pairs(n *yaml.Node, what string, do func(k, v *yaml.Node)) {
	if n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.Report(n, "%s must be a mapping of keys to values", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content) && !r.IsFull(); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode {
			r.Report(k, "a key in %s must be plain text", what)
			continue
		}
		if seen[k.Value] {
			r.Report(k, "%q is there twice in %s", wording.Clip(k.Value, 60), what)
			continue
		}
		seen[k.Value] = true
		do(k, v)
	}
}

// List calls do for each item of the sequence n.
func (r *Reader) List(n *yaml.Node, what string, do func(*yaml.Node)) {
	if n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.Report(n, "%s must be a list", what)
		return
	}
	for _, item := range n.Content {
		if r.IsFull() {
			return
		}
		do(item)
	}
}

// Scalar returns the text of n, as it is written.
func (r *Reader) Scalar(n *yaml.Node, what string) (string, bool) {
	if n == nil {
		return "", false
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		r.Report(n, "%s must be a single value", what)
		return "", false
	}
	return n.Value, true
}

// IsName says whether s can name a rule, a set and the like: at most 64 lower-case letters, digits, '-' and '_', a
// letter first.
func IsName(s string) bool {
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

// ReadName reads a name, of what key says.
func (r *Reader) ReadName(n, parent *yaml.Node, key string) string {
	if n == nil {
		r.Report(parent, "%s is missing", key)
		return ""
	}
	s, ok := r.Scalar(n, key)
	if ok && !IsName(s) {
		r.Report(n, "%s %q is not a name: at most 64 lower-case letters, digits, '-' and '_', a letter first", key,
			wording.Clip(s, 60))
		return ""
	}
	return s
}

// ReadText reads words for people: any script, but nothing that hides or reorders.
func (r *Reader) ReadText(n *yaml.Node, limit int) string {
	if n == nil {
		return ""
	}
	s, ok := r.Scalar(n, "a text")
	if !ok {
		return ""
	}
	if len(s) > limit {
		r.Report(n, "the text has %d bytes, more than %d", len(s), limit)
	}
	for _, c := range s {
		if c != '\n' && !unicode.IsGraphic(c) {
			r.Report(n, "the text holds a control or invisible character (U+%04X)", c)
			break
		}
	}
	return strings.TrimSpace(s)
}

// Place turns an offset in the condition of n into a line and column of the source.
func Place(n *yaml.Node, src string, at int) (line, column int) {
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

// Whole reads a plain whole number of at least least and at most most; 0 if it is absent.
func (r *Reader) Whole(n *yaml.Node, least, most int64) int64 {
	if n == nil {
		return 0
	}
	s, _ := r.Scalar(n, "a number")
	i, err := strconv.ParseInt(s, 10, 64)
	if err != nil || i < least || i > most || strconv.FormatInt(i, 10) != s {
		r.Report(n, "it must be a whole number from %d to %d", least, most)
		return 0
	}
	return i
}
