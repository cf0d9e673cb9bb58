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
	"github.com/writ-run/writ/provenance/logproof"
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

// checkFiles compares the files with the store. damaged says what is wrong with the files if they can be built again;
// the error says why nothing may be built on them.
func (l *Log) checkFiles(ctx context.Context) (damaged string, err error) {
	note := func(what string) {
		if damaged == "" {
			damaged = what
		}
	}
	claims, err := l.readPublished(ctx)
	if err != nil {
		return "", err
	}
	inFolder, wrong, err := l.readFolderCheckpoint(len(claims) > 0)
	if err != nil {
		return "", err
	}
	claims = append(claims, inFolder...)
	note(wrong)
	size, root, err := readTreeState(l.cfg.Dir)
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
	wrong, err = l.compareEntries(ctx, claims, size)
	note(wrong)
	return damaged, err
}

// readPublished returns what the store's checkpoint claims, if it has one.
func (l *Log) readPublished(ctx context.Context) ([]claim, error) {
	_, stored, err := l.cfg.Store.Unreceipted(ctx)
	if err != nil || len(stored) == 0 {
		return nil, err
	}
	c, err := l.policy.OpenCheckpoint(stored)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint in the store: %w: %w", ErrOrigin, err)
	}
	return []claim{{"the last published checkpoint", c.Size, c.Root[:], true}}, nil
}

// readFolderCheckpoint reads the checkpoint in the log's folder. It returns what that claims, or what is wrong with it.
// known says that this key has published under this name, so that one that cannot be read is damaged, and not
// another's.
func (l *Log) readFolderCheckpoint(known bool) (claims []claim, damaged string, err error) {
	raw, err := os.ReadFile(filepath.Join(l.cfg.Dir, layout.CheckpointPath))
	switch {
	case errors.Is(err, fs.ErrNotExist) && known:
		return nil, "the checkpoint is missing", nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", nil
	case err != nil:
		return nil, "", err
	}
	c, err := l.policy.OpenCheckpoint(raw)
	if err == nil {
		return []claim{{"the checkpoint in its folder", c.Size, c.Root[:], true}}, "", nil
	}
	f, ok := errors.AsType[*provenance.Fault](err)
	if !known && ok && (f.Code == logproof.CodeLogOrigin || f.Code == logproof.CodeLogKey && hasWholeSignature(raw)) {
		return nil, "", fmt.Errorf("%w: %w", ErrOrigin, err)
	}
	return nil, "the checkpoint cannot be read", nil
}

// hasWholeSignature says whether a checkpoint has a whole signature line, so that it is another key's, and not torn.
func hasWholeSignature(raw []byte) bool {
	lines := bytes.Split(bytes.TrimSuffix(raw, []byte("\n")), []byte("\n"))
	return bytes.HasSuffix(raw, []byte("\n")) && len(lines) > 4 && len(lines[len(lines)-1]) > 90
}

// readTreeState reads what Tessera has noted of the tree (its file format 1).
func readTreeState(dir string) (size uint64, root []byte, err error) {
	raw, err := os.ReadFile(statePath(dir))
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

// compareEntries goes over the store's entries once: each claim must have their root at its size, and the files of the
// tree up to size must hold them.
func (l *Log) compareEntries(ctx context.Context, claims []claim, size uint64) (damaged string, err error) {
	f := compact.RangeFactory{Hash: hasher.HashChildren}
	r := f.NewEmptyRange(0)
	if err := compareRoots(claims, r, &damaged); err != nil {
		return "", err
	}
	for n := uint64(0); ; n++ {
		entries, err := l.cfg.Store.Entries(ctx, n*page, page)
		if err != nil {
			return "", err
		}
		var bundle, tile []byte
		for _, e := range entries {
			leaf := hasher.HashLeaf(e.Logged[:])
			if err := r.Append(leaf, nil); err != nil {
				return "", err
			}
			if err := compareRoots(claims, r, &damaged); err != nil {
				return "", err
			}
			if r.End() <= size {
				bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(e.Logged)))
				bundle, tile = append(bundle, e.Logged[:]...), append(tile, leaf...)
			}
		}
		if len(tile) > 0 && damaged == "" {
			damaged = l.compareTiles(n, size, tile, bundle)
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

// compareRoots holds the claims of the size that r has reached to its root. A root that was published and is another is
// an error; another one notes damage.
func compareRoots(claims []claim, r *compact.Range, damaged *string) error {
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
			return fmt.Errorf("%s, of size %d, has another root than the journal's entries: %w", c.what, c.size,
				ErrForked)
		case *damaged == "":
			*damaged = "the tree's root is not that of the journal's entries"
		}
	}
	return nil
}

// compareTiles holds the nth files of a log of this size to what the journal's entries make of them. It returns what is
// wrong, or nothing.
func (l *Log) compareTiles(n, size uint64, tile, bundle []byte) (damaged string) {
	partial := layout.PartialTileSize(0, n, size)
	for _, f := range []struct {
		path string
		want []byte
	}{{layout.TilePath(0, n, partial), tile}, {layout.EntriesPath(n, partial), bundle}} {
		got, err := os.ReadFile(filepath.Join(l.cfg.Dir, f.path))
		if err != nil || !bytes.Equal(got, f.want) {
			damaged = f.path + " is not what the journal's entries make it"
		}
	}
	return damaged
}

// rebuildTree makes the tree anew from the store, beside the old one, and then takes its place. Its checkpoint is
// signed and not witnessed; the witnesses see the next one, which is consistent with all that they know.
func (l *Log) rebuildTree(ctx context.Context) error {
	fresh := l.cfg.Dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	t, err := l.startTessera(ctx, fresh, false)
	if err != nil {
		return fmt.Errorf("build the tree again: %w", err)
	}
	defer t.cut()
	for n := 1; n > 0; {
		if n, err = l.takeBatch(ctx, t); err != nil {
			return fmt.Errorf("build the tree again: %w", err)
		}
	}
	size, err := t.reader.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("build the tree again: %w", err)
	}
	if err := l.waitForSize(ctx, t, size); err != nil {
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
	if damaged, err := l.checkFiles(ctx); err != nil || damaged != "" {
		return fmt.Errorf("the tree that was built again does not hold: %s: %w", damaged, errors.Join(err, ErrForked))
	}
	return nil
}

// waitForSize waits until a tree's checkpoint has a size.
func (l *Log) waitForSize(ctx context.Context, t *tree, size uint64) error {
	for {
		raw, err := t.reader.ReadCheckpoint(ctx)
		if err == nil {
			var c logproof.Checkpoint
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
