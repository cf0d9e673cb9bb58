package translog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/writ-run/writ/provenance"
)

var hasher = rfc6962.DefaultHasher

// page is how many entries are read from the store at once: those of one tile.
const page = layout.TileWidth

// A claim is a root that somebody has signed or stored for a size.
type claim struct {
	what string
	size uint64
	root []byte
	// published says that others may have seen it. What is only on this disk may be built again.
	published bool
}

// check compares the files with the store. damaged says what is wrong with the files if they can be built again; the
// error says why nothing may be built on them.
func (l *Log) check(ctx context.Context) (damaged string, err error) {
	var claims []claim
	note := func(what string) {
		if damaged == "" {
			damaged = what
		}
	}
	_, stored, err := l.cfg.Store.Unreceipted(ctx)
	if err != nil {
		return "", err
	}
	if len(stored) > 0 {
		c, err := l.policy.OpenCheckpoint(stored)
		if err != nil {
			return "", fmt.Errorf("the checkpoint in the store: %w: %w", ErrOrigin, err)
		}
		claims = append(claims, claim{"the last published checkpoint", c.Size, c.Root[:], true})
	}
	raw, err := os.ReadFile(filepath.Join(l.cfg.Dir, layout.CheckpointPath))
	var f *provenance.Fault
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(stored) > 0:
		note("the checkpoint is missing")
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	default:
		c, err := l.policy.OpenCheckpoint(raw)
		switch {
		case err == nil:
			claims = append(claims, claim{"the checkpoint in its folder", c.Size, c.Root[:], true})
		case len(stored) > 0: // which this key has signed under this name, so the file is damaged and not another's
			note("the checkpoint cannot be read")
		case errors.As(err, &f) && f.Code == provenance.CodeLogOrigin:
			return "", fmt.Errorf("%w: %w", ErrOrigin, err)
		case errors.As(err, &f) && f.Code == provenance.CodeLogKey && intact(raw):
			return "", fmt.Errorf("%w: %w", ErrOrigin, err)
		default:
			note("the checkpoint cannot be read")
		}
	}
	size, root, err := treeState(l.cfg.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(claims) == 0:
		return damaged, nil // a new log
	case err != nil:
		note("the tree's state cannot be read")
		size = 0
	default:
		claims = append(claims, claim{"the tree", size, root, false})
		for _, c := range claims {
			if c.size > size {
				note("the tree is smaller than " + c.what)
			}
		}
	}
	wrong, err := l.compare(ctx, claims, size)
	if err == nil && wrong != "" {
		note(wrong)
	}
	return damaged, err
}

// intact says whether a checkpoint has a whole signature line, so that it is another key's, and not torn.
func intact(raw []byte) bool {
	lines := bytes.Split(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n"))
	return bytes.HasSuffix(raw, []byte("\n")) && len(lines) > 4 && len(lines[len(lines)-1]) > 90
}

// treeState reads what Tessera has noted of the tree (its file format 1).
func treeState(dir string) (size uint64, root []byte, err error) {
	raw, err := os.ReadFile(stateFile(dir))
	if err != nil {
		return 0, nil, err
	}
	var s struct {
		Size uint64 `json:"size"`
		Root []byte `json:"root"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return 0, nil, err
	}
	if len(s.Root) != sha256.Size {
		return 0, nil, errors.New("no root")
	}
	return s.Size, s.Root, nil
}

// compare goes over the store's entries once: each claim must have their root at its size, and the files of the tree
// up to size must hold them.
func (l *Log) compare(ctx context.Context, claims []claim, size uint64) (damaged string, err error) {
	f := compact.RangeFactory{Hash: hasher.HashChildren}
	r := f.NewEmptyRange(0)
	judge := func() error {
		for _, c := range claims {
			if c.size != r.End() {
				continue
			}
			root, err := r.GetRootHash(nil)
			if err != nil {
				return err
			}
			if c.size == 0 {
				root = hasher.EmptyRoot()
			}
			switch same := bytes.Equal(root, c.root); {
			case same:
			case c.published:
				return fmt.Errorf("%s, of size %d, has another root than the journal's entries: %w", c.what, c.size, ErrForked)
			case damaged == "":
				damaged = "the tree's root is not that of the journal's entries"
			}
		}
		return nil
	}
	if err := judge(); err != nil {
		return "", err
	}
	for n := uint64(0); ; n++ {
		entries, err := l.cfg.Store.Entries(ctx, n*page, page)
		if err != nil {
			return "", err
		}
		var bundle, tile []byte
		for _, e := range entries {
			leaf := hasher.HashLeaf(e.CID.Bytes())
			if err := r.Append(leaf, nil); err != nil {
				return "", err
			}
			if err := judge(); err != nil {
				return "", err
			}
			if r.End() <= size {
				bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(e.CID.Bytes())))
				bundle, tile = append(bundle, e.CID.Bytes()...), append(tile, leaf...)
			}
		}
		if len(tile) > 0 && damaged == "" {
			partial := layout.PartialTileSize(0, n, size)
			for path, want := range map[string][]byte{layout.TilePath(0, n, partial): tile, layout.EntriesPath(n, partial): bundle} {
				if got, err := os.ReadFile(filepath.Join(l.cfg.Dir, path)); err != nil || !bytes.Equal(got, want) {
					damaged = path + " is not what the journal's entries make it"
				}
			}
		}
		if len(entries) < page {
			break
		}
	}
	for _, c := range claims {
		if c.size > r.End() {
			return "", fmt.Errorf("%s has %d entries and the journal %d: %w", c.what, c.size, r.End(), ErrBehind)
		}
	}
	return damaged, nil
}

// rebuild makes the tree anew from the store, beside the old one, and then takes its place. Its checkpoint is signed
// and not witnessed; the witnesses see the next one, which is consistent with all that they know.
func (l *Log) rebuild(ctx context.Context) error {
	fresh := l.cfg.Dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	t, err := l.plant(ctx, fresh, false)
	if err != nil {
		return fmt.Errorf("build the tree again: %w", err)
	}
	defer t.cut()
	for n := 1; n > 0; {
		if n, err = l.take(ctx, t); err != nil {
			return fmt.Errorf("build the tree again: %w", err)
		}
	}
	size, err := t.reader.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("build the tree again: %w", err)
	}
	if err := l.wait(ctx, t, size); err != nil {
		return fmt.Errorf("build the tree again: %w", err)
	}
	t.cut()
	err = os.Rename(l.cfg.Dir, fmt.Sprintf("%s.damaged-%s", l.cfg.Dir, time.Now().UTC().Format("20060102T150405.000")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("put the damaged tree aside: %w", err)
	}
	if err := os.Rename(fresh, l.cfg.Dir); err != nil {
		return fmt.Errorf("put the new tree in its place: %w", err)
	}
	if damaged, err := l.check(ctx); err != nil || damaged != "" {
		return fmt.Errorf("the tree that was built again does not hold: %s: %w", damaged, errors.Join(err, ErrForked))
	}
	return nil
}

// wait waits until a tree's checkpoint has a size.
func (l *Log) wait(ctx context.Context, t *tree, size uint64) error {
	for {
		raw, err := t.reader.ReadCheckpoint(ctx)
		if err == nil {
			var c provenance.Checkpoint
			if c, err = l.policy.OpenCheckpoint(raw); err == nil && c.Size >= size {
				return nil
			}
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
