package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// ErrClosed says that the Runner is stopping. The run is safe and goes on after the next start.
var ErrClosed = errors.New("the runtime is stopping")

// ErrSignature says that a request is not signed by the session that it names.
var ErrSignature = errors.New("the signature does not hold")

// A StartRequest asks for a run. Frame and Sig are the signed request as it came: they become the run's first event,
// so that nobody can invent a request.
type StartRequest struct {
	Session Session
	Frame   auth.Frame // its Params are a wire.RunStart
	Sig     []byte
	Agent   string
	Input   string
	Key     string // idempotency key, 1 to 128 bytes
	Thread  string // optional
}

// Start opens a run and returns at once; the run goes on by itself. The same idempotency key and params return the
// run that is there already; the same key with other params is ErrConflict.
func (r *Runner) Start(ctx context.Context, q StartRequest) (RunInfo, error) {
	if q.Key == "" || len(q.Key) > 128 {
		return RunInfo{}, errors.New("start a run: an idempotency key of 1 to 128 bytes is required")
	}
	key, err := auth.ParsePublicKey(q.Session.Key)
	if err != nil {
		return RunInfo{}, fmt.Errorf("start a run: %w", err)
	}
	if q.Frame.Session != q.Session.ID {
		return RunInfo{}, fmt.Errorf("start a run: the request was signed for another session: %w", ErrSignature)
	}
	if err := q.Frame.Verify(key, q.Sig); err != nil {
		return RunInfo{}, fmt.Errorf("start a run: %w: %w", ErrSignature, err)
	}
	hash := sha256.Sum256(q.Frame.Params)
	if id, err := r.cfg.Store.ByKey(ctx, q.Session.ID, q.Key, hash); err == nil {
		return r.started(ctx, id)
	} else if !errors.Is(err, ErrNotFound) {
		return RunInfo{}, fmt.Errorf("start a run: %w", err)
	}
	if err := r.serves(q.Session.Account, q.Session.Owner()); err != nil { // the list may be another one since the sign-in
		return RunInfo{}, fmt.Errorf("start a run: %w", err)
	}
	info, ok := r.agents[q.Agent]
	if !ok {
		return RunInfo{}, fmt.Errorf("start a run of agent %q: %w", q.Agent, ErrNotFound)
	}
	rules, err := pinned(q.Session) // which is not the newest set after a reload
	if err != nil {
		return RunInfo{}, fmt.Errorf("start a run: %w", err)
	}
	machine, err := r.machine(ctx, q.Session, info.CID, rules, r.runtime, provenance.Link{})
	if errors.Is(err, loop.ErrVersion) { // this server has changed since the sign-in
		return RunInfo{}, fmt.Errorf("start a run: %w: %w", ErrStale, err)
	}
	if err != nil {
		return RunInfo{}, fmt.Errorf("start a run: %w", err)
	}
	run := &provenance.Run{
		Agent: info.CID, Grant: q.Session.ID, Rules: rules, Runtime: r.runtime,
		Opened: r.cfg.Now().UnixMilli(), Thread: q.Thread,
	}
	if _, err := io.ReadFull(r.cfg.Rand, run.Nonce[:]); err != nil {
		return RunInfo{}, fmt.Errorf("start a run: %w", err)
	}
	block, err := provenance.Encode(run)
	if err != nil {
		return RunInfo{}, fmt.Errorf("start a run: %w", err)
	}
	ask := &provenance.Ask{
		Request: provenance.NewPayload(q.Frame.Params), Channel: q.Frame.Channel, Seq: q.Frame.Seq,
		Method: q.Frame.Method, Key: q.Session.Key, Sig: q.Sig,
	}
	a := r.actor(&journal{
		info:    RunInfo{ID: block.CID, Session: q.Session.ID, Account: q.Session.Account, Chain: q.Session.Chain, Method: q.Session.Method, Agent: q.Agent, Opened: run.Opened},
		machine: machine, state: loop.State{Run: block.CID}, fence: 1,
		effects: map[provenance.Ref]provenance.Effect{}, steps: map[uint64]provenance.Link{},
	})
	a.opening = &Opening{
		Session: q.Session.ID, Account: q.Session.Account, Agent: q.Agent, Key: q.Key, Hash: hash,
		Owner: r.cfg.Owner, Until: r.leaseUntil(),
	}
	a.blocks = []provenance.Block{block}
	defer r.lock(block.CID)()
	if err := a.step(ctx, ask); err != nil {
		if errors.Is(err, ErrConflict) { // somebody was faster with the same key
			if id, err := r.cfg.Store.ByKey(ctx, q.Session.ID, q.Key, hash); err == nil {
				return r.started(ctx, id)
			}
		}
		return RunInfo{}, fmt.Errorf("start a run: %w", err)
	}
	if err := r.launch(a); err != nil {
		return RunInfo{}, err
	}
	return r.cfg.Store.Run(ctx, block.CID)
}

// started returns a run that an earlier call has opened, and makes sure that it goes on: that call may have ended
// before it could.
func (r *Runner) started(ctx context.Context, id provenance.Link) (RunInfo, error) {
	info, err := r.cfg.Store.Run(ctx, id)
	if err != nil || info.Status != "running" {
		return info, err
	}
	return info, r.wake(ctx, id)
}

// lock keeps others from taking up a run; the function that it returns lets them again.
func (r *Runner) lock(run provenance.Link) (unlock func()) {
	r.mu.Lock()
	l := r.locks[run]
	if l == nil {
		l = new(runLock)
		r.locks[run] = l
	}
	l.users++
	r.mu.Unlock()
	l.mu.Lock()
	return func() {
		l.mu.Unlock()
		r.mu.Lock()
		defer r.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(r.locks, run)
		}
	}
}

// A runLock is there while somebody holds it or waits for it.
type runLock struct {
	mu    sync.Mutex
	users int // guarded by Runner.mu
}

// leaseFor is how long one claim of a run lasts. One process owns one store today, so it only has to outlast the
// process; a takeover by another node needs shorter ones.
const leaseFor = 30 * 24 * time.Hour

func (r *Runner) leaseUntil() int64 { return r.cfg.Now().Add(leaseFor).UnixMilli() }

// Resume takes up every run that has no close, and returns how many there were. Parked runs get their timers back. A
// run that cannot be taken up, because a leaf of it was erased for instance, is left as it is: the log names it, and
// the others go on.
func (r *Runner) Resume(ctx context.Context) (int, error) {
	if err := r.watchAll(ctx); err != nil {
		return 0, fmt.Errorf("resume: %w", err)
	}
	open, err := r.cfg.Store.Unfinished(ctx)
	if err != nil {
		return 0, fmt.Errorf("resume: %w", err)
	}
	for _, run := range open {
		if err := r.wake(ctx, run); err != nil {
			if ctx.Err() != nil || errors.Is(err, ErrClosed) || errors.Is(err, ErrFull) {
				return 0, fmt.Errorf("resume run %s: %w", run, err)
			}
			r.log.ErrorContext(ctx, "run not taken up", "run", run, "err", err)
		}
	}
	return len(open), nil
}

// Cancel ends a run. What is under way outside is not undone; what may have happened stays counted.
func (r *Runner) Cancel(ctx context.Context, run provenance.Link) error {
	return r.deliver(ctx, run, &provenance.Lapse{Why: provenance.LapseCancelled})
}

// wake makes a run's actor if it has none.
func (r *Runner) wake(ctx context.Context, run provenance.Link) error {
	defer r.lock(run)()
	r.mu.Lock()
	_, there := r.live[run]
	r.mu.Unlock()
	if there {
		return nil
	}
	a, err := r.claimed(ctx, run)
	if err != nil {
		return err
	}
	return r.launch(a)
}

// claimed loads a run that this process will write.
func (r *Runner) claimed(ctx context.Context, run provenance.Link) (*actor, error) {
	fence, err := r.cfg.Store.Claim(ctx, run, r.cfg.Owner, r.leaseUntil())
	if err != nil {
		return nil, err
	}
	j, err := r.load(ctx, run)
	if err != nil {
		return nil, err
	}
	j.fence = fence
	a := r.actor(j)
	if j.ends != nil && !j.state.Closed && !j.state.Ending() { // while nobody was here to take it in
		a.inbox <- delivery{j.ends, make(chan error, 1)}
	}
	return a, nil
}

// deliver brings an event into a run from outside and returns when its step is durable.
func (r *Runner) deliver(ctx context.Context, run provenance.Link, ev provenance.Event) error {
	d := delivery{ev, make(chan error, 1)}
	if err := r.hand(ctx, run, d); err != nil {
		return err
	}
	select {
	case err := <-d.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ctx.Done():
		return ErrClosed
	}
}

// hand gives a delivery to the run's actor. A parked run has none: it gets one, with the delivery in its inbox
// before it looks, or it would only find that there is nothing to do and leave again.
func (r *Runner) hand(ctx context.Context, run provenance.Link, d delivery) error {
	if given, err := r.put(run, d); given || err != nil {
		return err
	}
	defer r.lock(run)()
	if given, err := r.put(run, d); given || err != nil { // somebody was faster
		return err
	}
	a, err := r.claimed(ctx, run)
	if err != nil {
		return err
	}
	if a.state.Closed {
		return fmt.Errorf("run %s has ended (%s): %w", run, a.state.Status, ErrNotFound)
	}
	a.inbox <- d // has room: nobody else knows it yet
	return r.launch(a)
}

// put gives a delivery to the run's actor, if it has one.
func (r *Runner) put(run provenance.Link, d delivery) (given bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.live[run]
	if a == nil {
		return false, nil
	}
	select {
	case a.inbox <- d:
		return true, nil
	default:
		return false, fmt.Errorf("run %s has too many requests at once; try again: %w", run, ErrFull)
	}
}

// A journal is a run as its steps tell it.
type journal struct {
	info    RunInfo
	machine *loop.Machine
	state   loop.State
	fence   uint64
	effects map[provenance.Ref]provenance.Effect // those without an answer
	steps   map[uint64]provenance.Link           // CIDs of the steps that hold them
	all     []provenance.Link                    // CIDs of all steps, for the index
	loaded  bool                                 // from the store: its open effects may have been begun before
	ends    *provenance.Lapse                    // to be taken in, if the session or the caller ended before it was loaded
	parent  *provenance.Parent                   // of a sub-agent's run: the call that opened it
}

// page is how many steps are read at once.
const page = 256

// load reads a run's steps and arrives at its state.
func (r *Runner) load(ctx context.Context, run provenance.Link) (*journal, error) {
	info, err := r.cfg.Store.Run(ctx, run)
	if err != nil {
		return nil, fmt.Errorf("load run %s: %w", run, err)
	}
	session, err := r.cfg.Store.Session(ctx, info.Session)
	if err != nil {
		return nil, fmt.Errorf("load run %s: %w", run, err)
	}
	var rec provenance.Run
	if err := r.record(ctx, run, &rec); err != nil {
		return nil, err
	}
	machine, err := r.machine(ctx, session, rec.Agent, rec.Rules, rec.Runtime, rec.Delegation)
	if err != nil {
		return nil, fmt.Errorf("load run %s: %w", run, err)
	}
	j := &journal{
		info: info, machine: machine, state: loop.State{Run: run}, loaded: true,
		effects: map[provenance.Ref]provenance.Effect{}, steps: map[uint64]provenance.Link{},
	}
	if session.Revoked != 0 {
		j.ends = revoked(session)
	} else if info.Status == StatusCut {
		j.ends = &provenance.Lapse{Why: provenance.LapseCancelled}
	} else if j.ends, err = r.lapsed(ctx, j.under()); err == nil && j.ends == nil {
		j.ends, err = r.orphaned(ctx, rec.Parent)
	}
	if err != nil {
		return nil, fmt.Errorf("load run %s: %w", run, err)
	}
	if rec.Delegation.Defined() {
		j.parent = rec.Parent
	}
	for from := uint64(0); ; from += page {
		views, err := r.Steps(ctx, run, from, page)
		if err != nil {
			return nil, fmt.Errorf("load run %s: %w", run, err)
		}
		for _, v := range views {
			next, _, err := machine.Step(j.state, v.Step.At, v.Step.Event, v.Step.Facts)
			if err != nil {
				return nil, fmt.Errorf("load run %s: %w", run, err)
			}
			j.take(next, v.CID, v.Step.Does)
		}
		if len(views) < page {
			return j, nil
		}
	}
}

// take moves the journal on by one step and keeps only what is still open.
func (j *journal) take(next loop.State, step provenance.Link, does []provenance.Effect) {
	seq := j.state.Seq
	j.state = next
	for i, e := range does {
		j.effects[provenance.Ref{Seq: seq, Index: uint64(i)}] = e
	}
	j.steps[seq] = step
	j.all = append(j.all, step)
	open := next.Open()
	for ref := range j.effects {
		if !slices.Contains(open, ref) {
			delete(j.effects, ref)
		}
	}
	for s := range j.steps {
		if s != seq && !slices.ContainsFunc(open, func(r provenance.Ref) bool { return r.Seq == s }) {
			delete(j.steps, s)
		}
	}
	j.info.Steps, j.info.Last, j.info.Status = seq+1, step, next.Status
}

// A StepView is a committed step with those payloads opened whose keys are here.
type StepView struct {
	CID  provenance.Link
	Step *provenance.Step
}

// Steps returns a run's steps from seq on, in order, at most limit.
func (r *Runner) Steps(ctx context.Context, run provenance.Link, from uint64, limit int) ([]StepView, error) {
	blocks, err := r.cfg.Store.Steps(ctx, run, from, limit)
	if err != nil {
		return nil, fmt.Errorf("read the steps of %s: %w", run, err)
	}
	views := make([]StepView, len(blocks))
	for i, b := range blocks {
		s := new(provenance.Step)
		if err := provenance.Decode(b.Data, s); err != nil {
			return nil, fmt.Errorf("read step %d of %s: %w", from+uint64(i), run, err)
		}
		if err := r.open(ctx, s); err != nil {
			return nil, fmt.Errorf("read step %d of %s: %w", from+uint64(i), run, err)
		}
		views[i] = StepView{b.CID, s}
	}
	return views, nil
}

// open reads the payloads of rec. One whose key was erased stays closed.
func (r *Runner) open(ctx context.Context, rec provenance.Record) error {
	var failed error
	provenance.EachPayload(rec, func(p *provenance.Payload) {
		if failed != nil {
			return
		}
		var k provenance.LeafKey
		if !p.Public() {
			var err error
			if k, err = r.cfg.Store.LeafKey(ctx, p.Leaf()); errors.Is(err, ErrNotFound) {
				return
			} else if err != nil {
				failed = err
				return
			}
		}
		data, err := r.cfg.Store.Block(ctx, p.Leaf())
		if errors.Is(err, provenance.ErrWithheld) {
			data, err = r.cfg.Store.Held(ctx, p.Leaf())
		}
		if err == nil {
			err = p.Open(data, k)
		}
		failed = err
	})
	return failed
}

// record reads one record from the store.
func (r *Runner) record(ctx context.Context, c provenance.Link, rec provenance.Record) error {
	data, err := r.cfg.Store.Block(ctx, c)
	if err != nil {
		return fmt.Errorf("read %s: %w", c, err)
	}
	if err := provenance.Decode(data, rec); err != nil {
		return fmt.Errorf("read %s: %w", c, err)
	}
	return nil
}

// machine compiles the loop of a session, from the records that a run pins, or returns the one compiled before.
// delegation is that of a sub-agent's run, else undefined.
func (r *Runner) machine(ctx context.Context, s Session, agent, rules, runtime, delegation provenance.Link) (*loop.Machine, error) {
	key := provenance.Sum(rawCodec, slices.Concat(s.ID.Bytes(), agent.Bytes(), rules.Bytes(), runtime.Bytes(), delegation.Bytes()))
	r.mu.Lock()
	m := r.machines[key]
	r.mu.Unlock()
	if m != nil {
		return m, nil
	}
	grant, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil {
		return nil, fmt.Errorf("the session's grant: %w", err)
	}
	c := loop.Config{
		Session: s.ID, Grant: grant, Agent: new(provenance.Agent), Rules: new(provenance.PolicySet), Runtime: new(provenance.Runtime),
		Tools: map[provenance.Link]*provenance.ToolDef{}, Books: map[provenance.Link][]byte{},
	}
	for link, rec := range map[provenance.Link]provenance.Record{agent: c.Agent, rules: c.Rules, runtime: c.Runtime} {
		if err := r.record(ctx, link, rec); err != nil {
			return nil, err
		}
	}
	if under := c.Rules.Under; under.Defined() {
		c.Dapp, c.Rules = c.Rules, new(provenance.PolicySet)
		if err := r.record(ctx, under, c.Rules); err != nil {
			return nil, err
		}
	}
	for _, set := range []*provenance.PolicySet{c.Rules, c.Dapp} {
		if set == nil {
			continue
		}
		for _, p := range set.Parts {
			if c.Books[p.Data], err = r.cfg.Store.Block(ctx, p.Data); err != nil {
				return nil, fmt.Errorf("%s of policy set %q: %w", p.Name, set.Name, err)
			}
		}
	}
	for _, link := range c.Agent.Tools {
		t := new(provenance.ToolDef)
		if err := r.record(ctx, link, t); err != nil {
			return nil, err
		}
		c.Tools[link] = t
		if t.Book.Defined() {
			if c.Books[t.Book], err = r.cfg.Store.Block(ctx, t.Book); err != nil {
				return nil, fmt.Errorf("address book of %s: %w", t.Name, err)
			}
		}
	}
	if c.Delegations, err = r.chain(ctx, s.ID, delegation); err != nil {
		return nil, err
	}
	for i := range max(len(c.Delegations)-1, 0) {
		caller := new(provenance.Agent)
		if err := r.record(ctx, c.Delegations[i].Agent, caller); err != nil {
			return nil, err
		}
		c.Callers = append(c.Callers, caller)
	}
	if c.Agents, err = auth.Ed25519Key(c.Runtime.Key); err != nil {
		return nil, fmt.Errorf("the runtime's key: %w", err)
	}
	if m, err = loop.New(c); err != nil {
		return nil, err
	}
	above := 1 // the sets above the wallet's: the operator's, and a dApp's
	if c.Dapp != nil {
		above++
	}
	if err := r.proven(rules, m.Layers()[:above]); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.machines) >= maxMachines {
		clear(r.machines)
	}
	r.machines[key] = m
	return m, nil
}

// Run returns the index entry of a run.
func (r *Runner) Run(ctx context.Context, id provenance.Link) (RunInfo, error) {
	return r.cfg.Store.Run(ctx, id)
}
