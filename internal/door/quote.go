package door

import (
	"context"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/wire"
)

// Clients of the Responses API send what an answer said by its item's id, since the provider keeps it. The id names the
// run here, whose record keeps it.

// A quoting is a conversation of which answers are still to be read.
type quoting struct {
	instructions string
	lines        []line
}

const (
	itemPrefix = "msg_" // of the id of an answer's item
	maxQuotes  = 64     // runs that a conversation may quote
)

// quote reads a reference to an answer.
func (m message) quote() ([]line, error) {
	run, ok := strings.CutPrefix(m.ID, itemPrefix)
	if !ok || run == "" {
		return nil, errUnknownItem(m.ID)
	}
	return []line{{role: "assistant", run: run}}, nil
}

func errUnknownItem(id string) error {
	return wire.Errorf(wire.CodeParams,
		"The item %.80q is not an answer that this key was given; send what it says itself.", id)
}

// resolve reads the answers that a request quotes. A run that is quoted for several of its answers is told once, by
// the last of them.
func (v *visitor) resolve(ctx context.Context, r *request) error {
	if r.quoting == nil {
		return nil
	}
	var lines []line
	quoted := map[string]bool{}
	for _, l := range slices.Backward(r.quoting.lines) {
		if l.run != "" {
			if quoted[l.run] {
				continue
			}
			if quoted[l.run] = true; len(quoted) > maxQuotes {
				return wire.Errorf(wire.CodeParams, "The input refers to more than %d answers; send what they say.", maxQuotes)
			}
			var err error
			if l.text, err = v.readAnswer(ctx, l.run); err != nil {
				return err
			}
		}
		lines = append(lines, l)
	}
	slices.Reverse(lines)
	var err error
	r.text, err = textOfLines(r.quoting.instructions, lines)
	return err
}

// readAnswer returns what a run of the key's said to its user.
func (v *visitor) readAnswer(ctx context.Context, run string) (string, error) {
	t := &turn{v: v, run: run}
	if err := t.subscribe(ctx); err != nil {
		return "", errUnknownItem(itemPrefix + run)
	}
	defer t.stream.Close()
	e := ending{Run: run}
	for {
		u, err := t.stream.Next(ctx)
		if err != nil {
			return "", errUnknownItem(itemPrefix + run)
		}
		if u.Event != nil && e.takeEvent(u.Event) {
			return e.text, nil
		}
	}
}
