package loop

import (
	"fmt"
	"strings"

	"github.com/writ-run/writ/agent/form"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/provenance"
)

// takeForm notes what the answer must look like: as the request says, or else the agent.
func (mo *moment) takeForm(schema []byte) (err error) {
	mo.s.form = mo.m.form
	if len(schema) > 0 {
		if mo.s.form, err = form.Parse(schema); err != nil {
			return fmt.Errorf("the request: %w", err)
		}
	}
	return nil
}

// tellForm tells the model what its answer must look like, before the request.
func (mo *moment) tellForm() {
	if mo.s.form != nil {
		mo.s.say(model.Message{Role: model.RoleSystem, Text: mo.s.form.Instruction()})
	}
}

// formSize bounds the tokens that the schema takes beside the prompt, where the API has a place for it.
func (s *State) formSize() int64 {
	if s.form == nil {
		return 0
	}
	return int64(len(s.form.Schema())) + thread.FrameTokens
}

// holdToForm holds an answer to the form that was asked for. The model may mend it once; then it has failed, and what
// is wrong is said in its place. again says that the model is asked once more.
func (w *work) holdToForm(text string) (said string, o outcome, again bool) {
	o = w.outcomeOfAnswer(text)
	if w.s.form == nil || o.reason != provenance.CloseAnswered {
		return text, o, false
	}
	value, wrong := w.s.form.Read(text)
	switch {
	case wrong == nil:
		return value, o, false
	case w.s.byRules: // they say why, and nothing else when they are asked again
		return text + w.spentBefore(), outcome{reason: provenance.CloseFailed, code: fault.ModelForm}, false
	case !w.s.mended && !w.s.lastTurn && w.s.totals.Turns+1 < w.m.limits.Turns:
		w.s.mended = true
		w.s.say(model.Message{Role: model.RoleSystem, Text: form.Correction(wrong)})
		return "", o, true
	}
	return "The answer is not of the form that was asked for: " + strings.Join(wrong, "; ") + "." + w.spentBefore(),
		outcome{reason: provenance.CloseFailed, code: fault.ModelForm}, false
}
