package loop

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A Ledger is one count behind a budget: a budget with a window has one for each window, one that counts by recipient
// has one for each recipient. Window and recipient are part of its name, so they need no place of their own in a
// record or in a store.
type Ledger struct {
	// ID names it in facts and decisions: "layer/id", then "~" and a caller's name if it is that agent's ledger and not
	// the run's own, then "@" and the window, then "#" and a digest of the recipient. Facts are public in a sealed run,
	// and who was paid is not; the digest is salted by the run.
	ID string
	// Key names it in a store, within its scope: as ID, with the recipient's address. The same for every run.
	Key    string
	Scope  string          // session, wallet, agent or delegation
	Caller string          // with scope agent: whose it is, if not the run's own agent's
	Of     provenance.Link // with scope delegation: which one
	Cap    money.Amount
}

func plainLedgers(budgets []Budget) []Ledger {
	out := make([]Ledger, 0, len(budgets))
	for _, b := range budgets {
		if b.def.Window != "" || b.def.PerRecipient || len(b.above) > 0 || b.store != "" {
			return nil
		}
		out = append(out, Ledger{ID: b.ID, Key: b.ID, Scope: b.Scope, Of: b.Of, Cap: b.Cap})
	}
	return out
}

// Ledgers lists the ledgers that decisions of the next step see, sorted by ID: those of the windows that at (ms UTC)
// lies in, and of the recipients whom ev or an open call of s is about. Its facts carry those that [State.Changed] keeps.
func (m *Machine) Ledgers(s State, at int64, ev provenance.Event) ([]Ledger, error) {
	if m.plain != nil {
		return m.plain, nil
	}
	var to []common.Address
	if slices.ContainsFunc(m.budgets, func(b Budget) bool { return b.def.PerRecipient }) {
		to = m.recipients(s, ev)
	}
	var out []Ledger
	for _, b := range m.budgets {
		label, err := b.def.Label(at)
		if err != nil {
			return nil, fmt.Errorf("budget %s: %w", b.ID, err)
		}
		for _, agent := range b.agents() {
			if !b.def.PerRecipient {
				out = append(out, ledgerOf(&b, agent, label, nil, s.salt))
				continue
			}
			for i := range to {
				out = append(out, ledgerOf(&b, agent, label, &to[i], s.salt))
			}
		}
	}
	slices.SortFunc(out, func(a, b Ledger) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}

// agents lists whose ledgers a budget has: "" is the run's own, what follows are the callers of a sub-agent.
func (b *Budget) agents() []string { return append([]string{""}, b.above...) }

func ledgerOf(b *Budget, caller, label string, to *common.Address, salt [32]byte) Ledger {
	l := Ledger{ID: b.ID, Key: cmp.Or(b.store, b.ID), Scope: b.Scope, Of: b.Of, Caller: caller, Cap: b.Cap}
	if caller != "" { // to the caller's own runs it is theirs: the store has it under their name
		l.ID += "~" + caller
	}
	if label != "" {
		l.ID += "@" + label
		l.Key += "@" + label
	}
	if to != nil {
		l.Key += "#" + to.Hex()
		l.ID += "#" + recipientDigest(salt, *to)
	}
	return l
}

// recipientDigest is what stands for a recipient in the open: 128 bits of SHA-256 over the run's salt and the address.
func recipientDigest(salt [32]byte, to common.Address) string {
	h := sha256.New()
	h.Write([]byte("writ/recipient/1\n"))
	h.Write(salt[:])
	h.Write(to[:])
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// recipients lists whom the calls that a reply asks for, and the open ones, would pay; sorted, none twice.
func (m *Machine) recipients(s State, ev provenance.Event) []common.Address {
	var out []common.Address
	if r, ok := ev.(*provenance.Reply); ok && r.Model != nil {
		for _, ask := range r.Model.Calls {
			t := m.tools[ask.Tool]
			raw, open := ask.Args.Bytes()
			if t == nil || t.spec.Spend == nil || !open {
				continue // such a call reaches no decision about a spend
			}
			if args, err := t.def.Read(raw); err == nil {
				out = append(out, args.To)
			}
		}
	}
	for i := range s.calls {
		if c := &s.calls[i]; c.phase != "" && c.tool.spec.Spend != nil {
			out = append(out, c.args.To)
		}
	}
	slices.SortFunc(out, func(a, b common.Address) int { return a.Cmp(b) })
	return slices.Compact(out)
}

// Errors of facts.
var (
	// ErrLedger says that facts show less of a budget used than the run itself has used: a cap counted so is no cap.
	ErrLedger = errors.New("the facts show less of a budget used than this run has used of it")
	// ErrFacts says that facts leave out a ledger, show one that the rules do not name or with another cap than theirs, or
	// show what follows from the steps before.
	ErrFacts = errors.New("the facts do not show the ledgers as the rules have them")
)

// Changed returns which of the ledgers, sorted by ID, the facts of the next step show: those that are not as the last
// step left them. The others need not be said again. The slice is used up.
func (s State) Changed(ledgers []provenance.Budget) []provenance.Budget {
	return slices.DeleteFunc(ledgers, func(b provenance.Budget) bool {
		return slices.Contains(s.shown, policies.Budget(b))
	})
}

// Seen returns the ledgers as the decisions of the next step see them, sorted by ID. It fails as [Machine.Step] does.
func (m *Machine) Seen(s State, at int64, ev provenance.Event, f provenance.Facts) ([]policies.Budget, error) {
	w := work{m: m, s: s, at: at, facts: f}
	err := w.readLedgers(ev)
	return w.budgets, err
}

// readLedgers puts together what decisions see of the ledgers: those that the facts show, the others as the last step
// left them.
func (w *work) readLedgers(ev provenance.Event) error {
	ledgers, err := w.m.Ledgers(w.s, w.at, ev)
	if err != nil {
		return err
	}
	w.budgets = make([]policies.Budget, 0, len(ledgers))
	facts := w.facts.Budgets
	for _, l := range ledgers {
		i := slices.IndexFunc(w.s.shown, func(b policies.Budget) bool { return b.ID == l.ID })
		switch {
		case len(facts) > 0 && facts[0].ID == l.ID:
			b := policies.Budget(facts[0])
			if i >= 0 && w.s.shown[i] == b {
				return fmt.Errorf("budget %s is shown although it has not changed: %w", l.ID, ErrFacts)
			}
			w.budgets, facts = append(w.budgets, b), facts[1:]
		case i >= 0:
			w.budgets = append(w.budgets, w.s.shown[i])
		default:
			return fmt.Errorf("budget %s is not shown: %w", l.ID, ErrFacts)
		}
		if b := w.budgets[len(w.budgets)-1]; b.Cap != l.Cap {
			return fmt.Errorf("budget %s has the cap %s, not %s: %w", l.ID, b.Cap, l.Cap, ErrFacts)
		}
	}
	if len(facts) > 0 {
		return fmt.Errorf("budget %s is none of this step's: %w", facts[0].ID, ErrFacts)
	}
	return w.checkOwn()
}

// checkOwn compares the ledgers with what this run alone has drawn.
func (w *work) checkOwn() error {
	for _, own := range w.s.own {
		for _, b := range w.budgets {
			if b.ID != own.ledger {
				continue
			}
			spent, err := b.Spent.Cmp(own.spent)
			held, err2 := b.Reserved.Cmp(own.held)
			if err != nil || err2 != nil || spent < 0 || held < 0 {
				return fmt.Errorf("budget %s: %w", own.ledger, ErrLedger)
			}
		}
	}
	return nil
}

// A settled is a reservation that this step has ended; used of it is spent.
type settled struct {
	reserve provenance.Reserve
	used    money.Amount
}

// leaveLedgers notes how the ledgers are after this step, if nobody else draws on them.
func (w *work) leaveLedgers() {
	for _, x := range w.settled {
		for i := range w.budgets {
			if b := &w.budgets[i]; b.ID == x.reserve.Budget { // what is taken out was in, by checkOwn, so neither fails
				b.Reserved, _ = b.Reserved.Sub(x.reserve.Amount)
				b.Spent, _ = b.Spent.Add(x.used)
			}
		}
	}
	w.s.shown = w.budgets
}

// ledgersFor returns the ledgers of this step as a decision about c reads them, under the names of their budgets. c is
// nil if the decision is about no call.
func (w *work) ledgersFor(c *call) []policies.Budget {
	if w.m.plain != nil {
		return w.budgets
	}
	out := make([]policies.Budget, 0, len(w.m.budgets))
	for i := range w.m.budgets {
		b := &w.m.budgets[i]
		ledgers, err := w.ledgersOf(b, c)
		if err != nil {
			continue // of a budget whose state is not known nothing can be drawn
		}
		if all, ok := w.fullest(ledgers); ok {
			all.ID = b.ID
			out = append(out, all)
		}
	}
	return out
}

// fullest returns the state of a budget with several ledgers, all of one cap: whoever reads it sees as much used as the
// fullest of them has. ok is false if one of them is not among the facts.
func (w *work) fullest(ledgers []Ledger) (all policies.Budget, ok bool) {
	for i, l := range ledgers {
		at := slices.IndexFunc(w.budgets, func(b policies.Budget) bool { return b.ID == l.ID })
		if at < 0 {
			return all, false
		}
		b := w.budgets[at]
		if i == 0 {
			all = b
			continue
		}
		used, err := b.Spent.Add(b.Reserved)
		before, err2 := all.Spent.Add(all.Reserved)
		if err != nil || err2 != nil {
			return all, false
		}
		spent := larger(all.Spent, b.Spent)
		held, err := larger(used, before).Sub(spent)
		if err != nil {
			return all, false
		}
		all.Spent, all.Reserved = spent, held
	}
	return all, len(ledgers) > 0
}

func larger(a, b money.Amount) money.Amount {
	if n, err := a.Cmp(b); err == nil && n < 0 {
		return b
	}
	return a
}

// ledgersOf returns the ledgers behind a budget as a decision about c draws on them, the run's own first.
func (w *work) ledgersOf(b *Budget, c *call) ([]Ledger, error) {
	label, err := b.def.Label(w.at)
	if err != nil {
		return nil, err
	}
	var to *common.Address
	if b.def.PerRecipient {
		if c == nil || c.tool == nil || c.tool.spec.Spend == nil {
			return nil, fmt.Errorf("budget %s counts by recipient, and there is none", b.ID)
		}
		to = &c.args.To
	}
	var out []Ledger
	for _, agent := range b.agents() {
		out = append(out, ledgerOf(b, agent, label, to, w.s.salt))
	}
	return out, nil
}

// nameLedgers puts the names of the ledgers in the place of those of their budgets, in what decisions reserve, and
// notes by which names a store knows them. A budget of several ledgers is drawn on in each.
func (w *work) nameLedgers(ds []provenance.Decision, c *call) error {
	if w.m.plain != nil {
		return nil
	}
	for i := range ds {
		var named []provenance.Reserve
		for _, r := range ds[i].Reserve {
			at := slices.IndexFunc(w.m.budgets, func(b Budget) bool { return b.ID == r.Budget })
			if at < 0 {
				named = append(named, r) // hold says so
				continue
			}
			ledgers, err := w.ledgersOf(&w.m.budgets[at], c)
			if err != nil {
				return err
			}
			for _, l := range ledgers {
				if l.Key != l.ID {
					w.s.keys = w.s.keys.with(l.ID, l.Key)
				}
				named = append(named, provenance.Reserve{Budget: l.ID, Amount: r.Amount})
			}
		}
		ds[i].Reserve = named
	}
	return nil
}

// ledgerKeys has the names of ledgers in a store that are not those in the record.
type ledgerKeys []struct{ id, key string }

func (k ledgerKeys) with(id, key string) ledgerKeys {
	for _, x := range k {
		if x.id == id {
			return k
		}
	}
	return append(slices.Clip(k), struct{ id, key string }{id, key})
}

func (s *State) keyOf(id string) string {
	for _, x := range s.keys {
		if x.id == id {
			return x.key
		}
	}
	return id
}

// ownOf returns what this run has drawn from a ledger; nil if no set declares its budget. like gives the asset.
func (w *work) ownOf(ledger string, like money.Amount) *use {
	for i := range w.s.own {
		if w.s.own[i].ledger == ledger {
			return &w.s.own[i]
		}
	}
	budget := BudgetID(ledger)
	if !slices.ContainsFunc(w.m.budgets, func(b Budget) bool { return b.ID == budget }) {
		return nil
	}
	nothing := money.Of(like.Asset(), 0)
	w.s.own = append(w.s.own, use{ledger, nothing, nothing})
	return &w.s.own[len(w.s.own)-1]
}

// BudgetID returns the budget of a ledger, "layer/id".
func BudgetID(ledger string) string {
	id, _, _ := strings.Cut(ledger, "#")
	id, _, _ = strings.Cut(id, "@")
	id, _, _ = strings.Cut(id, "~")
	return id
}

// CallerOf returns the caller's name in a ledger's ID, or nothing if the ledger is the run's own.
func CallerOf(ledger string) string {
	id, _, _ := strings.Cut(ledger, "#")
	id, _, _ = strings.Cut(id, "@")
	_, caller, _ := strings.Cut(id, "~")
	return caller
}
