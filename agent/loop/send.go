package loop

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
)

// While a run goes on, its user may say more: steer it, or answer a question of its agent's. What is sent is a request
// like the first one. The session key signs it together with the run's CID, so nobody can make one up or bring it to
// another run; its key and its number on the channel keep it from being brought twice, or after a later one. The
// policies decide about it at the point input; what they do not let in is on record, and nobody is told it.
//
// What steers is told with the model's next turn, in the order in which it came. A model that meanwhile gave its answer
// is asked again. What answers a question is the result of the call that asked it.

// Bounds: how much may be sent to one run, and how long a question waits for its answer, in ms.
const (
	MaxSends    = 64
	MaxQuestion = 24 * 3600 * 1000
)

// Why a run does not take in what is sent to it.
var (
	ErrQuestion  = errors.New("the run does not ask this") // or not any more
	ErrSendOrder = errors.New("something that was sent later has come before it")
	ErrSendOver  = errors.New("the run takes no more of what is sent to it")
)

// ErrLate says that the wallet's answer comes for a call that does not wait for one any more, or never did.
var ErrLate = errors.New("no approval is sought for it")

// ruleNoAnswer denies a question that the user has not answered in time.
const ruleNoAnswer = "user/no_answer"

// A sent is what was sent to the run.
type sent struct {
	key  string // idempotency key
	hash [32]byte
	seq  uint64 // of its step
	text string // as it was let in; empty if it was not
}

// Sent returns the step of what was sent with an idempotency key, and whether its params were these.
func (s State) Sent(key string, hash [32]byte) (seq uint64, there, same bool) {
	for _, x := range s.sent {
		if x.key == key {
			return x.seq, true, x.hash == hash
		}
	}
	return 0, false, false
}

// A sending is what the user says into the run, in a step.
type sending struct{ w *work }

// take takes it in.
func (s sending) take(ev *provenance.Ask) error {
	w := s.w
	p, err := s.read(ev)
	if err != nil {
		return err
	}
	var question *call
	if ev.Of != nil {
		if question = w.s.findOpenCall(*ev.Of); question == nil || question.phase != provenance.PhaseAsk {
			return fmt.Errorf("%d.%d: %w", ev.Of.Seq, ev.Of.Index, ErrQuestion)
		}
	}
	elicited := question != nil && question.elicit.IsOpen()
	params, _ := ev.Request.Bytes()
	files, err := w.takeFiles(p.Files, ev.Files)
	if err != nil {
		return err
	}
	said := label.Label{Integrity: label.User, Secrecy: label.Session}.Join(attach.LabelOf(files))
	d, err := w.decideInput(p.Text, files, said)
	if err != nil {
		return err
	}
	x, signed := sent{key: p.Key, hash: sha256.Sum256(params), seq: w.s.Seq}, ""
	if w.s.refusedLast = d.Outcome != policies.Permit; !w.s.refusedLast {
		x.text, signed = string(policies.Apply([]byte(p.Text), d.Redact)), p.Text
		w.s.files = append(slices.Clip(w.s.files), files...)
		w.s.context = w.s.context.Join(said).Join(d.Label)
	}
	if elicited { // what a server asks for is no order, whatever it makes the user say
		signed = ""
	}
	w.s.signed, w.s.ordersRead = append(slices.Clip(w.s.signed), signed), false // "" orders nothing, and types nothing
	if _, understood := w.m.grammar().Read(signed); !understood && !elicited {
		w.next.TakenBack = w.takeBack()
	}
	w.s.sent = append(w.s.sent, x)
	switch {
	case d.Outcome != policies.Permit:
		return nil
	case question == nil || len(files) > 0:
		w.s.unheard = append(w.s.unheard, model.Message{Role: model.RoleUser, Text: x.text, Files: files})
	}
	if question == nil {
		return nil
	}
	if elicited {
		return elicitation{w, question}.take(x.text, said.Join(d.Label))
	}
	out, err := json.Marshal(map[string]string{"answer": x.text})
	if err != nil {
		return fmt.Errorf("the answer to %s: %w", question.ask.Tool, err)
	}
	return w.takeDone(question, out)
}

// read reads what was sent, and checks that it is for this run and comes in order.
func (s sending) read(ev *provenance.Ask) (p wire.SendParams, err error) {
	w := s.w
	switch {
	case ev.Method != wire.RunSend:
		return p, fmt.Errorf("what is sent into a run is signed for the method %q, not %q", ev.Method, wire.RunSend)
	case len(w.m.authority.Chain) > 0: // a sub-agent's run is told what its caller tells it
		return p, ErrSendOver
	case ev.After.Defined() || ev.Earlier != nil:
		return p, errors.New("what is sent into a run begins no thread")
	}
	params, open := ev.Request.Bytes()
	if !open {
		return p, fmt.Errorf("what was sent: %w", ErrSealed)
	}
	if err := wire.DecodeStrict(params, &p); err != nil {
		return p, fmt.Errorf("what was sent: %w", err)
	}
	_, twice, _ := w.s.Sent(p.Key, sha256.Sum256(params))
	switch {
	case p.Run != w.s.Run.String():
		return p, errors.New("what was sent is for another run")
	case (p.Of == nil) != (ev.Of == nil) || p.Of != nil && provenance.Ref(*p.Of) != *ev.Of:
		return p, errors.New("what was sent answers another question")
	case twice:
		return p, errors.New("it was sent before with the same key")
	case ev.Channel == w.s.channel && ev.Seq <= w.s.frame:
		return p, ErrSendOrder
	case w.s.lastTurn || w.s.ending != "" || len(w.s.sent) >= MaxSends:
		return p, ErrSendOver
	}
	w.s.channel, w.s.frame = ev.Channel, ev.Seq
	return p, nil
}

// hearSent makes what was sent messages of the talk, and says whether there was any. A model is asked next.
func (s *State) hearSent() bool {
	for _, m := range s.unheard {
		s.say(m)
	}
	heard := len(s.unheard) > 0
	s.unheard, s.unheeded = nil, false
	return heard
}

// waitsForUser says whether a call waits for somebody's word: the wallet's, or the user's answer.
func (c *call) waitsForUser() bool { return c.phase == phaseSeek || c.phase == provenance.PhaseAsk }

// FirstLapse returns when the first call that waits for somebody's word ends without it, in ms UTC; of is nil if none
// waits.
func (s State) FirstLapse() (at int64, of *provenance.Ref) {
	for i := range s.calls {
		if c := &s.calls[i]; c.waitsForUser() && (of == nil || c.until < at) {
			at, of = c.until, &provenance.Ref{Seq: c.wait.Seq, Index: c.wait.Index}
		}
	}
	return at, of
}
