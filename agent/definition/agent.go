package definition

import (
	"fmt"
	"strings"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// AgentTool returns the tool that calls an agent. Its name is "agent." and the agent's; what the model asks of it is
// one text.
func AgentTool(name, about string, utterances []string) tools.Spec {
	return tools.Spec{
		Name: "agent." + strings.ReplaceAll(name, "-", "_"), About: about, Class: tools.Keyed, Utterances: utterances,
		Schema: []byte(`{"type":"object","additionalProperties":false,"required":["input"],"properties":{"input":{` +
			`"type":"string","minLength":1,"maxLength":16384,` +
			`"description":"What the agent shall do, in plain words, with all that it needs to know."}}}`),
	}
}

// InputOf returns what a call of a sub-agent's tool asks of it.
func InputOf(rec *provenance.ToolDef, args []byte) (string, error) {
	spec, err := SpecOf(rec, nil)
	if err != nil {
		return "", err
	}
	def, err := tools.Compile(spec)
	if err != nil {
		return "", fmt.Errorf("tool %s: %w", rec.Name, err)
	}
	read, err := def.Read(args)
	if err != nil {
		return "", fmt.Errorf("the arguments of %s: %w", rec.Name, err)
	}
	for _, v := range read.Values {
		if v.Name == "input" {
			return v.Text, nil
		}
	}
	return "", fmt.Errorf("tool %s takes no input", rec.Name)
}
