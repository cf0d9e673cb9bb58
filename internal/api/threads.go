package api

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// A ThreadKeeper is the part of a [Runner] that knows which runs of a wallet follow on each other.
type ThreadKeeper interface {
	// Threads lists threads of the session's owner, those with the newest runs first.
	Threads(ctx context.Context, of journal.Session, q journal.ThreadQuery) ([]journal.Thread, error)
	Thread(ctx context.Context, of journal.Session, agent, name string) (journal.Thread, error)
	RenameThread(ctx context.Context, of journal.Session, agent, name, to string) error
	DeleteThread(ctx context.Context, of journal.Session, agent, name string) error
	// Turns reads a run and those before it in its thread, newest first, at most limit of them.
	Turns(ctx context.Context, from provenance.Link, limit int) ([]archive.Turn, error)
	Shared(ctx context.Context, at provenance.Link) (thread.Shared, error)
}

// A threadCall is a call that is about threads.
type threadCall struct{ *Call }

// onThreads makes a function of a method of a threadCall.
func onThreads[P any](run func(threadCall, context.Context, P) (any, error)) func(context.Context, *Call) (any, error) {
	return withParams(func(c *Call, ctx context.Context, p P) (any, error) { return run(threadCall{c}, ctx, p) })
}

// maxAsked bounds what a list shows of a request.
const maxAsked = 200

func (c threadCall) listThreads(ctx context.Context, p wire.ThreadsParams) (any, error) {
	q := journal.ThreadQuery{Agent: p.Agent, Limit: int(p.Limit)}
	if q.Limit == 0 {
		q.Limit = 50
	}
	if p.Cursor != "" {
		before, err := c.findOwnRun(ctx, p.Cursor)
		if err != nil {
			return nil, err
		}
		q.Before = before.ID
	}
	list, err := c.api.cfg.Runner.Threads(ctx, c.seat.session, q)
	if err != nil {
		return nil, err
	}
	shown, err := keepReached(ctx, c.Call, list, threadRun)
	if err != nil {
		return nil, err
	}
	out := wire.Threads{Threads: []wire.Thread{}}
	for _, t := range shown {
		w, err := c.viewThread(ctx, t)
		if err != nil {
			return nil, err
		}
		out.Threads = append(out.Threads, w)
	}
	if len(list) == q.Limit {
		out.Next = list[len(list)-1].Last.String()
	}
	return out, nil
}

func (c threadCall) viewThread(ctx context.Context, t journal.Thread) (wire.Thread, error) {
	w := wire.Thread{Agent: t.Agent, Name: t.Name, Runs: t.Runs, Last: t.Last.String()}
	turns, err := c.api.cfg.Runner.Turns(ctx, t.Last, 1)
	if err != nil || len(turns) == 0 {
		return w, err
	}
	w.Opened, w.Status, w.Asked = turns[0].Run.Opened, turns[0].Run.Status, shorten(turns[0].Asked)
	return w, nil
}

// shorten returns the beginning of a text, as one line.
func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxAsked {
		return text
	}
	cut := maxAsked
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

func (c threadCall) getThread(ctx context.Context, p wire.ThreadParams) (any, error) {
	if err := checkThread(ctx, c.Call, p.Agent, p.Name); err != nil {
		return nil, err
	}
	t, err := c.api.cfg.Runner.Thread(ctx, c.seat.session, p.Agent, p.Name)
	if err != nil {
		return nil, err
	}
	limit, from := int(p.Limit), t.Last
	if limit == 0 {
		limit = 20
	}
	if p.Cursor != "" {
		info, err := c.findOwnRun(ctx, p.Cursor)
		if err != nil {
			return nil, err
		}
		from = info.ID
	}
	var out wire.Turns
	if out.Thread, err = c.viewThread(ctx, t); err != nil {
		return nil, err
	}
	turns, err := c.api.cfg.Runner.Turns(ctx, from, limit+1)
	if err != nil {
		return nil, err
	}
	if len(turns) > limit {
		out.Next = turns[limit].Run.ID.String()
		turns = turns[:limit]
	}
	out.Turns = []wire.Turn{}
	for _, x := range turns {
		out.Turns = append(out.Turns, wire.Turn{
			Run: x.Run.ID.String(), Opened: x.Run.Opened, Status: x.Run.Status, Asked: x.Asked, Said: x.Said,
		})
	}
	return out, nil
}

func (c threadCall) renameThread(ctx context.Context, p wire.RenameParams) (any, error) {
	if err := checkThread(ctx, c.Call, p.Agent, p.Name); err != nil {
		return nil, err
	}
	return wire.None{}, c.api.cfg.Runner.RenameThread(ctx, c.seat.session, p.Agent, p.Name, p.To)
}

func (c threadCall) forgetThread(ctx context.Context, p wire.ForgetParams) (any, error) {
	if err := checkThread(ctx, c.Call, p.Agent, p.Name); err != nil {
		return nil, err
	}
	return wire.None{}, c.api.cfg.Runner.DeleteThread(ctx, c.seat.session, p.Agent, p.Name)
}
