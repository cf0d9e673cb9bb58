package api

import (
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/writ-run/writ/agent/foreign"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// viewStep returns a step as its owner sees it. A payload whose key was erased is left out, and said to be.
func (s *Stream) viewStep(ctx context.Context, v runner.StepView) (wire.RunEvent, error) {
	out := wire.RunEvent{
		Sub: s.answer.Sub, Run: s.run.String(), Epoch: s.answer.Epoch, Seq: v.Step.Seq, CID: v.CID.String(),
		At: v.Step.At, Event: viewEvent(v.Step.Event), Does: []wire.Effect{},
		Decisions: viewDecisions(v.Step.Decisions),
	}
	if r, ok := v.Step.Event.(*provenance.Reply); ok {
		s.rememberCalls(v.Step.Seq, r)
		if s.sumStep == r.Of.Seq+1 { // a summary is for the model: nobody is told it as an answer
			out.Event.Text = ""
		}
	}
	for _, e := range v.Step.Does {
		w := viewEffect(e)
		if ask, ok := e.(*provenance.AskModel); ok && ask.Fold != nil && ask.Fold.How == provenance.FoldSum {
			s.sumStep = v.Step.Seq + 1
		}
		if call, ok := e.(*provenance.Call); ok {
			name, err := s.findToolName(ctx, call.Of)
			if err != nil {
				return out, err
			}
			if w.Tool = name; call.Phase == provenance.PhaseAsk { // also where another tool's server asks
				w.Tool = tools.UserAsk
			}
		}
		// What a policy cut, or refused, is not shown beside what is said in its place. The record has it, sealed.
		if w.Kind == "say" && w.Text != out.Event.Text && out.Event.Kind == "reply" {
			out.Event.Text = ""
		}
		if w.Kind == "say" {
			var err error
			if w.Marks, err = s.markAnswer(ctx, v.Step); err != nil {
				return out, err
			}
		}
		out.Does = append(out.Does, w)
	}
	return out, nil
}

func (s *Stream) rememberCalls(seq uint64, r *provenance.Reply) {
	s.calls, s.callsStep = nil, seq+1
	if r.Model != nil {
		for _, a := range r.Model.Calls {
			s.calls = append(s.calls, a.Tool)
		}
	}
}

// findToolName returns the name of the tool that a call of a reply asked for. Calls mostly follow their reply, so the
// newest one is kept; after a resume it is read again.
func (s *Stream) findToolName(ctx context.Context, of provenance.Ref) (string, error) {
	if s.callsStep != of.Seq+1 {
		steps, err := s.caller.api.cfg.Runner.Steps(ctx, s.run, of.Seq, 1)
		if err != nil {
			return "", err
		}
		if len(steps) == 1 {
			if r, ok := steps[0].Step.Event.(*provenance.Reply); ok {
				s.rememberCalls(of.Seq, r)
			}
		}
	}
	if s.callsStep != of.Seq+1 || of.Index >= uint64(len(s.calls)) {
		return "", fmt.Errorf("step %d has no tool call %d", of.Seq, of.Index)
	}
	return s.calls[of.Index], nil
}

// isErased says whether one of those payloads that are there has no text: its owner has the keys of all that have one.
func isErased(list ...*provenance.Payload) bool {
	for _, p := range list {
		if _, known := p.Bytes(); p != nil && !known {
			return true
		}
	}
	return false
}

// viewRequest returns the params of a request: as they were signed, or what a body in the form of another API stands
// for.
func viewRequest(e *provenance.Ask) json.RawMessage {
	raw, open := e.Request.Bytes()
	if !open || !foreign.IsForm(e.Method) {
		return payloadJSON(e.Request)
	}
	p, _, err := foreign.ReadAsk(e.Method, raw)
	if err != nil {
		return nil
	}
	out, _ := json.Marshal(p) // of texts and JSON that was read
	return out
}

func viewEvent(e provenance.Event) wire.Event {
	switch e := e.(type) {
	case *provenance.Ask:
		w := wire.Event{Kind: "ask", Input: viewRequest(e), Key: e.Key, Erased: isErased(e.Request)}
		if e.Of != nil {
			w.Of = viewRef(*e.Of)
		}
		return w
	case *provenance.Reply:
		w := wire.Event{Kind: "reply", Of: viewRef(e.Of), Failed: e.Failed, Erased: isErased(e.Said)}
		if e.Said != nil {
			w.Restart, w.Text = true, payloadText(e.Said)
		}
		if e.From != nil {
			w.From = e.From.Step.String()
		}
		if m := e.Model; m != nil {
			w.Text, w.Erased = payloadText(m.Text), w.Erased || isErased(m.Text)
			w.Model = &wire.ModelCall{
				Name: m.Name, Provider: m.Provider, Asked: m.Asked, Answered: m.Answered, ID: m.ID, Stop: m.Stop,
				In: m.Usage.In, Out: m.Usage.Out, Cost: m.Cost, TTFT: m.TTFT, Took: m.Took, Evidence: m.Evidence,
			}
			for _, a := range m.Calls {
				w.Calls = append(w.Calls, wire.ToolAsk{Tool: a.Tool, Args: payloadJSON(a.Args)})
				w.Erased = w.Erased || isErased(a.Args)
			}
		}
		return w
	case *provenance.Result:
		return wire.Event{Kind: "result", Of: viewRef(e.Of), Status: e.Status, Output: payloadJSON(e.Output), Took: e.Took,
			Erased: isErased(e.Output)}
	case *provenance.Verdict:
		why, _ := e.Reason()
		return wire.Event{Kind: "verdict", Of: viewRef(e.Of), Approved: e.Approval != nil, Why: why,
			Erased: isErased(e.Words)}
	case *provenance.Lapse:
		w := wire.Event{Kind: "lapse", Why: e.Why}
		if e.Of != nil {
			w.Of = viewRef(*e.Of)
		}
		return w
	}
	return wire.Event{Kind: "unknown"}
}

func viewEffect(e provenance.Effect) wire.Effect {
	switch e := e.(type) {
	case *provenance.AskModel:
		r := e.Route
		phase := ""
		if e.Fold != nil {
			phase = e.Fold.How
		}
		return wire.Effect{Kind: "ask_model", Phase: phase, Decisions: viewDecisions(e.Decisions), Route: &wire.Route{
			Rule: r.Rule, Kind: r.Kind, Model: r.Model, Considered: r.Considered, Cost: r.Cost,
		}}
	case *provenance.Call:
		return wire.Effect{
			Kind: "call", Of: viewRef(e.Of), Tool: e.Tool.String(), Args: payloadJSON(e.Args), Class: e.Class, Phase: e.Phase,
			Decisions: viewDecisions(e.Decisions), Erased: isErased(e.Args),
		}
	case *provenance.Seek:
		return wire.Effect{
			Kind: "seek", Of: viewRef(e.Of), Summary: payloadJSON(e.Summary), Until: e.Until,
			Decisions: viewDecisions(e.Decisions), Erased: isErased(e.Summary),
		}
	case *provenance.Say:
		return wire.Effect{Kind: "say", Text: payloadText(e.Text), Erased: isErased(e.Text)}
	case *provenance.Deny:
		return wire.Effect{Kind: "deny", Of: viewRef(e.Of), Tool: e.Tool, Decisions: viewDecisions(e.Decisions)}
	case *provenance.Close:
		t := e.Totals
		code := fault.Code(e.Code)
		return wire.Effect{
			Whose: whoseOf(code),
			Kind:  "close", Reason: e.Reason, Code: e.Code, Retryable: code.Retryable(), RetryAfterMS: e.After,
			Totals: &wire.Totals{
				Turns: t.Turns, Calls: t.Calls, In: t.In, Out: t.Out, Cost: t.Cost, Spent: viewAmounts(t.Spent),
				Over: viewAmounts(t.Over),
			},
		}
	}
	return wire.Effect{Kind: "unknown"}
}

// whoseOf says whose a failure is; "" if there is none.
func whoseOf(code fault.Code) string {
	if code == "" {
		return ""
	}
	return string(code.Whose())
}

func viewDecisions(list []provenance.Decision) []wire.Decision {
	var out []wire.Decision
	for _, d := range list {
		out = append(out, wire.Decision{Point: d.Point, Outcome: d.Outcome, Rules: d.Rules, Why: payloadJSON(d.Why),
			Erased: isErased(d.Why)})
	}
	return out
}

func viewRef(r provenance.Ref) *wire.Ref { w := wire.Ref(r); return &w }

// payloadJSON returns a payload that holds JSON as it is, and any other text as a JSON text.
func payloadJSON(p *provenance.Payload) json.RawMessage {
	b, ok := p.Bytes()
	switch {
	case !ok || len(b) == 0:
		return nil
	case json.Valid(b):
		return b
	}
	out, err := json.Marshal(string(b))
	if err != nil { // it cannot fail: it is a string
		panic(fmt.Sprintf("api: %v", err))
	}
	return out
}

func payloadText(p *provenance.Payload) string {
	b, _ := p.Bytes()
	if !utf8.Valid(b) {
		return ""
	}
	return string(b)
}
