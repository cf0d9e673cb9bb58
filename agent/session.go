package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// OpenSession stores a grant that the auth package has verified and returns the session that it is. Opening the same
// grant again makes another session with ledgers of its own, so the caller must see to it that a grant comes once (a
// Desk does). The error is an [auth.Fault] if the operator does not serve the wallet; ErrNotFound if the grant is for an agent, or a version of one, that is not
// here.
func (r *Runner) OpenSession(ctx context.Context, g *auth.Grant) (Session, error) {
	if err := r.serves(g.Account, g.Identity()); err != nil {
		return Session{}, fmt.Errorf("open a session: %w", err)
	}
	info, ok := r.agents[g.Agent]
	if !ok || info.CID != g.AgentCID || g.RulesCID != r.rules.Load().of(strings.ToLower(g.Origin())) {
		return Session{}, fmt.Errorf("open a session for agent %q in the version signed: %w", g.Agent, ErrNotFound)
	}
	rec := &provenance.Grant{
		Message: provenance.NewPayload(g.Message), Sig: provenance.NewPayload(g.Sig), Method: g.Method,
	}
	said, saidLeaves, err := r.signed(rec, g)
	if err != nil {
		return Session{}, fmt.Errorf("open a session: %w", err)
	}
	blocks, leaves, err := r.seal(rec, provenance.Link{}, 0, 0, nil)
	if err != nil {
		return Session{}, fmt.Errorf("open a session: %w", err)
	}
	b, err := provenance.Encode(rec)
	if err != nil {
		return Session{}, fmt.Errorf("open a session: %w", err)
	}
	s := Session{
		ID: b.CID, Account: g.Account, Chain: g.Chain, Key: g.Key.String(), Agent: g.Agent,
		Opened: r.cfg.Now().UnixMilli(), Expires: g.Expires.UnixMilli(), Message: g.Message, Sig: g.Sig,
		Method: g.Method,
	}
	m, err := r.machine(ctx, s, info.CID, g.RulesCID, r.runtime, provenance.Link{}) // its rules must compile
	if err != nil {
		return Session{}, fmt.Errorf("open a session: %w", err)
	}
	if d := m.Issue(); d.Outcome != policies.Permit {
		return Session{}, fmt.Errorf("open a session: %w", &auth.Fault{Code: CodeIssue, Detail: d.Message})
	}
	if err := r.cfg.Store.PutBlocks(ctx, append(append(said, blocks...), b), append(saidLeaves, leaves...)); err != nil {
		return Session{}, fmt.Errorf("open a session: %w", err)
	}
	if err := r.watch(ctx, s, g.Verified); err != nil { // before it can act
		return Session{}, fmt.Errorf("open a session: %w", err)
	}
	if err := r.putSession(ctx, s, g); err != nil {
		return Session{}, fmt.Errorf("open a session: %w", err)
	}
	return r.cfg.Store.Session(ctx, s.ID)
}

// putSession stores a session, unless a reload has come in between: whoever lists the sessions of earlier sets after a
// reload sees all that there will be.
func (r *Runner) putSession(ctx context.Context, s Session, g *auth.Grant) error {
	r.reloading.RLock()
	defer r.reloading.RUnlock()
	if g.RulesCID != r.rules.Load().of(strings.ToLower(g.Origin())) {
		return fmt.Errorf("the policy sets were replaced meanwhile: %w", ErrNotFound)
	}
	return r.cfg.Store.PutSession(ctx, s)
}

// CodeIssue is the fault of a grant that no policy lets become a session: see policies.SessionIssue.
const CodeIssue auth.Code = "policy.session"

// serves says whether the operator lets a wallet in: an account with a key by its address, a contract by its identity.
func (r *Runner) serves(account common.Address, identity string) error {
	switch {
	case len(r.cfg.Wallets)+len(r.cfg.ContractWallets) == 0,
		identity == account.Hex() && slices.Contains(r.cfg.Wallets, account),
		identity != account.Hex() && slices.Contains(r.cfg.ContractWallets, identity):
		return nil
	}
	return &auth.Fault{Code: auth.CodeAccount, Field: "address", Detail: "this wallet is not one that the operator serves"}
}

// Session returns a session by its id, the grant's CID.
func (r *Runner) Session(ctx context.Context, id provenance.Link) (Session, error) {
	return r.cfg.Store.Session(ctx, id)
}

// Sessions lists the sessions of a session's owner, newest first.
func (r *Runner) Sessions(ctx context.Context, of Session) ([]Session, error) {
	all, err := r.cfg.Store.Sessions(ctx, of.Account, math.MaxInt64)
	return slices.DeleteFunc(all, func(s Session) bool { return s.Owner() != of.Owner() }), err
}

// openSessions calls do with every session of the store that is neither revoked nor over, newest first.
func (r *Runner) openSessions(ctx context.Context, do func(Session) error) error {
	at := r.cfg.Now().UnixMilli()
	seen := map[provenance.Link]bool{} // of the millisecond at which two lists meet
	for until := int64(math.MaxInt64); ; {
		list, err := r.cfg.Store.OpenSessions(ctx, at, until)
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
		if len(list) < MaxSessions {
			return nil
		}
		last := list[len(list)-1].Opened
		if last == until {
			return fmt.Errorf("more than %d sessions were opened in one millisecond", MaxSessions)
		}
		until = last
		clear(seen)
		for _, s := range list {
			seen[s.ID] = s.Opened == last
		}
	}
}

// seal gives every payload of rec that has none a leaf, and returns the leaves' blocks and keys. first is the number
// of the first new leaf within the step; modes says how those are kept that are not to be sealed, and may be nil.
func (r *Runner) seal(
	rec provenance.Record, run provenance.Link, seq uint64, first int, modes map[*provenance.Payload]policies.Mode,
) ([]provenance.Block, []provenance.Leaf, error) {
	var blocks []provenance.Block
	var leaves []provenance.Leaf
	for _, p := range provenance.Payloads(rec) {
		if p.Leaf().Defined() {
			continue
		}
		// This is the one place where a mode that provenance.publish chose becomes a way of keeping.
		if modes[p] == policies.Public {
			b, err := p.Publish()
			if err != nil {
				return nil, nil, err
			}
			blocks = append(blocks, b)
			continue
		}
		k := r.cfg.LeafKey(run, seq, first+len(leaves))
		b, err := p.Seal(k)
		if err != nil {
			return nil, nil, err
		}
		leaf := provenance.Leaf{CID: b.CID, Key: k}
		switch modes[p] {
		case policies.CommitOnly:
			leaf.Ends, leaf.Held = true, b.Data
		case policies.Ephemeral:
			leaf.Ends = true
			fallthrough
		default:
			blocks = append(blocks, b)
		}
		leaves = append(leaves, leaf)
	}
	return blocks, leaves, nil
}

// A PendingApproval is a call that waits for the wallet.
type PendingApproval struct {
	Run      provenance.Link
	Effect   provenance.Ref  // the seek
	Step     provenance.Link // that holds it
	Approval auth.Approval   // what is to be signed, EIP-712
	Summary  json.RawMessage // a loop.Summary
	Until    int64           // ms UTC
}

// Approvals lists what the parked runs of a session's owner wait for, oldest run first.
func (r *Runner) Approvals(ctx context.Context, of Session) ([]PendingApproval, error) {
	open, err := r.cfg.Store.Unfinished(ctx)
	if err != nil {
		return nil, fmt.Errorf("list approvals: %w", err)
	}
	var out []PendingApproval
	for _, run := range open {
		info, err := r.cfg.Store.Run(ctx, run)
		if err != nil {
			return nil, fmt.Errorf("list approvals: %w", err)
		}
		if info.Owner() != of.Owner() {
			continue
		}
		j, err := r.load(ctx, run)
		if err != nil { // one run that cannot be read must not hide what the others wait for
			r.log.ErrorContext(ctx, "run not read", "run", run, "err", err)
			continue
		}
		for _, ref := range j.state.Open() {
			seek, ok := j.effects[ref].(*provenance.Seek)
			if !ok {
				continue
			}
			step := j.steps[ref.Seq]
			a, err := loop.ApprovalOf(j.machine.Grant(), info.Session, run, step, ref, seek)
			if err != nil {
				r.log.ErrorContext(ctx, "approval not read", "run", run, "err", err)
				continue
			}
			summary, _ := seek.Summary.Bytes()
			out = append(out, PendingApproval{run, ref, step, a, summary, seek.Until})
		}
	}
	return out, nil
}

// An ApprovalDecision is the wallet's answer to a [PendingApproval].
type ApprovalDecision struct {
	Run     provenance.Link
	Effect  provenance.Ref
	Approve bool
	Message []byte // the approval's canonical JSON; not needed to refuse
	Sig     []byte
	Reason  string // why it was refused; at most 200 bytes
}

// Decide brings the wallet's answer into its run. The signature must be the grant's account's, over exactly the
// approval that the run waits for: anything else is an error of package auth and the run goes on waiting.
// ErrNotFound if the run does not wait for it.
func (r *Runner) Decide(ctx context.Context, d ApprovalDecision) error {
	j, err := r.load(ctx, d.Run)
	if err != nil {
		return fmt.Errorf("decide: %w", err)
	}
	seek, ok := j.effects[d.Effect].(*provenance.Seek)
	if !ok {
		return fmt.Errorf("decide: no approval is sought at %d.%d of this run: %w", d.Effect.Seq, d.Effect.Index, ErrNotFound)
	}
	ev := &provenance.Verdict{Of: d.Effect}
	if !d.Approve {
		ev.Refused = or(clip(d.Reason, 200), "no reason given")
		return r.deliver(ctx, d.Run, ev)
	}
	// The list may be another one since the run was started. A refusal moves nothing, so anybody's is taken.
	if err := r.serves(j.info.Account, j.info.Owner()); err != nil {
		return fmt.Errorf("decide: %w", err)
	}
	want, err := loop.ApprovalOf(j.machine.Grant(), j.info.Session, d.Run, j.steps[d.Effect.Seq], d.Effect, seek)
	if err != nil {
		return fmt.Errorf("decide: %w", err)
	}
	if ev.Approval, err = r.approved(ctx, j.machine.Grant(), want, d); err != nil {
		return fmt.Errorf("decide: %w", err)
	}
	if err := loop.CheckApproval(want, ev.Approval, r.cfg.Now()); err != nil {
		return fmt.Errorf("decide: %w", err)
	}
	return r.deliver(ctx, d.Run, ev)
}

func clip(s string, n int) string {
	return strings.ToValidUTF8(s[:min(n, len(s))], "")
}
