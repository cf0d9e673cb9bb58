package agent

import (
	"encoding/json"

	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// A Kind says what an [Event] is.
type Kind string

// The kinds of events. In brackets, the fields that are set.
const (
	Delta   Kind = "delta"   // text of a model as it comes, not durable (Text)
	Replied Kind = "replied" // a model has replied (Model, Status if it failed)
	Called  Kind = "called"  // a tool is called (Tool, Args)
	Refused Kind = "refused" // a call was denied by policy (Tool, Rules)
	Result  Kind = "result"  // a call has ended (Status, Output)
	Asked   Kind = "asked"   // the wallet is asked (Text)
	Decided Kind = "decided" // the wallet has answered (Status "approved" or "refused", Text its reason)
	Lapsed  Kind = "lapsed"  // something will not be answered any more (Status why)
	Said    Kind = "said"    // something is said to the user (Text)
	Closed  Kind = "closed"  // the run has ended (Status, its outcome)
)

// An Event is something that happened in a run.
type Event struct {
	Kind   Kind
	Seq    uint64          // of the step that it stands in
	Step   provenance.Link // that step; undefined for a Delta
	Text   string
	Place  int // of a Delta without Text: in the queue of the run's model, 1 for the next
	Tool   string
	Model  string // as the agent names it
	Status string
	Args   json.RawMessage // of a call
	Output json.RawMessage // of a result
	Rules  []string        // that denied
}

// eventsOf returns what a step says, in order: what came in, then what is done about it.
func eventsOf(v runner.StepView) []Event {
	var out []Event
	add := func(e Event) {
		e.Seq, e.Step = v.Step.Seq, v.CID
		out = append(out, e)
	}
	var asks []provenance.ToolAsk
	switch e := v.Step.Event.(type) {
	case *provenance.Reply:
		replied := Event{Kind: Replied, Status: e.Failed}
		if e.Model != nil {
			replied.Model, asks = e.Model.Name, e.Model.Calls
		}
		add(replied)
	case *provenance.Result:
		add(Event{Kind: Result, Status: e.Status, Output: bytesOf(e.Output)})
	case *provenance.Verdict:
		decided := Event{Kind: Decided, Status: "approved"}
		if e.Approval == nil {
			decided.Status, decided.Text = "refused", e.Refused
		}
		add(decided)
	case *provenance.Lapse:
		add(Event{Kind: Lapsed, Status: e.Why})
	}
	for _, effect := range v.Step.Does {
		switch e := effect.(type) {
		case *provenance.Call:
			called := Event{Kind: Called, Args: bytesOf(e.Args)}
			if e.Of.Seq == v.Step.Seq && e.Of.Index < uint64(len(asks)) {
				called.Tool = asks[e.Of.Index].Tool
			}
			add(called)
		case *provenance.Deny:
			denied := Event{Kind: Refused, Tool: e.Tool}
			for _, d := range e.Decisions {
				denied.Rules = append(denied.Rules, d.Rules...)
			}
			add(denied)
		case *provenance.Seek:
			add(Event{Kind: Asked, Text: summaryText(e.Summary)})
		case *provenance.Say:
			add(Event{Kind: Said, Text: string(bytesOf(e.Text))})
		case *provenance.Close:
			add(Event{Kind: Closed, Status: e.Reason})
		}
	}
	return out
}

// bytesOf returns what a payload holds; nothing if there is none, or its key was erased.
func bytesOf(p *provenance.Payload) []byte {
	if p == nil {
		return nil
	}
	b, _ := p.Bytes()
	return b
}

func summaryText(p *provenance.Payload) string {
	var s struct{ Text string }
	if json.Unmarshal(bytesOf(p), &s) != nil {
		return ""
	}
	return s.Text
}
