package loop

import (
	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A Waiting is what a state knows of a call that waits for the wallet, besides the summary that is signed.
type Waiting struct {
	Args  tools.Args
	Pays  bool        // it moves value
	Book  *tools.Book // of its tool; nil if it has none
	Label label.Label // of its arguments
	Typed bool        // the user's own words ask for just this call
}

// Waiting returns the call that a seek is about; false if it does not wait any more. It is not to be changed.
func (s State) Waiting(seek provenance.Ref) (Waiting, bool) {
	c := s.findOpenCall(seek)
	if c == nil || c.phase != phaseSeek {
		return Waiting{}, false
	}
	spec := c.tool.spec
	return Waiting{
		Args: c.args, Pays: spec.Spend != nil, Book: spec.Book, Label: c.label, Typed: c.order >= 0 && !c.outdated,
	}, true
}

// DescribeSend returns what the user's own wallet is shown of a call that it is asked to send, and that has an open
// effect: what an approval would show, with the reasons, if the sending did not stand for one.
func DescribeSend(m *Machine, s State, effect provenance.Ref) approval.Summary {
	j, c := judge{tally: tally{moment: moment{m: m, s: s}}}, s.findOpenCall(effect)
	return j.summarize(c, append(j.decideFlow(c, false), c.decideMoves(false)...))
}
