package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/provenance"
)

// PutBlocks implements agent.Store.
func (db *DB) PutBlocks(ctx context.Context, blocks []provenance.Block, leaves []provenance.Leaf) error {
	err := cmp.Or(checkBlocks(blocks, leaves), checkLasting(leaves))
	if err == nil {
		size := 0
		for _, b := range blocks {
			size += len(b.Data)
		}
		err = db.do(ctx, size, func(ctx context.Context, w *writer) error { return w.putBlocks(ctx, blocks, leaves) })
	}
	if err != nil {
		return fmt.Errorf("put blocks: %w", err)
	}
	return nil
}

// Block implements agent.Store. A block that is not there is provenance.ErrAbsent too, so that exports and gateways
// can read from a store. Bytes that no longer match their CID are [ErrCorrupt].
func (db *DB) Block(ctx context.Context, c provenance.Link) ([]byte, error) {
	err := errAbsent
	var data []byte
	if ours(c) {
		err = db.get(ctx, "SELECT data FROM blocks WHERE cid = ?", []any{key(c)}, &data)
	}
	if errors.Is(err, agent.ErrNotFound) {
		if err = db.withheld(ctx, c); err == nil {
			err = errAbsent
		}
	}
	if err != nil {
		return nil, fmt.Errorf("block %s: %w", c, err)
	}
	if err := checkRead(c, data); err != nil {
		return nil, err
	}
	return data, nil
}

// LeafKey implements agent.Store.
func (db *DB) LeafKey(ctx context.Context, c provenance.Link) (k provenance.LeafKey, err error) {
	var b []byte
	if err := db.get(ctx, "SELECT key FROM leaves WHERE cid = ?", []any{key(c)}, &b); err != nil {
		return k, fmt.Errorf("key of leaf %s: %w", c, err)
	}
	copy(k[:], b)
	return k, nil
}

// PutSession implements agent.Store. Another session under the same id is an error.
func (db *DB) PutSession(ctx context.Context, s agent.Session) error {
	err := checkSession(s)
	if err == nil {
		err = db.do(ctx, len(s.Message), func(ctx context.Context, w *writer) error { return w.putSession(ctx, s) })
	}
	if err != nil {
		return fmt.Errorf("put session %s: %w", s.ID, err)
	}
	return nil
}

func (w *writer) putSession(ctx context.Context, s agent.Session) error {
	n, err := w.changed(ctx, `INSERT INTO sessions
		(cid, account, chain, key, agent, opened, expires, revoked, used, message, sig, method)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		key(s.ID), s.Account[:], int64(s.Chain), s.Key, s.Agent, s.Opened, s.Expires, s.Revoked, w.now(),
		notNil(s.Message), notNil(s.Sig), s.Method)
	if err != nil || n == 1 {
		return err
	}
	var one int
	err = w.row(ctx, `SELECT 1 FROM sessions WHERE cid = ? AND account = ? AND chain = ? AND key = ? AND agent = ?
		AND opened = ? AND expires = ? AND message = ? AND sig = ? AND method = ?`,
		[]any{key(s.ID), s.Account[:], int64(s.Chain), s.Key, s.Agent, s.Opened, s.Expires,
			notNil(s.Message), notNil(s.Sig), s.Method}, &one)
	if errors.Is(err, agent.ErrNotFound) {
		return errOtherSession
	}
	return err
}

var errOtherSession = errors.New("another session has this id")

const sessionColumns = "cid, account, chain, key, agent, opened, expires, revoked, used, revocation, message, sig, method"

func scanSession(scan func(...any) error) (s agent.Session, err error) {
	var id, account, by []byte
	var chain int64
	err = scan(&id, &account, &chain, &s.Key, &s.Agent, &s.Opened, &s.Expires, &s.Revoked, &s.Used, &by, &s.Message, &s.Sig, &s.Method)
	s.Account, s.Chain = common.BytesToAddress(account), uint64(chain)
	return s, errors.Join(err, link(id, &s.ID), link(by, &s.Revocation))
}

// Session implements agent.Store.
func (db *DB) Session(ctx context.Context, id provenance.Link) (agent.Session, error) {
	row := db.readers.QueryRowContext(ctx, "SELECT "+sessionColumns+" FROM sessions WHERE cid = ?", key(id))
	s, err := scanSession(row.Scan)
	if err != nil {
		return agent.Session{}, fmt.Errorf("session %s: %w", id, notFound(err))
	}
	return s, nil
}

// Sessions implements agent.Store.
func (db *DB) Sessions(ctx context.Context, account common.Address, until int64) ([]agent.Session, error) {
	where, args := ofAccount("account", account)
	if where == "" {
		where = " WHERE true"
	}
	all, err := list(ctx, db, scanSession,
		"SELECT "+sessionColumns+" FROM sessions"+where+" AND opened <= ? ORDER BY opened DESC, id DESC LIMIT ?",
		append(args, until, agent.MaxSessions)...)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return all, nil
}

// OpenSessions implements agent.Store.
func (db *DB) OpenSessions(ctx context.Context, at, until int64) ([]agent.Session, error) {
	all, err := list(ctx, db, scanSession,
		"SELECT "+sessionColumns+" FROM sessions WHERE revoked = 0 AND expires > ? AND opened <= ? ORDER BY opened DESC, id DESC LIMIT ?",
		at, until, agent.MaxSessions)
	if err != nil {
		return nil, fmt.Errorf("list open sessions: %w", err)
	}
	return all, nil
}

// ofAccount returns the condition on a list of an account's rows; the zero account has none.
func ofAccount(column string, a common.Address) (where string, args []any) {
	if a == (common.Address{}) {
		return "", nil
	}
	return " WHERE " + column + " = ?", []any{a[:]}
}

// Revoke implements agent.Store. It returns when the revocation is durable; the commits before it are too.
func (db *DB) Revoke(ctx context.Context, id provenance.Link, at int64, by provenance.Link) error {
	err := checkRevoke(at, by)
	if err == nil {
		err = db.do(ctx, 0, func(ctx context.Context, w *writer) error {
			n, err := w.changed(ctx, "UPDATE sessions SET revoked = ?, revocation = ? WHERE cid = ? AND revoked = 0", at, key(by), key(id))
			if err != nil || n == 1 {
				return err
			}
			var one int // it is revoked already, or not there
			return w.row(ctx, "SELECT 1 FROM sessions WHERE cid = ?", []any{key(id)}, &one)
		})
	}
	if err != nil {
		return fmt.Errorf("revoke session %s: %w", id, err)
	}
	return nil
}

var errDelegationRevoked = fmt.Errorf("%w: a delegation that it acts under is revoked", agent.ErrStale)

// RevokeDelegation implements agent.Store.
func (db *DB) RevokeDelegation(ctx context.Context, id provenance.Link, at int64, by provenance.Link) error {
	err := checkRevoke(at, by)
	if err == nil {
		err = db.do(ctx, 0, func(ctx context.Context, w *writer) error {
			_, err := w.changed(ctx, "INSERT INTO revoked_delegations (cid, at, revocation) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", key(id), at, key(by))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("revoke delegation %s: %w", id, err)
	}
	return nil
}

// RevokedDelegation implements agent.Store.
func (db *DB) RevokedDelegation(ctx context.Context, ids []provenance.Link) (by provenance.Link, at int64, err error) {
	for _, id := range ids {
		var b []byte
		row := db.readers.QueryRowContext(ctx, "SELECT at, revocation FROM revoked_delegations WHERE cid = ?", key(id))
		err := notFound(row.Scan(&at, &b))
		if errors.Is(err, agent.ErrNotFound) {
			continue
		}
		if err == nil {
			err = link(b, &by)
		}
		if err != nil {
			return provenance.Link{}, 0, fmt.Errorf("look up delegation %s: %w", id, err)
		}
		return by, at, nil
	}
	return provenance.Link{}, 0, nil
}

func checkRevoke(at int64, by provenance.Link) error {
	switch {
	case at <= 0:
		return errors.New("the time of revocation must be above 0")
	case !ours(by):
		return fmt.Errorf("%s is not the CID of a revocation", by)
	}
	return nil
}

// Use implements agent.Store. Most calls only read: the time is written when the one written last is old enough to
// matter.
func (db *DB) Use(ctx context.Context, id provenance.Link, idle time.Duration) (agent.Session, error) {
	s, err := db.Session(ctx, id)
	if err != nil {
		return agent.Session{}, err
	}
	now := db.now().UnixMilli()
	if err = inUse(s, now, idle); err == nil && now-s.Used >= idle.Milliseconds()/16 {
		err = db.do(ctx, 0, func(ctx context.Context, w *writer) error {
			// Read again: it may have been revoked since. Two that come at once both find it in use.
			err := w.row(ctx, "SELECT revoked, expires, used FROM sessions WHERE cid = ?", []any{key(id)}, &s.Revoked, &s.Expires, &s.Used)
			if err == nil {
				err = inUse(s, w.now(), idle)
			}
			if err != nil {
				return err
			}
			s.Used = max(s.Used, w.now())
			return w.exec(ctx, "UPDATE sessions SET used = ? WHERE cid = ?", s.Used, key(id))
		})
	}
	if err != nil {
		return s, fmt.Errorf("use session %s: %w", id, err)
	}
	return s, nil
}

// inUse says whether a session's key may sign a request at now.
func inUse(s agent.Session, now int64, idle time.Duration) error {
	if err := stale(s.Revoked, s.Expires, now); err != nil {
		return err
	}
	if now-s.Used >= idle.Milliseconds() {
		return agent.ErrIdle
	}
	return nil
}

const runColumns = `runs.cid, sessions.cid, runs.account, runs.agent, runs.opened, steps, last, head, status,
	sessions.chain, sessions.method FROM runs JOIN sessions ON runs.session = sessions.id`

func scanRun(scan func(...any) error) (r agent.RunInfo, err error) {
	var id, session, account, last, head []byte
	var steps, chain int64
	err = scan(&id, &session, &account, &r.Agent, &r.Opened, &steps, &last, &head, &r.Status, &chain, &r.Method)
	r.Account, r.Steps, r.Chain = common.BytesToAddress(account), uint64(steps), uint64(chain)
	return r, errors.Join(err, link(id, &r.ID), link(session, &r.Session), link(last, &r.Last), link(head, &r.Head))
}

// Run implements agent.Store.
func (db *DB) Run(ctx context.Context, id provenance.Link) (agent.RunInfo, error) {
	r, err := scanRun(db.readers.QueryRowContext(ctx, "SELECT "+runColumns+" WHERE runs.cid = ?", key(id)).Scan)
	if err != nil {
		return agent.RunInfo{}, fmt.Errorf("run %s: %w", id, notFound(err))
	}
	return r, nil
}

// Runs implements agent.Store.
func (db *DB) Runs(ctx context.Context, account common.Address, limit int) ([]agent.RunInfo, error) {
	where, args := ofAccount("runs.account", account)
	all, err := list(ctx, db, scanRun, "SELECT "+runColumns+where+" ORDER BY runs.opened DESC, runs.id DESC LIMIT ?",
		append(args, max(limit, 0))...)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return all, nil
}

// Steps implements agent.Store. An unknown run is agent.ErrNotFound; past its end there are no steps. A block that
// does not match its CID, or is gone, is [ErrCorrupt].
func (db *DB) Steps(ctx context.Context, run provenance.Link, from uint64, limit int) ([]provenance.Block, error) {
	var id int64
	err := db.get(ctx, "SELECT id FROM runs WHERE cid = ?", []any{key(run)}, &id)
	var blocks []provenance.Block
	if err == nil {
		blocks, err = list(ctx, db, scanStep, `SELECT steps.cid, data FROM steps LEFT JOIN blocks ON blocks.cid = steps.cid
			WHERE run = ? AND seq >= ? ORDER BY seq LIMIT ?`, id, int64(min(from, maxNumber)), max(limit, 0))
	}
	if err != nil {
		return nil, fmt.Errorf("steps of run %s: %w", run, err)
	}
	return blocks, nil
}

func scanStep(scan func(...any) error) (b provenance.Block, err error) {
	var id []byte
	if err := scan(&id, &b.Data); err != nil {
		return b, err
	}
	if err := link(id, &b.CID); err != nil {
		return b, err
	}
	return b, checkRead(b.CID, b.Data)
}

// Unfinished implements agent.Store.
func (db *DB) Unfinished(ctx context.Context) ([]provenance.Link, error) {
	all, err := list(ctx, db, scanLink, "SELECT cid FROM runs WHERE closed = 0 ORDER BY opened, id")
	if err != nil {
		return nil, fmt.Errorf("list unfinished runs: %w", err)
	}
	return all, nil
}

func scanLink(scan func(...any) error) (c provenance.Link, err error) {
	var id []byte
	err = scan(&id)
	return c, errors.Join(err, link(id, &c))
}

// ByKey implements agent.Store.
func (db *DB) ByKey(ctx context.Context, session provenance.Link, name string, hash [32]byte) (provenance.Link, error) {
	var id, stored []byte
	var run provenance.Link
	err := db.get(ctx, `SELECT runs.cid, hash FROM runs JOIN sessions ON runs.session = sessions.id
		WHERE sessions.cid = ? AND runs.key = ?`, []any{key(session), name}, &id, &stored)
	if err == nil && string(stored) != string(hash[:]) {
		err = agent.ErrConflict
	}
	if err == nil {
		err = link(id, &run)
	}
	if err != nil {
		return provenance.Link{}, fmt.Errorf("run by idempotency key: %w", err)
	}
	return run, nil
}

// Claim implements agent.Store. The owner of a lease that still runs keeps its fence, and until may also shorten the
// lease; anyone else, and an owner that comes late, gets a new fence, which shuts out every older one.
func (db *DB) Claim(ctx context.Context, run provenance.Link, owner string, until int64) (fence uint64, err error) {
	err = checkName("owner", owner)
	if err == nil {
		err = db.do(ctx, 0, func(ctx context.Context, w *writer) (err error) {
			fence, err = w.claim(ctx, run, owner, until)
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("claim run %s: %w", run, err)
	}
	return fence, nil
}

func (w *writer) claim(ctx context.Context, run provenance.Link, owner string, until int64) (uint64, error) {
	var id, end, fence int64
	var now = w.now()
	var last string
	err := w.row(ctx, "SELECT id, owner, until, fence FROM runs WHERE cid = ?", []any{key(run)}, &id, &last, &end, &fence)
	if err != nil {
		return 0, err
	}
	fence, err = nextFence(last, owner, end, now, fence)
	if err != nil {
		return 0, err
	}
	err = w.exec(ctx, "UPDATE runs SET owner = ?, until = ?, fence = ? WHERE id = ?", owner, until, fence, id)
	return uint64(fence), err
}

// nextFence returns the fence that a claim gets when the lease belongs to last until the time end.
func nextFence(last, owner string, end, now, fence int64) (int64, error) {
	switch {
	case now >= end:
		return fence + 1, nil
	case last != owner:
		return 0, agent.ErrFenced
	}
	return fence, nil
}

// Ledgers implements agent.Store. At most 1,000 keys.
func (db *DB) Ledgers(ctx context.Context, keys []string) ([]agent.Ledger, error) {
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%d ledgers at once, more than %d", len(keys), maxKeys)
	}
	if len(keys) == 0 {
		return nil, nil
	}
	args := make([]any, len(keys))
	for i, k := range keys {
		args[i] = k
	}
	// One statement, so that all of them are seen at one moment.
	found, err := list(ctx, db, scanLedger, "SELECT key, symbol, decimals, spent, reserved FROM ledgers WHERE key IN (?"+
		strings.Repeat(", ?", len(keys)-1)+")", args...)
	if err != nil {
		return nil, fmt.Errorf("read ledgers: %w", err)
	}
	byKey := make(map[string]agent.Ledger, len(found))
	for _, l := range found {
		byKey[l.Key] = l
	}
	ledgers := make([]agent.Ledger, len(keys))
	for i, k := range keys {
		ledgers[i] = byKey[k]
		ledgers[i].Key = k
	}
	return ledgers, nil
}

func scanLedger(scan func(...any) error) (agent.Ledger, error) {
	var name, symbol string
	var decimals uint8
	var spent, reserved []byte
	err := scan(&name, &symbol, &decimals, &spent, &reserved)
	return ledgerOf(name, symbol, decimals, spent, reserved), err
}

// NextNonce implements agent.Store: one above the highest nonce that a commit has used, or 0.
func (db *DB) NextNonce(ctx context.Context, account string) (uint64, error) {
	var n int64
	err := db.get(ctx, "SELECT coalesce(max(nonce) + 1, 0) FROM tx_nonces WHERE account = ?", []any{account}, &n)
	if err != nil {
		return 0, fmt.Errorf("next nonce of %s: %w", account, err)
	}
	return uint64(n), nil
}

// get reads one row on a reader's connection.
func (db *DB) get(ctx context.Context, query string, args []any, dest ...any) error {
	return notFound(db.readers.QueryRowContext(ctx, query, args...).Scan(dest...))
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return agent.ErrNotFound
	}
	return err
}

// list reads all rows on a reader's connection.
func list[T any](ctx context.Context, db *DB, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.readers.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// link reads a stored CID. Nothing stored is the undefined one.
func link(b []byte, c *provenance.Link) error {
	if len(b) == 0 {
		return nil
	}
	got, err := cid.Cast(b)
	*c = got
	return err
}
