package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// A PendingApproval is a call that waits for the wallet.
type PendingApproval struct {
	Run      provenance.Link
	Opened   int64           // when the run was, ms UTC
	Effect   provenance.Ref  // the seek
	Step     provenance.Link // that holds it
	Approval auth.Approval   // what is to be signed, EIP-712
	Summary  json.RawMessage // an approval.Summary
	Until    int64           // ms UTC
	Call     loop.Waiting
}

// Approvals lists what the parked runs of a session's owner wait for, oldest run first.
func (r *Runner) Approvals(ctx context.Context, of journal.Session) ([]PendingApproval, error) {
	open, err := r.cfg.Store.OpenRunsOfOwner(ctx, of)
	if err != nil {
		return nil, fmt.Errorf("list approvals: %w", err)
	}
	var out []PendingApproval
	for _, info := range open {
		list, err := r.runs.waits.At(info.ID, info.Last, func() ([]PendingApproval, error) {
			return r.runs.readApprovals(ctx, info.ID)
		})
		if err != nil { // one run that cannot be read must not hide what the others wait for
			r.log.ErrorContext(ctx, "approvals not read", "run", info.ID, "err", err)
		}
		out = append(out, list...)
	}
	return out, nil
}

// readApprovals lists what one run waits for, as far as it can be read.
func (rs *runs) readApprovals(ctx context.Context, run provenance.Link) (out []PendingApproval, failed error) {
	h, err := rs.loadRun(ctx, run, true)
	if err != nil {
		return nil, err
	}
	for _, ref := range h.state.OpenEffects() {
		if seek, ok := h.effects[ref].(*provenance.Seek); ok {
			p, err := h.pendingApproval(ref, seek)
			if err != nil {
				failed = err
				continue
			}
			out = append(out, p)
		}
	}
	return out, failed
}

func (h *history) pendingApproval(ref provenance.Ref, seek *provenance.Seek) (PendingApproval, error) {
	step := h.steps[ref.Seq].id
	a, err := approval.Of(h.machine.Grant(), h.info.Session, h.info.ID, step, ref, seek)
	summary, _ := seek.Summary.Bytes()
	call, _ := h.state.Waiting(ref)
	return PendingApproval{h.info.ID, h.info.Opened, ref, step, a, summary, seek.Until, call}, err
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
	verdict, err := r.checkDecision(ctx, d)
	if err != nil {
		return fmt.Errorf("decide: %w", err)
	}
	return r.runs.deliverEvent(ctx, d.Run, verdict)
}

// checkDecision makes the event that an answer is.
func (r *Runner) checkDecision(ctx context.Context, d ApprovalDecision) (*provenance.Verdict, error) {
	h, err := r.runs.loadRun(ctx, d.Run, true)
	if err != nil {
		return nil, err
	}
	seek, ok := h.effects[d.Effect].(*provenance.Seek)
	if !ok {
		return nil, fmt.Errorf("no approval is sought at %d.%d of this run: %w",
			d.Effect.Seq, d.Effect.Index, journal.ErrNotFound)
	}
	// A refusal moves nothing, so anybody's is taken.
	if !d.Approve {
		words := cmp.Or(clipText(d.Reason, 200), "no reason given")
		return &provenance.Verdict{Of: d.Effect, Words: provenance.NewPayload([]byte(words))}, nil
	}
	// The operator's list of wallets may be another one since the run was started.
	if err := r.cfg.checkServed(h.info.Account, h.info.Owner()); err != nil {
		return nil, err
	}
	want, err := h.pendingApproval(d.Effect, seek)
	if err != nil {
		return nil, err
	}
	given, err := r.wallets.checkApproval(ctx, h.machine.Grant(), want.Approval, d)
	if err != nil {
		r.wallets.recheckAfterRefusal(ctx, h.info.Session, err)
		return nil, err
	}
	return &provenance.Verdict{Of: d.Effect, Approval: given}, approval.Check(want.Approval, given, r.cfg.Now())
}

// reports are what callers say of calls of their own tools.
type reports struct{ runs *runs }

// Report brings what came of a call of the caller's own tool into its run, as JSON. ErrNotFound if none waits for it.
func (r *reports) Report(
	ctx context.Context, run provenance.Link, call provenance.Ref, output []byte, failed bool,
) error {
	h, err := r.runs.loadRun(ctx, run, true)
	if err != nil {
		return err
	}
	if _, waits := h.state.CallerUntil(call); !waits {
		return fmt.Errorf("no call of the caller's own waits at %d.%d of this run: %w",
			call.Seq, call.Index, journal.ErrNotFound)
	}
	status := provenance.StatusOK
	if failed {
		status = provenance.StatusError
	}
	return r.runs.deliverEvent(ctx, run, &provenance.Result{
		Of: call, Status: status, Output: provenance.NewPayload(output),
	})
}
