package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/provenance"
)

// maxNote bounds who and why of a hold.
const maxNote = 1000

// Hold puts a run, or every run of a wallet, under a legal hold and returns it. agent.ErrNotFound if there is no such run.
// By and Why are required.
func (db *DB) Hold(ctx context.Context, h agent.Hold) (agent.Hold, error) {
	err := checkNotes(h.By, h.Why)
	if err == nil && h.Run.Defined() == (h.Wallet != common.Address{}) {
		err = errors.New("a hold is on one run, or on one wallet")
	}
	if err == nil {
		err = db.do(ctx, 0, func(ctx context.Context, w *writer) error {
			var run, account any
			if h.Run.Defined() {
				var one int
				if err := w.row(ctx, "SELECT 1 FROM runs WHERE cid = ?", []any{key(h.Run)}, &one); err != nil {
					return err
				}
				run = key(h.Run)
			} else {
				account = h.Wallet[:]
			}
			h.At = w.now()
			return w.row(ctx, "INSERT INTO legal_holds (run, account, at, by, why) VALUES (?, ?, ?, ?, ?) RETURNING id",
				[]any{run, account, h.At, h.By, h.Why}, &h.ID)
		})
	}
	if err != nil {
		return h, fmt.Errorf("hold: %w", err)
	}
	return h, nil
}

// Release removes a hold. Its row stays. agent.ErrNotFound if there is none of this number that stands.
func (db *DB) Release(ctx context.Context, id int64, by, why string) error {
	err := checkNotes(by, why)
	if err == nil {
		err = db.do(ctx, 0, func(ctx context.Context, w *writer) error {
			n, err := w.changed(ctx, "UPDATE legal_holds SET removed = ?, removed_by = ?, released = ? WHERE id = ? AND removed = 0", w.now(), by, why, id)
			if err == nil && n == 0 {
				err = agent.ErrNotFound
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
func (db *DB) Holds(ctx context.Context, all bool) ([]agent.Hold, error) {
	holds, err := list(ctx, db, func(scan func(...any) error) (h agent.Hold, err error) {
		var run, account []byte
		err = scan(&h.ID, &run, &account, &h.At, &h.By, &h.Why, &h.Removed, &h.RemovedBy, &h.Released)
		h.Wallet = common.BytesToAddress(account)
		return h, errors.Join(err, link(run, &h.Run))
	}, "SELECT id, run, account, at, by, why, removed, removed_by, released FROM legal_holds WHERE removed = 0 OR ? ORDER BY id", all)
	if err != nil {
		return nil, fmt.Errorf("list holds: %w", err)
	}
	return holds, nil
}

// held says whether a run, or its wallet, is under a hold.
const heldRun = `EXISTS (SELECT 1 FROM legal_holds WHERE removed = 0 AND (legal_holds.run = runs.cid OR legal_holds.account = runs.account))`

func (w *writer) checkHolds(ctx context.Context, run provenance.Link) error {
	var held bool
	err := w.row(ctx, "SELECT "+heldRun+" FROM runs WHERE cid = ?", []any{key(run)}, &held)
	if err == nil && held {
		return fmt.Errorf("run %s: %w", run, agent.ErrOnHold)
	}
	return err
}

// checkShared says whether what a run shares is still needed: by a run of its session that is open, or by one that is
// held, of any session of its wallet, since one session's key may have ended another.
func (w *writer) checkShared(ctx context.Context, run provenance.Link) error {
	var needed bool
	err := w.row(ctx, `SELECT EXISTS (SELECT 1 FROM runs WHERE account = mine.account AND (`+heldRun+` OR closed = 0 AND session = mine.session))
		FROM runs AS mine WHERE cid = ?`, []any{key(run)}, &needed)
	if err == nil && needed {
		return fmt.Errorf("run %s: %w", run, agent.ErrShared)
	}
	return err
}

// Ended implements agent.Keeper.
func (db *DB) Ended(ctx context.Context, before, after int64, limit int) ([]agent.EndedRun, error) {
	runs, err := list(ctx, db, func(scan func(...any) error) (r agent.EndedRun, err error) {
		var id []byte
		err = scan(&r.ID, &id)
		return r, errors.Join(err, link(id, &r.Run))
	}, `SELECT id, cid FROM runs WHERE closed = 1 AND swept = 0 AND ended <= ? AND id > ? AND NOT `+heldRun+` ORDER BY id LIMIT ?`,
		before, after, max(limit, 0))
	if err != nil {
		return nil, fmt.Errorf("list ended runs: %w", err)
	}
	return runs, nil
}

// Swept implements agent.Keeper.
func (db *DB) Swept(ctx context.Context, run provenance.Link, at int64) error {
	err := db.do(ctx, 0, func(ctx context.Context, w *writer) error {
		return w.exec(ctx, "UPDATE runs SET swept = ? WHERE cid = ? AND closed = 1", at, key(run))
	})
	if err != nil {
		return fmt.Errorf("note that run %s is swept: %w", run, err)
	}
	return nil
}

var _ agent.Keeper = (*DB)(nil)
