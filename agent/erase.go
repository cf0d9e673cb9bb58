package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/writ-run/writ/provenance"
)

// An Erasure deletes leaf keys of one closed run and gives the run a new head, which says so.
type Erasure struct {
	Run    provenance.Link
	Old    provenance.Link   // the run's head that Head was made from
	Head   provenance.Block  // the new head, of the same step
	Record provenance.Block  // the provenance.Erasure that Head names
	Leaves []provenance.Link // whose keys are deleted
}

// An Eraser is a [Store] that can erase.
type Eraser interface {
	Store
	// Erase makes an erasure, all or nothing. ErrConflict if the run is not closed, or has another head than Old.
	Erase(ctx context.Context, e Erasure) error
}

// ErrNoLeaf says that a run has no such leaf, or that its key is gone already.
var ErrNoLeaf = errors.New("the run has no such sealed leaf, or its key is gone already")

// Erase deletes the keys of leaves of a closed run and signs a new head that names the erasure. Without leaves, all
// payloads of the run's steps are erased; the grant's, which other runs of the session share, are erased only by name.
// at is ms UTC. It returns the new head and how many keys were deleted. ErrNoLeaf names the leaf.
func Erase(ctx context.Context, s Eraser, key ed25519.PrivateKey, run provenance.Link, leaves []provenance.Link, why string, at int64) (provenance.Link, int, error) {
	fail := func(err error) (provenance.Link, int, error) {
		return provenance.Link{}, 0, fmt.Errorf("erase leaves of %s: %w", run, err)
	}
	info, err := s.Run(ctx, run)
	if err != nil {
		return fail(err)
	}
	if !info.Head.Defined() {
		return fail(fmt.Errorf("the run has no head yet: %w", ErrConflict))
	}
	keys, err := Keys(ctx, s, run)
	if err != nil {
		return fail(err)
	}
	if len(leaves) == 0 {
		var r provenance.Run
		if err := decodeFrom(ctx, s, run, &r); err != nil {
			return fail(err)
		}
		var g provenance.Grant
		if err := decodeFrom(ctx, s, r.Grant, &g); err != nil {
			return fail(err)
		}
		shared := provenance.Links(&g)
		for l := range keys {
			if !slices.Contains(shared, l) {
				leaves = append(leaves, l)
			}
		}
	}
	for _, l := range leaves {
		if _, ok := keys[l]; !ok {
			return fail(fmt.Errorf("leaf %s: %w", l, ErrNoLeaf))
		}
	}
	if len(leaves) == 0 {
		return fail(ErrNoLeaf)
	}
	leaves = slices.Clone(leaves)
	slices.SortFunc(leaves, func(a, b provenance.Link) int { return strings.Compare(a.KeyString(), b.KeyString()) })
	leaves = slices.Compact(leaves)
	var head provenance.Head
	if err := decodeFrom(ctx, s, info.Head, &head); err != nil {
		return fail(err)
	}
	at = max(at, head.At)
	record, err := provenance.Encode(&provenance.Erasure{At: at, Why: why, Leaves: leaves})
	if err != nil {
		return fail(err)
	}
	head.At, head.Erased = at, append(head.Erased, record.CID)
	if err := head.Sign(key); err != nil {
		return fail(err)
	}
	block, err := provenance.Encode(&head)
	if err != nil {
		return fail(err)
	}
	e := Erasure{Run: run, Old: info.Head, Head: block, Record: record, Leaves: leaves}
	if err := s.Erase(ctx, e); err != nil {
		return provenance.Link{}, 0, err
	}
	return block.CID, len(leaves), nil
}

func decodeFrom(ctx context.Context, s Store, c provenance.Link, rec provenance.Record) error {
	data, err := s.Block(ctx, c)
	if err != nil {
		return err
	}
	return provenance.Decode(data, rec)
}
