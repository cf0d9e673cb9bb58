package provenance

import (
	"strconv"

	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance/internal/dagcbor"
)

// The codeFields methods are the schema: each names a record's keys in canonical order, once for writing, reading and
// walking. docs/record.md says the same in words.

func (r *Run) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, r.versionName())
	c.linkField(&f, "agent", &r.Agent)
	c.linkField(&f, "grant", &r.Grant)
	c.bytes32Field(&f, "nonce", &r.Nonce)
	c.linkField(&f, "rules", &r.Rules)
	c.intField(&f, "opened", &r.Opened)
	optionalRecord(c, &f, "parent", &r.Parent, (*Parent).codeFields)
	c.linkField(&f, "runtime", &r.Runtime)
	c.optionalLink(&f, "delegation", &r.Delegation)
	c.closeMap(&f)
	if c.Err == nil && r.Delegation.Defined() && r.Parent == nil {
		c.failWith(CodeSchemaMissing, "a run with a delegation has a parent")
	}
}

func (p *Parent) codeFields(c *coder) {
	f := c.openMap()
	c.uintField(&f, "i", &p.Effect)
	c.linkField(&f, "step", &p.Step)
	c.closeMap(&f)
}

func (s *Step) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, s.versionName())
	c.intField(&f, "at", &s.At)
	c.linkField(&f, "run", &s.Run)
	c.uintField(&f, "seq", &s.Seq)
	listField(c, &f, "does", &s.Does, codeEffect)
	c.optionalLink(&f, "prev", &s.Prev)
	if c.codeKey(&f, "event", true, true) {
		codeEvent(c, &s.Event)
	}
	if c.codeKey(&f, "facts", true, true) {
		s.Facts.codeFields(c)
	}
	s.Label = s.Label.codePayload(c, &f, "label", false)
	optionalList(c, &f, "decisions", &s.Decisions, codeDecision)
	c.closeMap(&f)
	if c.Err == nil && s.Prev.Defined() == (s.Seq == 0) {
		c.failWith(CodeSchemaMissing, "step %d: only the first step has no prev", s.Seq)
	}
}

func (r *Ref) codeFields(c *coder) {
	f := c.openMap()
	c.uintField(&f, "i", &r.Index)
	c.uintField(&f, "seq", &r.Seq)
	c.closeMap(&f)
}

func (r *Ref) codeRef(c *coder, f *frame, name string) {
	if c.codeKey(f, name, true, true) {
		r.codeFields(c)
	}
}

// A union is a map of one key, which names the kind.

func codeEvent(c *coder, e *Event) {
	f := c.openMap()
	switch {
	case codeVariant[*Ask](c, &f, "ask", e):
	case codeVariant[*Lapse](c, &f, "lapse", e):
	case codeVariant[*Reply](c, &f, "reply", e):
	case codeVariant[*Result](c, &f, "result", e):
	case codeVariant[*Verdict](c, &f, "verdict", e):
	default:
		c.failWith(CodeSchemaKey, "an event of an unknown kind")
	}
	c.closeMap(&f)
}

func codeEffect(c *coder, e *Effect) {
	f := c.openMap()
	switch {
	case codeVariant[*AskModel](c, &f, "ask", e):
	case codeVariant[*Say](c, &f, "say", e):
	case codeVariant[*Call](c, &f, "call", e):
	case codeVariant[*Deny](c, &f, "deny", e):
	case codeVariant[*Seek](c, &f, "seek", e):
	case codeVariant[*Close](c, &f, "close", e):
	default:
		c.failWith(CodeSchemaKey, "an effect of an unknown kind")
	}
	c.closeMap(&f)
}

// codeVariant handles one kind of a union: P is a pointer to the kind's struct, I the union's interface.
func codeVariant[P interface {
	*T
	codeFields(*coder)
}, T any, I any](c *coder, f *frame, name string, v *I) bool {
	p, is := any(*v).(P)
	if c.Mode == dagcbor.Reading {
		is = false
	}
	if !c.codeKey(f, name, is, false) {
		return is
	}
	if c.Mode == dagcbor.Reading {
		p = new(T)
		*v = any(p).(I)
	}
	p.codeFields(c)
	return true
}

// methodDelegate is the method for which the request of a sub-agent's run is signed.
const methodDelegate = "run.delegate"

const methodSend = "run.send" // for which what the user says into a run is signed

const methodFork = "run.fork" // for which the request of a run that goes on from a step of another one is signed

func (a *Ask) codeFields(c *coder) {
	f := c.openMap()
	optionalRecord(c, &f, "of", &a.Of, (*Ref).codeFields)
	c.textField(&f, "key", &a.Key)
	c.uintField(&f, "seq", &a.Seq)
	c.bytesField(&f, "sig", &a.Sig)
	c.optionalLink(&f, "after", &a.After)
	optionalList(c, &f, "files", &a.Files, func(c *coder, p *Piece) {
		g := c.openMap()
		p.Data = p.Data.codePayload(c, &g, "data", true)
		c.closeMap(&g)
	})
	a.Label = a.Label.codePayload(c, &f, "label", false)
	c.textField(&f, "method", &a.Method)
	c.bytes32Field(&f, "channel", &a.Channel)
	a.Earlier = a.Earlier.codePayload(c, &f, "earlier", false)
	a.Request = a.Request.codePayload(c, &f, "request", true)
	c.closeMap(&f)
	if c.Err == nil && c.Mode != dagcbor.Walking && (a.Label != nil) != (a.Method == methodDelegate) {
		c.failWith(CodeSchemaMissing, "a label goes with a request of method %s, and only with it", methodDelegate)
	}
	if c.Err == nil && c.Mode != dagcbor.Walking && a.Method == methodFork && !a.After.Defined() {
		c.failWith(CodeSchemaMissing, "a fork names the step that it goes on from")
	}
	if c.Err == nil && c.Mode != dagcbor.Walking && a.Method != methodSend && a.Of != nil {
		c.failWith(CodeSchemaRange, "only what is sent into a run answers a question of it")
	}
}

func (r *Reply) codeFields(c *coder) {
	f := c.openMap()
	r.Of.codeRef(c, &f, "of")
	optionalRecord(c, &f, "from", &r.From, (*Reused).codeFields)
	r.Said = r.Said.codePayload(c, &f, "said", false)
	c.optionalInt(&f, "after", &r.After)
	optionalRecord(c, &f, "model", &r.Model, (*ModelCall).codeFields)
	c.optionalText(&f, "failed", &r.Failed)
	c.closeMap(&f)
	if c.Err == nil && ((r.Model == nil) == (r.Failed == "") || r.From != nil && r.Model == nil) {
		c.failWith(CodeSchemaMissing, "a reply has either a model call or a failure")
	}
	if c.Err == nil && (r.After < 0 || (r.After > 0 || r.Said != nil) && r.Failed == "") {
		c.failWith(CodeSchemaRange, "a time to wait, and what was said before, go with a failure")
	}
}

func (r *Reused) codeFields(c *coder) {
	f := c.openMap()
	c.linkField(&f, "head", &r.Head)
	c.linkField(&f, "step", &r.Step)
	c.closeMap(&f)
}

func (m *ModelCall) codeFields(c *coder) {
	f := c.openMap()
	c.optionalText(&f, "id", &m.ID)
	c.intField(&f, "cost", &m.Cost)
	c.textField(&f, "name", &m.Name)
	c.textField(&f, "stop", &m.Stop)
	m.Text = m.Text.codePayload(c, &f, "text", false)
	c.optionalText(&f, "tier", &m.Tier)
	c.intField(&f, "took", &m.Took)
	c.optionalInt(&f, "ttft", &m.TTFT)
	c.textField(&f, "asked", &m.Asked)
	optionalList(c, &f, "calls", &m.Calls, func(c *coder, t *ToolAsk) { t.codeFields(c) })
	if c.codeKey(&f, "usage", true, true) {
		m.Usage.codeFields(c)
	}
	c.optionalBytes32(&f, "request", &m.Request)
	c.textField(&f, "answered", &m.Answered)
	c.uintField(&f, "evidence", &m.Evidence)
	if m.Evidence > 4 {
		c.failWith(CodeSchemaRange, "evidence level %d", m.Evidence)
	}
	c.textField(&f, "provider", &m.Provider)
	m.Response = m.Response.codePayload(c, &f, "response", false)
	c.closeMap(&f)
}

func (u *Usage) codeFields(c *coder) {
	f := c.openMap()
	c.uintField(&f, "in", &u.In)
	c.uintField(&f, "out", &u.Out)
	c.optionalUint(&f, "cached", &u.Cached)
	c.optionalUint(&f, "write1h", &u.Write1h)
	c.optionalUint(&f, "write5m", &u.Write5m)
	c.optionalUint(&f, "reasoning", &u.Reasoning)
	c.closeMap(&f)
}

func (t *ToolAsk) codeFields(c *coder) {
	f := c.openMap()
	c.optionalText(&f, "id", &t.ID)
	t.Args = t.Args.codePayload(c, &f, "args", true)
	c.textField(&f, "tool", &t.Tool)
	c.closeMap(&f)
}

func (r *Result) codeFields(c *coder) {
	f := c.openMap()
	r.Of.codeRef(c, &f, "of")
	c.intField(&f, "took", &r.Took)
	c.optionalLink(&f, "child", &r.Child)
	r.Output = r.Output.codePayload(c, &f, "output", false)
	c.choiceField(&f, "status", &r.Status,
		StatusOK, StatusError, StatusDenied, StatusTimeout, StatusCancelled, StatusInDoubt, StatusPending)
	c.closeMap(&f)
}

func (v *Verdict) codeFields(c *coder) {
	f := c.openMap()
	v.Of.codeRef(c, &f, "of")
	v.Words = v.Words.codePayload(c, &f, "words", false)
	c.optionalText(&f, "refused", &v.Refused)
	optionalRecord(c, &f, "approval", &v.Approval, (*Approval).codeFields)
	c.closeMap(&f)
	says := 0
	for _, there := range []bool{v.Approval != nil, v.Words != nil, v.Refused != ""} {
		if there {
			says++
		}
	}
	if c.Err == nil && says != 1 {
		c.failWith(CodeSchemaMissing, "a verdict is either an approval or a refusal")
	}
}

func (a *Approval) codeFields(c *coder) {
	f := c.openMap()
	a.Sig = a.Sig.codePayload(c, &f, "sig", true)
	c.textField(&f, "method", &a.Method)
	a.Message = a.Message.codePayload(c, &f, "message", true)
	c.optionalLink(&f, "verification", &a.Verification)
	c.closeMap(&f)
	refuseForKey(c, a.Method, a.Verification)
}

func (l *Lapse) codeFields(c *coder) {
	f := c.openMap()
	c.optionalLink(&f, "by", &l.By)
	optionalRecord(c, &f, "of", &l.Of, (*Ref).codeFields)
	c.choiceField(&f, "why", &l.Why, LapseTimeout, LapseCancelled, LapseInDoubt, LapseBudget, LapseRevoked, LapseSlow)
	c.closeMap(&f)
	if c.Err == nil && c.Mode != dagcbor.Walking && l.Of == nil && l.Why == LapseSlow {
		c.failWith(CodeSchemaMissing, "why %s: it is said of one effect", l.Why)
	}
	if c.Err == nil && c.Mode != dagcbor.Walking && l.By.Defined() && l.Why != LapseRevoked {
		c.failWith(CodeSchemaMissing, "why %s: a revocation goes with revoked only", l.Why)
	}
}

func (x *Facts) codeFields(c *coder) {
	f := c.openMap()
	optionalList(c, &f, "down", &x.Down, func(c *coder, s *string) { c.CodeText(s, maxText) })
	requireSorted(c, "down", x.Down, func(s *string) string { return *s })
	c.optionalBool(&f, "once", &x.Once)
	optionalList(c, &f, "fleet", &x.Fleet, func(c *coder, m *ModelFact) { m.codeFields(c) })
	requireSorted(c, "fleet", x.Fleet, func(m *ModelFact) string { return m.Name })
	optionalRecord(c, &f, "wallet", &x.Wallet, (*WalletFact).codeFields)
	optionalList(c, &f, "budgets", &x.Budgets, codeBudget)
	requireSorted(c, "budgets", x.Budgets, func(b *Budget) string { return b.ID })
	c.optionalBool(&f, "revoked", &x.Revoked)
	c.closeMap(&f)
}

func (m *ModelFact) codeFields(c *coder) {
	f := c.openMap()
	c.optionalInt(&f, "p50", &m.P50)
	c.optionalInt(&f, "p95", &m.P95)
	c.textField(&f, "name", &m.Name)
	c.optionalUint(&f, "queue", &m.Queue)
	c.optionalUint(&f, "errors", &m.Errors)
	c.choiceField(&f, "breaker", &m.Breaker, BreakerClosed, BreakerOpen, BreakerHalfOpen)
	c.closeMap(&f)
}

// codeBudget handles a budget. Its three amounts are of one asset, which is written once; what was never used
// may be the zero Amount, and is then zero of that asset.
func codeBudget(c *coder, b *Budget) {
	asset := b.Cap.Asset()
	if c.Mode == dagcbor.Writing && (!hasAsset(b.Spent, asset) || !hasAsset(b.Reserved, asset)) {
		c.failWith(CodeSchemaRange, "a budget is counted in more than one asset")
	}
	f := c.openMap()
	c.textField(&f, "id", &b.ID)
	c.unitsField(&f, "cap", &b.Cap)
	c.textField(&f, "asset", &asset.Symbol)
	c.unitsField(&f, "spent", &b.Spent)
	c.decimalsField(&f, &asset)
	c.unitsField(&f, "reserved", &b.Reserved)
	c.closeMap(&f)
	c.setAsset(asset, &b.Cap, &b.Spent, &b.Reserved)
}

func hasAsset(a money.Amount, asset money.Asset) bool {
	return a.Asset() == asset || a == money.Amount{}
}

// codeAmount handles an amount as a map of its own.
func codeAmount(c *coder, v *money.Amount) {
	a := v.Asset()
	f := c.openMap()
	c.textField(&f, "asset", &a.Symbol)
	c.unitsField(&f, "units", v)
	c.decimalsField(&f, &a)
	c.closeMap(&f)
	c.setAsset(a, v)
}

func (c *coder) decimalsField(f *frame, a *money.Asset) {
	d := uint64(a.Decimals)
	c.uintField(f, "decimals", &d)
	if d > money.MaxDecimals {
		c.failWith(CodeSchemaRange, "%d decimals", d)
		return
	}
	a.Decimals = uint8(d)
}

// unitsField writes an amount's count of smallest units as decimal text, or reads one, whose asset count fills in.
func (c *coder) unitsField(f *frame, name string, v *money.Amount) {
	if !c.codeKey(f, name, true, true) {
		return
	}
	switch c.Mode {
	case dagcbor.Writing:
		if n := v.Uint256(); n.IsUint64() { // without a string of its own
			var digits [20]byte
			d := strconv.AppendUint(digits[:0], n.Uint64(), 10)
			c.PutText(string(d))
		} else {
			c.PutText(v.Units())
		}
	case dagcbor.Reading:
		b := c.ReadString(3, 78, "an amount")
		if c.Err != nil {
			return
		}
		if n, ok := dagcbor.ShortCount(b); ok {
			*v = money.Of(money.Asset{}, n)
			return
		}
		n, err := money.FromUnits(money.Asset{}, b)
		if err != nil {
			c.failWith(CodeSchemaRange, "%q is not a count of units", name)
		}
		*v = n
	}
}

// setAsset gives amounts that were read their asset, and checks the asset in either direction.
func (c *coder) setAsset(a money.Asset, amounts ...*money.Amount) {
	if c.Err == nil && c.Mode != dagcbor.Walking && !a.Valid() {
		c.failWith(CodeSchemaRange, "the symbol or the decimals of an asset are out of bounds")
	}
	if c.Mode == dagcbor.Reading {
		for _, v := range amounts {
			*v = money.FromUint256(a, v.Uint256())
		}
	}
}

func (a *AskModel) codeFields(c *coder) {
	f := c.openMap()
	c.intField(&f, "max", &a.MaxTokens)
	optionalRecord(c, &f, "fold", &a.Fold, (*Fold).codeFields)
	c.optionalInt(&f, "after", &a.After)
	if c.codeKey(&f, "route", true, true) {
		a.Route.codeFields(c)
	}
	c.bytes32Field(&f, "prompt", &a.Prompt)
	listField(c, &f, "decisions", &a.Decisions, codeDecision)
	c.closeMap(&f)
}

func (x *Fold) codeFields(c *coder) {
	f := c.openMap()
	c.uintField(&f, "to", &x.To)
	c.choiceField(&f, "how", &x.How, FoldCut, FoldSum)
	c.uintField(&f, "from", &x.From)
	c.intField(&f, "bytes", &x.Bytes)
	c.bytes32Field(&f, "digest", &x.Digest)
	c.uintField(&f, "messages", &x.Messages)
	c.closeMap(&f)
	if c.Err == nil && (x.From > x.To || x.Bytes <= 0 && c.Mode != dagcbor.Walking) {
		c.failWith(CodeSchemaRange, "what is left out is of steps %d to %d, %d bytes", x.From, x.To, x.Bytes)
	}
}

func (r *Route) codeFields(c *coder) {
	f := c.openMap()
	c.intField(&f, "cost", &r.Cost)
	c.choiceField(&f, "kind", &r.Kind, "rules", "scripted", "model")
	c.textField(&f, "rule", &r.Rule)
	c.textField(&f, "model", &r.Model)
	c.optionalText(&f, "shadow", &r.Shadow)
	listField(c, &f, "considered", &r.Considered, func(c *coder, s *string) { c.CodeText(s, maxText) })
	c.closeMap(&f)
}

func (x *Call) codeFields(c *coder) {
	f := c.openMap()
	x.Of.codeRef(c, &f, "of")
	x.Args = x.Args.codePayload(c, &f, "args", true)
	c.linkField(&f, "tool", &x.Tool)
	c.choiceField(&f, "class", &x.Class, "read", "keyed", "chain", "once", "wallet", "client")
	c.choiceField(&f, "phase", &x.Phase, PhaseAct, PhaseSimulate, PhaseSign, PhaseSend, PhaseFinal,
		PhaseAsk)
	optionalRecord(c, &f, "handed", &x.Handed, (*Handed).codeFields)
	x.Signed = x.Signed.codePayload(c, &f, "signed", false)
	listField(c, &f, "decisions", &x.Decisions, codeDecision)
	c.closeMap(&f)
	sends, asks := x.Class == "chain" || x.Class == "wallet", x.Phase == PhaseAsk
	if c.Err == nil && c.Mode != dagcbor.Walking && (sends == (x.Phase == PhaseAct || asks) || asks && x.Class != "read") {
		c.failWith(CodeSchemaRange, "class %s has no phase %s", x.Class, x.Phase)
	}
	sent := x.Phase == PhaseSend || x.Phase == PhaseFinal
	if c.Err == nil && c.Mode != dagcbor.Walking && (x.Signed != nil) != sent {
		c.failWith(CodeSchemaMissing, "phase %s: a signed transaction goes with phases send and final only", x.Phase)
	}
}

func (h *Handed) codeFields(c *coder) {
	f := c.openMap()
	c.optionalBool(&f, "own", &h.Own)
	h.Label = h.Label.codePayload(c, &f, "label", true)
	if c.codeKey(&f, "limits", true, true) {
		h.Limits.codeFields(c)
	}
	c.closeMap(&f)
}

func (s *Seek) codeFields(c *coder) {
	f := c.openMap()
	s.Of.codeRef(c, &f, "of")
	c.intField(&f, "until", &s.Until)
	s.Summary = s.Summary.codePayload(c, &f, "summary", true)
	listField(c, &f, "decisions", &s.Decisions, codeDecision)
	c.closeMap(&f)
}

func (s *Say) codeFields(c *coder) {
	f := c.openMap()
	s.Text = s.Text.codePayload(c, &f, "text", true)
	c.closeMap(&f)
}

func (d *Deny) codeFields(c *coder) {
	f := c.openMap()
	d.Of.codeRef(c, &f, "of")
	c.textField(&f, "tool", &d.Tool)
	listField(c, &f, "decisions", &d.Decisions, codeDecision)
	c.closeMap(&f)
}

func (x *Close) codeFields(c *coder) {
	f := c.openMap()
	c.optionalText(&f, "code", &x.Code)
	c.optionalInt(&f, "after", &x.After)
	if c.Err == nil && (x.After < 0 || x.After > 0 && x.Code == "") {
		c.failWith(CodeSchemaRange, "a time to wait goes with a code")
	}
	x.Label = x.Label.codePayload(c, &f, "label", false)
	c.choiceField(&f, "reason", &x.Reason,
		CloseAnswered, CloseDenied, CloseLimit, CloseFailed, CloseCancelled, CloseRevoked, CloseTimeout, CloseTruncated,
		CloseDeclined, CloseInDoubt)
	if c.codeKey(&f, "totals", true, true) {
		x.Totals.codeFields(c)
	}
	c.closeMap(&f)
}

func (t *Totals) codeFields(c *coder) {
	f := c.openMap()
	c.uintField(&f, "in", &t.In)
	c.uintField(&f, "out", &t.Out)
	c.intField(&f, "cost", &t.Cost)
	optionalList(c, &f, "over", &t.Over, codeAmount)
	requireSorted(c, "over", t.Over, func(a *money.Amount) string { return a.Asset().Symbol })
	c.uintField(&f, "calls", &t.Calls)
	optionalList(c, &f, "spent", &t.Spent, codeAmount)
	requireSorted(c, "spent", t.Spent, func(a *money.Amount) string { return a.Asset().Symbol })
	c.uintField(&f, "turns", &t.Turns)
	c.closeMap(&f)
}

func codeDecision(c *coder, d *Decision) {
	f := c.openMap()
	d.Why = d.Why.codePayload(c, &f, "why", false)
	c.optionalText(&f, "mode", &d.Mode)
	if d.Mode != "" && d.Mode != "public" && d.Mode != "commit-only" && d.Mode != "ephemeral" {
		c.failWith(CodeSchemaRange, "a payload is not kept in the mode %q", d.Mode)
	}
	c.optionalText(&f, "part", &d.Part)
	c.textField(&f, "point", &d.Point)
	listField(c, &f, "rules", &d.Rules, func(c *coder, s *string) { c.CodeText(s, maxText) })
	c.choiceField(&f, "outcome", &d.Outcome, "permit", "approve", "deny")
	optionalList(c, &f, "reserve", &d.Reserve, func(c *coder, r *Reserve) { r.codeFields(c) })
	c.closeMap(&f)
}

func (r *Reserve) codeFields(c *coder) {
	f := c.openMap()
	if c.codeKey(&f, "amount", true, true) {
		codeAmount(c, &r.Amount)
	}
	c.textField(&f, "budget", &r.Budget)
	c.closeMap(&f)
}

func (h *Head) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, h.versionName())
	c.intField(&f, "at", &h.At)
	c.publicKeyField(&f, "key", &h.Key)
	c.linkField(&f, "run", &h.Run)
	c.uintField(&f, "seq", &h.Seq)
	c.optionalBytes(&f, "sig", &h.Sig) // absent only in the bytes that are signed
	if c.Mode != dagcbor.Walking && len(h.Sig) != 0 && len(h.Sig) != 64 {
		c.failWith(CodeSchemaRange, "a signature of %d bytes instead of 64", len(h.Sig))
	}
	c.linkField(&f, "step", &h.Step)
	c.optionalLink(&f, "index", &h.Index)
	optionalList(c, &f, "erased", &h.Erased, (*coder).CodeLink)
	if c.Mode != dagcbor.Walking && len(h.Erased) > MaxErasures {
		c.failWith(CodeSchemaRange, "a head with more than %d erasures", MaxErasures)
	}
	optionalList(c, &f, "asserted", &h.Asserted, (*coder).CodeLink)
	if c.Mode != dagcbor.Walking && len(h.Asserted) > MaxAssertions {
		c.failWith(CodeSchemaRange, "a head with more than %d assertions", MaxAssertions)
	}
	c.closeMap(&f)
}

func (g *Grant) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, g.versionName())
	g.Sig = g.Sig.codePayload(c, &f, "sig", true)
	c.textField(&f, "method", &g.Method)
	g.Message = g.Message.codePayload(c, &f, "message", true)
	c.optionalLink(&f, "verification", &g.Verification)
	c.closeMap(&f)
	refuseForKey(c, g.Method, g.Verification)
}

func (p *PolicySet) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, p.versionName())
	c.textField(&f, "name", &p.Name)
	optionalList(c, &f, "parts", &p.Parts, func(c *coder, x *Part) {
		f := c.openMap()
		c.linkField(&f, "data", &x.Data)
		c.textField(&f, "name", &x.Name)
		c.closeMap(&f)
	})
	requireSorted(c, "parts", p.Parts, func(x *Part) string { return x.Name })
	c.optionalLink(&f, "under", &p.Under)
	c.optionalText(&f, "origin", &p.Origin)
	c.longTextField(&f, "source", &p.Source)
	c.closeMap(&f)
	if c.Err == nil && p.Under.Defined() != (p.Origin != "") {
		c.failWith(CodeSchemaMissing, "a policy set names an origin if it stands under another, and only then")
	}
}

func (a *Agent) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, a.versionName())
	c.textField(&f, "name", &a.Name)
	c.optionalText(&f, "about", &a.About)
	listField(c, &f, "tools", &a.Tools, func(c *coder, l *Link) { c.CodeLink(l) })
	c.optionalText(&f, "answer", &a.Answer)
	if c.codeKey(&f, "limits", true, true) {
		a.Limits.codeFields(c)
	}
	listField(c, &f, "routes", &a.Routes, func(c *coder, r *AgentRoute) { r.codeFields(c) })
	c.longTextField(&f, "instructions", &a.Instructions)
	c.closeMap(&f)
}

func (r *AgentRoute) codeFields(c *coder) {
	f := c.openMap()
	c.optionalText(&f, "by", &r.By)
	c.textField(&f, "id", &r.ID)
	c.textField(&f, "use", &r.Use)
	c.textField(&f, "when", &r.When)
	c.optionalBool(&f, "hedge", &r.Hedge)
	c.optionalBool(&f, "shadow", &r.Shadow)
	c.optionalUint(&f, "priority", &r.Priority)
	c.closeMap(&f)
}

func (l *Limits) codeFields(c *coder) {
	f := c.openMap()
	c.intField(&f, "cost", &l.Cost)
	c.intField(&f, "wall", &l.Wall)
	c.uintField(&f, "calls", &l.Calls)
	c.uintField(&f, "turns", &l.Turns)
	c.intField(&f, "tokens", &l.Tokens)
	c.closeMap(&f)
}

func (t *ToolDef) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, t.versionName())
	c.optionalLink(&f, "book", &t.Book)
	c.textField(&f, "name", &t.Name)
	c.textField(&f, "about", &t.About)
	c.choiceField(&f, "class", &t.Class, "read", "keyed", "chain", "once", "wallet", "client")
	c.optionalText(&f, "final", &t.Final)
	optionalRecord(c, &f, "spend", &t.Spend, (*Spend).codeFields)
	optionalRecord(c, &f, "output", &t.Output, (*ToolOutput).codeFields)
	c.longTextField(&f, "schema", &t.Schema)
	c.optionalBool(&f, "foreign", &t.Foreign)
	optionalRecord(c, &f, "delegate", &t.Delegate, (*Delegate).codeFields)
	c.optionalText(&f, "clearance", &t.Clearance)
	c.optionalBool(&f, "ask_wallet", &t.AskWallet)
	c.optionalText(&f, "definition", &t.Definition)
	if t.Clearance != "" && t.Clearance != "wallet" && t.Clearance != "secret" {
		c.failWith(CodeSchemaRange, "a tool has no clearance %q", t.Clearance)
	}
	optionalList(c, &f, "utterances", &t.Utterances, func(c *coder, s *string) { c.CodeText(s, maxText) })
	c.closeMap(&f)
}

func (o *ToolOutput) codeFields(c *coder) {
	f := c.openMap()
	c.optionalBool(&f, "origins", &o.Origins)
	c.choiceField(&f, "secrecy", &o.Secrecy, "public", "session", "wallet", "secret")
	c.optionalBool(&f, "documents", &o.Documents)
	c.choiceField(&f, "integrity", &o.Integrity, "operator", "user", "tool", "untrusted")
	c.closeMap(&f)
}

func (s *Spend) codeFields(c *coder) {
	f := c.openMap()
	c.textField(&f, "to", &s.To)
	c.textField(&f, "asset", &s.Asset)
	c.textField(&f, "amount", &s.Amount)
	c.closeMap(&f)
}

func (d *Delegate) codeFields(c *coder) {
	f := c.openMap()
	c.intField(&f, "life", &d.Life)
	c.linkField(&f, "agent", &d.Agent)
	listField(c, &f, "tools", &d.Tools, func(c *coder, s *string) { c.CodeText(s, maxText) })
	requireSorted(c, "tools", d.Tools, func(s *string) string { return *s })
	c.textField(&f, "caveats", &d.Caveats)
	c.closeMap(&f)
}

func (r *Runtime) codeFields(c *coder) {
	f := c.openMap()
	c.versionField(&f, r.versionName())
	c.publicKeyField(&f, "key", &r.Key)
	c.textField(&f, "build", &r.Build)
	listField(c, &f, "models", &r.Models, func(c *coder, m *ModelInfo) { m.codeFields(c) })
	c.textField(&f, "version", &r.Version)
	c.closeMap(&f)
}

func (m *ModelInfo) codeFields(c *coder) {
	f := c.openMap()
	c.intField(&f, "in", &m.PriceIn)
	c.intField(&f, "max", &m.MaxTokens)
	c.intField(&f, "out", &m.PriceOut)
	c.choiceField(&f, "kind", &m.Kind, "rules", "scripted", "model")
	c.textField(&f, "name", &m.Name)
	c.optionalText(&f, "pool", &m.Pool)
	c.textField(&f, "model", &m.Model)
	c.optionalInt(&f, "cached", &m.PriceCached)
	c.optionalBool(&f, "images", &m.Images)
	c.optionalText(&f, "prices", &m.Prices)
	c.optionalUint(&f, "weight", &m.Weight)
	c.optionalInt(&f, "window", &m.Window)
	c.optionalText(&f, "dialect", &m.Dialect)
	c.optionalInt(&f, "write1h", &m.PriceWrite1h)
	c.optionalInt(&f, "write5m", &m.PriceWrite5m)
	c.textField(&f, "provider", &m.Provider)
	c.closeMap(&f)
}
