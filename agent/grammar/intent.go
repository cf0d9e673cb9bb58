package grammar

import (
	"encoding/json"
	"strings"
)

// An Intent is a tool with its arguments.
type Intent struct {
	tool *tool
	args []string // by the tool's props; "" is absent
}

// Tool returns the tool's name.
func (in Intent) Tool() string { return in.tool.name }

// Args returns the arguments as a JSON object with sorted keys.
func (in Intent) Args() []byte {
	args := map[string]any{}
	for i, p := range in.tool.props {
		switch {
		case in.args[i] == "":
		case p.kind == kindInt:
			args[p.name] = json.Number(in.args[i])
		case p.kind == kindBool:
			args[p.name] = in.args[i] == "true"
		default:
			args[p.name] = in.args[i]
		}
	}
	b, err := json.Marshal(args)
	if err != nil { // strings, checked numbers and booleans marshal
		panic(err)
	}
	return b
}

// Describe says what the call would do, for questions.
func (in Intent) Describe() string {
	var parts []string
	for i, p := range in.tool.props {
		if in.args[i] != "" {
			parts = append(parts, p.name+" "+in.args[i])
		}
	}
	return strings.TrimSpace(in.tool.name + " " + strings.Join(parts, ", "))
}
