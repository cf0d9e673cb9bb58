package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Commit implements journal.Database. An opening needs its session to be stored (journal.ErrNotFound) and its
// idempotency key, if it is not empty, to be unused by that session's owner (journal.ErrConflict). A commit that is not
// well-formed, such as one whose bytes do not match their CID or that settles more than was reserved, is an error of
// its own.
func (db runs) Commit(ctx context.Context, c journal.Commit) error {
	err := checkCommit(&c)
	ended := false
	if err == nil {
		err = db.write(ctx, commitSize(&c), func(ctx context.Context, tx *transaction) error {
			err := tx.commitStep(ctx, &c)
			ended, tx.ended = tx.ended, false
			return err
		})
	}
	if err == nil && ended {
		_ = db.engine.purgeDeleted(ctx) // what is deleted is; if somebody is reading, a later one takes it out of the log too
	}
	if err != nil {
		return fmt.Errorf("commit step %d of run %s: %w", c.Seq, c.Run, err)
	}
	return nil
}

// checkCommit says whether c is well-formed, before anything is looked up.
func checkCommit(c *journal.Commit) error {
	if !isOurs(c.Run) {
		return errors.New("the run is not the CID of a record")
	}
	if err := checkBlock(c.Step); err != nil {
		return err
	}
	if err := checkBlocks(c.Blocks, c.Leaves); err != nil {
		return err
	}
	if c.Head != nil {
		if err := checkBlock(*c.Head); err != nil {
			return err
		}
	}
	if c.Status == "" || len(c.Status) > 32 {
		return fmt.Errorf("status %.40q is empty or too long", c.Status)
	}
	if len(c.Reserve) > maxEntries || len(c.Settle) > maxEntries {
		return fmt.Errorf("%d reservations and %d settlements, more than %d", len(c.Reserve), len(c.Settle), maxEntries)
	}
	if len(c.Ends) > maxEntries {
		return fmt.Errorf("%d delegations end, more than %d", len(c.Ends), maxEntries)
	}
	if len(c.Under) > provenance.MaxDelegations {
		return fmt.Errorf("%d delegations, more than %d", len(c.Under), provenance.MaxDelegations)
	}
	var errs []error
	for _, r := range c.Reserve {
		errs = append(errs, checkName("ledger", r.Ledger), checkRef(r.Ref))
	}
	for _, s := range c.Settle {
		errs = append(errs, checkName("ledger", s.Ledger), checkRef(s.Ref))
		if s.Doubt != nil {
			errs = append(errs, checkRef(*s.Doubt))
		}
	}
	if c.Nonce != nil {
		errs = append(errs, checkName("account", c.Nonce.Account))
		if c.Nonce.Nonce > maxNumber {
			errs = append(errs, fmt.Errorf("transaction nonce %d is out of range", c.Nonce.Nonce))
		}
	}
	for _, e := range c.Ends {
		errs = append(errs, checkRevoke(c.At, e.By))
	}
	if o := c.Open; o != nil {
		errs = append(errs, checkName("agent name", o.Agent), checkName("idempotency key", o.Key),
			checkName("owner", o.Owner))
	}
	return errors.Join(errs...)
}

func checkRef(r provenance.Ref) error {
	if r.Seq > maxNumber || r.Index > maxNumber {
		return fmt.Errorf("effect %d of step %d is out of range", r.Index, r.Seq)
	}
	return nil
}

func commitSize(c *journal.Commit) int {
	n := len(c.Step.Data)
	for _, b := range c.Blocks {
		n += len(b.Data)
	}
	return n
}

// isClosed says whether a run with this status is over.
func isClosed(status string) bool { return status != "running" && status != "parked" }

// commitStep makes all checks, in the order that journal.Commit states, before it writes anything.
func (tx *transaction) commitStep(ctx context.Context, c *journal.Commit) error {
	run, session, err := tx.checkRun(ctx, c)
	if err != nil {
		return err
	}
	if len(c.Reserve) > 0 || c.Nonce != nil {
		if err := tx.checkGrant(ctx, c, session); err != nil {
			return err
		}
	}
	d := draft{tx: tx, run: run}
	if err := d.settleAndReserve(ctx, c); err != nil {
		return err
	}
	if c.Nonce != nil {
		if err := tx.checkTxNonce(ctx, *c.Nonce); err != nil {
			return err
		}
	}
	if c.Open != nil {
		if run, err = tx.insertRun(ctx, c, session); err != nil {
			return err
		}
	} else if err := tx.updateRun(ctx, c, run); err != nil {
		return err
	}
	for _, e := range c.Ends {
		if err := endDelegation(ctx, tx, e.Delegation, c.At, e.By); err != nil {
			return err
		}
	}
	return tx.writeStep(ctx, c, run, &d)
}

// checkGrant says whether the session, and what was delegated from it, still allows to spend.
func (tx *transaction) checkGrant(ctx context.Context, c *journal.Commit, session int64) error {
	var opened, revoked, expires int64
	err := tx.readRow(ctx, "SELECT opened, revoked, expires FROM sessions WHERE id = ?", []any{session}, &opened, &revoked,
		&expires)
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	// The times of a run's steps never go back, so that one of them does not say where the clock is.
	if isAhead(opened, tx.now()) {
		return journal.ErrEarly
	}
	if err := checkFresh(opened, revoked, expires, c.At); err != nil {
		return err
	}
	for _, d := range c.Under {
		found, err := tx.exists(ctx, "SELECT 1 FROM revoked_delegations WHERE cid = ?", linkBytes(d))
		if err == nil && found {
			err = errDelegationRevoked
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (tx *transaction) checkTxNonce(ctx context.Context, n journal.TxNonce) error {
	used, err := tx.exists(ctx, "SELECT 1 FROM tx_nonces WHERE account = ? AND nonce = ?", n.Account, int64(n.Nonce))
	if err == nil && used {
		err = fmt.Errorf("nonce %d of %s: %w", n.Nonce, n.Account, journal.ErrNonceUsed)
	}
	return err
}

// checkRun makes the checks on the run, its fence and its seq. It returns the rows of the run, 0 if it is to be
// opened, and of its session.
func (tx *transaction) checkRun(ctx context.Context, c *journal.Commit) (run, session int64, err error) {
	var fence, steps int64
	err = tx.readRow(ctx, "SELECT id, session, fence, steps FROM runs WHERE cid = ?", []any{linkBytes(c.Run)},
		&run, &session, &fence, &steps)
	switch {
	case c.Open == nil && err != nil:
		return 0, 0, err
	case c.Open == nil && uint64(fence) != c.Fence:
		return 0, 0, fmt.Errorf("fence %d is not %d: %w", c.Fence, fence, journal.ErrFenced)
	case c.Open == nil && uint64(steps) != c.Seq:
		return 0, 0, fmt.Errorf("it has %d steps: %w", steps, journal.ErrSeq)
	case c.Open == nil:
		return run, session, nil
	case err == nil:
		return 0, 0, fmt.Errorf("the run is there already: %w", journal.ErrConflict)
	case !errors.Is(err, journal.ErrNotFound):
		return 0, 0, err
	}
	err = tx.readRow(ctx, "SELECT id FROM sessions WHERE cid = ?", []any{linkBytes(c.Open.Session)}, &session)
	if err != nil {
		return 0, 0, fmt.Errorf("session %s: %w", c.Open.Session, err)
	}
	if c.Open.Key != "" {
		_, err := runByKey(ctx, tx.conn, c.Open.Session, c.Open.Key, c.Open.Hash)
		if err == nil {
			err = journal.ErrConflict
		}
		if !errors.Is(err, journal.ErrNotFound) {
			return 0, 0, err
		}
	}
	if err := tx.checkThread(ctx, c.Open); err != nil {
		return 0, 0, err
	}
	if c.Seq != 0 {
		return 0, 0, fmt.Errorf("a run opens with step 0: %w", journal.ErrSeq)
	}
	return 0, session, nil
}

func (tx *transaction) insertRun(ctx context.Context, c *journal.Commit, session int64) (run int64, err error) {
	o := c.Open
	var name any // NULL, which is unique
	if o.Key != "" {
		name = o.Key
	}
	err = tx.readRow(ctx, `INSERT INTO runs
		(cid, session, account, agent, opened, key, hash, steps, last, head, status, closed, ended, owner, until, fence)
		VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING id`,
		[]any{linkBytes(c.Run), session, o.Account[:], o.Agent, c.At, name, o.Hash[:], linkBytes(c.Step.CID), headKey(c),
			c.Status,
			isClosed(c.Status), endOf(c), o.Owner, o.Until}, &run)
	if err == nil {
		err = tx.extendThread(ctx, o, run)
	}
	return run, err
}

// endOf is when the run ends, or 0.
func endOf(c *journal.Commit) int64 {
	if isClosed(c.Status) {
		return c.At
	}
	return 0
}

func (tx *transaction) updateRun(ctx context.Context, c *journal.Commit, run int64) error {
	var head any // NULL: it keeps the one that it has
	if c.Head != nil {
		head = headKey(c)
	}
	err := tx.exec(ctx, "UPDATE runs SET steps = ?, last = ?, status = ?, head = coalesce(?, head) WHERE id = ?",
		int64(c.Seq+1), linkBytes(c.Step.CID), c.Status, head, run)
	// Its own column and statement: an update that names it would touch the index of unfinished runs at each step.
	if err == nil && isClosed(c.Status) {
		err = tx.exec(ctx, "UPDATE runs SET closed = 1, ended = ? WHERE id = ?", c.At, run)
	}
	return err
}

func headKey(c *journal.Commit) []byte {
	if c.Head == nil {
		return []byte{}
	}
	return linkBytes(c.Head.CID)
}

func (tx *transaction) writeStep(ctx context.Context, c *journal.Commit, run int64, d *draft) error {
	if err := tx.putBlocks(ctx, []provenance.Block{c.Step}, nil); err != nil {
		return err
	}
	if err := tx.putBlocks(ctx, c.Blocks, c.Leaves); err != nil {
		return err
	}
	if err := tx.endLeaves(ctx, run, c); err != nil {
		return err
	}
	if isClosed(c.Status) {
		if err := tx.exec(ctx, "DELETE FROM reservations WHERE run = ? AND settled IS NOT NULL", run); err != nil {
			return err
		}
	}
	if c.Head != nil {
		if err := tx.putBlocks(ctx, []provenance.Block{*c.Head}, nil); err != nil {
			return err
		}
		if err := tx.addEntry(ctx, c.Head.CID, c.Run, c.Seq); err != nil {
			return err
		}
	}
	err := tx.exec(ctx, "INSERT INTO steps VALUES (?, ?, ?)", run, int64(c.Seq), linkBytes(c.Step.CID))
	if err != nil {
		return err
	}
	if err := tx.writeDraft(ctx, run, c.Seq, d); err != nil {
		return err
	}
	if err := (doubts{tx}).noteDoubts(ctx, c, run, d); err != nil {
		return err
	}
	if n := c.Nonce; n != nil {
		return tx.exec(ctx, "INSERT INTO tx_nonces VALUES (?, ?, ?)", n.Account, int64(n.Nonce), run)
	}
	return nil
}
