package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// Assert implements journal.Database.
func (db assertions) Assert(ctx context.Context, a journal.Assertion) error {
	err := checkBlocks([]provenance.Block{a.Record, a.Head}, nil)
	if err == nil {
		err = checkRef(a.Of)
	}
	if err == nil {
		err = db.write(ctx, len(a.Record.Data)+len(a.Head.Data), func(ctx context.Context, tx *transaction) error {
			return doubts{tx}.assert(ctx, &a)
		})
	}
	if err != nil {
		return fmt.Errorf("assert what came of a call of run %s: %w", a.Run, err)
	}
	return nil
}

// doubts are what a transaction does about calls of which it is not known whether they happened.
type doubts struct{ *transaction }

func (tx doubts) assert(ctx context.Context, a *journal.Assertion) error {
	n, err := tx.execCount(ctx, "UPDATE runs SET head = ? WHERE cid = ? AND head = ? AND closed = 1",
		linkBytes(a.Head.CID), linkBytes(a.Run), linkBytes(a.Old))
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("it is not closed, or has another head: %w", journal.ErrConflict)
	}
	for _, run := range a.Callers {
		open, err := tx.exists(ctx, "SELECT 1 FROM runs WHERE cid = ? AND closed = 0", linkBytes(run))
		if err == nil && open {
			err = fmt.Errorf("run %s, which called it, is open: %w", run, journal.ErrShared)
		}
		if err != nil {
			return err
		}
	}
	if err := tx.putBlocks(ctx, []provenance.Block{a.Record, a.Head}, nil); err != nil {
		return err
	}
	var run, steps int64
	err = tx.readRow(ctx, "SELECT id, steps FROM runs WHERE cid = ?", []any{linkBytes(a.Run)}, &run, &steps)
	if err != nil {
		return err
	}
	if err := tx.addEntry(ctx, a.Head.CID, a.Run, uint64(steps-1)); err != nil { // the head is of the run's last step
		return err
	}
	if !a.Done {
		if err := tx.freeDoubt(ctx, run, a.Of); err != nil {
			return err
		}
	}
	return tx.exec(ctx, "DELETE FROM doubts WHERE run = ? AND seq = ? AND idx = ?", run, int64(a.Of.Seq),
		int64(a.Of.Index))
}

// A doubt is what a ledger has counted for a call of which it is not known whether it happened.
type doubt struct {
	ledger string
	amount [32]byte
}

// freeDoubt takes back what the ledgers have counted for a call that did not happen.
func (tx doubts) freeDoubt(ctx context.Context, run int64, of provenance.Ref) error {
	var all []doubt
	err := tx.conn.query(ctx, "SELECT ledger, amount FROM doubts WHERE run = ? AND seq = ? AND idx = ?",
		[]any{run, int64(of.Seq), int64(of.Index)}, func(scan scanner) error {
			var d doubt
			err := scan(&d.ledger, &d.amount)
			all = append(all, d)
			return err
		})
	if err != nil {
		return err
	}
	for _, d := range all {
		var row ledgerRow
		err := tx.readRow(ctx, "SELECT symbol, decimals, spent, reserved FROM ledgers WHERE key = ?", []any{d.ledger},
			&row.symbol, &row.decimals, &row.spent, &row.reserved)
		if err != nil {
			return err
		}
		l := row.ledger(d.ledger)
		left, err := l.Spent.Sub(amountOf(l.Spent.Asset(), &d.amount))
		if err != nil {
			return fmt.Errorf("ledger %s: %w: %w", d.ledger, journal.ErrCorrupt, err)
		}
		if err := tx.exec(ctx, "UPDATE ledgers SET spent = ? WHERE key = ?", amountBytes(left), d.ledger); err != nil {
			return err
		}
	}
	return nil
}

// noteDoubts keeps what a step has counted for calls in doubt, so that it can be taken back once it is said that they
// did not happen. A ledger that is as full as it can be forgets how much was added, and keeps all.
func (tx doubts) noteDoubts(ctx context.Context, c *journal.Commit, run int64, d *draft) error {
	for _, s := range c.Settle {
		if s.Doubt == nil {
			continue
		}
		l, e, err := d.load(ctx, s.Ledger, s.Ref)
		if err != nil {
			return err
		}
		if e.used.Asset() == (money.Asset{}) || isFull(l.Spent) {
			continue
		}
		err = tx.exec(ctx, "INSERT INTO doubts VALUES (?, ?, ?, ?, ?, ?)", run, int64(s.Doubt.Seq), int64(s.Doubt.Index),
			s.Ledger, amountBytes(e.used), int64(c.Seq))
		if err != nil {
			return err
		}
	}
	return nil
}

// isFull says whether nothing can be added to an amount any more.
func isFull(a money.Amount) bool {
	_, err := a.Add(money.Of(a.Asset(), 1))
	return errors.Is(err, money.ErrOverflow)
}
