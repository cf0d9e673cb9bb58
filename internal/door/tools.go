package door

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/writ-run/writ/agent/wire"
)

// A client's own tools are offered to the model beside the agent's. A call of one ends the answer: the client makes it
// and asks again with what came of it, and the run goes on from there. The id of a call names the run and the effect,
// so nothing is kept between the two requests but the run itself, which waits.

// A clientCall is a call that the client is to make.
type clientCall struct {
	effect     wire.Ref
	name, args string
	isAnswer   bool // the run is over with it, and waits for nothing
}

// answerID begins the id of a call that was an answer.
const answerID = "answer_"

// id is what the client names the call by.
func (c clientCall) id(run string) string {
	if c.isAnswer {
		return answerID + run
	}
	return fmt.Sprintf("call_%s_%d_%d", run, c.effect.Seq, c.effect.Index)
}

// A report is what a client says came of a call.
type report struct {
	id     string
	output string
	failed bool
}

// parseID reads the id of a call.
func parseID(id string) (run string, effect wire.Ref, err error) {
	parts := strings.Split(id, "_")
	if len(parts) == 4 && parts[0] == "call" {
		seq, err1 := strconv.ParseUint(parts[2], 10, 53)
		index, err2 := strconv.ParseUint(parts[3], 10, 53)
		if err1 == nil && err2 == nil {
			return parts[1], wire.Ref{Seq: seq, Index: index}, nil
		}
	}
	return "", wire.Ref{}, wire.Errorf(wire.CodeParams,
		"The newest message has the result of a call that was not asked for here; its id must be one of the answer before.")
}

// continueTurn hands in what came of calls and goes on with their run.
func (v *visitor) continueTurn(ctx context.Context, reports []report) (*turn, error) {
	t := &turn{v: v, reported: map[wire.Ref]bool{}}
	for _, r := range reports {
		run, effect, err := parseID(r.id)
		switch {
		case err != nil:
			return nil, err
		case t.run != "" && run != t.run:
			return nil, wire.Errorf(wire.CodeParams, "The newest messages have results of calls of different answers.")
		case len(r.output) > maxText:
			return nil, wire.Errorf(wire.CodeParams, "A result has %d bytes; at most %d are taken.", len(r.output), maxText)
		}
		t.run = run
		t.reported[effect] = true
	}
	for _, r := range reports {
		_, effect, _ := parseID(r.id)
		params := wire.ReportParams{Run: t.run, Effect: effect, Output: r.output, Failed: r.failed}
		if a := v.call(ctx, wire.ToolSent, params, true); a.Error != nil {
			if a.Error.Data.Code == wire.CodeNotFound {
				return nil, wire.Errorf(wire.CodeConflict, "The call %s does not wait for a result any more.", r.id)
			}
			return nil, a.Error
		}
	}
	return t, t.subscribe(ctx)
}

// takeOpen follows which effects of the run are open, and reports whether it waits for nothing but calls of the
// client's.
func (t *turn) takeOpen(ev *wire.RunEvent) bool {
	if of := ev.Event.Of; of != nil {
		t.open = slices.DeleteFunc(t.open, func(c clientCall) bool { return c.effect == *of })
		delete(t.reported, *of)
		if t.others[*of] {
			delete(t.others, *of)
		}
	}
	for i, d := range ev.Does {
		at := wire.Ref{Seq: ev.Seq, Index: uint64(i)}
		switch {
		case d.Kind == "call" && d.Class == "client":
			t.open = append(t.open, clientCall{effect: at, name: d.Tool, args: string(d.Args)})
		case d.Kind == "call" || d.Kind == "ask_model":
			if t.others == nil {
				t.others = map[wire.Ref]bool{}
			}
			t.others[at] = true
		}
	}
	return len(t.open) > 0 && len(t.others) == 0 && len(t.reported) == 0
}

// An offered is a tool as the dialects write it: OpenAI's within "function" in Chat Completions.
type offered struct {
	Type     string          `json:"type"`
	Name     string          `json:"name"`
	About    string          `json:"description"`
	Schema   json.RawMessage `json:"parameters"`
	Input    json.RawMessage `json:"input_schema"` // Anthropic's word for it
	Function *offered        `json:"function"`
}

// readTools reads the client's tools, if the model may call them. A single one that it must call is how many programs
// ask for structured output: the answer is a call of it then, whose arguments fit its schema, and nothing is offered.
func (r *request) readTools(body map[string]json.RawMessage) error {
	var list []offered
	if err := field(body, "tools", &list); err != nil {
		return err
	}
	choice, err := readChoice(body["tool_choice"])
	if err != nil || choice.how == "none" {
		return err
	}
	for _, o := range list {
		if o.Function != nil {
			o.Function.Type = o.Type
			o = *o.Function
		}
		if o.Type != "" && o.Type != "function" && o.Type != "custom" || o.Name == "" {
			return wire.Errorf(wire.CodeParams,
				"A tool has the type %.40q, or no name; only functions of the client's own are taken here.", o.Type)
		}
		schema := o.Schema
		if len(schema) == 0 {
			schema = o.Input
		}
		if string(schema) == "null" {
			schema = nil
		}
		r.tools = append(r.tools, wire.ClientTool{Name: o.Name, About: o.About, Schema: schema})
	}
	if choice.how == "auto" {
		return nil
	}
	return r.force(choice.name)
}

// force makes the answer a call of one tool: that of a name, or the only one.
func (r *request) force(name string) error {
	list := r.tools
	if name != "" {
		list = slices.DeleteFunc(slices.Clone(list), func(t wire.ClientTool) bool { return t.Name != name })
	}
	switch {
	case len(list) != 1:
		return wire.Errorf(wire.CodeParams, `"tool_choice" can be auto, none, or one tool that is called as the answer: `+
			"which of several is called is the model's choice.")
	case r.schema != nil:
		return wire.Errorf(wire.CodeParams,
			"The answer must be a call of %.64q and have a format of its own; ask for one of them.", list[0].Name)
	}
	schema, err := describeSchema(list[0])
	if err != nil {
		return err
	}
	r.forced, r.schema, r.tools = list[0].Name, schema, nil
	return nil
}

// describeSchema is the schema of a tool's arguments, with what the tool is called and said to be for where it does not
// say so itself.
func describeSchema(t wire.ClientTool) (json.RawMessage, error) {
	schema := map[string]json.RawMessage{"type": json.RawMessage(`"object"`)}
	if len(t.Schema) > 0 && json.Unmarshal(t.Schema, &schema) != nil {
		return nil, wire.Errorf(wire.CodeParams, "The parameters of the tool %.64q must be a JSON Schema.", t.Name)
	}
	for name, text := range map[string]string{"title": t.Name, "description": t.About} {
		if _, ok := schema[name]; !ok && text != "" {
			quoted, err := json.Marshal(text)
			if err != nil {
				return nil, wire.Errorf(wire.CodeParams, "The tool %.64q is described by no text.", t.Name)
			}
			schema[name] = quoted
		}
	}
	out, err := json.Marshal(schema)
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "The parameters of the tool %.64q must be a JSON Schema.", t.Name)
	}
	return out, nil
}

// answerByCall makes of an answer the call of the tool that was to be called.
func (e *ending) answerByCall(r request) {
	if r.forced != "" && e.Reason == "answered" {
		e.calls, e.text = []clientCall{{name: r.forced, args: e.text, isAnswer: true}}, ""
	}
}

// A chosen is what a tool_choice says.
type chosen struct {
	how  string // "auto", "none" or "must"
	name string // of the tool that must be called; any if ""
}

// readChoice reads whether tools may, must or must not be called.
func readChoice(raw json.RawMessage) (chosen, error) {
	var word string
	var object struct {
		Type     string
		Name     string
		Function struct{ Name string }
	}
	if isEmpty(raw) {
		return chosen{how: "auto"}, nil
	}
	if json.Unmarshal(raw, &word) != nil && json.Unmarshal(raw, &object) == nil {
		word = object.Type
	}
	name := cmp.Or(object.Name, object.Function.Name)
	switch {
	case word == "auto", word == "none":
		return chosen{how: word}, nil
	case word == "required", word == "any":
		return chosen{how: "must"}, nil
	case (word == "function" || word == "tool") && name != "":
		return chosen{"must", name}, nil
	}
	return chosen{}, wire.Errorf(wire.CodeParams,
		`"tool_choice" can be auto, none, or one tool that is called as the answer.`)
}
