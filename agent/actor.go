package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

const rawCodec = cid.Raw

// An actor is a run under way: the one goroutine that takes its events, and those that perform its effects.
type actor struct {
	r *Runner
	*journal
	opening *Opening           // until the first step is committed
	blocks  []provenance.Block // that go with the first step

	inbox   chan delivery // events from outside; sent to under Runner.mu
	answers chan answer   // from the effects of this actor
	flying  map[provenance.Ref]bool
	away    map[provenance.Ref]bool // of flying: calls of sub-agents whose runs are under way

	fact  *provenance.WalletFact // of the step under way, if a contract wallet's chain was asked for it
	taken bool                   // a contract wallet has taken its permission back
}

type delivery struct {
	ev   provenance.Event
	done chan error // buffered
}

// inboxSize bounds the requests that wait for one run.
const inboxSize = 16

func (r *Runner) actor(j *journal) *actor {
	return &actor{
		r: r, journal: j, inbox: make(chan delivery, inboxSize), answers: make(chan answer),
		flying: map[provenance.Ref]bool{}, away: map[provenance.Ref]bool{},
	}
}

// launch gives an actor its goroutine, unless the run has one.
func (r *Runner) launch(a *actor) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	if r.live[a.info.ID] != nil || a.state.Closed {
		return nil
	}
	if t := r.timers[a.info.ID]; t != nil {
		t.Stop()
		delete(r.timers, a.info.ID)
	}
	r.live[a.info.ID] = a
	r.wg.Go(func() { a.run(r.ctx) })
	return nil
}

// run is the actor's life: perform what is open, take in what comes, until the run closes, parks or the Runner stops.
func (a *actor) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	still := func() {
		cancel()
		wg.Wait()
	}
	defer still()
	var deadline *time.Timer // one for the actor's life
	for {
		a.perform(ctx, &wg)
		if a.leave() {
			return
		}
		due, _ := a.nextLapse()
		if deadline == nil {
			deadline = time.NewTimer(due)
			defer deadline.Stop()
		} else {
			deadline.Reset(due)
		}
		var err error
		select {
		case d := <-a.inbox:
			// What a caller did wrong (an answer to something that is not open) concerns the caller, not the run.
			err = a.step(ctx, d.ev)
			d.done <- err
			if errors.Is(err, errEvent) {
				err = nil
			}
		case ans := <-a.answers:
			if ans.ev == nil {
				a.away[ans.of] = true
				continue
			}
			if _, open := a.effects[ans.of]; open { // or the run has been abandoned meanwhile
				err = a.step(ctx, ans.ev)
				if unusable(err) { // a reply that cannot be recorded is no reply; the run goes on without it
					a.r.log.WarnContext(ctx, "answer not usable", "run", a.info.ID, "err", err)
					err = a.step(ctx, &provenance.Lapse{Of: &ans.of, Why: provenance.LapseInDoubt})
				}
			}
			if ans.after != nil {
				ans.after()
			}
			if errors.Is(err, ErrNonceUsed) { // signed again, with another nonce
				delete(a.flying, ans.of)
				err = nil
			}
		case <-deadline.C:
			_, seek := a.nextLapse()
			err = a.step(ctx, &provenance.Lapse{Of: seek, Why: provenance.LapseTimeout})
		case <-ctx.Done():
			still()
			a.drop(ErrClosed)
			return
		}
		if err != nil {
			// The journal is as it was before the step, so the run goes on with the next start.
			a.r.log.ErrorContext(ctx, "run stopped", "run", a.info.ID, "seq", a.state.Seq, "err", err)
			still() // before another actor may take the run up: what is under way must not be under way twice
			a.drop(err)
			if errors.Is(err, ErrFull) {
				a.r.wakeAfter(a.info.ID, fullPause)
			}
			return
		}
	}
}

// leave takes the actor off if nothing is left to do for it now.
func (a *actor) leave() bool {
	due, _ := a.nextLapse()
	if !a.state.Closed && (!a.waits() || len(a.flying) > len(a.away) || due <= 0) {
		return false
	}
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	if !a.state.Closed && len(a.inbox) > 0 {
		return false
	}
	delete(a.r.live, a.info.ID)
	if a.state.Closed {
		if len(a.inbox) > 0 {
			a.refuse(fmt.Errorf("run %s has ended (%s): %w", a.info.ID, a.state.Status, ErrNotFound))
		}
		return true
	}
	a.r.timer(a.info.ID, due)
	return true
}

// waits says whether nothing but the wallet, and runs of sub-agents, is to bring the run on.
func (a *actor) waits() bool {
	if a.state.Parked() {
		return true
	}
	for ref, e := range a.effects {
		if _, seek := e.(*provenance.Seek); !seek && !a.away[ref] {
			return false
		}
	}
	return len(a.effects) > 0
}

// fullPause is how long a run rests that a full store has stopped.
const fullPause = 5 * time.Second

func (r *Runner) wakeAfter(run provenance.Link, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer(run, d)
}

// timer wakes a run after d. It holds on to the run's name, and not to its state. Runner.mu is held.
func (r *Runner) timer(run provenance.Link, d time.Duration) {
	if r.closed {
		return
	}
	if t := r.timers[run]; t != nil {
		t.Stop()
	}
	r.timers[run] = time.AfterFunc(d, func() {
		err := r.wake(r.ctx, run)
		if err == nil || r.ctx.Err() != nil {
			return
		}
		r.log.Error("run did not wake", "run", run, "err", err)
		if errors.Is(err, ErrFull) {
			r.wakeAfter(run, fullPause)
		}
	})
}

// drop takes the actor off with an error for those who wait.
func (a *actor) drop(err error) {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	delete(a.r.live, a.info.ID)
	a.refuse(err)
}

func (a *actor) refuse(err error) {
	for {
		select {
		case d := <-a.inbox:
			d.done <- err
		default:
			return
		}
	}
}

// nextLapse returns how long it is to the run's next deadline, and which approval's it is, or nil for the run's own. A
// run that is ending has none: it only waits for what cannot be taken back.
func (a *actor) nextLapse() (due time.Duration, seek *provenance.Ref) {
	if a.state.Ending() {
		return math.MaxInt64, nil
	}
	first := a.state.Opened + a.machine.Limits().Wall
	for ref, e := range a.effects {
		if s, ok := e.(*provenance.Seek); ok && s.Until <= first {
			first, seek = s.Until, &provenance.Ref{Seq: ref.Seq, Index: ref.Index}
		}
	}
	// One millisecond more, so that the clock is past the deadline and not at it.
	return time.Duration(max(first+1-a.r.cfg.Now().UnixMilli(), 0)) * time.Millisecond, seek
}

// errEvent marks an event that cannot follow the run's state.
var errEvent = errors.New("the run does not wait for this")

// errRecord marks an event that cannot be recorded.
var errRecord = errors.New("the event cannot be recorded")

// maxTries bounds how often one event is decided again because the facts had changed at the commit.
const maxTries = 16

// unusable says that a step failed because of the event itself, and would fail again.
func unusable(err error) bool {
	if errors.Is(err, errEvent) || errors.Is(err, errRecord) {
		return true
	}
	_, malformed := errors.AsType[*provenance.Fault](err)
	return malformed
}

// step takes in one event: decide, make durable, tell those who watch.
func (a *actor) step(ctx context.Context, ev provenance.Event) error {
	seq, run := a.state.Seq, a.info.ID
	// The event's leaves are the same however often it is decided.
	came := &provenance.Step{Event: ev}
	a.fact, a.taken = a.wallet(ctx, ev)
	blocks, leaves, err := a.r.seal(came, run, seq, 0, a.machine.Modes(a.state, came))
	if err != nil {
		return fmt.Errorf("step %d: %w: %w", seq, errRecord, err)
	}
	for range maxTries {
		err = a.try(ctx, ev, blocks, leaves)
		if !errors.Is(err, ErrBudget) && !errors.Is(err, ErrStale) {
			return err
		}
	}
	return fmt.Errorf("step %d was decided %d times and the facts changed each time: %w", seq, maxTries, err)
}

func (a *actor) try(ctx context.Context, ev provenance.Event, blocks []provenance.Block, leaves []provenance.Leaf) error {
	r, seq := a.r, a.state.Seq
	at := max(r.cfg.Now().UnixMilli(), a.state.At)
	ledgers, err := a.machine.Ledgers(a.state, at, ev)
	if err != nil {
		return fmt.Errorf("step %d: %w", seq, err)
	}
	facts, err := a.facts(ctx, ledgers)
	if err != nil {
		return fmt.Errorf("step %d: %w", seq, err)
	}
	next, todo, err := a.machine.Step(a.state, at, ev, facts)
	if err != nil {
		return fmt.Errorf("%w: %w", errEvent, err)
	}
	step := &provenance.Step{
		Run: a.info.ID, Seq: seq, Prev: a.info.Last, At: at, Event: ev, Facts: facts, Does: todo.Does,
		Decisions: todo.Decisions, Label: todo.Label,
	}
	// The leaves that the effects bring come after the event's, so their keys are numbered on.
	more, keys, err := r.seal(step, a.info.ID, seq, len(leaves), a.machine.Modes(a.state, step))
	if err != nil {
		return fmt.Errorf("step %d: %w: %w", seq, errRecord, err)
	}
	block, err := provenance.Encode(step)
	if err != nil {
		return fmt.Errorf("step %d: %w: %w", seq, errRecord, err)
	}
	c := Commit{
		Run: a.info.ID, Fence: a.fence, Seq: seq, At: at, Step: block, Status: next.Status, Open: a.opening, Under: a.under(),
		Blocks: append(append(append([]provenance.Block{}, a.blocks...), blocks...), more...),
		Leaves: append(append([]provenance.Leaf{}, leaves...), keys...),
	}
	a.ledger(&c, todo, ledgers)
	c.Nonce = a.nonceOf(ev, todo.Does)
	if needsHead(seq, next, todo.Does) {
		head := &provenance.Head{Run: a.info.ID, Seq: seq, Step: block.CID, At: at}
		if next.Closed && seq >= provenance.MinIndexed {
			if err := a.index(head, &c); err != nil {
				return fmt.Errorf("step %d: %w", seq, err)
			}
		}
		if err := head.Sign(r.cfg.Key); err != nil {
			return fmt.Errorf("step %d: %w", seq, err)
		}
		hb, err := provenance.Encode(head)
		if err != nil {
			return fmt.Errorf("step %d: %w", seq, err)
		}
		c.Head = &hb
	}
	if err := r.cfg.Store.Commit(ctx, c); err != nil {
		return fmt.Errorf("step %d: %w", seq, err)
	}
	a.opening, a.blocks = nil, nil
	if c.Head != nil {
		if a.info.Head = c.Head.CID; r.cfg.HeadLog != nil {
			r.cfg.HeadLog.Added()
		}
	}
	before := a.callsOut()
	var steps map[uint64]provenance.Link
	if before != nil {
		steps = maps.Clone(a.steps)
	}
	a.take(next, block.CID, todo.Does)
	r.notify(a.info.ID)
	a.left(ctx, before, steps, ev)
	if next.Closed && a.parent != nil {
		r.bringBack(a.info.ID, a.parent)
	}
	return nil
}

// index gives the head of a closed run an index of its steps.
func (a *actor) index(head *provenance.Head, c *Commit) error {
	step := func(i int) provenance.Link {
		if i == len(a.all) {
			return head.Step
		}
		return a.all[i]
	}
	return provenance.IndexSteps(len(a.all)+1, step, func(b provenance.Block) error {
		c.Blocks, head.Index = append(c.Blocks, b), b.CID
		return nil
	})
}

// needsHead says after which steps the history is signed: the first, each park and close, before an effect that
// cannot be taken back, and at least every 64.
func needsHead(seq uint64, next loop.State, does []provenance.Effect) bool {
	if seq%64 == 0 || next.Closed || next.Status == "parked" {
		return true
	}
	for _, e := range does {
		if c, ok := e.(*provenance.Call); ok && (c.Phase == provenance.PhaseSend || c.Class == "once") {
			return true
		}
	}
	return false
}

// facts reads what decisions may know of the world.
func (a *actor) facts(ctx context.Context, ledgers []loop.Ledger) (provenance.Facts, error) {
	var f provenance.Facts
	keys := make([]string, len(ledgers))
	for i, l := range ledgers {
		keys[i] = a.ledgerKey(l.Scope, l.Of, l.Caller, l.Key)
	}
	read, err := a.r.cfg.Store.Ledgers(ctx, keys)
	if err != nil {
		return f, fmt.Errorf("read the ledgers: %w", err)
	}
	all := make([]provenance.Budget, len(ledgers))
	for i, l := range ledgers {
		spent, reserved := read[i].Spent, read[i].Reserved
		if spent.Asset() != l.Cap.Asset() { // never drawn on
			spent, reserved = money.Of(l.Cap.Asset(), 0), money.Of(l.Cap.Asset(), 0)
		}
		all[i] = provenance.Budget{ID: l.ID, Cap: l.Cap, Spent: spent, Reserved: reserved}
	}
	f.Budgets = a.state.Changed(all)
	s, err := a.r.cfg.Store.Session(ctx, a.info.Session)
	if err != nil {
		return f, fmt.Errorf("read the session: %w", err)
	}
	over, err := a.r.lapsed(ctx, a.under())
	if err != nil {
		return f, fmt.Errorf("read the delegations: %w", err)
	}
	f.Revoked = s.Revoked != 0 || a.taken || over != nil
	f.Wallet = a.fact
	f.Down = a.r.down()
	return f, nil
}

// ledgerKey names a ledger of this run's budgets in the store. caller is the agent's name if it is not the run's own.
func (j *journal) ledgerKey(scope string, of provenance.Link, caller, key string) string {
	switch scope {
	case "wallet":
		return "wallet/" + j.info.Owner() + "/" + key
	case loop.ScopeDelegation:
		return "delegation/" + of.String() + "/" + key
	case "agent":
		return "agent/" + or(caller, j.info.Agent) + "/" + key
	}
	return "session/" + j.info.Session.String() + "/" + key
}

// ledger fills in what the step reserves and settles. ledgers are those that it could draw on.
func (a *actor) ledger(c *Commit, todo loop.Next, ledgers []loop.Ledger) {
	for i, e := range todo.Does {
		for _, d := range decisionsOf(e) {
			for _, r := range d.Reserve {
				at := slices.IndexFunc(ledgers, func(l loop.Ledger) bool { return l.ID == r.Budget })
				if at < 0 {
					panic("agent: a decision draws on a ledger that its facts did not show: " + r.Budget)
				}
				l := &ledgers[at]
				c.Reserve = append(c.Reserve, Reservation{
					Ledger: a.ledgerKey(l.Scope, l.Of, l.Caller, l.Key), Ref: provenance.Ref{Seq: c.Seq, Index: uint64(i)}, Amount: r.Amount, Cap: l.Cap,
				})
			}
		}
	}
	budgets := a.machine.Budgets()
	for _, s := range todo.Settle {
		id := loop.BudgetID(s.Budget)
		at := slices.IndexFunc(budgets, func(b loop.Budget) bool { return b.ID == id })
		if at < 0 {
			panic("agent: a reservation ends in a budget that no set declares: " + s.Budget)
		}
		c.Settle = append(c.Settle, Settlement{
			Ledger: a.ledgerKey(budgets[at].Scope, budgets[at].Of, loop.CallerOf(s.Budget), s.Key), Ref: s.Ref, Used: s.Used,
		})
	}
}

func decisionsOf(e provenance.Effect) []provenance.Decision {
	switch e := e.(type) {
	case *provenance.AskModel:
		return e.Decisions
	case *provenance.Call:
		return e.Decisions
	}
	return nil
}

// Runs lists the runs of a session's owner, newest first, at most limit.
func (r *Runner) Runs(ctx context.Context, of Session, limit int) ([]RunInfo, error) {
	all, err := r.cfg.Store.Runs(ctx, of.Account, maxRuns)
	all = slices.DeleteFunc(all, func(i RunInfo) bool { return i.Owner() != of.Owner() })
	return all[:min(max(limit, 0), len(all))], err
}

// maxRuns is how many runs of one address are looked at for a list of them, on whichever chain it is.
const maxRuns = 1000
