package server

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

func runStart(ctx context.Context, c *conn, call call, p wire.StartParams) (any, error) {
	if call.seat.session.Agent != p.Agent {
		return nil, wire.Errorf(wire.CodeForbidden, "This session is for the agent %s; sign in for the other one.", call.seat.session.Agent)
	}
	info, err := c.srv.cfg.Runner.Start(ctx, agent.StartRequest{
		Session: call.seat.session, Frame: call.frame, Sig: call.req.Auth.Sig,
		Agent: p.Agent, Input: p.Input, Key: p.Key, Thread: p.Thread,
	})
	if err != nil {
		return nil, err
	}
	return wire.Started{Run: info.ID.String(), Seq: info.Steps - 1}, nil
}

// own returns a run of the caller's wallet. Another wallet's run is not found.
func (c *conn) own(ctx context.Context, call call, run string) (agent.RunInfo, error) {
	id, err := cid.Decode(run)
	if err != nil {
		return agent.RunInfo{}, wire.Errorf(wire.CodeParams, "run is not a CID.")
	}
	info, err := c.srv.cfg.Runner.Run(ctx, id)
	if err != nil {
		return agent.RunInfo{}, err
	}
	if info.Owner() != call.seat.session.Owner() {
		return agent.RunInfo{}, agent.ErrNotFound
	}
	return info, nil
}

func runGet(ctx context.Context, c *conn, call call, p wire.RunParams) (any, error) {
	info, err := c.own(ctx, call, p.Run)
	if err != nil {
		return nil, err
	}
	return c.srv.runOf(ctx, info)
}

func runList(ctx context.Context, c *conn, call call, p wire.ListParams) (any, error) {
	if p.Limit == 0 {
		p.Limit = 100
	}
	list, err := c.srv.cfg.Runner.Runs(ctx, call.seat.session, int(p.Limit))
	if err != nil {
		return nil, err
	}
	out := wire.Runs{Runs: []wire.Run{}}
	for _, info := range list {
		r, err := c.srv.runOf(ctx, info)
		if err != nil {
			return nil, err
		}
		out.Runs = append(out.Runs, r)
	}
	return out, nil
}

func (s *Server) runOf(ctx context.Context, i agent.RunInfo) (wire.Run, error) {
	r := wire.Run{
		ID: i.ID.String(), Session: i.Session.String(), Agent: i.Agent, Opened: i.Opened, Steps: i.Steps,
		Last: i.Last.String(), Status: i.Status,
	}
	if i.Head.Defined() {
		r.Head = i.Head.String()
	}
	from, err := s.cfg.Runner.Lineage(ctx, i.ID)
	if err == nil && from.Delegation.Defined() {
		r.Delegation, r.Caller = from.Delegation.String(), from.Callers[0].String()
	}
	return r, err
}

func runCancel(ctx context.Context, c *conn, call call, p wire.RunParams) (any, error) {
	info, err := c.own(ctx, call, p.Run)
	if err != nil {
		return nil, err
	}
	return wire.None{}, c.srv.cfg.Runner.Cancel(ctx, info.ID)
}

func approvalList(ctx context.Context, c *conn, call call, _ wire.None) (any, error) {
	list, err := c.srv.cfg.Runner.Approvals(ctx, call.seat.session)
	if err != nil {
		return nil, err
	}
	out := wire.Approvals{Approvals: []wire.Approval{}}
	for _, a := range list {
		message, err := a.Approval.MarshalJSON()
		if err != nil {
			return nil, err
		}
		typed, err := a.Approval.TypedData()
		if err != nil {
			return nil, err
		}
		from, err := c.srv.cfg.Runner.Lineage(ctx, a.Run)
		if err != nil {
			return nil, err
		}
		var callers []string
		for _, l := range from.Callers {
			callers = append(callers, l.String())
		}
		out.Approvals = append(out.Approvals, wire.Approval{
			Callers: callers, Run: a.Run.String(), Effect: wire.Ref(a.Effect), Step: a.Step.String(),
			Message: string(message), Typed: typed, Summary: a.Summary, Until: a.Until,
		})
	}
	return out, nil
}

// approvalDecide brings the wallet's answer to a run. That the run is the caller's own is not enough: Runner.Decide
// checks the signature against exactly what the run waits for. An effect is decided once, so the idempotency key has
// nothing left to do but to be there, as in every method that acts and is not idempotent by its nature.
func approvalDecide(ctx context.Context, c *conn, call call, p wire.DecideParams) (any, error) {
	info, err := c.own(ctx, call, p.Run)
	if err != nil {
		return nil, err
	}
	d := agent.ApprovalDecision{
		Run: info.ID, Effect: provenance.Ref(p.Effect), Approve: p.Approve, Reason: p.Reason,
	}
	if p.Approve {
		if p.Message == "" || p.Signature == "" {
			return nil, wire.Errorf(wire.CodeParams, "To approve, give the approval's message and the wallet's signature.")
		}
		d.Message = []byte(p.Message)
		if d.Sig, err = auth.ParseContractSig(p.Signature); err != nil {
			return nil, err
		}
	}
	return wire.None{}, c.srv.cfg.Runner.Decide(ctx, d)
}

// provenanceGet says where a run's record is. Records are public where they are not sealed; keys are the owner's.
func provenanceGet(ctx context.Context, c *conn, call call, p wire.ProvenanceParams) (any, error) {
	id, err := cid.Decode(p.Run)
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "run is not a CID.")
	}
	info, err := c.srv.cfg.Runner.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	if !info.Head.Defined() {
		return nil, wire.Errorf(wire.CodeNotFound, "The run has no signed head yet; ask again when it has closed or waits.")
	}
	out := wire.Provenance{Head: info.Head.String(), Car: "/ipfs/" + info.Head.String() + "?format=car"}
	if log := c.srv.cfg.HeadLog; log != nil {
		out.Log = log.VKey()
		if r, err := log.Receipt(ctx, id); err == nil {
			out.Head, out.Receipt = r.Head.String(), string(r.Text)
			out.Car = "/ipfs/" + r.CID.String() + "?format=car"
		} else if !errors.Is(err, agent.ErrNotFound) {
			return nil, err
		}
	}
	if !p.Keys {
		return out, nil
	}
	if call.seat == nil || call.seat.session.Owner() != info.Owner() {
		return nil, wire.Errorf(wire.CodeForbidden, "Only the wallet that owns the run gets its keys; open a session of it.")
	}
	keys, err := c.srv.cfg.Runner.Keys(ctx, id)
	if err != nil {
		return nil, err
	}
	out.Keys = make(map[string]string, len(keys))
	for leaf, key := range keys {
		out.Keys[leaf.String()] = base64.StdEncoding.EncodeToString(key[:])
	}
	return out, nil
}
