package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/writ-run/writ/agent/ledgerid"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/ledgerkey"
	"github.com/writ-run/writ/internal/news"
	"github.com/writ-run/writ/internal/reuse"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// errEvent marks an event that cannot follow the run's state.
var errEvent = errors.New("the run does not wait for this")

// errRecord marks an event that cannot be recorded.
var errRecord = errors.New("the event cannot be recorded")

// isUnusable says that a step failed because of the event itself, and would fail again.
func isUnusable(err error) bool {
	if errors.Is(err, errEvent) || errors.Is(err, errRecord) {
		return true
	}
	_, malformed := errors.AsType[*provenance.Fault](err)
	return malformed
}

// maxDecided bounds how often one event is decided again because the facts had changed at the commit.
const maxDecided = 16

// An arrival is an event that is to become a step. Its leaves are the same however often it is decided.
type arrival struct {
	ev        provenance.Event
	leaves    leaves
	wallet    *provenance.WalletFact // if a contract wallet's chain was asked for this step
	withdrawn bool                   // a contract wallet has taken its permission back
}

// A stepDraft is the step that an arrival becomes if the facts are still the same when it is committed.
type stepDraft struct {
	step    *provenance.Step
	next    loop.State
	todo    loop.Next
	ledgers []loop.Ledger // that its decisions could reserve in
	keys    []string      // their names in the store
	ended   []endedCall   // calls of sub-agents whose permission ends with it
}

// takeIn takes in one event: decide, make durable, tell subscribers.
func (a *actor) takeIn(ctx context.Context, ev provenance.Event) error {
	err := a.commitEvent(ctx, ev)
	if err != nil && !errors.Is(err, errEvent) {
		return fmt.Errorf("step %d: %w", a.state.Seq, err)
	}
	return err
}

func (a *actor) commitEvent(ctx context.Context, ev provenance.Event) error {
	in := &arrival{ev: ev}
	if a.machine.IsContractWallet() && a.machine.MayMoveValue(a.state, ev) {
		in.wallet, in.withdrawn = a.runs.wallets.recheckNow(ctx, a.info.Session)
	}
	var err error
	came := &provenance.Step{Event: ev}
	err = a.runs.records.sealStep(&in.leaves, came, a.info.ID, a.state.Seq, a.machine.Modes(a.state, came))
	if err != nil {
		return fmt.Errorf("%w: %w", errRecord, err)
	}
	for range maxDecided {
		err = a.tryStep(ctx, in)
		if !errors.Is(err, journal.ErrBudget) && !errors.Is(err, journal.ErrStale) {
			return err
		}
	}
	return fmt.Errorf("it was decided %d times and the facts changed each time: %w", maxDecided, err)
}

// tryStep decides an arrival with the facts of now and commits it.
func (a *actor) tryStep(ctx context.Context, in *arrival) error {
	d, err := a.decideStep(ctx, in)
	if err != nil {
		return err
	}
	c, err := a.prepareCommit(in, d)
	if err == nil {
		err = a.endDelegations(ctx, c, in.ev, d)
	}
	if err != nil {
		return err
	}
	if err := a.runs.cfg.Store.Commit(ctx, *c); err != nil {
		return err
	}
	a.moveOn(ctx, in.ev, d, c)
	return nil
}

// decideStep reads the facts and asks the machine.
func (a *actor) decideStep(ctx context.Context, in *arrival) (*stepDraft, error) {
	d := new(stepDraft)
	at := max(a.runs.cfg.Now().UnixMilli(), a.state.At)
	var err error
	if d.ledgers, err = a.machine.Ledgers(a.state, at, in.ev); err != nil {
		return nil, err
	}
	d.keys = a.ledgers.KeysOf(d.ledgers)
	facts, err := a.readFacts(ctx, in, d)
	if err != nil {
		return nil, err
	}
	if d.next, d.todo, err = a.machine.Step(a.state, at, in.ev, facts); err != nil {
		return nil, fmt.Errorf("%w: %w", errEvent, err)
	}
	d.step = &provenance.Step{
		Run: a.info.ID, Seq: a.state.Seq, Prev: a.info.Last, At: at, Event: in.ev, Facts: facts, Does: d.todo.Does,
		Decisions: d.todo.Decisions, Label: d.todo.Label,
	}
	return d, nil
}

// readFacts reads what decisions may know of the world.
func (a *actor) readFacts(ctx context.Context, in *arrival, d *stepDraft) (f provenance.Facts, err error) {
	if f.Budgets, err = a.readBudgets(ctx, d); err != nil {
		return f, fmt.Errorf("read the ledgers: %w", err)
	}
	s, err := a.runs.cfg.Store.Session(ctx, a.info.Session)
	if err != nil {
		return f, fmt.Errorf("read the session: %w", err)
	}
	over, err := a.runs.records.revokedLapse(ctx, a.under)
	if err != nil {
		return f, fmt.Errorf("read the delegations: %w", err)
	}
	f.Revoked = s.Revoked != 0 || in.withdrawn || over != nil
	f.Wallet = in.wallet
	owner := a.info.Owner()
	f.Down, f.Once = a.runs.fleet.Down(owner), a.runs.fleet.AsksOnce(owner)
	if names := a.machine.Watched(); names != nil {
		f.Fleet = a.runs.fleet.Facts(owner, names)
	}
	return f, nil
}

func (a *actor) readBudgets(ctx context.Context, d *stepDraft) ([]provenance.Budget, error) {
	read, err := a.runs.cfg.Store.Ledgers(ctx, d.keys)
	if err != nil {
		return nil, err
	}
	all := make([]provenance.Budget, len(d.ledgers))
	for i, l := range d.ledgers {
		spent, reserved := read[i].Spent, read[i].Reserved
		if spent.Asset() != l.Cap.Asset() { // nothing was ever reserved in it
			reserved = money.Of(l.Cap.Asset(), 0)
			if spent, err = a.runs.cfg.Store.SentBefore(ctx, d.keys[i], l.Cap.Asset()); err != nil {
				return nil, err
			}
		}
		all[i] = provenance.Budget{ID: l.ID, Cap: l.Cap, Spent: spent, Reserved: reserved}
	}
	return a.state.ChangedLedgers(all), nil
}

// prepareCommit encodes a step and puts together everything that becomes true with it.
func (a *actor) prepareCommit(in *arrival, d *stepDraft) (*journal.Commit, error) {
	// The leaves that the effects bring come after the event's, so their keys are numbered on.
	all := leaves{
		blocks: append(append(make([]provenance.Block, 0, 8), a.blocks...), in.leaves.blocks...),
		keys:   append(make([]provenance.Leaf, 0, 8), in.leaves.keys...),
	}
	err := a.runs.records.sealStep(&all, d.step, a.info.ID, d.step.Seq, a.machine.Modes(a.state, d.step))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	block, err := provenance.Encode(d.step)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRecord, err)
	}
	c := &journal.Commit{
		Run: a.info.ID, Fence: a.fence, Seq: d.step.Seq, At: d.step.At, Step: block, Status: d.next.Status,
		Open: a.opening, Under: a.under,
		Blocks: all.blocks, Leaves: all.keys,
	}
	a.addReservations(c, d)
	a.addSettlements(c, d.todo.Settle)
	c.Nonce = a.nonceOf(in.ev, d.todo.Does)
	if !needsHead(d.step.Seq, d.next, d.todo.Does) && !(a.runs.reuse != nil && reuse.IsSource(in.ev)) {
		return c, nil
	}
	return c, a.addHead(c, d.next.Closed)
}

// addReservations fills in what the step reserves.
func (a *actor) addReservations(c *journal.Commit, d *stepDraft) {
	for i, e := range d.todo.Does {
		for _, decision := range decisionsOf(e) {
			for _, r := range decision.Reserve {
				at := slices.IndexFunc(d.ledgers, func(l loop.Ledger) bool { return l.ID == r.Budget })
				if at < 0 {
					panic("runner: a decision reserves in a ledger that its facts did not show: " + r.Budget)
				}
				limit := d.ledgers[at].Cap
				if moved, ok := d.todo.Caps[r.Budget]; ok {
					limit = moved
				}
				c.Reserve = append(c.Reserve, journal.Reservation{
					Ledger: d.keys[at], Ref: provenance.Ref{Seq: c.Seq, Index: uint64(i)},
					Amount: r.Amount, Cap: limit,
				})
			}
		}
	}
}

// addSettlements fills in what the step settles.
func (a *actor) addSettlements(c *journal.Commit, ended []loop.Settle) {
	if len(ended) == 0 {
		return
	}
	budgets := a.machine.Budgets()
	c.Settle = make([]journal.Settlement, 0, len(ended))
	for _, s := range ended {
		id := ledgerid.Budget(s.Budget)
		at := slices.IndexFunc(budgets, func(b loop.Budget) bool { return b.ID == id })
		if at < 0 {
			panic("runner: a reservation ends in a budget that no set declares: " + s.Budget)
		}
		b := budgets[at]
		c.Settle = append(c.Settle, journal.Settlement{
			Ledger: a.ledgers.KeyOf(ledgerkey.ID{Scope: b.Scope, Of: b.Of, Caller: ledgerid.Caller(s.Budget), Key: s.Key}),
			Ref:    s.Ref, Used: s.Used, Doubt: s.Doubt,
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

// nonceOf returns the transaction nonce that a step takes: that of a signing which leads to a broadcast. One that is
// signed and then left alone takes none, or the account would wait for it for ever.
func (a *actor) nonceOf(ev provenance.Event, does []provenance.Effect) *journal.TxNonce {
	r, ok := ev.(*provenance.Result)
	if !ok || r.Status != provenance.StatusOK || !slices.ContainsFunc(does, isSend) {
		return nil
	}
	c, ok := a.effects[r.Of].(*provenance.Call)
	if !ok || c.Phase != provenance.PhaseSign {
		return nil
	}
	raw, _ := r.Output.Bytes()
	var s tools.Signed
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	return &journal.TxNonce{Account: s.Account, Nonce: s.Nonce}
}

func isSend(e provenance.Effect) bool {
	c, ok := e.(*provenance.Call)
	return ok && c.Phase == provenance.PhaseSend
}

// needsHead says after which steps the history is signed: the first, each park and close, before an effect that
// cannot be taken back, and at least every 64.
func needsHead(seq uint64, next loop.State, does []provenance.Effect) bool {
	return seq%64 == 0 || next.Closed || next.Status == "parked" || slices.ContainsFunc(does, isFinal)
}

// isFinal says whether an effect cannot be taken back.
func isFinal(e provenance.Effect) bool {
	c, ok := e.(*provenance.Call)
	return ok && (c.Phase == provenance.PhaseSend || c.Class == "once")
}

// addHead signs the history that ends with this step; that of a closed run has an index of its steps.
func (a *actor) addHead(c *journal.Commit, closed bool) error {
	head := &provenance.Head{Run: c.Run, Seq: c.Seq, Step: c.Step.CID, At: c.At}
	if closed && c.Seq >= provenance.MinIndexed {
		if err := a.addIndex(c, head); err != nil {
			return err
		}
	}
	if err := head.Sign(a.runs.cfg.Key); err != nil {
		return err
	}
	b, err := provenance.Encode(head)
	c.Head = &b
	return err
}

func (a *actor) addIndex(c *journal.Commit, head *provenance.Head) error {
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

// moveOn follows a step that is committed: the run's state, its subscribers, its sub-agents and its caller.
func (a *actor) moveOn(ctx context.Context, ev provenance.Event, d *stepDraft, c *journal.Commit) {
	a.opening, a.blocks = nil, nil
	if c.Head != nil {
		a.info.Head = c.Head.CID
		if a.runs.cfg.HeadLog != nil {
			a.runs.cfg.HeadLog.Added()
		}
	}
	a.runs.waits.Forget(a.info.ID)
	a.appendStep(d.next, heldStep{c.Step.CID, c.At}, d.todo.Does)
	a.runs.news.PublishStep(a.info.ID, news.StepOf(d.step, c.Step, c.Blocks, c.Leaves))
	if a.parent != nil && d.next.Status == "parked" {
		a.publishToCallers(ctx)
	}
	a.endSubRuns(d.ended, ev)
	if d.next.Closed && a.parent != nil {
		a.runs.bringBack(a.info.ID, a.parent)
	}
}

// publishToCallers tells the subscribers of a sub-agent's callers that its run parks: they wait with it, and would
// learn it with the caller's next step only.
func (a *actor) publishToCallers(ctx context.Context) {
	of, err := a.runs.records.readLineage(ctx, a.info.ID)
	if err != nil {
		a.runs.log.WarnContext(ctx, "callers of a parked run not told", "run", a.info.ID, "err", err)
		return
	}
	for _, caller := range of.Callers {
		a.runs.news.PublishStep(caller, nil)
	}
}
