package loop

import (
	"encoding/json"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/provenance"
)

// An outcome is how a run ends: why, by which failure, and when trying again may help.
type outcome struct {
	reason string     // one of provenance's Close constants
	code   fault.Code // "" for none
	after  int64      // ms; 0 if not known
}

// noteTrouble notes that a call did not do what it was for.
func (mo *moment) noteTrouble(reason string, code fault.Code) { mo.s.trouble, mo.s.code = reason, code }

// noteSubAgent notes how a sub-agent's run ended: what it did not do its caller has not done either.
func (mo *moment) noteSubAgent(out []byte) {
	var o subagent.Outcome
	if json.Unmarshal(out, &o) != nil {
		return // addSubAgentUse reports it
	}
	switch o.Ended {
	case provenance.CloseAnswered:
		mo.s.acted = true
	case provenance.CloseDenied:
		mo.noteTrouble(provenance.CloseDenied, "")
	case provenance.CloseInDoubt:
		mo.s.inDoubt = true
	default:
		mo.noteTrouble(provenance.CloseFailed, fault.ToolFailed)
	}
}

// outcomeOfAnswer returns how a run ends with the model's last words. What was cut or declined is no answer, nor is one
// after which nothing has been done of what was to be done.
func (mo *moment) outcomeOfAnswer(text string) outcome {
	s := &mo.s
	switch {
	case s.inDoubt:
		return outcome{reason: provenance.CloseInDoubt, code: s.code}
	case s.stop == model.StopLength:
		return outcome{reason: provenance.CloseTruncated}
	case s.stop == model.StopFilter:
		return outcome{reason: provenance.CloseDeclined, code: fault.ModelDeclined}
	case s.stop == model.StopDecline && s.tries.Failure != "":
		return outcome{provenance.CloseFailed, s.tries.Failure, s.tries.After}
	case s.stop == model.StopDecline:
		return outcome{reason: provenance.CloseDeclined}
	case s.lastTurn:
		return outcome{reason: provenance.CloseLimit}
	case s.trouble != "" && (!s.acted || s.byRules):
		return outcome{reason: s.trouble, code: s.code}
	case text == "": // it said nothing, or only asked for calls that are not run
		return outcome{reason: provenance.CloseFailed, code: fault.ModelUnreadable}
	}
	return outcome{reason: provenance.CloseAnswered}
}

// outcomeWithoutModel returns how a run ends of which every model that was asked has failed.
func (mo *moment) outcomeWithoutModel() (string, outcome) {
	code, says := mo.s.tries.Tell()
	o := outcome{provenance.CloseFailed, code, mo.s.tries.After}
	if code == fault.ModelDeclined {
		o.reason = provenance.CloseDeclined
	}
	return says, o
}

// outcomeOfNoRoute returns how a run ends for which no model is there.
func (mo *moment) outcomeOfNoRoute() (string, outcome) {
	switch {
	case len(mo.facts.Down) > 0:
		told := fault.ModelsDown.Told()
		return "The models cannot be asked: " + told + ".", outcome{reason: provenance.CloseFailed, code: fault.ModelsDown}
	case mo.s.talk.HasImages():
		return "No model that this agent may ask reads images. Ask without the image, or ask an agent with a model that " +
			"does: its settings say images: true.", outcome{reason: provenance.CloseDeclined}
	case mo.m.hasModel:
		return "No model of this agent is there for this request; ask in another way, or another agent.",
			outcome{reason: provenance.CloseFailed, code: fault.ModelGone}
	}
	return "No model is there for this request. Connect one, or try again later.",
		outcome{reason: provenance.CloseFailed, code: fault.ModelGone}
}

// findCandidates returns the models that may be asked, in order, and from when on the first may be; 0 for at once.
func (mo *moment) findCandidates(n route.Need) (cands []route.Candidate, from int64, err error) {
	n.Tried = append(n.Tried, mo.s.tries.Models...)
	n.Once = mo.facts.Once && mo.s.IsAskedAgain()
	if mo.m.onChoice != nil {
		mo.m.onChoice(n)
	}
	return mo.s.tries.Candidates(mo.m.routes, n, min(mo.end(), mo.m.expiry()))
}
