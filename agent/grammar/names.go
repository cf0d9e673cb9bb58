package grammar

import (
	"slices"
	"strings"
)

// MeaningOf says what a word means in the requests of every grammar, whatever its tools are: "a number", say; "" if
// nothing, so that it can name an account. A name that means something else as well could not be told from it: of
// "send 5 USDC to bob please" the last word would be a courtesy or the payee.
func MeaningOf(name string) string {
	ws := appendWords(nil, name, name, 0, "")
	switch len(ws) {
	case 0:
		return "no word"
	case 1:
	default:
		return "more than one word"
	}
	w := ws[0]
	if strings.TrimRight(w.low, ",.!?;:") != w.low {
		return "a word and the end of a sentence"
	}
	for k := range wants {
		p := prop{kind: kind(k)}
		if _, ok := p.readSlot(w, true); ok && p.kind != kindText && p.kind != kindAddress {
			return meanings[k]
		}
	}
	if isInVocabulary(w.low) {
		return "a word with a meaning of its own"
	}
	return ""
}

// meanings says what a word is that fills a slot of each kind.
var meanings = [...]string{
	kindInt: "a number", kindBool: "a yes or no", kindToken: "the symbol of a token", kindAmount: "a number",
	kindHash: "a hash", kindBlock: "a block", kindURL: "the address of a page",
	kindThing: "a number",
}

// isInVocabulary says whether a word stands in any table of words that requests are read by.
func isInVocabulary(low string) bool {
	for _, set := range []map[string]bool{
		doubt, wonder, nobody, number, symbols, sending, reading, fillers, preposition, openQuestions, lookups,
	} {
		if set[low] {
			return true
		}
	}
	for _, phrases := range [][][]string{
		openers, polite, endings, joints, courtesies, closings, pageVerbs, pageNouns, pageQuestions,
	} {
		if slices.ContainsFunc(phrases, func(p []string) bool { return slices.Contains(p, low) }) {
			return true
		}
	}
	for word, same := range canon {
		if word == low || same == low {
			return true
		}
	}
	return false
}
