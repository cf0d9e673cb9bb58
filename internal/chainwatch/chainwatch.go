// Package chainwatch looks at the transactions that runs wait for, until the chain has said what becomes of them.
//
// A [Watch] is handed each with [Watch.Follow], and hands each run what it has seen, as an event. A transaction that
// the blocks leave out is replaced by another or told of; see [Watch.Replace] and [Watch.List].
package chainwatch

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// Config says what a [Watch] is made of. All of it is required.
type Config struct {
	Now   func() time.Time
	Log   *slog.Logger
	Pause time.Duration // between two looks at one transaction, at most
	// A transaction is stuck once it has been what its account waits for so long, and the blocks since then have left it
	// out. If Raise is set it is replaced by one with higher fees then; else it is told of.
	StuckAfter time.Duration
	Raise      bool
	// Start begins a goroutine, which ends with its context.
	Start func(func(context.Context)) error
	// Deliver hands a run an event, and returns once it is a step. [ErrOver] if the run does not wait for it.
	Deliver func(context.Context, provenance.Link, provenance.Event) error
}

// ErrOver says that a run does not wait for an event any more.
var ErrOver = errors.New("the run does not wait for it any more")

// A Watch looks at transactions, one look after the other: a run that waits for one has no goroutine meanwhile. There
// is one goroutine while there is something to look at, and none otherwise. What is followed is a function of the open
// runs, so nothing of it is kept. Its methods may be called by many goroutines at once.
type Watch struct {
	cfg Config

	mu       sync.Mutex // guards the rest
	followed map[followKey]*followed
	running  bool
	replaced atomic.Int64  // transactions, since the start
	news     chan struct{} // has room for one: there is something new to look at
}

// A followKey names an effect.
type followKey struct {
	run provenance.Link
	ref provenance.Ref
}

// A followed is a transaction that a run waits for.
type followed struct {
	followKey
	tool     tools.Follower
	attempts []tools.Attempt // that were signed for it, the newest last
	told     bool            // it is on record that the newest is stuck
	rule     tools.Finality
	phase    string
	block    string // that it was last seen in, of phase final
	hash     string
	begun    time.Time

	due   time.Time
	pause time.Duration
	gone  int // looks in a row that did not find its block

	mu    sync.Mutex // guards the rest, which others read
	last  tools.Standing
	first waitingSince // when it was first seen to be what its account waits for
	stuck string       // why nothing is done about it, if it is stuck; see tools.Stuck
}

// Looks at one transaction come so often: soon at first, then less and less, a third of the time that it has waited.
const (
	firstLook = 100 * time.Millisecond
	lookTime  = 20 * time.Second // one look at most
	sureGone  = 3                // looks in a row that must miss a block, since an endpoint may be behind the others
)

// New returns a Watch that follows nothing yet.
func New(c Config) *Watch {
	return &Watch{cfg: c, followed: map[followKey]*followed{}, news: make(chan struct{}, 1)}
}

// An Order names a transaction that a run waits for.
type Order struct {
	Run      provenance.Link
	Effect   provenance.Ref // which the events are answers to
	Tool     tools.Follower
	Rule     tools.Finality
	Attempts []tools.Attempt // that were signed for it, the newest last; at least one
	Told     bool            // it is on record that the newest is stuck
	Phase    string          // of the call: send or final
	// Block and Hash are where it was last seen, with phase final.
	Block, Hash string
	Begun       time.Time
}

// Follow looks at a transaction from now on, until its phase ends. One that is followed already is looked at soon, and
// what is known of it stays known: a run that is woken begins its open effects anew.
func (w *Watch) Follow(o Order) error {
	return w.follow(&followed{
		followKey: followKey{o.Run, o.Effect}, tool: o.Tool, attempts: o.Attempts, told: o.Told, rule: o.Rule,
		phase: o.Phase, block: o.Block, hash: o.Hash, begun: o.Begun,
	})
}

func (w *Watch) follow(f *followed) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known := w.followed[f.followKey]; known != nil {
		f = known
	}
	w.leaveEarlier(f)
	f.due, f.pause = time.Now(), firstLook
	w.followed[f.followKey] = f
	if !w.running {
		if err := w.cfg.Start(w.lookUntilDone); err != nil {
			delete(w.followed, f.followKey)
			return err
		}
		w.running = true
	}
	select {
	case w.news <- struct{}{}:
	default:
	}
	return nil
}

// leaveEarlier ends the following of f's transaction for an earlier effect of its run. The step that answers that
// effect begins this one, so that both would be followed, and counted, until whoever handed the answer in forgets it.
func (w *Watch) leaveEarlier(f *followed) {
	maps.DeleteFunc(w.followed, func(k followKey, other *followed) bool {
		return k.run == f.run && k.ref != f.ref &&
			other.newest().Account == f.newest().Account && other.newest().Nonce == f.newest().Nonce
	})
}

// lookUntilDone looks at what is due until nothing is followed any more, or the Runner stops.
func (w *Watch) lookUntilDone(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		f, wait, done := w.nextLook()
		if done {
			return
		}
		if f != nil {
			w.look(ctx, f)
			if ctx.Err() == nil {
				continue
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-w.news:
		case <-timer.C:
		}
	}
}

// nextLook returns the transaction that is due longest, or how long it is until one is. done says that none is
// followed: the goroutine ends, and the next follow begins another.
func (w *Watch) nextLook() (next *followed, wait time.Duration, done bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.followed {
		if next == nil || f.due.Before(next.due) {
			next = f
		}
	}
	if next == nil {
		w.running = false
		return nil, 0, true
	}
	if wait = time.Until(next.due); wait > 0 {
		return nil, wait, false
	}
	return next, 0, false
}

// look looks at one transaction, and hands on what its run waits for.
func (w *Watch) look(ctx context.Context, f *followed) {
	one, cancel := context.WithTimeout(ctx, lookTime)
	standing, err := f.tool.Follow(one, f.signed(), f.rule)
	var ev provenance.Event
	if err == nil && standing.State == tools.StandsWaiting && f.phase == provenance.PhaseSend {
		ev = w.watchWaiting(one, f, standing.Offer)
	} else {
		ev = f.eventOf(standing, err, w.cfg.Now().Sub(f.begun))
	}
	cancel()
	if ctx.Err() != nil {
		return
	}
	if err != nil && ev == nil {
		w.cfg.Log.WarnContext(ctx, "transaction not looked at; it is tried again",
			"run", f.run, "hash", f.newest().Hash, "err", err)
	}
	if ev != nil {
		err := w.cfg.Deliver(ctx, f.run, ev)
		if err == nil || errors.Is(err, ErrOver) {
			w.Forget(f.run, f.ref)
			return
		}
		w.cfg.Log.WarnContext(ctx, "what became of a transaction is not taken in; it is tried again",
			"run", f.run, "err", err)
	}
	f.note(standing, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.pause = min(f.pause+f.pause/3, w.cfg.Pause); f.gone > 0 {
		f.pause = min(firstLook, w.cfg.Pause)
	}
	f.due = time.Now().Add(f.pause)
}

// Forget ends the following of a transaction, if it is followed: its effect has its answer.
func (w *Watch) Forget(run provenance.Link, effect provenance.Ref) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.followed, followKey{run, effect})
}

// eventOf returns the event that a look comes to; nil if there is nothing to tell yet.
func (f *followed) eventOf(s tools.Standing, err error, took time.Duration) provenance.Event {
	result := func(status string, out []byte) provenance.Event {
		return &provenance.Result{Of: f.ref, Status: status, Output: provenance.NewPayload(out), Took: took.Milliseconds()}
	}
	failed, explained := errors.AsType[*tools.Error](err)
	switch {
	case explained && f.phase == provenance.PhaseSend:
		out, err := json.Marshal(map[string]string{"code": failed.Code, "error": failed.Message})
		if err != nil { // texts marshal
			return nil
		}
		return result(provenance.StatusError, out)
	case err != nil && !explained:
		return nil
	case f.phase == provenance.PhaseSend && s.State != tools.StandsWaiting:
		return result(provenance.StatusOK, s.Receipt)
	case f.phase == provenance.PhaseFinal && s.BlockHash != f.hash: // another block, or none
		if f.gone++; f.gone < sureGone {
			return nil
		}
		out, err := json.Marshal(tools.Return{State: tools.StateReturned, Block: f.block, BlockHash: f.hash})
		if err != nil { // texts marshal
			return nil
		}
		return result(provenance.StatusPending, out)
	case f.phase == provenance.PhaseFinal && s.State == tools.StandsFinal:
		return result(provenance.StatusOK, s.Receipt)
	}
	f.gone = 0
	return nil
}
