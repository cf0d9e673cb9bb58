package collect

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/gather"
	"github.com/writ-run/writ/internal/library"
)

// Bounds of what is followed.
const (
	MaxFollowed = 32
	MinEvery    = time.Second
	firstRetry  = 30 * time.Second // after the first failure, if Every is not less; then twice as long each time
	lastRetry   = 10 * time.Minute // or Every, if that is longer
	atOnce      = 2                // places that are read at a time in each lane
	patience    = 10 * time.Second // that a place may take in the quick lane
	maxRead     = 10 * time.Minute // that a place may take in the slow one
)

// lanes are where places wait for their turn. One that takes long in the quick lane gives up its turn and is read from
// the start in the slow one, so that servers which send slowly hold up only one another.
type lanes struct {
	quick, slow chan struct{}
	patience    time.Duration
}

func newLanes(patience time.Duration) lanes {
	return lanes{make(chan struct{}, atOnce), make(chan struct{}, atOnce), patience}
}

// errSlow says that a place took too long for the quick lane.
var errSlow = errors.New("the place is slow")

// A Followed is a place that is read again and again.
type Followed struct {
	Place
	Every time.Duration
}

// An Outcome is what came of reading a place once.
type Outcome struct {
	Source   string
	At       time.Time
	Taken    Taken
	Failures int64 // tries in a row that did not come out; 0 if this one did
}

// Follow makes collections what their places are, at once and then again after each one's time, until ctx ends. told is
// called after every try, by many goroutines; what it means for the collection stands in the library.
func Follow(ctx context.Context, l *library.Library, list []Followed, log *slog.Logger, told func(Outcome)) error {
	known := make([]library.Followed, 0, len(list))
	for _, f := range list {
		known = append(known, library.Followed{Source: f.As.Source, Place: gather.Shown(f.Name), Every: f.Every})
	}
	if err := l.SetFollowed(ctx, known); err != nil {
		return err
	}
	turns := newLanes(patience)
	var wg sync.WaitGroup
	for _, f := range list {
		wg.Go(func() { f.follow(ctx, l, turns, log, told) })
	}
	wg.Wait()
	return nil
}

func (f *Followed) follow(
	ctx context.Context, l *library.Library, turns lanes, log *slog.Logger, told func(Outcome),
) {
	log = log.With("source", f.As.Source)
	failures, slow := int64(0), false
	for {
		lane, most := turns.quick, turns.patience
		if slow {
			lane, most = turns.slow, maxRead
		}
		select {
		case lane <- struct{}{}:
		case <-ctx.Done():
			return
		}
		begun := time.Now()
		done, err := f.Sync(ctx, l, most)
		<-lane
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errSlow):
			slow = true
			continue
		}
		slow = slow && time.Since(begun) > turns.patience
		if err == nil {
			failures = 0
		} else {
			failures++
		}
		wait := waitAfter(f.Every, failures)
		switch {
		case failures == 1: // why is for writ docs ls: it may name an address
			log.WarnContext(ctx, "documents of a followed place are kept as they were, since it could not be read; "+
				"writ docs ls says why", "again", wait)
		case err == nil && len(done.Added)+len(done.Removed) > 0:
			log.InfoContext(ctx, "documents of a followed place are new", "added", len(done.Added),
				"removed", len(done.Removed))
		}
		told(Outcome{f.As.Source, time.Now(), done, failures})
		if err := l.NoteNext(ctx, f.As.Source, time.Now().Add(wait), failures); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "what came of a followed place could not be noted", "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// waitAfter is how long a place rests after so many failures in a row.
func waitAfter(every time.Duration, failures int64) time.Duration {
	if failures == 0 {
		return every
	}
	wait, last := min(every, firstRetry), max(every, lastRetry)
	for ; failures > 1 && wait < last; failures-- {
		wait *= 2
	}
	return min(wait, last)
}

// Sync makes a collection what its place is, and notes in the library what came of it. A place that has no document
// keeps what it had. Of one that takes longer than the quick lane lets it nothing is noted: it is read again.
func (f *Followed) Sync(ctx context.Context, l *library.Library, most time.Duration) (done Taken, err error) {
	reading, stop := context.WithTimeout(ctx, most)
	defer stop()
	var g Gathered
	err = f.Read(reading, &g)
	switch {
	case reading.Err() == nil:
	case most < maxRead:
		return done, errSlow
	default:
		err = faultf("%s took longer than %s", gather.Shown(f.Name), most)
	}
	if err == nil && len(g.Documents) == 0 {
		err = faultf("there is no Markdown, text, HTML, CSV or PDF file in %s", gather.Shown(f.Name))
	}
	if err == nil {
		done, err = g.Put(ctx, l, f.As.Source, true)
	}
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	if ctx.Err() != nil {
		return done, ctx.Err()
	}
	return done, errors.Join(err, l.NotePlace(ctx, f.As.Source, gather.Shown(f.Name), fault))
}
