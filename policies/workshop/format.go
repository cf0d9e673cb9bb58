package workshop

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/internal/keys"
	"github.com/writ-run/writ/policies/internal/strict"
)

// Format returns a set, or a file of tests, in its canonical form: the keys in the order of the manual, two blanks of
// indentation, a blank line between the parts of a set and between rules, and conditions with one blank around
// operators. Comments stay, and so do the choices between a mapping in one line or in many and between quotes. What
// comes out means what went in, and formatting it again changes nothing; if that cannot be had, Format returns an
// error and the source stays as it is. The CID of a set is that of its bytes, so a formatted set is another version.
func Format(source []byte) ([]byte, error) {
	var r strict.Reader
	if root := r.ReadDocument(source, policies.MaxSource); root == nil {
		return nil, policies.NewLoadError("operator", r.Problems)
	}
	out, err := formatOnce(source)
	if err != nil {
		return nil, err
	}
	if again, err := formatOnce(out); err != nil || !bytes.Equal(again, out) {
		return nil, errUnstable
	}
	return out, nil
}

var errUnstable = errors.New("the set cannot be formatted without losing something: " +
	"a comment stands where it has no place; move it to a line of its own")

func formatOnce(source []byte) ([]byte, error) {
	var doc, after yaml.Node
	if err := yaml.Unmarshal(source, &doc); err != nil {
		return nil, fmt.Errorf("read the set: %w", err)
	}
	if doc.Kind != yaml.DocumentNode || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("a set is a mapping of keys to values")
	}
	comments := allComments(&doc)
	arrangeKeys(doc.Content[0])
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return nil, fmt.Errorf("write the set: %w", err)
	}
	out := addBlankLines(b.Bytes())
	if err := yaml.Unmarshal(out, &after); err != nil {
		return nil, errUnstable
	}
	if !sameNodes(&doc, &after) || !slices.Equal(comments, allComments(&after)) {
		return nil, errUnstable
	}
	return out, nil
}

// orders are the canonical orders of the keys, by where a mapping stands.
var orders = map[string][]string{
	"": keys.Set, "budgets": keys.Budget,
	"rules": keys.Rule, "waive": keys.Waiver, "tests": keysTest, "reserve": keys.Reserve, "want": keysWant,
}

// arrangeKeys brings a set into order, in place.
func arrangeKeys(root *yaml.Node) {
	sortKeys(root, orders[""])
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, v := root.Content[i].Value, root.Content[i+1]
		if order := orders[key]; order != nil && v.Kind == yaml.SequenceNode {
			for _, item := range v.Content {
				sortKeys(item, order)
				for _, inner := range []string{"reserve", "want"} {
					if n := memberOf(item, inner); n != nil {
						sortKeys(n, orders[inner])
						for _, x := range n.Content {
							sortKeys(x, orders[inner])
						}
					}
				}
				for _, c := range []string{"cap", "when", "unless"} {
					tidyCondition(memberOf(item, c))
				}
			}
		}
		if key == "variables" && v.Kind == yaml.MappingNode {
			for j := 1; j < len(v.Content); j += 2 {
				tidyCondition(v.Content[j])
			}
		}
	}
}

// sortKeys puts the known keys of a mapping in order; unknown ones stay behind them as they are.
func sortKeys(n *yaml.Node, order []string) {
	if n == nil || n.Kind != yaml.MappingNode || len(n.Content) < 4 {
		return
	}
	type pair struct{ k, v *yaml.Node }
	var pairs []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		pairs = append(pairs, pair{n.Content[i], n.Content[i+1]})
	}
	place := func(p pair) int {
		if i := slices.Index(order, p.k.Value); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return place(a) - place(b) })
	if first := n.Content[0]; pairs[0].k != first && pairs[0].k.HeadComment == "" { // what is said at the top stays there
		pairs[0].k.HeadComment, first.HeadComment = first.HeadComment, ""
	}
	for i, p := range pairs {
		n.Content[2*i], n.Content[2*i+1] = p.k, p.v
	}
}

// tidyCondition gives a condition of one line one blank around its operators and the operators one spelling. What does
// not read as the same condition afterwards stays.
func tidyCondition(n *yaml.Node) {
	if n == nil || n.Kind != yaml.ScalarNode || strings.Contains(n.Value, "\n") {
		return
	}
	before, err := lexer.Lex(file.NewSource(n.Value))
	if err != nil || strings.Contains(n.Value, "//") || strings.Contains(n.Value, "/*") {
		return
	}
	var b strings.Builder
	var last lexer.Token
	unary := false // the last token was an operator of what follows
	for _, t := range before {
		if t.Is(lexer.EOF) {
			break
		}
		word := n.Value[t.From:t.To]
		operand := last.Is(lexer.Identifier) || last.Is(lexer.Number) || last.Is(lexer.String) ||
			last.Is(lexer.Bracket, ")", "]")
		gap := " "
		switch {
		case b.Len() == 0, last.Is(lexer.Bracket, "(", "["), t.Is(lexer.Bracket, ")", "]"), t.Is(lexer.Operator, ",", "."),
			last.Is(lexer.Operator, "."), unary && !last.Is(lexer.Operator, "not"), t.Is(lexer.Bracket, "(") &&
				last.Is(lexer.Identifier):
			gap = ""
		}
		unary = t.Is(lexer.Operator, "!", "not") || t.Is(lexer.Operator, "-", "+") && !operand
		if t.Is(lexer.Operator) {
			if to, ok := map[string]string{"and": "&&", "or": "||"}[t.Value]; ok {
				word = to
			}
		}
		b.WriteString(gap + word)
		last = t
	}
	after, err := lexer.Lex(file.NewSource(b.String()))
	same := func(x, y lexer.Token) bool {
		spell := strings.NewReplacer("and", "&&", "or", "||")
		return x.Kind == y.Kind && (x.Value == y.Value || x.Is(lexer.Operator) && spell.Replace(x.Value) == y.Value)
	}
	if err == nil && slices.EqualFunc(before, after, same) {
		n.Value = b.String()
	}
}

// addBlankLines puts a blank line before each part of a set that takes more than one line, and between rules.
func addBlankLines(src []byte) []byte {
	lines := wrapTexts(strings.Split(strings.TrimRight(string(src), "\n"), "\n"))
	var out []string
	part, inBlock := "", false
	for i, line := range lines {
		top := line != "" && line[0] != ' ' && line[0] != '#' && line[0] != '-'
		if top {
			part, _, _ = strings.Cut(line, ":")
		}
		begins := top && !slices.Contains([]string{"schema", "name", "about"}, part)
		if part == "rules" && strings.HasPrefix(line, "  - ") && i > 0 && !strings.HasPrefix(lines[i-1], "rules:") {
			// Rules of one line each stay together; one of several stands apart.
			begins = inBlock || i+1 < len(lines) && strings.HasPrefix(lines[i+1], "    ")
		}
		if strings.HasPrefix(line, "  - ") {
			inBlock = i+1 < len(lines) && strings.HasPrefix(lines[i+1], "    ")
		}
		if begins && len(out) > 0 {
			at := len(out) // before its comment
			indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
			for at > 0 && strings.HasPrefix(out[at-1], indent+"#") {
				at--
			}
			if at > 0 && out[at-1] != "" && !(part == "rules" && strings.HasPrefix(out[at-1], "rules:")) {
				out = slices.Insert(out, at, "")
			}
		}
		out = append(out, line)
	}
	return []byte(strings.Join(out, "\n") + "\n")
}

// lineWidth is where texts in the folded style are wrapped.
const lineWidth = 118

// wrapTexts breaks the lines of folded texts, which the encoder writes as one.
func wrapTexts(lines []string) (out []string) {
	depth := -1 // of the key whose text this is
	for _, line := range lines {
		text := strings.TrimLeft(line, " ")
		indent := len(line) - len(text)
		if depth >= 0 && (text == "" || indent > depth) {
			// A more indented line stands for itself, and two blanks are more than a break would give back.
			if indent != depth+2 || strings.Contains(text, "  ") {
				out = append(out, line)
				continue
			}
			for len(line) > lineWidth {
				i := strings.LastIndexByte(line[:lineWidth+1], ' ')
				if i <= indent {
					if i = strings.IndexByte(line[indent:], ' ') + indent; i < indent {
						break
					}
				}
				out = append(out, line[:i])
				line = strings.Repeat(" ", indent) + line[i+1:]
			}
			out = append(out, line)
			continue
		}
		depth = -1
		if strings.HasSuffix(line, ": >-") || strings.HasSuffix(line, ": >") || strings.HasSuffix(line, ": >+") {
			depth = indent
			if strings.HasPrefix(text, "- ") {
				depth += 2
			}
		}
		out = append(out, line)
	}
	return out
}

// allComments lists the comments of a document, sorted: they may move with what they are about.
func allComments(n *yaml.Node) (out []string) {
	for _, c := range []string{n.HeadComment, n.LineComment, n.FootComment} {
		for line := range strings.Lines(c) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
	}
	for _, x := range n.Content {
		out = append(out, allComments(x)...)
	}
	slices.Sort(out)
	return out
}

// sameNodes says whether two documents hold the same. What a value is is said by where it stands, so only nothing is
// told from a text.
func sameNodes(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && (a.ShortTag() == "!!null") == (b.ShortTag() == "!!null") && a.Value == b.Value &&
		slices.EqualFunc(a.Content, b.Content, sameNodes)
}
