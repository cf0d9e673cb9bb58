package archive

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Swept is what one sweep has done.
type Swept struct {
	Runs    int // whose payloads are erased
	Keys    int // that were deleted
	Held    int // that a hold keeps
	Waiting int // that wait for the run that called them, or that they have called
}

// A RetentionStore is what [Sweep] asks of a store.
type RetentionStore interface {
	Eraser
	journal.Retention
}

// page is how many ended runs are read at once.
const page = 256

// A sweeper does one sweep.
type sweeper struct {
	store  RetentionStore
	key    ed25519.PrivateKey
	now    func() time.Time
	log    *slog.Logger
	rule   string // for the record
	before int64  // ms UTC: what has ended then or before is due
	sum    Swept
}

// Sweep erases the payloads of every run that ended keep ago or longer, with all runs of its sub-agents. Each erasure
// is a record that the run's new head names, says by which rule and when, and is told to log. now is the clock; what is
// due is decided when the sweep begins. A run that is open, or that a legal hold keeps, is left alone. One that was cut
// short is finished by the next.
func Sweep(
	ctx context.Context, s RetentionStore, key ed25519.PrivateKey, keep time.Duration, now func() time.Time,
	log *slog.Logger,
) (Swept, error) {
	w := &sweeper{
		store: s, key: key, now: now, log: log, before: now().Add(-keep).UnixMilli(),
		rule: fmt.Sprintf("retention: %d days after the end of the run", int(keep.Hours()/24)),
	}
	for after := int64(0); ; {
		runs, err := s.EndedRuns(ctx, w.before, after, page)
		if err != nil {
			return w.sum, fmt.Errorf("sweep: %w", err)
		}
		for _, r := range runs {
			after = r.ID
			if err := w.sweepRun(ctx, r.Run); err != nil {
				return w.sum, fmt.Errorf("sweep run %s: %w", r.Run, err)
			}
		}
		if len(runs) < page {
			return w.sum, nil
		}
	}
}

// sweepRun erases the payloads of one run, unless something keeps them, and counts it.
func (w *sweeper) sweepRun(ctx context.Context, run provenance.Link) error {
	due, err := callersAreOver(ctx, w.store, run, w.before)
	if err != nil {
		return err
	}
	if !due {
		w.sum.Waiting++
		return nil
	}
	// Early: keep is what the operator has said in so many words, if it is less than the floor.
	head, n, err := Erase(ctx, w.store, w.key, EraseRequest{Run: run, Why: w.rule, Now: w.now, Early: true})
	switch {
	case errors.Is(err, journal.ErrOnHold):
		w.sum.Held++
		return nil
	case errors.Is(err, journal.ErrConflict): // a sub-agent's run has not ended
		w.sum.Waiting++
		return nil
	case errors.Is(err, ErrNoLeaf):
	case err != nil:
		return err
	default:
		w.sum.Runs, w.sum.Keys = w.sum.Runs+1, w.sum.Keys+n
		w.log.InfoContext(ctx, "payloads erased", "run", run, "keys", n, "head", head, "rule", w.rule)
	}
	return w.store.NoteSwept(ctx, run, w.now().UnixMilli())
}

// callersAreOver says whether the runs that have called run, if any, have ended at or before the time before.
func callersAreOver(ctx context.Context, s journal.Records, run provenance.Link, before int64) (bool, error) {
	up, err := findCallers(ctx, s, run)
	if err != nil {
		return false, err
	}
	for _, c := range up {
		info, err := s.Run(ctx, c)
		if err != nil || info.IsOpen() {
			return false, err
		}
		var last provenance.Step
		if err := Read(ctx, s, info.Last, &last); err != nil || last.At > before {
			return false, err
		}
	}
	return true, nil
}

// sweepEvery is how often [Retain] looks.
const sweepEvery = time.Hour

// maxLeap is how far the clock may have leapt ahead for a sweep to be due all the same.
const maxLeap = 24 * time.Hour

// Retain sweeps now and then every hour, until ctx ends. An error is logged, and the next sweep goes on from there.
// erased is called after a sweep that has erased something: there are new heads.
//
// What is erased does not come back with a clock that is set right, so that a sweep is left out if the clock has leapt
// ahead by more than a day since the one before.
func Retain(
	ctx context.Context, s RetentionStore, key ed25519.PrivateKey, keep time.Duration, log *slog.Logger, erased func(),
) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for last := time.Now(); ; last = time.Now() {
		sum, err := Sweep(ctx, s, key, keep, time.Now, log)
		if err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "payloads that are past their retention are not erased; trying again in an hour", "err", err)
		}
		if sum.Keys > 0 {
			erased()
		}
		for due := false; !due; last = time.Now() {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now := time.Now()
			leap := leapOf(now.Round(0).Sub(last.Round(0)), now.Sub(last))
			if due = leap == 0; !due {
				log.WarnContext(ctx, "the clock has leapt ahead; nothing is erased for an hour, so that it can be set right",
					"by", leap)
			}
		}
	}
}

// leapOf returns how far the clock has leapt ahead, if that is more than maxLeap: wall is what went by according to it,
// passed what really did.
func leapOf(wall, passed time.Duration) time.Duration {
	if wall-passed <= maxLeap {
		return 0
	}
	return wall - passed
}
