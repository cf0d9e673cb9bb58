package tools

import (
	"fmt"

	"github.com/writ-run/writ/tools/elicit"
)

// keyElicited is the keyword of the one argument that brings a user's answers to what the tool's server asks in a call.
// No model is told of it, and none may set it: the call is made again with it once the user has answered.
const keyElicited = "x-elicited"

// MarkElicited returns an adapted schema of a tool whose server may ask the user in a call.
func MarkElicited(schema []byte) ([]byte, error) {
	v, err := parseJSON(schema, maxSchema)
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	props := v.member("properties")
	if props == nil {
		v.setMember("properties", value{kind: object})
		props = v.member("properties")
	}
	if props.member(elicit.Argument) != nil {
		return nil, fmt.Errorf("elicit: the tool has an argument %s of its own", elicit.Argument)
	}
	var p value
	p.kind = object
	p.setMember("x-opaque", value{kind: boolTrue})
	p.setMember(keyElicited, value{kind: boolTrue})
	props.setMember(elicit.Argument, p)
	return v.appendTo(nil), nil
}

// Elicits says whether the tool's server may ask the user in a call.
func (d *Def) Elicits() bool {
	p := d.schema.findProperty(elicit.Argument)
	return p != nil && p.elicited
}

// ReadAsked reads a model's arguments as [Def.Read] does. It does not take what only a user answers.
func (d *Def) ReadAsked(args []byte) (Args, error) {
	out, err := d.Read(args)
	if err == nil && d.Elicits() && out.Value(elicit.Argument).Set {
		return Args{}, errorf("unknown_argument", "An argument is unknown: what its server asks is answered by the user.")
	}
	return out, err
}
