package loop

import (
	"fmt"
	"slices"
	"strings"

	"github.com/holiman/uint256"

	"github.com/writ-run/writ/agent/ledgerid"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// What went without asking. A budget "until approval" counts what was spent since the wallet last approved a spend. Its
// ledger only grows, as every ledger does, so that a run's own part of it can be checked against what is shown. Beside
// it stands the asked ledger: how much of it no longer counts. A spend that the wallet has approved brings that up to
// what was spent before, by reserving the difference; so both are reserved, settled and audited like any other.
//
// The cap of the first moves with the second: what is spent and reserved may be the threshold above what no longer
// counts, and no more may stop counting than was spent. A store that checks both caps as it commits lets no two runs
// through at once.
const askedSuffix = "+asked"

// askedBudget is what stands beside a budget until approval.
func askedBudget(b Budget) Budget {
	asked := b
	asked.ID, asked.asked = b.ID+askedSuffix, true
	if b.storeID != "" {
		asked.storeID = b.storeID + askedSuffix
	}
	asked.Cap = money.FromUint256(b.Cap.Asset(), new(uint256.Int).SetAllOne())
	asked.def.Cap = asked.Cap
	return asked
}

// isAsked says whether a ledger is the one of what an approval has ended.
func isAsked(ledger string) bool { return strings.HasSuffix(ledgerid.Budget(ledger), askedSuffix) }

// CountsUnasked says whether a ledger is of those that count what went without asking. They grow above their cap.
func (m *Machine) CountsUnasked(ledger string) bool {
	id := ledgerid.Budget(ledger)
	return slices.ContainsFunc(m.budgets, func(b Budget) bool { return b.ID == id && b.def.UntilApproval })
}

// askedLedger returns the name of the ledger beside a budget's: the suffix belongs to the budget.
func askedLedger(ledger string) string {
	id := ledgerid.Budget(ledger)
	return id + askedSuffix + ledger[len(id):]
}

func (t *tally) findBudget(ledger string) *policies.Budget {
	for i := range t.budgets {
		if t.budgets[i].ID == ledger {
			return &t.budgets[i]
		}
	}
	return nil
}

// countAsked returns how much of a ledger no longer counts, what is being reserved included.
func (t *tally) countAsked(ledger string, like money.Amount) money.Amount {
	b := t.findBudget(askedLedger(ledger))
	if b == nil {
		return money.Of(like.Asset(), 0)
	}
	return b.Spent.AddCapped(b.Reserved)
}

// checkAsked makes sure that no more has stopped counting than was ever counted: whoever shows more has made up an
// approval, and would have room for what comes.
func (t *tally) checkAsked() error {
	for _, b := range t.budgets {
		if isAsked(b.ID) || !t.m.CountsUnasked(b.ID) {
			continue
		}
		if n, err := t.countAsked(b.ID, b.Spent).Cmp(b.Spent); err != nil || n > 0 {
			return fmt.Errorf("budget %s: %w", askedLedger(b.ID), ErrAsked)
		}
	}
	return nil
}

// countSinceAsked returns what of spent counts still.
func (t *tally) countSinceAsked(ledger string, spent money.Amount) money.Amount {
	left, err := spent.Sub(t.countAsked(ledger, spent))
	if err != nil {
		return money.Of(spent.Asset(), 0)
	}
	return left
}

// forgetUnasked has a spend that the wallet has approved end what counts until an approval: what was spent without
// asking before. What is still reserved goes on counting.
func (t *tally) forgetUnasked(ds []provenance.Decision, c *call) error {
	spend := slices.IndexFunc(ds, func(d provenance.Decision) bool { return d.Point == string(policies.Spend) })
	if spend < 0 {
		return nil
	}
	for i := range t.m.budgets {
		b := &t.m.budgets[i]
		if !b.def.UntilApproval || b.asked || b.Cap.Asset() != c.args.Amount.Asset() {
			continue
		}
		ledgers, err := t.ledgersBehind(b, c)
		if err != nil {
			return err
		}
		for _, l := range ledgers {
			seen := t.findBudget(l.ID)
			if seen == nil {
				continue
			}
			more := t.countSinceAsked(l.ID, seen.Spent)
			if more.IsZero() {
				continue
			}
			id := askedLedger(l.ID)
			if key := askedLedger(l.Key); key != id {
				t.s.keys = t.s.keys.withKey(id, key)
			}
			ds[spend].Reserve = append(ds[spend].Reserve, provenance.Reserve{Budget: id, Amount: more})
		}
	}
	return nil
}

// movedCaps returns the caps of the ledgers that count until an approval, and of those beside them, as this step may
// reserve in them.
func (t *tally) movedCaps() map[string]money.Amount {
	var caps map[string]money.Amount
	for _, b := range t.budgets {
		if !t.m.CountsUnasked(b.ID) || isAsked(b.ID) {
			continue
		}
		if caps == nil {
			caps = map[string]money.Amount{}
		}
		asked := t.findBudget(askedLedger(b.ID))
		if asked == nil {
			continue
		}
		caps[b.ID] = b.Cap.AddCapped(t.countAsked(b.ID, b.Cap))
		caps[asked.ID] = b.Spent
	}
	return caps
}
