package dialect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A call is a tool call as its pieces have told it so far.
type call struct {
	index    *int64 // that its pieces carry; nil if they carry none
	id, name string
	args     string
}

// A callPiece is a piece of a tool call.
type callPiece struct {
	Index    *int64    `json:"index"`
	ID       looseText `json:"id"`
	Function function  `json:"function"`
}

type function struct {
	Name looseText       `json:"name"`
	Args json.RawMessage `json:"arguments"` // a text, or the object itself
}

// argsText returns the piece of the arguments that a function carries.
func (f *function) argsText() string {
	var text string
	if len(f.Args) == 0 || string(f.Args) == "null" || json.Unmarshal(f.Args, &text) == nil {
		return text
	}
	return string(f.Args)
}

// addCallPiece takes in a piece of a tool call. By the standard all pieces of a call carry its index, and the first one
// its id and its name. Servers number all calls 0, or none, or from 1 on; they repeat ids and names, split names, send
// them late, and give each piece an id of its own.
func (s *ChatStream) addCallPiece(d *callPiece) error {
	name, args := string(d.Function.Name), d.Function.argsText()
	c := s.findCall(d)
	if c != nil && s.beginsAnother(c, d, name, args) {
		if !c.isWhole() {
			return errors.New("two tool calls are mixed up")
		}
		c = nil
	}
	if c == nil {
		if len(s.calls) >= maxCalls {
			return fmt.Errorf("it asks for more than %d tool calls", maxCalls)
		}
		s.calls = append(s.calls, call{index: d.Index, id: string(d.ID), name: name, args: args})
		return nil
	}
	if c.id == "" {
		c.id = string(d.ID)
	}
	if err := s.addName(c, name); err != nil {
		return err
	}
	c.addArgs(args)
	return nil
}

// findCall returns the newest call that a piece may belong to; nil if there is none.
func (s *ChatStream) findCall(d *callPiece) *call {
	if d.Index == nil {
		for i := len(s.calls) - 1; i >= 0 && d.ID != ""; i-- {
			if s.calls[i].id == string(d.ID) {
				return &s.calls[i]
			}
		}
		if len(s.calls) == 0 {
			return nil
		}
		return &s.calls[len(s.calls)-1]
	}
	for i := len(s.calls) - 1; i >= 0; i-- {
		if c := &s.calls[i]; c.index != nil && *c.index == *d.Index {
			return c
		}
	}
	return nil
}

// beginsAnother says whether a piece that could belong to c begins another call: it has a name, and an id of its own or
// what c cannot be given any more.
func (s *ChatStream) beginsAnother(c *call, d *callPiece, name, args string) bool {
	switch {
	case name == "":
		return false
	case d.ID != "" && c.id != "" && string(d.ID) != c.id:
		return true
	case c.name == "":
		return false
	case name != c.name:
		return c.isWhole() && !s.goesOnWith(c.name, name)
	}
	whole := strings.TrimSpace(c.args)
	return json.Valid([]byte(whole)) && whole != "{}" && strings.HasPrefix(strings.TrimSpace(args), "{") &&
		(d.ID == "" || json.Valid([]byte(args)))
}

// isWhole says whether nothing is missing of a call.
func (c *call) isWhole() bool {
	return c.name != "" && (strings.TrimSpace(c.args) == "" || json.Valid([]byte(c.args)))
}

// goesOnWith says whether a name is split or told again in full: together they are a tool's name, and neither part is.
func (s *ChatStream) goesOnWith(begun, more string) bool {
	if _, known := s.names[begun]; known {
		return false
	}
	_, joined := s.names[begun+more]
	_, grown := s.names[more]
	return joined || grown && strings.HasPrefix(more, begun)
}

// addName takes in a name, or a part of one.
func (s *ChatStream) addName(c *call, name string) error {
	switch _, grown := s.names[name]; {
	case name == "" || name == c.name:
	case c.name == "" || grown && strings.HasPrefix(name, c.name) && s.goesOnWith(c.name, name):
		c.name = name
	case s.goesOnWith(c.name, name):
		c.name += name
	default:
		return errors.New("two tool calls are mixed up")
	}
	return nil
}

// addArgs takes in a piece of the arguments. An empty object is a beginning that some servers send before the
// arguments.
func (c *call) addArgs(args string) {
	if begun := strings.TrimSpace(c.args); begun == "{}" && strings.HasPrefix(strings.TrimSpace(args), "{") {
		c.args = args
		return
	}
	if strings.TrimSpace(c.args) == args && json.Valid([]byte(args)) && strings.HasPrefix(args, "{") {
		return // told again
	}
	c.args += args
}
