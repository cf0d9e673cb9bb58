package policies

import "github.com/writ-run/writ/policies/internal/cond"

// A Reading is what one rule says of a request.
type Reading struct {
	Rule    string `json:"rule"`    // "layer/id"
	Effect  string `json:"effect"`  // forbid, permit or approve
	Matches bool   `json:"matches"` // its condition holds
	Error   string `json:"error,omitempty"`
	Atoms   []Atom `json:"atoms,omitempty"` // the comparisons that were looked at, with values on both sides
}

// Read asks every rule that is about r, and returns what each says, in the order of the layers and rules. It explains
// a permit as [Layers.Decide] explains everything else.
func (l Layers) Read(r *Request) (out []Reading) {
	for _, s := range l {
		f := cond.NewFrame(r, s.slots)
		for _, x := range s.points[r.Point] {
			if !x.IsAbout(r) {
				continue
			}
			d := Reading{Rule: x.FullID, Effect: x.Effect, Atoms: x.listAtoms(f)}
			holds, err := x.matches(f)
			d.Matches = holds
			if err != nil {
				d.Error = err.Error()
			}
			out = append(out, d)
		}
	}
	return out
}
