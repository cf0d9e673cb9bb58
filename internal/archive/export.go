// Package archive does with the records of runs what needs only a store: export, disclose, and, with the operator's
// key, erase, by name or when their time has come.
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Read reads one record.
func Read(ctx context.Context, s journal.BlockReader, c provenance.Link, rec provenance.Record) error {
	data, err := s.Block(ctx, c)
	if err == nil {
		err = provenance.Decode(data, rec)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", c, err)
	}
	return nil
}

// Root returns the root of a run's history: the receipt of its newest head, or the head itself while the log has not
// published it, or there is no log.
func Root(ctx context.Context, s journal.Records, run provenance.Link) (provenance.Link, error) {
	info, err := s.Run(ctx, run)
	if err != nil || !info.Head.Defined() {
		return provenance.Link{}, err
	}
	e, err := s.Entry(ctx, info.Head)
	if err != nil && !errors.Is(err, journal.ErrNotFound) {
		return provenance.Link{}, err
	}
	if e.Receipt.Defined() {
		return e.Receipt, nil
	}
	return info.Head, nil
}

// Export writes a run's history as a CAR file and returns its root, see [Root]. Leaves that were erased are left out.
func Export(ctx context.Context, s journal.Records, w io.Writer, run provenance.Link) (provenance.Link, error) {
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

// KeyedRecords are records with the keys of their leaves.
type KeyedRecords interface {
	journal.Records
	journal.KeyReader
}

// Keys returns the leaf keys of a run and of the runs that it has called, so that who has them and the CAR file can
// read all of these. Of the run that has called it, whose steps are in the file too, it opens nothing: what its user
// asked is not the sub-agent's to give away. Erased ones are missing.
func Keys(ctx context.Context, s KeyedRecords, run provenance.Link) (map[provenance.Link]provenance.LeafKey, error) {
	keys := map[provenance.Link]provenance.LeafKey{}
	info, err := s.Run(ctx, run)
	if err == nil {
		err = walkHistory(ctx, s, info.Head,
			func(c provenance.Link, k provenance.LeafKey) { keys[c] = k },
			func(_ provenance.Link, rec provenance.Record) []provenance.Link { return linksDown(rec) })
	}
	if err != nil {
		return nil, fmt.Errorf("leaf keys of %s: %w", run, err)
	}
	return keys, nil
}

// linksDown returns the links of a record but those that lead up, to the step of a caller.
func linksDown(rec provenance.Record) []provenance.Link {
	up := provenance.Link{}
	switch x := rec.(type) {
	case *provenance.Run:
		if x.Parent != nil {
			up = x.Parent.Step
		}
	case *provenance.Delegation:
		up = x.Call.Step
	}
	var down []provenance.Link
	for _, l := range provenance.Links(rec) {
		if l != up {
			down = append(down, l)
		}
	}
	return down
}

// walkHistory walks everything below a head, which may be undefined. It calls leaf with each sealed leaf whose key is
// here, and follow with each record, which says with what links of it to go on.
func walkHistory(
	ctx context.Context, s KeyedRecords, head provenance.Link, leaf func(provenance.Link, provenance.LeafKey),
	follow func(provenance.Link, provenance.Record) []provenance.Link,
) error {
	seen := map[provenance.Link]bool{}
	for todo := []provenance.Link{head}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[c] || !c.Defined() {
			continue
		}
		seen[c] = true
		if c.Prefix().Codec == cid.Raw {
			k, err := s.LeafKey(ctx, c)
			if err == nil {
				leaf(c, k)
			} else if !errors.Is(err, journal.ErrNotFound) { // else public, or erased
				return err
			}
			continue
		}
		data, err := s.Block(ctx, c)
		if err != nil {
			return err
		}
		rec, err := provenance.DecodeAny(data)
		if err != nil {
			return fmt.Errorf("record %s: %w", c, err)
		}
		todo = append(todo, follow(c, rec)...)
	}
	return nil
}
