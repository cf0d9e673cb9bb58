package foreign

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/writ-run/writ/agent/wire"
)

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
func (r *Request) readTools(body map[string]json.RawMessage) error {
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
		r.Tools = append(r.Tools, wire.ClientTool{Name: o.Name, About: o.About, Schema: schema})
	}
	if choice.how == "auto" {
		return nil
	}
	return r.force(choice.name)
}

// force makes the answer a call of one tool: that of a name, or the only one.
func (r *Request) force(name string) error {
	list := r.Tools
	if name != "" {
		list = slices.DeleteFunc(slices.Clone(list), func(t wire.ClientTool) bool { return t.Name != name })
	}
	switch {
	case len(list) != 1:
		return wire.Errorf(wire.CodeParams, `"tool_choice" can be auto, none, or one tool that is called as the answer: `+
			"which of several is called is the model's choice.")
	case r.Schema != nil:
		return wire.Errorf(wire.CodeParams,
			"The answer must be a call of %.64q and have a format of its own; ask for one of them.", list[0].Name)
	}
	schema, err := describeSchema(list[0])
	if err != nil {
		return err
	}
	r.Forced, r.Schema, r.Tools = list[0].Name, schema, nil
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
	if IsEmpty(raw) {
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

// A formatted is how a dialect says what the answer must look like.
type formatted struct {
	Type   string          `json:"type"`
	Schema json.RawMessage `json:"schema"`
	Inner  struct {
		Schema json.RawMessage `json:"schema"`
	} `json:"json_schema"`
}

// schema returns the JSON Schema that the answer must fit; nil for any text.
func (f formatted) schema() (json.RawMessage, error) {
	switch f.Type {
	case "", "text":
		return nil, nil
	case "json_object":
		return json.RawMessage(`{"type":"object"}`), nil
	case "json_schema":
		if s := cmp.Or(string(f.Schema), string(f.Inner.Schema)); s != "" {
			return json.RawMessage(s), nil
		}
		return nil, wire.Errorf(wire.CodeParams, "A format of the type json_schema has no schema.")
	}
	return nil, wire.Errorf(wire.CodeParams, "An answer cannot have the format %.40q; text, json_object and json_schema "+
		"are taken.", f.Type)
}

// field reads a member of a body into v; one that is absent leaves v alone.
func field(body map[string]json.RawMessage, name string, v any) error {
	raw, ok := body[name]
	if !ok || string(raw) == "null" {
		return nil
	}
	if json.Unmarshal(raw, v) != nil {
		return wire.Errorf(wire.CodeParams, "%q has not the type that it must have.", name)
	}
	return nil
}
