package loop_test

import (
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// What is published is decided before anything has come in, so a rule about labels sees the label of the most that may
// come: an answer is not public by a rule for what is not secret if a tool can bring in a secret.
func TestPublishingSeesTheMostThatMayCome(t *testing.T) {
	const rules = everyPoint + "  - {id: label, at: model.response, effect: label, when: 'size > 100000', label: {secrecy: secret}}\n"
	plain := strings.NewReplacer(
		`{id: p9, at: provenance.publish, effect: permit, when: 'part == "answer"', mode: public}`,
		`{id: p9, at: provenance.publish, effect: permit, when: 'secrecy in ["public", "session"] && !untrusted && !tainted', mode: public}`,
		`{id: p9s, at: provenance.publish, effect: permit, when: 'part != "answer"', mode: sealed}`, `{id: p9s, at: provenance.publish, effect: permit}`,
	)
	own := func(name string, s label.Secrecy) tools.Spec {
		return toolOf(name, &tools.Output{Integrity: label.Tool, Secrecy: s}, label.Secret)
	}
	for name, tt := range map[string]struct {
		source string
		tool   tools.Spec
		public bool // the answer
	}{
		"tools that are trusted and say nothing private": {everyPoint, own("own.look", label.Session), true},
		"a tool that returns secrets":                    {everyPoint, own("own.look", label.Secret), false},
		"what is private to the wallet":                  {everyPoint, own("own.look", label.Wallet), false},
		"a tool that declares nothing":                   {everyPoint, toolOf("web.look", nil, 0), false},
		"documents, which say themselves what they are": {everyPoint,
			toolOf("docs.look", &tools.Output{Integrity: label.Tool, Documents: true}, 0), false},
		"a rule that labels": {rules, own("own.look", label.Session), false},
	} {
		t.Run(name, func(t *testing.T) {
			c := labelled(t, plain.Replace(tt.source), tt.tool)
			// The other tools of the setting declare nothing, so they are left out.
			link := c.Agent.Tools[len(c.Agent.Tools)-1]
			c.Agent.Tools, c.Grant.Tools = []provenance.Link{link}, []string{tt.tool.Name}
			c.Tools = map[provenance.Link]*provenance.ToolDef{link: c.Tools[link]}
			m := machine(t, c)
			said := provenance.NewPayload([]byte("done"))
			modes := m.Modes(loop.State{},
				&provenance.Step{Event: &provenance.Lapse{}, Does: []provenance.Effect{&provenance.Say{Text: said}}})
			if got := modes[said] == policies.Public; got != tt.public {
				t.Errorf("the answer is public: %v, want %v", got, tt.public)
			}
		})
	}
}
