package foreign

import (
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/wire"
)

// Clients of the Responses API send what an answer said by its item's id, since the provider keeps it. The id names the
// run here, whose record keeps it.

// A Quoting is a conversation of which answers are still to be read.
type Quoting struct {
	instructions string
	lines        []line
}

// ItemPrefix begins the id of an answer's item; its run follows.
const ItemPrefix = "msg_"

const maxQuotes = 64 // runs that a conversation may quote

// quote reads a reference to an answer.
func (m message) quote() ([]line, error) {
	run, ok := strings.CutPrefix(m.ID, ItemPrefix)
	if !ok || run == "" {
		return nil, UnknownItem(m.ID)
	}
	return []line{{role: "assistant", run: run}}, nil
}

// UnknownItem is the error of a reference that leads to no answer.
func UnknownItem(id string) error {
	return wire.Errorf(wire.CodeParams,
		"The item %.80q is not an answer that this key was given; send what it says itself.", id)
}

// Text returns the text of the conversation, with what read says of the runs that it quotes. A run that is quoted for
// several of its answers is told once, by the last of them.
func (q *Quoting) Text(read func(run string) (string, error)) (string, error) {
	var lines []line
	quoted := map[string]bool{}
	for _, l := range slices.Backward(q.lines) {
		if l.run != "" {
			if quoted[l.run] {
				continue
			}
			if quoted[l.run] = true; len(quoted) > maxQuotes {
				return "", wire.Errorf(wire.CodeParams, "The input refers to more than %d answers; send what they say.",
					maxQuotes)
			}
			var err error
			if l.text, err = read(l.run); err != nil {
				return "", err
			}
		}
		lines = append(lines, l)
	}
	slices.Reverse(lines)
	return textOfLines(q.instructions, lines)
}
