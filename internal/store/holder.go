package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/liveness"
)

// A store that is opened with an Owner has one holder: a row of the database that says who writes it, until when. The
// holder renews it, and every group of writes looks whether it still stands there, in its own transaction. Lock files
// can be deleted and file locks forgotten by file systems; who writes the database cannot pass by the database.
//
// A process that was killed leaves its row. It is taken over once its time is up, or at once if the row names a process
// of this machine that is gone. A clock that was set back leaves a row whose time is far ahead: it is taken over too,
// once it has stood unchanged for as long as a holder may go without renewing it.

// holdFor is how long a holder may go without renewing its row. It renews three times as often.
const holdFor = 15 * time.Second

// takeOwnership makes the writer's owner the store's holder, or returns ErrHeld. It waits for one that may be dead: it
// renews its row within patience if it is not, which is holdFor.
func (w *writer) takeOwnership(ctx context.Context, patience time.Duration) error {
	var first holding
	for begin := time.Now(); ; {
		now, wait, err := w.tryHold(ctx, first, time.Since(begin) > patience)
		if err != nil || wait == 0 {
			return err
		}
		switch {
		case first == holding{}:
			first = now
		case now != first: // it has renewed meanwhile, and is alive
			return journal.ErrHeld
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(min(wait, time.Second)):
		}
	}
}

// A holding is the row of who holds the store.
type holding struct {
	owner, process string
	until          int64 // ms UTC
}

// tryHold takes the hold if it is free, or still as silent says that it has been for too long. Otherwise it returns who
// has it, and how long it may be until it is free.
func (w *writer) tryHold(
	ctx context.Context, silent holding, tooLong bool,
) (is holding, wait time.Duration, err error) {
	if err := w.tx.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return is, 0, err
	}
	defer func() {
		if err != nil || wait > 0 {
			err = errors.Join(err, w.tx.exec(ctx, "ROLLBACK"))
		} else {
			err = w.tx.exec(ctx, "COMMIT")
		}
	}()
	err = w.tx.readRow(ctx, "SELECT owner, process, until FROM holder", nil, &is.owner, &is.process, &is.until)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return is, 0, err
	}
	// The real clock: that of the store may stand still in a test, and this is about processes.
	now := time.Now().UnixMilli()
	if err == nil && is.owner != w.tx.owner && is.until > now && !(tooLong && is == silent) {
		switch liveness.Of(is.process) {
		case liveness.Alive:
			return is, 0, journal.ErrHeld
		case liveness.Unknown:
			return is, time.Duration(min(is.until-now, holdFor.Milliseconds())) * time.Millisecond, nil
		}
	}
	return is, 0, w.tx.exec(ctx, `INSERT INTO holder (one, owner, process, until) VALUES (1, ?, ?, ?) ON CONFLICT (one)
		DO UPDATE SET owner = excluded.owner, process = excluded.process, until = excluded.until`,
		w.tx.owner, liveness.Name(), now+holdFor.Milliseconds())
}

// checkHold says whether the writer's owner still holds the store. It is called in the transaction that writes.
func (tx *transaction) checkHold(ctx context.Context) error {
	if tx.owner == "" {
		return nil
	}
	return checkOwner(ctx, tx.conn, tx.owner, 0)
}

// checkOwner says whether owner holds the store, and at the time now, unless that is 0.
func checkOwner(ctx context.Context, r reader, owner string, now int64) error {
	var is string
	var until int64
	err := readRow(ctx, r, "SELECT owner, until FROM holder", nil, []any{&is, &until})
	if errors.Is(err, journal.ErrNotFound) || err == nil && (is != owner || now > until) {
		return journal.ErrHeld
	}
	return err
}

// renewHold renews the row until stop is closed, and then gives it up.
func (h *handle) renewHold(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(holdFor / 3)
	defer tick.Stop()
	set := func(until int64) error {
		return h.write(ctx, 0, func(ctx context.Context, tx *transaction) error {
			return tx.exec(ctx, "UPDATE holder SET until = ? WHERE owner = ?", until, tx.owner)
		})
	}
	for {
		select {
		case <-tick.C:
			_ = set(time.Now().Add(holdFor).UnixMilli()) // if it fails, others may take over, and writes say so
		case <-stop:
			_ = set(0) // if it fails, the claim runs out by itself
			return
		}
	}
}

// Fence implements journal.Keeper.
func (h *handle) Fence(ctx context.Context) error {
	for _, why := range []*error{h.writer.broken.Load(), h.writer.full.Load()} {
		if why != nil {
			return *why // a full disk also keeps the hold from being renewed
		}
	}
	err := h.engine.checkFiles()
	if err == nil && h.writer.tx.owner != "" {
		err = checkOwner(ctx, h.reads, h.writer.tx.owner, time.Now().UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("write the store: %w", err)
	}
	return nil
}
