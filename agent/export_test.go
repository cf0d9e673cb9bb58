package agent

import "github.com/writ-run/writ/policies"

// ProveBy has f judge the policy sets that sessions are pinned to.
func (r *Runner) ProveBy(f func(...*policies.Set) error) { r.prove = f }
