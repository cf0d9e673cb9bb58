package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

const runColumns = `runs.cid, sessions.cid, runs.account, runs.agent, runs.opened, steps, last, head, status,
	sessions.chain, sessions.method FROM runs JOIN sessions ON runs.session = sessions.id`

func scanRun(scan scanner) (r journal.RunInfo, err error) {
	var row struct {
		id, session, account, last, head []byte
		steps, chain                     int64
		run                              journal.RunInfo
	}
	err = scan(&row.id, &row.session, &row.account, &row.run.Agent, &row.run.Opened, &row.steps, &row.last, &row.head,
		&row.run.Status, &row.chain, &row.run.Method)
	if err != nil {
		return r, err
	}
	r = row.run
	r.Account, r.Steps, r.Chain = common.BytesToAddress(row.account), uint64(row.steps), uint64(row.chain)
	return r, errors.Join(parseLink(row.id, &r.ID), parseLink(row.session, &r.Session), parseLink(row.last, &r.Last),
		parseLink(row.head, &r.Head))
}

// Run implements journal.Database.
func (db runs) Run(ctx context.Context, id provenance.Link) (journal.RunInfo, error) {
	r, err := readOne(ctx, db.reads, scanRun, "SELECT "+runColumns+" WHERE runs.cid = ?", linkBytes(id))
	if err != nil {
		return journal.RunInfo{}, fmt.Errorf("run %s: %w", id, err)
	}
	return r, nil
}

// Runs implements journal.Database.
func (db runs) Runs(ctx context.Context, account common.Address, limit int) ([]journal.RunInfo, error) {
	where, args := ofAccount("runs.account", account)
	all, err := readAll(ctx, db.reads, scanRun,
		"SELECT "+runColumns+where+" ORDER BY runs.opened DESC, runs.id DESC LIMIT ?",
		append(args, max(limit, 0))...)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return all, nil
}

// RunsBefore implements journal.Database.
func (db runs) RunsBefore(
	ctx context.Context, account common.Address, before provenance.Link, limit int,
) ([]journal.RunInfo, error) {
	var opened, id int64
	err := db.readRow(ctx, "SELECT opened, id FROM runs WHERE cid = ?", []any{linkBytes(before)}, &opened, &id)
	var all []journal.RunInfo
	if err == nil {
		where, args := ofAccount("runs.account", account)
		if where == "" {
			where = " WHERE true"
		}
		all, err = readAll(ctx, db.reads, scanRun, "SELECT "+runColumns+where+
			" AND (runs.opened, runs.id) < (?, ?) ORDER BY runs.opened DESC, runs.id DESC LIMIT ?",
			append(args, opened, id, max(limit, 0))...)
	}
	if err != nil {
		return nil, fmt.Errorf("list runs before %s: %w", before, err)
	}
	return all, nil
}

// OpenRuns implements journal.Database.
func (db runs) OpenRuns(ctx context.Context) ([]provenance.Link, error) {
	all, err := readAll(ctx, db.reads, scanLink, "SELECT cid FROM runs WHERE closed = 0 ORDER BY opened, id")
	if err != nil {
		return nil, fmt.Errorf("list unfinished runs: %w", err)
	}
	return all, nil
}

// OpenRunsOfOwner implements journal.Database.
func (db runs) OpenRunsOfOwner(ctx context.Context, of journal.Session) ([]journal.RunInfo, error) {
	all, err := readAll(ctx, db.reads, scanRun,
		"SELECT "+runColumns+" WHERE runs.account = ? AND closed = 0 ORDER BY runs.opened, runs.id", of.Account[:])
	if err != nil {
		return nil, fmt.Errorf("list open runs of %s: %w", of.Owner(), err)
	}
	// A contract with the same address on another chain is somebody else.
	return slices.DeleteFunc(all, func(r journal.RunInfo) bool { return r.Owner() != of.Owner() }), nil
}

// OpenRunsOfSession implements journal.Database.
func (db runs) OpenRunsOfSession(ctx context.Context, session provenance.Link) ([]journal.RunInfo, error) {
	all, err := readAll(ctx, db.reads, scanRun, "SELECT "+runColumns+` WHERE closed = 0 AND
		session = (SELECT id FROM sessions WHERE cid = ?) ORDER BY runs.opened, runs.id`, linkBytes(session))
	if err != nil {
		return nil, fmt.Errorf("list open runs of session %s: %w", session, err)
	}
	return all, nil
}

func scanLink(scan scanner) (c provenance.Link, err error) {
	var id []byte
	err = scan(&id)
	return c, errors.Join(err, parseLink(id, &c))
}

// RunByKey implements journal.Database.
func (db runs) RunByKey(ctx context.Context, session provenance.Link, name string, hash [32]byte) (provenance.Link,
	error) {
	run, err := runByKey(ctx, db.reads, session, name, hash)
	if err != nil {
		return provenance.Link{}, fmt.Errorf("run by idempotency key: %w", err)
	}
	return run, nil
}

// runByKey finds the run by the owner and not by the session: who signs in again has the same keys. Runs of before
// this was so may share one; then the run of the same request is meant.
func runByKey(ctx context.Context, r reader, session provenance.Link, name string, hash [32]byte) (run provenance.Link,
	err error) {
	err = journal.ErrNotFound
	failed := r.query(ctx, `SELECT runs.cid, runs.hash, opener.method, opener.chain, asker.method, asker.chain, asker.account
		FROM sessions AS asker JOIN runs ON runs.account = asker.account JOIN sessions AS opener ON opener.id = runs.session
		WHERE asker.cid = ? AND runs.key = ? ORDER BY runs.id DESC`, []any{linkBytes(session), name},
		func(scan scanner) error {
			var id, stored, account []byte
			var opener, asker string
			var openerChain, askerChain int64
			if err := scan(&id, &stored, &opener, &openerChain, &asker, &askerChain, &account); err != nil {
				return err
			}
			whose := common.BytesToAddress(account)
			if auth.Identity(opener, uint64(openerChain), whose) != auth.Identity(asker, uint64(askerChain), whose) {
				return nil // a contract with the same address on another chain is somebody else
			}
			switch {
			case string(stored) == string(hash[:]):
				err = parseLink(id, &run)
			case errors.Is(err, journal.ErrNotFound):
				err = journal.ErrConflict
			}
			return nil
		})
	return run, cmp.Or(failed, err)
}

// Steps implements journal.Database. An unknown run is journal.ErrNotFound; past its end there are no steps. A block
// that does not match its CID, or is gone, is [journal.ErrCorrupt].
func (db runs) Steps(ctx context.Context, run provenance.Link, from uint64, limit int) ([]provenance.Block, error) {
	var id int64
	err := db.readRow(ctx, "SELECT id FROM runs WHERE cid = ?", []any{linkBytes(run)}, &id)
	var blocks []provenance.Block
	if err == nil {
		blocks, err = readAll(ctx, db.reads, scanStep, `SELECT steps.cid, data
			FROM steps LEFT JOIN blocks ON blocks.cid = steps.cid
			WHERE run = ? AND seq >= ? ORDER BY seq LIMIT ?`, id, int64(min(from, maxNumber)), max(limit, 0))
	}
	if err != nil {
		return nil, fmt.Errorf("steps of run %s: %w", run, err)
	}
	return blocks, nil
}

func scanStep(scan scanner) (b provenance.Block, err error) {
	var id []byte
	if err := scan(&id, &b.Data); err != nil {
		return b, err
	}
	if err := parseLink(id, &b.CID); err != nil {
		return b, err
	}
	return b, checkRead(b.CID, b.Data)
}

// Claim implements journal.Database. The owner of a lease that still runs keeps its fence, and until may also shorten
// the lease; anyone else, and an owner that comes late, gets a new fence, which shuts out every older one.
func (db runs) Claim(ctx context.Context, run provenance.Link, owner string, until int64) (fence uint64, err error) {
	err = checkName("owner", owner)
	if err == nil {
		err = db.write(ctx, 0, func(ctx context.Context, tx *transaction) (err error) {
			fence, err = tx.claimRun(ctx, run, owner, until)
			return err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("claim run %s: %w", run, err)
	}
	return fence, nil
}

func (tx *transaction) claimRun(ctx context.Context, run provenance.Link, owner string, until int64) (uint64, error) {
	var id, end, fence int64
	var now = tx.now()
	var last string
	err := tx.readRow(ctx, "SELECT id, owner, until, fence FROM runs WHERE cid = ?", []any{linkBytes(run)}, &id, &last,
		&end, &fence)
	if err != nil {
		return 0, err
	}
	if owner == tx.owner && last != owner { // the store has one holder at a time, so the last owner is gone
		end = now
	}
	fence, err = nextFence(last, owner, end, now, fence)
	if err != nil {
		return 0, err
	}
	err = tx.exec(ctx, "UPDATE runs SET owner = ?, until = ?, fence = ? WHERE id = ?", owner, until, fence, id)
	return uint64(fence), err
}

// nextFence returns the fence that a claim gets when the lease belongs to last until the time end.
func nextFence(last, owner string, end, now, fence int64) (int64, error) {
	switch {
	case now >= end:
		return fence + 1, nil
	case last != owner:
		return 0, journal.ErrFenced
	}
	return fence, nil
}
