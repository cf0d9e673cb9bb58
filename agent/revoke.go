package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// A RevokeRequest asks to end a session, with the proof of who asks: it becomes the session's revocation, so that
// nobody can invent one.
type RevokeRequest struct {
	Session provenance.Link
	// Delegation is the one of the session that ends; undefined for the whole session.
	Delegation provenance.Link
	Method     string     // one of provenance's Revoked constants
	Message    []byte     // what was signed; with RevokedSession, the params of Frame
	Sig        []byte     //
	Frame      auth.Frame // RevokedSession only; its Session is the one whose key signed
}

// Revoke ends a session, and with it every run of a sub-agent to which it has delegated; or one delegation, and with it
// every run that acts under it. When it returns, no reservation of the session, or under the delegation, commits any more, and every run of it has been told to end: calls that are under way are
// cancelled, what they hold and have not used is free again. The error is ErrNotFound, loop.ErrRevocation if the proof
// does not hold, auth.ErrUnavailable if a contract wallet's chain could not be asked about it, or the store's.
func (r *Runner) Revoke(ctx context.Context, q RevokeRequest) error {
	rec := &provenance.Revocation{
		Grant: q.Session, Delegation: q.Delegation, At: r.cfg.Now().UnixMilli(), Method: q.Method,
		Message: provenance.NewPayload(q.Message), Sig: provenance.NewPayload(q.Sig),
	}
	s, err := r.cfg.Store.Session(ctx, q.Session)
	if err != nil {
		return fmt.Errorf("revoke %s: %w", q.Session, err)
	}
	grant, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil && q.Method == provenance.RevokedOperator {
		grant, err = new(auth.Grant), nil // the operator ends what is damaged too: that signature is over the session's id alone
	}
	if err != nil {
		return fmt.Errorf("revoke %s: %w", q.Session, err)
	}
	if q.Delegation.Defined() {
		if err := r.delegatedFrom(ctx, q.Session, q.Delegation); err != nil {
			return fmt.Errorf("revoke delegation %s: %w", q.Delegation, err)
		}
	}
	var signer *auth.Grant
	if q.Method == provenance.RevokedSession {
		rec.Frame = &provenance.RevokedFrame{From: q.Frame.Session, Seq: q.Frame.Seq, Channel: q.Frame.Channel}
		by, err := r.cfg.Store.Session(ctx, q.Frame.Session)
		if err != nil {
			return fmt.Errorf("revoke %s: %w", q.Session, err)
		}
		if signer, err = auth.RereadAs(by.Method, by.Message, by.Sig); err != nil {
			return fmt.Errorf("revoke %s: %w", q.Session, err)
		}
	}
	said, saidLeaves, err := r.revokedByContract(ctx, rec, grant)
	if err != nil {
		return fmt.Errorf("revoke %s: %w", q.Session, err)
	}
	if err := loop.CheckRevocation(rec, grant, signer, r.Key()); err != nil {
		return fmt.Errorf("revoke %s: %w", q.Session, err)
	}
	blocks, leaves, err := r.seal(rec, provenance.Link{}, 0, 0, nil)
	if err != nil {
		return fmt.Errorf("revoke %s: %w", q.Session, err)
	}
	block, err := provenance.Encode(rec)
	if err != nil {
		return fmt.Errorf("revoke %s: %w", q.Session, err)
	}
	if err := r.cfg.Store.PutBlocks(ctx, append(append(said, blocks...), block), append(saidLeaves, leaves...)); err != nil {
		return fmt.Errorf("revoke %s: %w", q.Session, err)
	}
	if q.Delegation.Defined() {
		if err := r.cfg.Store.RevokeDelegation(ctx, q.Delegation, rec.At, block.CID); err != nil {
			return fmt.Errorf("revoke %s: %w", q.Session, err)
		}
		return r.endRuns(ctx, q.Session, q.Delegation)
	}
	if err := r.cfg.Store.Revoke(ctx, q.Session, rec.At, block.CID); err != nil {
		return fmt.Errorf("revoke %s: %w", q.Session, err)
	}
	return r.endRuns(ctx, q.Session, provenance.Link{})
}

// RevokeAsOperator ends a session by the operator's own key. reason is printable ASCII, at most 200 characters.
func (r *Runner) RevokeAsOperator(ctx context.Context, session provenance.Link, reason string) error {
	text, err := auth.RevocationText(session, reason, r.cfg.Now().UTC().Truncate(time.Second))
	if err != nil {
		return fmt.Errorf("revoke %s: %w", session, err)
	}
	return r.Revoke(ctx, RevokeRequest{
		Session: session, Method: provenance.RevokedOperator, Message: text, Sig: loop.SignRevocation(r.cfg.Key, text),
	})
}

// delegatedFrom says whether a delegation comes from a session: ErrNotFound if it is none, or another's.
func (r *Runner) delegatedFrom(ctx context.Context, session, delegation provenance.Link) error {
	at := delegation
	for range provenance.MaxDelegations {
		var d provenance.Delegation
		if err := r.record(ctx, at, &d); err != nil {
			return fmt.Errorf("%w: %v", ErrNotFound, err)
		}
		if at = d.From; at == session {
			return nil
		}
	}
	return ErrNotFound
}

// under lists the delegations that a run acts under.
func (j *journal) under() []provenance.Link {
	var out []provenance.Link
	for _, d := range j.machine.Authority().Chain {
		out = append(out, d.CID)
	}
	return out
}

// lapsed returns the event that ends a run for which a delegation was revoked, or nil.
func (r *Runner) lapsed(ctx context.Context, under []provenance.Link) (*provenance.Lapse, error) {
	if len(under) == 0 {
		return nil, nil
	}
	by, at, err := r.cfg.Store.RevokedDelegation(ctx, under)
	if err != nil || at == 0 {
		return nil, err
	}
	return &provenance.Lapse{Why: provenance.LapseRevoked, By: by}, nil
}

// endRuns tells every open run of a revoked session to end, or those that act under a delegation of it.
func (r *Runner) endRuns(ctx context.Context, session, delegation provenance.Link) error {
	s, err := r.cfg.Store.Session(ctx, session) // whose revocation is the first one, if there were two
	if err != nil {
		return fmt.Errorf("revoke %s: %w", session, err)
	}
	open, err := r.cfg.Store.Unfinished(ctx)
	if err != nil {
		return fmt.Errorf("revoke %s: %w", session, err)
	}
	for _, run := range open {
		info, err := r.cfg.Store.Run(ctx, run)
		if err != nil {
			return fmt.Errorf("revoke %s: %w", session, err)
		}
		if info.Session != session {
			continue
		}
		ev := revoked(s)
		if delegation.Defined() {
			if ev, err = r.endedUnder(ctx, session, run, delegation); err != nil {
				return fmt.Errorf("revoke %s: %w", session, err)
			}
			if ev == nil {
				continue
			}
		}
		err = r.deliver(ctx, run, ev)
		for try := 0; errors.Is(err, ErrFull) && try < 50; try++ { // others wait for it too; it must not be left out
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			err = r.deliver(ctx, run, ev)
		}
		if err != nil && !errors.Is(err, ErrNotFound) { // which has ended by itself
			r.log.WarnContext(ctx, "run of a revoked session did not end", "run", run, "err", err)
		}
	}
	return nil
}

// endedUnder returns the event that ends a run if it acts under a revoked delegation, else nil.
func (r *Runner) endedUnder(ctx context.Context, session, run, delegation provenance.Link) (*provenance.Lapse, error) {
	var rec provenance.Run
	if err := r.record(ctx, run, &rec); err != nil {
		return nil, err
	}
	chain, err := r.chain(ctx, session, rec.Delegation)
	if err != nil {
		return nil, err
	}
	for _, d := range chain {
		if d.CID == delegation {
			return r.lapsed(ctx, []provenance.Link{delegation})
		}
	}
	return nil, nil
}

// revoked is the event that ends a run of a revoked session.
func revoked(s Session) *provenance.Lapse {
	return &provenance.Lapse{Why: provenance.LapseRevoked, By: s.Revocation}
}

// Use notes that a session's key has signed a request, and returns the session: what [Session] does for one who acts.
// ErrIdle if it was not used for too long, ErrStale if it is revoked or over.
//
// A run that is under way or waits for the wallet is no use: it goes on without its session being used, and keeps no
// session alive. Both times are those of the store's clock.
func (r *Runner) Use(ctx context.Context, id provenance.Link) (Session, error) {
	return r.cfg.Store.Use(ctx, id, r.cfg.Idle)
}

// Idle returns how long a session may go unused.
func (r *Runner) Idle() time.Duration { return r.cfg.Idle }
