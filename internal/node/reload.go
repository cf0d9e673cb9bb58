package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/internal/runner"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// A Reloaded says what came of a reload.
type Reloaded struct {
	Operator string            `json:"operator"` // CID of the operator's set
	Dapps    map[string]string `json:"dapps,omitempty"`
	Changed  bool              `json:"changed"`
	Earlier  int               `json:"earlier"` // sessions that go on under other sets
	Ended    int               `json:"ended"`   // sessions that were ended
	// Restart lists the settings that have changed besides the sets, which the next start takes.
	Restart []string `json:"restart,omitempty"`
}

// Reload reads the policy sets again and puts them in the place of the old ones, or leaves all as it is. end ends the
// sessions of earlier sets. One reload follows the other, so that what was read last is what holds. After an error the
// new sets are in place if the result names the operator's.
func (n *Node) Reload(ctx context.Context, end bool) (Reloaded, error) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	var out Reloaded
	rules, err := n.rereadSafely(ctx)
	if err != nil {
		return out, err
	}
	if err := n.checkOrigins(rules.Dapps); err != nil {
		return out, err
	}
	r, err := n.runner.Reload(ctx, rules)
	if err != nil && !r.Operator.Defined() {
		return out, refuseSets(err)
	}
	out = Reloaded{
		Operator: r.Operator.String(), Dapps: map[string]string{}, Changed: r.Changed, Earlier: len(r.Earlier),
	}
	for origin, set := range r.Dapps {
		out.Dapps[origin] = set.String()
	}
	if n.restart != nil {
		out.Restart = n.restart()
	}
	if end { // even if they could not be listed a moment ago
		var ended []provenance.Link
		ended, err = n.runner.EndEarlier(ctx)
		out.Ended, out.Earlier = len(ended), max(out.Earlier-len(ended), 0)
	}
	if err != nil {
		return out, err
	}
	n.log.InfoContext(ctx, "policy sets reloaded", "operator", out.Operator, "changed", out.Changed,
		"earlier", out.Earlier, "ended", out.Ended)
	if len(out.Restart) > 0 {
		n.log.WarnContext(ctx, "settings that have changed besides take a restart", "settings", out.Restart)
	}
	return out, nil
}

// rereadSafely reads the settings and sets again. They are what somebody wrote a moment ago: a program fault that they
// bring to light fails the reload, and the server goes on with what it has.
func (n *Node) rereadSafely(ctx context.Context) (rules runner.Rules, err error) {
	defer func() {
		if p := recover(); p != nil {
			n.log.ErrorContext(ctx, "reading the settings again panicked", "panic", fmt.Sprint(p), "stack",
				string(debug.Stack()))
			err = faultf(Internal, "internal", "the settings could not be read because of a fault in this program; the log "+
				"has it, and the server goes on with the settings that it had")
		}
	}()
	return n.reread()
}

// checkOrigins refuses other origins than those at the start: each has a desk of its own in the server.
func (n *Node) checkOrigins(dapps []runner.Dapp) error {
	var origins []string
	for _, d := range dapps {
		origins = append(origins, d.Origin)
	}
	if slices.Sort(origins); !slices.Equal(origins, n.dapps) {
		return faultf(Settings, "policy", "dapps names other origins than when the server started, which are %s; restart it",
			cmp.Or(strings.Join(n.dapps, ", "), "none"))
	}
	return nil
}

// refuseSets says why sets were not taken: what is wrong with a source, or which of its own tests fail.
func refuseSets(err error) *Fault {
	kind, code := Internal, "internal"
	if _, bad := errors.AsType[*policies.LoadError](err); bad || errors.Is(err, authority.ErrUnsafe) {
		kind, code = Settings, "policy"
	}
	if _, bad := errors.AsType[*runner.TestError](err); bad {
		kind, code = Settings, "policy_test"
	}
	return faultf(kind, code, "%s", strings.TrimPrefix(err.Error(), "reload: "))
}

// ReloadOn reloads whenever asked says so, until ctx ends. What came of it is in the log.
func (n *Node) ReloadOn(ctx context.Context, asked <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
		}
		switch out, err := n.Reload(ctx, false); {
		case err != nil && out.Operator == "":
			n.log.ErrorContext(ctx, "policy sets not reloaded; the old ones stay", "err", faultOf(err).Says)
		case err != nil:
			n.log.ErrorContext(ctx, "policy sets reloaded; what is open under earlier ones is not known",
				"operator", out.Operator, "err", faultOf(err).Says)
		}
	}
}
