package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// maxNote bounds who and why of a hold.
const maxNote = 1000

// AddHold puts a run, or every run of a wallet, under a legal hold and returns it. journal.ErrNotFound if there is no
// such run. By and Why are required.
func (db holds) AddHold(ctx context.Context, h journal.Hold) (journal.Hold, error) {
	err := checkNotes(h.By, h.Why)
	if err == nil && h.Run.Defined() == (h.Wallet != common.Address{}) {
		err = errors.New("a hold is on one run, or on one wallet")
	}
	if err == nil {
		err = db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
			var run, account any
			if h.Run.Defined() {
				var one int
				if err := tx.readRow(ctx, "SELECT 1 FROM runs WHERE cid = ?", []any{linkBytes(h.Run)}, &one); err != nil {
					return err
				}
				run = linkBytes(h.Run)
			} else {
				account = h.Wallet[:]
			}
			h.At = tx.now()
			return tx.readRow(ctx, "INSERT INTO legal_holds (run, account, at, by, why) VALUES (?, ?, ?, ?, ?) RETURNING id",
				[]any{run, account, h.At, h.By, h.Why}, &h.ID)
		})
	}
	if err != nil {
		return h, fmt.Errorf("hold: %w", err)
	}
	return h, nil
}

// RemoveHold removes a hold. Its row stays. journal.ErrNotFound if there is none of this number that stands.
func (db holds) RemoveHold(ctx context.Context, id int64, by, why string) error {
	err := checkNotes(by, why)
	if err == nil {
		err = db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
			n, err := tx.execCount(ctx,
				`UPDATE legal_holds SET removed = ?, removed_by = ?, released = ?
				WHERE id = ? AND removed = 0`, tx.now(), by, why, id)
			if err == nil && n == 0 {
				err = journal.ErrNotFound
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("release hold %d: %w", id, err)
	}
	return nil
}

func checkNotes(by, why string) error {
	switch {
	case by == "" || why == "":
		return errors.New("who and why are required")
	case len(by) > maxNote || len(why) > maxNote:
		return fmt.Errorf("who and why have at most %d bytes", maxNote)
	}
	return nil
}

// Holds lists the holds that stand, or all that ever were, oldest first.
func (db holds) Holds(ctx context.Context, all bool) ([]journal.Hold, error) {
	holds, err := readAll(ctx, db.reads, func(scan scanner) (h journal.Hold, err error) {
		var run, account []byte
		err = scan(&h.ID, &run, &account, &h.At, &h.By, &h.Why, &h.Removed, &h.RemovedBy, &h.RemovedWhy)
		h.Wallet = common.BytesToAddress(account)
		return h, errors.Join(err, parseLink(run, &h.Run))
	}, `SELECT id, run, account, at, by, why, removed, removed_by, released FROM legal_holds
		WHERE removed = 0 OR ? ORDER BY id`, all)
	if err != nil {
		return nil, fmt.Errorf("list holds: %w", err)
	}
	return holds, nil
}

// held says whether a run, or its wallet, is under a hold.
const runOnHold = `EXISTS (SELECT 1 FROM legal_holds
	WHERE removed = 0 AND (legal_holds.run = runs.cid OR legal_holds.account = runs.account))`

func (tx *transaction) checkHolds(ctx context.Context, run provenance.Link) error {
	var held bool
	err := tx.readRow(ctx, "SELECT "+runOnHold+" FROM runs WHERE cid = ?", []any{linkBytes(run)}, &held)
	if err == nil && held {
		return fmt.Errorf("run %s: %w", run, journal.ErrOnHold)
	}
	return err
}
