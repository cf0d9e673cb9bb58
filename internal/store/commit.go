package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/holiman/uint256"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// Commit implements agent.Store. An opening needs its session to be stored (agent.ErrNotFound) and its idempotency
// key, if it is not empty, to be unused in that session (agent.ErrConflict). A commit that is not well-formed, such
// as one whose bytes do not match their CID or that settles more than was reserved, is an error of its own.
func (db *DB) Commit(ctx context.Context, c agent.Commit) error {
	err := checkCommit(&c)
	ended := false
	if err == nil {
		err = db.do(ctx, commitSize(&c), func(ctx context.Context, w *writer) error {
			err := w.commit(ctx, &c)
			ended, w.ended = w.ended, false
			return err
		})
	}
	if err == nil && ended {
		_ = db.truncate(ctx) // what is deleted is; if somebody is reading, a later one takes it out of the log too
	}
	if err != nil {
		return fmt.Errorf("commit step %d of run %s: %w", c.Seq, c.Run, err)
	}
	return nil
}

// checkCommit says whether c is well-formed, before anything is looked up.
func checkCommit(c *agent.Commit) error {
	if !ours(c.Run) {
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
	if len(c.Under) > provenance.MaxDelegations {
		return fmt.Errorf("%d delegations, more than %d", len(c.Under), provenance.MaxDelegations)
	}
	var errs []error
	for _, r := range c.Reserve {
		errs = append(errs, checkName("ledger", r.Ledger), checkRef(r.Ref))
	}
	for _, s := range c.Settle {
		errs = append(errs, checkName("ledger", s.Ledger), checkRef(s.Ref))
	}
	if c.Nonce != nil {
		errs = append(errs, checkName("account", c.Nonce.Account))
		if c.Nonce.Nonce > maxNumber {
			errs = append(errs, fmt.Errorf("transaction nonce %d is out of range", c.Nonce.Nonce))
		}
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

func commitSize(c *agent.Commit) int {
	n := len(c.Step.Data)
	for _, b := range c.Blocks {
		n += len(b.Data)
	}
	return n
}

// closed says whether a run with this status is over.
func closed(status string) bool { return status != "running" && status != "parked" }

// commit makes all checks, in the order that agent.Commit states, before it writes anything.
func (w *writer) commit(ctx context.Context, c *agent.Commit) error {
	run, session, err := w.checkRun(ctx, c)
	if err != nil {
		return err
	}
	if len(c.Reserve) > 0 || c.Nonce != nil {
		var revoked, expires int64
		err := w.row(ctx, "SELECT revoked, expires FROM sessions WHERE id = ?", []any{session}, &revoked, &expires)
		if err != nil {
			return fmt.Errorf("session: %w", err)
		}
		if err := stale(revoked, expires, c.At); err != nil {
			return err
		}
		for _, d := range c.Under {
			var one int
			if err := w.row(ctx, "SELECT 1 FROM revoked_delegations WHERE cid = ?", []any{key(d)}, &one); err == nil {
				return errDelegationRevoked
			} else if !errors.Is(err, agent.ErrNotFound) {
				return err
			}
		}
	}
	d, err := draw(sqlBook{ctx, w, run}, c)
	if err != nil {
		return err
	}
	if n := c.Nonce; n != nil {
		var one int
		err := w.row(ctx, "SELECT 1 FROM tx_nonces WHERE account = ? AND nonce = ?", []any{n.Account, int64(n.Nonce)}, &one)
		if err == nil {
			return fmt.Errorf("nonce %d of %s: %w", n.Nonce, n.Account, agent.ErrNonceUsed)
		}
		if !errors.Is(err, agent.ErrNotFound) {
			return err
		}
	}
	if c.Open != nil {
		if run, err = w.open(ctx, c, session); err != nil {
			return err
		}
	} else if err := w.advance(ctx, c, run); err != nil {
		return err
	}
	return w.write(ctx, c, run, d)
}

// stale says whether a session may still reserve.
func stale(revoked, expires, at int64) error {
	switch {
	case revoked != 0:
		return fmt.Errorf("%w: it is revoked", agent.ErrStale)
	case at >= expires:
		return fmt.Errorf("%w: it has expired", agent.ErrStale)
	}
	return nil
}

// checkRun makes the checks on the run, its fence and its seq. It returns the rows of the run, 0 if it is to be
// opened, and of its session.
func (w *writer) checkRun(ctx context.Context, c *agent.Commit) (run, session int64, err error) {
	var fence, steps int64
	err = w.row(ctx, "SELECT id, session, fence, steps FROM runs WHERE cid = ?", []any{key(c.Run)},
		&run, &session, &fence, &steps)
	switch {
	case c.Open == nil && err != nil:
		return 0, 0, err
	case c.Open == nil && uint64(fence) != c.Fence:
		return 0, 0, fmt.Errorf("fence %d is not %d: %w", c.Fence, fence, agent.ErrFenced)
	case c.Open == nil && uint64(steps) != c.Seq:
		return 0, 0, fmt.Errorf("it has %d steps: %w", steps, agent.ErrSeq)
	case c.Open == nil:
		return run, session, nil
	case err == nil:
		return 0, 0, fmt.Errorf("the run is there already: %w", agent.ErrConflict)
	case !errors.Is(err, agent.ErrNotFound):
		return 0, 0, err
	}
	err = w.row(ctx, "SELECT id FROM sessions WHERE cid = ?", []any{key(c.Open.Session)}, &session)
	if err != nil {
		return 0, 0, fmt.Errorf("session %s: %w", c.Open.Session, err)
	}
	if c.Open.Key != "" {
		var one int
		err := w.row(ctx, "SELECT 1 FROM runs WHERE session = ? AND key = ?", []any{session, c.Open.Key}, &one)
		if err == nil {
			return 0, 0, agent.ErrConflict
		}
		if !errors.Is(err, agent.ErrNotFound) {
			return 0, 0, err
		}
	}
	if c.Seq != 0 {
		return 0, 0, fmt.Errorf("a run opens with step 0: %w", agent.ErrSeq)
	}
	return 0, session, nil
}

func (w *writer) open(ctx context.Context, c *agent.Commit, session int64) (run int64, err error) {
	o := c.Open
	var name any // NULL, which is unique
	if o.Key != "" {
		name = o.Key
	}
	err = w.row(ctx, `INSERT INTO runs
		(cid, session, account, agent, opened, key, hash, steps, last, head, status, closed, ended, owner, until, fence)
		VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?, ?, 1) RETURNING id`,
		[]any{key(c.Run), session, o.Account[:], o.Agent, c.At, name, o.Hash[:], key(c.Step.CID), headKey(c), c.Status,
			closed(c.Status), endOf(c), o.Owner, o.Until}, &run)
	return run, err
}

// endOf is when the run ends, or 0.
func endOf(c *agent.Commit) int64 {
	if closed(c.Status) {
		return c.At
	}
	return 0
}

func (w *writer) advance(ctx context.Context, c *agent.Commit, run int64) error {
	err := w.exec(ctx, "UPDATE runs SET steps = ?, last = ?, status = ? WHERE id = ?",
		int64(c.Seq+1), key(c.Step.CID), c.Status, run)
	if err == nil && c.Head != nil {
		err = w.exec(ctx, "UPDATE runs SET head = ? WHERE id = ?", headKey(c), run)
	}
	// Its own column and statement: an update that names it would touch the index of unfinished runs at each step.
	if err == nil && closed(c.Status) {
		err = w.exec(ctx, "UPDATE runs SET closed = 1, ended = ? WHERE id = ?", c.At, run)
	}
	return err
}

func headKey(c *agent.Commit) []byte {
	if c.Head == nil {
		return []byte{}
	}
	return key(c.Head.CID)
}

func (w *writer) write(ctx context.Context, c *agent.Commit, run int64, d draft) error {
	if err := w.putBlocks(ctx, []provenance.Block{c.Step}, nil); err != nil {
		return err
	}
	if err := w.putBlocks(ctx, c.Blocks, c.Leaves); err != nil {
		return err
	}
	if err := w.fleet(ctx, run, c); err != nil {
		return err
	}
	if closed(c.Status) {
		if err := w.exec(ctx, "DELETE FROM holds WHERE run = ? AND settled IS NOT NULL", run); err != nil {
			return err
		}
	}
	if c.Head != nil {
		if err := w.putBlocks(ctx, []provenance.Block{*c.Head}, nil); err != nil {
			return err
		}
		if err := w.addEntry(ctx, c.Head.CID); err != nil {
			return err
		}
	}
	err := w.exec(ctx, "INSERT INTO steps VALUES (?, ?, ?)", run, int64(c.Seq), key(c.Step.CID))
	if err != nil {
		return err
	}
	if err := w.writeDraft(ctx, run, c.Seq, d); err != nil {
		return err
	}
	if n := c.Nonce; n != nil {
		return w.exec(ctx, "INSERT INTO tx_nonces VALUES (?, ?, ?)", n.Account, int64(n.Nonce), run)
	}
	return nil
}

// writeDraft writes what the step seq of a run makes of the ledgers. A hold that ends stays as a note until the run
// closes, so that a step that is lost can be undone.
func (w *writer) writeDraft(ctx context.Context, run int64, seq uint64, d draft) error {
	for _, k := range d.keys {
		l := d.ledgers[k]
		a := l.Spent.Asset()
		err := w.exec(ctx, `INSERT INTO ledgers VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET spent = excluded.spent, reserved = excluded.reserved`,
			l.Key, a.Symbol, int64(a.Decimals), units(l.Spent), units(l.Reserved))
		if err != nil {
			return err
		}
	}
	for _, k := range d.holdKeys {
		if err := w.hold(ctx, k, run, seq, d); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) hold(ctx context.Context, k holdKey, run int64, seq uint64, d draft) error {
	at := []any{k.ledger, run, int64(k.ref.Seq), int64(k.ref.Index)}
	if held := d.holds[k]; held.Asset() != (money.Asset{}) {
		return w.exec(ctx, `INSERT INTO holds (ledger, run, seq, idx, amount) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET amount = excluded.amount`, append(at, units(held))...)
	}
	return w.exec(ctx, "UPDATE holds SET settled = ?5, used = ?6 WHERE ledger = ?1 AND run = ?2 AND seq = ?3 AND idx = ?4",
		append(at, int64(seq), units(d.used[k]))...)
}

func (w *writer) putBlocks(ctx context.Context, blocks []provenance.Block, leaves []provenance.Leaf) error {
	for _, b := range blocks {
		err := w.exec(ctx, "INSERT INTO blocks (cid, data) VALUES (?, ?) ON CONFLICT DO NOTHING", key(b.CID), notNil(b.Data))
		if err != nil {
			return err
		}
	}
	for _, l := range leaves {
		err := w.exec(ctx, "INSERT INTO leaves VALUES (?, ?) ON CONFLICT DO NOTHING", key(l.CID), l.Key[:])
		if err != nil {
			return err
		}
	}
	return nil
}

// A sqlBook reads ledgers and the holds of one run inside the writer's transaction.
type sqlBook struct {
	ctx context.Context // of the one call that the book lives for
	w   *writer
	run int64
}

func (b sqlBook) ledger(key string) (agent.Ledger, error) {
	var symbol string
	var decimals uint8
	var spent, reserved []byte
	err := b.w.row(b.ctx, "SELECT symbol, decimals, spent, reserved FROM ledgers WHERE key = ?", []any{key},
		&symbol, &decimals, &spent, &reserved)
	if errors.Is(err, agent.ErrNotFound) {
		return agent.Ledger{Key: key}, nil
	}
	return ledgerOf(key, symbol, decimals, spent, reserved), err
}

func (b sqlBook) held(k holdKey) (money.Amount, error) {
	if b.run == 0 {
		return money.Amount{}, nil
	}
	var symbol string
	var decimals uint8
	var amount []byte
	err := b.w.row(b.ctx, `SELECT symbol, decimals, amount FROM holds JOIN ledgers ON holds.ledger = ledgers.key
		WHERE ledger = ? AND run = ? AND seq = ? AND idx = ? AND settled IS NULL`,
		[]any{k.ledger, b.run, int64(k.ref.Seq), int64(k.ref.Index)}, &symbol, &decimals, &amount)
	if errors.Is(err, agent.ErrNotFound) {
		return money.Amount{}, nil
	}
	return amountOf(money.Asset{Symbol: symbol, Decimals: decimals}, amount), err
}

func (b sqlBook) lost(k holdKey) (bool, error) {
	var one int
	err := b.w.row(b.ctx, "SELECT 1 FROM holds WHERE ledger = ? AND run = ? AND seq = ? AND idx = ? AND settled IS NULL AND used IS NOT NULL",
		[]any{k.ledger, b.run, int64(k.ref.Seq), int64(k.ref.Index)}, &one)
	if errors.Is(err, agent.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func ledgerOf(key, symbol string, decimals uint8, spent, reserved []byte) agent.Ledger {
	a := money.Asset{Symbol: symbol, Decimals: decimals}
	return agent.Ledger{Key: key, Spent: amountOf(a, spent), Reserved: amountOf(a, reserved)}
}

func amountOf(a money.Asset, b []byte) money.Amount {
	return money.FromUint256(a, new(uint256.Int).SetBytes(b))
}

func units(a money.Amount) []byte { b := a.Uint256().Bytes32(); return b[:] }

// key returns the CID's bytes, under which a block is stored.
func key(c provenance.Link) []byte { return notNil(c.Bytes()) }

// notNil keeps an empty value from becoming NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
