package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/provenance"
)

// A Hold is a legal hold: while it stands, no payload of a run, or of any run of a wallet, is erased. It is kept for good,
// also when it has been removed.
type Hold struct {
	ID      int64
	Run     provenance.Link // undefined if it is on a wallet
	Wallet  common.Address  // on whichever chain; zero if it is on a run
	At      int64           // ms UTC
	By, Why string

	Removed   int64 // ms UTC; 0 while it stands
	RemovedBy string
	Released  string // why it was removed
}

// An EndedRun is a closed run whose payloads have not been swept. ID orders runs by when they were opened.
type EndedRun struct {
	ID  int64
	Run provenance.Link
}

// A Keeper is a [Store] that knows how long it has kept what.
type Keeper interface {
	Eraser
	// Ended lists closed runs that ended at or before the time before, that are not swept, and of which neither run nor
	// wallet is under a hold, in the order of their ID and above after; at most limit.
	Ended(ctx context.Context, before, after int64, limit int) ([]EndedRun, error)
	// Swept notes that a run has nothing left to erase.
	Swept(ctx context.Context, run provenance.Link, at int64) error
}

// Swept is what one sweep has done.
type Swept struct {
	Runs    int // whose payloads are erased
	Keys    int // that were deleted
	Held    int // that a hold keeps
	Waiting int // that wait for the run that called them, or that they have called
}

// Sweep erases the payloads of every run that ended keep ago or longer, with all runs of its sub-agents. Each erasure is
// a record that the run's new head names, says by which rule and when, and is told to log. now is
// the clock; what is due is decided when the sweep begins. A run that is open, or that a
// hold keeps, is left alone. One that was cut short is finished by the next.
func Sweep(ctx context.Context, s Keeper, key ed25519.PrivateKey, keep time.Duration, now func() time.Time, log *slog.Logger) (Swept, error) {
	var sum Swept
	rule := fmt.Sprintf("retention: %d days after the end of the run", int(keep.Hours()/24))
	before := now().Add(-keep).UnixMilli()
	for after := int64(0); ; {
		runs, err := s.Ended(ctx, before, after, page)
		if err != nil {
			return sum, fmt.Errorf("sweep: %w", err)
		}
		for _, r := range runs {
			after = r.ID
			if due, err := callersAreOver(ctx, s, r.Run, before); err != nil {
				return sum, fmt.Errorf("sweep run %s: %w", r.Run, err)
			} else if !due {
				sum.Waiting++
				continue
			}
			// Early: keep is what the operator has said in so many words, if it is less than the floor.
			head, n, err := Erase(ctx, s, key, EraseRequest{Run: r.Run, Why: rule, Now: now, Early: true})
			switch {
			case errors.Is(err, ErrOnHold):
				sum.Held++
				continue
			case errors.Is(err, ErrConflict): // a sub-agent's run has not ended
				sum.Waiting++
				continue
			case errors.Is(err, ErrNoLeaf):
			case err != nil:
				return sum, fmt.Errorf("sweep: %w", err)
			default:
				sum.Runs, sum.Keys = sum.Runs+1, sum.Keys+n
				log.InfoContext(ctx, "payloads erased", "run", r.Run, "keys", n, "head", head, "rule", rule)
			}
			if err := s.Swept(ctx, r.Run, now().UnixMilli()); err != nil {
				return sum, fmt.Errorf("sweep run %s: %w", r.Run, err)
			}
		}
		if len(runs) < page {
			return sum, nil
		}
	}
}

// callersAreOver says whether the runs that have called run, if any, have ended at or before the time before.
func callersAreOver(ctx context.Context, s Store, run provenance.Link, before int64) (bool, error) {
	up, err := callers(ctx, s, run)
	if err != nil {
		return false, err
	}
	for _, c := range up {
		info, err := s.Run(ctx, c)
		if err != nil || open(info.Status) {
			return false, err
		}
		var last provenance.Step
		if err := decodeFrom(ctx, s, info.Last, &last); err != nil || last.At > before {
			return false, err
		}
	}
	return true, nil
}

// sweepEvery is how often [Retain] looks.
const sweepEvery = time.Hour

// Retain sweeps now and then every hour, until ctx ends. An error is logged, and the next sweep goes on from there.
// erased is called after a sweep that has erased something: there are new heads.
func Retain(ctx context.Context, s Keeper, key ed25519.PrivateKey, keep time.Duration, log *slog.Logger, erased func()) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		sum, err := Sweep(ctx, s, key, keep, time.Now, log)
		if err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "payloads that are past their retention are not erased; trying again in an hour", "err", err)
		}
		if sum.Keys > 0 {
			erased()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
