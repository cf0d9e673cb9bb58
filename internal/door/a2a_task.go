package door

import (
	"encoding/json"
	"strings"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/tools"
)

// A taskFold is a run as a task, made of its events one after the other.
type taskFold struct {
	run      string
	context  string // the thread
	page     func(place string) string
	history  []agentMessage
	asks     map[wire.Ref]string // questions that wait for the user
	waits    map[wire.Ref]string // what waits for the wallet
	text     string              // the answer
	end      string              // why the run closed
	code     string              // the failure that it closed by
	cost     int64               // nano-USD
	cid      string              // of the newest step
	next     uint64              // the number of the step after it
	at       int64               // when that was, ms UTC
	restarts bool                // what comes next of a text does not follow what came before
}

func newTaskFold(run string, page func(place string) string) *taskFold {
	return &taskFold{run: run, page: page, asks: map[wire.Ref]string{}, waits: map[wire.Ref]string{}}
}

// takeEvent adds what a step says.
func (f *taskFold) takeEvent(ev *wire.RunEvent) {
	f.cid, f.at, f.next = ev.CID, ev.At, ev.Seq+1
	if of := ev.Event.Of; of != nil {
		delete(f.asks, *of)
		delete(f.waits, *of)
	}
	switch ev.Event.Kind {
	case "ask":
		f.takeAsk(ev)
	case "reply":
		f.restarts = true
		if m := ev.Event.Model; m != nil {
			f.cost += m.Cost
		}
	}
	for i, d := range ev.Does {
		f.takeEffect(wire.Ref{Seq: ev.Seq, Index: uint64(i)}, &d)
	}
}

// takeAsk notes what the user said, and in which thread.
func (f *taskFold) takeAsk(ev *wire.RunEvent) {
	var asked struct {
		Input  string `json:"input"` // of run.start
		Text   string `json:"text"`  // of run.send
		Thread string `json:"thread"`
	}
	if err := json.Unmarshal(ev.Event.Input, &asked); err != nil { // it was erased
		return
	}
	if asked.Thread != "" {
		f.context = asked.Thread
	}
	f.history = append(f.history, f.messageOf(roleUser, ev.CID, asked.Input+asked.Text))
}

func (f *taskFold) takeEffect(at wire.Ref, d *wire.Effect) {
	switch {
	case d.Kind == "seek":
		f.waits[at] = "This waits for the wallet's approval: " + summaryText(d.Summary) + "."
	case d.Kind == "call" && d.Class == string(tools.WalletTx) && d.Phase == "send":
		f.waits[at] = "This waits for the wallet to send its transaction."
	case d.Kind == "call" && d.Tool == tools.UserAsk:
		q, err := tools.ReadQuestion(d.Args)
		if err != nil { // its arguments were erased
			q.Question = "The agent asks something, which cannot be read any more."
		}
		f.asks[at] = q.Question
		if len(q.Choices) > 0 {
			f.asks[at] += "\n- " + strings.Join(q.Choices, "\n- ")
		}
	case d.Kind == "say":
		f.text = d.Text
	case d.Kind == "close":
		f.end, f.code = d.Reason, d.Code
	}
}

// summaryText is what the summary of a call says of it.
func summaryText(summary json.RawMessage) string {
	var s struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(summary, &s) // a summary without a text is told without it
	return strings.TrimSuffix(s.Text, ".")
}

// state is the task's, by what is known.
func (f *taskFold) state() string {
	switch {
	case f.end != "":
		return endState(f.end)
	case len(f.asks) > 0:
		return taskInput
	case len(f.waits) > 0:
		return taskAuth
	}
	return taskWorking
}

// rests reports whether nothing more comes unless somebody acts.
func (f *taskFold) rests() bool { return f.state() != taskWorking }

// openQuestion returns the question that waits longest.
func (f *taskFold) openQuestion() (of *wire.Ref, text string) {
	for at, q := range f.asks {
		if of == nil || at.Seq < of.Seq || at.Seq == of.Seq && at.Index < of.Index {
			of, text = &at, q
		}
	}
	return of, text
}

func (f *taskFold) messageOf(role, id, text string) agentMessage {
	return agentMessage{ID: id, Context: f.context, Task: f.run, Role: role, Parts: textParts(text)}
}

// status says how the task stands. What a task that is done has made stands in its artifact instead.
func (f *taskFold) status() taskStatus {
	s := taskStatus{State: f.state(), At: instant(f.at)}
	text := ""
	switch s.State {
	case taskCompleted:
		if f.end != "answered" {
			text = "The answer was cut off: a limit of its model was reached."
		}
	case taskInput:
		_, text = f.openQuestion()
	case taskAuth:
		for _, why := range f.waits {
			if text == "" || why < text { // any would do; always the same one is better
				text = why
			}
		}
		if page := f.page("approvals"); page != "" {
			text += " A person approves or refuses it at " + page
		}
	case taskWorking:
	default:
		if text = f.text; text == "" {
			text = "The run ended: " + f.end + "."
		}
	}
	if text != "" {
		m := f.messageOf(roleAgent, f.cid, text)
		s.Message = &m
	}
	return s
}

// artifacts returns what the task has made: nothing before it is done.
func (f *taskFold) artifacts() []artifact {
	if f.state() != taskCompleted || f.text == "" {
		return nil
	}
	return []artifact{f.answer(f.text)}
}

func (f *taskFold) answer(text string) artifact {
	return artifact{ID: artifactID, Name: "The agent's answer", Parts: textParts(text)}
}

// task returns all of it. most bounds how much of its history is told; nil is all.
func (f *taskFold) task(most *int) *agentTask {
	t := &agentTask{
		ID: f.run, Context: f.context, Status: f.status(), Artifacts: f.artifacts(), History: f.history,
		// What anybody needs to check the run: of which step this is said, and what it cost.
		Metadata: map[string]any{"writ": f.proof()},
	}
	if most != nil && *most < len(t.History) {
		t.History = t.History[len(t.History)-*most:]
	}
	return t
}

func (f *taskFold) proof() map[string]any {
	p := map[string]any{"cid": f.cid, "costNano": f.cost}
	if f.end != "" {
		p["outcome"] = f.end
	}
	if f.code != "" {
		p["code"] = f.code
	}
	if page := f.page("run/" + f.run); page != "" {
		p["page"] = page
	}
	return p
}
