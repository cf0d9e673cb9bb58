// Package scripted answers prompts from a list: for tests and for replays of recorded runs.
//
// A [Model] plays its [Line]s in order, one a prompt. A line may check the prompt first, fail, or stall until the
// caller gives up. When the list is exhausted every further prompt is an error. Nothing is inferred here, and the
// kind says so.
package scripted

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/writ-run/writ/agent/model"
)

// ErrExhausted says that a prompt came after the last line.
var ErrExhausted = errors.New("the script has no line left")

// A Line is the answer to one prompt.
type Line struct {
	Reply model.Reply
	Err   error // answered instead of Reply if it is set
	Stall bool  // answer only when the context ends, with its cause
	// Expect is called with the prompt first, if it is set. Its error is the answer, and the line stays unplayed.
	Expect func(model.Prompt) error
}

// A Model plays lines. It may be used by many goroutines at once; each prompt takes the next line.
type Model struct {
	name  string
	mu    sync.Mutex // guards left
	left  []Line
	total int
}

// New returns a Model that plays the lines. name is what routes call it; "scripted" if empty.
func New(name string, lines ...Line) *Model {
	if name == "" {
		name = "scripted"
	}
	return &Model{name: name, left: append([]Line(nil), lines...), total: len(lines)}
}

// Replies returns a Model that plays plain replies.
func Replies(replies ...model.Reply) *Model {
	lines := make([]Line, len(replies))
	for i, r := range replies {
		lines[i].Reply = r
	}
	return New("", lines...)
}

// Say returns a line that answers with a text.
func Say(text string) Line {
	return Line{Reply: model.Reply{Text: text, Stop: model.StopEnd, Model: "scripted/1"}}
}

// Call returns a line that asks for one tool call. args is a JSON object, or whatever a bad model writes.
func Call(tool, args string) Line {
	return Line{Reply: model.Reply{
		Calls: []model.Call{{ID: "call-1", Tool: tool, Args: []byte(args)}}, Stop: model.StopTools, Model: "scripted/1",
	}}
}

// Info says what a Model is: a script, free of charge.
func (m *Model) Info() model.Info {
	return model.Info{Name: m.name, Kind: model.KindScripted, Provider: "writ", Model: "scripted/1", MaxTokens: 1024}
}

// Left returns how many lines are unplayed.
func (m *Model) Left() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.left)
}

// Reply plays the next line. It fails with the line's error, with [ErrExhausted], or with the cause of ctx's end.
func (m *Model) Reply(ctx context.Context, p model.Prompt) (model.Reply, error) {
	if err := ctx.Err(); err != nil {
		return model.Reply{}, context.Cause(ctx)
	}
	line, err := m.nextLine(p)
	switch {
	case err != nil:
		return model.Reply{}, err
	case line.Stall:
		<-ctx.Done()
		return model.Reply{}, context.Cause(ctx)
	case line.Err != nil:
		return model.Reply{}, line.Err
	}
	return line.Reply, nil
}

// Stream plays the next line as [Model.Reply] does, and shows its text at once.
func (m *Model) Stream(ctx context.Context, p model.Prompt, delta func(text string)) (model.Reply, error) {
	r, err := m.Reply(ctx, p)
	if err == nil && r.Text != "" && delta != nil {
		delta(r.Text)
	}
	return r, err
}

func (m *Model) nextLine(p model.Prompt) (Line, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.left) == 0 {
		return Line{}, fmt.Errorf("prompt %d: %w", m.total+1, ErrExhausted)
	}
	line := m.left[0]
	if line.Expect != nil {
		if err := line.Expect(p); err != nil {
			return Line{}, fmt.Errorf("prompt %d of the script: %w", m.total-len(m.left)+1, err)
		}
	}
	m.left = m.left[1:]
	return line, nil
}
