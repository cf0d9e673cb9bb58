package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/talks"
	"github.com/writ-run/writ/provenance"
)

// joinOthers gives a run that is to open what its request says of other runs: its place in a thread, with what its
// model is told of the runs before it, or the step that it goes on from.
func (rs *runs) joinOthers(ctx context.Context, a *actor, q StartRequest, ask *provenance.Ask) error {
	if q.Step.Defined() {
		return past{rs}.joinFork(ctx, a, q, ask)
	}
	if q.Thread == "" {
		return nil
	}
	place := &journal.ThreadPlace{Owner: q.Session.Owner(), Name: q.Thread}
	a.opening.Thread = place
	t, err := rs.cfg.Store.Thread(ctx, place.Owner, q.Agent, q.Thread)
	if errors.Is(err, journal.ErrNotFound) {
		return nil // it is the first
	}
	if err != nil {
		return err
	}
	last, err := rs.cfg.Store.Run(ctx, t.Last)
	if err != nil {
		return err
	}
	if last.IsOpen() {
		return journal.ErrThreadOpen
	}
	place.Before, ask.After = last.ID, last.Head
	turns, err := past{rs}.readTurns(ctx, last.Head, thread.MaxTurns, a.machine)
	if err != nil {
		return err
	}
	_, told := thread.Begin(q.Frame.Params, t.Runs, turns)
	ask.Earlier = thread.PayloadOf(told)
	a.state = a.state.Recall(turns)
	return nil
}

// A past is the part of runs that reads what those before have said.
type past struct{ *runs }

// readTurns reads what runs up to a head tell a later one, at most limit of them, oldest first, as far as they fit into
// what the later one is told. It ends with one that cannot be read any more. m is the later run's machine; with nil
// they are only counted.
func (p past) readTurns(
	ctx context.Context, head provenance.Link, limit int, m *loop.Machine,
) ([]thread.Turn, error) {
	turns := []thread.Turn{}
	room := int64(thread.MaxBytes)
	if m != nil {
		room = thread.BudgetOf(m.Limits().Tokens)
	}
	for head.Defined() && len(turns) < limit {
		said, err := p.recallSaid(ctx, head)
		if errors.Is(err, loop.ErrSealed) {
			break
		}
		if err != nil {
			return nil, err
		}
		if room -= said.Turn.Size(); m != nil && (room < 0 || !m.Admits(said.Turn.Label)) {
			break
		}
		turns, head = append(turns, said.Turn), said.Before
	}
	slices.Reverse(turns)
	return turns, nil
}

// recallSaid returns what the run of a head tells a later one. It is read once, and again when the run has another head
// than it had then: then something of it was erased.
func (p past) recallSaid(ctx context.Context, at provenance.Link) (talks.Said, error) {
	said, known := p.said.Recall(at)
	if known {
		info, err := p.cfg.Store.Run(ctx, said.Run)
		if err == nil && info.Head == said.Head {
			return said, nil
		}
		p.said.Forget(at)
	}
	said, err := p.readSaid(ctx, at)
	if err == nil {
		p.said.Keep(at, said)
	}
	return said, err
}

func (p past) readSaid(ctx context.Context, at provenance.Link) (s talks.Said, err error) {
	var head provenance.Head
	if err := p.records.readRecord(ctx, at, &head); err != nil {
		return s, err
	}
	first, err := p.records.readSteps(ctx, head.Run, 0, 1)
	if err != nil || len(first) == 0 {
		return s, err
	}
	s.Run = head.Run
	if ask, ok := first[0].Step.Event.(*provenance.Ask); ok {
		s.Before = ask.After
	}
	h, err := p.loadRun(ctx, head.Run, true)
	if err != nil {
		return s, err
	}
	s.Head, s.Turn = h.info.Head, h.state.Turn()
	return s, nil
}

// recallThread gives a run that is taken up again what its model was told when it opened.
func (p past) recallThread(ctx context.Context, h *history, first *provenance.Step) error {
	ask, ok := first.Event.(*provenance.Ask)
	if !ok || ask.Earlier == nil {
		return nil
	}
	raw, open := ask.Earlier.Bytes()
	if !open {
		return fmt.Errorf("what is told of earlier runs: %w", loop.ErrSealed)
	}
	if ask.Method == wire.RunFork {
		shared, err := (&reports{p.runs}).Shared(ctx, ask.After)
		h.state = h.state.RecallFork(&shared)
		return err
	}
	told, err := thread.Read(ask.Method, raw)
	if err != nil {
		return err
	}
	turns, err := p.readTurns(ctx, ask.After, int(told.Shown), nil)
	if err == nil && uint64(len(turns)) < told.Shown {
		err = fmt.Errorf("what an earlier run of the thread says: %w", loop.ErrSealed)
	}
	if err == nil {
		h.state = h.state.Recall(turns)
	}
	return err
}
