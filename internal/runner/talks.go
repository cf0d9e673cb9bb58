package runner

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// threads is the part of a Runner that knows which runs follow on each other.
type threads struct {
	*parts
	waiting *waitingRoom
}

// Threads lists threads of a session's owner, those with the newest runs first.
func (t *threads) Threads(
	ctx context.Context, of journal.Session, q journal.ThreadQuery,
) ([]journal.Thread, error) {
	q.Owner = of.Owner()
	return t.cfg.Store.Threads(ctx, q)
}

// Thread returns the thread that a session's owner calls by a name in talk with an agent.
func (t *threads) Thread(ctx context.Context, of journal.Session, agent, name string) (journal.Thread, error) {
	return t.cfg.Store.Thread(ctx, of.Owner(), agent, name)
}

// RenameThread gives a thread another name. What its runs were asked keeps the old one.
func (t *threads) RenameThread(ctx context.Context, of journal.Session, agent, name, to string) error {
	return t.cfg.Store.RenameThread(ctx, of.Owner(), agent, name, to)
}

// DeleteThread forgets that runs follow on each other. The runs themselves stay.
func (t *threads) DeleteThread(ctx context.Context, of journal.Session, agent, name string) error {
	return t.cfg.Store.DeleteThread(ctx, of.Owner(), agent, name)
}

// Turns reads a run and those before it in its thread, newest first, at most limit of them.
func (t *threads) Turns(ctx context.Context, from provenance.Link, limit int) ([]archive.Turn, error) {
	return archive.Turns(ctx, t.cfg.Store, from, limit)
}

// Bounds of the requests that wait for the run before them.
const (
	maxWaiting    = 8                // of one thread
	maxThreadWait = 25 * time.Second // less than an acting call may take
)

// A threadKey names a thread.
type threadKey struct{ owner, agent, name string }

// A waitingRoom lets requests for one thread wait in the order in which they came.
type waitingRoom struct {
	mu      sync.Mutex // guards waiting
	waiting map[threadKey][]chan struct{}
}

func newWaitingRoom() *waitingRoom { return &waitingRoom{waiting: map[threadKey][]chan struct{}{}} }

// enter takes a place in a thread's line. turn is closed when it is the first; leave gives the place up. ok is false if
// the line is full.
func (w *waitingRoom) enter(k threadKey) (turn <-chan struct{}, leave func(), ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := w.waiting[k]
	if len(line) > maxWaiting { // the first one in line is just opening its run
		return nil, nil, false
	}
	place := make(chan struct{})
	if len(line) == 0 {
		close(place)
	}
	w.waiting[k] = append(line, place)
	return place, func() { w.leave(k, place) }, true
}

func (w *waitingRoom) leave(k threadKey, place chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	line := w.waiting[k]
	i := slices.Index(line, place)
	if line = slices.Delete(line, i, i+1); len(line) == 0 {
		delete(w.waiting, k)
		return
	}
	if w.waiting[k] = line; i == 0 {
		close(line[0])
	}
}

// startInLine starts a run of an agent whose requests wait while the run before them in their thread is at work. They
// do not wait for one that waits itself, for the wallet or the chain.
func (t *threads) startInLine(
	ctx context.Context, q StartRequest, start func(context.Context, StartRequest) (journal.RunInfo, error),
) (none journal.RunInfo, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxThreadWait)
	defer cancel()
	turn, leave, ok := t.waiting.enter(threadKey{q.Session.Owner(), q.Agent, q.Thread})
	if !ok {
		return none, journal.ErrThreadOpen
	}
	defer leave()
	select {
	case <-turn:
	case <-ctx.Done():
		return none, journal.ErrThreadOpen
	case <-t.background.Draining():
		return none, ErrClosed
	}
	for {
		info, err := start(ctx, q)
		if !errors.Is(err, journal.ErrThreadOpen) {
			return info, err
		}
		if err := t.awaitThread(ctx, q); err != nil {
			return none, err
		}
	}
}

// awaitThread waits until the newest run of a thread has closed.
func (t *threads) awaitThread(ctx context.Context, q StartRequest) error {
	of, err := t.Thread(ctx, q.Session, q.Agent, q.Thread)
	if err != nil {
		return err
	}
	hints, _, stop := t.news.Subscribe(of.Last)
	defer stop()
	for {
		info, err := t.cfg.Store.Run(ctx, of.Last)
		switch {
		case err != nil:
			return err
		case !info.IsOpen():
			return nil
		case info.Status != "running":
			return journal.ErrThreadOpen
		}
		select {
		case <-hints:
		case <-ctx.Done():
			return journal.ErrThreadOpen
		case <-t.background.Draining():
			return ErrClosed
		}
	}
}
