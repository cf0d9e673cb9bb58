package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/writ-run/writ/internal/store"
)

// mend has the store cut off what a crash of the machine, or a failing disk, has left damaged at the ends of runs, and
// says what was cut. It refuses to go on if a signed head would be lost.
func mend(ctx context.Context, db *store.DB, log *slog.Logger) error {
	r, err := db.Recover(ctx)
	switch {
	case errors.Is(err, store.ErrSigned), errors.Is(err, store.ErrCorrupt):
		return failf(exitIntegrity, "store", "%s", err)
	case err != nil:
		return failf(exitInternal, "store", "%s", err)
	}
	for _, c := range r.Cuts {
		log.WarnContext(ctx, "the end of a run was damaged; it is cut back to its last valid step and ends there, and what was cut is kept in the store",
			"run", c.Run, "steps", c.Steps, "lost", c.Lost, "found", c.Why)
	}
	if r.Unknown() {
		log.ErrorContext(ctx, "the database has lost its end; open runs end there, wallets must sign in again, and a damaged log file is kept",
			"kept", r.Log, "lost", r.Lost)
	}
	return nil
}
