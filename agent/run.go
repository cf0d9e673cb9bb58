package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/writ-run/writ/agent/audit"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// ErrNotFound says that the Store has no such run.
var ErrNotFound = errors.New("there is no such run")

// Outcomes of a run: why it closed, or that it waits.
const (
	Answered  = provenance.CloseAnswered
	Denied    = provenance.CloseDenied
	Limit     = provenance.CloseLimit
	Failed    = provenance.CloseFailed
	Cancelled = provenance.CloseCancelled
	Revoked   = provenance.CloseRevoked
	Timeout   = provenance.CloseTimeout
	Truncated = provenance.CloseTruncated
	Declined  = provenance.CloseDeclined
	InDoubt   = provenance.CloseInDoubt
	Waiting   = "waiting" // for the wallet: not closed, and without a goroutine
)

// A Run is one request on its way.
type Run struct {
	ID    provenance.Link // of the provenance.Run
	agent *Agent
}

// Start opens a run and returns at once; the run goes on by itself, also when ctx ends.
func (a *Agent) Start(ctx context.Context, input string) (*Run, error) {
	q, err := a.session.request(ctx, input)
	if err != nil {
		return nil, err
	}
	info, err := a.runner.Start(ctx, q)
	if err != nil {
		return nil, err
	}
	return &Run{info.ID, a}, nil
}

// Ask starts a run and waits for its answer. What waits for the wallet is put to [Config].Approve.
func (a *Agent) Ask(ctx context.Context, input string) (*Answer, error) {
	run, err := a.Start(ctx, input)
	if err != nil {
		return nil, err
	}
	return run.Wait(ctx)
}

// Run returns a run that was started before, perhaps by an earlier process. ErrNotFound if the Store has none of this
// ID.
func (a *Agent) Run(ctx context.Context, id provenance.Link) (*Run, error) {
	if _, err := a.runner.Run(ctx, id); errors.Is(err, journal.ErrNotFound) {
		return nil, fmt.Errorf("run %s: %w", id, ErrNotFound)
	} else if err != nil {
		return nil, err
	}
	return &Run{id, a}, nil
}

// Cancel ends the run. What is under way outside is not undone.
func (r *Run) Cancel(ctx context.Context) error { return r.agent.runner.Cancel(ctx, r.ID) }

// Wait returns when the run has closed, or waits for a wallet and there is no [Config].Approve. It puts what waits to
// Approve; an error of Approve is returned, and the run goes on waiting.
func (r *Run) Wait(ctx context.Context) (*Answer, error) {
	for _, err := range r.Events(ctx) {
		if err != nil {
			return nil, err
		}
	}
	return r.answer(ctx)
}

// Events yields what happens in the run, from its beginning, in order, each durable event exactly once, and ends as
// [Run.Wait] does, whose part with approvals it plays too. Text of a model as it comes is between them as [Delta], of
// which some may be missing.
func (r *Run) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		steps, hints, pieces, stop := r.agent.runner.Follow(r.ID)
		defer stop()
		for next := uint64(0); ; {
			events, seen, err := r.eventsFrom(ctx, next)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
			}
			if next = seen; len(events) > 0 {
				continue
			}
			if ended, err := r.settle(ctx); err != nil {
				yield(Event{}, err)
				return
			} else if ended {
				return
			}
			select {
			case <-steps: // each is read from the journal, as all events are
			case <-hints:
			case p := <-pieces:
				if !yield(Event{Kind: Delta, Text: p.Text, Place: p.Place}, nil) {
					return
				}
			case <-ctx.Done():
				yield(Event{}, context.Cause(ctx))
				return
			}
		}
	}
}

// stepsAtOnce bounds how many steps are read from the store at once.
const stepsAtOnce = 256

// eventsFrom returns the events of the steps from seq on, and the seq of the first step that is not among them.
func (r *Run) eventsFrom(ctx context.Context, seq uint64) ([]Event, uint64, error) {
	views, err := r.agent.runner.Steps(ctx, r.ID, seq, stepsAtOnce)
	if err != nil {
		return nil, seq, err
	}
	var events []Event
	for _, v := range views {
		events = append(events, eventsOf(v)...)
	}
	return events, seq + uint64(len(views)), nil
}

// settle says whether the run has closed or can go no further here. It puts to Approve what the run, or a sub-agent's
// run that it waits for, has to ask the wallet.
func (r *Run) settle(ctx context.Context) (ended bool, err error) {
	info, err := r.agent.runner.Run(ctx, r.ID)
	if err != nil {
		return false, err
	}
	if info.Status != "running" && info.Status != "parked" {
		return true, nil
	}
	if info.Status == "running" && !r.agent.delegates {
		return false, nil
	}
	waiting, err := r.agent.approvalsUnder(ctx, r.ID)
	if err != nil || len(waiting) == 0 {
		return false, err
	}
	if r.agent.approve == nil {
		return true, nil
	}
	return false, r.agent.answerWaiting(ctx, waiting)
}

// answer reads what came of the run.
func (r *Run) answer(ctx context.Context) (*Answer, error) {
	info, err := r.agent.runner.Run(ctx, r.ID)
	if err != nil {
		return nil, err
	}
	out := &Answer{Run: r.ID, Outcome: info.Status, Head: info.Head, agent: r.agent}
	if info.Status == "running" || info.Status == "parked" { // it, or a sub-agent's run that it waits for
		out.Outcome = Waiting
	}
	var said strings.Builder
	for seq := uint64(0); ; {
		events, next, err := r.eventsFrom(ctx, seq)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if e.Kind == Said {
				said.WriteString(e.Text)
			}
		}
		if next == seq {
			break
		}
		seq = next
	}
	out.Text = said.String()
	return out, nil
}

// An Answer is what came of a run.
type Answer struct {
	Text    string // what was said to the user
	Outcome string // one of the outcomes above
	Run     provenance.Link
	Head    provenance.Link // the signed head of the record: what an auditor is given

	agent *Agent
}

// CAR writes the run's record, and those of its sub-agents, as a CAR file.
func (a *Answer) CAR(ctx context.Context, w io.Writer) error {
	_, err := archive.Export(ctx, a.agent.store, w, a.Run)
	return err
}

// Keys returns the keys of the record's sealed leaves. Who has them can read everything in the CAR file.
func (a *Answer) Keys(ctx context.Context) (map[provenance.Link]provenance.LeafKey, error) {
	return a.agent.runner.Keys(ctx, a.Run)
}

// Report checks the run's record as a stranger would who has its keys and pins the operator's key. The error says that
// the record could not be had; what is wrong with one stands in the report.
func (a *Answer) Report(ctx context.Context) (*provenance.Report, error) {
	var car bytes.Buffer
	if err := a.CAR(ctx, &car); err != nil {
		return nil, err
	}
	keys, err := a.Keys(ctx)
	if err != nil {
		return nil, err
	}
	src, err := provenance.OpenCAR(bytes.NewReader(car.Bytes()), int64(car.Len()))
	if err != nil {
		return provenance.FailedReport(err), nil
	}
	return audit.Verify(src, audit.Options{OperatorKey: a.agent.key, Keys: keys}), nil
}
