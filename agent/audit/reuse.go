package audit

import (
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/provenance"
)

// CodeReplyReused is that of an answer that is said to be another run's, and is not, or not one to the same prompt.
const CodeReplyReused provenance.Code = "replies.reused"

// maxReused bounds the answers of other runs that are looked at in one.
const maxReused = 64

// noteReuse remembers what the prompt of a reply is known by among those that may have the same answer.
func (r *replay) noteReuse(s *provenance.Step) {
	reply, ok := s.Event.(*provenance.Reply)
	if !ok || reply.Model == nil || reply.From == nil && !r.isSource {
		return
	}
	of := loop.ReuseOf(r.m, r.state)
	if key, ok := of.Key(); ok && (reply.From != nil || of.MayServe(reply.Model)) {
		if r.reusable == nil {
			r.reusable = map[uint64][32]byte{}
		}
		r.reusable[s.Seq] = key
	}
}

// rereadReused holds an answer of another run to that run, which is judged in whole.
func (r *rereading) rereadReused(at provenance.Link, s *provenance.Step, reply *provenance.Reply) {
	if r.reused++; r.reused > maxReused {
		r.apart++
		return
	}
	wrong, err := r.judgeSource(s, reply)
	switch f, isFault := errors.AsType[*provenance.Fault](err); {
	case errors.Is(err, provenance.ErrAbsent):
		r.apart++
	case isFault:
		wrong = f.Detail
	case err != nil:
		r.rep.Fault(err)
		return
	}
	if wrong != "" {
		r.failCheck(provenance.CheckReplies, CodeReplyReused, at, "step %d: the answer is not that of %s: %s", s.Seq,
			reply.From.Step, wrong)
	}
}

// judgeSource judges the run that an answer is said to come from, and says what is wrong.
func (r *rereading) judgeSource(s *provenance.Step, reply *provenance.Reply) (wrong string, err error) {
	var was provenance.Step
	if err := r.ev.Record(reply.From.Step, &was); err != nil {
		return "", err
	}
	if err := r.ev.Record(reply.From.Head, new(provenance.Head)); err != nil {
		return "", err
	}
	sub := &auditor{judged: r.judged, sets: r.sets, wallet: wallet{asking: r.wallet.asking}, isSource: true}
	rep := judgeRun(nested{r.ev.Source(), reply.From.Head}, Options{Keys: r.keys, OperatorKey: r.operator}, sub)
	if rep.Refused() {
		return fmt.Sprintf("that run is not in order: %s: %s", rep.Code, rep.Detail), nil
	}
	from, ok := was.Event.(*provenance.Reply)
	switch {
	case sub.ev == nil || was.Run != sub.ev.RunCID || sub.ev.StepCID(int(was.Seq)) != reply.From.Step:
		return "the head that is named with it is another run's", nil
	case sub.ev.Run.Grant != r.ev.Run.Grant:
		return "it is one of another session", nil
	case was.At > s.At:
		return "it is one of later", nil
	case !ok || from.Model == nil || from.From != nil:
		return "there is no answer of a model", nil
	}
	if wrong := compareReused(reply.Model, from.Model); wrong != "" {
		return wrong, nil
	}
	key, known := sub.reusable[was.Seq]
	mine, open := r.reusable[s.Seq]
	switch {
	case !sub.replayed.IsAsked() || !r.auditor.replayed.IsAsked() || !open: // what the prompts were is sealed
		r.apart++
		return "", nil
	case !known || key != mine:
		return "it answered another prompt", nil
	}
	same, sealed := isSameText(reply.Model.Text, from.Model.Text)
	for i := range from.Model.Calls {
		ok, shut := isSameText(reply.Model.Calls[i].Args, from.Model.Calls[i].Args)
		same, sealed = same && ok, sealed || shut
	}
	switch {
	case !same:
		return "it says something else", nil
	case sealed:
		r.sealed++
	default:
		r.read++
	}
	return "", nil
}

// compareReused says what two calls have otherwise that need no key to compare.
func compareReused(is, was *provenance.ModelCall) string {
	switch {
	case is.Name != was.Name || is.Provider != was.Provider || is.Asked != was.Asked || is.Answered != was.Answered:
		return "another model gave it"
	case is.Stop != was.Stop || is.Tier != was.Tier || len(is.Calls) != len(was.Calls):
		return "it ended otherwise"
	}
	for i := range is.Calls {
		if is.Calls[i].ID != was.Calls[i].ID || is.Calls[i].Tool != was.Calls[i].Tool {
			return "it asks for other tool calls"
		}
	}
	return ""
}
