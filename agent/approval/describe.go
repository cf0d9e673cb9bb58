package approval

import (
	"fmt"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools"
)

// Bounds of a summary, in bytes of ASCII, of which auth.Approval has room for 1,000. What is cut is told by length and
// hash.
const (
	maxShownArgs = 400
	maxSummary   = 850
)

// DescribeCall says what a call would do, in the words that a wallet shows and signs: ASCII, with everything spelled
// out that could deceive.
func DescribeCall(def *tools.Def, args tools.Args) string {
	spec := def.Spec()
	if spend := spec.Spend; spend != nil {
		moves := fmt.Sprintf("%s: %s to %s", spec.Name, args.Amount, args.To.Hex())
		if def.Contract() != nil || spend.IsPartOf(args) { // its other arguments matter, too
			moves += " " + wording.SpellShort(string(args.JSON), maxShownArgs)
		}
		return moves
	}
	return spec.Name + " " + wording.SpellShort(string(args.JSON), maxShownArgs)
}

// Cut returns a summary's text as long as it may be.
func Cut(text string) string {
	if len(text) > maxSummary {
		return wording.SpellShort(text, maxSummary)
	}
	return text
}
