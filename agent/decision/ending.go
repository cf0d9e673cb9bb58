package decision

import (
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/provenance"
)

// WordsOfAnswer returns what is said at the end of a run: the model's words, and what is missing in them. reason and
// code are how the run closes, stop is why the model ended.
func WordsOfAnswer(text, reason string, code fault.Code, stop string) string {
	switch {
	case stop == model.StopDecline && reason == provenance.CloseFailed:
		return "No model answered: " + code.Told() + ".\n" + text
	case text != "":
		return text
	case reason == provenance.CloseTruncated:
		return "The model was cut off before it said anything."
	case reason == provenance.CloseDeclined:
		return "The model declined to answer this; ask for something else."
	}
	return "The model gave no answer."
}
