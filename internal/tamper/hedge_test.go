package tamper

import (
	"testing"

	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/provenance"
)

// How the question ended that was outrun rests on the operator's word: said to have never begun, it is booked with
// nothing, and the run is verified all the same. docs/not-proven.md says so.
func TestHowAnOutrunQuestionEndedIsTheOperatorsWord(t *testing.T) {
	for _, code := range []fault.Code{fault.ModelOutrun, fault.ModelStopped, fault.ModelGone, "model.nonsense"} {
		b := &bench{keys: map[provenance.Link]provenance.LeafKey{}}
		car, err := changeSafely(hedgedWorld, func(h *history) { replyAt(h, hedgeLost).Failed = string(code) })(b)
		if err != nil {
			t.Fatal(err)
		}
		rep := auditOf(car, b.keys)
		if is := rep.Verdict == provenance.Verified; is != code.IsKnown() {
			t.Errorf("%s: %s, %s %s", code, rep.Verdict, rep.Code, rep.Detail)
		}
	}
}
