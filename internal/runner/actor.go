package runner

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/modelrace"
	"github.com/writ-run/writ/internal/reuse"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// An actor is a run under way: the one goroutine that takes its events, and those that perform its effects.
type actor struct {
	runs *runs
	*history
	fence   uint64             // of this process's claim
	opening *journal.Opening   // until the first step is committed
	blocks  []provenance.Block // that go with the first step

	inbox    chan delivery // events from outside; sent to under runs.mu
	answers  chan answer   // one from each effect that is under way
	underWay int           // effects that have not given their answer
	begun    map[provenance.Ref]bool
	entered  func()                  // once the calls that wait for a wallet are in the book
	race     *modelrace.Race         // of the questions to models that are open together
	away     map[provenance.Ref]bool // of begun: answered by a sub-agent's run or by the chain; may be nil
}

// A delivery is an event from outside.
type delivery struct {
	ev   provenance.Event
	done chan error // buffered
}

// inboxSize bounds the requests that wait for one run.
const inboxSize = 16

func newActor(rs *runs, h *history) *actor {
	return &actor{
		runs: rs, history: h, inbox: make(chan delivery, inboxSize), answers: make(chan answer),
		begun: map[provenance.Ref]bool{},
	}
}

// takeEvents is the actor's life: perform what is open, take in what comes, until the run closes, parks or the Runner
// stops. It waits for the effects that it has begun.
func (a *actor) takeEvents(ctx context.Context) {
	effects, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	stopEffects := func(keep bool) {
		cancel(tools.Withdrawal(a.state.Closed))
		a.takeLastAnswers(effects, keep)
		wg.Wait()
	}
	defer stopEffects(false)
	deadline := time.NewTimer(math.MaxInt64) // one timer, reset in each round
	defer deadline.Stop()
	draining := a.runs.background.Draining()
	for {
		a.performOpen(effects, &wg)
		a.entered()
		due, _ := a.nextLapse()
		if a.hasNothingToDo(due) && a.runs.retireActor(a, due) {
			return
		}
		if a.underWay == 0 && a.runs.background.IsDraining() {
			a.runs.dropActor(a, ErrClosed)
			return
		}
		deadline.Reset(due)
		var err error
		select {
		case d := <-a.inbox:
			err = a.takeDelivery(effects, d)
		case ans := <-a.answers:
			a.underWay--
			err = a.takeAnswer(effects, ans)
		case <-draining:
			draining = nil
		case <-deadline.C:
			_, seek := a.nextLapse()
			err = a.takeIn(effects, &provenance.Lapse{Of: seek, Why: provenance.LapseTimeout})
		case <-ctx.Done():
			stopEffects(true)
			a.runs.dropActor(a, ErrClosed)
			return
		}
		if err != nil {
			stopEffects(false) // before another actor may take the run up: what is under way must not be under way twice
			a.stopAfterError(ctx, err)
			return
		}
	}
}

// stopAfterError ends an actor whose step could not be committed. The journal is as it was before the step, so the run
// goes on with the next start, and soon by itself if others were faster with what they share, or the store was full.
func (a *actor) stopAfterError(ctx context.Context, err error) {
	a.runs.log.ErrorContext(ctx, "run stopped", "run", a.info.ID, "seq", a.state.Seq, "err", err)
	a.runs.dropActor(a, err)
	switch {
	case errors.Is(err, journal.ErrFull), errors.Is(err, journal.ErrEarly):
		a.runs.wakeAfter(a.info.ID, fullPause)
	case errors.Is(err, journal.ErrBudget), errors.Is(err, journal.ErrStale):
		a.runs.wakeAfter(a.info.ID, firstPause)
	}
}

// takeDelivery takes in an event from outside. What a caller did wrong (an answer to something that is not open)
// concerns the caller, not the run. A sub-agent whose permission is revoked while it waits for another one, which that
// ends too, ends when that one has: so it tells what that one has spent.
func (a *actor) takeDelivery(ctx context.Context, d delivery) error {
	if l, ok := d.ev.(*provenance.Lapse); ok && l.Why == provenance.LapseRevoked && a.parent != nil && a.waitsForAgent() {
		d.done <- nil
		return nil
	}
	err := a.takeIn(ctx, d.ev)
	d.done <- err
	if errors.Is(err, errEvent) {
		return nil
	}
	return err
}

// takeLastAnswers receives the answers of all effects under way, which have been told to end. Those that have come to
// something become steps if keep is set: what a tool has done must not be in doubt because the Runner stops.
func (a *actor) takeLastAnswers(ctx context.Context, keep bool) {
	for ; a.underWay > 0; a.underWay-- {
		ans := <-a.answers
		if !keep {
			ans.release()
			continue
		}
		if err := a.takeAnswer(ctx, ans); err != nil {
			a.runs.log.ErrorContext(ctx, "answer not kept", "run", a.info.ID, "seq", a.state.Seq, "err", err)
			keep = false
		}
	}
}

// takeAnswer takes in what an effect came to, also if the Runner stops meanwhile.
func (a *actor) takeAnswer(ctx context.Context, ans answer) (err error) {
	ctx = context.WithoutCancel(ctx)
	if ans.cut {
		ans.release()
		return nil
	}
	if ans.ev == nil {
		if _, open := a.effects[ans.of]; !open { // the outcome has overtaken this answer
			a.runs.watch.Forget(a.info.ID, ans.of)
			return nil
		}
		if a.away == nil {
			a.away = map[provenance.Ref]bool{}
		}
		a.away[ans.of] = true
		return nil
	}
	if _, open := a.effects[ans.of]; open { // else the run was abandoned meanwhile
		err = a.takeIn(ctx, ans.ev)
		if isUnusable(err) { // a reply that cannot be recorded is no reply; the run goes on without it
			a.runs.log.WarnContext(ctx, "answer not usable", "run", a.info.ID, "err", err)
			err = a.takeIn(ctx, &provenance.Lapse{Of: &ans.of, Why: provenance.LapseInDoubt})
		}
	}
	if ans.lead != nil && err == nil && a.info.Head.Defined() {
		ans.lead.Keep(reuse.Source{
			Run: a.info.ID, Seq: a.state.Seq - 1, From: provenance.Reused{Head: a.info.Head, Step: a.info.Last},
		})
	}
	ans.release()
	if errors.Is(err, journal.ErrNonceUsed) { // the call is begun again and signs with another nonce
		delete(a.begun, ans.of)
		return nil
	}
	return err
}

// hasNothingToDo says whether the run has ended, or waits until due for nothing but the wallet, runs of sub-agents and
// transactions on the chain.
func (a *actor) hasNothingToDo(due time.Duration) bool {
	return a.state.Closed || a.waitsForOthers() && len(a.begun) <= len(a.away) && due > 0
}

func (a *actor) waitsForOthers() bool {
	if a.state.IsParked() {
		return true
	}
	for ref, e := range a.effects {
		if _, seek := e.(*provenance.Seek); !seek && !a.away[ref] {
			return false
		}
	}
	return len(a.effects) > 0
}

// refuseDeliveries answers all that wait for the run. runs.mu is held, so that no more come in.
func (a *actor) refuseDeliveries(err error) {
	for {
		select {
		case d := <-a.inbox:
			d.done <- err
		default:
			return
		}
	}
}

func (a *actor) errEnded() error {
	return fmt.Errorf("run %s has ended (%s): %w", a.info.ID, a.state.Status, journal.ErrNotFound)
}

// nextLapse returns how long it is to the run's next deadline, and which approval's or question's it is, or nil for the
// run's own. A run that is ending has none: it only waits for what cannot be taken back.
func (a *actor) nextLapse() (due time.Duration, seek *provenance.Ref) {
	if a.state.IsEnding() {
		return math.MaxInt64, nil
	}
	first := a.machine.End(a.state)
	if at, of := a.state.FirstLapse(); of != nil && at <= first {
		first, seek = at, of
	}
	for ref := range a.effects {
		if until, ok := a.state.CallerUntil(ref); ok && until < first { // the run ends with it
			first, seek = until, nil
		}
	}
	if first == math.MaxInt64 {
		return math.MaxInt64, nil
	}
	// One millisecond more, so that the clock is past the deadline and not at it.
	return time.Duration(max(first+1-a.runs.cfg.Now().UnixMilli(), 0)) * time.Millisecond, seek
}
