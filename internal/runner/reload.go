package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/writ-run/writ/internal/journal"

	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/provenance"
)

// A Reloaded says what came of a [Runner.Reload].
type Reloaded struct {
	Operator provenance.Link            // *provenance.PolicySet that new sessions get
	Dapps    map[string]provenance.Link // by origin, where a dApp has its own
	Changed  bool                       // any of them is another set than before
	Earlier  []provenance.Link          // sessions that are open under other sets, newest first
}

// Reload puts policy sets in the place of those that new sessions are opened under. They are loaded, proven and tested
// aside: if one of them fails, in a [*policies.LoadError], a [*TestError] or otherwise, all stays as it was. A session
// that is open keeps the set that its wallet signed, in this process and after a restart, since sets are kept by their
// CID; so no session is ever widened. Nor is one tightened: [Runner.EndEarlier] ends those of earlier sets. After an
// error Operator is defined if the new sets are in place and only Earlier is not known.
func (r *Runner) Reload(ctx context.Context, with Rules) (Reloaded, error) {
	next, blocks, err := r.rules.compileSets(with.Operator, with.Dapps)
	if err != nil {
		return Reloaded{}, fmt.Errorf("reload: %w", err)
	}
	if err := r.cfg.Store.PutBlocks(ctx, blocks, nil); err != nil {
		return Reloaded{}, fmt.Errorf("reload: %w", err)
	}
	before := r.rules.replaceRuling(next)
	out := Reloaded{Operator: next.operator, Dapps: next.dapps, Changed: !next.isEqual(before)}
	if out.Earlier, err = r.listEarlier(ctx, next); err != nil {
		return out, fmt.Errorf("reload: the new sets are in place, "+
			"but the sessions of earlier ones could not be listed: %w", err)
	}
	return out, nil
}

func (b *rulebook) replaceRuling(next *ruling) (before *ruling) {
	b.reloading.Lock()
	defer b.reloading.Unlock()
	return b.current.Swap(next)
}

func (x *ruling) isEqual(y *ruling) bool {
	return x.operator == y.operator && maps.Equal(x.dapps, y.dapps)
}

// listEarlier lists the open sessions that are pinned to another set than a new one for their pages would get.
func (r *Runner) listEarlier(ctx context.Context, now *ruling) ([]provenance.Link, error) {
	var out []provenance.Link
	err := eachOpenSession(ctx, r.cfg.Store, r.cfg.Now(), func(s journal.Session) error {
		m, err := auth.Parse(s.Message)
		if err != nil { // the old set is unknown, so it may differ from the new one
			r.log.ErrorContext(ctx, "a stored session is not readable, and counts as one of an earlier policy set",
				"session", s.ID, "err", err)
			out = append(out, s.ID)
			return nil
		}
		if rules, err := m.Rules(); err != nil || rules != now.setFor(m.Scheme+"://"+m.Domain) {
			out = append(out, s.ID)
		}
		return nil
	})
	return out, err
}

// EndEarlier ends, by the operator's key, every open session under another policy set than a new one would get, and
// returns which. It is for a set that must hold at once: a reload alone reaches new sessions only. One that cannot be
// ended keeps none of the others open; the error says which.
func (r *Runner) EndEarlier(ctx context.Context) (ended []provenance.Link, err error) {
	list, err := r.listEarlier(ctx, r.rules.current.Load())
	if err != nil {
		return nil, fmt.Errorf("end sessions: %w", err)
	}
	var left []error
	for _, id := range list {
		switch err := r.RevokeAsOperator(ctx, id, "the policy sets were replaced"); {
		case err == nil || errors.Is(err, journal.ErrNotFound):
			ended = append(ended, id)
		case ctx.Err() != nil:
			return ended, fmt.Errorf("end session %s, as %d more: %w", id, len(list)-len(ended)-len(left)-1, err)
		default:
			left = append(left, fmt.Errorf("end session %s: %w", id, err))
		}
	}
	return ended, errors.Join(left...)
}
