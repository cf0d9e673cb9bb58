package store

import (
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A holdKey names what one effect of a run holds back in one ledger.
type holdKey struct {
	ledger string
	ref    provenance.Ref
}

// A book is where ledgers and holds are read from. One that is not there is zero, of no asset.
type book interface {
	ledger(key string) (agent.Ledger, error)
	held(k holdKey) (money.Amount, error)
	lost(k holdKey) (bool, error) // whether a step that is lost may have used all that is held
}

// A draft is the ledgers and the holds of one run as a commit would leave them, in order of first use. A hold of no
// asset has ended.
type draft struct {
	ledgers  map[string]agent.Ledger
	holds    map[holdKey]money.Amount
	used     map[holdKey]money.Amount // of those that have ended
	keys     []string
	holdKeys []holdKey
}

// draw returns what the settlements and reservations of c make of b, or agent.ErrBudget, or an error that says what
// cannot be right. Settlements count first, so that a step that ends one effect may use its room for the next.
func draw(b book, c *agent.Commit) (draft, error) {
	var d draft
	if len(c.Settle)+len(c.Reserve) == 0 {
		return d, nil // as most steps
	}
	d.ledgers, d.holds, d.used = map[string]agent.Ledger{}, map[holdKey]money.Amount{}, map[holdKey]money.Amount{}
	for _, s := range c.Settle {
		if err := d.settle(b, s); err != nil {
			return d, fmt.Errorf("settle %s in %s: %w", s.Used, s.Ledger, err)
		}
	}
	for _, r := range c.Reserve {
		if err := d.reserve(b, r); err != nil {
			return d, fmt.Errorf("reserve %s in %s: %w", r.Amount, r.Ledger, err)
		}
	}
	return d, nil
}

func (d *draft) settle(b book, s agent.Settlement) error {
	l, held, err := d.load(b, holdKey{s.Ledger, s.Ref})
	if err != nil {
		return err
	}
	if held.Asset() == (money.Asset{}) {
		// The effect held nothing here, or was settled before: there is nothing to end.
		if s.Used.IsZero() {
			return nil
		}
		return errors.New("the effect holds nothing in this ledger")
	}
	// What is not used is free again by no longer being held.
	if _, err = held.Sub(s.Used); errors.Is(err, money.ErrOverflow) {
		return fmt.Errorf("the effect reserved only %s", held)
	}
	if err != nil {
		return err
	}
	if s.Used != held {
		if lost, err := b.lost(holdKey{s.Ledger, s.Ref}); err != nil {
			return err
		} else if lost {
			s.Used = held
		}
	}
	if l.Reserved, err = l.Reserved.Sub(held); err != nil {
		return err
	}
	if l.Spent, err = l.Spent.Add(s.Used); err != nil {
		return err
	}
	d.put(l, holdKey{s.Ledger, s.Ref}, money.Amount{})
	d.used[holdKey{s.Ledger, s.Ref}] = s.Used
	return nil
}

func (d *draft) reserve(b book, r agent.Reservation) error {
	if !r.Amount.Asset().Valid() {
		return fmt.Errorf("%q is not an asset", r.Amount.Asset().Symbol)
	}
	k := holdKey{r.Ledger, r.Ref}
	l, held, err := d.load(b, k)
	if err != nil {
		return err
	}
	nothing := money.Of(r.Amount.Asset(), 0)
	if l.Spent.Asset() == (money.Asset{}) {
		l.Spent, l.Reserved = nothing, nothing
	}
	if held.Asset() == (money.Asset{}) {
		held = nothing
	}
	used, err := l.Spent.Add(l.Reserved)
	if err != nil {
		return err
	}
	total, err := used.Add(r.Amount)
	if errors.Is(err, money.ErrOverflow) {
		return agent.ErrBudget
	}
	if err != nil {
		return err
	}
	over, err := total.Cmp(r.Cap)
	if err != nil {
		return err
	}
	if over > 0 {
		return fmt.Errorf("%w: %s of %s are used", agent.ErrBudget, used, r.Cap)
	}
	// Neither sum can overflow, since total did not.
	if l.Reserved, err = l.Reserved.Add(r.Amount); err != nil {
		return err
	}
	if held, err = held.Add(r.Amount); err != nil {
		return err
	}
	d.put(l, k, held)
	return nil
}

func (d *draft) load(b book, k holdKey) (l agent.Ledger, held money.Amount, err error) {
	l, ok := d.ledgers[k.ledger]
	if !ok {
		if l, err = b.ledger(k.ledger); err != nil {
			return l, held, err
		}
	}
	held, ok = d.holds[k]
	if !ok {
		held, err = b.held(k)
	}
	return l, held, err
}

func (d *draft) put(l agent.Ledger, k holdKey, held money.Amount) {
	if _, ok := d.ledgers[l.Key]; !ok {
		d.keys = append(d.keys, l.Key)
	}
	d.ledgers[l.Key] = l
	if _, ok := d.holds[k]; !ok {
		d.holdKeys = append(d.holdKeys, k)
	}
	d.holds[k] = held
}
