package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

const threadColumns = `threads.agent, threads.name, threads.runs, runs.cid FROM threads JOIN runs ON runs.id = threads.run
	WHERE threads.owner = ?`

func scanThread(scan scanner) (t journal.Thread, err error) {
	var n int64
	var last []byte
	if err := scan(&t.Agent, &t.Name, &n, &last); err != nil {
		return t, err
	}
	t.Runs = uint64(n)
	return t, parseLink(last, &t.Last)
}

// Thread implements journal.Database.
func (db threads) Thread(ctx context.Context, owner, agent, name string) (journal.Thread, error) {
	t, err := readOne(ctx, db.reads, scanThread, "SELECT "+threadColumns+" AND threads.agent = ? AND threads.name = ?",
		owner, agent, name)
	if err != nil {
		return journal.Thread{}, fmt.Errorf("thread: %w", err)
	}
	return t, nil
}

// Threads implements journal.Database.
func (db threads) Threads(ctx context.Context, q journal.ThreadQuery) ([]journal.Thread, error) {
	where, args := "", []any{q.Owner}
	if q.Agent != "" {
		where, args = " AND threads.agent = ?", append(args, q.Agent)
	}
	if q.Before.Defined() {
		where += " AND threads.run < (SELECT id FROM runs WHERE cid = ?)"
		args = append(args, q.Before.Bytes())
	}
	args = append(args, min(max(q.Limit, 0), journal.MaxThreads))
	all, err := readAll(ctx, db.reads, scanThread,
		"SELECT "+threadColumns+where+" ORDER BY threads.run DESC LIMIT ?", args...)
	if err != nil {
		return nil, fmt.Errorf("list threads: %w", err)
	}
	return all, nil
}

// RenameThread implements journal.Database.
func (db threads) RenameThread(ctx context.Context, owner, agent, name, to string) error {
	err := checkName("thread", to)
	if err == nil {
		err = db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
			id, err := tx.findThread(ctx, owner, agent, name)
			if err != nil {
				return err
			}
			if _, err := tx.findThread(ctx, owner, agent, to); err == nil {
				return journal.ErrThreadName
			} else if !errors.Is(err, journal.ErrNotFound) {
				return err
			}
			return tx.exec(ctx, "UPDATE threads SET name = ? WHERE id = ?", to, id)
		})
	}
	if err != nil {
		return fmt.Errorf("rename a thread: %w", err)
	}
	return nil
}

// DeleteThread implements journal.Database.
func (db threads) DeleteThread(ctx context.Context, owner, agent, name string) error {
	err := db.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
		id, err := tx.findThread(ctx, owner, agent, name)
		if err != nil {
			return err
		}
		return tx.exec(ctx, "DELETE FROM threads WHERE id = ?", id)
	})
	if err != nil {
		return fmt.Errorf("delete a thread: %w", err)
	}
	return nil
}

func (tx *transaction) findThread(ctx context.Context, owner, agent, name string) (id int64, err error) {
	err = tx.readRow(ctx, "SELECT id FROM threads WHERE owner = ? AND agent = ? AND name = ?",
		[]any{owner, agent, name}, &id)
	return id, err
}

// checkThread says whether a run may take its place: the thread's newest run is the one that it follows on, and closed.
func (tx *transaction) checkThread(ctx context.Context, o *journal.Opening) error {
	if o.Thread == nil {
		return nil
	}
	var last []byte
	var closed int64
	err := tx.readRow(ctx, `SELECT runs.cid, runs.closed FROM threads JOIN runs ON runs.id = threads.run
		WHERE threads.owner = ? AND threads.agent = ? AND threads.name = ?`,
		[]any{o.Thread.Owner, o.Agent, o.Thread.Name}, &last, &closed)
	var newest provenance.Link
	switch {
	case errors.Is(err, journal.ErrNotFound):
		err = nil
	case err == nil && closed == 0:
		err = journal.ErrThreadOpen
	case err == nil:
		err = parseLink(last, &newest)
	}
	if err == nil && newest != o.Thread.Before { // another run has been added to the thread meanwhile
		err = journal.ErrThreadOpen
	}
	return err
}

// extendThread puts a run at the end of its thread, which begins with its first run.
func (tx *transaction) extendThread(ctx context.Context, o *journal.Opening, run int64) error {
	if o.Thread == nil {
		return nil
	}
	return tx.exec(ctx, `INSERT INTO threads (owner, agent, name, run, runs) VALUES (?, ?, ?, ?, 1)
		ON CONFLICT (owner, agent, name) DO UPDATE SET run = excluded.run, runs = runs + 1`,
		o.Thread.Owner, o.Agent, o.Thread.Name, run)
}
