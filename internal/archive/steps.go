package archive

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// OpenedRecords is what reading steps in plain text takes. A store is one.
type OpenedRecords interface {
	journal.BlockReader
	journal.RunReader
	LeafKey(ctx context.Context, leaf provenance.Link) (provenance.LeafKey, error)
	Withheld(ctx context.Context, leaf provenance.Link) ([]byte, error)
}

// A StepView is a committed step with those payloads opened whose keys are here.
type StepView struct {
	CID  provenance.Link
	Step *provenance.Step
}

// Steps returns a run's steps from seq on, in order, at most limit.
func Steps(
	ctx context.Context, s OpenedRecords, run provenance.Link, from uint64, limit int,
) ([]StepView, error) {
	blocks, err := s.Steps(ctx, run, from, limit)
	if err != nil {
		return nil, fmt.Errorf("read the steps of %s: %w", run, err)
	}
	views := make([]StepView, len(blocks))
	for i, b := range blocks {
		step := new(provenance.Step)
		if err := provenance.Decode(b.Data, step); err != nil {
			return nil, fmt.Errorf("read step %d of %s: %w", from+uint64(i), run, err)
		}
		if err := OpenPayloads(ctx, s, step); err != nil {
			return nil, fmt.Errorf("read step %d of %s: %w", from+uint64(i), run, err)
		}
		views[i] = StepView{b.CID, step}
	}
	return views, nil
}

// OpenPayloads reads the payloads of rec. One whose key was erased stays closed.
func OpenPayloads(ctx context.Context, s OpenedRecords, rec provenance.Record) error {
	var failed error
	provenance.EachPayload(rec, func(p *provenance.Payload) {
		if failed == nil {
			failed = OpenPayload(ctx, s, p)
		}
	})
	return failed
}

// OpenPayload reads one payload. One whose key was erased stays closed.
func OpenPayload(ctx context.Context, s OpenedRecords, p *provenance.Payload) error {
	var k provenance.LeafKey
	if !p.Public() {
		var err error
		k, err = s.LeafKey(ctx, p.Leaf())
		if errors.Is(err, journal.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	data, err := s.Block(ctx, p.Leaf())
	if errors.Is(err, provenance.ErrWithheld) {
		data, err = s.Withheld(ctx, p.Leaf())
	}
	if err != nil {
		return err
	}
	return p.Open(data, k)
}

// A Turn is one run of a thread, as its owner sees it. Texts whose keys were erased are empty.
type Turn struct {
	Run         journal.RunInfo
	Asked, Said string
}

// Turns reads a run and those before it in its thread, newest first, at most limit of them.
func Turns(ctx context.Context, s OpenedRecords, from provenance.Link, limit int) (turns []Turn, err error) {
	for from.Defined() && len(turns) < limit {
		turn, before, err := readTurn(ctx, s, from)
		if err != nil {
			return nil, fmt.Errorf("read run %s of a thread: %w", from, err)
		}
		turns, from = append(turns, turn), before
	}
	return turns, nil
}

// readTurn reads what a run was asked and has said, and returns the run before it.
func readTurn(
	ctx context.Context, s OpenedRecords, run provenance.Link,
) (t Turn, before provenance.Link, err error) {
	if t.Run, err = s.Run(ctx, run); err != nil {
		return t, before, err
	}
	first, err := Steps(ctx, s, run, 0, 1)
	if err != nil || len(first) == 0 {
		return t, before, err
	}
	if ask, ok := first[0].Step.Event.(*provenance.Ask); ok {
		params, open := ask.Request.Bytes()
		if p, _, err := foreign.ReadAsk(ask.Method, params); open && err == nil {
			t.Asked = p.Input
		}
		if ask.After.Defined() && ask.Method != wire.RunFork {
			var head provenance.Head
			if err := Read(ctx, s, ask.After, &head); err != nil {
				return t, before, err
			}
			before = head.Run
		}
	}
	last, err := Steps(ctx, s, run, t.Run.Steps-1, 1) // what is said last is said where the run closes
	if err != nil || len(last) == 0 {
		return t, before, err
	}
	for _, e := range last[0].Step.Does {
		if say, ok := e.(*provenance.Say); ok {
			text, _ := say.Text.Bytes()
			t.Said = string(text)
		}
	}
	return t, before, nil
}

// FindStep returns the run that a step is of, and the step's number there. ErrNotFound if it is a step of no run here.
func FindStep(
	ctx context.Context, s OpenedRecords, at provenance.Link,
) (run journal.RunInfo, seq uint64, err error) {
	var step provenance.Step
	if err := Read(ctx, s, at, &step); err != nil { // it is not here, or another record
		return run, 0, fmt.Errorf("step %s: %w", at, journal.ErrNotFound)
	}
	if run, err = s.Run(ctx, step.Run); err != nil {
		return run, 0, err
	}
	is, err := s.Steps(ctx, step.Run, step.Seq, 1)
	if err == nil && (len(is) == 0 || is[0].CID != at) { // it was cut off
		err = fmt.Errorf("step %s: %w", at, journal.ErrNotFound)
	}
	return run, step.Seq, err
}
