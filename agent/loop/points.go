package loop

import (
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// What is here asks the policies where nothing is done yet: about a session, a request, a reply, a result, a document,
// an answer. These decisions stand in the step itself, in the order in which they were made. Where no set has a rule
// at an open point there is nothing to decide and nothing to record.

// judge asks about req and records the answer.
func (w *work) judge(req *policies.Request) (policies.Decision, error) {
	if req.Point.Open() && !w.m.layers.Speaks(req.Point) {
		return policies.Decision{Point: req.Point, Outcome: policies.Permit}, nil
	}
	d := w.m.judge(req)
	return d, w.note(d)
}

// note records a decision that belongs to no effect.
func (w *work) note(d policies.Decision) error {
	records, err := record([]policies.Decision{d}, policies.Deny) // nothing is reserved here
	if err == nil {
		w.next.Decisions = append(w.next.Decisions, records...)
	}
	return err
}

// about returns a request about something with a label.
func (w *work) about(p policies.Point, l label.Label) policies.Request {
	req := w.request()
	req.Point, req.Label, req.Context = p, l, w.s.context
	return req
}

// Issue decides whether the machine's grant may become a session. It depends on the grant and the rules alone: now is
// the time at which the grant says that it was issued. The first step of each run records the same decision.
func (m *Machine) Issue() policies.Decision {
	req := m.issue()
	return m.judge(&req)
}

func (m *Machine) issue() policies.Request {
	g, c := m.grant, m.grant.Caveats
	return policies.Request{
		Point: policies.SessionIssue, Now: g.Issued.UnixMilli(), Agent: m.agent.Name, Wallet: g.Account, Chain: int64(g.Chain),
		Expires: g.Expires.UnixMilli(), Life: g.Expires.Sub(g.Issued).Milliseconds(), Domain: g.Domain,
		MaxCalls: int64(c.MaxCalls), Tokens: int64(c.MaxTokens), Cost: c.MaxCostNanoUSD, AsksIfTainted: c.ApproveIfTainted,
	}
}

// open decides about the session and the request, and lets the request in.
func (w *work) open(input string) error {
	said := label.Label{Integrity: label.User, Secrecy: label.Session}
	w.s.input, w.s.context = input, said.Join(w.m.ground)
	w.next.Decisions = append(w.next.Decisions, w.m.published...)
	issue := w.m.issue()
	d, err := w.judge(&issue)
	if err != nil {
		return err
	}
	if d.Outcome == policies.Permit {
		req := w.about(policies.Input, said)
		req.Text, req.Size = input, int64(len(input))
		if d, err = w.judge(&req); err != nil {
			return err
		}
	}
	if d.Outcome != policies.Permit {
		w.s.say(model.Message{Role: model.RoleUser, Text: input})
		w.end(sentence(d), provenance.CloseDenied)
		return nil
	}
	w.s.context = w.s.context.Join(d.Label)
	w.s.say(model.Message{Role: model.RoleUser, Text: string(policies.Apply([]byte(input), d.Redact))})
	return nil
}

// heard decides about a model's reply. It returns how many of the calls that the reply asks for may be looked at, or
// false if the reply is not to be used at all.
func (w *work) heard(mc *provenance.ModelCall, info model.Info, said string) (calls int, use bool, err error) {
	req := w.about(policies.ModelResponse, w.s.context)
	req.Model, req.Kind, req.Provider = info.Name, string(info.Kind), info.Provider
	req.Asks, req.Stop, req.Evidence = int64(len(mc.Calls)), mc.Stop, int64(mc.Evidence)
	req.Text, req.Size = said, int64(len(said))
	d, err := w.judge(&req)
	switch {
	case err != nil:
		return 0, false, err
	case d.Outcome != policies.Permit:
		w.end(sentence(d), provenance.CloseDenied)
		return 0, false, nil
	}
	w.s.context = w.s.context.Join(d.Label)
	calls = len(mc.Calls)
	if d.Limit.Calls > 0 {
		calls = min(calls, int(d.Limit.Calls))
	}
	return calls, true, nil
}

// receive decides about what a tool returned, and returns what the model reads of it and its label.
func (w *work) receive(c *call, status string, out []byte) ([]byte, label.Label, error) {
	l := outputLabel(&c.tool.spec, out)
	if status == provenance.StatusError && c.tool.spec.Class == tools.ChainTx { // why a contract refused, in its own words
		l = l.Join(contractWords)
	}
	if c.tool.spec.Output != nil && c.tool.spec.Output.Documents && status == provenance.StatusOK {
		var err error
		if out, l, err = w.retrieve(c, out, l); err != nil {
			return nil, l, err
		}
	}
	req := w.about(policies.ToolResult, l.Join(c.label))
	req.Tool, req.Class, req.Status = c.tool.spec.Name, string(c.tool.spec.Class), status
	req.Text, req.Size = string(out), int64(len(out))
	d, err := w.judge(&req)
	switch {
	case err != nil:
		return nil, l, err
	case d.Outcome != policies.Permit:
		return deniedJSON(d), label.Label{}, nil // the rules' words, and nothing of the result
	}
	out, err = shortened(policies.Apply(out, d.Redact), d)
	return out, l.Join(d.Label), err
}

// shortened cuts a JSON text to the decision's limit. What is left is told as a text, so that it is JSON still.
func shortened(out []byte, d policies.Decision) ([]byte, error) {
	short, more := policies.Cut(out, d.Limit.Bytes)
	if !more {
		return out, nil
	}
	return json.Marshal(map[string]any{"beginning": string(short), "cut_by_policy": true})
}

// A document is one of those that a tool retrieved, as far as it is judged.
type document struct {
	CID       string `json:"cid"`
	Source    string `json:"source"`
	Text      string `json:"text"`
	Integrity string `json:"integrity"`
	Secrecy   string `json:"secrecy"`
}

// retrieve decides about each document of a result. Those that no rule permits are taken out.
func (w *work) retrieve(c *call, out []byte, base label.Label) ([]byte, label.Label, error) {
	var whole map[string]json.RawMessage
	var list []json.RawMessage
	if json.Unmarshal(out, &whole) != nil || json.Unmarshal(whole["documents"], &list) != nil {
		return []byte(`{"error":"The tool did not return documents."}`), base, nil
	}
	joined, withheld := base, 0
	kept := []json.RawMessage{}
	for _, raw := range list {
		var doc document
		if json.Unmarshal(raw, &doc) != nil {
			withheld++
			continue
		}
		l := base.Join(documentLabel(doc))
		req := w.about(policies.Retrieval, l)
		req.Tool, req.Class = c.tool.spec.Name, string(c.tool.spec.Class)
		req.Source, req.Document, req.Text, req.Size = doc.Source, doc.CID, doc.Text, int64(len(doc.Text))
		d, err := w.judge(&req)
		if err != nil {
			return nil, base, err
		}
		if d.Outcome != policies.Permit {
			withheld++
			continue
		}
		if raw, err = shortened(policies.Apply(raw, d.Redact), d); err != nil {
			return nil, base, err
		}
		kept = append(kept, raw)
		joined = joined.Join(l).Join(d.Label)
	}
	var err error
	if whole["documents"], err = json.Marshal(kept); err != nil {
		return nil, base, fmt.Errorf("documents of %s: %w", c.tool.spec.Name, err)
	}
	if withheld > 0 {
		whole["withheld_by_policy"] = json.RawMessage(fmt.Sprint(withheld))
	}
	out, err = json.Marshal(whole)
	return out, joined, err
}

// speak decides about the run's answer and returns what may be said of it, or false with the sentence that is said
// instead.
func (w *work) speak(text string) (string, bool, error) {
	if w.s.context.Secrecy == label.Secret {
		d := leak(policies.Output, "the answer", w.s.context)
		return sentence(d), false, w.note(d)
	}
	req := w.about(policies.Output, w.s.context)
	req.Text, req.Size = text, int64(len(text))
	d, err := w.judge(&req)
	if err != nil || d.Outcome != policies.Permit {
		return sentence(d), false, err
	}
	short, more := policies.Cut(policies.Apply([]byte(text), d.Redact), d.Limit.Bytes)
	if more {
		return string(short) + " ... (cut by policy)", true, nil
	}
	return string(short), true, nil
}

// Parts of a run that are kept as payloads, by which provenance.publish decides. Those with a tool are judged for
// each tool of the agent.
var (
	parts     = []string{"request", "reply", "response", "answer", "label", "why"}
	toolParts = []string{"args", "result", "signed", "summary", "approval"}
)

// publish decides, once for all runs of the machine, how each part is kept. The decisions stand in the first step.
func (m *Machine) publish() error {
	if !m.layers.Speaks(policies.ProvenancePublish) {
		return nil
	}
	m.modes = map[string]policies.Mode{}
	decide := func(part, tool string, req policies.Request) error {
		req.Point, req.Part = policies.ProvenancePublish, part
		d := m.judge(&req)
		mode := d.Mode
		switch {
		case d.Outcome != policies.Permit: // nobody may see it
			mode = policies.Ephemeral
		case mode == "":
			mode = policies.Sealed
		}
		key := partKey(part, tool)
		m.modes[key] = mode
		records, err := record([]policies.Decision{d}, policies.Deny)
		if err != nil {
			return err
		}
		if records[0].Part = key; mode != policies.Sealed {
			records[0].Mode = string(mode)
		}
		m.published = append(m.published, records...)
		return nil
	}
	// Nothing has come in yet, so what is decided about has the label of the most that it may come to hold: a rule that
	// publishes what is not secret must not publish what may turn out to be.
	base := m.issue()
	base.Context = m.most()
	for _, part := range parts {
		req := base
		if req.Label = base.Context; part == "request" {
			req.Label = label.Label{Integrity: label.User, Secrecy: label.Session}
		}
		if err := decide(part, "", req); err != nil {
			return err
		}
	}
	for _, offered := range m.offered {
		spec := m.tools[offered.Name].spec
		for _, part := range toolParts {
			req := base
			req.Tool, req.Class = spec.Name, string(spec.Class)
			if req.Label = base.Context; part == "result" {
				req.Label = mostOf(&spec)
			}
			if err := decide(part, spec.Name, req); err != nil {
				return err
			}
		}
	}
	return nil
}

// anything is the label of which nothing better is known.
var anything = label.Label{Integrity: label.Untrusted, Secrecy: label.Secret}

// most is the label of everything that a run of the machine may come to hold.
func (m *Machine) most() label.Label {
	l := label.Label{Integrity: label.User, Secrecy: label.Session}.Join(m.ground)
	for _, t := range m.tools {
		l = l.Join(mostOf(&t.spec))
	}
	if m.layers.Relabels() {
		l = l.Join(anything)
	}
	return l
}

// mostOf is the label of what a tool may return. A document says itself what it is.
func mostOf(s *tools.Spec) label.Label {
	l := outputLabel(s, nil)
	if s.Class == tools.ChainTx {
		l = l.Join(contractWords)
	}
	if s.Output != nil && s.Output.Documents {
		l = l.Join(anything)
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
	out := map[*provenance.Payload]policies.Mode{}
	put := func(p *provenance.Payload, part, tool string) {
		mode, known := m.modes[partKey(part, tool)]
		if !known && tool != "" { // a tool that the agent does not have: nothing is known of it
			mode = policies.Sealed
		}
		if p != nil && mode != policies.Sealed {
			// One payload may stand in two places; the stricter mode counts, and sealed is stricter than public.
			if was, there := out[p]; !there || was == policies.Public {
				out[p] = mode
			}
		}
	}
	toolOf := func(ref provenance.Ref) string {
		for _, c := range s.calls {
			if c.wait == ref {
				return c.ask.Tool
			}
		}
		return ""
	}
	named := func(link provenance.Link) string {
		for name, t := range m.tools {
			if t.link == link {
				return name
			}
		}
		return ""
	}
	why := func(ds []provenance.Decision) {
		for _, d := range ds {
			put(d.Why, "why", "")
		}
	}
	switch ev := step.Event.(type) {
	case *provenance.Ask:
		put(ev.Request, "request", "")
	case *provenance.Reply:
		if ev.Model != nil {
			put(ev.Model.Text, "reply", "")
			put(ev.Model.Response, "response", "")
			for _, ask := range ev.Model.Calls {
				put(ask.Args, "args", ask.Tool)
			}
		}
	case *provenance.Result:
		part := "result"
		for _, c := range s.calls {
			if c.wait == ev.Of && c.phase == provenance.PhaseSign {
				part = "signed"
			}
		}
		put(ev.Output, part, toolOf(ev.Of))
	case *provenance.Verdict:
		if ev.Approval != nil {
			put(ev.Approval.Message, "approval", toolOf(ev.Of))
			put(ev.Approval.Sig, "approval", toolOf(ev.Of))
		}
	}
	for _, e := range step.Does {
		switch e := e.(type) {
		case *provenance.Say:
			put(e.Text, "answer", "")
		case *provenance.Call:
			put(e.Args, "args", named(e.Tool))
			put(e.Signed, "signed", named(e.Tool))
			why(e.Decisions)
		case *provenance.AskModel:
			why(e.Decisions)
		case *provenance.Deny:
			why(e.Decisions)
		case *provenance.Seek:
			put(e.Summary, "summary", seekTool(s, step, e))
			why(e.Decisions)
		}
	}
	put(step.Label, "label", "")
	why(step.Decisions)
	return out
}

// seekTool finds the tool of the call for which an approval is sought: it is one of the turn's, or of the reply that
// has just come.
func seekTool(s State, step *provenance.Step, e *provenance.Seek) string {
	for _, c := range s.calls {
		if c.of == e.Of {
			return c.ask.Tool
		}
	}
	if r, ok := step.Event.(*provenance.Reply); ok && r.Model != nil && e.Of.Seq == step.Seq && e.Of.Index < uint64(len(r.Model.Calls)) {
		return r.Model.Calls[e.Of.Index].Tool
	}
	return ""
}
