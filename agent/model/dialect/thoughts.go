package dialect

import "strings"

// A thoughtTag is how models mark in their text what is thought and not said.
type thoughtTag struct{ open, end string }

var thoughtTags = []thoughtTag{
	{"<think>", "</think>"}, {"<thinking>", "</thinking>"}, {"<thought>", "</thought>"},
	{"<reasoning>", "</reasoning>"}, {"<seed:think>", "</seed:think>"}, {"[THINK]", "[/THINK]"},
	{"◁think▷", "◁/think▷"},
}

// An answerText parts what is said from what is thought, as the text comes. Thoughts begin at the beginning of a line.
// Where the prompt has opened them, only their end is seen: all before it was thought.
type answerText struct {
	said    strings.Builder
	pending string // that may be a part of a tag
	within  string // the tag that ends the thought; "" if nothing is thought
	opened  bool   // a thought has been opened
}

// add takes in text and returns what of it is said for certain.
func (a *answerText) add(text string) (said string, thought bool) {
	before := a.said.Len()
	a.pending += text
	for a.takePending() {
	}
	if a.said.Len() < before { // all of it was thought
		return "", true
	}
	return a.said.String()[before:], a.within != ""
}

// finish returns all that is said.
func (a *answerText) finish() string {
	if a.within == "" {
		a.said.WriteString(a.pending)
	}
	a.pending = ""
	return a.said.String()
}

// isAll says whether a text is all that has come so far, of which nothing was thought.
func (a *answerText) isAll(text string) bool {
	all := a.said.String() + a.pending
	return all != "" && !a.opened && strings.TrimLeft(text, " \t\r\n") == all
}

// takePending takes as much of what is pending as is certain. It says whether there may be more.
func (a *answerText) takePending() bool {
	if a.within != "" {
		_, rest, ended := strings.Cut(a.pending, a.within)
		if !ended {
			a.pending = a.pending[max(0, len(a.pending)-len(a.within)+1):]
			return false
		}
		a.within = ""
		a.pending = strings.TrimLeft(rest, " \t\r\n")
		return a.pending != ""
	}
	if a.said.Len() == 0 { // white space before an answer says nothing, and a thought may follow it
		a.pending = strings.TrimLeft(a.pending, " \t\r\n")
	}
	at, tag, whole := a.findTag()
	a.said.WriteString(a.pending[:at])
	a.pending = a.pending[at:]
	switch {
	case !whole:
		return false
	case strings.HasPrefix(a.pending, tag.open):
		a.within, a.opened = tag.end, true
		a.pending = a.pending[len(tag.open):]
	default: // an end without a beginning
		a.opened = true
		a.said.Reset()
		a.pending = strings.TrimLeft(a.pending[len(tag.end):], " \t\r\n")
	}
	return a.pending != ""
}

// findTag finds the first place in what is pending where a tag stands, or where its beginning stands at the end.
func (a *answerText) findTag() (at int, tag thoughtTag, whole bool) {
	for at = 0; at < len(a.pending); at++ {
		if c := a.pending[at]; c != '<' && c != '[' && c != "◁"[0] {
			continue
		}
		rest := a.pending[at:]
		for _, tag := range thoughtTags {
			if a.beginsLine(at) {
				if strings.HasPrefix(rest, tag.open) {
					return at, tag, true
				}
				if strings.HasPrefix(tag.open, rest) {
					return at, tag, false
				}
			}
			if !a.opened {
				if strings.HasPrefix(rest, tag.end) {
					return at, tag, true
				}
				if strings.HasPrefix(tag.end, rest) {
					return at, tag, false
				}
			}
		}
	}
	return len(a.pending), thoughtTag{}, false
}

// beginsLine says whether nothing but spaces stands before a place on its line.
func (a *answerText) beginsLine(at int) bool {
	before := strings.TrimRight(a.pending[:at], " \t")
	if before == "" {
		said := a.said.String()
		before = strings.TrimRight(said[max(0, len(said)-256):], " \t")
	}
	return before == "" || strings.HasSuffix(before, "\n")
}
