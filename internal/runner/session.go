package runner

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/pinned"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// CodeIssue is the fault of a grant that no policy lets become a session: see policies.SessionIssue.
const CodeIssue auth.Code = "policy.session"

// OpenSession stores a grant that the auth package has verified and returns the session that it is. Opening the same
// grant again makes another session with ledgers of its own, so the caller must see to it that a grant comes once (a
// Desk does). The error is an [auth.Fault] if the operator does not serve the wallet, and [pinned.ErrVersion] if the
// agent or its rules have changed, or gone, since the grant was written.
func (r *Runner) OpenSession(ctx context.Context, g *auth.Grant) (journal.Session, error) {
	s, err := r.openSession(ctx, g)
	if err != nil {
		return journal.Session{}, fmt.Errorf("open a session: %w", err)
	}
	return s, nil
}

func (r *Runner) openSession(ctx context.Context, g *auth.Grant) (s journal.Session, err error) {
	if err := r.cfg.checkServed(g.Account, g.Identity()); err != nil {
		return s, err
	}
	info, ok := r.catalog.agents[g.Agent]
	if !ok || info.CID != g.AgentCID || g.RulesCID != r.rules.current.Load().setFor(g.Origin()) {
		return s, fmt.Errorf("agent %q: %w", g.Agent, pinned.ErrVersion)
	}
	id, sealed, err := r.wallets.sealGrant(g)
	if err != nil {
		return s, err
	}
	s = journal.Session{
		ID: id, Account: g.Account, Chain: g.Chain, Key: g.Key.String(), Agent: g.Agent,
		Opened: r.cfg.Now().UnixMilli(), Expires: g.Expires.UnixMilli(), Message: g.Message, Sig: g.Sig,
		Method: g.Method,
	}
	// Its rules must compile.
	m, err := r.machines.machineOf(ctx, s, pins{agent: info.CID, rules: g.RulesCID, runtime: r.catalog.runtime})
	if err != nil {
		return s, err
	}
	if d := m.DecideIssue(); d.Outcome != policies.Permit {
		return s, &auth.Fault{Code: CodeIssue, Detail: d.Message}
	}
	if err := r.cfg.Store.PutBlocks(ctx, sealed.blocks, sealed.keys); err != nil {
		return s, err
	}
	if err := r.wallets.followSession(ctx, s, g.Verified); err != nil { // watched before the session can act
		return s, err
	}
	if err := r.storeSession(ctx, s, g); err != nil {
		return s, err
	}
	return r.cfg.Store.Session(ctx, s.ID)
}

// storeSession stores a session, unless a reload has come in between.
func (r *Runner) storeSession(ctx context.Context, s journal.Session, g *auth.Grant) error {
	r.rules.reloading.RLock()
	defer r.rules.reloading.RUnlock()
	if g.RulesCID != r.rules.current.Load().setFor(g.Origin()) {
		return fmt.Errorf("the policy sets were replaced meanwhile: %w", pinned.ErrVersion)
	}
	return r.cfg.Store.PutSession(ctx, s)
}

// checkServed says whether the operator lets a wallet in: an account with a key by its address, a contract by its
// identity.
func (c *Config) checkServed(account common.Address, identity string) error {
	switch {
	case len(c.Wallets)+len(c.ContractWallets) == 0,
		identity == account.Hex() && slices.Contains(c.Wallets, account),
		identity != account.Hex() && slices.Contains(c.ContractWallets, identity):
		return nil
	}
	return &auth.Fault{
		Code: auth.CodeAccount, Field: "address", Detail: "this wallet is not one that the operator serves",
	}
}

// Session returns a session by its id, the grant's CID.
func (r *Runner) Session(ctx context.Context, id provenance.Link) (journal.Session, error) {
	return r.cfg.Store.Session(ctx, id)
}

// Use notes that a session's key has signed a request, and returns the session: what [Runner.Session] does for one who
// acts. ErrIdle if it was not used for too long, ErrStale if it is revoked or over.
//
// A run that is under way or waits for the wallet is no use: it goes on without its session being used, and keeps no
// session alive. Both times are those of the store's clock.
func (r *Runner) Use(ctx context.Context, id provenance.Link) (journal.Session, error) {
	return r.cfg.Store.UseSession(ctx, id, r.cfg.Idle)
}

// Idle returns how long a session may go unused.
func (r *Runner) Idle() time.Duration { return r.cfg.Idle }

// Sessions lists the sessions of a session's owner, newest first.
func (r *Runner) Sessions(ctx context.Context, of journal.Session) ([]journal.Session, error) {
	all, err := r.cfg.Store.Sessions(ctx, of.Account, math.MaxInt64)
	return slices.DeleteFunc(all, func(s journal.Session) bool { return s.Owner() != of.Owner() }), err
}

// eachOpenSession calls do with every session of a store that is neither revoked nor over, newest first.
func eachOpenSession(ctx context.Context, store journal.Store, now time.Time, do func(journal.Session) error) error {
	seen := map[provenance.Link]bool{} // of the millisecond at which two lists meet
	for until := int64(math.MaxInt64); ; {
		list, err := store.OpenSessions(ctx, now.UnixMilli(), until)
		if err != nil {
			return err
		}
		for _, s := range list {
			if seen[s.ID] {
				continue
			}
			if err := do(s); err != nil {
				return err
			}
		}
		if len(list) < journal.MaxSessions {
			return nil
		}
		last := list[len(list)-1].Opened
		if last == until {
			return fmt.Errorf("more than %d sessions were opened in one millisecond", journal.MaxSessions)
		}
		until = last
		clear(seen)
		for _, s := range list {
			seen[s.ID] = s.Opened == last
		}
	}
}
