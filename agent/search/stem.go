package search

import "strings"

// stem takes the ending off an English word, by M. F. Porter's algorithm (Program 14(3), 1980). A word with a letter
// that is not from a to z, or of less than three, stays as it is.
func stem(w string) string {
	if len(w) < 3 || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" {
		return w
	}
	w = dropPlural(w)
	w = dropPast(w)
	if strings.HasSuffix(w, "y") && hasVowel(w[:len(w)-1]) {
		w = w[:len(w)-1] + "i"
	}
	w = replaceEnding(w, endings2, 0)
	w = replaceEnding(w, endings3, 0)
	w = dropEnding(w)
	if strings.HasSuffix(w, "e") {
		if s := w[:len(w)-1]; measure(s) > 1 || measure(s) == 1 && !endsShort(s) {
			w = s
		}
	}
	if strings.HasSuffix(w, "ll") && measure(w) > 1 {
		w = w[:len(w)-1]
	}
	return w
}

// isConsonant says it of the letter at i: y is one at the begin and after a vowel.
func isConsonant(w string, i int) bool {
	switch w[i] {
	case 'a', 'e', 'i', 'o', 'u':
		return false
	case 'y':
		return i == 0 || !isConsonant(w, i-1)
	}
	return true
}

// measure counts how often a vowel is followed by a consonant.
func measure(w string) (n int) {
	for i := 1; i < len(w); i++ {
		if isConsonant(w, i) && !isConsonant(w, i-1) {
			n++
		}
	}
	return n
}

func hasVowel(w string) bool {
	for i := range len(w) {
		if !isConsonant(w, i) {
			return true
		}
	}
	return false
}

func endsDouble(w string) bool {
	n := len(w)
	return n > 1 && w[n-1] == w[n-2] && isConsonant(w, n-1)
}

// endsShort says whether a word ends as "hop" does.
func endsShort(w string) bool {
	n := len(w)
	return n > 2 && isConsonant(w, n-1) && !isConsonant(w, n-2) && isConsonant(w, n-3) && !strings.Contains("wxy", w[n-1:])
}

func dropPlural(w string) string {
	switch {
	case strings.HasSuffix(w, "sses"), strings.HasSuffix(w, "ies"):
		return w[:len(w)-2]
	case strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss"):
		return w[:len(w)-1]
	}
	return w
}

func dropPast(w string) string {
	if s, ok := strings.CutSuffix(w, "eed"); ok {
		if measure(s) > 0 {
			return w[:len(w)-1]
		}
		return w
	}
	s, ok := strings.CutSuffix(w, "ed")
	if !ok {
		s, ok = strings.CutSuffix(w, "ing")
	}
	switch {
	case !ok || !hasVowel(s):
		return w
	case strings.HasSuffix(s, "at"), strings.HasSuffix(s, "bl"), strings.HasSuffix(s, "iz"):
		return s + "e"
	case endsDouble(s) && !strings.Contains("lsz", s[len(s)-1:]):
		return s[:len(s)-1]
	case measure(s) == 1 && endsShort(s):
		return s + "e"
	}
	return s
}

// An ending is replaced if enough of the word is before it.
type ending struct{ was, is string }

var endings2 = []ending{
	{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"}, {"abli", "able"},
	{"alli", "al"}, {"entli", "ent"}, {"eli", "e"}, {"ousli", "ous"}, {"ization", "ize"}, {"ation", "ate"},
	{"ator", "ate"}, {"alism", "al"}, {"iveness", "ive"}, {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},
	{"iviti", "ive"}, {"biliti", "ble"},
}

var endings3 = []ending{
	{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""},
}

func replaceEnding(w string, list []ending, above int) string {
	for _, e := range list {
		if s, ok := strings.CutSuffix(w, e.was); ok {
			if measure(s) > above {
				return s + e.is
			}
			return w
		}
	}
	return w
}

var endings4 = strings.Fields("ement ment ance ence able ible ant ent ism ate iti ous ive ize al er ic ou")

func dropEnding(w string) string {
	if s, ok := strings.CutSuffix(w, "ion"); ok {
		if measure(s) > 1 && (strings.HasSuffix(s, "s") || strings.HasSuffix(s, "t")) {
			return s
		}
		return w
	}
	for _, e := range endings4 {
		if s, ok := strings.CutSuffix(w, e); ok {
			if measure(s) > 1 {
				return s
			}
			return w
		}
	}
	return w
}
