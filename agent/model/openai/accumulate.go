package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	sdk "github.com/openai/openai-go/v3"

	"github.com/writ-run/writ/agent/model"
)

const maxCalls = 64 // in one reply

// What a chunk brought.
type progress int

const (
	idle     progress = iota // nothing, such as a role or a usage chunk
	thinking                 // reasoning that is not part of the answer
	content                  // text or a piece of a tool call
)

// An accumulator puts the chunks of one stream together. It accepts one response with one choice, and nothing after
// its finish reason but usage.
type accumulator struct {
	names   map[string]string // tools' names by their names on the wire
	id      string
	model   string
	text    strings.Builder
	calls   []call
	finish  string
	usage   model.Usage
	counted bool
}

type call struct {
	id, name string
	args     strings.Builder
}

// add takes a chunk in and returns its text.
func (a *accumulator) add(c *sdk.ChatCompletionChunk) (text string, p progress, err error) {
	if a.id == "" {
		a.id = c.ID
	}
	if c.ID != "" && c.ID != a.id {
		return "", idle, errors.New("two responses came in one stream")
	}
	if a.model == "" {
		a.model = c.Model
	}
	if u := c.Usage; u.PromptTokens > 0 || u.CompletionTokens > 0 {
		a.usage = model.Usage{In: u.PromptTokens, Out: u.CompletionTokens, CachedIn: max(u.PromptTokensDetails.CachedTokens, 0)}
		a.counted = true
	}
	if len(c.Choices) == 0 {
		return "", idle, nil
	}
	choice := &c.Choices[0]
	if len(c.Choices) > 1 || choice.Index != 0 {
		return "", idle, errors.New("it holds more than one answer")
	}
	d := &choice.Delta
	text = d.Content + d.Refusal
	if a.finish != "" && (text != "" || len(d.ToolCalls) > 0 || choice.FinishReason != "" && choice.FinishReason != a.finish) {
		return "", idle, errors.New("it goes on after its end")
	}
	if text != "" {
		a.text.WriteString(text)
		p = content
	}
	for i := range d.ToolCalls {
		if err := a.piece(&d.ToolCalls[i]); err != nil {
			return "", idle, err
		}
		p = content
	}
	if p == idle && thought(d) {
		p = thinking
	}
	if choice.FinishReason != "" {
		a.finish = choice.FinishReason
	}
	return text, p, nil
}

// piece takes in a piece of a tool call. Pieces of a call carry its index; the first one has the name.
func (a *accumulator) piece(d *sdk.ChatCompletionChunkChoiceDeltaToolCall) error {
	switch {
	case d.Index < 0 || d.Index > int64(len(a.calls)):
		return errors.New("its tool calls are out of order")
	case d.Index == int64(len(a.calls)):
		if len(a.calls) >= maxCalls {
			return fmt.Errorf("it asks for more than %d tool calls", maxCalls)
		}
		if d.Function.Name == "" {
			return errors.New("a tool call has no name")
		}
		a.calls = append(a.calls, call{id: d.ID, name: d.Function.Name})
	default:
		c := &a.calls[d.Index]
		if d.ID != "" && c.id != "" && d.ID != c.id || d.Function.Name != "" && d.Function.Name != c.name {
			return errors.New("two tool calls are mixed up")
		}
	}
	a.calls[d.Index].args.WriteString(d.Function.Arguments)
	return nil
}

// thought says whether a delta carries reasoning, as several servers send it beside the standard's fields.
func thought(d *sdk.ChatCompletionChunkChoiceDelta) bool {
	for _, key := range []string{"reasoning_content", "reasoning"} {
		var s string
		if f, ok := d.JSON.ExtraFields[key]; ok && json.Unmarshal([]byte(f.Raw()), &s) == nil && s != "" {
			return true
		}
	}
	return false
}

// reply returns the whole answer. It fails if the stream had no finish reason, or one that is not known.
func (a *accumulator) reply() (model.Reply, error) {
	r := model.Reply{Text: a.text.String(), Model: a.model, ID: a.id, Usage: a.usage}
	switch a.finish {
	case "stop", "tool_calls":
		r.Stop = model.StopEnd
	case "length":
		r.Stop = model.StopLength // a call may be cut, so none is passed on
		return r, nil
	case "content_filter":
		r.Stop = model.StopFilter
		return r, nil
	case "":
		return model.Reply{}, errors.New("it never said that it was done")
	default:
		return model.Reply{}, errors.New("it ended for a reason that is not known")
	}
	if a.finish == "tool_calls" && len(a.calls) == 0 {
		return model.Reply{}, errors.New("it says that it calls tools and calls none")
	}
	seen := map[string]bool{}
	for i := range a.calls {
		c := &a.calls[i]
		if c.id == "" || seen[c.id] { // some servers number nothing
			c.id = fmt.Sprintf("call-%d", i+1)
		}
		if seen[c.id] {
			return model.Reply{}, errors.New("two of its tool calls have one id")
		}
		seen[c.id] = true
		name, known := a.names[c.name]
		if !known {
			name = strings.ReplaceAll(c.name, "__", ".") // refused by the loop, with the name that it has there
		}
		args := c.args.String()
		if args == "" {
			args = "{}" // how several models call a tool without arguments
		}
		r.Calls = append(r.Calls, model.Call{ID: c.id, Tool: name, Args: []byte(args)})
		r.Stop = model.StopTools
	}
	return r, nil
}
