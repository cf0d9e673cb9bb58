package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-run/writ/agent/approval"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/provenance"
)

// An Approval is a call that waits for the wallet. The wallet's signature is over exactly this call: with another
// argument it is void.
type Approval struct {
	Run    provenance.Link
	Tool   string
	Args   json.RawMessage // canonical JSON
	Text   string          // one line: what would be done
	Amount string          // the most that may be spent, such as "5 USDC"; empty if nothing is
	To     string          // who is paid, a 0x address; empty if nobody is
	Why    []string        // sentences of the rules that ask
	Until  time.Time       // after which the call is given up

	pending runner.PendingApproval
	agent   *Agent
}

// Approvals lists what waits for the wallet, oldest run first, those of earlier processes included.
func (a *Agent) Approvals(ctx context.Context) ([]Approval, error) {
	session, err := a.session.current(ctx)
	if err != nil {
		return nil, err
	}
	pending, err := a.runner.Approvals(ctx, session)
	if err != nil {
		return nil, err
	}
	list := make([]Approval, len(pending))
	for i, p := range pending {
		var s approval.Summary
		if err := json.Unmarshal(p.Summary, &s); err != nil {
			return nil, fmt.Errorf("read the approval that run %s waits for: %w", p.Run, err)
		}
		list[i] = Approval{
			Run: p.Run, Tool: s.Tool, Args: s.Args, Text: s.Text, Amount: s.Amount, To: s.To, Why: s.Why,
			Until: time.UnixMilli(p.Until).UTC(), pending: p, agent: a,
		}
	}
	return list, nil
}

// Typed returns what the wallet signs to approve.
func (p Approval) Typed() auth.Approval { return p.pending.Approval }

// Approve has the wallet sign, and lets the run go on.
func (p Approval) Approve(ctx context.Context) error {
	typed := p.Typed()
	sig, err := p.agent.wallet.SignTyped(typed)
	if err != nil {
		return fmt.Errorf("have the wallet sign the approval: %w", err)
	}
	message, err := json.Marshal(typed)
	if err != nil {
		return fmt.Errorf("write the approval: %w", err)
	}
	return p.agent.runner.Decide(ctx, runner.ApprovalDecision{
		Run: p.Run, Effect: p.pending.Effect, Approve: true, Message: message, Sig: sig,
	})
}

// Refuse lets the run go on without the call. The reason, of at most 200 bytes, stands in the record.
func (p Approval) Refuse(ctx context.Context, reason string) error {
	return p.agent.runner.Decide(ctx, runner.ApprovalDecision{Run: p.Run, Effect: p.pending.Effect, Reason: reason})
}

// approvalsUnder lists what a run and the runs of its sub-agents wait for.
func (a *Agent) approvalsUnder(ctx context.Context, run provenance.Link) ([]Approval, error) {
	all, err := a.Approvals(ctx)
	if err != nil {
		return nil, err
	}
	var list []Approval
	for _, p := range all {
		of, err := a.runner.Lineage(ctx, p.Run)
		if err != nil {
			return nil, err
		}
		if p.Run == run || slices.Contains(of.Callers, run) {
			list = append(list, p)
		}
	}
	return list, nil
}

// answerWaiting puts approvals to the program's callback, one after the other.
func (a *Agent) answerWaiting(ctx context.Context, waiting []Approval) error {
	for _, p := range waiting {
		ok, err := a.approve(ctx, p)
		if err != nil {
			return fmt.Errorf("approve %s: %w", p.Tool, err)
		}
		if ok {
			err = p.Approve(ctx)
		} else {
			err = p.Refuse(ctx, "refused by the program")
		}
		if errors.Is(err, journal.ErrNotFound) {
			continue // somebody else has answered it meanwhile
		}
		if err != nil {
			return fmt.Errorf("approve %s: %w", p.Tool, err)
		}
	}
	return nil
}
