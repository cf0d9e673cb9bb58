package loop

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
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

// failureOfResult says which failure the result of a call tells.
func failureOfResult(c *call, status string, out []byte) fault.Code {
	var told struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal(out, &told)        // on failure there is no code
	if status != provenance.StatusError { // it did not answer
		told.Code = ""
	}
	return fault.OfTool(EdgeOf(&c.tool.spec), told.Code)
}

// EdgeOf says where a failure of a tool's comes in.
func EdgeOf(s *tools.Spec) fault.Edge {
	switch {
	case s.Class == tools.WalletTx:
		return fault.EdgeWallet
	case s.Class.Sends() || s.Book != nil:
		return fault.EdgeChain
	}
	return fault.EdgeTool
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
	case s.stop == model.StopDecline && s.failure != "":
		return outcome{provenance.CloseFailed, s.failure, s.after}
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

// wordsOfAnswer returns what is said at the end: the model's words, and what is missing in them.
func wordsOfAnswer(text string, o outcome, stop string) string {
	switch {
	case stop == model.StopDecline && o.reason == provenance.CloseFailed:
		return "No model answered: " + o.code.Told() + ".\n" + text
	case text != "":
		return text
	case o.reason == provenance.CloseTruncated:
		return "The model was cut off before it said anything."
	case o.reason == provenance.CloseDeclined:
		return "The model declined to answer this; ask for something else."
	}
	return "The model gave no answer."
}

// outcomeWithoutModel returns how a run ends of which every model that was asked has failed.
func (mo *moment) outcomeWithoutModel() (string, outcome) {
	code := cmp.Or(mo.s.failure, fault.ModelFailed)
	o := outcome{provenance.CloseFailed, code, mo.s.after}
	if code == fault.ModelDeclined {
		o.reason = provenance.CloseDeclined
	}
	var tried []string
	for _, name := range mo.s.tried {
		if !slices.Contains(tried, name) {
			tried = append(tried, name)
		}
	}
	return fmt.Sprintf("No model answered (tried: %s): %s.", strings.Join(tried, ", "), code.Told()), o
}

// outcomeOfNoRoute returns how a run ends for which no model is there.
func (mo *moment) outcomeOfNoRoute() (string, outcome) {
	switch {
	case len(mo.facts.Down) > 0:
		told := fault.ModelsDown.Told()
		return "The models cannot be asked: " + told + ".", outcome{reason: provenance.CloseFailed, code: fault.ModelsDown}
	case mo.m.hasModel:
		return "No model of this agent is there for this request; ask in another way, or another agent.",
			outcome{reason: provenance.CloseFailed, code: fault.ModelGone}
	}
	return "No model is there for this request. Connect one, or try again later.",
		outcome{reason: provenance.CloseFailed, code: fault.ModelGone}
}

// maxAsksOfOne is how often one model is asked in one turn, whose provider says when it wants to be asked again.
const maxAsksOfOne = 4

// findCandidates returns the models that may be asked, in order. If no real one is left, and a provider has said when
// it wants to be asked again, and that is within the run's time, its model is the first, and from says from when on.
func (mo *moment) findCandidates(n route.Need) (cands []route.Candidate, from int64, err error) {
	n.Tried = mo.s.tried
	n.Once = mo.facts.Once && mo.s.IsAskedAgain()
	if mo.m.onChoice != nil {
		mo.m.onChoice(n)
	}
	if cands, err = route.Candidates(mo.m.routes, n); err != nil {
		return nil, 0, err
	}
	isReal := func(c route.Candidate) bool { return c.Model.Kind == model.KindModel }
	if n.Once || len(mo.s.later) == 0 || slices.ContainsFunc(cands, isReal) {
		return cands, 0, nil
	}
	end := min(mo.end(), mo.m.expiry())
	var next *modelWait
	for i := range mo.s.later {
		l := &mo.s.later[i]
		tries, newer := 0, false
		for _, name := range mo.s.tried {
			if name == l.model {
				tries++
			}
		}
		for _, x := range mo.s.later[i+1:] {
			newer = newer || x.model == l.model
		}
		if !newer && tries < maxAsksOfOne && l.at < end && (next == nil || l.at < next.at) {
			next = l
		}
	}
	if next == nil {
		return cands, 0, nil
	}
	isNext := func(name string) bool { return name == next.model }
	n.Tried = slices.DeleteFunc(slices.Clone(n.Tried), isNext)
	if next.rate { // a rate limit is over then; other failures are not
		n.Down = slices.DeleteFunc(slices.Clone(n.Down), isNext)
	}
	again, err := route.Candidates(mo.m.routes, n)
	if err != nil {
		return nil, 0, err
	}
	i := slices.IndexFunc(again, func(c route.Candidate) bool { return c.Model.Name == next.model })
	if i < 0 {
		return cands, 0, nil
	}
	return append([]route.Candidate{again[i]}, cands...), next.at, nil
}
