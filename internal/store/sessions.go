package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// PutSession implements journal.Database. Another session under the same id is an error.
func (db sessions) PutSession(ctx context.Context, s journal.Session) error {
	err := checkSession(s)
	if err == nil {
		err = db.write(ctx, len(s.Message), func(ctx context.Context, tx *transaction) error { return tx.putSession(ctx, s) })
	}
	if err != nil {
		return fmt.Errorf("put session %s: %w", s.ID, err)
	}
	return nil
}

func (tx *transaction) putSession(ctx context.Context, s journal.Session) error {
	n, err := tx.execCount(ctx, `INSERT INTO sessions
		(cid, account, chain, key, agent, opened, expires, revoked, used, message, sig, method)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		linkBytes(s.ID), s.Account[:], int64(s.Chain), s.Key, s.Agent, s.Opened, s.Expires, s.Revoked, tx.now(),
		notNil(s.Message), notNil(s.Sig), s.Method)
	if err != nil || n == 1 {
		return err
	}
	var one int
	err = tx.readRow(ctx, `SELECT 1 FROM sessions WHERE cid = ? AND account = ? AND chain = ? AND key = ? AND agent = ?
		AND opened = ? AND expires = ? AND message = ? AND sig = ? AND method = ?`,
		[]any{linkBytes(s.ID), s.Account[:], int64(s.Chain), s.Key, s.Agent, s.Opened, s.Expires,
			notNil(s.Message), notNil(s.Sig), s.Method}, &one)
	if errors.Is(err, journal.ErrNotFound) {
		return errOtherSession
	}
	return err
}

var errOtherSession = errors.New("another session has this id")

const sessionColumns = `cid, account, chain, key, agent, opened, expires, revoked, used, revocation, message, sig,
	method, device`

func scanSession(scan scanner) (s journal.Session, err error) {
	var id, account, by []byte
	var chain int64
	err = scan(&id, &account, &chain, &s.Key, &s.Agent, &s.Opened, &s.Expires, &s.Revoked, &s.Used, &by, &s.Message,
		&s.Sig, &s.Method, &s.Device)
	s.Account, s.Chain = common.BytesToAddress(account), uint64(chain)
	return s, errors.Join(err, parseLink(id, &s.ID), parseLink(by, &s.Revocation))
}

// Session implements journal.Database.
func (db sessions) Session(ctx context.Context, id provenance.Link) (journal.Session, error) {
	s, err := readOne(ctx, db.reads, scanSession, "SELECT "+sessionColumns+" FROM sessions WHERE cid = ?", linkBytes(id))
	if err != nil {
		return journal.Session{}, fmt.Errorf("session %s: %w", id, err)
	}
	return s, nil
}

// Sessions implements journal.Database.
func (db sessions) Sessions(ctx context.Context, account common.Address, until int64) ([]journal.Session, error) {
	where, args := ofAccount("account", account)
	if where == "" {
		where = " WHERE true"
	}
	all, err := readAll(ctx, db.reads, scanSession,
		"SELECT "+sessionColumns+" FROM sessions"+where+" AND opened <= ? ORDER BY opened DESC, id DESC LIMIT ?",
		append(args, until, journal.MaxSessions)...)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return all, nil
}

// OpenSessions implements journal.Database.
func (db sessions) OpenSessions(ctx context.Context, at, until int64) ([]journal.Session, error) {
	all, err := readAll(ctx, db.reads, scanSession,
		"SELECT "+sessionColumns+` FROM sessions WHERE revoked = 0 AND expires > ? AND opened <= ?
			ORDER BY opened DESC, id DESC LIMIT ?`,
		at, until, journal.MaxSessions)
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

// UseSession implements journal.Database. Most calls only read: the time is written when the one written last is old
// enough to matter.
func (db sessions) UseSession(ctx context.Context, id provenance.Link, idle time.Duration) (journal.Session, error) {
	s, err := db.Session(ctx, id)
	if err != nil {
		return journal.Session{}, err
	}
	now := db.now().UnixMilli()
	if err = checkInUse(s, now, idle); err == nil && (now-s.Used >= idle.Milliseconds()/16 || isAhead(s.Used, now)) {
		err = db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
			// Read again: it may have been revoked since. Two that come at once both find it in use.
			err := tx.readRow(ctx, "SELECT revoked, expires, used FROM sessions WHERE cid = ?", []any{linkBytes(id)},
				&s.Revoked, &s.Expires, &s.Used)
			if err == nil {
				err = checkInUse(s, tx.now(), idle)
			}
			if err != nil {
				return err
			}
			if now := tx.now(); s.Used < now || isAhead(s.Used, now) { // a use that lies ahead would never grow old
				s.Used = now
			}
			return tx.exec(ctx, "UPDATE sessions SET used = ? WHERE cid = ?", s.Used, linkBytes(id))
		})
	}
	if err != nil {
		return s, fmt.Errorf("use session %s: %w", id, err)
	}
	return s, nil
}

// checkInUse says whether a session's key may sign a request at now.
func checkInUse(s journal.Session, now int64, idle time.Duration) error {
	if err := checkFresh(s.Opened, s.Revoked, s.Expires, now); err != nil {
		return err
	}
	if now-s.Used >= idle.Milliseconds() {
		return journal.ErrIdle
	}
	return nil
}

// NameDevice implements journal.Database.
func (db sessions) NameDevice(ctx context.Context, id provenance.Link, device string) error {
	err := checkName("device", device)
	if err == nil {
		err = db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
			n, err := tx.execCount(ctx, "UPDATE sessions SET device = ? WHERE cid = ? AND device = ''", device, linkBytes(id))
			if err != nil || n == 1 {
				return err
			}
			var one int // it has a name already, or is not there
			return tx.readRow(ctx, "SELECT 1 FROM sessions WHERE cid = ?", []any{linkBytes(id)}, &one)
		})
	}
	if err != nil {
		return fmt.Errorf("name the device of session %s: %w", id, err)
	}
	return nil
}

// RevokeSession implements journal.Database. It returns when the revocation is durable; the commits before it are too.
func (db sessions) RevokeSession(ctx context.Context, id provenance.Link, at int64, by provenance.Link) error {
	err := checkRevoke(at, by)
	if err == nil {
		err = db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
			n, err := tx.execCount(ctx, "UPDATE sessions SET revoked = ?, revocation = ? WHERE cid = ? AND revoked = 0", at,
				linkBytes(by), linkBytes(id))
			if err != nil || n == 1 {
				return err
			}
			var one int // it is revoked already, or not there
			return tx.readRow(ctx, "SELECT 1 FROM sessions WHERE cid = ?", []any{linkBytes(id)}, &one)
		})
	}
	if err != nil {
		return fmt.Errorf("revoke session %s: %w", id, err)
	}
	return nil
}

var errDelegationRevoked = fmt.Errorf("%w: a delegation that it acts under is revoked", journal.ErrStale)

// RevokeDelegation implements journal.Database.
func (db sessions) RevokeDelegation(ctx context.Context, id provenance.Link, at int64, by provenance.Link) error {
	err := checkRevoke(at, by)
	if err == nil {
		err = db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
			return endDelegation(ctx, tx, id, at, by)
		})
	}
	if err != nil {
		return fmt.Errorf("revoke delegation %s: %w", id, err)
	}
	return nil
}

func endDelegation(ctx context.Context, tx *transaction, id provenance.Link, at int64, by provenance.Link) error {
	_, err := tx.execCount(ctx, `INSERT INTO revoked_delegations (cid, at, revocation) VALUES (?, ?, ?)
		ON CONFLICT DO NOTHING`, linkBytes(id), at, linkBytes(by))
	return err
}

// RevokedDelegation implements journal.Database.
func (db sessions) RevokedDelegation(
	ctx context.Context, ids []provenance.Link,
) (by provenance.Link, at int64, err error) {
	for _, id := range ids {
		var b []byte
		err := db.readRow(ctx, "SELECT at, revocation FROM revoked_delegations WHERE cid = ?", []any{linkBytes(id)}, &at, &b)
		if errors.Is(err, journal.ErrNotFound) {
			continue
		}
		if err == nil {
			err = parseLink(b, &by)
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
	case !isOurs(by):
		return fmt.Errorf("%s is not the CID of a revocation", by)
	}
	return nil
}

// isAhead says whether a time that was noted lies further ahead of now than clocks differ: the clock was set back.
func isAhead(noted, now int64) bool { return noted-now > clocksDiffer }

// checkFresh says whether a session may reserve and be used.
func checkFresh(opened, revoked, expires, at int64) error {
	switch {
	case revoked != 0:
		return fmt.Errorf("%w: it is revoked", journal.ErrStale)
	case isAhead(opened, at):
		return journal.ErrEarly
	case at >= expires:
		return fmt.Errorf("%w: it has expired", journal.ErrStale)
	}
	return nil
}
