package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
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
// every run that acts under it. When it returns, no reservation of the session, or under the delegation, commits any
// more, and every run of it has been told to end: calls that are under way are cancelled, and what they have reserved
// and not used is released. The error is ErrNotFound, revocation.ErrRevocation if the proof does not hold,
// auth.ErrUnavailable if a contract wallet's chain could not be asked about it, or the store's.
func (r *Runner) Revoke(ctx context.Context, q RevokeRequest) error {
	rec, extra, err := r.checkRevocation(ctx, q)
	if err != nil {
		return fmt.Errorf("revoke %s: %w", q.Session, err)
	}
	if err := r.storeRevocation(ctx, q, rec, extra); err != nil {
		return fmt.Errorf("revoke %s: %w", q.Session, err)
	}
	if err := r.runs.endRuns(ctx, q.Session, q.Delegation); err != nil {
		return fmt.Errorf("end the runs of %s: %w", q.Session, err)
	}
	return nil
}

// checkRevocation makes the record of a revocation whose proof holds. It returns what is to be stored with it.
func (r *Runner) checkRevocation(ctx context.Context, q RevokeRequest) (*provenance.Revocation, leaves, error) {
	rec := &provenance.Revocation{
		Grant: q.Session, Delegation: q.Delegation, At: r.cfg.Now().UnixMilli(), Method: q.Method,
		Message: provenance.NewPayload(q.Message), Sig: provenance.NewPayload(q.Sig),
	}
	s, err := r.cfg.Store.Session(ctx, q.Session)
	if err != nil {
		return nil, leaves{}, err
	}
	grant, err := auth.RereadAs(s.Method, s.Message, s.Sig)
	if err != nil && q.Method == provenance.RevokedOperator {
		// The operator ends what is damaged too: that signature is over the session's id alone.
		grant, err = new(auth.Grant), nil
	}
	if err != nil {
		return nil, leaves{}, err
	}
	if q.Delegation.Defined() {
		if err := r.records.checkDelegatedFrom(ctx, q.Session, q.Delegation); err != nil {
			return nil, leaves{}, fmt.Errorf("delegation %s: %w", q.Delegation, err)
		}
	}
	var signer *auth.Grant
	if q.Method == provenance.RevokedSession {
		rec.Frame = &provenance.RevokedFrame{From: q.Frame.Session, Seq: q.Frame.Seq, Channel: q.Frame.Channel}
		by, err := r.cfg.Store.Session(ctx, q.Frame.Session)
		if err != nil {
			return nil, leaves{}, err
		}
		if signer, err = auth.RereadAs(by.Method, by.Message, by.Sig); err != nil {
			return nil, leaves{}, err
		}
	}
	extra, err := r.wallets.checkRevocation(ctx, rec, grant)
	if err != nil {
		return nil, leaves{}, err
	}
	return rec, extra, revocation.Check(rec, grant, signer, r.Key())
}

// storeRevocation makes a revocation hold: from here on nothing of the session, or under the delegation, is reserved.
func (r *Runner) storeRevocation(
	ctx context.Context, q RevokeRequest, rec *provenance.Revocation, extra leaves,
) error {
	id, sealed, err := r.records.sealWith(rec, extra)
	if err != nil {
		return err
	}
	if err := r.cfg.Store.PutBlocks(ctx, sealed.blocks, sealed.keys); err != nil {
		return err
	}
	if q.Delegation.Defined() {
		return r.cfg.Store.RevokeDelegation(ctx, q.Delegation, rec.At, id)
	}
	return r.cfg.Store.RevokeSession(ctx, q.Session, rec.At, id)
}

// RevokeAsOperator ends a session by the operator's own key. reason is printable ASCII, at most 200 characters.
func (r *Runner) RevokeAsOperator(ctx context.Context, session provenance.Link, reason string) error {
	text, err := auth.RevocationText(session, reason, r.cfg.Now().UTC().Truncate(time.Second))
	if err != nil {
		return fmt.Errorf("revoke %s: %w", session, err)
	}
	return r.Revoke(ctx, RevokeRequest{
		Session: session, Method: provenance.RevokedOperator, Message: text, Sig: revocation.Sign(r.cfg.Key, text),
	})
}

// endRuns tells every open run of a revoked session to end, or those that act under a delegation of it.
func (rs *runs) endRuns(ctx context.Context, session, delegation provenance.Link) error {
	s, err := rs.cfg.Store.Session(ctx, session) // of two revocations the first one counts
	if err != nil {
		return err
	}
	open, err := rs.cfg.Store.OpenRunsOfSession(ctx, session)
	if err != nil {
		return err
	}
	for _, run := range open {
		ev := revokedLapse(s)
		if delegation.Defined() {
			if ev, err = rs.records.revokedUnder(ctx, session, run.ID, delegation); err != nil {
				return err
			}
			if ev == nil {
				continue
			}
		}
		if err := rs.deliverUntilTaken(ctx, run.ID, ev); err != nil && !errors.Is(err, journal.ErrNotFound) {
			rs.log.WarnContext(ctx, "run of a revoked session did not end", "run", run.ID, "err", err)
		}
	}
	return nil
}

// revokedLapse is the event that ends a run of a revoked session.
func revokedLapse(s journal.Session) *provenance.Lapse {
	return &provenance.Lapse{Why: provenance.LapseRevoked, By: s.Revocation}
}

// checkDelegatedFrom says whether a delegation comes from a session: ErrNotFound if it is none, or another's.
func (r *records) checkDelegatedFrom(ctx context.Context, session, delegation provenance.Link) error {
	at := delegation
	for range provenance.MaxDelegations {
		var d provenance.Delegation
		if err := r.readRecord(ctx, at, &d); err != nil {
			return fmt.Errorf("%w: %v", journal.ErrNotFound, err)
		}
		if at = d.From; at == session {
			return nil
		}
	}
	return journal.ErrNotFound
}

// revokedLapse returns the event that ends a run for which one of these delegations was revoked, or nil.
func (r *records) revokedLapse(ctx context.Context, delegations []provenance.Link) (*provenance.Lapse, error) {
	if len(delegations) == 0 {
		return nil, nil
	}
	by, at, err := r.store.RevokedDelegation(ctx, delegations)
	if err != nil || at == 0 {
		return nil, err
	}
	return &provenance.Lapse{Why: provenance.LapseRevoked, By: by}, nil
}

// revokedUnder returns the event that ends a run if it acts under a revoked delegation, else nil.
func (r *records) revokedUnder(
	ctx context.Context, session, run, delegation provenance.Link,
) (*provenance.Lapse, error) {
	var rec provenance.Run
	if err := r.readRecord(ctx, run, &rec); err != nil {
		return nil, err
	}
	chain, err := r.readDelegations(ctx, session, rec.Delegation)
	if err != nil {
		return nil, err
	}
	for _, d := range chain {
		if d.CID == delegation {
			return r.revokedLapse(ctx, []provenance.Link{delegation})
		}
	}
	return nil, nil
}
