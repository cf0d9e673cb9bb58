package audit

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/model/dialect"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/provenance"
)

// Codes of replies that are not what the provider's bytes say.
const (
	CodeReplyForm  provenance.Code = "replies.form"  // bytes that are no whole answer in the model's dialect
	CodeReplyID    provenance.Code = "replies.id"    // another id of the response
	CodeReplyModel provenance.Code = "replies.model" // another model that answered
	CodeReplyText  provenance.Code = "replies.text"  // another text
	CodeReplyCalls provenance.Code = "replies.calls" // other tool calls, or other ids of them
	CodeReplyStop  provenance.Code = "replies.stop"  // another reason for the end
	CodeReplyUsage provenance.Code = "replies.usage" // other numbers of tokens
	CodeReplyTier  provenance.Code = "replies.tier"  // another service tier
)

// A rereading reads the bytes that providers sent again, by the reader that read them first, and compares.
type rereading struct {
	*auditor
	tools  []string // by their names, so that calls are named as they were
	read   int      // replies that came out the same
	sealed int      // replies of which something is sealed
	bare   int      // replies of models whose bytes ought to be there and are not
	reused int      // replies that are other runs'
	apart  int      // of those: the run that they are of is not here and open
	alien  int      // replies of models of which it is not known how their bytes are read: a Go program's own have none
	unread int      // of those: bytes are recorded
}

// checkReplies reads every reply of a model again. It needs no permission, only the keys of the replies.
func (a *auditor) checkReplies() {
	r := &rereading{auditor: a}
	for _, def := range a.ev.Tools {
		r.tools = append(r.tools, def.Name)
	}
	slices.Sort(r.tools)
	err := a.ev.Each(func(c provenance.Link, s *provenance.Step) error {
		if reply, ok := s.Event.(*provenance.Reply); ok && reply.Model != nil {
			if reply.From != nil {
				r.rereadReused(c, s, reply)
			} else {
				r.rereadReply(c, s.Seq, reply.Model)
			}
		}
		return nil
	})
	if err != nil {
		a.rep.Fault(err)
		return
	}
	r.conclude()
}

func (r *rereading) conclude() {
	const check = provenance.CheckReplies
	if r.alien > 0 {
		r.rep.Unprove(fmt.Sprintf("what %d replies of models said, their tokens and their cost: "+
			"the runtime does not say how their provider's bytes are read", r.alien))
	}
	if r.apart > 0 {
		r.rep.Unprove(fmt.Sprintf("that %d answers are those of the other runs that they are said to be: "+
			"these are not here and open", r.apart))
	}
	if r.read > 0 {
		r.rep.Unprove("that the provider sent the bytes that are recorded as its replies: they are not signed by it")
	}
	if r.bare > 0 {
		r.rep.Unprove(fmt.Sprintf("what %d replies said, their tokens and their cost: "+
			"the provider's bytes are not recorded", r.bare))
		r.rep.Skip(check, r.read, fmt.Sprintf("of %d replies the provider's bytes are not recorded", r.bare))
		return
	}
	if r.unread > 0 {
		r.rep.Skip(check, r.read, fmt.Sprintf("the bytes of %d replies are in no dialect that is known", r.unread))
		return
	}
	if r.sealed > 0 {
		r.rep.Unprove("what the replies said, their tokens and their cost: the provider's bytes are sealed")
		r.rep.Skip(check, r.read, fmt.Sprintf("%d replies are sealed", r.sealed))
		return
	}
	r.rep.Pass(check, r.read, "")
}

// rereadReply compares one reply with what its bytes say.
func (r *rereading) rereadReply(at provenance.Link, seq uint64, was *provenance.ModelCall) {
	i := slices.IndexFunc(r.ev.Runtime.Models, func(m provenance.ModelInfo) bool { return m.Name == was.Name })
	if i < 0 {
		return // the check of the decisions reports it
	}
	info := route.ModelInfoOf(r.ev.Runtime.Models[i])
	if info.Dialect == "" {
		if info.Kind == model.KindModel || was.Response != nil {
			r.alien++
		}
		if was.Response != nil {
			r.unread++
		}
		return
	}
	if was.Response == nil {
		r.bare++
		return
	}
	response, open := was.Response.Bytes()
	if !open {
		r.sealed++
		return
	}
	fail := func(code provenance.Code, format string, args ...any) {
		r.failCheck(provenance.CheckReplies, code, at, "step %d: %s", seq, fmt.Sprintf(format, args...))
	}
	reply, counted, err := dialect.Read(info.Dialect, response, dialect.Question{Model: was.Asked, Tools: r.tools})
	if err != nil {
		fail(CodeReplyForm, "the provider's bytes are no whole answer: %v", err)
		return
	}
	reply.Response = response
	want := modelcall.Of(info, reply)
	if code, why := compareReply(was, want, info, &reply, counted); code != "" {
		fail(code, "%s", why)
		return
	}
	r.compareWords(was, want, fail)
}

// compareReply says what the record has otherwise than the provider's bytes, but for text and calls.
func compareReply(
	was, want *provenance.ModelCall, info model.Info, reply *model.Reply, counted bool,
) (code provenance.Code, why string) {
	switch {
	case was.ID != want.ID:
		return CodeReplyID, "the provider's bytes name another response"
	case was.Answered != want.Answered:
		return CodeReplyModel, fmt.Sprintf("the provider's bytes say that %.80q answered, and the record %.80q",
			want.Answered, was.Answered)
	case info.IsPriced() && !dialect.IsSameModel(info.Model, reply.Model):
		return CodeReplyModel, fmt.Sprintf("%.80q answered, and the price is that of %.80q", reply.Model, info.Model)
	case dialect.IsEmpty(reply):
		return CodeReplyForm, "the provider's bytes are an answer that says nothing"
	case was.Stop != want.Stop:
		return CodeReplyStop, fmt.Sprintf("the reply ended by %q and not by %q", want.Stop, was.Stop)
	case was.Usage != want.Usage, !counted && info.IsPriced():
		return CodeReplyUsage, fmt.Sprintf("the provider counted %d tokens in and %d out, the record %d and %d",
			want.Usage.In, want.Usage.Out, was.Usage.In, was.Usage.Out)
	case was.Tier != want.Tier:
		return CodeReplyTier, fmt.Sprintf("the provider served the tier %.80q, and the record says %.80q",
			want.Tier, was.Tier)
	}
	return "", ""
}

// compareWords compares text and calls, as far as they are open.
func (r *rereading) compareWords(was, want *provenance.ModelCall,
	fail func(code provenance.Code, format string, args ...any)) {
	same, sealed := isSameText(was.Text, want.Text)
	if !same {
		fail(CodeReplyText, "the provider's bytes have another text than the record")
		return
	}
	if len(was.Calls) != len(want.Calls) {
		fail(CodeReplyCalls, "the provider's bytes ask for %d tool calls, the record for %d", len(want.Calls), len(was.Calls))
		return
	}
	for i := range was.Calls {
		x, y := &was.Calls[i], &want.Calls[i]
		same, shut := isSameText(x.Args, y.Args)
		sealed = sealed || shut
		// A name that was not offered is written as it came; both forms are the one that stands in the bytes.
		if !same || x.ID != y.ID || dialect.WireName(x.Tool) != dialect.WireName(y.Tool) {
			fail(CodeReplyCalls, "tool call %d is another one in the provider's bytes", i)
			return
		}
	}
	if sealed {
		r.sealed++
		return
	}
	r.read++
}

// isSameText compares a recorded text with one that was read. sealed says that it could not, and same is then true.
func isSameText(was, want *provenance.Payload) (same, sealed bool) {
	if was == nil || want == nil {
		return (was == nil) == (want == nil), false
	}
	a, open := was.Bytes()
	if !open {
		return true, true
	}
	b, _ := want.Bytes()
	return bytes.Equal(a, b), false
}
