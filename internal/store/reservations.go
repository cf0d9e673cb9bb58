package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A draft is the ledgers and the reservations of one run as a commit would leave them, in the order of first use. They
// are read inside the writer's transaction when they are first needed.
type draft struct {
	tx      *transaction
	run     int64 // 0 if the commit opens it
	ledgers []draftLedger
	effects []draftEffect
}

type draftLedger struct {
	journal.Ledger // without an asset if the ledger does not exist yet
	changed        bool
}

// A draftEffect is what one effect of the run has reserved in one ledger.
type draftEffect struct {
	ledger  string
	ref     provenance.Ref
	amount  money.Amount // of no asset if nothing is reserved, or no longer
	lost    bool         // a step that is lost may have used all of it
	used    money.Amount // of one that has ended
	changed bool
}

// settleAndReserve takes in the settlements and reservations of c. It returns journal.ErrBudget, or an error that says
// what cannot be right. Settlements count first, so that a step that ends one effect may use its room for the next.
func (d *draft) settleAndReserve(ctx context.Context, c *journal.Commit) error {
	for _, s := range c.Settle {
		if err := d.settleEffect(ctx, s); err != nil {
			return fmt.Errorf("settle %s in %s: %w", s.Used, s.Ledger, err)
		}
	}
	for _, r := range c.Reserve {
		if err := d.reserveAmount(ctx, r); err != nil {
			return fmt.Errorf("reserve %s in %s: %w", r.Amount, r.Ledger, err)
		}
	}
	return nil
}

func (d *draft) settleEffect(ctx context.Context, s journal.Settlement) error {
	l, e, err := d.load(ctx, s.Ledger, s.Ref)
	if err != nil {
		return err
	}
	if e.amount.Asset() == (money.Asset{}) {
		// The effect has reserved nothing here, or was settled before: there is nothing to end.
		if s.Used.IsZero() {
			return nil
		}
		return errors.New("the effect has reserved nothing in this ledger")
	}
	// What is not used is released, since it is no longer reserved. What was used besides counts all the same: it has
	// left.
	over, err := s.Used.Cmp(e.amount)
	if err != nil {
		return err
	}
	if e.lost && over < 0 {
		s.Used = e.amount
	}
	if l.Reserved, err = l.Reserved.Sub(e.amount); err != nil {
		return err
	}
	l.Spent = l.Spent.AddCapped(s.Used)
	e.amount, e.used = money.Amount{}, s.Used
	l.changed, e.changed = true, true
	return nil
}

func (d *draft) reserveAmount(ctx context.Context, r journal.Reservation) error {
	if !r.Amount.Asset().Valid() {
		return fmt.Errorf("%q is not an asset", r.Amount.Asset().Symbol)
	}
	l, e, err := d.load(ctx, r.Ledger, r.Ref)
	if err != nil {
		return err
	}
	nothing := money.Of(r.Amount.Asset(), 0)
	if l.Spent.Asset() == (money.Asset{}) {
		l.Reserved = nothing
		if l.Spent, err = sentBefore(ctx, d.tx.conn, r.Ledger, r.Amount.Asset(), d.tx.now()); err != nil {
			return err
		}
	}
	if e.amount.Asset() == (money.Asset{}) {
		e.amount = nothing
	}
	if err := checkRoom(l.Ledger, r); err != nil {
		return err
	}
	// Neither sum can overflow, since their total with what is spent did not.
	if l.Reserved, err = l.Reserved.Add(r.Amount); err != nil {
		return err
	}
	if e.amount, err = e.amount.Add(r.Amount); err != nil {
		return err
	}
	l.changed, e.changed = true, true
	return nil
}

// checkRoom says whether a reservation fits its cap.
func checkRoom(l journal.Ledger, r journal.Reservation) error {
	used, err := l.Spent.Add(l.Reserved)
	if err != nil {
		return err
	}
	total, err := used.Add(r.Amount)
	if errors.Is(err, money.ErrOverflow) {
		return journal.ErrBudget
	}
	if err != nil {
		return err
	}
	over, err := total.Cmp(r.Cap)
	if err == nil && over > 0 {
		err = fmt.Errorf("%w: %s of %s are used", journal.ErrBudget, used, r.Cap)
	}
	return err
}

// load returns the draft of a ledger, and of what an effect has reserved in it. Both are valid until the next call.
func (d *draft) load(ctx context.Context, ledger string, ref provenance.Ref) (*draftLedger, *draftEffect, error) {
	l, err := d.loadLedger(ctx, ledger)
	if err != nil {
		return nil, nil, err
	}
	for i := range d.effects {
		if e := &d.effects[i]; e.ref == ref && e.ledger == ledger {
			return l, e, nil
		}
	}
	e := draftEffect{ledger: ledger, ref: ref}
	if d.run != 0 && l.Spent.Asset() != (money.Asset{}) {
		var row struct {
			units [32]byte
			lost  bool
		}
		// One table: SQLite would plan a join again whenever seq or idx changes from or to 0 or 1.
		err := d.tx.readRow(ctx, `SELECT amount, used IS NOT NULL FROM reservations
			WHERE ledger = ? AND run = ? AND seq = ? AND idx = ? AND settled IS NULL`,
			[]any{ledger, d.run, int64(ref.Seq), int64(ref.Index)}, &row.units, &row.lost)
		switch {
		case err == nil:
			e.amount, e.lost = amountOf(l.Spent.Asset(), &row.units), row.lost
		case !errors.Is(err, journal.ErrNotFound):
			return nil, nil, err
		}
	}
	d.effects = append(d.effects, e)
	return l, &d.effects[len(d.effects)-1], nil
}

func (d *draft) loadLedger(ctx context.Context, key string) (*draftLedger, error) {
	for i := range d.ledgers {
		if d.ledgers[i].Key == key {
			return &d.ledgers[i], nil
		}
	}
	var row ledgerRow
	err := d.tx.readRow(ctx, "SELECT symbol, decimals, spent, reserved FROM ledgers WHERE key = ?", []any{key},
		&row.symbol, &row.decimals, &row.spent, &row.reserved)
	l := draftLedger{Ledger: journal.Ledger{Key: key}}
	if err == nil {
		l.Ledger = row.ledger(key)
	} else if !errors.Is(err, journal.ErrNotFound) {
		return nil, err
	}
	d.ledgers = append(d.ledgers, l)
	return &d.ledgers[len(d.ledgers)-1], nil
}

// writeDraft writes what the step seq of a run makes of the ledgers. A reservation that ends stays as a note until
// the run closes, so that a step that is lost can be undone.
func (tx *transaction) writeDraft(ctx context.Context, run int64, seq uint64, d *draft) error {
	for _, l := range d.ledgers {
		if !l.changed {
			continue
		}
		a := l.Spent.Asset()
		err := tx.exec(ctx, `INSERT INTO ledgers VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET spent = excluded.spent, reserved = excluded.reserved`,
			l.Key, a.Symbol, int64(a.Decimals), amountBytes(l.Spent), amountBytes(l.Reserved))
		if err != nil {
			return err
		}
	}
	for _, e := range d.effects {
		if !e.changed {
			continue
		}
		if err := tx.writeEffect(ctx, run, seq, e); err != nil {
			return err
		}
	}
	return nil
}

func (tx *transaction) writeEffect(ctx context.Context, run int64, seq uint64, e draftEffect) error {
	if e.amount.Asset() != (money.Asset{}) {
		return tx.exec(ctx, `INSERT INTO reservations (ledger, run, seq, idx, amount) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (ledger, run, seq, idx) DO UPDATE SET amount = excluded.amount`,
			e.ledger, run, int64(e.ref.Seq), int64(e.ref.Index), amountBytes(e.amount))
	}
	return tx.exec(ctx,
		"UPDATE reservations SET settled = ?, used = ? WHERE ledger = ? AND run = ? AND seq = ? AND idx = ?",
		int64(seq), amountBytes(e.used), e.ledger, run, int64(e.ref.Seq), int64(e.ref.Index))
}
