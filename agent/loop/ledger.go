package loop

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/ledgerid"
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

// Ledgers lists the ledgers that decisions of the next step see, sorted by ID: those of the windows that at (ms UTC)
// lies in, and of the recipients whom ev or an open call of s is about. Its facts carry those that
// [State.ChangedLedgers] keeps.
func (m *Machine) Ledgers(s State, at int64, ev provenance.Event) ([]Ledger, error) {
	if m.plain != nil {
		return m.plain, nil
	}
	var to []common.Address
	if slices.ContainsFunc(m.budgets, func(b Budget) bool { return b.def.PerRecipient }) {
		var err error
		if to, err = m.recipientsOf(s, ev); err != nil {
			return nil, err
		}
	}
	var out []Ledger
	for _, b := range m.budgets {
		label, err := b.def.Label(at)
		if err != nil {
			return nil, fmt.Errorf("budget %s: %w", b.ID, err)
		}
		for _, agent := range b.ledgerOwners() {
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

// ledgerOwners lists whose ledgers a budget has: "" is the run's own, what follows are the callers of a sub-agent.
func (b *Budget) ledgerOwners() []string { return append([]string{""}, b.callers...) }

func ledgerOf(b *Budget, caller, label string, to *common.Address, salt [32]byte) Ledger {
	l := Ledger{ID: b.ID, Key: cmp.Or(b.storeID, b.ID), Scope: b.Scope, Of: b.Of, Caller: caller, Cap: b.Cap}
	if caller != "" { // to the caller's own runs it is theirs: the store has it under their name
		l.ID += "~" + caller
	}
	if label != "" {
		l.ID += "@" + label
		l.Key += "@" + label
	}
	if to != nil {
		l.Key += "#" + to.Hex()
		l.ID += "#" + ledgerid.Recipient(salt, *to)
	}
	return l
}

// recipientsOf lists whom the calls that a reply asks for, and the open ones, would pay; sorted, none twice.
func (m *Machine) recipientsOf(s State, ev provenance.Event) (out []common.Address, err error) {
	if r, ok := ev.(*provenance.Reply); ok && r.Model != nil {
		for _, ask := range r.Model.Calls {
			t := m.tools[ask.Tool]
			if t == nil || t.spec.Spend == nil {
				continue // it is refused before any spend is decided
			}
			raw, open := ask.Args.Bytes()
			if !open { // The facts know whom it would pay, and nobody who reads them does.
				return nil, fmt.Errorf("the arguments of %s: %w", ask.Tool, ErrSealed)
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
	return slices.Compact(out), nil
}

// Errors of facts.
var (
	// ErrLedger says that facts show less of a budget used than the run itself has used: a cap counted so is no cap.
	ErrLedger = errors.New("the facts show less of a budget used than this run has used of it")
	// ErrAsked says that facts show more to have stopped counting by an approval than was spent.
	ErrAsked = errors.New("the facts show that approvals ended the count of more than was spent")

	// ErrFacts says that facts leave out a ledger, show one that the rules do not name or with another cap than theirs,
	// or show what follows from the steps before.
	ErrFacts = errors.New("the facts do not show the ledgers as the rules have them")

	// ErrFleet says that facts do not show just the models that the routes ask about, or what no model can have done.
	ErrFleet = errors.New("the facts do not show the models as the routes ask about them")
)

// ChangedLedgers returns which of the ledgers, sorted by ID, the facts of the next step show: those that are not as the
// last step left them. The others need not be said again. The slice is used up.
func (s State) ChangedLedgers(ledgers []provenance.Budget) []provenance.Budget {
	return slices.DeleteFunc(ledgers, func(b provenance.Budget) bool {
		return slices.Contains(s.lastShown, policies.Budget(b))
	})
}
