// Package logreader reads a transparency log as a stranger does (c2sp.org/tlog-tiles): from its server, or from a
// folder that holds a copy of its files.
//
// [Open] says where. [Log.Checkpoint] returns the newest checkpoint, which the caller judges by keys of its own.
// [Log.Consistency] and [Log.Entries] read tiles under such a judged checkpoint, and believe nothing that does not hash
// up to its root: a log that serves other hashes or entries than it signed is found out ([logproof.CodeLogTile]), and
// one that withholds them, too ([logproof.CodeLogMissing]). [ErrUnreachable] is about the way there, and no finding.
package reader

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
)

// ErrUnreachable says that the log could not be asked, or did not answer as a server should. It may later.
var ErrUnreachable = errors.New("the log cannot be reached")

// Bounds on what is read.
const (
	height    = 8                   // of tiles
	width     = 1 << height         // hashes of a full tile
	maxSize   = 1 << 48             // entries of a log
	maxBundle = width * (2 + 1<<16) // bytes of 256 entries
	maxTiles  = 1024                // that are remembered, of 8 KiB each
	oneAnswer = 30 * time.Second    // for one file of it
)

// A Log is a place where a log's files are. It may be used by one goroutine at a time.
type Log struct {
	where string
	read  func(ctx context.Context, path string, limit int64) ([]byte, error)
	tiles map[tlog.Tile][]byte // that were found right under some checkpoint
}

// Open returns the log at an http or https URL (such as https://writ.example.com/log), or in a folder. It reads nothing
// yet.
func Open(where string) (*Log, error) {
	l := &Log{where: where, tiles: map[tlog.Tile][]byte{}}
	if !strings.Contains(where, "://") {
		if info, err := os.Stat(where); err != nil {
			return nil, fmt.Errorf("the log's folder: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("%s is no folder of a log", where)
		}
		l.read = l.readFolder
		return l, nil
	}
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%.200q is not the address of a log, such as https://writ.example.com/log", where)
	}
	client := &http.Client{Timeout: oneAnswer, CheckRedirect: StayThere}
	base := strings.TrimSuffix(where, "/") + "/"
	l.read = func(ctx context.Context, path string, limit int64) ([]byte, error) {
		return fetchFile(ctx, client, base+path, limit)
	}
	return l, nil
}

// StayThere is a rule for redirects: who was named is asked and nobody else. It lets a server lead to another place on
// itself, or to a name below its own as gateways do, never to another host and never away from https.
func StayThere(req *http.Request, via []*http.Request) error {
	first, to := via[0].URL, req.URL
	switch {
	case len(via) > 3:
		return errors.New("it redirects again and again")
	case to.Scheme != first.Scheme || to.Host != first.Host && !strings.HasSuffix(to.Host, "."+first.Host):
		return fmt.Errorf("it redirects to %.100q, which is not asked; name that one if it is meant", to.Host)
	}
	return nil
}

// fetchFile reads one file from a server; fs.ErrNotExist if it says that there is none.
func fetchFile(ctx context.Context, client *http.Client, address string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		return nil, fs.ErrNotExist
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%w: it answers %s", ErrUnreachable, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("%w: an answer of more than %d bytes", ErrUnreachable, limit)
	}
	return data, nil
}

// readFolder reads one file of a copy.
func (l *Log) readFolder(ctx context.Context, path string, limit int64) ([]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(l.where, filepath.FromSlash(path)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return data, err
}

// Checkpoint returns the newest checkpoint as it is served, not judged. The error is fs.ErrNotExist if there is none,
// as with a log that has no entry yet.
func (l *Log) Checkpoint(ctx context.Context) ([]byte, error) {
	raw, err := l.read(ctx, "checkpoint", logproof.MaxProof)
	if err != nil {
		return nil, fmt.Errorf("the log's checkpoint: %w", err)
	}
	return raw, nil
}

// Consistency returns the hashes that lead from an older checkpoint to a newer one (RFC 6962, section 2.1.2), made of
// tiles of the newer. It says nothing about whether they fit: [logproof.Checkpoint.Consistent] does. The error is a
// [*provenance.Fault], [ErrUnreachable], or of the folder.
func (l *Log) Consistency(ctx context.Context, old, new logproof.Checkpoint) ([][32]byte, error) {
	if old.Size == 0 || old.Size >= new.Size {
		return nil, nil
	}
	hashes, err := l.openTree(ctx, new)
	if err != nil {
		return nil, err
	}
	p, err := tlog.ProveTree(int64(new.Size), int64(old.Size), hashes)
	if err != nil {
		return nil, hashes.explainError(err)
	}
	out := make([][32]byte, len(p))
	for i, h := range p {
		out[i] = [32]byte(h)
	}
	return out, nil
}

// An Entry is one line of the log.
type Entry struct {
	Index uint64
	Data  []byte // of ours, the bytes of a CID
}

// Entries yields the entries of a checkpoint from one index on. It ends with the first error, which is as
// [Log.Consistency] has it.
func (l *Log) Entries(ctx context.Context, c logproof.Checkpoint, from uint64) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if from >= c.Size {
			return
		}
		hashes, err := l.openTree(ctx, c)
		for at := from; err == nil && at < c.Size; {
			var bundle [][]byte
			n := at / width
			end := min((n+1)*width, c.Size)
			if bundle, err = l.readBundle(ctx, n, int(end-n*width)); err != nil {
				break
			}
			var want []int64
			for i := at; i < end; i++ {
				want = append(want, tlog.StoredHashIndex(0, int64(i)))
			}
			var leaves []tlog.Hash
			if leaves, err = hashes.ReadHashes(want); err != nil {
				err = hashes.explainError(err)
				break
			}
			for _, leaf := range leaves {
				data := bundle[at%width]
				if tlog.RecordHash(data) != leaf {
					err = newFault(logproof.CodeLogTile, "entry %d that the log serves is not the one in its tree",
						at)
					break
				}
				if !yield(Entry{at, data}, nil) {
					return
				}
				at++
			}
		}
		if err != nil {
			yield(Entry{}, err)
		}
	}
}

// readBundle reads the entries of the nth bundle of 256, of which there are count.
func (l *Log) readBundle(ctx context.Context, n uint64, count int) ([][]byte, error) {
	data, err := l.readPartial(ctx, "tile/entries/"+tilePath(int64(n)), count, maxBundle)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, 0, count)
	for len(out) < count {
		if len(data) < 2 || len(data)-2 < int(binary.BigEndian.Uint16(data)) {
			return nil, newFault(logproof.CodeLogTile, "the log's entries from %d on are cut off",
				n*width+uint64(len(out)))
		}
		size := 2 + int(binary.BigEndian.Uint16(data))
		out, data = append(out, data[2:size]), data[size:]
	}
	return out, nil
}

// readPartial reads a tile or a bundle with count of its 256 items, or the full one if the partial one is there no
// more.
func (l *Log) readPartial(ctx context.Context, path string, count int, limit int64) ([]byte, error) {
	partial := path
	if count < width {
		partial = fmt.Sprintf("%s.p/%d", path, count)
	}
	data, err := l.read(ctx, partial, limit)
	if errors.Is(err, fs.ErrNotExist) && count < width {
		data, err = l.read(ctx, path, limit)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, newFault(logproof.CodeLogMissing, "the log does not have %s, which its checkpoint covers",
			partial)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", partial, err)
	}
	return data, nil
}

// tilePath writes a tile's number: groups of three digits, all but the last with an x (c2sp.org/tlog-tiles).
func tilePath(n int64) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	return s
}

// A tree reads hashes under one checkpoint. It is a tlog.HashReader, and the tlog.TileReader below it.
type tree struct {
	tlog.HashReader
	ctx context.Context // of one call of Consistency or Entries
	log *Log
	err error // of reading
}

func (l *Log) openTree(ctx context.Context, c logproof.Checkpoint) (*tree, error) {
	if c.Size > maxSize {
		return nil, newFault(logproof.CodeLogForm, "a checkpoint of %d entries, more than any log has", c.Size)
	}
	t := &tree{ctx: ctx, log: l}
	t.HashReader = tlog.TileHashReader(tlog.Tree{N: int64(c.Size), Hash: tlog.Hash(c.Root)}, t)
	return t, nil
}

// explainError tells trouble with reading from hashes that do not fit.
func (t *tree) explainError(err error) error {
	if t.err != nil {
		return t.err
	}
	return newFault(logproof.CodeLogTile, "the tiles that the log serves do not lead to its checkpoint's root: %v",
		err)
}

// Height implements tlog.TileReader.
func (t *tree) Height() int { return height }

// ReadTiles implements tlog.TileReader.
func (t *tree) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, tile := range tiles {
		if data, ok := t.log.tiles[tile]; ok {
			out[i] = data
			continue
		}
		data, err := t.log.readPartial(t.ctx, fmt.Sprintf("tile/%d/%s", tile.L, tilePath(tile.N)), tile.W,
			width*tlog.HashSize)
		if err == nil && len(data) < tile.W*tlog.HashSize {
			err = newFault(logproof.CodeLogTile, "the log's tile %d/%s is cut off", tile.L, tilePath(tile.N))
		}
		if err != nil {
			t.err = err
			return nil, err
		}
		out[i] = data[:tile.W*tlog.HashSize]
	}
	return out, nil
}

// SaveTiles implements tlog.TileReader: what was found right is remembered.
func (t *tree) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	if len(t.log.tiles)+len(tiles) > maxTiles {
		clear(t.log.tiles)
	}
	for i, tile := range tiles {
		t.log.tiles[tile] = data[i]
	}
}

func newFault(code provenance.Code, format string, args ...any) error {
	return &provenance.Fault{Code: code, Detail: fmt.Sprintf(format, args...)}
}
