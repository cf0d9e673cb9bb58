package dialect

import (
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/agent/model"
)

// maxWireName is the longest name of a tool that the APIs take.
const maxWireName = 64

// CheckNames returns the names of tools that a request offers, if each has one of its own on the wire.
func CheckNames(tools []model.Tool) (names []string, err error) {
	taken := map[string]string{}
	for _, t := range tools {
		wire := WireName(t.Name)
		if other, is := taken[wire]; is {
			return nil, fmt.Errorf("the tools %s and %s have the same name there", other, t.Name)
		}
		if len(wire) > maxWireName {
			return nil, fmt.Errorf("the name of the tool %s is too long", t.Name)
		}
		taken[wire] = t.Name
		names = append(names, t.Name)
	}
	return names, nil
}

// ValidArgs returns the arguments of a call for a history that is sent: servers that read their own history again
// refuse what is no JSON object.
func ValidArgs(args []byte) json.RawMessage {
	var object map[string]json.RawMessage
	if json.Unmarshal(args, &object) == nil && object != nil {
		return args
	}
	b, err := json.Marshal(map[string]string{"invalid": string(args)})
	if err != nil { // a string marshals
		return json.RawMessage(`{}`)
	}
	return b
}
