package audit

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// errStop ends a walk whose fault has been noted.
var errStop = errors.New("stop")

// maxReplayed bounds the open texts of a run that is replayed, with 256 bytes a step for what is kept of it besides:
// the loop holds the whole talk, as a model is shown it. A longer run is a gap and no fault; what was replayed up to
// there has come out right.
const maxReplayed = 16 << 20

var errLarge = errors.New("the run's texts are more than a replay holds")

// A replay feeds the recorded events to the loop and compares what comes out with what was recorded.
type replay struct {
	*auditor
	m     *loop.Machine
	state loop.State
	size  int  // of the texts so far
	told  bool // it is known what the model was told of earlier runs
	found groundJudge

	decisions, prompts, closes int // that came out the same
	unsure                     int // texts that could only be taken as recorded
	overruns                   int // facts that show a ledger of money above its cap
}

// replaySteps makes the machine of the records, and replays every step with it.
func (a *auditor) replaySteps() {
	ev := a.ev
	callers, err := a.readCallers()
	if err != nil {
		a.rep.Fault(err)
		return
	}
	a.machine, err = loop.New(loop.Config{
		Session: ev.Run.Grant, Agent: &ev.Agent, Tools: ev.Tools, Books: ev.Books, Rules: &ev.Rules, Dapp: ev.Dapp,
		Grant: a.grant, Runtime: &ev.Runtime, Delegations: a.authority.Chain, Agents: a.agents, Callers: callers,
		Sets: a.sets, OnDecision: a.onDecision,
	})
	if err != nil {
		a.failCheck(provenance.CheckDecisions, CodeDecisionRules, ev.RunCID, "the run's rules do not compile: %v", err)
		return
	}
	r := &replay{auditor: a, m: a.machine, state: loop.State{Run: ev.RunCID}, told: true}
	r.found.searches.snapshots = a.snapshots
	if !a.isPast {
		if err := r.recallOthers(); err != nil {
			a.failThread(err)
			return
		}
	}
	r.conclude(ev.Each(r.replayStep))
	a.replayed = r.state
}

// recallOthers has the run be told what its model was told of other runs, as far as they are here.
func (r *replay) recallOthers() error {
	ask, is, err := forkJudge{r.auditor}.readFork()
	if err != nil {
		return err
	}
	if is {
		shared, err := forkJudge{r.auditor}.readShared(ask)
		r.state, r.told = r.state.RecallFork(shared), shared != nil
		if shared != nil {
			for _, m := range shared.Messages {
				r.found.evidence.AddEarlier(m.Text)
			}
		}
		return err
	}
	turns, known, err := threadJudge{r.auditor}.readTurns()
	r.state, r.told = r.state.Recall(turns), known
	r.found.addEarlier(turns)
	return err
}

func (r *replay) replayStep(c provenance.Link, s *provenance.Step) error {
	r.step, r.seq = c, int(s.Seq)
	for _, b := range s.Facts.Budgets {
		used, err := b.Spent.Add(b.Reserved)
		if over := err != nil || isOver(used.Cmp(b.Cap)); over && r.m.CountsUnasked(b.ID) {
			// its cap moves with what approvals have ended; replay holds the two together
		} else if over && mayOverrun(b.Cap.Asset()) {
			r.overruns++
		} else if over {
			r.failCheck(provenance.CheckTotals, CodeTotalsCap, c, "step %d: the ledger %s is above its cap", s.Seq,
				b.ID)
			return errStop
		}
	}
	r.size += 256
	provenance.EachPayload(s, func(p *provenance.Payload) {
		text, _ := p.Bytes()
		r.size += len(text)
	})
	if r.size > cmp.Or(r.limit, maxReplayed) {
		return errLarge
	}
	if err := r.checkSent(c, s); err != nil {
		return err
	}
	before := r.state
	r.noteReuse(s)
	next, todo, err := r.m.Step(before, s.At, s.Event, s.Facts)
	if err != nil {
		return r.failStep(c, s, err)
	}
	r.state = next
	if r.stops.note(todo.TakenBack, s.At); !r.checkStopped(c, s) {
		return errStop
	}
	if err := r.found.takeStep(s); err != nil {
		code, detail := CodeRetrievalPassage, err.Error()
		if f, is := errors.AsType[*provenance.Fault](err); is {
			code, detail = f.Code, f.Detail
		}
		r.failCheck(provenance.CheckContext, code, c, "step %d: %s", s.Seq, detail)
		return errStop
	}
	r.found.report(r.rep, s, r.told)
	if wrong, ok := r.checkKept(before, s); !ok {
		r.failCheck(provenance.CheckDecisions, CodeDecisionPublish, c, "step %d: %s", s.Seq, wrong)
		return errStop
	}
	again := &provenance.Step{
		Run: s.Run, Seq: s.Seq, Prev: s.Prev, At: s.At, Event: s.Event, Facts: s.Facts, Does: todo.Does,
		Decisions: todo.Decisions, Label: todo.Label,
	}
	if err := r.compare(c, again, s, before); err != nil {
		return err
	}
	r.countDecided(s)
	return nil
}

// checkSent checks that the session key signed what the user is said to have sent into the run.
func (r *replay) checkSent(c provenance.Link, s *provenance.Step) error {
	ask, is := s.Event.(*provenance.Ask)
	if !is || s.Seq == 0 { // the first was checked with the grant
		return nil
	}
	params, open := ask.Request.Bytes()
	if !open {
		return fmt.Errorf("what was sent: %w", loop.ErrSealed)
	}
	f, key := r.requestFrame(ask, params)
	if ask.Key != key.String() || f.Verify(key, ask.Sig) != nil {
		r.failCheck(provenance.CheckGrant, CodeGrantRequest, c, "step %d: the session key did not sign what was sent", s.Seq)
		return errStop
	}
	return nil
}

// failStep says why the loop does not take a step's event.
func (r *replay) failStep(c provenance.Link, s *provenance.Step, err error) error {
	if errors.Is(err, loop.ErrSealed) {
		return err
	}
	if r.each != nil {
		r.each(Replayed{Seq: int(s.Seq), Recorded: c})
	}
	code := CodeDecisionEvent
	switch {
	case errors.Is(err, loop.ErrLedger), errors.Is(err, loop.ErrFacts), errors.Is(err, loop.ErrAsked):
		code = CodeDecisionFacts
	case errors.Is(err, loop.ErrFleet):
		code = CodeDecisionFleet
	case errors.Is(err, loop.ErrSubAgent):
		code = CodeDelegationSpent
	}
	r.failCheck(provenance.CheckDecisions, code, c, "step %d cannot be replayed: %v", s.Seq, err)
	return errStop
}

// compare holds a step that was made again to the recorded one, which must have the same bytes.
func (r *replay) compare(c provenance.Link, again, was *provenance.Step, before loop.State) error {
	unsure, match := r.adoptPayloads(again, was)
	r.unsure += unsure
	block, err := provenance.Encode(again)
	if err != nil || !match {
		block.CID = provenance.Link{}
	}
	if r.each != nil {
		seen, _ := r.m.SeenLedgers(before, was.At, was.Event, was.Facts) // as Step has just seen them
		r.each(Replayed{Seq: int(was.Seq), Recorded: c, Recomputed: block.CID, Ledgers: seen})
	}
	if block.CID != c {
		d := difference{auditor: r.auditor, at: c, seq: was.Seq, watches: len(was.Facts.Fleet) > 0}
		d.find(again, was)
		return errStop
	}
	return nil
}

// countDecided counts what a step shows to have come out the same.
func (r *replay) countDecided(s *provenance.Step) {
	r.decisions += len(s.Decisions)
	for _, e := range s.Does {
		r.decisions += len(decisionsOf(e))
		switch e.(type) {
		case *provenance.AskModel:
			r.prompts++
		case *provenance.Close:
			r.closes++
		}
	}
}

// conclude says what the replay came to. err is why it has ended before the last step.
func (r *replay) conclude(err error) {
	skip := func(note string) {
		for _, c := range []string{provenance.CheckDecisions, provenance.CheckContext, provenance.CheckTotals} {
			r.rep.Skip(c, 0, note)
		}
	}
	switch {
	case errors.Is(err, loop.ErrSealed):
		skip("not recomputed: payloads are sealed")
		r.rep.Unprove("that the decisions were right: what they were about is sealed")
		return
	case errors.Is(err, errLarge):
		skip(fmt.Sprintf("recomputed up to step %d only: %v (%d MiB)", r.seq, errLarge, maxReplayed>>20))
		const why = "that the decisions after step %d were right: the run's texts are too large to replay"
		r.rep.Unprove(fmt.Sprintf(why, r.seq))
		return
	case errors.Is(err, errStop):
		return
	case err != nil:
		r.rep.Fault(err)
		return
	}
	if r.unsure > 0 {
		note := fmt.Sprintf("recomputed, but %d texts are sealed and could not be compared", r.unsure)
		r.rep.Skip(provenance.CheckDecisions, r.decisions, note)
	} else {
		r.rep.Pass(provenance.CheckDecisions, r.decisions, "recomputed from the events")
	}
	if r.told {
		r.rep.Pass(provenance.CheckContext, r.prompts, "")
	} else {
		r.rep.Skip(provenance.CheckContext, r.prompts, "of the runs before it in its thread, not all are here and open")
	}
	note := ""
	if r.overruns > 0 {
		note = fmt.Sprintf("%d facts show a budget above its cap: more left than was reserved", r.overruns)
	}
	r.rep.Pass(provenance.CheckTotals, r.closes, note)
}

// mayOverrun says whether more of an asset may be used than was reserved: what a transaction moves on a chain is known
// once it has. A ledger that was overrun has no room, which the decisions show.
func mayOverrun(a money.Asset) bool { return a != money.Calls && a != money.Tokens && a != money.USD }

func isOver(cmp int, err error) bool { return err != nil || cmp > 0 }

// adoptPayloads gives each new payload of again the leaf of its counterpart in was. It returns how many could only be
// trusted for want of a key, and false if a text differs or the two have another shape.
func (r *replay) adoptPayloads(again, was *provenance.Step) (unsure int, match bool) {
	var recorded []*provenance.Payload
	provenance.EachPayload(was, func(p *provenance.Payload) { recorded = append(recorded, p) })
	i, match := 0, true
	provenance.EachPayload(again, func(p *provenance.Payload) {
		if i >= len(recorded) {
			match = false
			return
		}
		q := recorded[i]
		i++
		if p.Leaf().Defined() {
			return
		}
		k, known := r.keys[q.Leaf()]
		if !known && !q.Public() {
			p.Trust(q)
			unsure++
			return
		}
		if err := p.Adopt(q, k); err != nil {
			match = false
		}
	})
	return unsure, match && i == len(recorded)
}

// A difference is the first thing in which a recorded step is not the recomputed one.
type difference struct {
	*auditor
	at  provenance.Link
	seq uint64

	watches bool // the step's facts say how the models have answered
}

func (d *difference) name(check string, code provenance.Code, format string, args ...any) {
	d.failCheck(check, code, d.at, "step %d: %s", d.seq, fmt.Sprintf(format, args...))
}

// find names the difference.
func (d *difference) find(again, was *provenance.Step) {
	const check = provenance.CheckDecisions
	if d.findInDecisions(again.Decisions, was.Decisions) {
		return
	}
	if len(again.Decisions) != len(was.Decisions) {
		d.name(check, CodeDecision, "the record has %d decisions besides those of its effects, the rules make %d",
			len(was.Decisions), len(again.Decisions))
		return
	}
	if !isSamePayload(again.Label, was.Label) {
		d.name(check, CodeDecisionLabel, "the context has another label than the steps and tools give it")
		return
	}
	for i, e := range was.Does {
		var mine provenance.Effect
		if i < len(again.Does) {
			mine = again.Does[i]
		}
		if d.findInEffect(i, mine, e) {
			return
		}
	}
	d.name(check, CodeDecisionEffect, "the effects are not those that the events lead to")
}

// findInDecisions compares decisions, and says whether it has named a difference.
func (d *difference) findInDecisions(again, was []provenance.Decision) bool {
	const check = provenance.CheckDecisions
	for k, x := range was {
		switch {
		case k >= len(again) || again[k].Point != x.Point || again[k].Outcome != x.Outcome:
			d.name(check, CodeDecision, "decision %d comes out differently", k)
		case !slices.Equal(again[k].Rules, x.Rules) || !isSamePayload(again[k].Why, x.Why):
			d.name(check, CodeDecisionWhy, "decision %d has another reason than the rules give", k)
		case !slices.Equal(again[k].Reserve, x.Reserve):
			d.name(check, CodeDecisionBudget, "decision %d reserves something else than the rules say", k)
		case again[k].Part != x.Part || again[k].Mode != x.Mode:
			d.name(check, CodeDecisionPublish, "decision %d keeps a payload in another way than the rules say", k)
		default:
			continue
		}
		return true
	}
	return false
}

// findInEffect compares effect i, and says whether it has named a difference. again is nil if there is none in its
// place.
func (d *difference) findInEffect(i int, again, was provenance.Effect) bool {
	const check = provenance.CheckDecisions
	if again == nil || reflect.TypeOf(was) != reflect.TypeOf(again) {
		if word := outcomeWord(was); word != "" && again != nil && outcomeWord(again) != word {
			d.name(check, CodeDecision, "the record says %s, the rules say %s", word, outcomeWord(again))
		} else {
			d.name(check, CodeDecisionEffect, "effect %d does not follow from the events", i)
		}
		return true
	}
	if d.findInDecisions(decisionsOf(again), decisionsOf(was)) {
		return true
	}
	switch was := was.(type) {
	case *provenance.AskModel:
		return d.findInModelCall(again.(*provenance.AskModel), was)
	case *provenance.Call:
		if !isSameHanded(again.(*provenance.Call).Handed, was.Handed) {
			d.name(check, CodeDelegationHanded, "the call hands on another label or other limits to the sub-agent")
			return true
		}
	case *provenance.Close:
		return d.findInClose(again.(*provenance.Close), was)
	}
	return false
}

func (d *difference) findInModelCall(again, was *provenance.AskModel) bool {
	if !reflect.DeepEqual(again.Fold, was.Fold) {
		d.name(provenance.CheckContext, CodeContextFold,
			"what is left out of the talk, or summed up, is not what its length and its model's window ask for")
		return true
	}
	if again.Prompt != was.Prompt {
		d.name(provenance.CheckContext, CodeContextPrompt, "the prompt has another digest than the steps lead to")
		return true
	}
	if !reflect.DeepEqual(again.Route, was.Route) || again.MaxTokens != was.MaxTokens || again.After != was.After {
		code, says := CodeDecisionRoute, "the rules choose another model or bound"
		if d.watches && d.isOfItsRule(&was.Route) {
			code, says = CodeDecisionFleet, "by what the facts say of the models, the rules choose another one"
		}
		d.name(provenance.CheckDecisions, code, "%s", says)
		return true
	}
	return false
}

// isOfItsRule says whether a recorded choice is one that its rule could lead to, by some facts.
func (d *difference) isOfItsRule(r *provenance.Route) bool {
	models, err := route.ModelsOf(&d.ev.Runtime)
	if err != nil {
		return false
	}
	rules, err := route.Compile(d.ev.Agent.Routes, models)
	return err == nil && slices.ContainsFunc(rules, func(x route.Rule) bool {
		return x.ID == r.Rule && slices.ContainsFunc(x.Models, func(m model.Info) bool { return m.Name == r.Model })
	})
}

func (d *difference) findInClose(again, was *provenance.Close) bool {
	switch {
	case !isSamePayload(again.Label, was.Label):
		d.name(provenance.CheckDecisions, CodeDecisionLabel,
			"the run closes with another label than the steps and tools give it")
	case again.Reason != was.Reason || again.Code != was.Code || again.After != was.After:
		d.name(provenance.CheckDecisions, CodeDecisionEffect, "the run is closed as %s %s, and the steps lead to %s %s",
			was.Reason, was.Code, again.Reason, again.Code)
	case !reflect.DeepEqual(again.Totals, was.Totals):
		d.name(provenance.CheckTotals, CodeTotals, "the close names other sums than the steps give")
	default:
		return false
	}
	return true
}

// checkKept says whether every payload of a step is kept as the rules chose, or what is wrong. A record shows only
// whether a payload is public.
func (r *replay) checkKept(before loop.State, s *provenance.Step) (wrong string, ok bool) {
	modes := r.m.Modes(before, s)
	provenance.EachPayload(s, func(p *provenance.Payload) {
		switch public := modes[p] == policies.Public; {
		case p.Public() && !public:
			wrong = "a payload is public that the rules keep back"
		case !p.Public() && public:
			wrong = "a payload is sealed that the rules make public"
		}
	})
	return wrong, wrong == ""
}

func isSameHanded(a, b *provenance.Handed) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Own == b.Own && a.Limits == b.Limits && isSamePayload(a.Label, b.Label)
}

func isSamePayload(a, b *provenance.Payload) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Leaf() == b.Leaf())
}

// outcomeWord says in a word what an effect means for a tool call.
func outcomeWord(e provenance.Effect) string {
	switch e.(type) {
	case *provenance.Call:
		return "permit"
	case *provenance.Seek:
		return "approve"
	case *provenance.Deny:
		return "deny"
	}
	return ""
}

func decisionsOf(e provenance.Effect) []provenance.Decision {
	switch e := e.(type) {
	case *provenance.AskModel:
		return e.Decisions
	case *provenance.Call:
		return e.Decisions
	case *provenance.Seek:
		return e.Decisions
	case *provenance.Deny:
		return e.Decisions
	}
	return nil
}
