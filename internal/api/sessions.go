package api

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies/money"
	"github.com/writ-run/writ/provenance"
)

func (*Call) answerPing(context.Context, wire.None) (any, error) { return wire.None{}, nil }

func (c *Call) sayHello(ctx context.Context, _ wire.None) (any, error) {
	return c.api.Hello(ctx, c.caller)
}

func (c *Call) describeProtocol(_ context.Context, _ wire.None) (any, error) {
	return c.api.openrpc, nil
}

func (c *Call) listAgents(_ context.Context, _ wire.None) (any, error) {
	out := wire.Agents{Agents: []wire.Agent{}}
	for _, a := range c.api.cfg.Runner.AgentsFor(c.caller.desk.Origin()) {
		out.Agents = append(out.Agents, wire.Agent{
			Name: a.Name, About: a.About, CID: a.CID.String(), Rules: a.Rules.String(),
			Tools: append([]string{}, a.Tools...), Limits: viewLimits(a.Defaults),
		})
	}
	return out, nil
}

func (c *Call) giveChallenge(ctx context.Context, p wire.ChallengeParams) (any, error) {
	if p.URI != "" && p.URI != "key" && p.URI != "origin" {
		return nil, wire.Errorf(wire.CodeParams, "uri is neither \"key\" nor \"origin\".")
	}
	if err := refuseNothing(c.req.Params); err != nil {
		return nil, err
	}
	key, err := auth.ParsePublicKey(p.Key)
	if err != nil {
		return nil, err
	}
	for _, a := range c.api.cfg.Runner.AgentsFor(c.caller.desk.Origin()) {
		if a.Name != p.Agent {
			continue
		}
		caveats := a.Defaults
		if p.Limits != nil {
			if caveats, err = narrowCaveats(caveats, *p.Limits); err != nil {
				return nil, err
			}
		}
		tools := a.Tools
		if p.Tools != nil {
			tools = p.Tools
			for _, t := range tools {
				if !slices.Contains(a.Tools, t) {
					return nil, wire.Errorf(wire.CodeParams,
						"The agent %s has no tool of that name; agent.list names its tools.", a.Name)
				}
			}
		}
		return c.challengeFor(ctx, auth.Request{
			Account: common.HexToAddress(p.Account), Chain: p.Chain, Key: key, Agent: a.Name, AgentCID: a.CID,
			RulesCID: a.Rules, Tools: tools, Caveats: caveats, Life: time.Duration(p.Life) * time.Second,
			OriginURI: p.URI == "origin",
		})
	}
	return nil, wire.Errorf(wire.CodeNotFound, "There is no agent of that name; agent.list names them.")
}

func (c *Call) challengeFor(ctx context.Context, r auth.Request) (any, error) {
	r.Channel = c.caller.channel
	ch, err := c.caller.desk.Challenge(ctx, r)
	if err != nil {
		return nil, err
	}
	return wire.Challenge{
		Message: string(ch.Message), Nonce: ch.Nonce, RequestID: ch.RequestID, Expires: ch.Expires.UnixMilli(),
	}, nil
}

// openSession opens a new session by a wallet's signature, or one that is open elsewhere. In both cases the request
// is signed by the session key, so that neither a message with its signature nor a session's id is worth anything
// without it.
func (c *Call) openSession(ctx context.Context, p wire.OpenParams) (any, error) {
	var to seat
	var err error
	switch {
	case p.Session != "" && p.Message == "" && p.Signature == "":
		var id cid.Cid
		if id, err = cid.Decode(p.Session); err != nil {
			return nil, wire.Errorf(wire.CodeParams, "session is not a CID.")
		}
		to, err = c.caller.resumeSession(ctx, id, func(key auth.PublicKey) error {
			_, err := c.caller.verifyFrame(c.req, id, key)
			return err
		})
	case p.Session == "" && p.Message != "" && p.Signature != "":
		if to, err = c.signIn(ctx, []byte(p.Message), p.Signature); err == nil && p.Device != "" {
			err = c.api.cfg.Archive.NameDevice(ctx, to.session.ID, p.Device)
			to.session.Device = p.Device
		}
	default:
		return nil, wire.Errorf(wire.CodeParams,
			"Give message and signature for a new session, or session for one that is open.")
	}
	if err != nil {
		return nil, err
	}
	return c.caller.beginSession(ctx, &to)
}

// beginSession gives the caller its session, unless that has ended.
func (c *Caller) beginSession(ctx context.Context, to *seat) (any, error) {
	if EndOf(to.session, time.Now()) != "" {
		return nil, endedError(to.session)
	}
	err := c.takeSeat(to)
	if err != nil {
		return nil, err
	}
	out := c.api.viewSession(to.session)
	if out.Epoch, err = c.api.cfg.Runner.Epoch(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

// Enter opens a session for who has shown its key itself, as the API key of the front door is one. That proves what the
// signature of session.open does, and no request is made of it.
func (c *Caller) Enter(ctx context.Context, session provenance.Link, key auth.PrivateKey) (wire.Session, *wire.Error) {
	to, err := c.resumeSession(ctx, session, func(of auth.PublicKey) error {
		if key.Public() != of {
			return wire.Errorf(wire.CodeSignature, "The key is not the session's.")
		}
		return nil
	})
	var out any
	if err == nil {
		out, err = c.beginSession(ctx, &to)
	}
	if err != nil {
		return wire.Session{}, c.api.Explain(ctx, wire.SessionOpen, err)
	}
	return out.(wire.Session), nil
}

// resumeSession takes up a session that is open, once prove has found that who asks has its key.
func (c *Caller) resumeSession(
	ctx context.Context, id cid.Cid, prove func(key auth.PublicKey) error,
) (seat, error) {
	s, err := c.api.cfg.Runner.Session(ctx, id)
	if err != nil {
		return seat{}, err
	}
	key, err := auth.ParsePublicKey(s.Key)
	if err != nil {
		return seat{}, err
	}
	if err := prove(key); err != nil {
		return seat{}, err
	}
	to := seat{session: s, key: key}
	if to.bound, err = sourcesOf(s); err != nil {
		return seat{}, err
	}
	if err = to.checkSource(ctx); err != nil { // before it counts as used
		return seat{}, err
	}
	to.session, err = c.api.cfg.Runner.Use(ctx, id)
	if errors.Is(err, journal.ErrStale) && !errors.Is(err, journal.ErrEarly) {
		return seat{}, endedError(to.session)
	}
	return to, err
}

// signIn opens a new session with the message that a wallet has signed.
func (c *Call) signIn(ctx context.Context, message []byte, signature string) (seat, error) {
	m, err := auth.Parse(message)
	if err != nil {
		return seat{}, err
	}
	key, err := m.SessionKey()
	if err != nil {
		return seat{}, err
	}
	// Before the nonce is used up: who relays a message without the key must not spoil it for its owner.
	if _, err = c.caller.verifyFrame(c.req, cid.Undef, key); err != nil {
		return seat{}, err
	}
	sig, err := auth.ParseContractSig(signature)
	if err != nil {
		return seat{}, err
	}
	g, err := c.caller.desk.Open(ctx, message, sig, c.caller.channel)
	if err != nil {
		return seat{}, err
	}
	s, err := c.api.cfg.Runner.OpenSession(ctx, g)
	if err != nil {
		return seat{}, err
	}
	// The wallet may sign where it is for a place that is elsewhere: only what uses the session then is held to it.
	bound, err := sourcesOf(s)
	return seat{s, key, bound}, err
}

// renewSession keeps a session alive that is not used otherwise. That its key signed the request is all it takes, and
// all it gives: what the wallet allowed and until when stays as it was signed.
func (c *Call) renewSession(_ context.Context, _ wire.None) (any, error) {
	return c.api.viewSession(c.seat.session), nil
}

// revokeSession ends a session. The Runner checks the proof and records it.
func (c *Call) revokeSession(ctx context.Context, p wire.RevokeParams) (any, error) {
	id, err := cid.Decode(p.Session)
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "session is not a CID.")
	}
	s, err := c.api.cfg.Runner.Session(ctx, id)
	if err != nil {
		return nil, err
	}
	q, err := c.readRevocation(p, s)
	if err != nil {
		return nil, err
	}
	if err := c.api.cfg.Runner.Revoke(ctx, q); err != nil {
		return nil, err
	}
	if q.Delegation.Defined() {
		c.api.log.InfoContext(ctx, "delegation revoked", "session", id, "delegation", q.Delegation,
			"account", s.Account, "by", q.Method)
		return wire.None{}, nil
	}
	c.api.log.InfoContext(ctx, "session revoked", "session", id, "account", s.Account, "by", q.Method)
	if s, err = c.api.cfg.Runner.Session(ctx, id); err == nil { // else each transport would notice at another moment
		c.ended = &s
	}
	return wire.None{}, nil
}

// readRevocation returns what ends a session, with the proof that the request brings of who ends it.
func (c *Call) readRevocation(p wire.RevokeParams, s journal.Session) (q runner.RevokeRequest, err error) {
	q.Session = s.ID
	if p.Delegation != "" {
		if q.Delegation, err = cid.Decode(p.Delegation); err != nil {
			return q, wire.Errorf(wire.CodeParams, "delegation is not a CID.")
		}
	}
	if c.frame.Method != "" { // signed by a session key
		if !reaches(c, s) {
			return q, journal.ErrNotFound
		}
		q.Method, q.Frame, q.Message, q.Sig = provenance.RevokedSession, c.frame, c.frame.Params, c.req.Auth.Sig
		return q, nil
	}
	if p.Message == "" || p.Signature == "" {
		return q, wire.Errorf(wire.CodeUnsigned,
			"Sign the request with the session key, or give the wallet's message and signature.")
	}
	q.Message = []byte(p.Message)
	switch {
	case p.Operator:
		q.Method = provenance.RevokedOperator
		q.Sig, err = hex.DecodeString(strings.TrimPrefix(p.Signature, "0x"))
		return q, err
	case strings.HasPrefix(p.Message, "{"):
		q.Method = provenance.RevokedTyped
	default:
		q.Method = provenance.RevokedText
	}
	q.Sig, err = auth.ParseContractSig(p.Signature)
	return q, err
}

func (c *Call) listSessions(ctx context.Context, _ wire.None) (any, error) {
	list, err := c.api.cfg.Runner.Sessions(ctx, c.seat.session)
	if err != nil {
		return nil, err
	}
	out := wire.Sessions{Sessions: []wire.Session{}}
	for _, s := range list {
		if !reaches(c, s) {
			continue
		}
		v := c.api.viewSession(s)
		if err := c.api.addUses(ctx, &v, s); err != nil {
			return nil, err
		}
		out.Sessions = append(out.Sessions, v)
	}
	return out, nil
}

// addUses adds what tells a session from another, and what is used of its limits.
func (a *API) addUses(ctx context.Context, v *wire.Session, s journal.Session) error {
	v.Used, v.Key, v.Device = s.Used, s.Key, s.Device
	g, uses, err := a.cfg.Archive.Uses(ctx, s)
	if err != nil {
		return err
	}
	limits := viewLimits(g.Caveats)
	v.Origin, v.Limits, v.Tools = g.Origin(), &limits, g.Tools
	for _, u := range uses {
		v.Uses = append(v.Uses, wire.Use{
			Name: u.Name, Cap: viewAmount(u.Cap), Spent: viewAmount(u.Spent), Reserved: viewAmount(u.Reserved),
		})
	}
	return nil
}

func (a *API) viewSession(x journal.Session) wire.Session {
	out := wire.Session{
		ID: x.ID.String(), Account: x.Account.Hex(), Agent: x.Agent, Opened: x.Opened, Expires: x.Expires, Revoked: x.Revoked,
		Idle: min(x.Used+a.cfg.Runner.Idle().Milliseconds(), x.Expires),
	}
	if x.Revocation.Defined() {
		out.Revocation = x.Revocation.String()
	}
	return out
}

// refuseNothing refuses limits that are there with nothing in them: an empty list would let in everything, and a zero
// would leave the default. Amounts may be none: then nothing may be spent.
func refuseNothing(params json.RawMessage) error {
	var given struct {
		Tools, Life json.RawMessage
		Limits      map[string]json.RawMessage
	}
	if err := json.Unmarshal(params, &given); err != nil {
		return wire.Errorf(wire.CodeParams, "The params are no object.")
	}
	all := map[string]json.RawMessage{"tools": given.Tools, "life": given.Life}
	for _, name := range []string{
		"max_calls", "max_tokens", "max_cost_nano", "max_depth", "recipients", "hosts", "models", "chains",
		"things", "from",
	} {
		all[name] = given.Limits[name]
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch strings.Join(strings.Fields(string(all[name])), "") {
		case "0", "[]", "null":
			return wire.Errorf(wire.CodeParams,
				"%q has nothing in it, and would not narrow anything; leave it out, or give more.", name)
		}
	}
	return nil
}

// narrowCaveats puts what a client asked for in place of an agent's defaults, and refuses what is wider than they are.
func narrowCaveats(own auth.Caveats, l wire.Limits) (auth.Caveats, error) {
	c := own
	for _, set := range []struct {
		to   *[]money.Amount
		from []wire.Amount
	}{{&c.MaxTotal, l.MaxTotal}, {&c.MaxPerCall, l.MaxPerCall}, {&c.ApproveAbove, l.ApproveAbove}} {
		if set.from == nil {
			continue
		}
		var err error
		if *set.to, err = readAmounts(set.from); err != nil {
			return c, err
		}
	}
	replaceSet(&c.MaxCalls, l.MaxCalls)
	replaceSet(&c.MaxTokens, l.MaxTokens)
	replaceSet(&c.MaxCostNanoUSD, l.MaxCost)
	replaceSet(&c.MaxDepth, l.MaxDepth)
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
	if l.Things != nil {
		c.Things = l.Things
	}
	if l.From != nil {
		c.From = nil
		for _, text := range l.From {
			from, err := auth.ParseSource(text)
			if err != nil {
				return c, err
			}
			c.From = append(c.From, from)
		}
	}
	c.ApproveIfTainted = c.ApproveIfTainted || l.Tainted
	c = c.Sorted()
	if err := c.Validate(); err != nil {
		return c, err
	}
	return c, c.Within(own.Sorted())
}

func readAmounts(list []wire.Amount) (out []money.Amount, _ error) {
	for _, a := range list {
		asset := money.Asset{Symbol: a.Asset, Decimals: uint8(a.Decimals)}
		if !asset.Valid() {
			return nil, wire.Errorf(wire.CodeParams, "An amount names no asset.")
		}
		m, err := money.FromUnits(asset, a.Units)
		if err != nil {
			return nil, wire.Errorf(wire.CodeParams, "An amount is out of its bounds.")
		}
		out = append(out, m)
	}
	return out, nil
}

func replaceSet[T uint64 | int64](to *T, with T) {
	if with != 0 {
		*to = with
	}
}

func viewLimits(c auth.Caveats) wire.Limits {
	l := wire.Limits{
		MaxTotal: viewAmounts(c.MaxTotal), MaxPerCall: viewAmounts(c.MaxPerCall), ApproveAbove: viewAmounts(c.ApproveAbove),
		MaxCalls: c.MaxCalls, MaxTokens: c.MaxTokens, MaxCost: c.MaxCostNanoUSD, Hosts: c.Hosts, Models: c.Models,
		Chains: c.Chains, Tainted: c.ApproveIfTainted, MaxDepth: c.MaxDepth, From: c.From,
		Things: c.Things,
	}
	for _, a := range c.Recipients {
		l.Recipients = append(l.Recipients, a.Hex())
	}
	return l
}

func viewAmounts(list []money.Amount) []wire.Amount {
	var out []wire.Amount
	for _, a := range list {
		out = append(out, viewAmount(a))
	}
	return out
}

func viewAmount(a money.Amount) wire.Amount {
	return wire.Amount{Asset: a.Asset().Symbol, Decimals: uint64(a.Asset().Decimals), Units: a.Units()}
}
