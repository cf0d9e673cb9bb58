package policies

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/calendar"
	"github.com/writ-run/writ/policies/money"
)

// A BudgetDef is a budget that a set declares. The ledgers behind it are kept elsewhere and come in as
// [Request.Budgets].
//
// A window begins anew with the calendar: an hour of UTC, or a day, week (from Monday) or month in the budget's zone.
// So each window has a ledger of its own, whose name says which, and a cap is exact whoever reserves at once; what is
// reserved in one window and settled in the next counts in the first. The price is that around midnight two caps may
// be spent one after the other; a rule with sum(...) over a moving window holds within a run what a calendar does not.
type BudgetDef struct {
	ID     string // "layer/id"
	Cap    money.Amount
	Scope  string // who shares it: session, wallet or agent
	Window string // "" for all time, [PerCall], hour, day, week or month

	// PerRecipient says that each recipient has a ledger of its own. Only rules at [Spend] can reserve from it.
	PerRecipient bool

	// UntilApproval says that it counts what was used since the wallet last approved a spend of the asset, and by
	// recipient one to that recipient.
	UntilApproval bool

	zone *calendar.Zone
}

// PerCall is the window of a budget that caps each request by itself. It has no ledger.
const PerCall = "call"

var windows = []string{PerCall, string(calendar.Hour), string(calendar.Day), string(calendar.Week),
	string(calendar.Month)}

// Name is the id without the layer, as conditions and rules of the set write it.
func (d *BudgetDef) Name() string {
	_, id, _ := strings.Cut(d.ID, "/")
	return id
}

// Kept says whether there is a ledger behind the budget.
func (d *BudgetDef) Kept() bool { return d.Window != PerCall }

// Label names the window that ms (UTC) lies in, such as "2026-11-25"; "" if the budget has none. The error is
// [calendar.ErrTime].
func (d *BudgetDef) Label(ms int64) (string, error) {
	if d.Window == "" || d.Window == PerCall {
		return "", nil
	}
	return d.zone.Label(calendar.Span(d.Window), ms)
}

// String says how the cap is to be read: "10 USDC a day in America/New_York for each recipient".
func (d *BudgetDef) String() string {
	s := d.Cap.String()
	switch d.Window {
	case "":
	case PerCall, string(calendar.Hour):
		s += " " + map[string]string{PerCall: "a call", string(calendar.Hour): "an hour"}[d.Window]
	default:
		s += " a " + d.Window + " in " + d.zone.Name()
	}
	if d.PerRecipient {
		s += " for each recipient"
	}
	if d.UntilApproval {
		s += " until the wallet approves a spend"
	}
	return s
}

func (l *loader) readWindow(m map[string]*yaml.Node, def *BudgetDef) {
	if v := m["window"]; v != nil {
		def.Window, _ = l.Scalar(v, "window")
		if !slices.Contains(windows, def.Window) {
			l.ReportHint(v, wording.Nearest(def.Window, windows), "window must be call, hour, day, week or month")
			return
		}
	}
	if def.Window != "" && def.Window != PerCall {
		def.zone = utc
	}
	if v := m["zone"]; v != nil {
		name, _ := l.Scalar(v, "zone")
		switch def.Window {
		case "", PerCall, string(calendar.Hour):
			l.Report(v, "a zone belongs to a window of a day, a week or a month")
			return
		}
		z, err := (&scope{zone: l.readZone}).findZone(name)
		if err != nil {
			l.ReportHint(v, wording.Nearest(name, calendar.Names()), "%v", err)
			return
		}
		def.zone = z
	}
	if v := m["per"]; v != nil {
		per, _ := l.Scalar(v, "per")
		switch {
		case per != "recipient":
			l.ReportHint(v, wording.Nearest(per, []string{"recipient"}), "per must be recipient")
		case def.Window == PerCall:
			l.Report(v, "a call has one recipient; leave per out")
		}
		def.PerRecipient = true
	}
	if v := m["until"]; v != nil {
		until, _ := l.Scalar(v, "until")
		switch {
		case until != "approval":
			l.ReportHint(v, wording.Nearest(until, []string{"approval"}), "until must be approval")
		case def.Window != "" || def.Scope == "agent":
			l.Report(v, "what counts until an approval has no window, and the scope session or wallet")
		}
		def.UntilApproval = true
	}
	if def.Window == PerCall {
		l.set.perCall = true
	}
}

// reservesWithLedger drops what a decision reserves in budgets that have no ledger.
func (l Layers) reservesWithLedger(reserves []Reserve) []Reserve {
	if !slices.ContainsFunc(l, func(s *Set) bool { return s.perCall }) {
		return reserves
	}
	return slices.DeleteFunc(reserves, func(r Reserve) bool {
		def := l.findBudget(r.Budget)
		return !def.Kept()
	})
}

// waitForWindow asks for the next window of a budget that has no room left in this one.
func (x *finding) waitForWindow(try *Request) (w wish, ok bool) {
	def := x.room.def
	if x.room.err != nil || def.Window == "" || def.Window == PerCall {
		return wish{}, false
	}
	next, err := def.zone.Next(calendar.Span(def.Window), try.Now)
	if err != nil {
		return wish{}, false
	}
	try.Budgets = slices.Clone(try.Budgets)
	if b := try.Ledger(def.ID); b != nil {
		zero := money.Of(b.Cap.Asset(), 0)
		b.Spent, b.Reserved = zero, zero
	}
	try.Now, try.Past = next, try.Past.At(next)
	return waitUntil(next, def.zone), true
}
