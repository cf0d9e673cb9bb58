package loop

import "github.com/writ-run/writ/policies"

// WithoutPast returns the state without what rules that look back are asked of: states share a list of acts that only
// grows, so it is not the same to a comparison once a later state has added to it.
func (s State) WithoutPast() State {
	s.past = policies.Past{}
	return s
}
