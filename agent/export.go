package agent

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/writ-run/writ/provenance"
)

// Root returns the root of a run's history: the receipt of its newest head, or the head itself while the log has not
// published it, or there is no log.
func Root(ctx context.Context, s Store, run provenance.Link) (provenance.Link, error) {
	info, err := s.Run(ctx, run)
	if err != nil || !info.Head.Defined() {
		return provenance.Link{}, err
	}
	e, err := s.Entry(ctx, info.Head)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return provenance.Link{}, err
	}
	if e.Receipt.Defined() {
		return e.Receipt, nil
	}
	return info.Head, nil
}

// Export writes a run's history as a CAR file and returns its root, see [Root]. Leaves that were erased are left out.
func Export(ctx context.Context, s Store, w io.Writer, run provenance.Link) (provenance.Link, error) {
	root, err := Root(ctx, s, run)
	if err != nil {
		return provenance.Link{}, fmt.Errorf("export %s: %w", run, err)
	}
	if !root.Defined() {
		return provenance.Link{}, fmt.Errorf("export %s: the run has no signed head yet", run)
	}
	get := func(c provenance.Link) ([]byte, error) { return s.Block(ctx, c) }
	if _, err := provenance.Export(w, root, get); err != nil {
		return provenance.Link{}, fmt.Errorf("export %s: %w", run, err)
	}
	return root, nil
}

// Keys returns the leaf keys of everything that a run's history holds, so that who has them and the CAR file can
// read all of it. Erased ones are missing.
func Keys(ctx context.Context, s Store, run provenance.Link) (map[provenance.Link]provenance.LeafKey, error) {
	info, err := s.Run(ctx, run)
	if err != nil {
		return nil, fmt.Errorf("leaf keys of %s: %w", run, err)
	}
	keys := map[provenance.Link]provenance.LeafKey{}
	seen := map[provenance.Link]bool{}
	todo := []provenance.Link{info.Head}
	for len(todo) > 0 {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[c] || !c.Defined() {
			continue
		}
		seen[c] = true
		if c.Prefix().Codec == rawCodec {
			k, err := s.LeafKey(ctx, c)
			if errors.Is(err, ErrNotFound) {
				continue // public, or erased
			} else if err != nil {
				return nil, fmt.Errorf("leaf keys of %s: %w", run, err)
			}
			keys[c] = k
			continue
		}
		data, err := s.Block(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("leaf keys of %s: %w", run, err)
		}
		rec, err := provenance.DecodeAny(data)
		if err != nil {
			return nil, fmt.Errorf("leaf keys of %s: %w", run, err)
		}
		todo = append(todo, provenance.Links(rec)...)
	}
	return keys, nil
}

// Keys returns the leaf keys of a run.
func (r *Runner) Keys(ctx context.Context, run provenance.Link) (map[provenance.Link]provenance.LeafKey, error) {
	return Keys(ctx, r.cfg.Store, run)
}
