package door

import (
	"errors"
	"net/http"
	"time"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
)

// chat is OpenAI's Chat Completions.
type chat struct{}

func (chat) form() foreign.Form { return foreign.Chat }

// finishOf says in OpenAI's words why an answer ended.
func finishOf(e ending) string {
	switch {
	case e.Reason == "truncated":
		return "length"
	case e.Reason == "declined":
		return "content_filter"
	case len(e.calls) > 0:
		return "tool_calls"
	}
	return "stop"
}

func chatUsage(e ending) map[string]any {
	return map[string]any{"prompt_tokens": e.in, "completion_tokens": e.out, "total_tokens": e.in + e.out}
}

// chatCalls are the calls of an answer.
func chatCalls(e ending) (out []any) {
	for i, c := range e.calls {
		out = append(out, map[string]any{
			"index": i, "id": c.id(e.Run), "type": "function",
			"function": map[string]any{"name": c.name, "arguments": c.args},
		})
	}
	return out
}

func (chat) writeWhole(r *foreign.Request, e ending) any {
	said := map[string]any{"role": "assistant", "content": e.text, "refusal": nil}
	if len(e.calls) > 0 {
		said["tool_calls"] = chatCalls(e)
	}
	return map[string]any{
		"id": "chatcmpl-" + e.Run, "object": "chat.completion", "created": time.Now().Unix(), "model": r.Model,
		"choices": []any{map[string]any{
			"index": 0, "finish_reason": finishOf(e), "logprobs": nil,
			"message": said,
		}},
		"usage": chatUsage(e), "writ": e,
	}
}

func (chat) describe(f failure) any {
	return map[string]any{"error": map[string]any{"message": f.message, "type": f.kind, "code": f.code, "param": nil}}
}

func (chat) newStream(w *eventWriter, r *foreign.Request, run string) streamer {
	return &chatStream{w, r, run, time.Now().Unix()}
}

type chatStream struct {
	w       *eventWriter
	r       *foreign.Request
	run     string
	created int64
}

func (s *chatStream) chunk(choices []any, more map[string]any) error {
	c := map[string]any{
		"id": "chatcmpl-" + s.run, "object": "chat.completion.chunk", "created": s.created, "model": s.r.Model,
		"choices": choices,
	}
	for k, v := range more {
		c[k] = v
	}
	return s.w.writeEvent("", c)
}

func choiceOf(delta map[string]any, finish any) []any {
	return []any{map[string]any{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": nil}}
}

func (s *chatStream) open() error {
	return s.chunk(choiceOf(map[string]any{"role": "assistant", "content": ""}, nil), nil)
}

func (s *chatStream) text(t string) error {
	return s.chunk(choiceOf(map[string]any{"content": t}, nil), nil)
}

func (s *chatStream) close(e ending) error {
	var err error
	if len(e.calls) > 0 {
		err = s.chunk(choiceOf(map[string]any{"tool_calls": chatCalls(e)}, nil), nil)
	}
	if err == nil {
		err = s.chunk(choiceOf(map[string]any{}, finishOf(e)), map[string]any{"writ": e})
	}
	if err == nil && s.r.Usage {
		err = s.chunk([]any{}, map[string]any{"usage": chatUsage(e)})
	}
	if err != nil {
		return err
	}
	return s.w.writeRaw("", "[DONE]")
}

func (s *chatStream) fail(f failure) error { return s.w.writeEvent("", chat{}.describe(f)) }

// responses is OpenAI's Responses.
type responses struct{ chat }

func (responses) form() foreign.Form { return foreign.Responses }

// responseOf is a response object. Its status is that of the answer.
func responseOf(r *foreign.Request, run, status string, created int64, output []any) map[string]any {
	return map[string]any{
		"id": "resp_" + run, "object": "response", "created_at": created, "status": status, "model": r.Model,
		"output": output, "error": nil, "incomplete_details": nil, "instructions": nil, "metadata": map[string]any{},
		"parallel_tool_calls": false,
		"tool_choice":         "none", "tools": []any{}, "temperature": nil, "top_p": nil,
	}
}

func textPart(text string) map[string]any {
	return map[string]any{"type": "output_text", "text": text, "annotations": []any{}}
}

func outputItem(run, status string, parts []any) map[string]any {
	return map[string]any{"id": "msg_" + run, "type": "message", "role": "assistant", "status": status, "content": parts}
}

// callItem is a call as an item of its own.
func callItem(c clientCall, run, status, args string) map[string]any {
	return map[string]any{
		"id": "fc_" + c.id(run), "type": "function_call", "call_id": c.id(run), "name": c.name, "arguments": args,
		"status": status,
	}
}

// finishResponse is the whole response of an answer.
func finishResponse(r *foreign.Request, e ending, created int64) map[string]any {
	status := "completed"
	if e.Reason == "truncated" || e.Reason == "declined" {
		status = "incomplete"
	}
	items := []any{outputItem(e.Run, status, []any{textPart(e.text)})}
	for _, c := range e.calls {
		items = append(items, callItem(c, e.Run, "completed", c.args))
	}
	out := responseOf(r, e.Run, status, created, items)
	if status == "incomplete" {
		why := map[string]string{"truncated": "max_output_tokens", "declined": "content_filter"}[e.Reason]
		out["incomplete_details"] = map[string]any{"reason": why}
	}
	out["usage"] = map[string]any{
		"input_tokens": e.in, "output_tokens": e.out, "total_tokens": e.in + e.out,
		"input_tokens_details":  map[string]any{"cached_tokens": 0},
		"output_tokens_details": map[string]any{"reasoning_tokens": 0},
	}
	out["writ"] = e
	return out
}

func (responses) writeWhole(r *foreign.Request, e ending) any {
	return finishResponse(r, e, time.Now().Unix())
}

func (responses) newStream(w *eventWriter, r *foreign.Request, run string) streamer {
	return &responseStream{w: w, r: r, run: run, created: time.Now().Unix()}
}

type responseStream struct {
	w       *eventWriter
	r       *foreign.Request
	run     string
	created int64
	seq     int
	said    string
}

// send writes an event with its number.
func (s *responseStream) send(kind string, fields map[string]any) error {
	fields["type"], fields["sequence_number"] = kind, s.seq
	s.seq++
	return s.w.writeEvent(kind, fields)
}

// inPart writes an event of the one part of the one item.
func (s *responseStream) inPart(kind string, fields map[string]any) error {
	fields["item_id"], fields["output_index"], fields["content_index"] = "msg_"+s.run, 0, 0
	return s.send(kind, fields)
}

func (s *responseStream) open() error {
	begun := responseOf(s.r, s.run, "in_progress", s.created, []any{})
	item := outputItem(s.run, "in_progress", []any{})
	return errors.Join(
		s.send("response.created", map[string]any{"response": begun}),
		s.send("response.in_progress", map[string]any{"response": begun}),
		s.send("response.output_item.added", map[string]any{"output_index": 0, "item": item}),
		s.inPart("response.content_part.added", map[string]any{"part": textPart("")}),
	)
}

func (s *responseStream) text(t string) error {
	s.said += t
	return s.inPart("response.output_text.delta", map[string]any{"delta": t, "logprobs": []any{}})
}

func (s *responseStream) close(e ending) error {
	e.text = s.said
	whole := finishResponse(s.r, e, s.created)
	kind := "response.completed"
	if whole["status"] == "incomplete" {
		kind = "response.incomplete"
	}
	err := errors.Join(
		s.inPart("response.output_text.done", map[string]any{"text": s.said, "logprobs": []any{}}),
		s.inPart("response.content_part.done", map[string]any{"part": textPart(s.said)}),
		s.send("response.output_item.done", map[string]any{
			"output_index": 0, "item": outputItem(s.run, "completed", []any{textPart(s.said)}),
		}),
	)
	for i, c := range e.calls {
		err = errors.Join(err, s.sendCall(i+1, c))
	}
	return errors.Join(err, s.send(kind, map[string]any{"response": whole}))
}

// sendCall writes a call, which is item n.
func (s *responseStream) sendCall(n int, c clientCall) error {
	id := "fc_" + c.id(s.run)
	return errors.Join(
		s.send("response.output_item.added", map[string]any{
			"output_index": n, "item": callItem(c, s.run, "in_progress", ""),
		}),
		s.send("response.function_call_arguments.delta", map[string]any{
			"item_id": id, "output_index": n, "delta": c.args,
		}),
		s.send("response.function_call_arguments.done", map[string]any{
			"item_id": id, "output_index": n, "name": c.name, "arguments": c.args,
		}),
		s.send("response.output_item.done", map[string]any{
			"output_index": n, "item": callItem(c, s.run, "completed", c.args),
		}),
	)
}

func (s *responseStream) fail(f failure) error {
	out := responseOf(s.r, s.run, "failed", s.created, []any{})
	out["error"] = map[string]any{"code": f.code, "message": f.message}
	return s.send("response.failed", map[string]any{"response": out})
}

// listModels names the agent of the key, as both providers list models.
func (d *Door) listModels(w http.ResponseWriter, r *http.Request) {
	m, err := d.modelOf(r)
	if err != nil {
		writeFailure(w, chat{}, failureOf(err))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"object": "list", "data": []any{m}, "has_more": false, "first_id": m["id"], "last_id": m["id"],
	})
}

func (d *Door) getModel(w http.ResponseWriter, r *http.Request) {
	m, err := d.modelOf(r)
	if name := r.PathValue("model"); err == nil && name != m["id"] && name != "writ/"+m["id"].(string) {
		err = wire.Errorf(wire.CodeNotFound, "This key is for the agent %s.", m["id"])
	}
	if err != nil {
		writeFailure(w, chat{}, failureOf(err))
		return
	}
	writeJSON(w, http.StatusOK, m)
}

// modelOf describes the agent of a request's key as a model.
func (d *Door) modelOf(r *http.Request) (map[string]any, error) {
	key, err := keyOf(r.Header)
	if err != nil {
		return nil, err
	}
	v, err := d.enter(r.Context(), key, wire.RunStart)
	if err != nil {
		return nil, err
	}
	defer v.leave()
	opened := time.UnixMilli(v.session.Opened).UTC()
	return map[string]any{
		"id": v.session.Agent, "object": "model", "created": opened.Unix(), "owned_by": "writ",
		"type": "model", "display_name": v.session.Agent, "created_at": opened.Format(time.RFC3339),
	}, nil
}
