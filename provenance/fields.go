package provenance

import (
	"strconv"

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
	c.optLink(&f, "delegation", &r.Delegation)
	c.close(&f)
	if c.err == nil && r.Delegation.Defined() && r.Parent == nil {
		c.fail(CodeSchemaMissing, "a run with a delegation has a parent")
	}
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
	s.Label = s.Label.in(c, &f, "label", false)
	optList(c, &f, "decisions", &s.Decisions, decisionFields)
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
	if m.Evidence > 4 {
		c.fail(CodeSchemaRange, "evidence level %d", m.Evidence)
	}
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
	c.optLink(&f, "child", &r.Child)
	r.Output = r.Output.in(c, &f, "output", false)
	c.oneOf(&f, "status", &r.Status,
		StatusOK, StatusError, StatusDenied, StatusTimeout, StatusCancelled, StatusInDoubt)
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
	c.optLink(&f, "verification", &a.Verification)
	c.close(&f)
	byKey(c, a.Method, a.Verification)
}

func (l *Lapse) fields(c *coder) {
	f := c.open()
	c.optLink(&f, "by", &l.By)
	optional(c, &f, "of", &l.Of, (*Ref).fields)
	c.oneOf(&f, "why", &l.Why, LapseTimeout, LapseCancelled, LapseInDoubt, LapseBudget, LapseRevoked)
	c.close(&f)
	if c.err == nil && c.mode != walking && l.By.Defined() && l.Why != LapseRevoked {
		c.fail(CodeSchemaMissing, "why %s: a revocation goes with revoked only", l.Why)
	}
}

func (x *Facts) fields(c *coder) {
	f := c.open()
	optList(c, &f, "down", &x.Down, func(c *coder, s *string) { c.str(s, maxText) })
	sorted(c, "down", x.Down, func(s *string) string { return *s })
	optional(c, &f, "wallet", &x.Wallet, (*WalletFact).fields)
	optList(c, &f, "budgets", &x.Budgets, budgetFields)
	sorted(c, "budgets", x.Budgets, func(b *Budget) string { return b.ID })
	c.optBool(&f, "revoked", &x.Revoked)
	c.close(&f)
}

// budgetFields handles a budget. Its three amounts are of one asset, which is written once; what was never drawn on
// may be the zero Amount, and is then zero of that asset.
func budgetFields(c *coder, b *Budget) {
	asset := b.Cap.Asset()
	if c.mode == writing && (!of(b.Spent, asset) || !of(b.Reserved, asset)) {
		c.fail(CodeSchemaRange, "a budget is counted in more than one asset")
	}
	f := c.open()
	c.text(&f, "id", &b.ID)
	c.units(&f, "cap", &b.Cap)
	c.text(&f, "asset", &asset.Symbol)
	c.units(&f, "spent", &b.Spent)
	c.decimals(&f, &asset)
	c.units(&f, "reserved", &b.Reserved)
	c.close(&f)
	c.count(asset, &b.Cap, &b.Spent, &b.Reserved)
}

func of(a money.Amount, asset money.Asset) bool { return a.Asset() == asset || a == money.Amount{} }

// amountFields handles an amount as a map of its own.
func amountFields(c *coder, v *money.Amount) {
	a := v.Asset()
	f := c.open()
	c.text(&f, "asset", &a.Symbol)
	c.units(&f, "units", v)
	c.decimals(&f, &a)
	c.close(&f)
	c.count(a, v)
}

func (c *coder) decimals(f *frame, a *money.Asset) {
	d := uint64(a.Decimals)
	c.uint(f, "decimals", &d)
	if d > money.MaxDecimals {
		c.fail(CodeSchemaRange, "%d decimals", d)
		return
	}
	a.Decimals = uint8(d)
}

// units writes an amount's count of smallest units as decimal text, or reads one, whose asset count fills in.
func (c *coder) units(f *frame, name string, v *money.Amount) {
	if !c.key(f, name, true, true) {
		return
	}
	switch c.mode {
	case writing:
		if n := v.Uint256(); n.IsUint64() { // without a string of its own
			var digits [20]byte
			d := strconv.AppendUint(digits[:0], n.Uint64(), 10)
			c.putText(string(d))
		} else {
			c.putText(v.Units())
		}
	case reading:
		b := c.take(3, 78, "an amount")
		if c.err != nil {
			return
		}
		if n, ok := shortUnits(b); ok {
			*v = money.Of(money.Asset{}, n)
			return
		}
		n, err := money.FromUnits(money.Asset{}, b)
		if err != nil {
			c.fail(CodeSchemaRange, "%q is not a count of units", name)
		}
		*v = n
	}
}

// shortUnits reads a count that surely fits 64 bits; it leaves the others, and malformed ones, to money.FromUnits.
func shortUnits(b string) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 19 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	for i := range len(b) {
		if b[i] < '0' || b[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(b[i]-'0')
	}
	return n, true
}

// count gives amounts that were read their asset, and checks the asset in either direction.
func (c *coder) count(a money.Asset, amounts ...*money.Amount) {
	if c.err == nil && c.mode != walking && !a.Valid() {
		c.fail(CodeSchemaRange, "the symbol or the decimals of an asset are out of bounds")
	}
	if c.mode == reading {
		for _, v := range amounts {
			*v = money.FromUint256(a, v.Uint256())
		}
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
	c.oneOf(&f, "kind", &r.Kind, "rules", "scripted", "model")
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
	c.oneOf(&f, "class", &x.Class, "read", "keyed", "chain", "once")
	c.oneOf(&f, "phase", &x.Phase, PhaseAct, PhaseSimulate, PhaseSign, PhaseSend)
	x.Signed = x.Signed.in(c, &f, "signed", false)
	list(c, &f, "decisions", &x.Decisions, decisionFields)
	c.close(&f)
	if c.err == nil && c.mode != walking && (x.Class == "chain") == (x.Phase == PhaseAct) {
		c.fail(CodeSchemaRange, "class %s has no phase %s", x.Class, x.Phase)
	}
	if c.err == nil && c.mode != walking && (x.Signed != nil) != (x.Phase == PhaseSend) {
		c.fail(CodeSchemaMissing, "phase %s: a signed transaction goes with phase send, and only with it", x.Phase)
	}
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
	c.oneOf(&f, "reason", &x.Reason,
		CloseAnswered, CloseDenied, CloseLimit, CloseFailed, CloseCancelled, CloseRevoked, CloseTimeout)
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
	sorted(c, "spent", t.Spent, func(a *money.Amount) string { return a.Asset().Symbol })
	c.uint(&f, "turns", &t.Turns)
	c.close(&f)
}

func decisionFields(c *coder, d *Decision) {
	f := c.open()
	d.Why = d.Why.in(c, &f, "why", false)
	c.optText(&f, "mode", &d.Mode)
	if d.Mode != "" && d.Mode != "public" && d.Mode != "commit-only" && d.Mode != "ephemeral" {
		c.fail(CodeSchemaRange, "a payload is not kept in the mode %q", d.Mode)
	}
	c.optText(&f, "part", &d.Part)
	c.text(&f, "point", &d.Point)
	list(c, &f, "rules", &d.Rules, func(c *coder, s *string) { c.str(s, maxText) })
	c.oneOf(&f, "outcome", &d.Outcome, "permit", "approve", "deny")
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
	c.key32(&f, "key", &h.Key)
	c.linkTo(&f, "run", &h.Run)
	c.uint(&f, "seq", &h.Seq)
	c.optBytes(&f, "sig", &h.Sig) // absent only in the bytes that are signed
	if c.mode != walking && len(h.Sig) != 0 && len(h.Sig) != 64 {
		c.fail(CodeSchemaRange, "a signature of %d bytes instead of 64", len(h.Sig))
	}
	c.linkTo(&f, "step", &h.Step)
	c.optLink(&f, "index", &h.Index)
	optList(c, &f, "erased", &h.Erased, (*coder).cid)
	if c.mode != walking && len(h.Erased) > MaxErasures {
		c.fail(CodeSchemaRange, "a head with more than %d erasures", MaxErasures)
	}
	c.close(&f)
}

func (g *Grant) fields(c *coder) {
	f := c.open()
	c.version(&f, g.kind())
	g.Sig = g.Sig.in(c, &f, "sig", true)
	c.text(&f, "method", &g.Method)
	g.Message = g.Message.in(c, &f, "message", true)
	c.optLink(&f, "verification", &g.Verification)
	c.close(&f)
	byKey(c, g.Method, g.Verification)
}

func (p *PolicySet) fields(c *coder) {
	f := c.open()
	c.version(&f, p.kind())
	c.text(&f, "name", &p.Name)
	optList(c, &f, "parts", &p.Parts, func(c *coder, x *Part) {
		f := c.open()
		c.linkTo(&f, "data", &x.Data)
		c.text(&f, "name", &x.Name)
		c.close(&f)
	})
	sorted(c, "parts", p.Parts, func(x *Part) string { return x.Name })
	c.optLink(&f, "under", &p.Under)
	c.optText(&f, "origin", &p.Origin)
	c.longText(&f, "source", &p.Source)
	c.close(&f)
	if c.err == nil && p.Under.Defined() != (p.Origin != "") {
		c.fail(CodeSchemaMissing, "a policy set names an origin if it stands under another, and only then")
	}
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
	c.oneOf(&f, "class", &t.Class, "read", "keyed", "chain", "once")
	optional(c, &f, "spend", &t.Spend, (*Spend).fields)
	optional(c, &f, "output", &t.Output, (*ToolOutput).fields)
	c.longText(&f, "schema", &t.Schema)
	c.optBool(&f, "foreign", &t.Foreign)
	optional(c, &f, "delegate", &t.Delegate, (*Delegate).fields)
	c.optText(&f, "clearance", &t.Clearance)
	if t.Clearance != "" && t.Clearance != "wallet" && t.Clearance != "secret" {
		c.fail(CodeSchemaRange, "a tool has no clearance %q", t.Clearance)
	}
	optList(c, &f, "utterances", &t.Utterances, func(c *coder, s *string) { c.str(s, maxText) })
	c.close(&f)
}

func (o *ToolOutput) fields(c *coder) {
	f := c.open()
	c.optBool(&f, "origins", &o.Origins)
	c.oneOf(&f, "secrecy", &o.Secrecy, "public", "session", "wallet", "secret")
	c.optBool(&f, "documents", &o.Documents)
	c.oneOf(&f, "integrity", &o.Integrity, "operator", "user", "tool", "untrusted")
	c.close(&f)
}

func (s *Spend) fields(c *coder) {
	f := c.open()
	c.text(&f, "to", &s.To)
	c.text(&f, "asset", &s.Asset)
	c.text(&f, "amount", &s.Amount)
	c.close(&f)
}

func (d *Delegate) fields(c *coder) {
	f := c.open()
	c.int(&f, "life", &d.Life)
	c.linkTo(&f, "agent", &d.Agent)
	list(c, &f, "tools", &d.Tools, func(c *coder, s *string) { c.str(s, maxText) })
	sorted(c, "tools", d.Tools, func(s *string) string { return *s })
	c.text(&f, "caveats", &d.Caveats)
	c.close(&f)
}

func (r *Runtime) fields(c *coder) {
	f := c.open()
	c.version(&f, r.kind())
	c.key32(&f, "key", &r.Key)
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
	c.oneOf(&f, "kind", &m.Kind, "rules", "scripted", "model")
	c.text(&f, "name", &m.Name)
	c.text(&f, "model", &m.Model)
	c.text(&f, "provider", &m.Provider)
	c.close(&f)
}
