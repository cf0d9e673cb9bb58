package loop

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/decision"
	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/agent/route"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/provenance"
)

// A judge asks the policies. Its decisions on what is to be done stand with the effects. Those where nothing is done
// yet, about a session, a request, a reply, a result, a document, an answer, are noted in the step itself, in the order
// in which they were made. Where no set has a rule at an open point there is nothing to decide and nothing to note.
type judge struct {
	tally
	noted []provenance.Decision
}

// decide asks the policies, and tells whoever follows the decisions.
func (m *Machine) decide(r *policies.Request) policies.Decision {
	d := m.layers.Decide(r)
	if m.onDecision != nil {
		m.onDecision(r, d)
	}
	return d
}

// decideAndNote decides about req and notes the answer.
func (j *judge) decideAndNote(req *policies.Request) (policies.Decision, error) {
	if req.Point.Open() && !j.m.layers.Speaks(req.Point) {
		return policies.Decision{Point: req.Point, Outcome: policies.Permit}, nil
	}
	d := j.m.decide(req)
	return d, j.noteDecision(d)
}

// noteDecision records a decision that belongs to no effect.
func (j *judge) noteDecision(d policies.Decision) error {
	rec, err := decision.Record(&d)
	if err == nil {
		if j.noted == nil {
			j.noted = j.room.noted[:0]
		}
		j.noted = append(j.noted, rec)
	}
	return err
}

// requestAbout returns the request about something with a label. It holds until the next one is made.
func (j *judge) requestAbout(p policies.Point, l label.Label) *policies.Request {
	g := j.m.grant
	j.room.req = policies.Request{
		Point: p, Label: l, Context: j.s.context,
		Now: j.at, Agent: j.m.agent.Name, Wallet: g.Account, Chain: int64(g.Chain), Expires: j.m.expiry(),
		Turn: int64(j.s.totals.Turns - j.s.subTurns), Calls: int64(j.s.totals.Calls), Budgets: j.budgetsFor(nil),
		Past: j.s.past, Flying: j.callsUnderWay(), Refused: j.s.refused,
	}
	return &j.room.req
}

// DecideIssue decides whether the machine's grant may become a session. It depends on the grant and the rules alone:
// now is the time at which the grant says that it was issued. The first step of each run records the same decision.
func (m *Machine) DecideIssue() policies.Decision {
	req := m.issueRequest()
	return m.decide(&req)
}

func (m *Machine) issueRequest() policies.Request {
	g, c := m.grant, m.grant.Caveats
	return policies.Request{
		Point: policies.SessionIssue, Now: g.Issued.UnixMilli(), Agent: m.agent.Name, Wallet: g.Account,
		Chain: int64(g.Chain), Expires: g.Expires.UnixMilli(), Life: g.Expires.Sub(g.Issued).Milliseconds(),
		Domain: g.Domain, MaxCalls: int64(c.MaxCalls), Tokens: int64(c.MaxTokens), Cost: c.MaxCostNanoUSD,
		AsksIfTainted: c.ApproveIfTainted,
	}
}

// decideOpening decides about the session, and if it may be about the user's request.
func (j *judge) decideOpening(input string, files []model.File, said label.Label) (policies.Decision, error) {
	j.room.req = j.m.issueRequest()
	d, err := j.decideAndNote(&j.room.req)
	if err != nil || d.Outcome != policies.Permit {
		return d, err
	}
	return j.decideInput(input, files, said)
}

// decideInput decides about what the user says and attaches.
func (j *judge) decideInput(text string, files []model.File, said label.Label) (policies.Decision, error) {
	req := j.requestAbout(policies.Input, said)
	req.Text, req.Size, req.Files = text, int64(len(text)), attach.Measure(files)
	return j.decideAndNote(req)
}

// decideReply decides about a model's reply. It returns how many of the calls that the reply asks for may be looked
// at, or, if the reply is not to be used at all, the sentence that says why.
func (j *judge) decideReply(
	mc *provenance.ModelCall, by model.Info, said string,
) (calls int, denial string, err error) {
	req := j.requestAbout(policies.ModelResponse, j.s.context)
	req.Model, req.Kind, req.Provider = by.Name, string(by.Kind), by.Provider
	req.Asks, req.Stop, req.Evidence = int64(len(mc.Calls)), mc.Stop, int64(mc.Evidence)
	req.Text, req.Size = said, int64(len(said))
	d, err := j.decideAndNote(req)
	switch {
	case err != nil:
		return 0, "", err
	case d.Outcome != policies.Permit:
		return 0, decision.Sentence(d), nil
	}
	j.s.context = j.s.context.Join(d.Label)
	calls = len(mc.Calls)
	if d.Limit.Calls > 0 {
		calls = min(calls, int(d.Limit.Calls))
	}
	return calls, "", nil
}

// decideOnCall appends the decisions on a call to ds, one a point. approved is true once the wallet has approved it.
func (j *judge) decideOnCall(ds []policies.Decision, c *call, approved bool) []policies.Decision {
	spec := &c.tool.spec
	req := j.requestAbout(policies.ToolCall, c.label)
	req.Host, req.Args, req.Budgets = c.args.Host, c.args.Values, j.budgetsFor(c)
	req.Tool, req.Class, req.AsksWallet, req.Approved = spec.Name, string(spec.Class), spec.AskWallet, approved
	if spec.Book != nil {
		req.Chain = int64(spec.Book.Chain)
	}
	ds = append(ds, j.m.decide(req))
	if spec.Spend != nil && ds[0].Outcome != policies.Deny {
		// Both points may reserve in one budget: the second must see what the first takes.
		req.Budgets = slices.Clone(req.Budgets)
		for _, r := range ds[0].Reserve {
			reserveIn(req.Budgets, r.Budget, r.Amount)
		}
		req.Point, req.Args = policies.Spend, nil
		c.setForeseen(req)
		ds = append(ds, j.m.decide(req))
	}
	if ds[len(ds)-1].Outcome != policies.Deny {
		ds = append(ds, j.decideFlow(c, approved)...)
		ds = append(ds, c.decideMoves(approved)...)
	}
	return ds
}

// decideResult decides about what a tool returned, and returns what the model reads of it and its label.
func (j *judge) decideResult(c *call, status string, out []byte) ([]byte, label.Label, error) {
	l := c.tool.label
	if c.tool.spec.Output != nil && c.tool.spec.Output.Origins {
		l = definition.OutputLabel(&c.tool.spec, out)
	}
	if c.tool.delegate != nil && status == provenance.StatusOK {
		var err error
		if l, err = subagent.LabelOf(c.tool.spec.Name, out); err != nil {
			return nil, l, fmt.Errorf("%w: %w", ErrSubAgent, err)
		}
	}
	if status == provenance.StatusError && c.tool.spec.Class.Sends() {
		l = l.Join(definition.ContractWords) // why a contract refused
	}
	if c.tool.spec.Output != nil && c.tool.spec.Output.Documents && status == provenance.StatusOK {
		var err error
		if out, l, err = j.decideDocuments(c, out, l); err != nil {
			return nil, l, err
		}
	}
	if !j.m.layers.Speaks(policies.ToolResult) {
		return out, l, nil
	}
	req := j.requestAbout(policies.ToolResult, l.Join(c.label))
	req.Tool, req.Class, req.Status = c.tool.spec.Name, string(c.tool.spec.Class), status
	req.Text, req.Size = string(out), int64(len(out))
	d, err := j.decideAndNote(req)
	switch {
	case err != nil:
		return nil, l, err
	case d.Outcome != policies.Permit:
		// The words are the rules', but that they are said tells something of the result: they carry its label.
		return decision.Denied(d), l, nil
	}
	out, err = decision.Shorten(policies.Apply(out, d.Redact), d)
	return out, l.Join(d.Label), err
}

// A document is one of those that a tool retrieved, as far as it is judged.
type document struct {
	CID       string `json:"cid"`
	Source    string `json:"source"`
	Text      string `json:"text"`
	Integrity string `json:"integrity"`
	Secrecy   string `json:"secrecy"`
}

// decideDocuments decides about each document of a result. Those that no rule permits are withheld from it.
func (j *judge) decideDocuments(c *call, out []byte, base label.Label) ([]byte, label.Label, error) {
	var whole map[string]json.RawMessage
	var list []json.RawMessage
	if json.Unmarshal(out, &whole) != nil || json.Unmarshal(whole["documents"], &list) != nil {
		return []byte(`{"error":"The tool did not return documents."}`), base, nil
	}
	joined := base
	left := []json.RawMessage{}
	for _, raw := range list {
		raw, l, permitted, err := j.decideDocument(c, raw, base, joined)
		if err != nil {
			return nil, base, err
		}
		if permitted {
			left, joined = append(left, raw), l
		}
	}
	var err error
	if whole["documents"], err = json.Marshal(left); err != nil {
		return nil, base, fmt.Errorf("documents of %s: %w", c.tool.spec.Name, err)
	}
	if withheld := len(list) - len(left); withheld > 0 {
		whole["withheld_by_policy"] = json.RawMessage(fmt.Sprint(withheld))
	}
	out, err = json.Marshal(whole)
	return out, joined, err
}

// decideDocument decides about one document of a result. base is the label of the result without its documents, joined
// with those before this one. It returns what the model may read of the document and joined with its label, or false.
func (j *judge) decideDocument(c *call, raw []byte, base, joined label.Label) ([]byte, label.Label, bool, error) {
	var doc document
	if json.Unmarshal(raw, &doc) != nil {
		return nil, joined, false, nil
	}
	l := base.Join(definition.DocumentLabel(doc.Source, doc.Integrity, doc.Secrecy))
	req := j.requestAbout(policies.Retrieval, l)
	req.Tool, req.Class = c.tool.spec.Name, string(c.tool.spec.Class)
	req.Source, req.Document, req.Text, req.Size = doc.Source, doc.CID, doc.Text, int64(len(doc.Text))
	d, err := j.decideAndNote(req)
	if err != nil || d.Outcome != policies.Permit {
		return nil, joined, false, err
	}
	raw, err = decision.Shorten(policies.Apply(raw, d.Redact), d)
	return raw, joined.Join(l).Join(d.Label), err == nil, err
}

// decideAnswer decides about the run's answer and returns what may be said of it, or false with the sentence that is
// said instead.
func (j *judge) decideAnswer(text string) (string, bool, error) {
	if j.s.context.Secrecy == label.Secret {
		d := decision.DenySecret(ruleSecrecy, policies.Output, "the answer", j.s.context)
		return decision.Sentence(d), false, j.noteDecision(d)
	}
	req := j.requestAbout(policies.Output, j.s.context)
	req.Text, req.Size = text, int64(len(text))
	d, err := j.decideAndNote(req)
	if err != nil || d.Outcome != policies.Permit {
		return decision.Sentence(d), false, err
	}
	if len(d.Redact) == 0 && d.Limit.Bytes == 0 {
		return text, true, nil
	}
	short, more := policies.Cut(policies.Apply([]byte(text), d.Redact), d.Limit.Bytes)
	if more {
		return string(short) + " ... (cut by policy)", true, nil
	}
	return string(short), true, nil
}

// decideModel decides whether a model may be asked.
func (j *judge) decideModel(c *route.Candidate) policies.Decision {
	d := j.m.decide(&c.Request)
	if !definition.MayReadContext(c.Model.Kind, j.s.context) {
		d = decision.DenySecret(ruleSecrecy, policies.ModelRoute, "the model "+c.Model.Name, j.s.context)
	}
	return d
}
