package server

import (
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/provenance"
)

// view returns a step as its owner sees it. A payload whose key was erased is left out.
func (c *conn) view(ctx context.Context, sub *subscription, s agent.StepView) (wire.RunEvent, error) {
	out := wire.RunEvent{
		Sub: sub.answer.Sub, Run: sub.run.String(), Epoch: sub.answer.Epoch, Seq: s.Step.Seq, CID: s.CID.String(),
		At: s.Step.At, Event: eventOf(s.Step.Event), Does: []wire.Effect{},
	}
	if r, ok := s.Step.Event.(*provenance.Reply); ok {
		sub.remember(s.Step.Seq, r)
	}
	for _, e := range s.Step.Does {
		w := effectOf(e)
		if call, ok := e.(*provenance.Call); ok {
			name, err := c.toolName(ctx, sub, call.Of)
			if err != nil {
				return out, err
			}
			w.Tool = name
		}
		// What a policy cut, or refused, is not shown beside what is said in its place. The record has it, sealed.
		if w.Kind == "say" && w.Text != out.Event.Text && out.Event.Kind == "reply" {
			out.Event.Text = ""
		}
		out.Does = append(out.Does, w)
	}
	return out, nil
}

func (sub *subscription) remember(seq uint64, r *provenance.Reply) {
	sub.calls, sub.callsStep = nil, seq+1
	if r.Model != nil {
		for _, a := range r.Model.Calls {
			sub.calls = append(sub.calls, a.Tool)
		}
	}
}

// toolName returns the name of the tool that a call of a reply asked for. Calls mostly follow their reply, so the
// newest one is kept; after a resume it is read again.
func (c *conn) toolName(ctx context.Context, sub *subscription, of provenance.Ref) (string, error) {
	if sub.callsStep != of.Seq+1 {
		steps, err := c.srv.cfg.Runner.Steps(ctx, sub.run, of.Seq, 1)
		if err != nil {
			return "", err
		}
		if len(steps) == 1 {
			if r, ok := steps[0].Step.Event.(*provenance.Reply); ok {
				sub.remember(of.Seq, r)
			}
		}
	}
	if sub.callsStep != of.Seq+1 || of.Index >= uint64(len(sub.calls)) {
		return "", fmt.Errorf("step %d has no tool call %d", of.Seq, of.Index)
	}
	return sub.calls[of.Index], nil
}

func eventOf(e provenance.Event) wire.Event {
	switch e := e.(type) {
	case *provenance.Ask:
		return wire.Event{Kind: "ask", Input: jsonOf(e.Request), Key: e.Key}
	case *provenance.Reply:
		w := wire.Event{Kind: "reply", Of: ref(e.Of), Failed: e.Failed}
		if m := e.Model; m != nil {
			w.Text = textOf(m.Text)
			w.Model = &wire.ModelCall{
				Name: m.Name, Provider: m.Provider, Asked: m.Asked, Answered: m.Answered, ID: m.ID, Stop: m.Stop,
				In: m.Usage.In, Out: m.Usage.Out, Cost: m.Cost, TTFT: m.TTFT, Took: m.Took, Evidence: m.Evidence,
			}
			for _, a := range m.Calls {
				w.Calls = append(w.Calls, wire.ToolAsk{Tool: a.Tool, Args: jsonOf(a.Args)})
			}
		}
		return w
	case *provenance.Result:
		return wire.Event{Kind: "result", Of: ref(e.Of), Status: e.Status, Output: jsonOf(e.Output), Took: e.Took}
	case *provenance.Verdict:
		return wire.Event{Kind: "verdict", Of: ref(e.Of), Approved: e.Approval != nil, Why: e.Refused}
	case *provenance.Lapse:
		w := wire.Event{Kind: "lapse", Why: e.Why}
		if e.Of != nil {
			w.Of = ref(*e.Of)
		}
		return w
	}
	return wire.Event{Kind: "unknown"}
}

func effectOf(e provenance.Effect) wire.Effect {
	switch e := e.(type) {
	case *provenance.AskModel:
		r := e.Route
		return wire.Effect{Kind: "ask_model", Decisions: decisionsOf(e.Decisions), Route: &wire.Route{
			Rule: r.Rule, Kind: r.Kind, Model: r.Model, Considered: r.Considered, Cost: r.Cost,
		}}
	case *provenance.Call:
		return wire.Effect{
			Kind: "call", Of: ref(e.Of), Tool: e.Tool.String(), Args: jsonOf(e.Args), Class: e.Class, Phase: e.Phase,
			Decisions: decisionsOf(e.Decisions),
		}
	case *provenance.Seek:
		return wire.Effect{
			Kind: "seek", Of: ref(e.Of), Summary: jsonOf(e.Summary), Until: e.Until, Decisions: decisionsOf(e.Decisions),
		}
	case *provenance.Say:
		return wire.Effect{Kind: "say", Text: textOf(e.Text)}
	case *provenance.Deny:
		return wire.Effect{Kind: "deny", Of: ref(e.Of), Tool: e.Tool, Decisions: decisionsOf(e.Decisions)}
	case *provenance.Close:
		t := e.Totals
		return wire.Effect{Kind: "close", Reason: e.Reason, Totals: &wire.Totals{
			Turns: t.Turns, Calls: t.Calls, In: t.In, Out: t.Out, Cost: t.Cost, Spent: amounts(t.Spent),
		}}
	}
	return wire.Effect{Kind: "unknown"}
}

func decisionsOf(list []provenance.Decision) []wire.Decision {
	var out []wire.Decision
	for _, d := range list {
		out = append(out, wire.Decision{Point: d.Point, Outcome: d.Outcome, Rules: d.Rules, Why: jsonOf(d.Why)})
	}
	return out
}

func ref(r provenance.Ref) *wire.Ref { w := wire.Ref(r); return &w }

// jsonOf returns a payload that holds JSON as it is, and any other text as a JSON text.
func jsonOf(p *provenance.Payload) json.RawMessage {
	b, ok := p.Bytes()
	switch {
	case !ok || len(b) == 0:
		return nil
	case json.Valid(b):
		return b
	}
	out, err := json.Marshal(string(b))
	if err != nil { // a string always can be
		panic(fmt.Sprintf("server: %v", err))
	}
	return out
}

func textOf(p *provenance.Payload) string {
	b, _ := p.Bytes()
	if !utf8.Valid(b) {
		return ""
	}
	return string(b)
}
