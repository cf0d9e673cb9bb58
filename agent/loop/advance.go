package loop

import (
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/decision"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// endings says how a run ends that was abandoned.
var endings = map[string]struct{ text, reason string }{
	provenance.LapseCancelled: {"The run was cancelled.", provenance.CloseCancelled},
	provenance.LapseRevoked:   {"", provenance.CloseRevoked}, // says overSentence
	provenance.LapseTimeout:   {"The run took longer than it may.", provenance.CloseTimeout},
	provenance.LapseBudget:    {"The run has used up its budget.", provenance.CloseLimit},
	provenance.LapseInDoubt:   {"It is not known how the run ended.", provenance.CloseInDoubt},
}

// overSentence says that what the run acts under is over.
func overSentence(m *Machine) string {
	if len(m.authority.Chain) > 0 {
		return "What this agent was called for was taken back, or its time is over."
	}
	return "The session has ended. Sign in again."
}

// spentBefore says what was paid before a run was stopped: who stops it wants to know.
func (t *tally) spentBefore() string {
	var words []string
	for _, a := range t.s.totals.Spent {
		words = append(words, a.String())
	}
	if len(words) == 0 {
		return ""
	}
	return " It paid " + wording.JoinWithAnd(words) + "."
}

// advance does what the state now asks for: the next turn, the end, or nothing while something is open.
func (w *work) advance() error {
	if w.s.Closed || w.s.asks.Any() || slices.ContainsFunc(w.s.calls, func(c call) bool { return c.phase != "" }) {
		return nil
	}
	if w.s.ending != "" {
		e, ok := endings[w.s.ending]
		if !ok {
			return fmt.Errorf("a run cannot end by %q", w.s.ending)
		}
		if e.reason == provenance.CloseRevoked {
			e.text = overSentence(w.m)
		}
		w.closeRun(e.text+w.spentBefore(), e.reason)
		return nil
	}
	if len(w.s.calls) > 0 {
		w.s.endTurn()
		w.s.hearSent()
		return w.askNextModel()
	}
	if w.s.hearSent() {
		return w.askNextModel()
	}
	last := w.s.talk.Messages[len(w.s.talk.Messages)-1]
	if last.Role == model.RoleAssistant && len(w.s.tries.Models) == 0 {
		return w.closeWithAnswer(last.Text)
	}
	if len(w.s.tries.Models) > 0 { // the model that was to look again gave no answer
		if done, err := (secondLook{w}).fallBack(); done || err != nil {
			return err
		}
	}
	return w.askNextModel()
}

// endTurn makes the outcomes of the turn's calls messages, in the order of the calls.
func (s *State) endTurn() {
	for i := range s.calls {
		c := &s.calls[i]
		s.talk.Add(model.Message{
			Role: model.RoleTool, CallID: c.ask.ID, Tool: c.ask.Tool, Text: c.outcome, Step: s.Seq,
		})
		s.context = s.context.Join(c.outcomeLabel)
	}
	s.calls = nil
}

// askNextModel asks the first model that is there, may be asked and is within the limits, or ends the run.
func (w *work) askNextModel() error {
	l := w.m.limits
	switch {
	case w.isSessionOver():
		w.closeRun(overSentence(w.m)+w.spentBefore(), provenance.CloseRevoked)
		return nil
	case w.at > w.end():
		w.closeRun("The run took longer than it may.", provenance.CloseTimeout)
		return nil
	}
	w.beginLastTurn()
	need := w.needOfTurn()
	tokens := need.MaxTokens
	cands, from, err := w.findCandidates(need)
	if err != nil {
		return err
	}
	if done, err := (folding{w, need, from}).makeRoom(cands); done || err != nil {
		return err
	}
	considered := w.room.considered[:0]
	var refused []policies.Decision
	for i := range cands {
		c := &cands[i]
		if c.Refuse {
			w.closeRun(c.PriceSentence(), provenance.CloseLimit)
			return nil
		}
		considered = append(considered, c.Model.Name)
		if c.Request.Cost > l.Cost-w.s.totals.Cost || c.Request.Tokens > tokens {
			continue
		}
		if need.Exceeds(&c.Model) {
			w.tooLong = true
			continue
		}
		d := w.decideModel(c)
		if d.Outcome == policies.Permit {
			if i > 0 {
				from = 0 // the wait is for another model
			}
			limits := modelLimits{tokens: tokens, from: from, shadow: cands[0].Shadow}
			w.s.asks.One, err = w.askModel(c, d, considered, limits)
			return err
		}
		refused = append(refused, d)
	}
	if done, err := (secondLook{w}).fallBack(); done || err != nil {
		return err
	}
	w.closeWithoutModel(len(cands) > 0, refused)
	return nil
}

// beginLastTurn tells the model that no tool is left, if this turn is the last one within the run's limits.
func (mo *moment) beginLastTurn() {
	sums, l := &mo.s.totals, mo.m.limits
	only := sums.Turns == 0 && mo.m.hasOneTurn() // the caller has one turn left, and a turn with tools needs a second
	first := sums.Turns == 0 || sums.Turns+1 < l.Turns && sums.Calls < l.Calls
	if mo.s.lastTurn || len(mo.s.tries.Models) > 0 || first && !only {
		return
	}
	mo.s.lastTurn = true
	mo.s.say(model.Message{Role: model.RoleSystem, Text: thread.LastTurn})
}

// modelLimits are the run's for one model call: tokens that are left, and when it may be made, 0 for at once.
type modelLimits struct {
	tokens, from int64
	shadow       string // the rule that would have chosen
}

// askModel asks a model that may be asked.
func (w *work) askModel(
	c *route.Candidate, d policies.Decision, considered []string, l modelLimits,
) (*modelcall.Open, error) {
	records, err := w.room.record([]policies.Decision{d}, d.Outcome)
	if err == nil {
		err = w.nameLedgers(records, nil)
	}
	if err != nil {
		return nil, err
	}
	limit := min(c.Model.MaxTokens, l.tokens)
	if w.s.folded != nil {
		limit = min(limit, thread.MaxSummary)
	}
	if d.Limit.Tokens > 0 {
		limit = min(limit, d.Limit.Tokens)
	}
	w.room.ask = provenance.AskModel{
		Route: provenance.Route{
			Rule: c.Rule, Kind: string(c.Model.Kind), Model: c.Model.Name, Considered: considered, Cost: c.Request.Cost,
			Shadow: l.shadow,
		},
		Prompt: w.m.promptDigest(&w.s), MaxTokens: limit, After: l.from, Decisions: records,
		Fold: w.fold,
	}
	w.room.asking = modelcall.Open{
		Ref: w.addEffect(&w.room.ask), Rule: c.Rule, Model: c.Model, MaxTokens: limit,
		Tokens: c.Request.Tokens, Cost: c.Request.Cost,
	}
	return &w.room.asking, w.reserve(&w.room.asking.Reserved, records[0].Reserve)
}

// closeWithoutModel ends a run for which no model can be asked. there says whether a route leads to one.
func (w *work) closeWithoutModel(there bool, refused []policies.Decision) {
	switch {
	case len(refused) > 0:
		w.closeRun(decision.Sentence(refused[0]), provenance.CloseDenied)
	case len(w.s.tries.Models) > 0:
		w.closeRunAs(w.outcomeWithoutModel())
	case w.tooLong:
		w.closeRun("The conversation is longer than a model of this agent reads. Ask for less at once, or begin a new one.",
			provenance.CloseLimit)
	case there:
		w.closeRun("The run has used up its tokens or its money.", provenance.CloseLimit)
	default:
		w.closeRunAs(w.outcomeOfNoRoute())
	}
}

// closeWithAnswer says the model's last words, if the output policies let it, and ends the run.
func (w *work) closeWithAnswer(text string) error {
	formed, o, again := w.holdToForm(text)
	if again {
		return w.askNextModel()
	}
	if o.reason == provenance.CloseAnswered {
		if again, err := (secondLook{w}).begin(formed); again || err != nil {
			return err
		}
	}
	return w.sayAnswer(formed, o)
}

// sayAnswer says an answer of this form, if the output policies let it.
func (w *work) sayAnswer(formed string, o outcome) error {
	text, permitted, err := w.decideAnswer(formed)
	switch {
	case err != nil:
		return err
	case !permitted:
		w.closeRun(text, provenance.CloseDenied)
		return nil
	case w.s.form == nil:
		o = w.outcomeOfAnswer(text)
	case text != formed: // what a policy has cut is not of the form any more
		o = outcome{reason: provenance.CloseFailed, code: fault.ModelForm}
	}
	w.closeRunAs(decision.WordsOfAnswer(text, o.reason, o.code, w.s.stop), o)
	return nil
}

func (w *work) closeRun(text, reason string) { w.closeRunAs(text, outcome{reason: reason}) }

func (w *work) closeRunAs(text string, o outcome) {
	if w.s.form == nil || o.reason != provenance.CloseAnswered { // a value that a program reads stands alone
		text = strings.Join(append([]string{text}, w.s.notes...), "\n")
	}
	w.s.said = text
	w.room.say.Text = provenance.NewPayload([]byte(text))
	w.addEffect(&w.room.say)
	w.s.totals.Spent, w.s.totals.Over = slices.Clip(w.s.totals.Spent), slices.Clip(w.s.totals.Over)
	w.room.end = provenance.Close{Reason: o.reason, Code: string(o.code), Totals: w.s.totals}
	if o.code != "" && o.after > 0 {
		w.room.end.After = o.after
	}
	if len(w.m.authority.Chain) > 0 { // the caller's label takes in what its sub-agent has seen
		w.room.end.Label = definition.LabelPayload(w.s.context)
	}
	w.addEffect(&w.room.end)
	w.s.Closed, w.s.Status = true, o.reason
}
