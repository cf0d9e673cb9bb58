package runner

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/ledgerkey"
	"github.com/writ-run/writ/provenance"
)

// A history is a run as its steps tell it.
type history struct {
	info    journal.RunInfo
	machine *loop.Machine
	state   loop.State
	effects map[provenance.Ref]provenance.Effect // those without an answer
	steps   map[uint64]heldStep                  // the steps that hold them
	all     []provenance.Link                    // CIDs of all steps, for the index
	loaded  bool                                 // from the store: its open effects may have been begun before
	ends    *provenance.Lapse                    // to be taken in, if the session or the caller ended before it was loaded
	parent  *provenance.Parent                   // of a sub-agent's run: the call that opened it
	under   []provenance.Link                    // the delegations that it acts under
	ledgers ledgerkey.Names
}

// A heldStep is a step that holds open effects.
type heldStep struct {
	id provenance.Link
	at int64 // ms UTC
}

func newHistory(info journal.RunInfo, machine *loop.Machine, parent *provenance.Parent) *history {
	h := &history{
		info: info, machine: machine, state: loop.State{Run: info.ID}, parent: parent,
		effects: map[provenance.Ref]provenance.Effect{}, steps: map[uint64]heldStep{},
		ledgers: ledgerkey.New(info),
	}
	for _, d := range machine.Authority().Chain {
		h.under = append(h.under, d.CID)
	}
	return h
}

// page is how many steps are read at once.
const page = 256

// loadRun reads a run's steps and arrives at its state. alone does without what it was told of earlier runs, which only
// its prompts need.
func (rs *runs) loadRun(ctx context.Context, run provenance.Link, alone bool) (*history, error) {
	return rs.loadRunTo(ctx, run, alone, math.MaxUint64)
}

// loadRunTo does so with the first so many steps.
func (rs *runs) loadRunTo(ctx context.Context, run provenance.Link, alone bool, steps uint64) (*history, error) {
	h, err := rs.loadOpening(ctx, run)
	for from := uint64(0); err == nil; from += page {
		var views []StepView
		views, err = rs.records.readSteps(ctx, run, from, int(min(steps-from, page)))
		if from == 0 && err == nil && len(views) > 0 && !alone {
			err = past{rs}.recallThread(ctx, h, views[0].Step)
		}
		for i := 0; err == nil && i < len(views); i++ {
			err = h.replayStep(views[i])
		}
		if err == nil && (len(views) < page || from+page >= steps) {
			return h, nil
		}
	}
	return nil, fmt.Errorf("load run %s: %w", run, err)
}

// loadOpening reads what a run was opened with, and whether its end has come meanwhile.
func (rs *runs) loadOpening(ctx context.Context, run provenance.Link) (*history, error) {
	info, err := rs.cfg.Store.Run(ctx, run)
	if err != nil {
		return nil, err
	}
	session, err := rs.cfg.Store.Session(ctx, info.Session)
	if err != nil {
		return nil, err
	}
	var rec provenance.Run
	if err := rs.records.readRecord(ctx, run, &rec); err != nil {
		return nil, err
	}
	machine, err := rs.machines.machineOf(ctx, session, pins{rec.Agent, rec.Rules, rec.Runtime, rec.Delegation})
	if err != nil {
		return nil, err
	}
	parent := rec.Parent
	if !rec.Delegation.Defined() {
		parent = nil
	}
	h := newHistory(info, machine, parent)
	h.loaded = true
	h.ends, err = rs.findEnd(ctx, session, h, rec.Parent)
	return h, err
}

// findEnd returns the event that ends a run because of what happened outside of it, or nil.
func (rs *runs) findEnd(
	ctx context.Context, s journal.Session, h *history, parent *provenance.Parent,
) (*provenance.Lapse, error) {
	if s.Revoked != 0 {
		return revokedLapse(s), nil
	}
	if h.info.Status == journal.StatusCut {
		return &provenance.Lapse{Why: provenance.LapseCancelled}, nil
	}
	ends, err := rs.orphanLapse(ctx, parent) // the caller's end ends what was delegated, too
	if ends != nil || err != nil {
		return ends, err
	}
	return rs.records.revokedLapse(ctx, h.under)
}

// replayStep takes in a step that is in the journal.
func (h *history) replayStep(v StepView) error {
	next, _, err := h.machine.Step(h.state, v.Step.At, v.Step.Event, v.Step.Facts)
	if err != nil {
		return err
	}
	h.appendStep(next, heldStep{v.CID, v.Step.At}, v.Step.Does)
	return nil
}

// appendStep moves the history on by one step and keeps only what is still open.
func (h *history) appendStep(next loop.State, step heldStep, does []provenance.Effect) {
	seq := h.state.Seq
	h.state = next
	for i, e := range does {
		h.effects[provenance.Ref{Seq: seq, Index: uint64(i)}] = e
	}
	h.steps[seq] = step
	h.all = append(h.all, step.id)
	open := next.OpenEffects()
	maps.DeleteFunc(h.effects, func(r provenance.Ref, _ provenance.Effect) bool { return !slices.Contains(open, r) })
	maps.DeleteFunc(h.steps, func(s uint64, _ heldStep) bool {
		return s != seq && !slices.ContainsFunc(open, func(r provenance.Ref) bool { return r.Seq == s })
	})
	h.info.Steps, h.info.Last, h.info.Status = seq+1, step.id, next.Status
}
