package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
)

const (
	loneChain   = 1337           // the chain that a grant is for if Limits names none; no money is on it
	sessionLife = 24 * time.Hour // the longest that a grant may last
	renewBefore = 10 * time.Minute
)

// signedIn is the wallet's session. A new grant is signed shortly before the old one ends.
type signedIn struct {
	agent *Agent

	mu      sync.Mutex // guards the rest
	session journal.Session
	key     auth.PrivateKey // signs requests
	seq     uint64          // of the last request
}

// current returns a session with time left.
func (s *signedIn) current(ctx context.Context) (journal.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.renew(ctx)
	return s.session, err
}

// renew signs in again if the session has no time left. It is called with the lock held.
func (s *signedIn) renew(ctx context.Context) error {
	// One that was opened later than now is of a clock that was set back, and counts for nothing.
	if s.session.ID.Defined() && time.Until(time.UnixMilli(s.session.Expires)) > renewBefore &&
		time.Until(time.UnixMilli(s.session.Opened)) < auth.Skew {
		return nil
	}
	key, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	grant, err := s.grant(key.Public())
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	session, err := s.agent.runner.OpenSession(ctx, grant)
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	s.session, s.key, s.seq = session, key, 0
	return nil
}

// grant has the wallet sign what the agent may do.
func (s *signedIn) grant(key auth.PublicKey) (*auth.Grant, error) {
	a := s.agent
	info := a.runner.Agents()[0]
	now := time.Now().UTC().Truncate(time.Second)
	message, err := auth.Build(auth.Offer{
		Scheme: "http", Domain: "localhost", Account: a.wallet.Address(), Chain: a.limits.Chains[0], Key: key,
		Nonce: rand.Text()[:24], RequestID: "agent", Agent: info.Name, AgentCID: info.CID, RulesCID: info.Rules,
		Tools: info.Tools, Caveats: a.limits, Issued: now, Expires: now.Add(sessionLife),
	})
	if err != nil {
		return nil, err
	}
	sig, err := a.wallet.SignText(message)
	if err != nil {
		return nil, fmt.Errorf("have the wallet sign: %w", err)
	}
	return auth.Reread(message, sig)
}

// request signs one request of the session, as a client at the other end of a socket does.
func (s *signedIn) request(ctx context.Context, input string) (runner.StartRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.renew(ctx); err != nil {
		return runner.StartRequest{}, err
	}
	s.seq++
	q := runner.StartRequest{Session: s.session, Agent: s.agent.name, Input: input, Key: rand.Text()}
	params, err := json.Marshal(wire.StartParams{Agent: q.Agent, Input: q.Input, Key: q.Key})
	if err != nil {
		return q, fmt.Errorf("sign the request: %w", err)
	}
	q.Frame = auth.Frame{Session: s.session.ID, Seq: s.seq, Method: wire.RunStart, Params: params}
	if q.Sig, err = s.key.SignFrame(q.Frame); err != nil {
		return q, fmt.Errorf("sign the request: %w", err)
	}
	return q, nil
}
