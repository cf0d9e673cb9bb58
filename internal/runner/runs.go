package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/chainwatch"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/ownwallet"
	"github.com/writ-run/writ/internal/waiting"
	"github.com/writ-run/writ/provenance"
)

// ErrClosed says that the Runner is stopping. The run is safe and goes on after the next start.
var ErrClosed = errors.New("the runtime is stopping")

// runs gives each run that has something to do its actor, and each parked one the timer that wakes it. A run has one
// actor at most in this process, and its claim in the store keeps other processes from writing it.
type runs struct {
	*parts

	mu        sync.Mutex // guards the rest
	live      map[provenance.Link]*actor
	idle      chan struct{} // closed, and nil again, when no run is live; nil if nobody waits for that
	takeovers map[provenance.Link]*takeover
	timers    map[provenance.Link]*time.Timer // of parked runs

	sent  *ownwallet.Book
	waits waiting.Book[PendingApproval]
}

// A takeover is there while somebody takes a run up, or waits to do so.
type takeover struct {
	mu    sync.Mutex
	users int // guarded by runs.mu
}

func newRuns(p *parts) *runs {
	return &runs{
		parts: p, live: map[provenance.Link]*actor{}, takeovers: map[provenance.Link]*takeover{},
		timers: map[provenance.Link]*time.Timer{}, sent: ownwallet.NewBook(p.cfg.Store),
	}
}

// Run returns the index entry of a run.
func (r *Runner) Run(ctx context.Context, id provenance.Link) (journal.RunInfo, error) {
	return r.cfg.Store.Run(ctx, id)
}

// Runs lists the runs of a session's owner, newest first, at most limit.
func (r *Runner) Runs(ctx context.Context, of journal.Session, limit int) ([]journal.RunInfo, error) {
	all, err := r.cfg.Store.Runs(ctx, of.Account, maxRuns)
	all = slices.DeleteFunc(all, func(i journal.RunInfo) bool { return i.Owner() != of.Owner() })
	return all[:min(max(limit, 0), len(all))], err
}

// maxRuns is how many runs of one address are looked at for a list of them, on whichever chain it is.
const maxRuns = 1000

// Resume takes up every run that has no close, and returns how many there were. Parked runs get their timers back. A
// run that cannot be taken up, because a leaf of it was erased for instance, is left as it is: the log names it, and
// the others go on.
func (r *Runner) Resume(ctx context.Context) (int, error) {
	if err := r.wallets.followOpenSessions(ctx); err != nil {
		return 0, fmt.Errorf("resume: %w", err)
	}
	open, err := r.cfg.Store.OpenRuns(ctx)
	if err != nil {
		return 0, fmt.Errorf("resume: %w", err)
	}
	defer r.runs.sent.Hold()() // until all that wait for a wallet are known
	for _, run := range open {
		if err := r.runs.wakeRun(ctx, run); err != nil {
			if ctx.Err() != nil || errors.Is(err, ErrClosed) || errors.Is(err, journal.ErrFull) {
				return 0, fmt.Errorf("resume run %s: %w", run, err)
			}
			r.log.ErrorContext(ctx, "run not taken up", "run", run, "err", err)
		}
	}
	return len(open), nil
}

// Cancel ends a run. What is under way outside is not undone; what may have happened stays counted.
func (r *Runner) Cancel(ctx context.Context, run provenance.Link) error {
	return r.runs.deliverEvent(ctx, run, &provenance.Lapse{Why: provenance.LapseCancelled})
}

// lockRun keeps others from taking up a run; the function that it returns lets them again.
func (rs *runs) lockRun(run provenance.Link) (unlock func()) {
	rs.mu.Lock()
	c := rs.takeovers[run]
	if c == nil {
		c = new(takeover)
		rs.takeovers[run] = c
	}
	c.users++
	rs.mu.Unlock()
	c.mu.Lock()
	return func() {
		c.mu.Unlock()
		rs.mu.Lock()
		defer rs.mu.Unlock()
		if c.users--; c.users == 0 {
			delete(rs.takeovers, run)
		}
	}
}

// leaseFor is how long one claim of a run lasts. One process owns one store today, so it only has to outlast the
// process; a takeover by another node needs shorter ones.
const leaseFor = 30 * 24 * time.Hour

func (rs *runs) leaseUntil() int64 { return rs.cfg.Now().Add(leaseFor).UnixMilli() }

// newRunActor makes the actor of a run that is not in the journal yet. info says whose it is; key and hash are what it
// is found by.
func (rs *runs) newRunActor(
	m *loop.Machine, run *provenance.Run, info journal.RunInfo, key string, hash [32]byte,
) (*actor, error) {
	block, err := provenance.Encode(run)
	if err != nil {
		return nil, err
	}
	info.ID, info.Opened = block.CID, run.Opened
	a := newActor(rs, newHistory(info, m, run.Parent))
	a.fence = 1
	a.blocks = []provenance.Block{block}
	a.opening = &journal.Opening{
		Session: info.Session, Account: info.Account, Agent: info.Agent, Key: key, Hash: hash,
		Owner: rs.cfg.Owner, Until: rs.leaseUntil(),
	}
	return a, nil
}

// openRun commits the first step of a run, lets it go on, and returns how it stood before it did.
func (rs *runs) openRun(ctx context.Context, a *actor, ask *provenance.Ask) (info journal.RunInfo, err error) {
	if rs.background.IsDraining() {
		return info, ErrClosed
	}
	defer rs.lockRun(a.info.ID)()
	if err := a.takeIn(ctx, ask); err != nil {
		return info, err
	}
	info = a.info
	return info, rs.launchActor(a)
}

// launchActor gives an actor its goroutine, unless the run has one.
func (rs *runs) launchActor(a *actor) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	id := a.info.ID
	if rs.live[id] != nil || a.state.Closed {
		return nil
	}
	if rs.background.IsDraining() {
		return ErrClosed
	}
	a.entered = rs.sent.Hold()
	if err := rs.background.Start(a.takeEvents); err != nil {
		a.entered()
		return err
	}
	if t := rs.timers[id]; t != nil {
		t.Stop()
		delete(rs.timers, id)
	}
	rs.live[id] = a
	return nil
}

// wakeRun makes a run's actor if it has none.
func (rs *runs) wakeRun(ctx context.Context, run provenance.Link) error {
	defer rs.lockRun(run)()
	rs.mu.Lock()
	_, there := rs.live[run]
	rs.mu.Unlock()
	if there {
		return nil
	}
	a, err := rs.claimRun(ctx, run)
	if err != nil {
		return err
	}
	return rs.launchActor(a)
}

// claimRun loads a run that this process will write.
func (rs *runs) claimRun(ctx context.Context, run provenance.Link) (*actor, error) {
	fence, err := rs.cfg.Store.Claim(ctx, run, rs.cfg.Owner, rs.leaseUntil())
	if err != nil {
		return nil, err
	}
	h, err := rs.loadRun(ctx, run, false)
	if err != nil {
		return nil, err
	}
	a := newActor(rs, h)
	a.fence = fence
	if h.ends != nil && !h.state.Closed && !h.state.IsEnding() { // its end came while no process had the run
		a.inbox <- delivery{h.ends, make(chan error, 1)}
	}
	return a, nil
}

// deliverEvent brings an event into a run from outside and returns when its step is durable.
func (rs *runs) deliverEvent(ctx context.Context, run provenance.Link, ev provenance.Event) error {
	d := delivery{ev, make(chan error, 1)}
	if err := rs.handOver(ctx, run, d); err != nil {
		return err
	}
	select {
	case err := <-d.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-rs.background.Done():
		return ErrClosed
	}
}

// deliverSeen is deliverEvent for what was seen of a transaction.
func (rs *runs) deliverSeen(ctx context.Context, run provenance.Link, ev provenance.Event) error {
	err := rs.deliverEvent(ctx, run, ev)
	if errors.Is(err, errEvent) || errors.Is(err, journal.ErrNotFound) {
		return fmt.Errorf("%w: %w", chainwatch.ErrOver, err)
	}
	return err
}

// deliverUntilTaken is deliverEvent for an event that must not be left out: while the run has too many requests, or the
// store takes none, it is tried again. Nobody else would bring it: a run that is live does not look for what it missed.
func (rs *runs) deliverUntilTaken(ctx context.Context, run provenance.Link, ev provenance.Event) error {
	for pause := firstPause; ; pause = min(2*pause, fullPause) {
		err := rs.deliverEvent(ctx, run, ev)
		if !errors.Is(err, journal.ErrFull) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// handOver gives a delivery to the run's actor. A parked run has none: it gets one, with the delivery in its inbox
// before it looks, or it would only find that there is nothing to do and leave again.
func (rs *runs) handOver(ctx context.Context, run provenance.Link, d delivery) error {
	if given, err := rs.handToLive(run, d); given || err != nil {
		return err
	}
	defer rs.lockRun(run)()
	if given, err := rs.handToLive(run, d); given || err != nil { // somebody was faster
		return err
	}
	a, err := rs.claimRun(ctx, run)
	if err != nil {
		return err
	}
	if a.state.Closed {
		return a.errEnded()
	}
	a.inbox <- d // has room: nobody else knows it yet
	return rs.launchActor(a)
}

// handToLive gives a delivery to the run's actor, if it has one.
func (rs *runs) handToLive(run provenance.Link, d delivery) (given bool, err error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	a := rs.live[run]
	if a == nil {
		return false, nil
	}
	select {
	case a.inbox <- d:
		return true, nil
	default:
		return false, fmt.Errorf("run %s has too many requests at once; try again: %w", run, journal.ErrFull)
	}
}

// retireActor takes an actor off that has nothing to do for now, and wakes its run after due. It does not if something
// has come in meanwhile.
func (rs *runs) retireActor(a *actor, due time.Duration) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !a.state.Closed && len(a.inbox) > 0 {
		return false
	}
	rs.forgetActor(a)
	if a.state.Closed {
		a.refuseDeliveries(a.errEnded())
	} else {
		rs.setTimer(a.info.ID, due)
	}
	return true
}

// dropActor takes an actor off with an error for those who wait.
func (rs *runs) dropActor(a *actor, err error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.forgetActor(a)
	a.refuseDeliveries(err)
}

// forgetActor takes an actor from those that are live. runs.mu is held.
func (rs *runs) forgetActor(a *actor) {
	delete(rs.live, a.info.ID)
	if len(rs.live) == 0 && rs.idle != nil {
		close(rs.idle)
		rs.idle = nil
	}
}

// waitUntilIdle waits until no run is live, or ctx ends, and returns how many are. None may be launched meanwhile.
func (rs *runs) waitUntilIdle(ctx context.Context) int {
	rs.mu.Lock()
	if len(rs.live) == 0 {
		rs.mu.Unlock()
		return 0
	}
	if rs.idle == nil {
		rs.idle = make(chan struct{})
	}
	idle := rs.idle
	rs.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return len(rs.live)
}

// A run that a full store has stopped rests for fullPause. All else that is tried again begins with firstPause and
// waits twice as long each time, up to fullPause.
const (
	firstPause = 10 * time.Millisecond
	fullPause  = 5 * time.Second
)

func (rs *runs) wakeAfter(run provenance.Link, d time.Duration) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.setTimer(run, d)
}

// setTimer wakes a run after d. It keeps the run's name, and not its state. runs.mu is held.
func (rs *runs) setTimer(run provenance.Link, d time.Duration) {
	if rs.background.IsStopped() {
		return
	}
	if t := rs.timers[run]; t != nil {
		t.Stop()
	}
	rs.timers[run] = time.AfterFunc(d, func() {
		// A Runner that stops wakes nothing.
		_ = rs.background.Start(func(ctx context.Context) { rs.wakeParked(ctx, run) })
	})
}

// wakeParked wakes a run whose time has come.
func (rs *runs) wakeParked(ctx context.Context, run provenance.Link) {
	err := rs.wakeRun(ctx, run)
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrClosed) {
		return
	}
	rs.log.ErrorContext(ctx, "run did not wake", "run", run, "err", err)
	if errors.Is(err, journal.ErrFull) {
		rs.wakeAfter(run, fullPause)
	}
}

// stopTimers leaves parked runs to the next process. The background is stopped, so no timer is set after it.
func (rs *runs) stopTimers() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, t := range rs.timers {
		t.Stop()
	}
}
