package door

import (
	"encoding/json"
	"errors"

	"github.com/writ-run/writ/agent/foreign"
)

// messages is Anthropic's Messages.
type messages struct{}

func (messages) form() foreign.Form { return foreign.Messages }

// stopOf says in Anthropic's words why an answer ended.
func stopOf(e ending) string {
	switch {
	case e.Reason == "truncated":
		return "max_tokens"
	case e.Reason == "declined":
		return "refusal"
	case len(e.calls) > 0:
		return "tool_use"
	}
	return "end_turn"
}

func messageOf(r *foreign.Request, run string, content []any, stop any, usage map[string]any) map[string]any {
	return map[string]any{
		"id": "msg_" + run, "type": "message", "role": "assistant", "model": r.Model, "content": content,
		"stop_reason": stop, "stop_sequence": nil, "usage": usage,
	}
}

func (messages) writeWhole(r *foreign.Request, e ending) any {
	content := []any{map[string]any{"type": "text", "text": e.text}}
	if e.text == "" && len(e.calls) > 0 {
		content = nil
	}
	for _, c := range e.calls {
		content = append(content, useOf(c, e.Run, json.RawMessage(c.args)))
	}
	m := messageOf(r, e.Run, content, stopOf(e),
		map[string]any{"input_tokens": e.in, "output_tokens": e.out})
	m["writ"] = e
	return m
}

// useOf is a call as a block of its own.
func useOf(c clientCall, run string, input json.RawMessage) map[string]any {
	return map[string]any{"type": "tool_use", "id": c.id(run), "name": c.name, "input": input}
}

// kinds are Anthropic's names of errors where they are not OpenAI's.
var kinds = map[string]string{"insufficient_quota": "rate_limit_error"}

func (messages) describe(f failure) any {
	kind := f.kind
	if other, ok := kinds[kind]; ok {
		kind = other
	}
	return map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": f.message}}
}

func (messages) newStream(w *eventWriter, r *foreign.Request, run string) streamer {
	return &messageStream{w, r, run}
}

type messageStream struct {
	w   *eventWriter
	r   *foreign.Request
	run string
}

func (s *messageStream) send(kind string, fields map[string]any) error {
	fields["type"] = kind
	return s.w.writeEvent(kind, fields)
}

func (s *messageStream) open() error {
	begun := messageOf(s.r, s.run, []any{}, nil, map[string]any{"input_tokens": 0, "output_tokens": 0})
	block := map[string]any{"type": "text", "text": ""}
	return errors.Join(
		s.send("message_start", map[string]any{"message": begun}),
		s.send("content_block_start", map[string]any{"index": 0, "content_block": block}),
	)
}

func (s *messageStream) text(t string) error {
	delta := map[string]any{"type": "text_delta", "text": t}
	return s.send("content_block_delta", map[string]any{"index": 0, "delta": delta})
}

func (s *messageStream) close(e ending) error {
	err := s.send("content_block_stop", map[string]any{"index": 0})
	for i, c := range e.calls {
		input := map[string]any{"type": "input_json_delta", "partial_json": c.args}
		err = errors.Join(err,
			s.send("content_block_start", map[string]any{
				"index": i + 1, "content_block": useOf(c, s.run, json.RawMessage(`{}`)),
			}),
			s.send("content_block_delta", map[string]any{"index": i + 1, "delta": input}),
			s.send("content_block_stop", map[string]any{"index": i + 1}),
		)
	}
	return errors.Join(err,
		s.send("message_delta", map[string]any{
			"delta": map[string]any{"stop_reason": stopOf(e), "stop_sequence": nil},
			"usage": map[string]any{"input_tokens": e.in, "output_tokens": e.out}, "writ": e,
		}),
		s.send("message_stop", map[string]any{}),
	)
}

func (s *messageStream) fail(f failure) error { return s.w.writeEvent("error", messages{}.describe(f)) }
