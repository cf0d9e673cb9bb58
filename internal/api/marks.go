package api

import (
	"context"
	"slices"

	"github.com/writ-run/writ/agent/grounds"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// maxMarkedSteps bounds the steps of which an answer's figures are looked for.
const maxMarkedSteps = 2000

// markAnswer says which figures of what a step says rest on nothing that the run was given. Of a run that is longer, or
// of which something was erased, nothing is said.
func (s *Stream) markAnswer(ctx context.Context, last *provenance.Step) ([]wire.Mark, error) {
	answer, ok := grounds.AnswerOf(last)
	closes := slices.ContainsFunc(last.Does, func(e provenance.Effect) bool { _, is := e.(*provenance.Close); return is })
	if !ok || !closes || last.Seq > maxMarkedSteps { // the journal is read again once a run, and not for every text
		return nil, nil
	}
	if grounds.CountFigures(answer) == 0 { // then there is nothing to mark, and nothing to read
		return nil, nil
	}
	var e grounds.Evidence
	api := s.caller.api.cfg
	for at := uint64(0); at <= last.Seq; {
		page, err := api.Runner.Steps(ctx, s.run, at, api.Limits.Page)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			return nil, nil
		}
		if at == 0 {
			if err := s.addEarlier(ctx, &e, page[0]); err != nil {
				return nil, err
			}
		}
		for _, v := range page {
			if v.Step.Seq <= last.Seq {
				e.AddStep(v.Step)
			}
		}
		at += uint64(len(page))
	}
	if !e.Complete() {
		return nil, nil
	}
	var out []wire.Mark
	for _, m := range grounds.Ungrounded(e.Check(answer)) {
		out = append(out, wire.Mark{From: uint64(m.From), To: uint64(m.To), Kind: m.Kind, Text: m.Text})
	}
	return out, nil
}

// addEarlier takes in what was said earlier in the run's thread.
func (s *Stream) addEarlier(ctx context.Context, e *grounds.Evidence, first runner.StepView) error {
	ask, ok := first.Step.Event.(*provenance.Ask)
	if !ok || ask.Earlier == nil {
		return nil
	}
	raw, _ := ask.Earlier.Bytes()
	told, err := thread.Read(ask.Method, raw)
	if err != nil {
		return nil // it is sealed: then so is the request
	}
	if ask.Method == wire.RunFork {
		shared, err := s.caller.api.cfg.Runner.Shared(ctx, ask.After)
		for _, m := range shared.Messages {
			e.AddEarlier(m.Text)
		}
		return err
	}
	turns, err := s.caller.api.cfg.Runner.Turns(ctx, s.run, int(told.Shown)+1)
	if err != nil {
		return err
	}
	for _, t := range turns[min(1, len(turns)):] {
		e.AddEarlier(t.Asked)
		e.AddEarlier(t.Said)
	}
	return nil
}
