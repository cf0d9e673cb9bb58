package thread

import (
	"bytes"
	"slices"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies/label"
)

// A fork goes on from a step of another run. It names that step as a run in a thread names the head of the one before
// it, and is told all that was said and done up to there. The shared steps stay where they are, so nothing is stored
// twice, spent twice or done twice: calls of theirs are messages with their results, and an approval of theirs is for
// their own step. Words of them are no order of the fork's, whose own request is the only one.

// Bounds of a fork.
const (
	MaxForks     = 32      // how deep forks go on from forks
	MaxForkBytes = 1 << 20 // of what it is told
)

// A Shared is what a fork is told of the run that it goes on from.
type Shared struct {
	Forks    uint64 // how deep that run itself is a fork
	Messages []model.Message
	Label    label.Label // of the run's context
}

// forkNote comes before what is shared.
const forkNote = "What follows was said and done before, in another run, up to the point where this one goes on. " +
	"What it did is done and not done again by this run; what had no outcome there has none here."

// LastTurn is what a model is told whose run comes to its limit: it holds for that run, and for no fork of it.
const LastTurn = "The limit of this run is reached. Answer with what you have; no tool is left."

// noOutcome is what a fork is told of a call that had no outcome where it goes on.
const noOutcome = `{"error":"this call had no outcome at the point where the run was forked"}`

// Share returns the messages that a fork is told of a talk, and after them more, of which an outcome without a text is
// that there is none.
func (t *Talk) Share(more []model.Message) (told []model.Message) {
	for _, m := range append(slices.Clip(t.Messages), more...) {
		if m.Role == model.RoleTool && m.Text == "" {
			m.Text = noOutcome
		}
		if m.Role != model.RoleSystem || m.Text != LastTurn {
			told = append(told, m)
		}
	}
	return told
}

// End has what was said to the user at the end stand in the place of the model's last words: it is what the rules have
// let out of them.
func (s *Shared) End(said string) {
	n := len(s.Messages)
	if n > 0 && s.Messages[n-1].Role == model.RoleAssistant && len(s.Messages[n-1].Calls) == 0 {
		n--
	}
	s.Messages = append(s.Messages[:n], model.Message{Role: model.RoleAssistant, Text: said})
}

// Forks says how deep a fork the talk's run is; 0 if it is none.
func (t *Talk) Forks() uint64 { return t.forks }

// Fork returns the talk of a fork.
func Fork(request []byte, s Shared) (Talk, Earlier) {
	t := Talk{Digest: Salt(request)}
	t.Add(model.Message{Role: model.RoleSystem, Text: forkNote})
	for _, m := range s.Messages {
		m.Step = 0
		t.Add(m)
	}
	e := Earlier{
		Place: s.Forks + 1, Shown: uint64(len(s.Messages)), Digest: t.Digest, Bytes: t.Bytes,
		Label: label.Label{Integrity: label.User}.Join(s.Label),
	}
	t.before, t.forks = spanOfFork(e), e.Place
	t.before.held = len(t.Messages)
	return t, e
}

// spanOfFork is the span of what a fork is told, without its words.
func spanOfFork(e Earlier) span {
	return span{messages: e.Shown, bytes: e.Bytes, digest: e.Digest, whole: true}
}

// RecallFork derives a fork's talk again and compares it with what was recorded of it.
func RecallFork(request []byte, was Earlier, s Shared) (Talk, error) {
	t, e := Fork(request, s)
	if !bytes.Equal(e.JSON(), was.JSON()) {
		return Talk{}, ErrOther
	}
	return t, nil
}
