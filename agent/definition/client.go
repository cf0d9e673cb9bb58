package definition

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// ClassClient is the class of the tools that a run's caller has.
const ClassClient = "client"

// CheckClientNames says whether a caller's own tools can stand beside an agent's: providers know a tool by a name
// without dots, so that erc20.transfer and erc20__transfer are one.
func CheckClientNames(list []wire.ClientTool, agents []string) error {
	known := map[string]string{}
	for _, name := range agents {
		known[dialect.WireName(name)] = name
	}
	for _, t := range list {
		if other, ok := known[dialect.WireName(t.Name)]; ok {
			return fmt.Errorf("the tool %q has the name of the tool %s that is there already; give it another name",
				t.Name, other)
		}
		known[dialect.WireName(t.Name)] = t.Name
	}
	return nil
}

// ClientTools makes the records of a caller's own tools.
func ClientTools(list []wire.ClientTool) (out []*provenance.ToolDef, err error) {
	for i, t := range list {
		if slices.ContainsFunc(list[:i], func(o wire.ClientTool) bool { return o.Name == t.Name }) {
			return nil, fmt.Errorf("the tool %q is there twice", t.Name)
		}
		schema := []byte(`{"type":"object"}`)
		var object map[string]json.RawMessage
		if len(t.Schema) > 0 {
			if schema, err = tools.CanonicalJSON(t.Schema); err != nil || json.Unmarshal(schema, &object) != nil {
				return nil, fmt.Errorf("the schema of the tool %q is no JSON object", t.Name)
			}
		}
		out = append(out, &provenance.ToolDef{Name: t.Name, About: t.About, Class: ClassClient, Schema: string(schema)})
	}
	return out, nil
}

// DescribedLabel is the label of what a request describes besides its words: its caller's tools, and the form of the
// answer. A model reads these as it reads an agent's foreign tools, and a program may have them from anybody: they are
// no words of the user's.
func DescribedLabel(start wire.StartParams) (l label.Label) {
	about := func(what string) {
		l = l.Join(label.Label{Integrity: label.Untrusted, Origins: []string{"about:" + what}})
	}
	for _, t := range start.Tools {
		about(t.Name)
	}
	if len(start.Answer) > 0 {
		about("answer_schema")
	}
	return l
}
