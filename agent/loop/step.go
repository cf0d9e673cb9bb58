package loop

import (
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A Next is what a step leads to.
type Next struct {
	Does      []provenance.Effect
	Settle    []Settle
	Decisions []provenance.Decision   // that belong to no effect
	Label     *provenance.Payload     // of the context, if it has changed; see provenance.Step
	Caps      map[string]money.Amount // of ledgers, by ID, that are not as [Machine.Ledgers] says: they move
	TakenBack []provenance.Ref        // calls of agents that may do nothing more: the user may have taken back why
}

// A Settle ends the reservations of one effect in one budget: Used becomes spent, the rest is free again. It follows
// from the steps and is not recorded.
type Settle struct {
	Budget string // as in decisions: [Ledger.ID]
	Key    string // as the store has it: [Ledger.Key]
	Ref    provenance.Ref
	Used   money.Amount
	Doubt  *provenance.Ref // the call that may not have happened, if Used is then to be free again; else nil

	reserved money.Amount
}

// Names of the loop's own rules, as decisions carry them.
const (
	RuleRefused = "wallet/refused"   // the wallet said no
	RuleLapsed  = "wallet/no_answer" // it did not answer in time

	ruleTool     = "loop/unknown_tool"
	ruleArgs     = "loop/arguments"
	ruleCalls    = "loop/max_calls"
	ruleTurns    = "loop/max_turns"
	ruleReply    = "loop/calls_of_a_reply"
	ruleSimulate = "loop/simulation"
	ruleWallet   = "loop/wallet" // a contract wallet's permission holds as long as its contract says so
	ruleRevoked  = "session/ended"
	ruleOutdated = "user/said_since"
)

// Step takes in one event and returns the state after it and what is to be done. at is the time that decisions see,
// in ms UTC. An error means that the event cannot follow s, or that a text which is needed is sealed ([ErrSealed]);
// s is unchanged either way.
func (m *Machine) Step(s State, at int64, ev provenance.Event, f provenance.Facts) (State, Next, error) {
	var w work
	w.room = new(room)
	w.moment = moment{m: m, s: s.clone(w.room), at: at, facts: f}
	if err := w.run(ev); err != nil {
		return s, Next{}, fmt.Errorf("step %d: %w", s.Seq, err)
	}
	noted, err := w.contextLabelToNote(s.context)
	if err != nil {
		return s, Next{}, fmt.Errorf("step %d: %w", s.Seq, err)
	}
	w.next.Label = noted
	w.next.Settle, w.next.Decisions, w.next.Caps = w.settles, w.noted, w.movedCaps()
	return w.s, w.next, nil
}

// A work is one step under way: what is known (moment), counted (tally) and decided (judge) is in what it is made of,
// and it does the rest: it takes in the event and gives out effects.
type work struct {
	judge
	next    Next
	fold    *provenance.Fold // of the next model call
	tooLong bool             // a model was passed over since it does not read so much
}

// run takes in the event and does what the state then asks for.
func (w *work) run(ev provenance.Event) error {
	if w.s.Closed {
		return errors.New("the run is closed")
	}
	if w.at < w.s.At {
		return fmt.Errorf("the clock went back from %d to %d", w.s.At, w.at)
	}
	w.bringPastToNow()
	if err := w.readLedgers(ev); err != nil {
		return err
	}
	if !route.AreComplete(&w.facts, w.m.watched) {
		return ErrFleet
	}
	if err := w.takeEvent(ev); err != nil {
		return err
	}
	w.countWait()
	if err := w.advance(); err != nil {
		return err
	}
	w.s.At = w.at
	w.s.Seq++
	w.keepLedgers()
	switch {
	case w.s.Closed:
	case w.s.IsParked():
		w.s.Status = "parked"
	default:
		w.s.Status = "running"
	}
	return nil
}

// addEffect appends an effect and returns its place.
func (w *work) addEffect(e provenance.Effect) provenance.Ref {
	if w.next.Does == nil {
		w.next.Does = w.room.does[:0]
	}
	w.next.Does = append(w.next.Does, e)
	return provenance.Ref{Seq: w.s.Seq, Index: uint64(len(w.next.Does) - 1)}
}
