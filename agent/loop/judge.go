package loop

import (
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
)

// judge asks the policies, and lets who listens know.
func (m *Machine) judge(r *policies.Request) policies.Decision {
	d := m.layers.Decide(r)
	if m.heard != nil {
		m.heard(r, d)
	}
	return d
}

// Layers returns the machine's policy sets, the operator's first.
func (m *Machine) Layers() policies.Layers { return m.layers }

// ToolTypes returns the types of the tools' arguments, as the policy sets were loaded with them.
func (m *Machine) ToolTypes() []policies.ToolType { return m.toolTypes() }

// Live says whether the text of the next reply may be shown while it is written. It may not if a rule could still
// refuse or change it, at model.response or at output, nor if it could hold a secret: then it is shown once decided.
func (m *Machine) Live(s State) bool {
	return m.layers.Passes(policies.ModelResponse) && m.layers.Passes(policies.Output) && s.context.Secrecy != label.Secret
}
