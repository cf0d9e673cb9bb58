package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Why a run does not go on from a step.
var (
	ErrForkWorks = errors.New("the run that it is to go on from is at work") // neither waiting nor closed
	ErrForkSeen  = errors.New("what may be published was decided without what that run has seen")
	ErrForkLong  = errors.New("what it is to be told is longer than a fork is told, or it is a fork of too many forks")
)

// joinFork gives a run that is to open the step that it goes on from, and what it shares with the run of that step.
func (p past) joinFork(ctx context.Context, a *actor, q StartRequest, ask *provenance.Ask) error {
	of, _, err := archive.FindStep(ctx, p.cfg.Store, q.Step)
	switch {
	case err != nil:
		return err
	case of.Owner() != q.Session.Owner(), of.Agent != q.Agent, q.Reaches == nil || !q.Reaches(of):
		return fmt.Errorf("step %s: %w", q.Step, journal.ErrNotFound)
	case of.Status == "running":
		return ErrForkWorks
	}
	shared, err := (&reports{p.runs}).Shared(ctx, q.Step)
	if err != nil {
		return err
	}
	_, told := thread.Fork(q.Frame.Params, shared)
	if told.Place > thread.MaxForks || told.Bytes > thread.MaxForkBytes {
		return ErrForkLong
	}
	if !a.machine.Admits(shared.Label) {
		return ErrForkSeen
	}
	ask.After, ask.Earlier = q.Step, thread.PayloadOf(told)
	a.state = a.state.RecallFork(&shared)
	return nil
}

// Shared reads what a fork is told that goes on from a step.
func (r *reports) Shared(ctx context.Context, at provenance.Link) (s thread.Shared, err error) {
	of, seq, err := archive.FindStep(ctx, r.runs.cfg.Store, at)
	if err != nil {
		return s, err
	}
	h, err := r.runs.loadRunTo(ctx, of.ID, false, seq+1)
	if err != nil {
		return s, err
	}
	s, known := h.state.Share()
	if !known {
		err = fmt.Errorf("what the run was told of others: %w", loop.ErrSealed)
	}
	return s, err
}
