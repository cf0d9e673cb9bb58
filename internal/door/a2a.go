package door

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
)

// An operation of the Agent2Agent protocol (its section 3.1): a task is a run of the key's agent, and its context the
// thread that the run is in. tell is called once, or for a stream with each of its elements.
type operation struct {
	method  string // as which it is charged
	streams bool
	do      func(g *guest, ctx context.Context, params json.RawMessage, tell func(any) error) error
}

// operations by their names. The configurations of pushes are known, and refused.
var operations = map[string]operation{
	"SendMessage":          {wire.RunStart, false, withFields((*guest).sendMessage)},
	"SendStreamingMessage": {wire.RunStart, true, withFields((*guest).streamMessage)},
	"GetTask":              {wire.RunGet, false, withFields((*guest).getTask)},
	"ListTasks":            {wire.RunList, false, withFields((*guest).listTasks)},
	"CancelTask":           {wire.RunCancel, false, withFields((*guest).cancelTask)},
	"SubscribeToTask":      {wire.RunSubscribe, true, withFields((*guest).subscribeToTask)},
	"GetExtendedAgentCard": {wire.Ping, false, withFields((*guest).showOwnCard)},

	"CreateTaskPushNotificationConfig": {wire.Ping, false, refusePush},
	"GetTaskPushNotificationConfig":    {wire.Ping, false, refusePush},
	"ListTaskPushNotificationConfigs":  {wire.Ping, false, refusePush},
	"DeleteTaskPushNotificationConfig": {wire.Ping, false, refusePush},
}

func refusePush(*guest, context.Context, json.RawMessage, func(any) error) error { return errPush }

// withFields reads the params of an operation into a P.
func withFields[P any](do func(*guest, context.Context, P, func(any) error) error) func(
	*guest, context.Context, json.RawMessage, func(any) error) error {
	return func(g *guest, ctx context.Context, params json.RawMessage, tell func(any) error) error {
		var p P
		if len(params) > 0 {
			if err := wire.DecodeStrict(params, &p); err != nil {
				return err
			}
		}
		return do(g, ctx, p, tell)
	}
}

type messageParams struct {
	Tenant        string          `json:"tenant,omitempty"`
	Message       *agentMessage   `json:"message"`
	Configuration messageSettings `json:"configuration,omitempty"`
	More          json.RawMessage `json:"metadata,omitempty"`
}

type messageSettings struct {
	Output  []string        `json:"acceptedOutputModes,omitempty"`
	Push    json.RawMessage `json:"taskPushNotificationConfig,omitempty"`
	History *int            `json:"historyLength,omitempty"`
	Soon    bool            `json:"returnImmediately,omitempty"`
}

type taskParams struct {
	Tenant  string          `json:"tenant,omitempty"`
	ID      string          `json:"id"`
	History *int            `json:"historyLength,omitempty"`
	More    json.RawMessage `json:"metadata,omitempty"` // of a cancel: why, which nobody reads
}

type cardParams struct {
	Tenant string `json:"tenant,omitempty"`
}

// check refuses what the message must not have, and what would not be heeded.
func (p *messageParams) check() (text string, err error) {
	switch c := p.Configuration; {
	case p.Message == nil:
		return "", badField("message", "it is missing")
	case !foreign.IsEmpty(p.More):
		return "", badField("metadata", "it is not heeded; leave it out")
	case !foreign.IsEmpty(c.Push):
		return "", errPush
	case c.History != nil && *c.History < 0:
		return "", badField("configuration.historyLength", "give 0 or more")
	case len(c.Output) > 0 && !anyPlainText(c.Output):
		return "", errContent
	}
	return p.Message.readText()
}

func anyPlainText(modes []string) bool {
	for _, m := range modes {
		if isPlainText(m) {
			return true
		}
	}
	return false
}

// A sentMessage is one that a run has taken.
type sentMessage struct {
	run  string
	step uint64 // in which it was taken; what was before it is not an answer to it
}

// send starts a run by a message, or brings it into the run that it names.
func (g *guest) send(ctx context.Context, p *messageParams) (sentMessage, error) {
	text, err := p.check()
	if err != nil {
		return sentMessage{}, err
	}
	if n := len(text); n == 0 || n > foreign.MaxText {
		return sentMessage{}, badField("message.parts", "1 to 65536 bytes of text are taken")
	}
	if p.Message.Task != "" {
		return g.sendInto(ctx, p.Message, text)
	}
	start := wire.StartParams{
		Agent: g.session.Agent, Input: text, Key: digestID("message", p.Message.ID), Thread: p.Message.Context,
	}
	if start.Thread == "" { // a context of its own, and the same one if the message is sent again
		start.Thread = "a2a-" + digestID("context", p.Message.ID)
	}
	started, err := ask[wire.Started](ctx, g, wire.RunStart, start, true)
	return sentMessage{run: started.Run}, err
}

// digestID makes a short id of one that may have any length and letters.
func digestID(use, id string) string {
	sum := sha256.Sum256([]byte("a2a/" + use + "/" + id))
	return hex.EncodeToString(sum[:16])
}

// sendInto brings a message into a run that goes on: it answers the question that the run asks, or steers it.
func (g *guest) sendInto(ctx context.Context, m *agentMessage, text string) (sentMessage, error) {
	f, err := g.readTask(ctx, m.Task)
	switch {
	case err != nil:
		return sentMessage{}, err
	case m.Context != "" && m.Context != f.context:
		return sentMessage{}, badField("message.contextId", "the task is in another context")
	case f.end != "":
		return sentMessage{}, errEnded
	}
	of, _ := f.openQuestion()
	sent, err := ask[wire.Sent](ctx, g, wire.RunSend,
		wire.SendParams{Run: m.Task, Text: text, Key: digestID("message", m.ID), Of: of}, true)
	if own, ok := errors.AsType[*wire.Error](err); ok && own.Data.Code == wire.CodeLate {
		return sentMessage{}, errEnded // it ended in between
	}
	return sentMessage{m.Task, sent.Seq}, err
}

// open subscribes to a run's events from its first on. The caller closes the stream.
func (g *guest) open(ctx context.Context, run string) (*turn, error) {
	t := &turn{v: g.visitor, run: run}
	if err := t.subscribe(ctx); err != nil {
		return nil, err
	}
	return t, nil
}

// advance takes the stream's next event into f. What is written before an event is handed to show, if that is given.
func (t *turn) advance(ctx context.Context, f *taskFold, show func(text string) error) error {
	for {
		u, err := t.stream.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return wire.Errorf(wire.CodeInternal, "The run's events ended before it did; ask for the task again.")
		case err != nil:
			return err
		case u.Event != nil:
			f.takeEvent(u.Event)
			return nil
		case u.Delta != nil && u.Delta.Text != "" && show != nil:
			if err := show(u.Delta.Text); err != nil {
				return err
			}
		}
	}
}

// readTask returns a run as a task, as it stands now.
func (g *guest) readTask(ctx context.Context, run string) (*taskFold, error) {
	f, t, err := g.followTask(ctx, run, 0)
	if err != nil {
		return nil, err
	}
	t.stream.Close()
	return f, nil
}

// followTask returns a run as a task with all steps that it has now, and with the given one, and the stream of those
// that come, which the caller closes.
func (g *guest) followTask(ctx context.Context, run string, step uint64) (*taskFold, *turn, error) {
	known, err := ask[wire.Run](ctx, g, wire.RunGet, wire.RunParams{Run: run}, false)
	if own, ok := errors.AsType[*wire.Error](err); ok && own.Data.Code == wire.CodeParams {
		return nil, nil, errTask // what is not even a run's name
	}
	if err != nil {
		return nil, nil, err
	}
	t, err := g.open(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	f := newTaskFold(run, g.pageOf)
	for f.end == "" && f.next < max(known.Steps, step+1) {
		if err := t.advance(ctx, f, nil); err != nil {
			t.stream.Close()
			return nil, nil, err
		}
	}
	return f, t, nil
}

// sendMessage answers when the task has ended or waits for somebody, or at once if that is asked for. That its client
// goes away ends no task.
func (g *guest) sendMessage(ctx context.Context, p messageParams, tell func(any) error) error {
	sent, err := g.send(ctx, &p)
	if err != nil {
		return err
	}
	f, t, err := g.followTask(ctx, sent.run, sent.step)
	if err != nil {
		return err
	}
	defer t.stream.Close()
	for !f.rests() && !p.Configuration.Soon {
		if err := t.advance(ctx, f, nil); err != nil {
			return err
		}
	}
	return tell(agentUpdate{Task: f.task(p.Configuration.History)})
}

func (g *guest) streamMessage(ctx context.Context, p messageParams, tell func(any) error) error {
	sent, err := g.send(ctx, &p)
	if err != nil {
		return err
	}
	return g.streamTask(ctx, sent, p.Configuration.History, tell)
}

func (g *guest) subscribeToTask(ctx context.Context, p taskParams, tell func(any) error) error {
	f, err := g.readTask(ctx, p.ID)
	if err != nil {
		return err
	}
	if f.end != "" {
		return errEnded
	}
	return g.streamTask(ctx, sentMessage{run: p.ID}, nil, tell)
}

// streamTask tells a task, and then what changes, until it has ended or waits for its user. While it waits for the
// wallet, which is asked elsewhere, the stream goes on (section 7.6.1).
func (g *guest) streamTask(ctx context.Context, sent sentMessage, most *int, tell func(any) error) error {
	f, t, err := g.followTask(ctx, sent.run, sent.step)
	if err != nil {
		return err
	}
	defer t.stream.Close()
	if err := tell(agentUpdate{Task: f.task(most)}); err != nil {
		return err
	}
	told := f.state()
	for f.end == "" && told != taskInput {
		f.restarts = true
		show := func(text string) error {
			a := &artifactUpdate{Task: f.run, Context: f.context, Artifact: f.answer(text), Append: !f.restarts}
			f.restarts = false
			return tell(agentUpdate{Artifact: a})
		}
		if err := t.advance(ctx, f, show); err != nil {
			return err
		}
		if f.state() == told {
			continue
		}
		told = f.state()
		for _, a := range f.artifacts() { // whole, whatever of it was shown before
			err := tell(agentUpdate{Artifact: &artifactUpdate{Task: f.run, Context: f.context, Artifact: a, Last: true}})
			if err != nil {
				return err
			}
		}
		if err := tell(agentUpdate{Status: &statusUpdate{f.run, f.context, f.status()}}); err != nil {
			return err
		}
	}
	return nil
}

func (g *guest) getTask(ctx context.Context, p taskParams, tell func(any) error) error {
	if p.History != nil && *p.History < 0 {
		return badField("historyLength", "give 0 or more")
	}
	f, err := g.readTask(ctx, p.ID)
	if err != nil {
		return err
	}
	return tell(f.task(p.History))
}

// cancelWait is how long a run may take to end once it is told to, before the task is shown as it stands.
const cancelWait = 10 * time.Second

func (g *guest) cancelTask(ctx context.Context, p taskParams, tell func(any) error) error {
	f, t, err := g.followTask(ctx, p.ID, 0)
	if err != nil {
		return err
	}
	defer t.stream.Close()
	if f.end != "" {
		return errNotCancelable
	}
	if _, err := ask[wire.None](ctx, g, wire.RunCancel, wire.RunParams{Run: p.ID}, true); err != nil {
		return err
	}
	waiting, stop := context.WithTimeout(ctx, cancelWait)
	defer stop()
	for f.end == "" {
		if err := t.advance(waiting, f, nil); err != nil {
			if waiting.Err() != nil && ctx.Err() == nil { // what it does now must end first
				break
			}
			return err
		}
	}
	return tell(f.task(nil))
}
