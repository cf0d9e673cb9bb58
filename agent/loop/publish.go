package loop

import (
	"github.com/writ-run/writ/agent/decision"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
)

// Parts of a run that are kept as payloads, by which provenance.publish decides. Those with a tool are judged for
// each tool of the agent.
var (
	parts     = []string{"request", "reply", "response", "answer", "label", "why"}
	toolParts = []string{"args", "result", "signed", "summary", "approval"}
)

// decidePublishing decides, once for all runs of the machine, how each part is kept. The decisions stand in the first
// step.
func (m compiler) decidePublishing() error {
	if !m.layers.Speaks(policies.ProvenancePublish) {
		return nil
	}
	m.modes = map[string]policies.Mode{}
	// Nothing has come in yet, so what is decided about has the label of the most that it may come to hold: a rule that
	// publishes what is not secret must not publish what may turn out to be.
	base := m.issueRequest()
	m.widest = m.widestLabel()
	base.Point, base.Context = policies.ProvenancePublish, m.widest
	for _, part := range parts {
		req := base
		if req.Part, req.Label = part, base.Context; part == "request" {
			req.Label = label.Label{Integrity: label.User, Secrecy: label.Session}
		}
		if err := m.decidePart(&req); err != nil {
			return err
		}
	}
	for _, offered := range m.offered {
		spec := m.tools[offered.Name].spec
		for _, part := range toolParts {
			req := base
			req.Tool, req.Class = spec.Name, string(spec.Class)
			if req.Part, req.Label = part, base.Context; part == "result" {
				req.Label = definition.WidestLabel(&spec)
			}
			if err := m.decidePart(&req); err != nil {
				return err
			}
		}
	}
	return nil
}

// decidePart decides how one part is kept.
func (m compiler) decidePart(req *policies.Request) error {
	d := m.decide(req)
	mode := d.Mode
	switch {
	case d.Outcome != policies.Permit: // publishing is denied, so the part's key ends with the run
		mode = policies.Ephemeral
	case mode == "":
		mode = policies.Sealed
	}
	key := partKey(req.Part, req.Tool)
	m.modes[key] = mode
	rec, err := decision.Record(&d)
	if err != nil {
		return err
	}
	if rec.Part = key; mode != policies.Sealed {
		rec.Mode = string(mode)
	}
	m.published = append(m.published, rec)
	return nil
}

// widestLabel is the label of everything that a run of the machine may come to hold.
func (m compiler) widestLabel() label.Label {
	l := label.Label{Integrity: label.User, Secrecy: label.Session}.Join(m.baseLabel)
	for _, t := range m.tools {
		l = l.Join(definition.WidestLabel(&t.spec))
		if t.delegate != nil {
			l = l.Join(definition.UnknownLabel)
		}
	}
	if m.layers.Relabels() {
		l = l.Join(definition.UnknownLabel)
	}
	if len(m.authority.Chain) > 0 { // a sub-agent begins with its caller's label
		l = l.Join(definition.UnknownLabel)
	}
	return l
}

func partKey(part, tool string) string {
	if tool == "" {
		return part
	}
	return part + " " + tool
}

// Modes says how the payloads of a step are kept: those that are not in the map are sealed. It is nil if no policy set
// speaks of it. s is the state before the step.
func (m *Machine) Modes(s State, step *provenance.Step) map[*provenance.Payload]policies.Mode {
	if m.modes == nil {
		return nil
	}
	k := keeper{m: m, s: s, modes: map[*provenance.Payload]policies.Mode{}}
	k.keepEvent(step.Event)
	for _, e := range step.Does {
		k.keepEffect(step, e)
	}
	k.keep(step.Label, "label", "")
	k.keepReasons(step.Decisions)
	return k.modes
}

// A keeper finds out how the payloads of one step are kept.
type keeper struct {
	m     *Machine
	s     State // before the step
	modes map[*provenance.Payload]policies.Mode
}

// keep notes how a payload is kept that is a part of the run, of a call of the tool if the part is judged by tool.
func (k *keeper) keep(p *provenance.Payload, part, tool string) {
	mode, known := k.m.modes[partKey(part, tool)]
	if !known && tool != "" { // the agent has no such tool, so nothing is known of it
		mode = policies.Sealed
	}
	if p == nil || mode == policies.Sealed {
		return
	}
	// One payload may stand in two places; the stricter mode counts, and sealed is stricter than public.
	if was, there := k.modes[p]; !there || was == policies.Public {
		k.modes[p] = mode
	}
}

func (k *keeper) keepReasons(ds []provenance.Decision) {
	for _, d := range ds {
		k.keep(d.Why, "why", "")
	}
}

func (k *keeper) keepEvent(ev provenance.Event) {
	switch ev := ev.(type) {
	case *provenance.Ask:
		k.keep(ev.Request, "request", "")
		if k.m.modes["request"] != policies.Public { // files are others' words, of which that was not decided
			for _, f := range ev.Files {
				k.keep(f.Data, "request", "")
			}
		}
		k.keep(ev.Label, "label", "")
	case *provenance.Reply:
		if ev.Model == nil {
			k.keep(ev.Said, "reply", "")
			return
		}
		k.keep(ev.Model.Text, "reply", "")
		k.keep(ev.Model.Response, "response", "")
		for _, ask := range ev.Model.Calls {
			k.keep(ask.Args, "args", ask.Tool)
		}
	case *provenance.Result:
		tool, phase := k.waiting(ev.Of)
		if phase == provenance.PhaseSign {
			k.keep(ev.Output, "signed", tool)
		} else {
			k.keep(ev.Output, "result", tool)
		}
	case *provenance.Verdict:
		tool, _ := k.waiting(ev.Of)
		k.keep(ev.Words, "approval", tool)
		if ev.Approval != nil {
			k.keep(ev.Approval.Message, "approval", tool)
			k.keep(ev.Approval.Sig, "approval", tool)
		}
	}
}

func (k *keeper) keepEffect(step *provenance.Step, e provenance.Effect) {
	switch e := e.(type) {
	case *provenance.Say:
		k.keep(e.Text, "answer", "")
	case *provenance.Call:
		tool := ""
		if t := k.m.toolAt(e.Tool); t != nil {
			tool = t.spec.Name
		}
		k.keep(e.Args, "args", tool)
		k.keep(e.Signed, "signed", tool)
		if e.Handed != nil {
			k.keep(e.Handed.Label, "label", "")
		}
		k.keepReasons(e.Decisions)
	case *provenance.Close:
		k.keep(e.Label, "label", "")
	case *provenance.AskModel:
		k.keepReasons(e.Decisions)
	case *provenance.Deny:
		k.keepReasons(e.Decisions)
	case *provenance.Seek:
		k.keep(e.Summary, "summary", toolOfSeek(k.s, step, e))
		k.keepReasons(e.Decisions)
	}
}

// waiting returns the tool and the phase of the call that waits for the answer to an effect.
func (k *keeper) waiting(effect provenance.Ref) (tool, phase string) {
	for _, c := range k.s.calls {
		if c.wait == effect {
			return c.ask.Tool, c.phase
		}
	}
	return "", ""
}

// toolOfSeek finds the tool of the call for which an approval is sought: it is one of the turn's, or of the reply that
// has just come.
func toolOfSeek(s State, step *provenance.Step, e *provenance.Seek) string {
	for _, c := range s.calls {
		if c.of == e.Of {
			return c.ask.Tool
		}
	}
	r, ok := step.Event.(*provenance.Reply)
	if ok && r.Model != nil && e.Of.Seq == step.Seq && e.Of.Index < uint64(len(r.Model.Calls)) {
		return r.Model.Calls[e.Of.Index].Tool
	}
	return ""
}
