package runner

import (
	"context"
	"crypto/sha256"
	"github.com/writ-run/writ/internal/news"

	"github.com/writ-run/writ/agent/thread"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/talks"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// ProveBy has f judge the policy sets that sessions are pinned to.
func (r *Runner) ProveBy(f func(...*policies.Set) error) { r.machines.prove = f }

// IsAtRest says whether no run has an actor: each has ended, or waits without one.
func (r *Runner) IsAtRest() bool {
	r.runs.mu.Lock()
	defer r.runs.mu.Unlock()
	return len(r.runs.live) == 0
}

// IsDraining says whether a Runner takes no new run.
func IsDraining(r *Runner) bool { return r.background.IsDraining() }

// AssembleContext makes what a request's model would be told of the runs before it in its thread, as the start of a run
// does, and returns how many bytes that is.
func (r *Runner) AssembleContext(ctx context.Context, q StartRequest) (int, error) {
	a, err := r.newRun(ctx, q, sha256.Sum256(q.Frame.Params))
	if err != nil {
		return 0, err
	}
	ask := &provenance.Ask{}
	if err := r.runs.joinOthers(ctx, a, q, ask); err != nil {
		return 0, err
	}
	raw, _ := ask.Earlier.Bytes()
	told, err := thread.Read(wire.RunStart, raw)
	return int(told.Bytes), err
}

// ForgetSaid forgets what is kept in memory of what runs have said.
func (r *Runner) ForgetSaid() { r.said = talks.NewMemory(); r.runs.said = r.said }

// Subscribe is [news.Board.Subscribe], for tests that wait for hints.
func (r *Runner) Subscribe(run provenance.Link) (hints <-chan struct{}, pieces <-chan news.Piece, stop func()) {
	return r.news.Subscribe(run)
}
