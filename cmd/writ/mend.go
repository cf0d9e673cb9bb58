package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/writ-run/writ/agent"
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

// A sweeper erases what is past its retention, for as long as a server runs. The nil sweeper does nothing.
type sweeper struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func startSweeper(ctx context.Context, keep time.Duration, n *node) *sweeper {
	if keep == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &sweeper{cancel: cancel}
	s.wg.Go(func() { agent.Retain(ctx, n.db, n.key, keep, n.log, n.heads.Added) })
	return s
}

func (s *sweeper) close() {
	if s != nil {
		s.cancel()
		s.wg.Wait()
	}
}
