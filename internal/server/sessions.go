package server

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent"
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
	s, err := c.srv.cfg.Runner.Use(ctx, call.seat.session.ID)
	if errors.Is(err, agent.ErrStale) {
		c.over(s, time.Now())
		return call, ended(s)
	}
	if err != nil {
		return call, err
	}
	call.seat = &seat{s, call.seat.key}
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
		e.Data.Expected, e.Data.Reason = c.seq+1, "frame.skipped"
		if req.Auth.Seq <= c.seq {
			e.Data.Reason = "frame.replayed"
		}
		return auth.Frame{}, e
	}
	f := auth.Frame{Session: session, Channel: c.channel, Seq: req.Auth.Seq, Method: req.Method, Params: req.Params}
	if err := f.Verify(key, req.Auth.Sig); err != nil {
		e := wire.Errorf(wire.CodeSignature, "The signature is not the session key's over this request on this channel.")
		if e.Data.Reason = reasonOf(err); c.foreign(f, key, req.Auth.Sig) {
			e.Data.Reason = "frame.channel"
		}
		return auth.Frame{}, e
	}
	c.seq++
	return f, nil
}

// foreign says whether a frame was signed for another socket of the session. No frame of another channel holds here,
// whatever this says: it only names the reason.
func (c *conn) foreign(f auth.Frame, key auth.PublicKey, sig []byte) bool {
	for _, other := range c.srv.open() {
		seat := other.sitting()
		if other == c || seat == nil || seat.session.ID != f.Session {
			continue
		}
		f.Channel = other.channel
		if f.Verify(key, sig) == nil {
			return true
		}
	}
	return false
}

// reasonOf names what package auth found wrong.
func reasonOf(err error) string {
	if f, ok := errors.AsType[*auth.Fault](err); ok {
		return string(f.Code)
	}
	return ""
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
	for _, a := range c.srv.cfg.Runner.AgentsFor(c.desk.Origin()) {
		out.Agents = append(out.Agents, wire.Agent{
			Name: a.Name, About: a.About, CID: a.CID.String(), Rules: a.Rules.String(), Tools: append([]string{}, a.Tools...),
			Limits: limitsOf(a.Defaults),
		})
	}
	return out, nil
}

func sessionChallenge(ctx context.Context, c *conn, _ call, p wire.ChallengeParams) (any, error) {
	if p.URI != "" && p.URI != "key" && p.URI != "origin" {
		return nil, wire.Errorf(wire.CodeParams, "uri is neither \"key\" nor \"origin\".")
	}
	key, err := auth.ParsePublicKey(p.Key)
	if err != nil {
		return nil, err
	}
	for _, a := range c.srv.cfg.Runner.AgentsFor(c.desk.Origin()) {
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
		return c.challenge(ctx, auth.Request{
			Account: common.HexToAddress(p.Account), Chain: p.Chain, Key: key, Agent: a.Name, AgentCID: a.CID,
			RulesCID: a.Rules, Tools: tools, Caveats: caveats, Life: time.Duration(p.Life) * time.Second,
			OriginURI: p.URI == "origin",
		})
	}
	return nil, wire.Errorf(wire.CodeNotFound, "There is no agent of that name; agent.list names them.")
}

func (c *conn) challenge(ctx context.Context, r auth.Request) (any, error) {
	r.Channel = c.channel
	ch, err := c.desk.Challenge(ctx, r)
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
		if s, err = c.srv.cfg.Runner.Use(ctx, id); errors.Is(err, agent.ErrStale) {
			return nil, ended(s)
		} else if err != nil {
			return nil, err
		}
	case p.Session == "" && p.Message != "" && p.Signature != "":
		m, err := auth.Parse([]byte(p.Message))
		if err != nil {
			return nil, err
		}
		if key, err = m.SessionKey(); err != nil {
			return nil, err
		}
		// Before the nonce is used up: who relays a message without the key must not spoil it for its owner.
		if _, err = c.signed(call.req, cid.Undef, key); err != nil {
			return nil, err
		}
		sig, err := auth.ParseContractSig(p.Signature)
		if err != nil {
			return nil, err
		}
		g, err := c.desk.Open(ctx, []byte(p.Message), sig, c.channel)
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
	out := c.srv.sessionOf(s)
	if out.Epoch, err = c.srv.cfg.Runner.Epoch(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// sit gives the socket its session. Another one may follow (after a renewal), of the same wallet only.
func (c *conn) sit(s *seat) error {
	if old := c.sitting(); old != nil {
		if old.session.Owner() != s.session.Owner() {
			return wire.Errorf(wire.CodeForbidden, "This connection belongs to another wallet; connect anew.")
		}
		c.mu.Lock()
		c.seat, c.checked = s, time.Now()
		c.mu.Unlock()
		return nil
	}
	p, wait := c.srv.admit("wallet/"+s.session.Owner(), c.srv.cfg.Limits.PerWallet)
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

// sessionRenew keeps a session alive that is not used otherwise. That its key signed the request is all it takes, and
// all it gives: what the wallet allowed and until when stays as it was signed.
func sessionRenew(_ context.Context, c *conn, call call, _ wire.None) (any, error) {
	return c.srv.sessionOf(call.seat.session), nil
}

// sessionRevoke ends a session. The Runner checks the proof and records it.
func sessionRevoke(ctx context.Context, c *conn, call call, p wire.RevokeParams) (any, error) {
	id, err := cid.Decode(p.Session)
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "session is not a CID.")
	}
	s, err := c.srv.cfg.Runner.Session(ctx, id)
	if err != nil {
		return nil, err
	}
	q := agent.RevokeRequest{Session: id}
	if p.Delegation != "" {
		if q.Delegation, err = cid.Decode(p.Delegation); err != nil {
			return nil, wire.Errorf(wire.CodeParams, "delegation is not a CID.")
		}
	}
	switch {
	case call.frame.Method != "": // signed by a session key
		if s.Owner() != call.seat.session.Owner() {
			return nil, agent.ErrNotFound
		}
		q.Method, q.Frame, q.Message, q.Sig = provenance.RevokedSession, call.frame, call.frame.Params, call.req.Auth.Sig
	case p.Message != "" && p.Signature != "":
		q.Message = []byte(p.Message)
		switch {
		case p.Operator:
			q.Method = provenance.RevokedOperator
			q.Sig, err = hex.DecodeString(strings.TrimPrefix(p.Signature, "0x"))
		case strings.HasPrefix(p.Message, "{"):
			q.Method = provenance.RevokedTyped
			q.Sig, err = auth.ParseContractSig(p.Signature)
		default:
			q.Method = provenance.RevokedText
			q.Sig, err = auth.ParseContractSig(p.Signature)
		}
		if err != nil {
			return nil, err
		}
	default:
		return nil, wire.Errorf(wire.CodeUnsigned, "Sign the request with the session key, or give the wallet's message and signature.")
	}
	if err := c.srv.cfg.Runner.Revoke(ctx, q); err != nil {
		return nil, err
	}
	if q.Delegation.Defined() {
		c.srv.log.InfoContext(ctx, "delegation revoked", "session", id, "delegation", q.Delegation, "account", s.Account, "by", q.Method)
		return wire.None{}, nil
	}
	c.srv.log.InfoContext(ctx, "session revoked", "session", id, "account", s.Account, "by", q.Method)
	c.srv.revoked(ctx, id)
	return wire.None{}, nil
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
	list, err := c.srv.cfg.Runner.Sessions(ctx, call.seat.session)
	if err != nil {
		return nil, err
	}
	out := wire.Sessions{Sessions: []wire.Session{}}
	for _, s := range list {
		out.Sessions = append(out.Sessions, c.srv.sessionOf(s))
	}
	return out, nil
}

func (s *Server) sessionOf(x agent.Session) wire.Session {
	out := wire.Session{
		ID: x.ID.String(), Account: x.Account.Hex(), Agent: x.Agent, Opened: x.Opened, Expires: x.Expires, Revoked: x.Revoked,
		Idle: min(x.Used+s.cfg.Runner.Idle().Milliseconds(), x.Expires),
	}
	if x.Revocation.Defined() {
		out.Revocation = x.Revocation.String()
	}
	return out
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
