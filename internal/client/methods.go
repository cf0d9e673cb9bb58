package client

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
)

// Agents lists the agents of the server.
func (c *Client) Agents(ctx context.Context) ([]wire.Agent, error) {
	var out wire.Agents
	err := c.callWithRetries(ctx, wire.AgentList, wire.None{}, &out, false)
	return out.Agents, err
}

// Ping asks for a sign of life.
func (c *Client) Ping(ctx context.Context) error {
	return c.callWithRetries(ctx, wire.Ping, wire.None{}, nil, false)
}

// Challenge asks for a message to sign. It is good for this connection only: if that is lost before [Client.Open],
// ask again.
func (c *Client) Challenge(ctx context.Context, p wire.ChallengeParams) (wire.Challenge, error) {
	var out wire.Challenge
	err := c.callWithRetries(ctx, wire.SessionAsk, p, &out, false)
	return out, err
}

// Open opens the session that a wallet has signed the message for. key is the session key that the message names.
func (c *Client) Open(ctx context.Context, message string, sig []byte, key auth.PrivateKey) (wire.Session, error) {
	p := wire.OpenParams{Message: message, Signature: "0x" + hex.EncodeToString(sig), Device: c.Device}
	return c.openSession(ctx, p, cid.Undef, key)
}

// Resume takes up a session that is open.
func (c *Client) Resume(ctx context.Context, session string, key auth.PrivateKey) (wire.Session, error) {
	id, err := cid.Decode(session)
	if err != nil {
		return wire.Session{}, fmt.Errorf("resume a session: %q is not a CID", session)
	}
	return c.openSession(ctx, wire.OpenParams{Session: session}, id, key)
}

func (c *Client) openSession(
	ctx context.Context, p wire.OpenParams, id cid.Cid, key auth.PrivateKey,
) (wire.Session, error) {
	l, err := c.liveLink(ctx)
	if err != nil {
		return wire.Session{}, err
	}
	var out wire.Session
	if err := openOn(ctx, l, p, &out, &signer{id, key}); err != nil {
		return wire.Session{}, err
	}
	if id, err = cid.Decode(out.ID); err != nil {
		return wire.Session{}, fmt.Errorf("open a session: the server named %q, which is no CID", out.ID)
	}
	c.mu.Lock()
	c.session, c.key = id, key
	c.mu.Unlock()
	return out, nil
}

// openOn opens a session on one socket, since a challenge is good for no other. A request over the rate was not read,
// so it is sent again when the server says that there is room: what a challenge costs may have left none.
func openOn(ctx context.Context, l *link, p wire.OpenParams, out *wire.Session, by *signer) error {
	for try := 0; ; try++ {
		err := l.callAndWait(ctx, wire.SessionOpen, p, out, by, nil)
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || e.Data.Code != wire.CodeRate || try == attempts || !waitFor(ctx, rateDelay(try, e)) {
			return err
		}
	}
}

// SignIn asks for a message, lets sign sign it, and opens the session. p.Key may be empty: it is that of key. Before
// sign sees the message, it is checked to be for this account, chain and key.
func (c *Client) SignIn(
	ctx context.Context, p wire.ChallengeParams, key auth.PrivateKey, sign func(message []byte) ([]byte, error),
) (wire.Session, error) {
	p.Key = key.Public().String()
	ch, err := c.Challenge(ctx, p)
	if err != nil {
		return wire.Session{}, err
	}
	m, err := auth.Parse([]byte(ch.Message))
	if err != nil {
		return wire.Session{}, fmt.Errorf("the server gave a message that is not one: %w", err)
	}
	if m.URI != p.Key {
		return wire.Session{}, fmt.Errorf("the server gave a message for another session key; do not sign it")
	}
	sig, err := sign([]byte(ch.Message))
	if err != nil {
		return wire.Session{}, err
	}
	return c.Open(ctx, ch.Message, sig, key)
}

// Sessions lists the wallet's sessions, newest first.
func (c *Client) Sessions(ctx context.Context) ([]wire.Session, error) {
	var out wire.Sessions
	err := c.callWithRetries(ctx, wire.SessionList, wire.None{}, &out, false)
	return out.Sessions, err
}

// Revoke ends a session of the wallet. If it is this client's own, the server closes the connection.
func (c *Client) Revoke(ctx context.Context, session, reason string) error {
	return c.callWithRetries(ctx, wire.SessionRevoke, wire.RevokeParams{Session: session, Reason: reason}, nil, true)
}

// RevokeDelegation ends one delegation of a session of the wallet.
func (c *Client) RevokeDelegation(ctx context.Context, session, delegation, reason string) error {
	p := wire.RevokeParams{Session: session, Delegation: delegation, Reason: reason}
	return c.callWithRetries(ctx, wire.SessionRevoke, p, nil, true)
}

// RevokeBy ends a session by a signature that p holds, of the session's wallet or of the operator. No session need be
// open.
func (c *Client) RevokeBy(ctx context.Context, p wire.RevokeParams) error {
	return c.callWithRetries(ctx, wire.SessionRevoke, p, nil, false)
}

// Renew keeps the session from ending for want of use. It still ends at the time that the wallet signed.
func (c *Client) Renew(ctx context.Context) (wire.Session, error) {
	var out wire.Session
	err := c.callWithRetries(ctx, wire.SessionRenew, wire.None{}, &out, true)
	return out, err
}

// NewKey returns an idempotency key.
func NewKey() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Start starts a run. An empty p.Key gets a new one; to repeat a request after a crash, keep the key.
func (c *Client) Start(ctx context.Context, p wire.StartParams) (wire.Started, error) {
	if p.Key == "" {
		p.Key = NewKey()
	}
	var out wire.Started
	err := c.callWithRetries(ctx, wire.RunStart, p, &out, true)
	return out, err
}

// Fork starts a run that goes on from a step of another one. An empty p.Key gets a new one.
func Fork(ctx context.Context, c *Client, p wire.ForkParams) (out wire.Started, err error) {
	if p.Key == "" {
		p.Key = NewKey()
	}
	err = c.callWithRetries(ctx, wire.RunFork, p, &out, true)
	return out, err
}

// Send says something into a run. An empty p.Key gets a new one.
func Send(ctx context.Context, c *Client, p wire.SendParams) (out wire.Sent, err error) {
	if p.Key == "" {
		p.Key = NewKey()
	}
	err = c.callWithRetries(ctx, wire.RunSend, p, &out, true)
	return out, err
}

// Run returns a run's state.
func (c *Client) Run(ctx context.Context, run string) (wire.Run, error) {
	var out wire.Run
	err := c.callWithRetries(ctx, wire.RunGet, wire.RunParams{Run: run}, &out, false)
	return out, err
}

// Runs lists the wallet's newest runs, at most limit (100 if 0).
func (c *Client) Runs(ctx context.Context, limit int) ([]wire.Run, error) {
	var out wire.Runs
	err := c.callWithRetries(ctx, wire.RunList, wire.ListParams{Limit: uint64(max(0, limit))}, &out, false)
	return out.Runs, err
}

// FindRuns lists those of the wallet's runs that p chooses.
func (c *Client) FindRuns(ctx context.Context, p wire.ListParams) (out wire.Runs, err error) {
	err = c.callWithRetries(ctx, wire.RunList, p, &out, false)
	return out, err
}

// Cancel cancels a run.
func (c *Client) Cancel(ctx context.Context, run string) error {
	return c.callWithRetries(ctx, wire.RunCancel, wire.RunParams{Run: run}, nil, true)
}

// Approvals lists the calls that wait for the wallet.
func (c *Client) Approvals(ctx context.Context) ([]wire.Approval, error) {
	var all []wire.Approval
	for p := (wire.ApprovalsParams{}); ; {
		var page wire.Approvals
		err := c.callWithRetries(ctx, wire.ApprovalList, p, &page, false)
		all = append(all, page.Approvals...)
		if err != nil || page.Next == "" || page.Next == p.Cursor {
			return all, err
		}
		p.Cursor = page.Next
	}
}

// Approve gives the wallet's signature over an approval.
func (c *Client) Approve(ctx context.Context, a wire.Approval, sig []byte) error {
	return c.decideApproval(ctx, wire.DecideParams{
		Run: a.Run, Effect: a.Effect, Approve: true, Message: a.Message, Signature: "0x" + hex.EncodeToString(sig),
	})
}

// Refuse refuses an approval.
func (c *Client) Refuse(ctx context.Context, a wire.Approval, reason string) error {
	return c.decideApproval(ctx, wire.DecideParams{Run: a.Run, Effect: a.Effect, Reason: reason})
}

// WalletCalls lists the transactions that the wallet itself is asked to send.
func WalletCalls(ctx context.Context, c *Client) ([]wire.WalletCall, error) {
	var out wire.WalletCalls
	err := c.callWithRetries(ctx, wire.WalletList, wire.None{}, &out, false)
	return out.Calls, err
}

// Sent says under which hash the wallet has sent a call. The server believes the chain.
func Sent(ctx context.Context, c *Client, w wire.WalletCall, hash string) error {
	p := wire.SentParams{Run: w.Run, Effect: w.Effect, Hash: hash, Key: NewKey()}
	return c.callWithRetries(ctx, wire.WalletSent, p, nil, true)
}

func (c *Client) decideApproval(ctx context.Context, p wire.DecideParams) error {
	p.Key = NewKey()
	return c.callWithRetries(ctx, wire.ApprovalDecide, p, nil, true)
}

// Provenance says where a run's record is, with its leaf keys if keys is set; those only the owner gets.
func (c *Client) Provenance(ctx context.Context, run string, keys bool) (wire.Provenance, error) {
	var out wire.Provenance
	err := c.callWithRetries(ctx, wire.ProvenanceFetch, wire.ProvenanceParams{Run: run, Keys: keys}, &out, false)
	return out, err
}

// Receipt returns the proof that the newest head of a run stands in the server's log, as soon as the log has published
// it; empty if that takes longer than wait, or the server has no log.
func (c *Client) Receipt(ctx context.Context, run string, wait time.Duration) (string, error) {
	for end := time.Now().Add(wait); ; {
		p, err := c.Provenance(ctx, run, false)
		if err != nil || p.Receipt != "" || p.Log == "" || time.Now().After(end) {
			return p.Receipt, err
		}
		if !waitFor(ctx, 50*time.Millisecond) {
			return "", ctx.Err()
		}
	}
}

// OpenRPC returns the server's description of the protocol.
func (c *Client) OpenRPC(ctx context.Context) (json.RawMessage, error) {
	return c.Call(ctx, wire.Discover, wire.None{}, false)
}
