package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/agent/definition"
	"github.com/writ-run/writ/agent/form"
	"github.com/writ-run/writ/agent/loop"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/digest"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/payee"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/tools"
)

func (c *Call) startRun(ctx context.Context, p wire.StartParams) (any, error) {
	return startAs(c, ctx, p, provenance.Link{})
}

// forkRun starts a run that goes on from a step of another one.
func forkRun(c *Call, ctx context.Context, p wire.ForkParams) (any, error) {
	step, err := cid.Decode(p.Step)
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "step is not a CID.")
	}
	return startAs(c, ctx, p.Start(), step)
}

// startAs starts a run, from a step of another one if there is one.
func startAs(c *Call, ctx context.Context, p wire.StartParams, step provenance.Link) (any, error) {
	if c.seat.session.Agent != p.Agent {
		return nil, wire.Errorf(wire.CodeForbidden,
			"This session is for the agent %s; sign in for the other one.", c.seat.session.Agent)
	}
	if len(p.Answer) > 0 {
		if _, err := form.Parse(p.Answer); err != nil {
			return nil, wire.Errorf(wire.CodeParams, "%v.", err)
		}
	}
	if err := checkThread(ctx, c, p.Agent, p.Thread); err != nil && !errors.Is(err, journal.ErrNotFound) {
		return nil, err
	}
	own, err := definition.ClientTools(p.Tools)
	for _, a := range c.api.cfg.Runner.AgentsFor("") {
		if err == nil && a.Name == p.Agent {
			err = definition.CheckClientNames(p.Tools, a.Tools)
		}
	}
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "%v.", err)
	}
	files, missing, err := findFiles(ctx, c, p.Files)
	if err != nil {
		return nil, explainFile(err, missing)
	}
	info, err := c.startWithinQuota(ctx, runner.StartRequest{
		Session: c.seat.session, Frame: c.frame, Sig: c.req.Auth.Sig,
		Agent: p.Agent, Input: p.Input, Key: p.Key, Thread: p.Thread, Tools: own, Step: step, Files: files,
		Reaches: func(of journal.RunInfo) bool { return reachesRun(c, of) },
	})
	if err != nil {
		return nil, explainFile(err, missing)
	}
	c.caller.mu.Lock()
	c.caller.started = info
	c.caller.mu.Unlock()
	return wire.Started{Run: info.ID.String(), Seq: info.Steps - 1}, nil
}

// sendIntoRun brings into a run what its user says.
func sendIntoRun(c *Call, ctx context.Context, p wire.SendParams) (any, error) {
	info, err := c.findOwnRun(ctx, p.Run)
	if err != nil {
		return nil, err
	}
	files, missing, err := findFiles(ctx, c, p.Files)
	if err != nil {
		return nil, explainFile(err, missing)
	}
	q := runner.SendRequest{
		Files:   files,
		Session: c.seat.session, Frame: c.frame, Sig: c.req.Auth.Sig, Run: info.ID, Key: p.Key, Of: (*provenance.Ref)(p.Of),
	}
	seq, err := c.api.cfg.Runner.Send(ctx, q)
	if errors.Is(err, journal.ErrNotFound) {
		return nil, loop.ErrSendOver // the run is there: it has ended
	}
	return wire.Sent{Seq: seq}, explainFile(err, missing)
}

// findOwnRun returns a run that the caller's session reaches. Any other one is not found.
func (c *Call) findOwnRun(ctx context.Context, run string) (journal.RunInfo, error) {
	id, err := cid.Decode(run)
	if err != nil {
		return journal.RunInfo{}, wire.Errorf(wire.CodeParams, "run is not a CID.")
	}
	info, err := c.api.cfg.Runner.Run(ctx, id)
	if err != nil {
		return journal.RunInfo{}, err
	}
	if !reachesRun(c, info) {
		return journal.RunInfo{}, journal.ErrNotFound
	}
	return info, nil
}

func (c *Call) getRun(ctx context.Context, p wire.RunParams) (any, error) {
	info, err := c.findOwnRun(ctx, p.Run)
	if err != nil {
		return nil, err
	}
	return c.api.viewRun(ctx, info)
}

// Bounds of one answer to run.list.
const (
	maxLooked  = 1000 // runs that are looked at
	listPage   = 100  // that are read at once
	maxShown   = 400  // bytes of what was asked
	defaultMax = 100
)

// listRuns lists the owner's runs that the filters let in. It looks at a bounded number of runs, and says where it
// stopped.
func (c *Call) listRuns(ctx context.Context, p wire.ListParams) (any, error) {
	if p.Limit == 0 {
		p.Limit = defaultMax
	}
	before := provenance.Link{}
	if p.Before != "" {
		first, err := c.findOwnRun(ctx, p.Before)
		if err != nil {
			return nil, err
		}
		before = first.ID
	}
	out := wire.Runs{Runs: []wire.Run{}}
	for looked := 0; looked < maxLooked; {
		list, err := c.api.cfg.Archive.RunsBefore(ctx, c.seat.session, before, listPage)
		if err != nil {
			return nil, err
		}
		for i, info := range list {
			looked, before = looked+1, info.ID
			if !reachesRun(c, info) || p.Agent != "" && info.Agent != p.Agent {
				continue
			}
			r, err := c.api.viewRun(ctx, info)
			if err != nil {
				return nil, err
			}
			if isChosen(r, p) {
				out.Runs = append(out.Runs, r)
			}
			if more := i+1 < len(list) || len(list) == listPage; uint64(len(out.Runs)) == p.Limit {
				if more {
					out.Next = before.String()
				}
				return out, nil
			}
		}
		if len(list) < listPage {
			return out, nil
		}
	}
	out.Next = before.String()
	return out, nil
}

// isChosen says whether the filters of a list let a run in.
func isChosen(r wire.Run, p wire.ListParams) bool {
	if p.Outcome != "" && r.Outcome != p.Outcome {
		return false
	}
	word := strings.ToLower(strings.TrimSpace(p.Find))
	return word == "" || strings.Contains(r.ID, word) || strings.Contains(strings.ToLower(r.Asked), word)
}

func (a *API) viewRun(ctx context.Context, i journal.RunInfo) (wire.Run, error) {
	r := wire.Run{
		ID: i.ID.String(), Session: i.Session.String(), Agent: i.Agent, Opened: i.Opened, Steps: i.Steps,
		Last: i.Last.String(), Status: i.Status,
	}
	if i.Head.Defined() {
		r.Head = i.Head.String()
	}
	from, err := a.cfg.Runner.Lineage(ctx, i.ID)
	if err != nil {
		return r, err
	}
	if from.Delegation.Defined() {
		r.Delegation, r.Caller = from.Delegation.String(), from.Callers[0].String()
	}
	for _, x := range from.Asserted {
		said := wire.Asserted{Effect: wire.Ref{Seq: x.Of.Seq, Index: x.Of.Index}, As: x.As, By: common.Address(x.By).Hex(),
			Reason: x.Why, At: x.At}
		if x.Tx != [32]byte{} {
			said.Tx = common.Hash(x.Tx).Hex()
		}
		r.Asserted = append(r.Asserted, said)
	}
	d, err := a.cfg.Archive.Digest(ctx, i)
	r.Asked, r.Erased = wording.Clip(d.Asked, maxShown), d.Erased
	if d.Forked.Defined() {
		r.Forked = d.Forked.String()
	}
	r.Outcome, r.Rule, r.Closed, r.Moved, r.Cost = d.Outcome, d.Rule, d.Closed, viewAmounts(d.Moved), d.Cost
	if d.Asks != nil {
		r.Asks = &wire.Question{Of: wire.Ref(d.Asks.Of), Text: d.Asks.Question.Question, Choices: d.Asks.Choices}
	}
	return r, err
}

func (c *Call) cancelRun(ctx context.Context, p wire.RunParams) (any, error) {
	info, err := c.findOwnRun(ctx, p.Run)
	if err != nil {
		return nil, err
	}
	if info.IsOpen() {
		err = c.api.cfg.Runner.Cancel(ctx, info.ID)
	}
	if !info.IsOpen() || errors.Is(err, journal.ErrNotFound) { // it has ended meanwhile
		e := wire.Errorf(wire.CodeLate, "The run has ended already; nothing was cancelled. What it did stays done.")
		e.Data.Reason = "run.over"
		return nil, e
	}
	return wire.None{}, err
}

// reportCall brings what came of a call of the caller's own tool.
func reportCall(c *Call, ctx context.Context, p wire.ReportParams) (any, error) {
	info, err := c.findOwnRun(ctx, p.Run)
	if err != nil {
		return nil, err
	}
	output := json.RawMessage(p.Output) // JSON stays what it is, and any other text is one
	if !json.Valid(output) {
		if output, err = json.Marshal(p.Output); err != nil {
			return nil, wire.Errorf(wire.CodeParams, "The output is no text.")
		}
	}
	if canonical, err := tools.CanonicalJSON(output); err == nil {
		output = canonical
	}
	call := provenance.Ref{Seq: p.Effect.Seq, Index: p.Effect.Index}
	return wire.None{}, c.api.cfg.Runner.Report(ctx, info.ID, call, output, p.Failed)
}

func (c *Call) listApprovals(ctx context.Context, p wire.ApprovalsParams) (any, error) {
	list, err := c.api.cfg.Runner.Approvals(ctx, c.seat.session)
	if err == nil {
		list, err = keepReached(ctx, c, list, approvalRun)
	}
	if err == nil && p.Cursor != "" {
		var after journal.RunInfo
		if after, err = c.findOwnRun(ctx, p.Cursor); err == nil {
			list = slices.DeleteFunc(list, func(a runner.PendingApproval) bool {
				return compareRuns(a, runner.PendingApproval{Run: after.ID, Opened: after.Opened}) <= 0
			})
		}
	}
	if err != nil {
		return nil, err
	}
	list, next := cutApprovals(list, int(cmp.Or(p.Limit, 100)))
	var paid digest.Payees
	if slices.ContainsFunc(list, func(p runner.PendingApproval) bool { return p.Call.Pays }) {
		if paid, err = c.api.cfg.Archive.Payees(ctx, c.seat.session); err != nil {
			return nil, err
		}
	}
	out := wire.Approvals{Approvals: []wire.Approval{}, Next: next}
	for _, a := range list {
		w, err := c.api.viewApproval(ctx, &a, paid)
		if err != nil {
			return nil, err
		}
		out.Approvals = append(out.Approvals, w)
	}
	return out, nil
}

// compareRuns has the oldest run come first, and is the same for every page, whatever was answered meanwhile.
func compareRuns(a, b runner.PendingApproval) int {
	return cmp.Or(cmp.Compare(a.Opened, b.Opened), cmp.Compare(a.Run.KeyString(), b.Run.KeyString()))
}

// cutApprovals returns the first n of a list, oldest run first, and the run that the next page is to begin behind; ""
// at the end. A run's approvals are not parted.
func cutApprovals(list []runner.PendingApproval, n int) (cut []runner.PendingApproval, next string) {
	slices.SortStableFunc(list, compareRuns)
	for n < len(list) && n > 0 && list[n].Run == list[n-1].Run {
		n++
	}
	if n >= len(list) {
		return list, ""
	}
	return list[:n], list[n-1].Run.String()
}

func (a *API) viewApproval(ctx context.Context, p *runner.PendingApproval, paid digest.Payees) (wire.Approval, error) {
	w := wire.Approval{
		Run: p.Run.String(), Effect: wire.Ref(p.Effect), Step: p.Step.String(), Summary: p.Summary, Until: p.Until,
		Findings: []wire.Finding{},
	}
	message, err := p.Approval.MarshalJSON()
	if err != nil {
		return w, err
	}
	w.Message = string(message)
	if w.Typed, err = p.Approval.TypedData(); err != nil {
		return w, err
	}
	from, err := a.cfg.Runner.Lineage(ctx, p.Run)
	if err != nil {
		return w, err
	}
	for _, l := range from.Callers {
		w.Callers = append(w.Callers, l.String())
	}
	q := askAbout(p, paid)
	w.Name = q.Known[q.To]
	for _, f := range payee.Findings(q) {
		w.Findings = append(w.Findings, wire.Finding{Kind: f.Kind, Tone: string(f.Tone), Text: f.Text})
	}
	return w, nil
}

// askAbout gathers what there is to know of a call that waits.
func askAbout(p *runner.PendingApproval, paid digest.Payees) payee.Question {
	q := payee.Question{
		Args: p.Call.Args.JSON, Pays: p.Call.Pays, To: p.Call.Args.To, Paid: paid.Paid, Runs: paid.Runs,
		Label: p.Call.Label, Typed: p.Call.Typed, Known: map[common.Address]string{},
		Own: map[common.Address]string{p.Approval.Account: "your own wallet"},
	}
	if book := p.Call.Book; book != nil {
		for name, address := range book.Names {
			if known := q.Known[address]; known == "" || name < known { // of two names for one address the first by alphabet
				q.Known[address] = name
			}
		}
	}
	return q
}

// decideApproval brings the wallet's answer to a run. That the run is the caller's own is not enough: Runner.Decide
// checks the signature against exactly what the run waits for. An effect is decided once, so the idempotency key has
// nothing left to do but to be there, as in every method that acts and is not idempotent by its nature.
func (c *Call) decideApproval(ctx context.Context, p wire.DecideParams) (any, error) {
	info, err := c.findOwnRun(ctx, p.Run)
	if err != nil {
		return nil, err
	}
	d := runner.ApprovalDecision{
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
	if err = c.api.cfg.Runner.Decide(ctx, d); errors.Is(err, journal.ErrNotFound) {
		return nil, loop.ErrLate // the run is there: it has ended, or nothing waits at this place of it
	}
	return wire.None{}, err
}

// locateRecord says where a run's record is. Records are public where they are not sealed; keys are the owner's.
func (c *Call) locateRecord(ctx context.Context, p wire.ProvenanceParams) (any, error) {
	id, err := cid.Decode(p.Run)
	if err != nil {
		return nil, wire.Errorf(wire.CodeParams, "run is not a CID.")
	}
	info, err := c.api.cfg.Runner.Run(ctx, id)
	if err != nil {
		return nil, err
	}
	if !info.Head.Defined() {
		return nil, wire.Errorf(wire.CodeNotFound, "The run has no signed head yet; ask again when it has closed or waits.")
	}
	out := wire.Provenance{Head: info.Head.String(), Car: "/ipfs/" + info.Head.String() + "?format=car"}
	if log := c.api.cfg.HeadLog; log != nil {
		out.Log = log.VKey()
		if r, err := log.Receipt(ctx, id); err == nil {
			out.Head, out.Receipt = r.Head.String(), string(r.Text)
			out.Car = "/ipfs/" + r.CID.String() + "?format=car"
		} else if !errors.Is(err, journal.ErrNotFound) {
			return nil, err
		}
	}
	if !p.Keys {
		return out, nil
	}
	if c.seat == nil || !reachesRun(c, info) {
		return nil, wire.Errorf(wire.CodeForbidden, "Only the wallet that owns the run gets its keys; sign in with it, and "+
			"not by an API key.")
	}
	keys, err := c.api.cfg.Runner.Keys(ctx, id)
	if err != nil {
		return nil, err
	}
	out.Keys = make(map[string]string, len(keys))
	for leaf, key := range keys {
		out.Keys[leaf.String()] = base64.StdEncoding.EncodeToString(key[:])
	}
	return out, nil
}
