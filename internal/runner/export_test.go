package runner

import "github.com/writ-run/writ/policies"

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
