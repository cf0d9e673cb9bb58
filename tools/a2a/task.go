package a2a

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/writ-run/writ/tools"
)

// Bounds of a task that is followed.
const (
	firstPause = 200 * time.Millisecond // before a task is looked at again
	lastPause  = 5 * time.Second
	settleTime = 5 * time.Second // that nothing is known of a message is believed if it is said twice, so far apart
	maxText    = 64 << 10        // bytes of an answer that are told
	maxWords   = 4 << 10         // of a status
	maxParts   = 256             // that are looked at
)

// States of a task (section 4.1.3).
const (
	statePrefix    = "TASK_STATE_"
	stateCompleted = "TASK_STATE_COMPLETED"
	stateInput     = "TASK_STATE_INPUT_REQUIRED"
	stateAuth      = "TASK_STATE_AUTH_REQUIRED"
)

// states says of each state whether nothing more comes by itself.
var states = map[string]bool{
	"TASK_STATE_SUBMITTED": false, "TASK_STATE_WORKING": false, stateInput: true, stateAuth: true,
	stateCompleted: true, "TASK_STATE_FAILED": true, "TASK_STATE_CANCELED": true, "TASK_STATE_REJECTED": true,
}

type wirePart struct {
	Text *string         `json:"text"`
	Data json.RawMessage `json:"data"`
}

type wireMessage struct {
	Context string     `json:"contextId"`
	Parts   []wirePart `json:"parts"`
}

type wireArtifact struct {
	Parts []wirePart `json:"parts"`
}

type wireStatus struct {
	State   string       `json:"state"`
	Message *wireMessage `json:"message"`
}

// A wireTask is what is read of a task.
type wireTask struct {
	ID        string         `json:"id"`
	Context   string         `json:"contextId"`
	Status    wireStatus     `json:"status"`
	Artifacts []wireArtifact `json:"artifacts"`
}

func (w wireTask) rests() bool { return states[w.Status.State] }

// check refuses a task that is not the one that was asked for. What is empty of that is not known yet.
func (c *Client) checkTask(w wireTask, id, context string) error {
	_, known := states[w.Status.State]
	plain := func(s string) bool {
		return len(s) <= maxID && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) &&
			(c.cfg.Token == "" || !strings.Contains(s, c.cfg.Token))
	}
	switch {
	case id != "" && w.ID != id, context != "" && w.Context != context:
		return &failure{code: "unreadable", says: "it answers with another task than the one that was asked for"}
	case w.ID == "" || w.ID == "." || w.ID == ".." || !plain(w.ID) || !plain(w.Context):
		return &failure{code: "unreadable", says: "its task has an id that cannot be used"}
	case !known:
		return &failure{code: "unreadable", says: "its task is in a state that A2A 1.0 does not have"}
	}
	return nil
}

// explain makes the error of a call, of which so many tries may have done something all the same.
func (t *Tool) explain(in tools.Input, err error, doubted int) error {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		return err
	}
	e := t.client.errorf(f.code, "%s", f.says)
	switch {
	case t.spec.Class == tools.Read:
		return e
	case f.refused && (t.spec.Class != tools.Keyed || !in.Again && doubted == 0):
		return e
	}
	return errors.New(e.Message)
}

// send sends the message, again if it may be. The answer is a task, or all that the agent has to say.
func (t *Tool) send(ctx context.Context, o order, in tools.Input) (wireTask, *wireMessage, error) {
	doubted := 0
	for n := 1; ; n++ {
		task, said, err := t.sendOnce(ctx, o, in)
		if err == nil {
			return task, said, nil
		}
		f, _ := errors.AsType[*failure](err)
		if f == nil {
			return task, nil, err
		}
		repeatable := f.refused && f.passing || f.passing && t.spec.Class != tools.Once
		if !f.refused {
			doubted++
		}
		again := n < maxTries && repeatable && f.after <= maxPatience
		if !again || !pause(ctx, max(f.after, time.Duration(n)*firstPause)) {
			if t.spec.Class == tools.Once && !f.refused && o.context != "" && ctx.Err() == nil {
				return t.settleDoubt(ctx, in, f)
			}
			return task, nil, t.explain(in, f, doubted)
		}
	}
}

func (t *Tool) sendOnce(ctx context.Context, o order, in tools.Input) (wireTask, *wireMessage, error) {
	message := map[string]any{
		"messageId": "writ-" + hex.EncodeToString(in.Key[:]), "role": "ROLE_USER",
		"parts": []map[string]string{{"text": o.Message}},
	}
	if o.id != "" {
		message["taskId"] = o.id
	}
	if o.context != "" {
		message["contextId"] = o.context
	}
	var answer struct {
		Task    *wireTask    `json:"task"`
		Message *wireMessage `json:"message"`
	}
	err := t.client.ask(ctx, t.at, sendMessage, map[string]any{
		"message": message, "configuration": map[string]any{"returnImmediately": true, "historyLength": 0},
	}, &answer)
	switch {
	case err != nil:
		return wireTask{}, nil, err
	case answer.Task != nil:
		return *answer.Task, nil, t.client.checkTask(*answer.Task, o.id, o.context)
	case answer.Message != nil:
		return wireTask{}, answer.Message, nil
	}
	return wireTask{}, nil, &failure{code: "unreadable", says: "it answers with neither a task nor a message"}
}

// pause waits, and says whether there is time left.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// askTask asks how a task stands.
func (t *Tool) askTask(ctx context.Context, id, inContext string) (wireTask, error) {
	ctx, cancel := context.WithTimeout(ctx, maxRequest)
	defer cancel()
	var task wireTask
	err := t.client.ask(ctx, t.at, getTask, map[string]any{"id": id, "historyLength": 0}, &task)
	if err == nil {
		err = t.client.checkTask(task, id, inContext)
	}
	return task, err
}

// readTask is askTask for a call that does nothing else.
func (t *Tool) readTask(ctx context.Context, id, inContext string) (wireTask, error) {
	task, err := t.askTask(ctx, id, inContext)
	if f, ok := errors.AsType[*failure](err); ok {
		return task, t.client.errorf(f.code, "%s", f.says)
	}
	return task, err
}

// follow looks at a task until nothing more comes by itself, or the time is over. note says what is to be known then.
func (t *Tool) follow(ctx context.Context, task wireTask) (last wireTask, note string) {
	wait := firstPause
	late := fmt.Sprintf("The agent has not ended within %s, and goes on. To wait on for it, call again with this task "+
		"and an empty message.", t.timeout())
	for !task.rests() {
		if !pause(ctx, wait) {
			return task, late
		}
		wait = min(2*wait, lastPause)
		now, err := t.askTask(ctx, task.ID, task.Context)
		f, failed := errors.AsType[*failure](err)
		switch {
		case err == nil:
			task = now
		case ctx.Err() != nil:
			return task, late
		case failed && f.passing && f.after <= maxPatience:
			wait = max(wait, f.after)
		default:
			return task, "The agent has begun the task, and how it stands cannot be known: " + err.Error() + "."
		}
	}
	switch task.Status.State {
	case stateInput:
		note = "The agent wants to know what stands under says. If only the user knows it, ask the user. To answer, call " +
			"again with this task, and the answer as the message."
	case stateAuth:
		note = "The agent waits until somebody permits it there, as says has it. Tell the user. When that is done, call " +
			"again with this task and an empty message to wait on for it."
	}
	return task, note
}

// cancel ends a task, of a run that has ended here. That it works is not waited for longer than cancelTime.
func (t *Tool) cancel(ctx context.Context, id string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
	defer stop()
	var task wireTask
	_ = t.client.ask(ctx, t.at, cancelTask, map[string]any{"id": id}, &task) // nobody is left to be told
}

// A result is what a model reads of a task.
type result struct {
	State   string `json:"state"`          // the protocol's, in small letters
	Text    string `json:"text,omitempty"` // of the artifacts
	Says    string `json:"says,omitempty"` // of the status
	Note    string `json:"note,omitempty"` // this program's: what to do next
	Task    string `json:"task,omitempty"` // to go on with
	ID      string `json:"task_id,omitempty"`
	Context string `json:"context_id,omitempty"`
	LeftOut int    `json:"left_out,omitempty"` // parts that are neither text nor data
	Cut     bool   `json:"cut,omitempty"`      // there was more
}

// resultOf makes the result of a task as it stands.
func (t *Tool) resultOf(who tools.Asker, w wireTask, note string) ([]byte, error) {
	out := result{State: strings.ToLower(strings.TrimPrefix(w.Status.State, statePrefix)), Note: note, ID: w.ID}
	if w.ID != "" {
		out.Task, out.Context = t.sealTask(who, w.ID), w.Context
	}
	var made []wirePart
	for _, a := range w.Artifacts {
		made = append(made, a.Parts...)
	}
	out.Text = t.readParts(made, maxText, &out)
	if m := w.Status.Message; m != nil {
		out.Says = t.readParts(m.Parts, maxWords, &out)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return tools.CanonicalJSON(b)
}

// readParts returns the texts and the data of parts, a line each.
func (t *Tool) readParts(parts []wirePart, limit int, out *result) string {
	var b strings.Builder
	for i, p := range parts {
		if i == maxParts || b.Len() > limit {
			out.Cut = true
			break
		}
		said := string(p.Data)
		if p.Text != nil {
			said = *p.Text
		}
		if p.Text == nil && p.Data == nil {
			out.LeftOut++
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(said)
	}
	out.Cut = out.Cut || b.Len() > limit
	return t.client.clean(b.String(), limit)
}

// settleDoubt finds out what came of a message that has no answer which can be used. That it has not arrived is
// believed only if nothing of an answer was read: a server that does not take the context lists no task of a message
// either.
func (t *Tool) settleDoubt(ctx context.Context, in tools.Input, why *failure) (wireTask, *wireMessage, error) {
	answered := why.arrived || !why.passing
	task, happened, err := t.findTask(ctx, in, !answered)
	switch {
	case err != nil, !happened && answered:
		return task, nil, t.explain(in, why, 1)
	case !happened:
		return task, nil, t.client.errorf(tools.CodeNotDone, "%s; the message has not arrived, and may be sent again",
			why.says)
	}
	return task, nil, nil
}

// findTask looks for the task of a call by the context that was chosen for it. A message that was sent may still be on
// its way, so that there is none counts only if it is said again after a while; without twice it is asked once.
func (t *Tool) findTask(ctx context.Context, in tools.Input, twice bool) (
	task wireTask, happened bool, err error,
) {
	chosen := contextOf(in.Key)
	for n := range 2 {
		if n > 0 && !twice {
			break
		}
		if n > 0 && !pause(ctx, settleTime) {
			return task, false, ctx.Err()
		}
		var listed struct {
			Tasks []wireTask `json:"tasks"`
			More  string     `json:"nextPageToken"`
		}
		asking, cancel := context.WithTimeout(ctx, maxRequest)
		err := t.client.ask(asking, t.at, listTasks,
			map[string]any{"contextId": chosen, "pageSize": 2, "historyLength": 0}, &listed)
		cancel()
		switch {
		case err != nil:
			return task, false, err
		case len(listed.Tasks) > 1 || listed.More != "":
			return task, false, errors.New("it lists several tasks of one message")
		case len(listed.Tasks) == 1:
			return listed.Tasks[0], true, t.client.checkTask(listed.Tasks[0], "", chosen)
		}
	}
	return task, false, nil
}

var errNotAsked = errors.New("it cannot be asked whether the message arrived; set reconcile if its server can")

// Reconcile finds out whether an earlier process has sent a call's message, and if so follows its task.
func (t *Tool) Reconcile(ctx context.Context, in tools.Input) (out []byte, happened bool, err error) {
	o, err := t.readOrder(in)
	switch {
	case err == nil && o.Message == "": // it only looks
		return nil, false, nil
	case err != nil || o.context == "":
		return nil, false, errNotAsked
	}
	if err := t.checkUnchanged(ctx); err != nil {
		return nil, false, err
	}
	following, cancel := context.WithTimeout(ctx, t.timeout())
	defer cancel()
	task, happened, err := t.findTask(following, in, true)
	if err != nil || !happened {
		return nil, false, err
	}
	out, err = t.finish(ctx, following, in, task)
	return out, err == nil, err
}
