package runner

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/revocation"
	"github.com/writ-run/writ/agent/subagent"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// A sub-agent is called like a tool of class keyed: the call opens a run of the other agent, once however often it is
// performed, and what that run comes to is the call's result. The run is in the same session, so that revoking it ends
// both, and acts under a delegation that is signed for this one call. Its caller waits for it without a goroutine: the
// run that closes brings its result to the one that called.

// A subCall is a call of a sub-agent.
type subCall struct {
	*effect
	call *provenance.Call
	subRequest
}

// A subRequest is what a call of a sub-agent says, and with it which run it opens.
type subRequest struct {
	by     provenance.Parent // the call
	key    [32]byte          // of the effect
	to     *provenance.Delegate
	agent  string // the sub-agent's name
	params []byte // of the request
}

// readRequest reads a call of a sub-agent.
func (x *effect) readRequest(ctx context.Context, e *provenance.Call) (q subRequest, err error) {
	q = subRequest{
		by: provenance.Parent{Step: x.step, Effect: x.ref.Index}, key: provenance.EffectKey(x.step, x.ref.Index),
		to: x.machine.DelegateOf(e),
	}
	var def provenance.ToolDef
	if err := x.runs.records.readRecord(ctx, e.Tool, &def); err != nil {
		return q, err
	}
	var other provenance.Agent
	if err := x.runs.records.readRecord(ctx, q.to.Agent, &other); err != nil {
		return q, err
	}
	raw, ok := e.Args.Bytes()
	if !ok {
		return q, fmt.Errorf("the arguments of %s: %w", def.Name, loop.ErrSealed)
	}
	input, err := definition.InputOf(&def, raw)
	if err != nil {
		return q, err
	}
	q.agent = other.Name
	// The key in the request is the salt of the run's digests, so it is nothing that others can derive.
	id := x.runs.secretOf("request", q.key)
	q.params, err = json.Marshal(wire.StartParams{Agent: q.agent, Input: input, Key: hex.EncodeToString(id[:16])})
	return q, err
}

// idempotencyKey names the run that a call opens. No client's key has a slash.
func (q *subRequest) idempotencyKey() string { return "delegate/" + hex.EncodeToString(q.key[:]) }

// secretOf derives bytes that only this runtime knows from a call: the same each time, so that a call which is
// performed again after a crash asks for the same run.
func (rs *runs) secretOf(label string, key [32]byte) [32]byte {
	h := hmac.New(sha256.New, rs.cfg.Key.Seed())
	h.Write([]byte("writ/delegate/1 " + label + "\n"))
	h.Write(key[:])
	return [32]byte(h.Sum(nil))
}

// findSubRun returns the run that a call has opened, or ErrNotFound.
func (rs *runs) findSubRun(ctx context.Context, session provenance.Link, q *subRequest) (provenance.Link, error) {
	return rs.cfg.Store.RunByKey(ctx, session, q.idempotencyKey(), sha256.Sum256(q.params))
}

// perform opens the other agent's run, unless that was done before. The answer has no event if the run is still under
// way.
func (c *subCall) perform(ctx context.Context) answer {
	var err error
	if c.subRequest, err = c.readRequest(ctx, c.call); err != nil {
		c.runs.log.WarnContext(ctx, "call of a sub-agent not read", "run", c.run.ID, "err", err)
		return c.answerFailure("delegation", "The sub-agent cannot be called: the call could not be read again.")
	}
	id, err := c.runs.findSubRun(ctx, c.run.Session, &c.subRequest)
	if errors.Is(err, journal.ErrNotFound) {
		id, err = c.openSubRun(ctx)
	}
	if errors.Is(err, ErrClosed) {
		return answer{cut: true}
	}
	if f, ok := errors.AsType[*auth.Fault](err); ok {
		return c.answerFailure("delegation", "The sub-agent cannot be called: "+f.Error()+".")
	}
	var ev *provenance.Result
	if err == nil {
		ev, err = c.runs.readOutcome(ctx, id)
	}
	if err != nil {
		c.runs.log.WarnContext(ctx, "sub-agent not called", "run", c.run.ID, "agent", c.agent, "err", err)
		return c.inDoubt()
	}
	if ev != nil {
		return answer{ev: ev}
	}
	// It may have been opened just after its caller ended.
	if info, err := c.runs.cfg.Store.Run(ctx, c.run.ID); err == nil && !info.IsOpen() {
		c.runs.endSubRun(c.run.Session, &c.subRequest, provenance.LapseCancelled)
	}
	return answer{}
}

// openSubRun opens the run of a sub-agent.
func (c *subCall) openSubRun(ctx context.Context) (provenance.Link, error) {
	d, caller, err := c.signDelegation(ctx)
	if err != nil {
		return provenance.Link{}, err
	}
	delegation, err := provenance.Encode(d)
	if err != nil {
		return provenance.Link{}, err
	}
	// The machine reads the delegation from the store, where it is harmless by itself.
	if err := c.runs.cfg.Store.PutBlocks(ctx, []provenance.Block{delegation}, nil); err != nil {
		return provenance.Link{}, err
	}
	a, err := c.newSubRun(ctx, &provenance.Run{
		Agent: c.to.Agent, Grant: c.run.Session, Rules: caller.Rules, Runtime: c.runs.catalog.runtime,
		Opened: max(c.runs.cfg.Now().UnixMilli(), d.At), Nonce: c.runs.secretOf("run", c.key), Parent: &c.by,
		Delegation: delegation.CID,
	})
	if err != nil {
		return provenance.Link{}, err
	}
	label, err := c.handedLabel()
	if err != nil {
		return provenance.Link{}, err
	}
	frame := auth.Frame{
		Session: delegation.CID, Channel: c.key, Seq: 1, Method: subagent.Method, Params: c.params,
	}
	_, err = c.runs.openRun(ctx, a, &provenance.Ask{
		Request: provenance.NewPayload(c.params), Channel: frame.Channel, Seq: frame.Seq, Method: frame.Method,
		Key: d.Issuer, Sig: ed25519.Sign(c.runs.cfg.Key, frame.Bytes()), Label: label,
	})
	if errors.Is(err, journal.ErrConflict) { // the same call was performed twice at once
		return c.runs.findSubRun(ctx, c.run.Session, &c.subRequest)
	}
	return a.info.ID, err
}

// handedLabel returns what the run begins with, as the call says.
func (c *subCall) handedLabel() (*provenance.Payload, error) {
	text, ok := c.call.Handed.Label.Bytes()
	if !ok {
		return nil, fmt.Errorf("the label of a call: %w", loop.ErrSealed)
	}
	return provenance.NewPayload(text), nil
}

// signDelegation makes and signs the delegation for this one call. It returns the caller's record besides.
func (c *subCall) signDelegation(ctx context.Context) (*provenance.Delegation, *provenance.Run, error) {
	var step provenance.Step
	if err := c.runs.records.readRecord(ctx, c.by.Step, &step); err != nil {
		return nil, nil, err
	}
	caller := new(provenance.Run)
	if err := c.runs.records.readRecord(ctx, c.run.ID, caller); err != nil {
		return nil, nil, err
	}
	from := c.run.Session
	if caller.Delegation.Defined() {
		from = caller.Delegation
	}
	d, err := c.machine.Authority().Delegate(c.to, c.call.Handed, from, c.by, step.At)
	if err != nil {
		return nil, nil, err
	}
	issuer, err := auth.Ed25519Key(c.runs.publicKey())
	if err != nil {
		return nil, nil, err
	}
	d.Nonce, d.Issuer = c.runs.secretOf("delegation", c.key), issuer.String()
	signed, err := d.Signed()
	if err != nil {
		return nil, nil, err
	}
	d.Sig = ed25519.Sign(c.runs.cfg.Key, signed)
	return d, caller, nil
}

// newSubRun makes the actor of the run that the call opens.
func (c *subCall) newSubRun(ctx context.Context, run *provenance.Run) (*actor, error) {
	session, err := c.runs.cfg.Store.Session(ctx, c.run.Session)
	if err != nil {
		return nil, err
	}
	machine, err := c.runs.machines.machineOf(ctx, session, pins{run.Agent, run.Rules, run.Runtime, run.Delegation})
	if err != nil {
		return nil, err
	}
	return c.runs.newRunActor(machine, run, journal.RunInfo{
		Session: c.run.Session, Account: c.run.Account, Chain: c.run.Chain, Method: c.run.Method, Agent: c.agent,
	}, c.idempotencyKey(), sha256.Sum256(c.params))
}

// readOutcome returns the result of the call that opened a run, or nil if the run has not closed.
func (rs *runs) readOutcome(ctx context.Context, run provenance.Link) (*provenance.Result, error) {
	info, err := rs.cfg.Store.Run(ctx, run)
	if err != nil || info.IsOpen() {
		return nil, err
	}
	views, err := rs.records.readSteps(ctx, run, info.Steps-1, 1)
	if err != nil {
		return nil, err
	}
	if len(views) != 1 {
		return nil, fmt.Errorf("the last step of run %s: %w", run, journal.ErrNotFound)
	}
	o, err := subagent.OutcomeOf(run, views[0].Step)
	if err != nil {
		return nil, err
	}
	var rec provenance.Run
	if err := rs.records.readRecord(ctx, run, &rec); err != nil {
		return nil, err
	}
	if rec.Parent == nil {
		return nil, fmt.Errorf("run %s was not opened by a call: %w", run, journal.ErrNotFound)
	}
	var caller provenance.Step
	if err := rs.records.readRecord(ctx, rec.Parent.Step, &caller); err != nil {
		return nil, err
	}
	return &provenance.Result{
		Of:     provenance.Ref{Seq: caller.Seq, Index: rec.Parent.Effect},
		Status: provenance.StatusOK, Child: info.Head,
		Output: provenance.NewPayload(o.JSON()), Took: views[0].Step.At - rec.Opened,
	}, nil
}

// bringBack delivers the outcome of a sub-agent's closed run to the run that called it. If this process ends before it
// could, the caller finds it when it is taken up again.
func (rs *runs) bringBack(run provenance.Link, parent *provenance.Parent) {
	_ = rs.background.Start(func(ctx context.Context) {
		ev, err := rs.readOutcome(ctx, run)
		var caller provenance.Step
		if err == nil {
			err = rs.records.readRecord(ctx, parent.Step, &caller)
		}
		if err == nil && ev != nil {
			err = rs.deliverUntilTaken(ctx, caller.Run, ev)
		}
		// A caller that has ended, or has found it by itself, waits for it no more.
		if isUndelivered(ctx, err) {
			rs.log.WarnContext(ctx, "outcome of a sub-agent not delivered", "run", run, "err", err)
			rs.wakeAfter(caller.Run, fullPause)
		}
	})
}

// endSubRun ends the run that a call has opened, if it has. If this process ends before it could, the run finds that
// its caller has ended when it is taken up again.
func (rs *runs) endSubRun(session provenance.Link, q *subRequest, why string) {
	_ = rs.background.Start(func(ctx context.Context) {
		id, err := rs.findSubRun(ctx, session, q)
		if err == nil {
			err = rs.deliverUntilTaken(ctx, id, &provenance.Lapse{Why: why})
		}
		if isUndelivered(ctx, err) {
			rs.log.WarnContext(ctx, "run of a sub-agent did not end", "agent", q.agent, "err", err)
		}
	})
}

// isUndelivered says whether a run that waits for an event did not get it.
func isUndelivered(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && !errors.Is(err, journal.ErrNotFound) && !errors.Is(err, errEvent) &&
		!errors.Is(err, ErrClosed)
}

// An endedCall is a call of a sub-agent whose permission ends with a step of its caller.
type endedCall struct {
	subRequest
	delegation provenance.Link
	awaited    bool // its caller waits for what it has come to
}

// waitsForAgent says whether a call of a sub-agent is open.
func (a *actor) waitsForAgent() bool {
	for _, e := range a.effects {
		if c, ok := e.(*provenance.Call); ok && a.machine.DelegateOf(c) != nil {
			return true
		}
	}
	return false
}

// endDelegations ends, in the commit of a step, the permission of every sub-agent whose call the step takes back or
// stops waiting for: once the step is durable nothing of it, or of what it has called, reserves any more. Its run may
// not be open yet.
func (a *actor) endDelegations(ctx context.Context, c *journal.Commit, ev provenance.Event, d *stepDraft) error {
	open := d.next.OpenEffects()
	r, _ := ev.(*provenance.Result)
	for ref, e := range a.effects {
		call, ok := e.(*provenance.Call)
		x := endedCall{awaited: slices.Contains(open, ref)}
		if !ok || a.machine.DelegateOf(call) == nil || r != nil && r.Of == ref ||
			x.awaited && !slices.Contains(d.todo.TakenBack, ref) {
			continue
		}
		at := &effect{runs: a.runs, machine: a.machine, run: a.info, ref: ref, step: a.steps[ref.Seq].id}
		sub := subCall{effect: at, call: call}
		var err error
		if sub.subRequest, err = at.readRequest(ctx, call); err == nil {
			x.subRequest = sub.subRequest
			x.delegation, err = sub.endDelegation(ctx, c)
		}
		if _, never := errors.AsType[*auth.Fault](err); never {
			continue // the call gave it no permission
		}
		if err != nil {
			return fmt.Errorf("end the call of a sub-agent: %w", err)
		}
		d.ended = append(d.ended, x)
	}
	return nil
}

// endDelegation makes the end of the call's delegation a part of a commit.
func (c *subCall) endDelegation(ctx context.Context, to *journal.Commit) (provenance.Link, error) {
	d, _, err := c.signDelegation(ctx)
	if err != nil {
		return provenance.Link{}, err
	}
	b, err := provenance.Encode(d)
	if err != nil {
		return b.CID, err
	}
	text, err := auth.DelegationEndText(c.run.Session, b.CID, "its caller was told to stop, or has ended",
		time.UnixMilli(to.At).UTC().Truncate(time.Second))
	if err != nil {
		return b.CID, err
	}
	by, sealed, err := c.runs.records.sealWith(&provenance.Revocation{
		Grant: c.run.Session, Delegation: b.CID, At: to.At, Method: provenance.RevokedOperator,
		Message: provenance.NewPayload(text), Sig: provenance.NewPayload(revocation.Sign(c.runs.cfg.Key, text)),
	}, leaves{})
	to.Blocks, to.Leaves = append(to.Blocks, sealed.blocks...), append(to.Leaves, sealed.keys...)
	to.Ends = append(to.Ends, journal.DelegationEnd{Delegation: b.CID, By: by})
	return b.CID, err
}

// endSubRuns tells the runs of sub-agents whose permission has ended with a step.
func (a *actor) endSubRuns(ended []endedCall, ev provenance.Event) {
	why := provenance.LapseCancelled
	if l, ok := ev.(*provenance.Lapse); ok && l.Of == nil && l.Why == provenance.LapseTimeout {
		why = l.Why
	}
	for _, x := range ended {
		if !x.awaited {
			a.runs.endSubRun(a.info.Session, &x.subRequest, why)
			continue
		}
		_ = a.runs.background.Start(func(ctx context.Context) {
			if err := a.runs.endRuns(ctx, a.info.Session, x.delegation); err != nil && ctx.Err() == nil {
				a.runs.log.WarnContext(ctx, "runs of a sub-agent not told to end", "agent", x.agent, "err", err)
			}
		})
	}
}

// orphanLapse returns the event that ends a sub-agent's run whose caller has ended, or nil.
func (rs *runs) orphanLapse(ctx context.Context, parent *provenance.Parent) (*provenance.Lapse, error) {
	if parent == nil {
		return nil, nil
	}
	var step provenance.Step
	if err := rs.records.readRecord(ctx, parent.Step, &step); err != nil {
		return nil, err
	}
	info, err := rs.cfg.Store.Run(ctx, step.Run)
	if err != nil || info.IsOpen() {
		return nil, err
	}
	return &provenance.Lapse{Why: provenance.LapseCancelled}, nil
}
