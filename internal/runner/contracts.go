package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/background"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// WalletRecheck is how often the chain of a contract wallet is asked whether the wallet still stands by its permission.
// It is asked besides before everything that moves value.
const WalletRecheck = time.Minute

const (
	maxRechecked  = 10_000 // sessions of contract wallets at once
	maxRechecking = 8      // of them asked about at once
)

// errWithdrawn says that a contract wallet does not stand by its permission any more.
var errWithdrawn = errors.New("the contract wallet does not stand by this permission any more")

// contractWallets asks the chains of contract wallets: whether a signature is theirs, and, as long as a session lasts,
// whether the wallet still stands by it. A session whose wallet does not is ended.
type contractWallets struct {
	chains     auth.Contracts // nil if contract wallets do not sign in
	records    *records
	background *background.Group
	log        *slog.Logger
	now        func() time.Time
	// endSession ends a session by the operator's key, since the wallet need not say anything for it.
	endSession func(ctx context.Context, session provenance.Link, reason string) error

	mu       sync.Mutex // guards the rest
	sessions map[provenance.Link]recheck
	inRounds bool // the goroutine is there that asks about them
}

// A recheck is what a wallet's chain is asked while a session of it is open.
type recheck struct {
	question auth.Question
	expires  int64  // ms UTC
	state    []byte // auth.Answer.State at the sign-in; nil if its leaf was erased: then the session moves no value
}

// sealVerification makes the record of what a chain said, with its leaves.
func (r *records) sealVerification(v *auth.Verification, method string) (provenance.Link, leaves, error) {
	rec := &provenance.Verification{
		Method: method, Standing: string(v.Standing), Chain: v.Chain, Number: v.Number, Block: v.Block,
		State: provenance.NewPayload(v.State()), Validator: v.Validator, Gas: v.Gas, Asked: v.Asked,
		Agreed: v.Agreed,
		At:     v.At.UnixMilli(), Took: v.Took.Milliseconds(),
	}
	return r.sealWith(rec, leaves{})
}

// storeVerification makes and stores the record of what a chain said.
func (r *records) storeVerification(ctx context.Context, v *auth.Verification, method string) (provenance.Link, error) {
	link, of, err := r.sealVerification(v, method)
	if err == nil {
		err = r.store.PutBlocks(ctx, of.blocks, of.keys)
	}
	return link, err
}

// followSession sees to it that a contract wallet's session ends when the wallet does not stand by it any more. v is
// what was said at the sign-in, or nil if that has to be read.
func (w *contractWallets) followSession(ctx context.Context, s journal.Session, v *auth.Verification) error {
	if s.Method == auth.MethodEOA || s.Revoked != 0 || w.now().UnixMilli() >= s.Expires {
		return nil
	}
	g, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil {
		return err
	}
	c := recheck{question: g.Question(), expires: s.Expires}
	if v != nil {
		c.state = v.State()
	} else if c.state, err = w.readState(ctx, s.ID); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sessions) >= maxRechecked {
		return fmt.Errorf("too many contract wallets are signed in at once: %w", journal.ErrFull)
	}
	if !w.inRounds {
		if err := w.background.Start(w.recheckInRounds); err != nil {
			return err
		}
		w.inRounds = true
	}
	w.sessions[s.ID] = c
	return nil
}

// followOpenSessions takes up the sessions that an earlier process has left.
func (w *contractWallets) followOpenSessions(ctx context.Context) error {
	return eachOpenSession(ctx, w.records.store, w.now(), func(s journal.Session) error {
		err := w.followSession(ctx, s, nil)
		if errors.Is(err, ErrClosed) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			w.log.ErrorContext(ctx, "a contract wallet's session is not rechecked; it moves no value",
				"session", s.ID, "err", err)
		}
		return nil
	})
}

// readState reads what was recorded at a sign-in; nil if its key was erased.
func (w *contractWallets) readState(ctx context.Context, session provenance.Link) ([]byte, error) {
	var g provenance.Grant
	var v provenance.Verification
	err := w.records.readRecord(ctx, session, &g)
	if err == nil {
		err = w.records.readRecord(ctx, g.Verification, &v)
	}
	if err == nil {
		err = archive.OpenPayloads(ctx, w.records.store, &v)
	}
	state, _ := v.State.Bytes()
	return state, err
}

// recheckInRounds asks about every session once a [WalletRecheck], until none is left.
func (w *contractWallets) recheckInRounds(ctx context.Context) {
	tick := time.NewTicker(WalletRecheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due := w.dropOverAndListDue()
		if len(due) == 0 {
			return
		}
		w.recheckAll(ctx, due)
	}
}

// dropOverAndListDue drops the sessions that are over and returns the others. If there are none, this was the last
// round.
func (w *contractWallets) dropOverAndListDue() map[provenance.Link]recheck {
	now := w.now().UnixMilli()
	due := map[provenance.Link]recheck{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, c := range w.sessions {
		if now >= c.expires {
			delete(w.sessions, id)
			continue
		}
		due[id] = c
	}
	w.inRounds = len(w.sessions) > 0
	return due
}

func (w *contractWallets) recheckAll(ctx context.Context, due map[provenance.Link]recheck) {
	var wg sync.WaitGroup
	turns := make(chan struct{}, maxRechecking)
	for id, c := range due {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			if _, err := w.recheckWallet(ctx, c); errors.Is(err, errWithdrawn) {
				w.endWithdrawn(ctx, id, err)
			} else if err != nil && ctx.Err() == nil {
				w.log.WarnContext(ctx, "contract wallet not asked", "session", id, "err", err)
			}
		})
	}
	wg.Wait()
}

// recheckWallet asks a wallet's chain whether the wallet still stands by its permission. errWithdrawn if it does not,
// or if it is not the same wallet any more: with other code, another delegate or implementation, or other owners.
func (w *contractWallets) recheckWallet(ctx context.Context, c recheck) (auth.Verification, error) {
	if w.chains == nil {
		return auth.Verification{}, auth.ErrUnavailable
	}
	v, err := w.chains.Ask(ctx, c.question)
	switch {
	case err != nil:
		return v, err
	case v.Verdict != auth.Accepted:
		return v, fmt.Errorf("%w: %s (chain %d, block %d)", errWithdrawn, v.Verdict, v.Chain, v.Number)
	case c.state != nil && !bytes.Equal(v.State(), c.state):
		return v, fmt.Errorf("%w: its code, its owners or what its proxy leads to have changed (chain %d, block %d)",
			errWithdrawn, v.Chain, v.Number)
	}
	return v, nil
}

// endWithdrawn ends a session whose wallet does not stand by it any more. If that fails, the next round tries again.
func (w *contractWallets) endWithdrawn(ctx context.Context, id provenance.Link, why error) {
	w.log.InfoContext(ctx, "contract wallet's session ended", "session", id, "why", why)
	if err := w.endSession(ctx, id, clipText(why.Error(), 200)); err != nil {
		if ctx.Err() == nil {
			w.log.ErrorContext(ctx, "contract wallet's session not revoked; tried again", "session", id, "err", err)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.sessions, id)
}

// recheckNow asks the chain before a step that may move value, and returns the fact for the step. It is nil if the loop
// has to deny: the session is not followed, there is nothing to compare with, or the chain did not answer. withdrawn
// says that the wallet has taken its permission back: the session is being ended.
func (w *contractWallets) recheckNow(
	ctx context.Context, session provenance.Link,
) (fact *provenance.WalletFact, withdrawn bool) {
	w.mu.Lock()
	c, ok := w.sessions[session]
	w.mu.Unlock()
	if !ok || c.state == nil {
		return nil, false
	}
	v, err := w.recheckWallet(ctx, c)
	if errors.Is(err, errWithdrawn) {
		// Not here: it waits for all runs of the session, and one of them waits for this answer. If the Runner stops,
		// the next process asks again.
		_ = w.background.Start(func(ctx context.Context) { w.endWithdrawn(ctx, session, err) })
		return nil, true
	}
	var by provenance.Link
	if err == nil {
		by, err = w.records.storeVerification(ctx, &v, c.question.Method())
	}
	if err != nil {
		w.log.WarnContext(ctx, "contract wallet not asked", "session", session, "err", err)
		return nil, false
	}
	return &provenance.WalletFact{At: v.At.UnixMilli(), By: by}, false
}

// recheckAfterRefusal asks a wallet's chain at once whether the wallet stands by its permission, if its contract has
// refused an approval: the owner who signed it may have been replaced. Then the session ends here, and its runs need
// not stay parked until the next round.
func (w *contractWallets) recheckAfterRefusal(ctx context.Context, session provenance.Link, refusal error) {
	if f, ok := errors.AsType[*auth.Fault](refusal); !ok || f.Code != auth.CodeSigContract {
		return
	}
	w.mu.Lock()
	c, ok := w.sessions[session]
	w.mu.Unlock()
	if !ok {
		return
	}
	if _, err := w.recheckWallet(ctx, c); errors.Is(err, errWithdrawn) {
		w.endWithdrawn(context.WithoutCancel(ctx), session, err)
	}
}

// sealGrant makes the record of a grant, with what a contract wallet's chain said of it. Its CID names the session.
func (w *contractWallets) sealGrant(g *auth.Grant) (provenance.Link, leaves, error) {
	rec := &provenance.Grant{
		Message: provenance.NewPayload(g.Message), Sig: provenance.NewPayload(g.Sig), Method: g.Method,
	}
	if g.Method == auth.MethodEOA {
		return w.records.sealWith(rec, leaves{})
	}
	if g.Verified == nil {
		return provenance.Link{}, leaves{}, errors.New("a contract wallet's grant comes without what its chain said")
	}
	link, said, err := w.records.sealVerification(g.Verified, g.Method)
	if err != nil {
		return provenance.Link{}, leaves{}, err
	}
	rec.Verification = link
	return w.records.sealWith(rec, said)
}

// checkRevocation asks the chain about a revocation that the wallet signed, if its account's own key did not, and
// completes the record with what was said. It returns what is to be stored with it.
func (w *contractWallets) checkRevocation(
	ctx context.Context, rec *provenance.Revocation, g *auth.Grant,
) (leaves, error) {
	if g.Method == auth.MethodEOA || rec.Method != provenance.RevokedText && rec.Method != provenance.RevokedTyped {
		return leaves{}, nil
	}
	q, err := revocation.Question(rec, g)
	if err != nil {
		return leaves{}, err
	}
	_, v, err := auth.Check(ctx, w.chains, q)
	switch {
	case errors.Is(err, auth.ErrUnavailable):
		return leaves{}, err
	case err != nil:
		return leaves{}, fmt.Errorf("%w: %w", revocation.ErrRevocation, err)
	case v == nil:
		return leaves{}, nil
	}
	link, out, err := w.records.sealVerification(v, q.Method())
	rec.Verification = link
	rec.At = max(rec.At, v.At.UnixMilli())
	return out, err
}

// checkApproval checks a contract wallet's signature over the approval that is wanted, and makes its record with how it
// was signed. Who signed in with a key approves with it: approval.Check judges that alone.
func (w *contractWallets) checkApproval(
	ctx context.Context, g *auth.Grant, want auth.Approval, d ApprovalDecision,
) (*provenance.Approval, error) {
	rec := &provenance.Approval{
		Message: provenance.NewPayload(d.Message), Sig: provenance.NewPayload(d.Sig), Method: auth.MethodEOA,
	}
	own, err := want.MarshalJSON()
	if err != nil || g.Method == auth.MethodEOA {
		return rec, err
	}
	if !bytes.Equal(own, d.Message) {
		return nil, approval.ErrOther
	}
	q, err := want.Question(d.Sig)
	if err != nil {
		return nil, err
	}
	canonical, v, err := auth.Check(ctx, w.chains, q)
	if err != nil {
		return nil, err
	}
	rec.Sig = provenance.NewPayload(canonical)
	if v != nil {
		rec.Method = q.Method()
		rec.Verification, err = w.records.storeVerification(ctx, v, rec.Method)
	}
	return rec, err
}
