package translog

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
	"github.com/writ-run/writ/provenance/translog/reader"
)

// A log whose journal has lost what was logged, or that says other than its journal, cannot be carried on under its
// name: the same name and key would sign two histories. It ends there, as it is, and a new one begins: the journal's
// entries under another name, and as the first new one the statement that says so. That is signed with the key of the
// log that ends, so that who knows its key can follow.

// OriginNow returns the log's name in its newest epoch.
func OriginNow(origin string, epochs []journal.LogEpoch) string {
	if len(epochs) == 0 {
		return origin
	}
	name, _, _ := strings.Cut(epochs[len(epochs)-1].VKey, "+")
	return name
}

// PutAside moves the files of the log that ended to where they stay, if they are still in the new one's place.
func PutAside(dir, origin string, epochs []journal.LogEpoch) error {
	if len(epochs) == 0 {
		return nil
	}
	raw, err := os.ReadFile(filepath.Join(dir, layout.CheckpointPath))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	before := epochs[:len(epochs)-1]
	if c, err := logproof.ParseCheckpoint(raw); err != nil || c.Origin != OriginNow(origin, before) {
		return nil // what it is instead is found when it is opened
	}
	return os.Rename(dir, KeptDir(dir, epochs[len(epochs)-1].N-1))
}

// KeptDir is where the files of the nth log in a folder stay when it has ended.
func KeptDir(dir string, n int) string { return fmt.Sprintf("%s.epoch-%d", dir, n) }

// checkEpoch says whether the newest epoch was begun for the name and key that the log has.
func checkEpoch(epochs []journal.LogEpoch, vkey string) error {
	if n := len(epochs); n > 0 && epochs[n-1].VKey != vkey {
		return fmt.Errorf("epoch %d is of %.200q: %w", epochs[n-1].N, epochs[n-1].VKey, ErrOrigin)
	}
	return nil
}

// logEpoch gives the statement that began the newest epoch its place in the log.
func logEpoch(ctx context.Context, store Store, epochs []journal.LogEpoch) error {
	if len(epochs) == 0 {
		return nil
	}
	_, err := store.AddEntry(ctx, provenance.NewRaw(epochs[len(epochs)-1].Statement))
	return err
}

// An Ending says of which log an epoch is to end.
type Ending struct {
	Store  journal.Entries
	Dir    string // of the log that ends; what it holds is compared with the journal. None if empty or not there
	Key    ed25519.PrivateKey
	Origin string   // of the log's first epoch
	Seen   [][]byte // checkpoints of the log that others know, as they were signed
	Why    string
	At     time.Time
}

// ErrOtherHistory says that a checkpoint which is known is not of the journal's history.
var ErrOtherHistory = errors.New("a checkpoint that is known has another root than the journal's entries")

// EndEpoch makes the statement that ends a log where it and the journal last say the same. It changes nothing.
func EndEpoch(ctx context.Context, end Ending) (journal.LogEpoch, logproof.Epoch, error) {
	var out journal.LogEpoch
	epochs, err := end.Store.LogEpochs(ctx)
	if err != nil {
		return out, logproof.Epoch{}, err
	}
	out.N = 2
	if len(epochs) > 0 {
		out.N = epochs[len(epochs)-1].N + 1
	}
	public, ok := end.Key.Public().(ed25519.PublicKey)
	if !ok {
		return out, logproof.Epoch{}, errors.New("no key is given")
	}
	s := logproof.Epoch{N: out.N, Log: OriginNow(end.Origin, epochs), At: end.At.UTC().Format(time.RFC3339), Why: end.Why}
	var mark [4]byte
	_, _ = rand.Read(mark[:]) // which never fails
	if out.VKey, err = note.NewEd25519VerifierKey(logproof.EpochOrigin(end.Origin, out.N, mark), public); err != nil {
		return out, s, err
	}
	s.Next = out.VKey
	if err := end.compareStates(ctx, &s, public); err != nil {
		return out, s, err
	}
	out.Statement, err = s.Sign(end.Key)
	return out, s, err
}

// compareStates finds the last state that log and journal have in common, and what is known beyond it.
func (end *Ending) compareStates(ctx context.Context, s *logproof.Epoch, public ed25519.PublicKey) error {
	vkey, err := note.NewEd25519VerifierKey(s.Log, public)
	if err != nil {
		return err
	}
	key, err := logproof.ParseKey(vkey)
	if err != nil {
		return err
	}
	policy := logproof.Policy{Logs: []logproof.Key{key}}
	known, err := end.readKnown(ctx, policy)
	if err != nil {
		return err
	}
	limit, shown, err := end.commonPrefix(ctx, policy)
	if err != nil {
		return err
	}
	if shown != nil {
		known = append(known, *shown)
	}
	roots, err := rootsOf(ctx, end.Store, limit, known)
	if err != nil {
		return err
	}
	good := roots[len(roots)-1]
	for _, c := range known {
		same := false
		for _, r := range roots {
			same = same || r.size == c.Size && bytes.Equal(r.root, c.Root[:])
		}
		if !same && c.Size <= good.size && shown == nil {
			return fmt.Errorf("of size %d: %w", c.Size, ErrOtherHistory)
		}
		if !same && !hasState(s.Seen, c) {
			s.Seen = append(s.Seen, c)
		}
	}
	s.Size = good.size
	copy(s.Root[:], good.root)
	return nil
}

// readKnown returns the states of the log that are known besides its own files: those that others have seen, and the
// one that the store has a receipt for.
func (end *Ending) readKnown(ctx context.Context, policy logproof.Policy) (known []logproof.Checkpoint, err error) {
	for _, raw := range end.Seen {
		c, err := policy.OpenCheckpoint(raw)
		if err != nil {
			return nil, err
		}
		known = append(known, c)
	}
	_, stored, err := end.Store.Unreceipted(ctx)
	if err != nil {
		return nil, err
	}
	if len(stored) > 0 {
		if c, err := policy.OpenCheckpoint(stored); err == nil {
			known = append(known, c)
		}
	}
	return known, nil
}

func hasState(list []logproof.Checkpoint, c logproof.Checkpoint) bool {
	for _, x := range list {
		if x.Size == c.Size && x.Root == c.Root {
			return true
		}
	}
	return false
}

// commonPrefix returns how many of the journal's entries the log in the folder has, and what it has signed. Without a
// folder that can be read, all of them count.
func (end *Ending) commonPrefix(ctx context.Context, policy logproof.Policy) (uint64, *logproof.Checkpoint, error) {
	const all = 1 << 62
	if _, err := os.Stat(end.Dir); end.Dir == "" || errors.Is(err, fs.ErrNotExist) {
		return all, nil, nil
	}
	r, err := reader.Open(end.Dir)
	if err != nil {
		return 0, nil, err
	}
	raw, err := r.Checkpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	c, err := policy.OpenCheckpoint(raw)
	if err != nil {
		return 0, nil, err
	}
	var mine []journal.Entry
	n := uint64(0)
	for e, err := range r.Entries(ctx, c, 0) {
		if err != nil {
			return n, &c, nil // what the files do not show any more is not shown to be common
		}
		if n%page == 0 {
			if mine, err = end.Store.Entries(ctx, n, page); err != nil {
				return 0, nil, err
			}
		}
		if n%page >= uint64(len(mine)) || !bytes.Equal(mine[n%page].Logged[:], e.Data) {
			return n, &c, nil
		}
		n++
	}
	return all, nil, nil // the journal has all of it, and perhaps more
}

// rootsOf returns the journal's states at the sizes of what is known, and last the one at limit or its end.
func rootsOf(ctx context.Context, store journal.EntryReader, limit uint64, known []logproof.Checkpoint) ([]claim,
	error) {
	f := compact.RangeFactory{Hash: hasher.HashChildren}
	r := f.NewEmptyRange(0)
	var out []claim
	note := func() error {
		root, err := r.GetRootHash(nil)
		if r.End() == 0 {
			root = hasher.EmptyRoot()
		}
		out = append(out, claim{size: r.End(), root: root})
		return err
	}
	for r.End() < limit {
		entries, err := store.Entries(ctx, r.End(), int(min(page, limit-r.End())))
		if err != nil {
			return nil, err
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if err := r.Append(hasher.HashLeaf(e.Logged[:]), nil); err != nil {
				return nil, err
			}
			for _, c := range known {
				if c.Size == r.End() {
					if err := note(); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	err := note()
	return out, err
}
