package loop

import (
	"fmt"
	"reflect"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
)

// Recall returns the state of a run that is told turns of the runs before it in its thread, oldest first. Without it,
// a run that was told of some can be judged by what it recorded of them, and has no prompt.
func (s State) Recall(turns []thread.Turn) State { s.earlier = turns; return s }

// RecallFork returns the state of a fork that is told what it shares with the run that it goes on from. Without it, one
// can be judged likewise.
func (s State) RecallFork(shared *thread.Shared) State { s.shared = shared; return s }

// Share returns what a fork is told that goes on from here; false if the words of earlier runs are not here.
func (s State) Share() (shared thread.Shared, known bool) {
	shared.Label, shared.Forks = s.context, s.talk.Forks()
	var open []model.Message
	for i := range s.calls {
		c := &s.calls[i]
		open = append(open, model.Message{Role: model.RoleTool, CallID: c.ask.ID, Tool: c.ask.Tool, Text: c.outcome})
		if c.outcome != "" {
			shared.Label = shared.Label.Join(c.outcomeLabel)
		}
	}
	shared.Messages = s.talk.Share(append(open, s.unheard...))
	if s.Closed {
		shared.End(s.said)
	}
	return shared, !s.talk.IsAssumed()
}

// Turn returns what a later run of the thread is told of a run that has closed.
func (s State) Turn() thread.Turn {
	asked := s.request
	for _, x := range s.sent {
		if x.text != "" {
			asked += "\n" + x.text
		}
	}
	asked, files := thread.CarryFiles(asked, s.files)
	return thread.Turn{Request: asked, Files: files, Answer: s.said, Label: s.context, Summary: s.summary}
}

// takeFiles reads the files that a request names, of the pieces that its event has.
func (mo *moment) takeFiles(named []wire.Attached, pieces []provenance.Piece) ([]model.File, error) {
	files, err := attach.Read(named, pieces, mo.s.attached)
	if err == nil && len(files) > 0 && !mo.m.Admits(attach.LabelOf(files)) {
		err = attach.Refuse("this agent makes public what its runs hold, and its rules decide that without files; ask " +
			"another agent")
	}
	mo.s.attached += attach.Sum(named)
	return files, err
}

// Admits says whether a run of the machine may be told what has the label: where something is made public, it is
// decided beforehand by all that a run can come to hold.
func (m *Machine) Admits(l label.Label) bool {
	return m.modes == nil || reflect.DeepEqual(m.widest.Join(l), m.widest)
}

// beginTalk makes what comes before the request, and returns its label. Its words are never a plain order, nor typed
// by the user: both are looked for in the signed request only.
func (mo *moment) beginTalk(ev *provenance.Ask, params []byte) (before label.Label, err error) {
	if _, open := ev.Earlier.Bytes(); ev.Earlier != nil && !open {
		return before, fmt.Errorf("what is told of earlier runs: %w", ErrSealed)
	}
	mo.s.salt = thread.Salt(params)
	mo.s.talk, before, err = thread.Resume(ev, params, mo.s.earlier, mo.s.shared)
	if before = before.Clean(); err == nil && !mo.m.Admits(before) {
		err = fmt.Errorf("what may be published was decided without what earlier runs have seen: %w", thread.ErrOther)
	}
	mo.s.earlier, mo.s.shared = nil, nil
	return before, err
}
