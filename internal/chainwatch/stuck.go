package chainwatch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

// A transaction that offers too little is not mined, and holds up all that its account sends after it. So the watch
// notes since when each is what its account waits for, and once blocks have left it out for long enough it is stuck.
// What is done then is an event of its run, as all else: the replacement is on record before it is sent, and whoever
// follows the run hears of it. The loop takes one answer for an effect, so it does not matter who is quicker.

// A waitingSince is when a transaction was first seen to be what its account waits for.
type waitingSince struct {
	at    time.Time
	block uint64 // the newest then
}

func (f *followed) newest() tools.Attempt { return f.attempts[len(f.attempts)-1] }

func (f *followed) signed() []tools.Signed {
	list := make([]tools.Signed, len(f.attempts))
	for i, a := range f.attempts {
		list[i] = a.Signed
	}
	return list
}

// note keeps how a transaction was last seen.
func (f *followed) note(s tools.Standing, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.last = s
	}
}

// isStuck says whether blocks have left a transaction out for long enough since it became what its account waits for.
// One whose bytes a node has refused in the place of others is so at once.
// One that comes after what no run waits for (gap) is so as if it were the first.
func (f *followed) isStuck(o *tools.Offer, gap bool, now time.Time, after time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !o.IsFirst() && !gap {
		f.first, f.stuck = waitingSince{}, ""
		return false
	}
	if f.first.at.IsZero() {
		f.first = waitingSince{now, o.Block}
	}
	if o.Refused && len(f.attempts) > 1 {
		return true
	}
	return now.Sub(f.first.at) >= after && o.Block > f.first.block
}

// watchWaiting returns the event of a transaction that waits: that it is replaced, or that it is stuck; nil if it may
// well be mined, or if all is on record.
func (w *Watch) watchWaiting(ctx context.Context, f *followed, o *tools.Offer) provenance.Event {
	f.gone = 0
	if o == nil {
		return nil
	}
	gap := !o.IsFirst() && !w.waitsBetween(f, o)
	if !f.isStuck(o, gap, w.cfg.Now(), w.cfg.StuckAfter) {
		return nil
	}
	why := tools.StuckSettings
	if gap { // higher fees do not help
		why = tools.StuckGap
	} else if w.cfg.Raise {
		ev, err := w.makeReplacement(ctx, f, false, tools.BySettings)
		if err == nil {
			return ev
		}
		failed, explained := errors.AsType[*tools.Error](err)
		if !explained {
			w.cfg.Log.WarnContext(ctx, "stuck transaction not replaced; it is tried again",
				"run", f.run, "hash", f.newest().Hash, "err", err)
			return nil
		}
		why = failed.Code
	}
	f.mu.Lock()
	f.stuck = why
	f.mu.Unlock()
	if f.told {
		return nil
	}
	w.cfg.Log.WarnContext(ctx, "transaction stuck; what its account sends after it waits too",
		"run", f.run, "hash", f.newest().Hash, "nonce", o.Nonce, "why", why)
	return w.pendingEvent(f, tools.Stuck{
		State: tools.StateStuck, Hash: f.newest().Hash, Why: why, Cap: o.Cap.String(), Base: o.Base.String(),
		Block: strconv.FormatUint(o.Block, 10),
	})
}

// waitsBetween says whether a run waits for a transaction of the account that comes before f and that the chain has not
// taken yet.
func (w *Watch) waitsBetween(f *followed, o *tools.Offer) bool {
	return slices.ContainsFunc(w.snapshot(), func(other *followed) bool {
		s := other.newest()
		return s.Account == f.newest().Account && s.Nonce >= o.Next && s.Nonce < o.Nonce
	})
}

// makeReplacement makes the event by which another transaction takes the place of one that waits. Nothing is sent yet.
func (w *Watch) makeReplacement(
	ctx context.Context, f *followed, cancel bool, by string,
) (provenance.Event, error) {
	if len(f.attempts) >= tools.MaxAttempts {
		return nil, &tools.Error{Code: tools.StuckAttempts, Message: fmt.Sprintf(
			"The transaction has been replaced %d times; no more are made.", len(f.attempts)-1)}
	}
	cancel = cancel || slices.ContainsFunc(f.attempts, func(a tools.Attempt) bool { return a.Cancels })
	s, err := f.tool.Replace(ctx, f.signed(), cancel)
	if err != nil {
		return nil, err
	}
	w.cfg.Log.InfoContext(ctx, "transaction replaced", "run", f.run, "nonce", s.Nonce, "hash", f.newest().Hash,
		"by_hash", s.Hash, "cancels", cancel, "by", by)
	w.replaced.Add(1)
	return w.pendingEvent(f, tools.Replacement{State: tools.StateReplaced, Signed: s, Cancels: cancel, By: by}), nil
}

func (w *Watch) pendingEvent(f *followed, v any) provenance.Event {
	out, err := json.Marshal(v)
	if err == nil {
		out, err = tools.CanonicalJSON(out)
	}
	if err != nil { // texts and numbers marshal
		panic("chainwatch: " + err.Error())
	}
	return &provenance.Result{
		Of: f.ref, Status: provenance.StatusPending, Output: provenance.NewPayload(out),
		Took: w.cfg.Now().Sub(f.begun).Milliseconds(),
	}
}

// States of a [Transaction].
const (
	TxWaiting  = "waiting"  // for a block
	TxBehind   = "behind"   // for an earlier one of its account
	TxStuck    = "stuck"    // and a person has to look
	TxIncluded = "included" // in a block that is not final yet
)

// A Transaction is one that a run waits for.
type Transaction struct {
	Run     provenance.Link
	Account string // CAIP-10
	Nonce   uint64
	State   string // one of the Tx constants
	Why     string // it is stuck, as in [tools.Stuck]
	Hashes  []string
	Cancels bool      // the newest moves nothing
	Begun   time.Time // when the newest was begun to be sent
	// Cap and Base are wei for a unit of gas, what the newest offers at most and what the newest block asked; "" if not
	// known.
	Cap, Base string
	Behind    int // how many of the account wait behind it
}

// List returns what runs wait for, by account and nonce.
func (w *Watch) List() []Transaction {
	list := []Transaction{}
	for _, f := range w.snapshot() {
		list = append(list, f.view())
	}
	slices.SortFunc(list, func(a, b Transaction) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Nonce, b.Nonce))
	})
	for i := range list {
		for _, other := range list[i+1:] {
			if other.Account == list[i].Account && list[i].State != TxIncluded && other.State != TxIncluded {
				list[i].Behind++
			}
		}
	}
	return list
}

func (w *Watch) snapshot() []*followed {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]*followed, 0, len(w.followed))
	for _, f := range w.followed {
		list = append(list, f)
	}
	return list
}

func (f *followed) view() Transaction {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := Transaction{
		Run: f.run, Account: f.newest().Account, Nonce: f.newest().Nonce, Cancels: f.newest().Cancels, Begun: f.begun,
		State: TxWaiting,
	}
	for _, a := range f.attempts {
		v.Hashes = append(v.Hashes, a.Hash)
	}
	o := f.last.Offer
	if o != nil {
		text := func(n *big.Int) string { return n.String() }
		v.Cap, v.Base = text(o.Cap), text(o.Base)
	}
	switch {
	case f.phase == provenance.PhaseFinal || f.last.State == tools.StandsIncluded:
		v.State, v.Cap, v.Base = TxIncluded, "", ""
	case f.stuck != "":
		v.State, v.Why = TxStuck, f.stuck
	case o != nil && !o.IsFirst():
		v.State = TxBehind
	}
	return v
}

// Replaced returns how many transactions were replaced since the start.
func (w *Watch) Replaced() int64 { return w.replaced.Load() }

// ErrNoTransaction says that no run waits for such a transaction.
var ErrNoTransaction = errors.New("no run waits for this transaction")

// Replace puts another transaction in the place of one that a run waits for: with higher fees, or, if cancel
// is set, one that moves nothing. name is the run's CID or one of the transaction's hashes. It returns the new
// transaction once it is on record; it is sent then. An [*tools.Error] says why there is none.
func (w *Watch) Replace(ctx context.Context, name string, cancel bool) (tools.Attempt, error) {
	f, err := w.find(name)
	if err != nil {
		return tools.Attempt{}, err
	}
	ctx, end := context.WithTimeout(ctx, lookTime)
	defer end()
	ev, err := w.makeReplacement(ctx, f, cancel, tools.ByOperator)
	if err != nil {
		return tools.Attempt{}, err
	}
	err = w.cfg.Deliver(ctx, f.run, ev)
	if errors.Is(err, ErrOver) { // it has just been mined, or replaced
		return tools.Attempt{}, fmt.Errorf("%s: %w any more", name, ErrNoTransaction)
	}
	if err != nil {
		return tools.Attempt{}, err
	}
	w.Forget(f.run, f.ref)
	raw, _ := ev.(*provenance.Result).Output.Bytes()
	return tools.ReadAttempt(raw)
}

// find returns the one transaction of that name that a run waits to be included.
func (w *Watch) find(name string) (*followed, error) {
	var found *followed
	for _, f := range w.snapshot() {
		isIt := f.run.String() == name ||
			slices.ContainsFunc(f.attempts, func(a tools.Attempt) bool { return a.Hash == name })
		if !isIt || f.phase != provenance.PhaseSend {
			continue
		}
		if found != nil {
			return nil, &tools.Error{Code: "several", Message: "This run waits for several transactions; name one by its hash."}
		}
		found = f
	}
	if found == nil {
		return nil, fmt.Errorf("%s: %w", name, ErrNoTransaction)
	}
	return found, nil
}
