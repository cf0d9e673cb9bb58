package runner

import (
	"context"
	"errors"
	"time"

	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/talks"
	"github.com/writ-run/writ/provenance"
)

// threads is the part of a Runner that knows which runs follow on each other.
type threads struct {
	*parts
	lines *talks.Lines
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

// maxThreadWait bounds how long a request waits for the run before it: less than an acting call may take.
const maxThreadWait = 25 * time.Second

// startInLine starts a run of an agent whose requests wait while the run before them in their thread is at work. They
// do not wait for one that waits itself, for the wallet or the chain.
func (t *threads) startInLine(
	ctx context.Context, q StartRequest, start func(context.Context, StartRequest) (journal.RunInfo, error),
) (none journal.RunInfo, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxThreadWait)
	defer cancel()
	turn, leave, ok := t.lines.Enter(talks.Name{Owner: q.Session.Owner(), Agent: q.Agent, Thread: q.Thread})
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
