package foreign

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/wire"
)

// Members are those that a message or a part of one was written with. What is not known of them is refused and not left
// out: who speaks, or what is quoted, may hang on it, and a lone message of the user's is taken as his own order.
type members map[string]json.RawMessage

// check refuses what is neither empty nor one of allowed, which are separated by blanks.
func (m members) check(where, allowed string) error {
	known := strings.Fields(allowed)
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if !IsEmpty(m[name]) && !slices.Contains(known, name) {
			return wire.Errorf(wire.CodeParams, "%s has the member %.40q, which is not taken here; leave it out.", where, name)
		}
	}
	if status := string(m["status"]); status != "" && status != "null" && status != `"completed"` {
		return wire.Errorf(wire.CodeParams, "%s has the status %.40s; only what is completed is taken here.", where, status)
	}
	return nil
}

// checkMembers refuses what a message of its kind does not have here. The name of a tool's message says again what its
// id says.
func (m message) checkMembers() error {
	switch {
	case m.Type == "function_call":
		return m.given.check("A function call", "type id status call_id name arguments")
	case m.Type == "function_call_output":
		return m.given.check("A function call's output", "type id status call_id output")
	case m.Type == "item_reference":
		return m.given.check("A reference", "type id")
	case m.Type == "message":
		return m.given.check("A message", "type id status role content")
	case m.Type != "":
		return nil // it is refused whole
	case m.Role == "tool":
		return m.given.check("A message", "role content tool_call_id name")
	case m.Role != "assistant":
		return m.given.check("A message", "role content id")
	}
	for _, c := range m.Calls {
		if err := c.given.check("A tool call", "id type index function"); err != nil {
			return err
		}
	}
	return m.given.check("A message", "role content tool_calls id status")
}

// checkMembers refuses what a part of its kind does not have here. cache_control only says what a provider should keep
// at hand. Parts of other kinds are refused, or left out whole, by who reads them.
func (p part) checkMembers() error {
	const where = "A part of a message"
	switch p.Type {
	case "text", "input_text", "output_text":
		return p.given.check(where, "type text cache_control")
	case "refusal":
		return p.given.check(where, "type refusal")
	case "image_url":
		return p.given.check(where, "type image_url")
	case "input_image":
		return p.given.check(where, "type image_url detail")
	case "image":
		return p.given.check(where, "type source cache_control")
	case "tool_use":
		return p.given.check(where, "type id name input cache_control")
	case "tool_result":
		return p.given.check(where, "type tool_use_id content is_error cache_control")
	}
	return nil
}

func (m *message) UnmarshalJSON(b []byte) error {
	type plain message
	return decodeBoth(b, (*plain)(m), &m.given)
}

func (c *madeCall) UnmarshalJSON(b []byte) error {
	type plain madeCall
	return decodeBoth(b, (*plain)(c), &c.given)
}

func (p *part) UnmarshalJSON(b []byte) error {
	type plain part
	return decodeBoth(b, (*plain)(p), &p.given)
}

// decodeBoth reads an object into v and into its members.
func decodeBoth(b []byte, v any, given *members) error {
	if err := json.Unmarshal(b, v); err != nil {
		return err
	}
	return json.Unmarshal(b, given)
}
