package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// A sub-agent is called like a tool of class keyed: the call opens a run of the other agent, once however often it is
// performed, and what that run comes to is the call's result. The run is in the same session, so that revoking it ends
// both, and acts under a delegation that is signed for this one call. Its caller waits for it without a goroutine: the
// run that closes brings its result to the one that called.

// A calling is a call of a sub-agent, with everything that follows from it.
type calling struct {
	by     provenance.Parent // the call
	key    [32]byte          // its EffectKey
	to     *provenance.Delegate
	agent  string // the sub-agent's name
	params []byte // of the request
}

// secretOf derives bytes that only this runtime knows from a call: the same each time, so that a call which is
// performed again after a crash asks for the same run.
func (r *Runner) secretOf(label string, key [32]byte) [32]byte {
	h := hmac.New(sha256.New, r.cfg.Key.Seed())
	h.Write([]byte("writ/delegate/1 " + label + "\n"))
	h.Write(key[:])
	return [32]byte(h.Sum(nil))
}

// calling reads a call of a sub-agent.
func (a *actor) calling(ctx context.Context, ref provenance.Ref, step provenance.Link, e *provenance.Call) (*calling, error) {
	c := &calling{by: provenance.Parent{Step: step, Effect: ref.Index}, key: EffectKey(step, ref.Index), to: a.machine.DelegateOf(e)}
	var def provenance.ToolDef
	if err := a.r.record(ctx, e.Tool, &def); err != nil {
		return nil, err
	}
	var other provenance.Agent
	if err := a.r.record(ctx, c.to.Agent, &other); err != nil {
		return nil, err
	}
	raw, ok := e.Args.Bytes()
	if !ok {
		return nil, fmt.Errorf("the arguments of %s: %w", def.Name, loop.ErrSealed)
	}
	input, err := loop.InputOf(&def, raw)
	if err != nil {
		return nil, err
	}
	c.agent = other.Name
	// The key in the request is the salt of the run's digests, so it is nothing that others can derive.
	id := a.r.secretOf("request", c.key)
	c.params, err = json.Marshal(wire.StartParams{Agent: c.agent, Input: input, Key: hex.EncodeToString(id[:16])})
	return c, err
}

// name is the idempotency key of the run that a call opens. No client's key has a slash.
func (c *calling) name() string { return "delegate/" + hex.EncodeToString(c.key[:]) }

// child returns the run that a call has opened, or ErrNotFound.
func (r *Runner) child(ctx context.Context, session provenance.Link, c *calling) (provenance.Link, error) {
	return r.cfg.Store.ByKey(ctx, session, c.name(), sha256.Sum256(c.params))
}

// delegate performs a call of a sub-agent: it opens the other agent's run, unless that was done before. The answer has
// no event if the run is still under way.
func (a *actor) delegate(ctx context.Context, ref provenance.Ref, step provenance.Link, e *provenance.Call) answer {
	failed := func(code, message string) answer {
		return answer{ev: &provenance.Result{
			Of: ref, Status: provenance.StatusError, Output: provenance.NewPayload(failureJSON(code, message)),
		}}
	}
	c, err := a.calling(ctx, ref, step, e)
	if err != nil {
		a.r.log.WarnContext(ctx, "call of a sub-agent not read", "run", a.info.ID, "err", err)
		return failed("delegation", "The sub-agent cannot be called: the call could not be read again.")
	}
	id, err := a.r.child(ctx, a.info.Session, c)
	if errors.Is(err, ErrNotFound) {
		id, err = a.open(ctx, c)
	}
	if f, ok := errors.AsType[*auth.Fault](err); ok {
		return failed("delegation", "The sub-agent cannot be called: "+f.Error()+".")
	}
	var ev *provenance.Result
	if err == nil {
		ev, err = a.r.outcome(ctx, id)
	}
	if err != nil {
		a.r.log.WarnContext(ctx, "sub-agent not called", "run", a.info.ID, "agent", c.agent, "err", err)
		return answer{ev: &provenance.Lapse{Of: &ref, Why: provenance.LapseInDoubt}}
	}
	if ev == nil {
		// It may have been opened just after its caller ended.
		if info, err := a.r.cfg.Store.Run(ctx, a.info.ID); err == nil && !open(info.Status) {
			a.r.endChild(a.info.Session, c, provenance.LapseCancelled)
		}
		return answer{}
	}
	return answer{ev: ev}
}

// open says whether a run of this status goes on.
func open(status string) bool {
	return status == "running" || status == "parked" || status == StatusCut
}

// open opens the run of a sub-agent.
func (a *actor) open(ctx context.Context, c *calling) (provenance.Link, error) {
	r := a.r
	var step provenance.Step
	if err := r.record(ctx, c.by.Step, &step); err != nil {
		return provenance.Link{}, err
	}
	var caller provenance.Run
	if err := r.record(ctx, a.info.ID, &caller); err != nil {
		return provenance.Link{}, err
	}
	from := a.info.Session
	if caller.Delegation.Defined() {
		from = caller.Delegation
	}
	d, err := a.machine.Authority().Delegate(c.to, a.machine.Limits(), from, c.by, step.At)
	if err != nil {
		return provenance.Link{}, err
	}
	issuer, err := auth.Ed25519Key(r.Key())
	if err != nil {
		return provenance.Link{}, err
	}
	d.Nonce, d.Issuer = r.secretOf("delegation", c.key), issuer.String()
	signed, err := d.Signed()
	if err != nil {
		return provenance.Link{}, err
	}
	d.Sig = ed25519.Sign(r.cfg.Key, signed)
	delegation, err := provenance.Encode(d)
	if err != nil {
		return provenance.Link{}, err
	}
	run := &provenance.Run{
		Agent: c.to.Agent, Grant: a.info.Session, Rules: caller.Rules, Runtime: r.runtime, Opened: max(r.cfg.Now().UnixMilli(), d.At),
		Nonce: r.secretOf("run", c.key), Parent: &c.by, Delegation: delegation.CID,
	}
	block, err := provenance.Encode(run)
	if err != nil {
		return provenance.Link{}, err
	}
	// The machine reads the delegation from the store, where it is harmless by itself.
	if err := r.cfg.Store.PutBlocks(ctx, []provenance.Block{delegation}, nil); err != nil {
		return provenance.Link{}, err
	}
	session, err := r.cfg.Store.Session(ctx, a.info.Session)
	if err != nil {
		return provenance.Link{}, err
	}
	machine, err := r.machine(ctx, session, run.Agent, run.Rules, run.Runtime, run.Delegation)
	if err != nil {
		return provenance.Link{}, err
	}
	frame := auth.Frame{Session: delegation.CID, Channel: c.key, Seq: 1, Method: loop.MethodDelegate, Params: c.params}
	ask := &provenance.Ask{
		Request: provenance.NewPayload(c.params), Channel: frame.Channel, Seq: frame.Seq, Method: frame.Method,
		Key: d.Issuer, Sig: ed25519.Sign(r.cfg.Key, frame.Bytes()),
	}
	sub := r.actor(&journal{
		info:    RunInfo{ID: block.CID, Session: a.info.Session, Account: a.info.Account, Chain: a.info.Chain, Method: a.info.Method, Agent: c.agent, Opened: run.Opened},
		machine: machine, state: loop.State{Run: block.CID}, fence: 1, parent: run.Parent,
		effects: map[provenance.Ref]provenance.Effect{}, steps: map[uint64]provenance.Link{},
	})
	sub.opening = &Opening{
		Session: a.info.Session, Account: a.info.Account, Agent: c.agent, Key: c.name(), Hash: sha256.Sum256(c.params),
		Owner: r.cfg.Owner, Until: r.leaseUntil(),
	}
	sub.blocks = []provenance.Block{block}
	defer r.lock(block.CID)()
	if err := sub.step(ctx, ask); errors.Is(err, ErrConflict) { // it was performed twice at once
		return r.child(ctx, a.info.Session, c)
	} else if err != nil {
		return provenance.Link{}, err
	}
	return block.CID, r.launch(sub)
}

// outcome returns the result of the call that opened a run, or nil if the run has not closed.
func (r *Runner) outcome(ctx context.Context, run provenance.Link) (*provenance.Result, error) {
	info, err := r.cfg.Store.Run(ctx, run)
	if err != nil || open(info.Status) {
		return nil, err
	}
	views, err := r.Steps(ctx, run, info.Steps-1, 1)
	if err != nil {
		return nil, err
	}
	if len(views) != 1 {
		return nil, fmt.Errorf("the last step of run %s: %w", run, ErrNotFound)
	}
	o, err := loop.OutcomeOf(run, views[0].Step)
	if err != nil {
		return nil, err
	}
	var rec provenance.Run
	if err := r.record(ctx, run, &rec); err != nil {
		return nil, err
	}
	if rec.Parent == nil {
		return nil, fmt.Errorf("run %s was not opened by a call: %w", run, ErrNotFound)
	}
	var caller provenance.Step
	if err := r.record(ctx, rec.Parent.Step, &caller); err != nil {
		return nil, err
	}
	return &provenance.Result{
		Of: provenance.Ref{Seq: caller.Seq, Index: rec.Parent.Effect}, Status: provenance.StatusOK, Child: info.Head,
		Output: provenance.NewPayload(loop.OutcomeJSON(o)), Took: views[0].Step.At - rec.Opened,
	}, nil
}

// bringBack brings what a sub-agent's run came to to the run that called. If this process ends before it could, the
// caller finds it when it is taken up again.
func (r *Runner) bringBack(run provenance.Link, parent *provenance.Parent) {
	r.wg.Go(func() {
		ctx := r.ctx
		ev, err := r.outcome(ctx, run)
		var caller provenance.Step
		if err == nil {
			err = r.record(ctx, parent.Step, &caller)
		}
		if err == nil && ev != nil {
			err = r.deliver(ctx, caller.Run, ev)
		}
		// A caller that has ended, or has found it by itself, waits for it no more.
		if err != nil && ctx.Err() == nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, errEvent) && !errors.Is(err, ErrClosed) {
			r.log.WarnContext(ctx, "outcome of a sub-agent not delivered", "run", run, "err", err)
			r.wakeAfter(caller.Run, fullPause)
		}
	})
}

// endChild ends the run that a call has opened, if it has.
func (r *Runner) endChild(session provenance.Link, c *calling, why string) {
	r.wg.Go(func() {
		id, err := r.child(r.ctx, session, c)
		if err == nil {
			err = r.deliver(r.ctx, id, &provenance.Lapse{Why: why})
		}
		if err != nil && r.ctx.Err() == nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, errEvent) && !errors.Is(err, ErrClosed) {
			r.log.WarnContext(r.ctx, "run of a sub-agent did not end", "agent", c.agent, "err", err)
		}
	})
}

// callsOut returns the run's open calls of sub-agents.
func (a *actor) callsOut() map[provenance.Ref]*provenance.Call {
	var out map[provenance.Ref]*provenance.Call
	for ref, e := range a.effects {
		if c, ok := e.(*provenance.Call); ok && a.machine.DelegateOf(c) != nil {
			if out == nil {
				out = map[provenance.Ref]*provenance.Call{}
			}
			out[ref] = c
		}
	}
	return out
}

// left ends the runs of calls that were open before a step and that nobody waits for after it. steps are the CIDs of
// their steps.
func (a *actor) left(ctx context.Context, before map[provenance.Ref]*provenance.Call, steps map[uint64]provenance.Link, ev provenance.Event) {
	why := provenance.LapseCancelled
	if l, ok := ev.(*provenance.Lapse); ok && l.Of == nil && l.Why == provenance.LapseTimeout {
		why = l.Why
	}
	for ref, call := range before {
		if _, still := a.effects[ref]; still {
			continue
		}
		if r, ok := ev.(*provenance.Result); ok && r.Of == ref {
			continue
		}
		c, err := a.calling(ctx, ref, steps[ref.Seq], call)
		if err != nil {
			a.r.log.WarnContext(ctx, "call of a sub-agent not read", "run", a.info.ID, "err", err)
			continue
		}
		a.r.endChild(a.info.Session, c, why)
	}
}

// orphaned returns the event that ends a sub-agent's run whose caller has ended, or nil.
func (r *Runner) orphaned(ctx context.Context, parent *provenance.Parent) (*provenance.Lapse, error) {
	if parent == nil {
		return nil, nil
	}
	var step provenance.Step
	if err := r.record(ctx, parent.Step, &step); err != nil {
		return nil, err
	}
	info, err := r.cfg.Store.Run(ctx, step.Run)
	if err != nil || open(info.Status) {
		return nil, err
	}
	return &provenance.Lapse{Why: provenance.LapseCancelled}, nil
}

// chain reads the delegations from a session's grant down to delegation, which may be undefined.
func (r *Runner) chain(ctx context.Context, session, delegation provenance.Link) ([]loop.Delegated, error) {
	var chain []loop.Delegated
	for at := delegation; at.Defined() && at != session; {
		if len(chain) == provenance.MaxDelegations {
			return nil, fmt.Errorf("delegation %s: more than %d deep", delegation, provenance.MaxDelegations)
		}
		d := new(provenance.Delegation)
		if err := r.record(ctx, at, d); err != nil {
			return nil, err
		}
		chain = append([]loop.Delegated{{CID: at, Delegation: d}}, chain...)
		at = d.From
	}
	return chain, nil
}
