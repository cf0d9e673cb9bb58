// Package grounds says what the figures of an answer rest on: each number, address, hash, symbol and citation in it
// stands in what the run was given, or comes of that by one of a few declared sums, or is marked.
//
// Nothing of it is recorded. Marks are a function of the run's steps: who has these makes the same marks, the server
// for the user's eyes and the auditor for its report, and there is nothing to lie about. A mark is no judgement: a
// model may know a figure from elsewhere. It says that this run's record does not show where it came from.
package grounds

import (
	"cmp"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// Bounds of what is looked at. What is beyond is not marked.
const (
	maxFigures = 500   // of an answer
	maxKnown   = 4_000 // numbers of what was given
	maxPairs   = 300   // numbers of one name that are tried in pairs
)

// Kinds of figures.
const (
	Number   = "number"
	Percent  = "percentage"
	Date     = "date"
	Address  = "address"
	Hash     = "hash"
	CID      = "cid"
	Symbol   = "symbol"
	Citation = "citation"
)

// A Mark is a figure of an answer, and what it rests on.
type Mark struct {
	From, To int    // bytes of the answer
	Kind     string // see above
	Text     string
	By       string // where it stands or how it is computed, e.g. "step 2", "request", "sum of units"; empty if nowhere
}

// Grounded says whether the figure rests on anything.
func (m Mark) Grounded() bool { return m.By != "" }

// Evidence is what a run was given, as far as it has come.
type Evidence struct {
	words   []given          // texts, in the order in which they came
	known   []value          // numbers in them
	byName  map[string][]int // places in known
	cites   map[string]uint64
	symbols map[string]string
	sealed  bool // something was given that could not be read
}

// given is one text.
type given struct{ where, text string }

// A value is a number that the run was given.
type value struct {
	n        *big.Rat
	where    string
	name     string // of the field that it is, if its numbers may be added up
	decimals bool   // it is how many decimals something has
}

// Check marks the figures of an answer, in order.
func (e *Evidence) Check(answer string) []Mark {
	var marks []Mark
	for _, f := range findFigures(answer) {
		f.By = e.groundOf(f, strings.HasPrefix(strings.TrimLeft(answer[f.To:], " "), "decimal"))
		if marks = append(marks, f); len(marks) == maxFigures {
			break
		}
	}
	return marks
}

// CountFigures says how many figures a text names, at most 500.
func CountFigures(text string) int { return min(len(findFigures(text)), maxFigures) }

// Ungrounded returns the marks of figures that rest on nothing.
func Ungrounded(marks []Mark) (out []Mark) {
	for _, m := range marks {
		if !m.Grounded() {
			out = append(out, m)
		}
	}
	return out
}

var (
	citationForm = regexp.MustCompile(`\[(\d+\.\d+)\]`)
	sourceForm   = regexp.MustCompile(`\[step \d+(?:, block [\d,]+)?\]`) // the planner's own way of naming a source
	hexForm      = regexp.MustCompile(`\b0x[0-9a-fA-F]{8,}\b`)
	cidForm      = regexp.MustCompile(`\bba[a-z2-7]{20,}\b`)
	dateForm     = regexp.MustCompile(`\b\d{4}-\d{2}-\d{2}\b`)
	numberForm   = regexp.MustCompile(`\d[\d,]*(?:\.\d+)?`)
	symbolForm   = regexp.MustCompile(`^ ?([A-Z][A-Z0-9]{1,9})\b`)
	ordinalForm  = regexp.MustCompile(`(?m)^\s*(?:[-*]\s+)?\d{1,3}[.)]\s`)
	clockForm    = regexp.MustCompile(`\b\d{1,2}:\d{2}(?::\d{2})?\b`)
)

// findFigures finds the figures of a text, in order, none in another.
func findFigures(text string) (out []Mark) {
	taken := make([]bool, len(text))
	take := func(kind string, from, to int) bool {
		if slices.Contains(taken[from:to], true) {
			return false
		}
		for i := from; i < to; i++ {
			taken[i] = true
		}
		if kind != "" {
			out = append(out, Mark{From: from, To: to, Kind: kind, Text: text[from:to]})
		}
		return true
	}
	each := func(form *regexp.Regexp, kind func(string) string) {
		for _, at := range form.FindAllStringIndex(text, -1) {
			take(kind(text[at[0]:at[1]]), at[0], at[1])
		}
	}
	is := func(kind string) func(string) string { return func(string) string { return kind } }
	each(citationForm, is(Citation))
	each(sourceForm, is(""))
	each(hexForm, func(s string) string {
		if len(s) == 42 {
			return Address
		}
		return Hash
	})
	each(cidForm, is(CID))
	each(dateForm, is(Date))
	each(clockForm, is(""))
	each(ordinalForm, is(""))
	for _, at := range numberForm.FindAllStringIndex(text, -1) {
		from, to := at[0], at[1]
		to = from + len(strings.TrimRight(text[from:to], ",."))
		if from > 0 && isWord(text[from-1]) || to < len(text) && isWord(text[to]) {
			continue // a part of a name, such as ERC20 or k7f
		}
		if from > 1 && text[from-1] == '-' && isWord(text[from-2]) {
			continue // EIP-712
		}
		kind := Number
		if rest := strings.TrimLeft(text[to:], " "); strings.HasPrefix(rest, "%") || strings.HasPrefix(rest, "percent") {
			kind = Percent
		}
		if !take(kind, from, to) {
			continue
		}
		if m := symbolForm.FindStringSubmatchIndex(text[to:]); m != nil {
			take(Symbol, to+m[2], to+m[3])
		}
	}
	slices.SortFunc(out, func(a, b Mark) int { return cmp.Compare(a.From, b.From) })
	return out
}

func isWord(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80
}

// groundOf says what a figure rests on.
func (e *Evidence) groundOf(f Mark, decimals bool) string {
	switch f.Kind {
	case Citation:
		if step, ok := e.cites[strings.Trim(f.Text, "[]")]; ok {
			return fmt.Sprintf("step %d", step)
		}
		return ""
	case Symbol:
		return e.symbols[f.Text]
	case Address, Hash, CID:
		return e.findWord(f.Text)
	case Date:
		return e.groundOfDate(f.Text)
	}
	n, ok := parseNumber(f.Text)
	if !ok {
		return ""
	}
	if f.Kind == Percent {
		if by := e.findNumber(n, false); by != "" {
			return by
		}
		return e.findShare(n, decimalsOf(f.Text))
	}
	return cmp.Or(e.findNumber(n, decimals), e.findShifted(n, decimalsOf(f.Text)), e.findRounded(n, f.Text),
		e.findComputed(n))
}

// findWord looks for a hexadecimal or base32 word in what was given, capitals of hex aside.
func (e *Evidence) findWord(word string) string {
	for _, g := range e.words {
		if strings.Contains(g.text, strings.ToLower(word)) {
			return g.where
		}
	}
	return ""
}
