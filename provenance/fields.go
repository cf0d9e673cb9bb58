package provenance

import (
	"github.com/writ-run/writ/policies/money"
)

// The fields methods are the schema: each names a record's keys in canonical order, once for writing, reading and
// walking. docs/record.md says the same in words.

func (r *Run) fields(c *coder) {
	f := c.open()
	c.version(&f, r.kind())
	c.linkTo(&f, "agent", &r.Agent)
	c.linkTo(&f, "grant", &r.Grant)
	c.bytes32(&f, "nonce", &r.Nonce)
	c.linkTo(&f, "rules", &r.Rules)
	c.int(&f, "opened", &r.Opened)
	optional(c, &f, "parent", &r.Parent, (*Parent).fields)
	c.optText(&f, "thread", &r.Thread)
	c.linkTo(&f, "runtime", &r.Runtime)
	c.close(&f)
}

func (p *Parent) fields(c *coder) {
	f := c.open()
	c.uint(&f, "i", &p.Effect)
	c.linkTo(&f, "step", &p.Step)
	c.close(&f)
}

func (s *Step) fields(c *coder) {
	f := c.open()
	c.version(&f, s.kind())
	c.int(&f, "at", &s.At)
	c.linkTo(&f, "run", &s.Run)
	c.uint(&f, "seq", &s.Seq)
	list(c, &f, "does", &s.Does, effectFields)
	c.optLink(&f, "prev", &s.Prev)
	if c.key(&f, "event", true, true) {
		eventFields(c, &s.Event)
	}
	if c.key(&f, "facts", true, true) {
		s.Facts.fields(c)
	}
	c.close(&f)
	if c.err == nil && s.Prev.Defined() == (s.Seq == 0) {
		c.fail(CodeSchemaMissing, "step %d: only the first step has no prev", s.Seq)
	}
}

func (r *Ref) fields(c *coder) {
	f := c.open()
	c.uint(&f, "i", &r.Index)
	c.uint(&f, "seq", &r.Seq)
	c.close(&f)
}

func (r *Ref) in(c *coder, f *frame, name string) {
	if c.key(f, name, true, true) {
		r.fields(c)
	}
}

// A union is a map of one key, which names the kind.

func eventFields(c *coder, e *Event) {
	f := c.open()
	switch {
	case variant[*Ask](c, &f, "ask", e):
	case variant[*Lapse](c, &f, "lapse", e):
	case variant[*Reply](c, &f, "reply", e):
	case variant[*Result](c, &f, "result", e):
	case variant[*Verdict](c, &f, "verdict", e):
	default:
		c.fail(CodeSchemaKey, "an event of an unknown kind")
	}
	c.close(&f)
}

func effectFields(c *coder, e *Effect) {
	f := c.open()
	switch {
	case variant[*AskModel](c, &f, "ask", e):
	case variant[*Say](c, &f, "say", e):
	case variant[*Call](c, &f, "call", e):
	case variant[*Deny](c, &f, "deny", e):
	case variant[*Seek](c, &f, "seek", e):
	case variant[*Close](c, &f, "close", e):
	default:
		c.fail(CodeSchemaKey, "an effect of an unknown kind")
	}
	c.close(&f)
}

// variant handles one kind of a union: P is a pointer to the kind's struct, I the union's interface.
func variant[P interface {
	*T
	fields(*coder)
}, T any, I any](c *coder, f *frame, name string, v *I) bool {
	p, is := any(*v).(P)
	if c.mode == reading {
		is = false
	}
	if !c.key(f, name, is, false) {
		return is
	}
	if c.mode == reading {
		p = new(T)
		*v = any(p).(I)
	}
	p.fields(c)
	return true
}

func (a *Ask) fields(c *coder) {
	f := c.open()
	c.text(&f, "key", &a.Key)
	c.uint(&f, "seq", &a.Seq)
	c.bytes(&f, "sig", &a.Sig)
	c.text(&f, "method", &a.Method)
	c.bytes32(&f, "channel", &a.Channel)
	a.Request = a.Request.in(c, &f, "request", true)
	c.close(&f)
}

func (r *Reply) fields(c *coder) {
	f := c.open()
	r.Of.in(c, &f, "of")
	optional(c, &f, "model", &r.Model, (*ModelCall).fields)
	c.optText(&f, "failed", &r.Failed)
	c.close(&f)
	if c.err == nil && (r.Model == nil) == (r.Failed == "") {
		c.fail(CodeSchemaMissing, "a reply has either a model call or a failure")
	}
}

func (m *ModelCall) fields(c *coder) {
	f := c.open()
	c.optText(&f, "id", &m.ID)
	c.int(&f, "cost", &m.Cost)
	c.text(&f, "name", &m.Name)
	c.text(&f, "stop", &m.Stop)
	m.Text = m.Text.in(c, &f, "text", false)
	c.int(&f, "took", &m.Took)
	c.optInt(&f, "ttft", &m.TTFT)
	c.text(&f, "asked", &m.Asked)
	optList(c, &f, "calls", &m.Calls, func(c *coder, t *ToolAsk) { t.fields(c) })
	if c.key(&f, "usage", true, true) {
		m.Usage.fields(c)
	}
	c.optBytes32(&f, "request", &m.Request)
	c.text(&f, "answered", &m.Answered)
	c.uint(&f, "evidence", &m.Evidence)
	c.text(&f, "provider", &m.Provider)
	m.Response = m.Response.in(c, &f, "response", false)
	c.close(&f)
}

func (u *Usage) fields(c *coder) {
	f := c.open()
	c.uint(&f, "in", &u.In)
	c.uint(&f, "out", &u.Out)
	c.optUint(&f, "cached", &u.Cached)
	c.close(&f)
}

func (t *ToolAsk) fields(c *coder) {
	f := c.open()
	c.optText(&f, "id", &t.ID)
	t.Args = t.Args.in(c, &f, "args", true)
	c.text(&f, "tool", &t.Tool)
	c.close(&f)
}

func (r *Result) fields(c *coder) {
	f := c.open()
	r.Of.in(c, &f, "of")
	c.int(&f, "took", &r.Took)
	r.Output = r.Output.in(c, &f, "output", false)
	c.text(&f, "status", &r.Status)
	c.close(&f)
}

func (v *Verdict) fields(c *coder) {
	f := c.open()
	v.Of.in(c, &f, "of")
	c.optText(&f, "refused", &v.Refused)
	optional(c, &f, "approval", &v.Approval, (*Approval).fields)
	c.close(&f)
	if c.err == nil && (v.Approval == nil) == (v.Refused == "") {
		c.fail(CodeSchemaMissing, "a verdict is either an approval or a refusal")
	}
}

func (a *Approval) fields(c *coder) {
	f := c.open()
	a.Sig = a.Sig.in(c, &f, "sig", true)
	c.text(&f, "method", &a.Method)
	a.Message = a.Message.in(c, &f, "message", true)
	c.close(&f)
}

func (l *Lapse) fields(c *coder) {
	f := c.open()
	optional(c, &f, "of", &l.Of, (*Ref).fields)
	c.text(&f, "why", &l.Why)
	c.close(&f)
}

func (x *Facts) fields(c *coder) {
	f := c.open()
	optList(c, &f, "down", &x.Down, func(c *coder, s *string) { c.str(s, maxText) })
	optList(c, &f, "budgets", &x.Budgets, func(c *coder, b *Budget) { b.fields(c) })
	c.optBool(&f, "revoked", &x.Revoked)
	c.close(&f)
}

func (b *Budget) fields(c *coder) {
	asset := b.Cap.Asset()
	spent, limit, reserved := b.Spent.Units(), b.Cap.Units(), b.Reserved.Units()
	f := c.open()
	c.text(&f, "id", &b.ID)
	c.text(&f, "cap", &limit)
	c.text(&f, "asset", &asset.Symbol)
	c.text(&f, "spent", &spent)
	decimals(c, &f, &asset)
	c.text(&f, "reserved", &reserved)
	c.close(&f)
	if c.mode == reading {
		b.Cap, b.Spent, b.Reserved = amount(c, asset, limit), amount(c, asset, spent), amount(c, asset, reserved)
	}
}

func decimals(c *coder, f *frame, a *money.Asset) {
	d := uint64(a.Decimals)
	c.uint(f, "decimals", &d)
	if d > money.MaxDecimals {
		c.fail(CodeSchemaRange, "%d decimals", d)
		return
	}
	a.Decimals = uint8(d)
}

func amount(c *coder, a money.Asset, units string) money.Amount {
	if c.err != nil {
		return money.Amount{}
	}
	n, err := money.FromUnits(a, units)
	if err != nil || !a.Valid() {
		c.fail(CodeSchemaRange, "an amount is malformed")
	}
	return n
}

// amountFields handles an amount as a map of its own.
func amountFields(c *coder, v *money.Amount) {
	a, units := v.Asset(), v.Units()
	f := c.open()
	c.text(&f, "asset", &a.Symbol)
	c.text(&f, "units", &units)
	decimals(c, &f, &a)
	c.close(&f)
	if c.mode == reading {
		*v = amount(c, a, units)
	}
}

func (a *AskModel) fields(c *coder) {
	f := c.open()
	c.int(&f, "max", &a.MaxTokens)
	if c.key(&f, "route", true, true) {
		a.Route.fields(c)
	}
	c.bytes32(&f, "prompt", &a.Prompt)
	list(c, &f, "decisions", &a.Decisions, decisionFields)
	c.close(&f)
}

func (r *Route) fields(c *coder) {
	f := c.open()
	c.int(&f, "cost", &r.Cost)
	c.text(&f, "kind", &r.Kind)
	c.text(&f, "rule", &r.Rule)
	c.text(&f, "model", &r.Model)
	list(c, &f, "considered", &r.Considered, func(c *coder, s *string) { c.str(s, maxText) })
	c.close(&f)
}

func (x *Call) fields(c *coder) {
	f := c.open()
	x.Of.in(c, &f, "of")
	x.Args = x.Args.in(c, &f, "args", true)
	c.linkTo(&f, "tool", &x.Tool)
	c.text(&f, "class", &x.Class)
	c.text(&f, "phase", &x.Phase)
	x.Signed = x.Signed.in(c, &f, "signed", false)
	list(c, &f, "decisions", &x.Decisions, decisionFields)
	c.close(&f)
}

func (s *Seek) fields(c *coder) {
	f := c.open()
	s.Of.in(c, &f, "of")
	c.int(&f, "until", &s.Until)
	s.Summary = s.Summary.in(c, &f, "summary", true)
	list(c, &f, "decisions", &s.Decisions, decisionFields)
	c.close(&f)
}

func (s *Say) fields(c *coder) {
	f := c.open()
	s.Text = s.Text.in(c, &f, "text", true)
	c.close(&f)
}

func (d *Deny) fields(c *coder) {
	f := c.open()
	d.Of.in(c, &f, "of")
	c.text(&f, "tool", &d.Tool)
	list(c, &f, "decisions", &d.Decisions, decisionFields)
	c.close(&f)
}

func (x *Close) fields(c *coder) {
	f := c.open()
	c.text(&f, "reason", &x.Reason)
	if c.key(&f, "totals", true, true) {
		x.Totals.fields(c)
	}
	c.close(&f)
}

func (t *Totals) fields(c *coder) {
	f := c.open()
	c.uint(&f, "in", &t.In)
	c.uint(&f, "out", &t.Out)
	c.int(&f, "cost", &t.Cost)
	c.uint(&f, "calls", &t.Calls)
	optList(c, &f, "spent", &t.Spent, amountFields)
	c.uint(&f, "turns", &t.Turns)
	c.close(&f)
}

func decisionFields(c *coder, d *Decision) {
	f := c.open()
	d.Why = d.Why.in(c, &f, "why", false)
	c.text(&f, "point", &d.Point)
	list(c, &f, "rules", &d.Rules, func(c *coder, s *string) { c.str(s, maxText) })
	c.text(&f, "outcome", &d.Outcome)
	optList(c, &f, "reserve", &d.Reserve, func(c *coder, r *Reserve) { r.fields(c) })
	c.close(&f)
}

func (r *Reserve) fields(c *coder) {
	f := c.open()
	if c.key(&f, "amount", true, true) {
		amountFields(c, &r.Amount)
	}
	c.text(&f, "budget", &r.Budget)
	c.close(&f)
}

func (h *Head) fields(c *coder) {
	f := c.open()
	c.version(&f, h.kind())
	c.int(&f, "at", &h.At)
	c.bytes(&f, "key", &h.Key)
	c.linkTo(&f, "run", &h.Run)
	c.uint(&f, "seq", &h.Seq)
	c.optBytes(&f, "sig", &h.Sig) // absent only in the bytes that are signed
	c.linkTo(&f, "step", &h.Step)
	c.close(&f)
}

func (g *Grant) fields(c *coder) {
	f := c.open()
	c.version(&f, g.kind())
	g.Sig = g.Sig.in(c, &f, "sig", true)
	c.text(&f, "method", &g.Method)
	g.Message = g.Message.in(c, &f, "message", true)
	c.close(&f)
}

func (p *PolicySet) fields(c *coder) {
	f := c.open()
	c.version(&f, p.kind())
	c.text(&f, "name", &p.Name)
	c.longText(&f, "source", &p.Source)
	c.close(&f)
}

func (a *Agent) fields(c *coder) {
	f := c.open()
	c.version(&f, a.kind())
	c.text(&f, "name", &a.Name)
	c.optText(&f, "about", &a.About)
	list(c, &f, "tools", &a.Tools, func(c *coder, l *Link) { c.cid(l) })
	if c.key(&f, "limits", true, true) {
		a.Limits.fields(c)
	}
	list(c, &f, "routes", &a.Routes, func(c *coder, r *AgentRoute) { r.fields(c) })
	c.longText(&f, "instructions", &a.Instructions)
	c.close(&f)
}

func (r *AgentRoute) fields(c *coder) {
	f := c.open()
	c.text(&f, "id", &r.ID)
	c.text(&f, "use", &r.Use)
	c.text(&f, "when", &r.When)
	c.close(&f)
}

func (l *Limits) fields(c *coder) {
	f := c.open()
	c.int(&f, "cost", &l.Cost)
	c.int(&f, "wall", &l.Wall)
	c.uint(&f, "calls", &l.Calls)
	c.uint(&f, "turns", &l.Turns)
	c.int(&f, "tokens", &l.Tokens)
	c.close(&f)
}

func (t *ToolDef) fields(c *coder) {
	f := c.open()
	c.version(&f, t.kind())
	c.optLink(&f, "book", &t.Book)
	c.text(&f, "name", &t.Name)
	c.text(&f, "about", &t.About)
	c.text(&f, "class", &t.Class)
	optional(c, &f, "spend", &t.Spend, (*Spend).fields)
	c.longText(&f, "schema", &t.Schema)
	optList(c, &f, "utterances", &t.Utterances, func(c *coder, s *string) { c.str(s, maxText) })
	c.close(&f)
}

func (s *Spend) fields(c *coder) {
	f := c.open()
	c.text(&f, "to", &s.To)
	c.text(&f, "asset", &s.Asset)
	c.text(&f, "amount", &s.Amount)
	c.close(&f)
}

func (r *Runtime) fields(c *coder) {
	f := c.open()
	c.version(&f, r.kind())
	c.bytes(&f, "key", &r.Key)
	c.text(&f, "build", &r.Build)
	list(c, &f, "models", &r.Models, func(c *coder, m *ModelInfo) { m.fields(c) })
	c.text(&f, "version", &r.Version)
	c.close(&f)
}

func (m *ModelInfo) fields(c *coder) {
	f := c.open()
	c.int(&f, "in", &m.PriceIn)
	c.int(&f, "max", &m.MaxTokens)
	c.int(&f, "out", &m.PriceOut)
	c.text(&f, "kind", &m.Kind)
	c.text(&f, "name", &m.Name)
	c.text(&f, "model", &m.Model)
	c.text(&f, "provider", &m.Provider)
	c.close(&f)
}
