package audit

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// errStop ends a walk whose fault has been noted.
var errStop = errors.New("stop")

// maxReplayed bounds the open texts of a run that is replayed, with 256 bytes a step for what is kept of it besides: the
// loop holds the whole talk, as a model is shown it. A longer run is a gap and no fault; what was replayed up to there
// has come out right.
const maxReplayed = 16 << 20

var errLarge = errors.New("the run's texts are more than a replay holds")

// replay feeds the recorded events to the loop and compares what comes out with what was recorded.
func (a *auditor) replay() {
	ev := a.ev
	callers, err := a.callersOf()
	if err != nil {
		a.rep.Fault(err)
		return
	}
	m, err := loop.New(loop.Config{
		Session: ev.Run.Grant, Agent: &ev.Agent, Tools: ev.Tools, Books: ev.Books, Rules: &ev.Rules, Dapp: ev.Dapp, Grant: a.grant,
		Runtime: &ev.Runtime, Delegations: a.authority.Chain, Agents: a.agents, Callers: callers, Heard: a.heard,
	})
	if err != nil {
		a.fail(provenance.CheckDecisions, CodeDecisionRules, ev.RunCID, "the run's rules do not compile: %v", err)
		return
	}
	a.machine = m
	state := loop.State{Run: ev.RunCID}
	decisions, prompts, closes, unsure, size := 0, 0, 0, 0, 0
	err = ev.Each(func(c provenance.Link, s *provenance.Step) error {
		for _, b := range s.Facts.Budgets {
			if used, err := b.Spent.Add(b.Reserved); err != nil || over(used.Cmp(b.Cap)) {
				a.fail(provenance.CheckTotals, CodeTotalsCap, c, "step %d: the ledger %s is above its cap", s.Seq, b.ID)
				return errStop
			}
		}
		size += 256
		provenance.EachPayload(s, func(p *provenance.Payload) {
			text, _ := p.Bytes()
			size += len(text)
		})
		if size > cmp.Or(a.limit, maxReplayed) {
			return errLarge
		}
		a.step, a.seq = c, int(s.Seq)
		next, todo, err := m.Step(state, s.At, s.Event, s.Facts)
		if errors.Is(err, loop.ErrSealed) {
			return err
		}
		if err != nil {
			a.each(Replayed{Seq: int(s.Seq), Recorded: c})
			code := CodeDecisionEvent
			switch {
			case errors.Is(err, loop.ErrLedger), errors.Is(err, loop.ErrFacts):
				code = CodeDecisionFacts
			case errors.Is(err, loop.ErrSubAgent):
				code = CodeDelegationSpent
			}
			a.fail(provenance.CheckDecisions, code, c, "step %d cannot be replayed: %v", s.Seq, err)
			return errStop
		}
		before := state
		state = next
		again := &provenance.Step{
			Run: s.Run, Seq: s.Seq, Prev: s.Prev, At: s.At, Event: s.Event, Facts: s.Facts, Does: todo.Does,
			Decisions: todo.Decisions, Label: todo.Label,
		}
		if part, ok := a.kept(m, before, s); !ok {
			a.fail(provenance.CheckDecisions, CodeDecisionPublish, c, "step %d: %s", s.Seq, part)
			return errStop
		}
		n, match := a.adopt(again, s)
		unsure += n
		block, err := provenance.Encode(again)
		if err != nil || !match {
			block.CID = provenance.Link{}
		}
		seen, _ := m.Seen(before, s.At, s.Event, s.Facts) // as Step has just seen them
		a.each(Replayed{Seq: int(s.Seq), Recorded: c, Recomputed: block.CID, Ledgers: seen})
		if block.CID != c {
			a.differs(c, again, s)
			return errStop
		}
		decisions += len(s.Decisions)
		for _, e := range s.Does {
			switch e := e.(type) {
			case *provenance.AskModel:
				prompts++
				decisions += len(e.Decisions)
			case *provenance.Call:
				decisions += len(e.Decisions)
			case *provenance.Seek:
				decisions += len(e.Decisions)
			case *provenance.Deny:
				decisions += len(e.Decisions)
			case *provenance.Close:
				closes++
			}
		}
		return nil
	})
	switch {
	case errors.Is(err, loop.ErrSealed):
		for _, c := range []string{provenance.CheckDecisions, provenance.CheckContext, provenance.CheckTotals} {
			a.rep.Skip(c, 0, "not recomputed: payloads are sealed")
		}
		a.rep.Unprove("that the decisions were right: what they were about is sealed")
		return
	case errors.Is(err, errLarge):
		for _, c := range []string{provenance.CheckDecisions, provenance.CheckContext, provenance.CheckTotals} {
			a.rep.Skip(c, 0, fmt.Sprintf("recomputed up to step %d only: %v (%d MiB)", a.seq, errLarge, maxReplayed>>20))
		}
		a.rep.Unprove(fmt.Sprintf("that the decisions after step %d were right: the run's texts are too large to replay", a.seq))
		return
	case errors.Is(err, errStop):
		return
	case err != nil:
		a.rep.Fault(err)
		return
	}
	if unsure > 0 {
		a.rep.Skip(provenance.CheckDecisions, decisions, fmt.Sprintf("recomputed, but %d texts are sealed and could not be compared", unsure))
	} else {
		a.rep.Pass(provenance.CheckDecisions, decisions, "recomputed from the events")
	}
	a.rep.Pass(provenance.CheckContext, prompts, "")
	a.rep.Pass(provenance.CheckTotals, closes, "")
}

func over(cmp int, err error) bool { return err != nil || cmp > 0 }

// adopt gives each new payload of again the leaf of its counterpart in was. It returns how many could only be
// trusted for want of a key, and false if a text differs or the two have another shape.
func (a *auditor) adopt(again, was *provenance.Step) (unsure int, match bool) {
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
		k, known := a.keys[q.Leaf()]
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

// differs names the first thing in which the recorded step is not the recomputed one.
func (a *auditor) differs(c provenance.Link, again, was *provenance.Step) {
	note := func(check string, code provenance.Code, format string, args ...any) {
		a.fail(check, code, c, "step %d: %s", was.Seq, fmt.Sprintf(format, args...))
	}
	// decided compares decisions, and says whether it has named a difference.
	decided := func(ds, recorded []provenance.Decision) bool {
		for k, d := range recorded {
			switch {
			case k >= len(ds) || ds[k].Point != d.Point || ds[k].Outcome != d.Outcome:
				note(provenance.CheckDecisions, CodeDecision, "decision %d comes out differently", k)
			case !slices.Equal(ds[k].Rules, d.Rules) || !samePayload(ds[k].Why, d.Why):
				note(provenance.CheckDecisions, CodeDecisionWhy, "decision %d has another reason than the rules give", k)
			case !slices.Equal(ds[k].Reserve, d.Reserve):
				note(provenance.CheckDecisions, CodeDecisionBudget, "decision %d reserves something else than the rules say", k)
			case ds[k].Part != d.Part || ds[k].Mode != d.Mode:
				note(provenance.CheckDecisions, CodeDecisionPublish, "decision %d keeps a payload in another way than the rules say", k)
			default:
				continue
			}
			return true
		}
		return false
	}
	if decided(again.Decisions, was.Decisions) {
		return
	}
	if len(again.Decisions) != len(was.Decisions) {
		note(provenance.CheckDecisions, CodeDecision, "the record has %d decisions besides those of its effects, the rules make %d", len(was.Decisions), len(again.Decisions))
		return
	}
	if !samePayload(again.Label, was.Label) {
		note(provenance.CheckDecisions, CodeDecisionLabel, "the context has another label than the steps and tools give it")
		return
	}
	for i, e := range was.Does {
		if i >= len(again.Does) || reflect.TypeOf(e) != reflect.TypeOf(again.Does[i]) {
			if d := outcomeOf(e); d != "" && i < len(again.Does) && outcomeOf(again.Does[i]) != d {
				note(provenance.CheckDecisions, CodeDecision, "the record says %s, the rules say %s", d, outcomeOf(again.Does[i]))
				return
			}
			note(provenance.CheckDecisions, CodeDecisionEffect, "effect %d does not follow from the events", i)
			return
		}
		mine, theirs := again.Does[i], e
		if decided(decisionsOf(mine), decisionsOf(theirs)) {
			return
		}
		switch theirs := theirs.(type) {
		case *provenance.AskModel:
			mine := mine.(*provenance.AskModel)
			if mine.Prompt != theirs.Prompt {
				note(provenance.CheckContext, CodeContextPrompt, "the prompt has another digest than the steps lead to")
				return
			}
			if !reflect.DeepEqual(mine.Route, theirs.Route) || mine.MaxTokens != theirs.MaxTokens {
				note(provenance.CheckDecisions, CodeDecisionRoute, "the rules choose another model or bound")
				return
			}
		case *provenance.Close:
			mine := mine.(*provenance.Close)
			if !reflect.DeepEqual(mine.Totals, theirs.Totals) {
				note(provenance.CheckTotals, CodeTotals, "the close names other sums than the steps give")
				return
			}
		}
	}
	note(provenance.CheckDecisions, CodeDecisionEffect, "the effects are not those that the events lead to")
}

// kept says whether every payload of a step is kept as the rules chose, or what is wrong. A record shows only whether
// a payload is public.
func (a *auditor) kept(m *loop.Machine, before loop.State, s *provenance.Step) (wrong string, ok bool) {
	modes := m.Modes(before, s)
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

func samePayload(a, b *provenance.Payload) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Leaf() == b.Leaf())
}

// outcomeOf says in a word what an effect means for a tool call.
func outcomeOf(e provenance.Effect) string {
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
