package runner

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/modelcall"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/fleet"
	"github.com/writ-run/writ/internal/modelrace"
	"github.com/writ-run/writ/internal/news"
	"github.com/writ-run/writ/provenance"
)

// A modelAsk is a question to the chosen model.
type modelAsk struct {
	*effect
	ask    *provenance.AskModel
	prompt model.Prompt
	salt   [32]byte
	stream bool // its text may be shown as it comes
	again  bool // another model has failed this turn by its provider's fault
	race   *modelrace.Race
	outrun bool // another model has answered its turn, before this process began
	hedge  bool // another model may be asked beside it

	shown strings.Builder // what of it was
}

// maxCalls bounds the tool calls of one reply.
const maxCalls = 64

// perform asks the model, unless one that is asked beside it is the first to speak.
func (q *modelAsk) perform(ctx context.Context) (ans answer) {
	if !q.outrun {
		racing, leave := q.race.Enter(ctx, q.ref)
		defer leave()
		ans = q.performAlone(racing)
		r, _ := ans.ev.(*provenance.Reply)
		q.outrun = q.race.IsLost(q.ref) || r != nil && r.Model != nil && !q.race.Speak(q.ref)
	}
	if q.outrun {
		return answer{ev: &provenance.Reply{Of: q.ref, Failed: string(fault.ModelOutrun)}, said: true}
	}
	return ans
}

// performAlone asks the model. A failure is an event like any other; the loop takes the next candidate.
func (q *modelAsk) performAlone(ctx context.Context) answer {
	named, info, ok := q.findModel()
	if !ok {
		return q.noReply(&fault.Fault{Code: fault.ModelGone})
	}
	if wait := time.Duration(q.ask.After-q.runs.cfg.Now().UnixMilli()) * time.Millisecond; q.ask.After > 0 && wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return answer{}
		}
	}
	reply, begun := model.Reply{}, time.Time{}
	err := q.runs.fleet.Ask(ctx, q.question(named.Info.Name), func(ctx context.Context) (_ time.Duration, err error) {
		begun = q.runs.cfg.Now()
		reply, err = q.askModel(ctx, named)
		return time.Duration(reply.TTFT) * time.Millisecond, err
	})
	if ctx.Err() != nil && err != nil { // the run or this process is ending, so nobody waits for the answer
		return answer{}
	}
	if err != nil {
		return q.noReply(fault.OfModel(err))
	}
	if len(reply.Text) > provenance.MaxPayload || len(reply.Calls) > maxCalls {
		return q.noReply(&fault.Fault{Code: fault.ModelTooLarge})
	}
	mc := modelcall.Of(info, reply)
	mc.Took = q.runs.cfg.Now().Sub(begun).Milliseconds()
	if len(reply.Request) > 0 { // salted, since all of a prompt but the user's words may be public
		mc.Request = sha256.Sum256(append(q.salt[:], reply.Request...))
	}
	return answer{ev: &provenance.Reply{Of: q.ref, Model: mc}, said: true}
}

// question says what is to be known of it where it waits for its turn.
func (q *modelAsk) question(name string) fleet.Question {
	return fleet.Question{
		Model: name, Account: q.run.Owner(), Agent: q.run.Agent, Again: q.again,
		Priority: route.PriorityOf(q.machine.Routes(), q.ask.Route.Rule),
		Tokens:   q.ask.MaxTokens + q.prompt.Size()/4, Most: q.runs.cfg.ModelTimeout,
		Place: func(n int) { q.runs.news.PublishPiece(q.run.ID, news.Piece{Of: q.ref.Seq, Place: n}) },
	}
}

// findModel finds the model that the loop chose. The run keeps the price and the label that it began with: a model that
// is another one by now does not answer.
func (q *modelAsk) findModel() (NamedModel, model.Info, bool) {
	named, there := q.runs.catalog.models[q.ask.Route.Model]
	info, known := q.machine.Model(q.ask.Route.Model)
	same := info.Provider == named.Info.Provider && info.Model == named.Info.Model && info.Kind == named.Info.Kind
	return named, info, there && known && same
}

func (q *modelAsk) askModel(ctx context.Context, named NamedModel) (model.Reply, error) {
	if after, known := q.runs.fleet.HedgeAfter(named.Info.Name); known && q.hedge {
		defer q.race.Watch(ctx, after, func(ctx context.Context) {
			if q.runs.fleet.TakeHedge(named.Info.Name) { // if the loop refuses, nobody else is asked
				_ = q.runs.deliverEvent(ctx, q.run.ID, &provenance.Lapse{Of: &q.ref, Why: provenance.LapseSlow})
			}
		})()
	}
	ctx = model.WithFirst(ctx, func() { q.race.Speak(q.ref) })
	if s, ok := named.Model.(Streamer); ok && q.stream {
		return s.Stream(ctx, q.prompt, q.show)
	}
	return named.Model.Reply(ctx, q.prompt)
}

// show hands on a piece of the text that the model writes.
func (q *modelAsk) show(text string) {
	if !q.race.Speak(q.ref) {
		return
	}
	piece := news.Piece{Of: q.ref.Seq, Text: text, From: q.shown.Len()}
	if q.shown.Len()+len(text) <= provenance.MaxPayload { // a longer answer is refused as a whole
		q.shown.WriteString(text)
	}
	q.runs.news.PublishPiece(q.run.ID, piece)
}

// noReply answers with a failure. Here the log is told whose it is, with the provider's own sentence. What was shown of
// an answer that broke off is kept: whatever comes next is another answer.
func (q *modelAsk) noReply(f *fault.Fault) answer {
	level := slog.LevelWarn
	if f.Whose() == fault.Request || f.Whose() == fault.User {
		level = slog.LevelInfo
	}
	q.runs.log.Log(context.Background(), level, "model gave no reply", "run", q.run.ID, "model", q.ask.Route.Model,
		"code", f.Code, "whose", f.Whose(), "retry_after", f.After, "says", f.Says)
	q.runs.cfg.Failed(fault.EdgeModel, f.Code)
	ev := &provenance.Reply{Of: q.ref, Failed: string(f.Code), After: max(f.After.Milliseconds(), 0)}
	if q.shown.Len() > 0 {
		ev.Said = provenance.NewPayload([]byte(q.shown.String()))
	}
	return answer{ev: ev}
}

// clipText cuts s to n bytes and drops the part of a character that is left at the end.
func clipText(s string, n int) string { return strings.ToValidUTF8(s[:min(n, len(s))], "") }
