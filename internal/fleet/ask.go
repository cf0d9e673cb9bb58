package fleet

import (
	"context"
	"errors"
	"time"

	"github.com/writ-run/writ/agent/model"
	"github.com/writ-run/writ/internal/fault"
	"github.com/writ-run/writ/internal/throttle"
)

// A Question is one that is put to a model.
type Question struct {
	Model    string
	Account  string // whose it is
	Agent    string
	Priority int           // of its route
	Tokens   int64         // that it may take, about
	Again    bool          // it is not the first of its turn, and the one before failed by its provider's fault
	Most     time.Duration // that an answer may take, whatever is known of the model
	Place    func(int)     // is told its place in the queue of the model, if it has to wait
}

// Ask waits for the question's turn, has do ask it within the patience for the model, and learns from how that ends: do
// returns how long the answer took to its first content. The error is a [*fault.Fault], or ctx's if it has ended, of
// which nothing is learned.
func (f *Fleet) Ask(ctx context.Context, q Question, do func(context.Context) (time.Duration, error)) error {
	pass, err := f.gate.Enter(ctx, throttle.Ask{
		Lane: f.laneOf(q.Model), Wallet: q.Account, Agent: q.Agent, Priority: q.Priority, Tokens: q.Tokens,
	}, q.Place)
	if full, is := errors.AsType[*throttle.FullError](err); is {
		return &fault.Fault{Code: fault.ModelBusy, After: full.After}
	}
	if err != nil {
		return err
	}
	defer pass.Done()
	attempt, ok := f.Begin(q.Model, q.Account, q.Again)
	if !ok { // the model has failed since it was chosen
		return &fault.Fault{Code: fault.ModelsDown}
	}
	patience := attempt.Patience()
	if patience.Total == 0 {
		patience.Total = q.Most
	}
	limited, cancel := context.WithTimeout(model.WithPatience(ctx, patience), min(patience.Total, q.Most))
	defer cancel()
	ttft, err := do(model.WithLimits(limited, func(l model.Limits) {
		pass.Take(throttle.Limit(l.Requests), throttle.Limit(l.Tokens))
	}))
	switch {
	case err == nil:
		attempt.Answered(ttft)
		return nil
	case ctx.Err() != nil: // nobody waits for the answer
		attempt.Abandon()
		return ctx.Err()
	}
	why := fault.OfModel(err)
	attempt.Failed(why)
	return why
}

// laneOf names the queue of a model.
func (f *Fleet) laneOf(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.models[name]; p != nil && p.lane != "" {
		return p.lane
	}
	return name
}
