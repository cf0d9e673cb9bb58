package talks

import (
	"context"
	"errors"
	"time"

	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/background"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/news"
	"github.com/writ-run/writ/provenance"
)

// A Store is what threads and their runs are read from.
type Store interface {
	archive.OpenedRecords
	journal.Threads
}

// A Desk knows which runs of a wallet follow on each other.
type Desk struct{ Store Store }

// Threads lists threads of a session's owner, those with the newest runs first.
func (d Desk) Threads(ctx context.Context, of journal.Session, q journal.ThreadQuery) ([]journal.Thread, error) {
	q.Owner = of.Owner()
	return d.Store.Threads(ctx, q)
}

// Thread returns the thread that a session's owner calls by a name in talk with an agent.
func (d Desk) Thread(ctx context.Context, of journal.Session, agent, name string) (journal.Thread, error) {
	return d.Store.Thread(ctx, of.Owner(), agent, name)
}

// RenameThread gives a thread another name. What its runs were asked keeps the old one.
func (d Desk) RenameThread(ctx context.Context, of journal.Session, agent, name, to string) error {
	return d.Store.RenameThread(ctx, of.Owner(), agent, name, to)
}

// DeleteThread forgets that runs follow on each other. The runs themselves stay.
func (d Desk) DeleteThread(ctx context.Context, of journal.Session, agent, name string) error {
	return d.Store.DeleteThread(ctx, of.Owner(), agent, name)
}

// Turns reads a run and those before it in its thread, newest first, at most limit of them.
func (d Desk) Turns(ctx context.Context, from provenance.Link, limit int) ([]archive.Turn, error) {
	return archive.Turns(ctx, d.Store, from, limit)
}

// maxThreadWait bounds how long a request waits for the run before it: less than an acting call may take.
const maxThreadWait = 25 * time.Second

// A Porter starts runs of agents whose requests wait while the run before them in their thread is at work. They do not
// wait for one that waits itself, for the wallet or the chain.
type Porter struct {
	Desk       Desk
	News       *news.Board
	Background *background.Group
	Closed     error // that a server gives which takes no new run
	Lines      *Lines
}

// Start calls start when the thread of a session's owner is free, until that does not return [journal.ErrThreadOpen].
func (p *Porter) Start(
	ctx context.Context, s journal.Session, agent, thread string, start func(context.Context) (journal.RunInfo, error),
) (none journal.RunInfo, err error) {
	ctx, cancel := context.WithTimeout(ctx, maxThreadWait)
	defer cancel()
	turn, leave, ok := p.Lines.Enter(Name{s.Owner(), agent, thread})
	if !ok {
		return none, journal.ErrThreadOpen
	}
	defer leave()
	select {
	case <-turn:
	case <-ctx.Done():
		return none, journal.ErrThreadOpen
	case <-p.Background.Draining():
		return none, p.Closed
	}
	for {
		info, err := start(ctx)
		if !errors.Is(err, journal.ErrThreadOpen) {
			return info, err
		}
		of, err := p.Desk.Thread(ctx, s, agent, thread)
		if err == nil {
			err = p.awaitRun(ctx, of.Last)
		}
		if err != nil {
			return none, err
		}
	}
}

// awaitRun waits until the newest run of a thread has closed.
func (p *Porter) awaitRun(ctx context.Context, run provenance.Link) error {
	hints, _, stop := p.News.Subscribe(run)
	defer stop()
	for {
		info, err := p.Desk.Store.Run(ctx, run)
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
		case <-p.Background.Draining():
			return p.Closed
		}
	}
}
