package approval

import (
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/internal/strictjson"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools"
	"github.com/writ-run/writ/tools/elicit"
	"github.com/writ-run/writ/tools/x402"
)

// Bounds of a summary, in bytes of ASCII, of which auth.Approval has room for 1,000. What is cut is told by length and
// hash.
const (
	maxShownArgs    = 400
	maxShownAnswers = 150 // to what its server asked
	maxShownURL     = 200 // of what is posted to
	maxShownBody    = 250 // that is posted
	maxSummary      = 850
)

// DescribeCall says what a call would do, in the words that a wallet shows and signs: ASCII, with everything spelled
// out that could deceive.
func DescribeCall(def *tools.Def, args tools.Args) string {
	spec := def.Spec()
	if spend := spec.Spend; spend != nil {
		moves := fmt.Sprintf("%s: %s to %s", spec.Name, args.Amount, args.To.Hex())
		if r := x402.RequestOf(args); r != nil && def.Payment() == tools.PaymentX402 {
			return moves + describePosted(r, args)
		}
		if def.Contract() != nil || spend.IsPartOf(args) { // its other arguments matter, too
			moves += " " + describeArgs(def, args)
		}
		return moves
	}
	return spec.Name + " " + describeArgs(def, args)
}

// describePosted says what is paid for: the method, the address and the body. A long one is told by its digest.
func describePosted(r *x402.Request, args tools.Args) string {
	return fmt.Sprintf(" for %s %s with %d bytes of %s, SHA-256 %s: %s", r.Method, wording.SpellShort(r.URL, maxShownURL),
		r.Bytes, r.Type, r.SHA256, wording.SpellShort(args.Value(x402.ArgBody).Text, maxShownBody))
}

// describeArgs shows a call's arguments. What it brings to its server's questions is shown after the others and within
// bounds of its own: it would push them out of sight.
func describeArgs(def *tools.Def, args tools.Args) string {
	whole := wording.SpellShort(string(args.JSON), maxShownArgs)
	if !def.Elicits() || !args.Value(elicit.Argument).Set {
		return whole
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(args.JSON, &members) != nil {
		return whole
	}
	answers := members[elicit.Argument]
	delete(members, elicit.Argument)
	rest, err := strictjson.Marshal(members)
	if err != nil {
		return whole
	}
	return wording.SpellShort(string(rest), maxShownArgs) + " " + elicit.Argument + " " +
		wording.SpellShort(string(answers), maxShownAnswers)
}

// Cut returns a summary's text as long as it may be.
func Cut(text string) string {
	if len(text) > maxSummary {
		return wording.SpellShort(text, maxSummary)
	}
	return text
}
