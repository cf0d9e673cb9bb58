package server

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

// A handler is a method.
type handler struct {
	access wire.Access
	run    func(ctx context.Context, c *conn, call call) (any, error)
}

// methods returns the handler of each of wire.Methods.
func methods() map[string]handler {
	runs := map[string]func(context.Context, *conn, call) (any, error){
		wire.Ping:            reads(ping),
		wire.Discover:        reads(discover),
		wire.AgentList:       reads(agentList),
		wire.SessionAsk:      reads(sessionChallenge),
		wire.SessionOpen:     reads(sessionOpen),
		wire.SessionRenew:    reads(sessionRenew),
		wire.SessionRevoke:   reads(sessionRevoke),
		wire.SessionList:     reads(sessionList),
		wire.RunStart:        reads(runStart),
		wire.RunGet:          reads(runGet),
		wire.RunList:         reads(runList),
		wire.RunCancel:       reads(runCancel),
		wire.RunSubscribe:    reads(runSubscribe),
		wire.RunUnsubscribe:  reads(runUnsubscribe),
		wire.RunAck:          reads(runAck),
		wire.ApprovalList:    reads(approvalList),
		wire.ApprovalDecide:  reads(approvalDecide),
		wire.ProvenanceFetch: reads(provenanceGet),
	}
	handlers := map[string]handler{}
	for _, m := range wire.Methods() {
		handlers[m.Name] = handler{m.Access, runs[m.Name]}
	}
	return handlers
}

// reads makes a handler of a function by reading its params.
func reads[P any](f func(context.Context, *conn, call, P) (any, error)) func(context.Context, *conn, call) (any, error) {
	return func(ctx context.Context, c *conn, call call) (any, error) {
		var p P
		raw := call.req.Params
		if raw == nil {
			raw = []byte("{}")
		}
		if err := wire.DecodeStrict(raw, &p); err != nil {
			return nil, err
		}
		return f(ctx, c, call, p)
	}
}

// authenticate says who asks. It runs in the reader, so that frames are counted in their order.
func (c *conn) authenticate(ctx context.Context, access wire.Access, req wire.Request) (call, error) {
	call := call{req: req, seat: c.sitting()}
	switch {
	case access == wire.Either && req.Auth == nil:
		return call, nil
	case access == wire.Anyone || access == wire.Opened:
		if req.Auth != nil {
			return call, wire.Errorf(wire.CodeRequest, "%s is not a signed method; leave auth out.", req.Method)
		}
		if access == wire.Opened && call.seat == nil {
			return call, wire.Errorf(wire.CodeNoSession, "Open a session first.")
		}
		return call, nil
	case call.seat == nil:
		return call, wire.Errorf(wire.CodeNoSession, "Open a session first.")
	}
	var err error
	if call.frame, err = c.signed(req, call.seat.session.ID, call.seat.key); err != nil {
		return call, err
	}
	// The session may have ended since the last call, here or on another node.
	s, err := c.srv.cfg.Runner.Session(ctx, call.seat.session.ID)
	if err != nil {
		return call, err
	}
	if c.over(s, time.Now()) {
		return call, ended(s)
	}
	return call, nil
}

// signed checks a request's signature and takes its number.
func (c *conn) signed(req wire.Request, session cid.Cid, key auth.PublicKey) (auth.Frame, error) {
	if req.Auth == nil {
		return auth.Frame{}, wire.Errorf(wire.CodeUnsigned, "%s must be signed by the session key; add auth.", req.Method)
	}
	if req.Params == nil {
		return auth.Frame{}, wire.Errorf(wire.CodeRequest, "A signed request has params, if only {}.")
	}
	if req.Auth.Seq != c.seq+1 {
		e := wire.Errorf(wire.CodeSeq, "The next signed request on this channel has seq %d.", c.seq+1)
		e.Data.Expected = c.seq + 1
		return auth.Frame{}, e
	}
	f := auth.Frame{Session: session, Channel: c.channel, Seq: req.Auth.Seq, Method: req.Method, Params: req.Params}
	if err := f.Verify(key, req.Auth.Sig); err != nil {
		return auth.Frame{}, wire.Errorf(wire.CodeSignature, "The signature is not the session key's over this request on this channel.")
	}
	c.seq++
	return f, nil
}

func ended(s agent.Session) error {
	if s.Revoked != 0 {
		return wire.Errorf(wire.CodeRevoked, "Your session was revoked. Sign in again.")
	}
	return wire.Errorf(wire.CodeExpired, "Your session has ended. Sign in again.")
}

func ping(context.Context, *conn, call, wire.None) (any, error) { return wire.None{}, nil }

func discover(_ context.Context, c *conn, _ call, _ wire.None) (any, error) {
	return json.RawMessage(c.srv.openrpc), nil
}

func agentList(_ context.Context, c *conn, _ call, _ wire.None) (any, error) {
	out := wire.Agents{Agents: []wire.Agent{}}
	for _, a := range c.srv.cfg.Runner.Agents() {
		out.Agents = append(out.Agents, wire.Agent{
			Name: a.Name, About: a.About, CID: a.CID.String(), Rules: a.Rules.String(), Tools: append([]string{}, a.Tools...),
			Limits: limitsOf(a.Defaults),
		})
	}
	return out, nil
}

func sessionChallenge(ctx context.Context, c *conn, _ call, p wire.ChallengeParams) (any, error) {
	key, err := auth.ParsePublicKey(p.Key)
	if err != nil {
		return nil, err
	}
	for _, a := range c.srv.cfg.Runner.Agents() {
		if a.Name != p.Agent {
			continue
		}
		caveats := a.Defaults
		if p.Limits != nil {
			if caveats, err = narrow(caveats, *p.Limits); err != nil {
				return nil, err
			}
		}
		tools := a.Tools
		if p.Tools != nil {
			tools = p.Tools
			for _, t := range tools {
				if !slices.Contains(a.Tools, t) {
					return nil, wire.Errorf(wire.CodeParams, "The agent %s has no tool of that name; agent.list names its tools.", a.Name)
				}
			}
		}
		// Nobody is asked to sign a limit that would not hold.
		if err := loop.Enforced(caveats); err != nil {
			return nil, wire.Errorf(wire.CodeParams, "This server cannot hold a limit that you ask for: %s.", err)
		}
		return c.challenge(ctx, auth.Request{
			Account: common.HexToAddress(p.Account), Chain: p.Chain, Key: key, Agent: a.Name, AgentCID: a.CID,
			RulesCID: a.Rules, Tools: tools, Caveats: caveats, Life: time.Duration(p.Life) * time.Second,
		})
	}
	return nil, wire.Errorf(wire.CodeNotFound, "There is no agent of that name; agent.list names them.")
}

func (c *conn) challenge(ctx context.Context, r auth.Request) (any, error) {
	r.Channel = c.channel
	ch, err := c.srv.cfg.Desk.Challenge(ctx, r)
	if err != nil {
		return nil, err
	}
	return wire.Challenge{
		Message: string(ch.Message), Nonce: ch.Nonce, RequestID: ch.RequestID, Expires: ch.Expires.UnixMilli(),
	}, nil
}

// sessionOpen opens a new session by a wallet's signature, or one that is open elsewhere. In both cases the request
// is signed by the session key, so that neither a message with its signature nor a session's id is worth anything
// without it. It runs in the reader.
func sessionOpen(ctx context.Context, c *conn, call call, p wire.OpenParams) (any, error) {
	var s agent.Session
	var key auth.PublicKey
	var err error
	switch {
	case p.Session != "" && p.Message == "" && p.Signature == "":
		id, err := cid.Decode(p.Session)
		if err != nil {
			return nil, wire.Errorf(wire.CodeParams, "session is not a CID.")
		}
		if s, err = c.srv.cfg.Runner.Session(ctx, id); err != nil {
			return nil, err
		}
		if key, err = auth.ParsePublicKey(s.Key); err != nil {
			return nil, err
		}
		if _, err = c.signed(call.req, id, key); err != nil {
			return nil, err
		}
	case p.Session == "" && p.Message != "" && p.Signature != "":
		m, err := auth.Parse([]byte(p.Message))
		if err != nil {
			return nil, err
		}
		if key, err = auth.ParsePublicKey(m.URI); err != nil {
			return nil, err
		}
		// Before the nonce is used up: who relays a message without the key must not spoil it for its owner.
		if _, err = c.signed(call.req, cid.Undef, key); err != nil {
			return nil, err
		}
		sig, err := auth.ParseSig(p.Signature)
		if err != nil {
			return nil, err
		}
		g, err := c.srv.cfg.Desk.Open(ctx, []byte(p.Message), sig, c.channel)
		if err != nil {
			return nil, err
		}
		if s, err = c.srv.cfg.Runner.OpenSession(ctx, g); err != nil {
			return nil, err
		}
	default:
		return nil, wire.Errorf(wire.CodeParams, "Give message and signature for a new session, or session for one that is open.")
	}
	if s.Revoked != 0 || time.Now().UnixMilli() >= s.Expires {
		return nil, ended(s)
	}
	if err = c.sit(&seat{s, key}); err != nil {
		return nil, err
	}
	out := sessionOf(s)
	if out.Epoch, err = c.srv.cfg.Runner.Epoch(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// sit gives the socket its session. Another one may follow (after a renewal), of the same wallet only.
func (c *conn) sit(s *seat) error {
	if old := c.sitting(); old != nil {
		if old.session.Account != s.session.Account {
			return wire.Errorf(wire.CodeForbidden, "This connection belongs to another wallet; connect anew.")
		}
		c.mu.Lock()
		c.seat, c.checked = s, time.Now()
		c.mu.Unlock()
		return nil
	}
	p, wait := c.srv.admit("wallet/"+s.session.Account.Hex(), c.srv.cfg.Limits.PerWallet)
	if p == nil {
		e := wire.Errorf(wire.CodeTooMany, "This wallet has too many connections; close one.")
		e.Data.RetryAfterMS = wait.Milliseconds()
		return e
	}
	c.ws.SetReadLimit(wire.MaxFrame)
	c.mu.Lock()
	ip := c.peer
	c.peer, c.seat, c.checked = p, s, time.Now()
	c.mu.Unlock()
	c.srv.release(ip)
	return nil
}

func sessionRenew(ctx context.Context, c *conn, call call, p wire.RenewParams) (any, error) {
	g, err := auth.Reread(call.seat.session.Message, call.seat.session.Sig)
	if err != nil {
		return nil, err
	}
	return c.challenge(ctx, auth.Request{
		Account: g.Account, Chain: g.Chain, Key: g.Key, Agent: g.Agent, AgentCID: g.AgentCID, RulesCID: g.RulesCID,
		Tools: g.Tools, Caveats: g.Caveats, Life: time.Duration(p.Life) * time.Second,
	})
}

func sessionRevoke(ctx context.Context, c *conn, call call, p wire.RevokeParams) (any, error) {
	id, err := cid.Decode(p.Session)
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "session is not a CID.")
	}
	s, err := c.srv.cfg.Runner.Session(ctx, id)
	if err != nil {
		return nil, err
	}
	switch {
	case call.frame.Method != "": // signed by a session key
		if s.Account != call.seat.session.Account {
			return nil, agent.ErrNotFound
		}
	case p.Message != "" && p.Signature != "":
		if err := revocation(s, p); err != nil {
			return nil, err
		}
	default:
		return nil, wire.Errorf(wire.CodeUnsigned, "Sign the request with the session key, or give the wallet's message and signature.")
	}
	if err := c.srv.cfg.Runner.Revoke(ctx, id); err != nil {
		return nil, err
	}
	c.srv.log.InfoContext(ctx, "session revoked", "session", id, "account", s.Account)
	c.srv.revoked(ctx, id)
	return wire.None{}, nil
}

// revocation checks that a wallet ends its own session.
func revocation(s agent.Session, p wire.RevokeParams) error {
	r, err := auth.ParseRevocation([]byte(p.Message))
	if err != nil {
		return err
	}
	g, err := auth.Reread(s.Message, s.Sig)
	if err != nil {
		return err
	}
	if r.Session != s.ID {
		return wire.Errorf(wire.CodeParams, "The revocation is for another session.")
	}
	if err := r.Under(g); err != nil {
		return err
	}
	sig, err := auth.ParseSig(p.Signature)
	if err != nil {
		return err
	}
	return r.Verify(sig)
}

// revoked closes the sockets of a session.
func (s *Server) revoked(ctx context.Context, id provenance.Link) {
	sess, err := s.cfg.Runner.Session(ctx, id)
	if err != nil {
		return // the sweep finds out
	}
	for _, c := range s.open() {
		if seat := c.sitting(); seat != nil && seat.session.ID == id {
			c.over(sess, time.Now())
		}
	}
}

func sessionList(ctx context.Context, c *conn, call call, _ wire.None) (any, error) {
	list, err := c.srv.cfg.Runner.Sessions(ctx, call.seat.session.Account)
	if err != nil {
		return nil, err
	}
	out := wire.Sessions{Sessions: []wire.Session{}}
	for _, s := range list {
		out.Sessions = append(out.Sessions, sessionOf(s))
	}
	return out, nil
}

func sessionOf(s agent.Session) wire.Session {
	return wire.Session{
		ID: s.ID.String(), Account: s.Account.Hex(), Agent: s.Agent, Opened: s.Opened, Expires: s.Expires, Revoked: s.Revoked,
	}
}

// narrow puts what a client asked for in place of an agent's defaults. It may as well ask for more than they are:
// they are a proposal, the wallet signs what it reads, and the operator's policies hold above every grant.
func narrow(c auth.Caveats, l wire.Limits) (auth.Caveats, error) {
	for _, set := range []struct {
		to   *[]money.Amount
		from []wire.Amount
	}{{&c.MaxTotal, l.MaxTotal}, {&c.MaxPerCall, l.MaxPerCall}, {&c.ApproveAbove, l.ApproveAbove}} {
		if set.from == nil {
			continue
		}
		*set.to = nil
		for _, a := range set.from {
			asset := money.Asset{Symbol: a.Asset, Decimals: uint8(a.Decimals)}
			if !asset.Valid() {
				return c, wire.Errorf(wire.CodeParams, "An amount names no asset.")
			}
			m, err := money.FromUnits(asset, a.Units)
			if err != nil {
				return c, wire.Errorf(wire.CodeParams, "An amount is out of its bounds.")
			}
			*set.to = append(*set.to, m)
		}
	}
	replace(&c.MaxCalls, l.MaxCalls)
	replace(&c.MaxTokens, l.MaxTokens)
	replace(&c.MaxCostNanoUSD, l.MaxCost)
	replace(&c.MaxDepth, l.MaxDepth)
	if l.Recipients != nil {
		c.Recipients = nil
		for _, a := range l.Recipients {
			c.Recipients = append(c.Recipients, common.HexToAddress(a))
		}
	}
	if l.Hosts != nil {
		c.Hosts = l.Hosts
	}
	if l.Models != nil {
		c.Models = l.Models
	}
	if l.Chains != nil {
		c.Chains = l.Chains
	}
	c.ApproveIfTainted = c.ApproveIfTainted || l.Tainted
	return c, nil
}

func replace[T uint64 | int64](to *T, with T) {
	if with != 0 {
		*to = with
	}
}

func limitsOf(c auth.Caveats) wire.Limits {
	l := wire.Limits{
		MaxTotal: amounts(c.MaxTotal), MaxPerCall: amounts(c.MaxPerCall), ApproveAbove: amounts(c.ApproveAbove),
		MaxCalls: c.MaxCalls, MaxTokens: c.MaxTokens, MaxCost: c.MaxCostNanoUSD, Hosts: c.Hosts, Models: c.Models,
		Chains: c.Chains, Tainted: c.ApproveIfTainted, MaxDepth: c.MaxDepth,
	}
	for _, a := range c.Recipients {
		l.Recipients = append(l.Recipients, a.Hex())
	}
	return l
}

func amounts(list []money.Amount) []wire.Amount {
	var out []wire.Amount
	for _, a := range list {
		out = append(out, wire.Amount{Asset: a.Asset().Symbol, Decimals: uint64(a.Asset().Decimals), Units: a.Units()})
	}
	return out
}
