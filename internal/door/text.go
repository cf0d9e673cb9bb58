package door

import (
	"cmp"
	"encoding/json"
	"strings"

	"github.com/writ-run/writ/agent/wire"
)

// A message is one of a conversation, as all dialects write it.
type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	Type    string          `json:"type"` // of the Responses API: "message" or absent
}

// textOfContent returns what a content says: a text, or parts that are texts.
func textOfContent(raw json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return "", wire.Errorf(wire.CodeParams, "A message's content must be a text or a list of parts.")
	}
	texts := make([]string, len(parts))
	for i, p := range parts {
		switch p.Type {
		case "text", "input_text", "output_text":
			texts[i] = p.Text
		default:
			return "", wire.Errorf(wire.CodeParams, "A message has a part of type %q; only texts are taken here.", p.Type)
		}
	}
	return strings.Join(texts, "\n"), nil
}

// textOfMessages makes one request of a conversation. A single message of the user is asked as it is, and can then be
// an order of the user's own; of more, each stands behind its role, the newest last.
func textOfMessages(instructions string, all []message) (string, error) {
	if len(all) == 0 {
		return "", wire.Errorf(wire.CodeParams, "There is no message; the last one must be the user's.")
	}
	if all[len(all)-1].Role != "user" {
		return "", wire.Errorf(wire.CodeParams, "The last message must be the user's.")
	}
	var b strings.Builder
	put := func(role, text string) {
		if b.Len() > 0 {
			b.WriteString("\n\n")
		}
		b.WriteString("[" + role + "]\n" + text)
	}
	if instructions != "" {
		put("instructions", instructions)
	}
	for _, m := range all {
		text, err := textOfContent(m.Content)
		if err != nil {
			return "", err
		}
		switch m.Role {
		case "user", "assistant":
			if len(all) == 1 && instructions == "" {
				return text, nil
			}
			put(m.Role, text)
		case "system", "developer":
			put("instructions", text)
		default:
			return "", wire.Errorf(wire.CodeParams,
				"A message has the role %q; user, assistant, system and developer are taken.", m.Role)
		}
	}
	return b.String(), nil
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
