package loop

import (
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// needOfTurn returns what is known of the turn before its model is chosen.
func (j *judge) needOfTurn() route.Need {
	need := route.Need{
		Request:   *j.requestAbout(policies.ModelRoute, j.s.context),
		MaxTokens: j.m.limits.Tokens - int64(j.s.totals.In+j.s.totals.Out), // how many are left
		Input:     j.m.baseSize + j.s.talk.Bytes + j.s.formSize() + j.s.clientSize(),
		Images:    j.s.talk.HasImages(),
		Down:      j.facts.Down, Fleet: j.facts.Fleet, Lot: route.LotOf(j.s.salt, j.s.totals.Turns),
	}
	j.viewTurn(&need.Request)
	return need
}

// viewTurn fills in what is known of the turn.
func (j *judge) viewTurn(r *policies.Request) {
	known := &j.s.known
	if j.m.asked.Request && !j.s.isRead { // once a run
		f := readRequest(j.m, j.s.request)
		f.Searches, f.Found, f.Score, f.Lead = known.Searches, known.Found, known.Score, known.Lead
		*known, j.s.isRead = f, true
	}
	r.Facts = *known
	r.Left = route.LeftToCost(j.m.limits.Cost-j.s.totals.Cost, r.Budgets)
	r.Spent, r.Allowed = route.SpentOf(LayerGrant+"/cost", r.Budgets)
	for _, id := range j.m.daily {
		spent, _ := route.SpentOf(id, r.Budgets)
		r.Today = max(r.Today, spent)
	}
	r.Mistakes, r.Failed = j.s.mistakes, int64(len(j.s.tries.Models))
	if !j.s.lastTurn {
		r.Offered = int64(len(j.m.offered) + len(j.s.client))
	}
}

// A secondLook is had once a run: if figures of an answer rest on nothing that the run was given, and the rules then
// choose another model, that one is told which they are and answers instead. If it gives none, the answer stands. Of a
// run that goes on a thread, or whose talk was cut, it is not known what was given.
type secondLook struct{ w *work }

// begin asks another model, if there is reason to; false says that the answer stands.
func (l secondLook) begin(answer string) (bool, error) {
	w, s := l.w, &l.w.s
	isLast := s.lastTurn || s.totals.Turns+1 >= w.m.limits.Turns || s.totals.Calls >= w.m.limits.Calls
	if !w.m.asked.Unfounded || s.looked || s.byRules || s.stop != model.StopEnd || isLast || s.talk.IsCut() {
		return false, nil
	}
	figures := route.Unfounded(append([]string{s.request}, s.signed...), s.talk.Messages, answer)
	if len(figures) == 0 {
		return false, nil
	}
	s.looked, s.known.Unfounded = true, int64(len(figures))
	need := w.needOfTurn()
	cands, err := route.Candidates(w.m.routes, need)
	if err != nil || len(cands) == 0 || cands[0].Refuse || cands[0].Model.Name == s.answered ||
		cands[0].Request.Cost > need.Request.Left {
		return false, err
	}
	s.kept = answer
	s.say(model.Message{Role: model.RoleSystem, Text: route.LookAgain(figures)})
	return true, w.askNextModel()
}

// fallBack ends the run with the answer that was to be looked at again; done is false if there is none.
func (l secondLook) fallBack() (done bool, err error) {
	answer := l.w.s.kept
	if answer == "" {
		return false, nil
	}
	l.w.s.kept = ""
	return true, l.w.sayAnswer(answer, outcome{reason: provenance.CloseAnswered})
}
