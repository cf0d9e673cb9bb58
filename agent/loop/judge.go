package loop

import "github.com/writ-run/writ/policies"

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
