package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// WalletCheck is how often the chain of a contract wallet is asked whether the wallet still stands by its permission.
// It is asked besides before everything that moves value.
const WalletCheck = time.Minute

const (
	maxWatched  = 10_000 // sessions of contract wallets at once
	maxChecking = 8      // of them asked about at once
)

// A watched session is one of a contract wallet.
type watched struct {
	question auth.Question
	expires  int64  // ms UTC
	state    []byte // code and owners at the sign-in; nil if they were erased: the session moves no value
}

// errTakenBack says that a contract wallet does not stand by its permission any more.
var errTakenBack = errors.New("the contract wallet does not stand by this permission any more")

// Owner returns whose session it is; see [auth.Identity]. Everything that is somebody's is compared by it, never by
// the bare address.
func (s Session) Owner() string { return auth.Identity(s.Method, s.Chain, s.Account) }

// Owner returns whose run it is; see [auth.Identity].
func (r RunInfo) Owner() string { return auth.Identity(r.Method, r.Chain, r.Account) }

// stateOf is what must not change while a session lasts: the account's code, and its owners if it lists them.
func stateOf(a auth.Answer) []byte { return append(a.Code[:], a.Owners[:]...) }

// keep makes the record of what a chain said, sealed, with its blocks and keys.
func (r *Runner) keep(v *auth.Verification, method string) (provenance.Link, []provenance.Block, []provenance.Leaf, error) {
	rec := &provenance.Verification{
		Method: method, Standing: string(v.Standing), Chain: v.Chain, Number: v.Number, Block: v.Block,
		State: provenance.NewPayload(stateOf(v.Answer)), Validator: v.Validator, Gas: v.Gas, Asked: v.Asked, Agreed: v.Agreed,
		At: v.At.UnixMilli(), Took: v.Took.Milliseconds(),
	}
	blocks, leaves, err := r.seal(rec, provenance.Link{}, 0, 0, nil)
	if err != nil {
		return provenance.Link{}, nil, nil, err
	}
	b, err := provenance.Encode(rec)
	return b.CID, append(blocks, b), leaves, err
}

// store makes and stores the record of what a chain said.
func (r *Runner) store(ctx context.Context, v *auth.Verification, method string) (provenance.Link, error) {
	link, blocks, leaves, err := r.keep(v, method)
	if err == nil {
		err = r.cfg.Store.PutBlocks(ctx, blocks, leaves)
	}
	return link, err
}

// watch sees to it that a contract wallet's session ends when the wallet does not stand by it any more. v is what was
// said at the sign-in, or nil if that has to be read.
func (r *Runner) watch(ctx context.Context, s Session, v *auth.Verification) error {
	if s.Method == auth.MethodEOA || s.Revoked != 0 || r.cfg.Now().UnixMilli() >= s.Expires {
		return nil
	}
	g, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil {
		return err
	}
	w := watched{question: g.Question(), expires: s.Expires}
	if v != nil {
		w.state = stateOf(v.Answer)
	} else if w.state, err = r.stateAt(ctx, s.ID); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return ErrClosed
	case len(r.watching) >= maxWatched:
		return fmt.Errorf("too many contract wallets are signed in at once: %w", ErrFull)
	}
	if r.watching == nil {
		r.watching = map[provenance.Link]watched{}
	}
	r.watching[s.ID] = w
	if !r.sweeping {
		r.sweeping = true
		r.wg.Go(r.sweep)
	}
	return nil
}

// stateAt reads what was recorded at a sign-in; nil if its key was erased.
func (r *Runner) stateAt(ctx context.Context, session provenance.Link) ([]byte, error) {
	var g provenance.Grant
	var v provenance.Verification
	err := r.record(ctx, session, &g)
	if err == nil {
		err = r.record(ctx, g.Verification, &v)
	}
	if err == nil {
		err = r.open(ctx, &v)
	}
	state, _ := v.State.Bytes()
	return state, err
}

// watchAll takes up the sessions that an earlier process has left.
func (r *Runner) watchAll(ctx context.Context) error {
	return r.openSessions(ctx, func(s Session) error {
		if err := r.watch(ctx, s, nil); err != nil {
			if errors.Is(err, ErrClosed) || ctx.Err() != nil {
				return err
			}
			r.log.ErrorContext(ctx, "a contract wallet's session is not watched; it moves no value", "session", s.ID, "err", err)
		}
		return nil
	})
}

// sweep asks about every watched session once a [WalletCheck], until none is left.
func (r *Runner) sweep() {
	tick := time.NewTicker(WalletCheck)
	defer tick.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
		}
		now := r.cfg.Now().UnixMilli()
		due := map[provenance.Link]watched{}
		r.mu.Lock()
		for id, w := range r.watching {
			if now >= w.expires {
				delete(r.watching, id)
				continue
			}
			due[id] = w
		}
		r.sweeping = len(r.watching) > 0
		r.mu.Unlock()
		if len(due) == 0 {
			return
		}
		var wg sync.WaitGroup
		turns := make(chan struct{}, maxChecking)
		for id, w := range due {
			turns <- struct{}{}
			wg.Go(func() {
				defer func() { <-turns }()
				if _, err := r.standing(r.ctx, w); errors.Is(err, errTakenBack) {
					r.takeBack(id, err)
				} else if err != nil && r.ctx.Err() == nil {
					r.log.Warn("contract wallet not asked", "session", id, "err", err)
				}
			})
		}
		wg.Wait()
	}
}

// standing asks a wallet's chain whether the wallet still stands by its permission. errTakenBack if it does not, or if
// it is not the same wallet any more: with other code, another delegate or other owners.
func (r *Runner) standing(ctx context.Context, w watched) (auth.Verification, error) {
	if r.cfg.Contracts == nil {
		return auth.Verification{}, auth.ErrUnavailable
	}
	v, err := r.cfg.Contracts.Ask(ctx, w.question)
	switch {
	case err != nil:
		return v, err
	case v.Verdict != auth.Accepted:
		return v, fmt.Errorf("%w: %s (chain %d, block %d)", errTakenBack, v.Verdict, v.Chain, v.Number)
	case w.state != nil && !bytes.Equal(stateOf(v.Answer), w.state):
		return v, fmt.Errorf("%w: its code or its owners have changed (chain %d, block %d)", errTakenBack, v.Chain, v.Number)
	}
	return v, nil
}

// takeBack ends a session whose wallet does not stand by it any more.
func (r *Runner) takeBack(id provenance.Link, why error) {
	r.log.Info("contract wallet's session ended", "session", id, "why", why)
	// The operator ends it, since the wallet need not say anything for it.
	if err := r.RevokeAsOperator(r.ctx, id, clip(why.Error(), 200)); err != nil {
		if r.ctx.Err() == nil {
			r.log.Error("contract wallet's session not revoked; tried again", "session", id, "err", err)
		}
		return
	}
	r.mu.Lock()
	delete(r.watching, id)
	r.mu.Unlock()
}

// wallet asks the chain of a contract wallet before a step that may move value, and returns the fact for the step.
// revoked says that the wallet has taken its permission back: the session is being ended.
func (a *actor) wallet(ctx context.Context, ev provenance.Event) (fact *provenance.WalletFact, revoked bool) {
	if !a.machine.ByContract() || !a.machine.Moves(a.state, ev) {
		return nil, false
	}
	r, id := a.r, a.info.Session
	r.mu.Lock()
	w, ok := r.watching[id]
	r.mu.Unlock()
	if !ok || w.state == nil { // revoked, over, not to be watched, or nothing to compare it with: the loop denies
		return nil, false
	}
	v, err := r.standing(ctx, w)
	if errors.Is(err, errTakenBack) {
		r.wg.Go(func() { r.takeBack(id, err) }) // which waits for this run among others
		return nil, true
	}
	var by provenance.Link
	if err == nil {
		by, err = r.store(ctx, &v, w.question.Method())
	}
	if err != nil {
		r.log.WarnContext(ctx, "contract wallet not asked", "run", a.info.ID, "err", err)
		return nil, false
	}
	return &provenance.WalletFact{At: v.At.UnixMilli(), By: by}, false
}

// signed completes the record of a grant with how it was signed, and returns the blocks that go with it.
func (r *Runner) signed(rec *provenance.Grant, g *auth.Grant) ([]provenance.Block, []provenance.Leaf, error) {
	if g.Method == auth.MethodEOA {
		return nil, nil, nil
	}
	if g.Verified == nil {
		return nil, nil, errors.New("a contract wallet's grant comes without what its chain said")
	}
	link, blocks, leaves, err := r.keep(g.Verified, g.Method)
	rec.Verification = link
	return blocks, leaves, err
}

// revokedByContract asks the chain of a contract wallet about a revocation that the wallet signed, if its account's own key
// did not, and completes the record with what was said. It returns the blocks that go with it.
func (r *Runner) revokedByContract(ctx context.Context, rec *provenance.Revocation, g *auth.Grant) ([]provenance.Block, []provenance.Leaf, error) {
	if g.Method == auth.MethodEOA || rec.Method != provenance.RevokedText && rec.Method != provenance.RevokedTyped {
		return nil, nil, nil
	}
	q, err := loop.RevocationQuestion(rec, g)
	if err != nil {
		return nil, nil, err
	}
	_, v, err := auth.Check(ctx, r.cfg.Contracts, q)
	switch {
	case errors.Is(err, auth.ErrUnavailable):
		return nil, nil, err
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", loop.ErrRevocation, err)
	case v == nil:
		return nil, nil, nil
	}
	link, blocks, leaves, err := r.keep(v, q.Method())
	rec.Verification = link
	rec.At = max(rec.At, v.At.UnixMilli())
	return blocks, leaves, err
}

// approved checks a contract wallet's signature over the approval that is wanted, and completes the record with how it
// was made. Who signed in with a key approves with it: loop.CheckApproval judges that alone.
func (r *Runner) approved(ctx context.Context, g *auth.Grant, want auth.Approval, d ApprovalDecision) (*provenance.Approval, error) {
	rec := &provenance.Approval{
		Message: provenance.NewPayload(d.Message), Sig: provenance.NewPayload(d.Sig), Method: auth.MethodEOA,
	}
	own, err := want.MarshalJSON()
	if err != nil || g.Method == auth.MethodEOA {
		return rec, err
	}
	if !bytes.Equal(own, d.Message) {
		return nil, loop.ErrApproval
	}
	q, err := want.Question(d.Sig)
	if err != nil {
		return nil, err
	}
	canonical, v, err := auth.Check(ctx, r.cfg.Contracts, q)
	if err != nil {
		return nil, err
	}
	rec.Sig = provenance.NewPayload(canonical)
	if v != nil {
		rec.Method = q.Method()
		rec.Verification, err = r.store(ctx, v, rec.Method)
	}
	return rec, err
}
