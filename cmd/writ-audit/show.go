package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// A runView is a run as people read it. Payloads without a key read "(sealed)", and those that
// the head calls erased "(erased)".
type runView struct {
	Run     string     `json:"run"`
	Head    string     `json:"head"`
	Opened  string     `json:"opened"`
	Agent   string     `json:"agent"`
	Rules   string     `json:"rules"`             // the operator's
	Dapp    string     `json:"dapp,omitempty"`    // rules of the page where the wallet signed
	Wallet  string     `json:"wallet,omitempty"`  // these two if the permission is open
	Allowed string     `json:"allowed,omitempty"` // the sentence that the wallet signed
	Steps   []stepView `json:"steps"`
}

// A stepView is one step: what came in, what was known, what was done about it and why.
type stepView struct {
	Seq   uint64     `json:"seq"`
	CID   string     `json:"cid"`
	At    string     `json:"at"`
	Event itemView   `json:"event"`
	Does  []itemView `json:"does"`
	Facts []string   `json:"facts"`
	// Decisions are those that belong to no effect. Label is what the context is worth from here on, if it changed.
	Decisions []decisionView `json:"decisions,omitempty"`
	Label     string         `json:"label,omitempty"`
	// Child is the run of the sub-agent whose answer the event is. Of one that is in another file only Run is set.
	Child *runView `json:"child,omitempty"`

	ledgers int // how many of Facts are ledgers; they come first
}

// An itemView is an event or an effect.
type itemView struct {
	Kind      string         `json:"kind"`
	Text      string         `json:"text"`
	Decisions []decisionView `json:"decisions,omitempty"`
}

type decisionView struct {
	Point   string   `json:"point"`
	Outcome string   `json:"outcome"`
	Rules   []string `json:"rules"`
	Why     string   `json:"why,omitempty"` // as recorded: JSON with message, change and atoms
	Reserve []string `json:"reserve,omitempty"`
}

// runShow tells what happened in a run, or in one step of it.
func (c *command) runShow(files []string) (int, error) {
	v, err := c.readView(files[0], c.keys)
	if err != nil {
		return 0, err
	}
	full := c.step >= 0
	if full {
		if c.step >= len(v.Steps) {
			return 0, usage("there is no step %d; the run has %d, from 0 on", c.step, len(v.Steps))
		}
		v.Steps = v.Steps[c.step : c.step+1]
	}
	if c.json {
		return 0, c.printObject(true, v)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "run     %s\nopened  %s\nagent   %s\nrules   %s\n", v.Run, v.Opened, audit.Printable(v.Agent),
		audit.Printable(v.Rules))
	if v.Dapp != "" {
		fmt.Fprintf(&b, "dapp    %s\n", audit.Printable(v.Dapp))
	}
	if v.Wallet != "" {
		fmt.Fprintf(&b, "wallet  %s\nallowed %s\n", v.Wallet, audit.Printable(v.Allowed))
	} else {
		b.WriteString("allowed (sealed; give --keys)\n")
	}
	b.WriteString("\n")
	for _, s := range v.Steps {
		s.writeText(&b, "", full)
	}
	b.WriteString("\nThis shows what the record says. Whether it is right: writ-audit verify\n")
	_, err = io.WriteString(c.out, b.String())
	return 0, err
}

// writeText writes a step, and the run of a sub-agent under the step that has its answer. Every line begins with
// margin.
func (s *stepView) writeText(to *strings.Builder, margin string, full bool) {
	b := new(strings.Builder)
	s.writeLines(&lineWriter{b, full})
	for line := range strings.Lines(b.String()) {
		to.WriteString(margin + line)
	}
	switch c := s.Child; {
	case c == nil:
	case c.Agent == "":
		fmt.Fprintf(to, "%s    +- run %s, which is not in this file\n", margin, c.Run)
	default:
		fmt.Fprintf(to, "%s    +- agent %s, run %s\n", margin, audit.Printable(c.Agent), c.Run)
		for _, s := range c.Steps {
			s.writeText(to, margin+"    |  ", full)
		}
	}
}

// A lineWriter writes what is in the evidence, shortened unless all of it is wanted.
type lineWriter struct {
	*strings.Builder
	full bool
}

// clip makes a text one line, which nothing in the evidence can break.
func (b *lineWriter) clip(t string) string {
	t = audit.Printable(t)
	if runes := []rune(t); !b.full && len(runes) > 100 {
		return string(runes[:100]) + "..."
	}
	return t
}

// writeLines writes the step without its sub-agent's.
func (s *stepView) writeLines(b *lineWriter) {
	fmt.Fprintf(b, "%3d %s  %-9s %s\n", s.Seq, s.At, s.Event.Kind, b.clip(s.Event.Text))
	if b.full {
		fmt.Fprintf(b, "    cid %s\n", s.CID)
		for _, f := range s.Facts {
			fmt.Fprintf(b, "    knew %s\n", b.clip(f))
		}
	}
	if s.Label != "" {
		fmt.Fprintf(b, "    now holds %s\n", b.clip(s.Label))
	}
	b.writeDecisions(s.Decisions)
	for _, e := range s.Does {
		fmt.Fprintf(b, "    -> %-9s %s\n", e.Kind, b.clip(e.Text))
		b.writeDecisions(e.Decisions)
	}
}

func (b *lineWriter) writeDecisions(decisions []decisionView) {
	for _, d := range decisions {
		fmt.Fprintf(b, "       %s: %s by %s\n", d.Point, d.Outcome, b.clip(strings.Join(d.Rules, ", ")))
		var why struct{ Message, Change string }
		switch {
		case d.Why == "":
		case b.full:
			fmt.Fprintf(b, "         why %s\n", b.clip(d.Why))
		case json.Unmarshal([]byte(d.Why), &why) == nil && why.Message != "":
			fmt.Fprintf(b, "         why %s\n", b.clip(why.Message))
		}
		for _, r := range d.Reserve {
			fmt.Fprintf(b, "         holds %s\n", b.clip(r))
		}
	}
}

// readView reads a file into a runView. A file that is not in order is an error with its code.
func (c *command) readView(file, keyFile string) (*runView, error) {
	keys, err := readKeys(keyFile)
	if err != nil {
		return nil, err
	}
	car, f, err := c.openAny(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := viewRun(car, keys, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return v, nil
}

// A branch is the history of a sub-agent's run in the blocks of its caller's.
type branch struct {
	provenance.Source
	root provenance.Link
}

func (b branch) Root() provenance.Link { return b.root }

// viewRun reads a run and those of its sub-agents, which are at most [provenance.MaxDelegations] deep.
func viewRun(src provenance.Source, keys map[provenance.Link]provenance.LeafKey, depth int) (*runView, error) {
	rep, ev := provenance.Verify(src, provenance.Options{Keys: keys})
	if ev == nil {
		return nil, &provenance.Fault{Code: rep.Code, Detail: rep.Detail}
	}
	v := &runView{
		Run: ev.RunCID.String(), Head: ev.HeadCID.String(), Opened: formatTime(ev.Run.Opened, time.RFC3339),
		Agent: ev.Agent.Name + " " + ev.Run.Agent.String(), Rules: ev.Rules.Name + " " + ev.Run.Rules.String(),
	}
	if d := ev.Dapp; d != nil {
		v.Rules, v.Dapp = ev.Rules.Name+" "+d.Under.String(), d.Name+" "+ev.Run.Rules.String()+" for "+d.Origin
	}
	v.describeGrant(&ev.Grant)
	gone := listErased(src, &ev.Head)
	err := ev.Each(func(c provenance.Link, s *provenance.Step) error {
		tellErased(s, gone)
		view := viewOf(ev, c, s)
		if r, ok := s.Event.(*provenance.Result); ok && r.Child.Defined() {
			child, err := viewChild(ev, r.Child, keys, depth)
			if err != nil {
				return err
			}
			view.Child = child
		}
		v.Steps = append(v.Steps, view)
		return nil
	})
	if err != nil {
		return nil, err
	}
	// A record shows the ledgers that others have drawn on; with the keys, all that the decisions saw can be shown.
	audit.Replay(src, audit.Options{Keys: keys}, func(r audit.Replayed) {
		if r.Ledgers != nil {
			s := &v.Steps[r.Seq]
			s.Facts = append(knownLedgers(r.Ledgers), s.Facts[s.ledgers:]...)
			s.ledgers = len(r.Ledgers)
		}
	})
	return v, nil
}

// describeGrant says what the wallet has signed, if the message is open.
func (v *runView) describeGrant(signed *provenance.Grant) {
	message, ok := signed.Message.Bytes()
	sig, ok2 := signed.Sig.Bytes()
	if !ok || !ok2 {
		return
	}
	g, err := auth.Reread(message, sig)
	if err != nil {
		v.Wallet, v.Allowed = "unknown", "nothing: "+err.Error()
		return
	}
	v.Wallet, v.Allowed = g.Account.Hex(), g.Caveats.Sentence(g.Agent, g.Expires)
}

func viewChild(
	ev *provenance.Evidence, head provenance.Link, keys map[provenance.Link]provenance.LeafKey, depth int,
) (*runView, error) {
	var h provenance.Head
	if err := ev.Record(head, &h); errors.Is(err, provenance.ErrAbsent) {
		return &runView{Run: "of head " + head.String()}, nil
	} else if err != nil {
		return nil, err
	}
	if depth == provenance.MaxDelegations {
		return nil, &provenance.Fault{Code: provenance.CodeDelegationDepth, At: head, Detail: "sub-agents are too deep"}
	}
	return viewRun(branch{ev.Source(), head}, keys, depth+1)
}

// listErased returns the leaves that a head calls erased. The head was verified.
func listErased(src provenance.Source, head *provenance.Head) map[provenance.Link]bool {
	gone := map[provenance.Link]bool{}
	for _, l := range head.Erased {
		if data, err := src.Get(l); err == nil {
			if rec, err := provenance.DecodeAny(data); err == nil {
				for _, leaf := range rec.(*provenance.Erasure).Leaves {
					gone[leaf] = true
				}
			}
		}
	}
	return gone
}

// tellErased has the payloads of a step that are erased say so, which are else told as sealed.
func tellErased(s *provenance.Step, gone map[provenance.Link]bool) {
	provenance.EachPayload(s, func(p *provenance.Payload) {
		if _, known := p.Bytes(); !known && gone[p.Leaf()] {
			*p = *provenance.NewPayload([]byte("(erased)"))
		}
	})
}

func viewOf(ev *provenance.Evidence, c provenance.Link, s *provenance.Step) stepView {
	v := stepView{Seq: s.Seq, CID: c.String(), At: formatTime(s.At, "15:04:05.000"), Event: viewEvent(s.Event),
		Facts: []string{}, Does: []itemView{}}
	v.Facts, v.ledgers = append(v.Facts, knownLedgers(s.Facts.Budgets)...), len(s.Facts.Budgets)
	if len(s.Facts.Down) > 0 {
		v.Facts = append(v.Facts, "models down: "+strings.Join(s.Facts.Down, ", "))
	}
	if s.Facts.Revoked {
		v.Facts = append(v.Facts, "the session was over")
	}
	for _, e := range s.Does {
		v.Does = append(v.Does, viewEffect(ev, e))
	}
	v.Decisions = viewDecisions(s.Decisions)
	if s.Label != nil {
		v.Label = contentOf(s.Label)
	}
	return v
}

func knownLedgers[B policies.Budget | provenance.Budget](ledgers []B) (known []string) {
	for _, l := range ledgers {
		b := policies.Budget(l)
		known = append(known,
			fmt.Sprintf("%s: %s spent and %s held of %s", b.ID, b.Spent.Decimal(), b.Reserved.Decimal(), b.Cap))
	}
	return known
}

func viewEvent(e provenance.Event) itemView {
	switch e := e.(type) {
	case *provenance.Ask:
		return itemView{Kind: "asked", Text: contentOf(e.Request) + " (signed by " + e.Key + ")"}
	case *provenance.Reply:
		if e.Model == nil {
			return itemView{Kind: "failed", Text: "the model: " + e.Failed}
		}
		m := e.Model
		text := []string{fmt.Sprintf("%s (%s):", m.Name, m.Answered)}
		if m.Text != nil {
			text = append(text, contentOf(m.Text))
		}
		for _, c := range m.Calls {
			text = append(text, "wants "+c.Tool+" "+contentOf(c.Args))
		}
		return itemView{Kind: "answered", Text: strings.Join(text, " ")}
	case *provenance.Result:
		return itemView{Kind: "result", Text: e.Status + " " + contentOf(e.Output)}
	case *provenance.Verdict:
		if e.Approval == nil {
			why := e.Refused
			if e.Words != nil {
				why = contentOf(e.Words)
			}
			return itemView{Kind: "refused", Text: "by the wallet: " + why}
		}
		return itemView{Kind: "approved", Text: "by the wallet, method " + e.Approval.Method}
	case *provenance.Lapse:
		return itemView{Kind: "lapsed", Text: e.Why}
	}
	return itemView{Kind: "unknown"}
}

func viewEffect(ev *provenance.Evidence, e provenance.Effect) itemView {
	switch e := e.(type) {
	case *provenance.AskModel:
		return itemView{"model",
			fmt.Sprintf("%s (%s) by route %s, at most %d tokens", e.Route.Model, e.Route.Kind, e.Route.Rule,
				e.MaxTokens), viewDecisions(e.Decisions)}
	case *provenance.Call:
		name := e.Tool.String()
		if def := ev.Tools[e.Tool]; def != nil {
			name = def.Name
		}
		return itemView{"call", e.Phase + " " + name + " " + contentOf(e.Args), viewDecisions(e.Decisions)}
	case *provenance.Seek:
		return itemView{"approval", "sought until " + formatTime(e.Until, "15:04:05") + " for " + contentOf(e.Summary),
			viewDecisions(e.Decisions)}
	case *provenance.Deny:
		return itemView{"denied", e.Tool, viewDecisions(e.Decisions)}
	case *provenance.Say:
		return itemView{Kind: "said", Text: contentOf(e.Text)}
	case *provenance.Close:
		spent := ""
		for _, a := range e.Totals.Spent {
			spent += ", " + a.String()
		}
		for _, a := range e.Totals.Over {
			spent += ", " + a.String() + " of it more than was reserved"
		}
		return itemView{Kind: "closed",
			Text: fmt.Sprintf("%s after %d turns and %d calls%s", e.Reason, e.Totals.Turns, e.Totals.Calls, spent)}
	}
	return itemView{Kind: "unknown"}
}

func viewDecisions(ds []provenance.Decision) []decisionView {
	var out []decisionView
	for _, d := range ds {
		v := decisionView{Point: d.Point, Outcome: d.Outcome, Rules: d.Rules}
		if d.Why != nil {
			v.Why = contentOf(d.Why)
		}
		for _, r := range d.Reserve {
			v.Reserve = append(v.Reserve, r.Amount.String()+" in "+r.Budget)
		}
		out = append(out, v)
	}
	return out
}

func contentOf(p *provenance.Payload) string {
	if p == nil {
		return ""
	}
	b, ok := p.Bytes()
	if !ok {
		return "(sealed)"
	}
	return strings.ToValidUTF8(string(b), "?")
}

func formatTime(ms int64, layout string) string { return time.UnixMilli(ms).UTC().Format(layout) }
