// Package translog keeps the transparency log that heads go to.
//
// A [Log] takes the entries of a store, in the order in which the store has given them their places, into a Merkle
// tree of files (Tessera, tiles of c2sp.org/tlog-tiles), signs checkpoints of it, has witnesses cosign them, makes a
// receipt for each head, and serves all of it over HTTP. The store is the truth and the tree a projection of it:
// whatever a crash does to the files, they are built again, hash for hash, and a tree that says other than the store
// is never extended ([ErrForked], [ErrBehind]).
package translog

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance/logproof"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"

	"github.com/writ-run/writ/provenance"
)

// Errors of [Open]. Each is wrapped with what was found.
var (
	// ErrBehind says that the log holds more than the store: the store was replaced by an older one.
	ErrBehind = errors.New("the journal is behind its log; " +
		"begin a new epoch with writ log epoch, which keeps both, or restore the newest backup")
	// ErrForked says that the log holds something else than the store: going on would be a second history.
	ErrForked = errors.New("the journal and its log tell two histories; " +
		"begin a new epoch with writ log epoch, which keeps both, or restore the newest backup")
	// ErrOrigin says that the log was begun under another name or key.
	ErrOrigin = errors.New("the log has another origin or key than the one that is set")
)

// A Store has the entries and their blocks. A journal.Store is one.
type Store interface {
	journal.Keeper
	journal.Entries
	journal.BlockReader
	Run(ctx context.Context, id provenance.Link) (journal.RunInfo, error)
}

// Config says what a [Log] is made of.
type Config struct {
	Dir    string             // of the tree's files; made if it is not there. Required
	Store  Store              // required
	Key    ed25519.PrivateKey // signs checkpoints. Required
	Origin string             // the log's name, without space or plus. Required
	// Interval is the least time between two checkpoints; 1 s if 0, at least 100 ms. The first after a pause comes at
	// once.
	Interval time.Duration
	// Witnesses is a policy of c2sp.org/tlog-policy, with the witnesses' URLs: no checkpoint is published before its
	// quorum has cosigned it, unless Optional. None are asked if it is empty.
	Witnesses []byte
	Timeout   time.Duration // of asking the witnesses; 2 s if 0
	Optional  bool          // publish with the cosignatures that came in time
	Log       *slog.Logger  // logs nothing if nil
}

// A Log is an open log. Its methods may be called by many goroutines at once.
type Log struct {
	cfg    Config
	log    *slog.Logger
	vkey   string
	policy logproof.Policy // its own key; no witnesses
	quorum *logproof.Quorum
	asked  *asked
	tree   *tree
	ahead  *ahead

	kick chan struct{} // of one place: there are new entries
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu         sync.Mutex
	integrated uint64        // entries in the tree; guarded by mu
	grown      chan struct{} // closed when integrated grows; guarded by mu
	published  []byte        // the newest checkpoint; guarded by mu
	broken     error         // why nothing is taken in any more; guarded by mu
	watchers   map[provenance.Link]map[chan Receipt]struct{}
	binding    binding

	epochs []journal.LogEpoch // after the first; of the opening
}

// quiet keeps the words of Tessera's own logger off standard error: what matters of them is seen here by its effects.
var quiet = sync.OnceFunc(func() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
})

// batch is how many entries are taken in at once, and how long Tessera waits for more. Entries that come together are
// handed to it in one go, which takes less than a tenth of a millisecond. gather is how long the first of them waits
// for others: each time the tree grows costs several files, and nobody waits for it but who waits for a receipt. What
// is in the tree by the time that somebody waits for it needs no note: a longer gather was slower under load.
const (
	batch    = 256
	batchAge = 100 * time.Microsecond
	gather   = 5 * time.Millisecond
)

// Open opens the log in cfg.Dir, or begins one. It first proves that files and store say the same: every entry in the
// tree is the store's, and the newest checkpoints have the root that the store's entries lead to. Files that are
// damaged or missing are built again; the damaged ones are kept beside them.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Store == nil {
		return nil, errors.New("open the log: no store is given")
	}
	epochs, err := cfg.Store.LogEpochs(ctx)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if err := PutAside(cfg.Dir, cfg.Origin, epochs); err != nil { // an ending was cut short
		return nil, fmt.Errorf("open the log: %w", err)
	}
	cfg.Origin = OriginNow(cfg.Origin, epochs)
	l, err := newLog(cfg)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	l.epochs = epochs
	if err := checkEpoch(epochs, l.vkey); err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	if err := l.openTree(ctx); err != nil {
		return nil, fmt.Errorf("open the log in %s: %w", cfg.Dir, err)
	}
	return l, nil
}

// Check says what is wrong with a config, as [Open] would. It opens nothing and asks nobody.
func (c Config) Check() error {
	_, err := newLog(c)
	return err
}

func newLog(cfg Config) (*Log, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	l := &Log{
		cfg: cfg, log: cfg.Log, kick: make(chan struct{}, 1), grown: make(chan struct{}),
		watchers: map[provenance.Link]map[chan Receipt]struct{}{},
	}
	var err error
	if l.vkey, err = note.NewEd25519VerifierKey(cfg.Origin, cfg.Key.Public().(ed25519.PublicKey)); err != nil {
		return nil, fmt.Errorf("origin %q: %w", cfg.Origin, err)
	}
	key, err := logproof.ParseKey(l.vkey)
	if err != nil {
		return nil, fmt.Errorf("origin %q: %w", cfg.Origin, err)
	}
	l.policy.Logs = []logproof.Key{key}
	if l.quorum, err = parseWitnesses(cfg.Witnesses); err != nil {
		return nil, fmt.Errorf("witness policy: %w", err)
	}
	l.asked = &asked{base: http.DefaultTransport, log: l.log}
	return l, nil
}

// complete fills in what may be left out, and says what must not be.
func (c *Config) complete() error {
	switch {
	case c.Dir == "":
		return errors.New("no folder is given")
	case c.Store == nil:
		return errors.New("no store is given")
	case len(c.Key) != ed25519.PrivateKeySize:
		return errors.New("no key is given")
	}
	if c.Interval == 0 {
		c.Interval = time.Second
	}
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Interval < 100*time.Millisecond {
		return fmt.Errorf("checkpoints every %s are too often; 100ms is the least", c.Interval)
	}
	return nil
}

// parseWitnesses reads the policy that names the witnesses; nil is nobody. Each must say where it is asked.
func parseWitnesses(text []byte) (*logproof.Quorum, error) {
	if len(text) == 0 {
		return nil, nil
	}
	p, err := logproof.ParsePolicy(text)
	if err != nil {
		return nil, err
	}
	for _, w := range p.Quorum.Witnesses() {
		if w.URL == "" {
			return nil, fmt.Errorf("witness %s has no URL to be asked at", w.Name)
		}
	}
	return p.Quorum, nil
}

func (l *Log) openTree(ctx context.Context) error {
	quiet()
	if err := checkAhead(ctx, l); err != nil {
		return err
	}
	damaged, err := l.checkFiles(ctx)
	if err == nil && damaged != "" {
		l.log.WarnContext(ctx, "the log's files are damaged; building them again from the journal", "found", damaged)
		err = l.rebuildTree(ctx)
	}
	if err != nil {
		return err
	}
	l.tree, err = l.startTessera(ctx, l.cfg.Dir, l.quorum.Wants())
	if err != nil && damaged == "" { // a file that only Tessera reads
		l.log.WarnContext(ctx, "the log's files are damaged; building them again from the journal", "found", err)
		if err = l.rebuildTree(ctx); err == nil {
			l.tree, err = l.startTessera(ctx, l.cfg.Dir, l.quorum.Wants())
		}
	}
	if err != nil {
		return err
	}
	if err = logEpoch(ctx, l.cfg.Store, l.epochs); err == nil {
		l.integrated, err = l.tree.reader.IntegratedSize(ctx)
	}
	if err == nil {
		l.ahead, err = takeOverNotes(ctx, l)
	}
	if err != nil {
		l.tree.cut()
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	l.Added()
	l.wg.Go(func() { l.feedEntries(running) })
	l.wg.Go(func() { l.followCheckpoints(running) })
	return nil
}

// takeOverNotes opens the notes of what is waited for, once the tree has all that were made before: they are
// overwritten.
func takeOverNotes(ctx context.Context, l *Log) (*ahead, error) {
	noted, err := readAhead(l.cfg.Dir, l.vkey)
	if err != nil {
		return nil, err
	}
	for _, e := range noted {
		for l.integrated <= e.Index { // nobody else has the log yet
			n, err := l.takeBatch(ctx, l.tree)
			if err == nil && n == 0 {
				err = fmt.Errorf("entry %d was noted: %w", e.Index, ErrBehind)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return openAhead(l.cfg.Dir, l.vkey, noteSlots)
}

// Close stops the log where it is. What the store has and the tree has not is taken in by the next Open.
func (l *Log) Close() {
	l.stop()
	l.wg.Wait()
	l.tree.cut()
	_ = l.ahead.close() // what is noted is on the disk
}

// VKey returns the log's name and public key: "origin+hash+key".
func (l *Log) VKey() string { return l.vkey }

// A tree is Tessera's part.
type tree struct {
	add    tessera.AddFn
	reader tessera.LogReader
	cut    context.CancelFunc // ends Tessera's goroutines; no entry may be under way
}

// startTessera opens the tree in dir.
func (l *Log) startTessera(ctx context.Context, dir string, witnessed bool) (*tree, error) {
	signer, err := l.noteSigner()
	if err != nil {
		return nil, err
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir, HTTPClient: l.asked.client(l.cfg.Timeout)})
	if err != nil {
		return nil, err
	}
	o := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(batch,
		batchAge).WithCheckpointInterval(l.cfg.Interval)
	if witnessed {
		group, err := tessera.NewWitnessGroupFromPolicy(l.cfg.Witnesses)
		if err != nil {
			return nil, fmt.Errorf("witness policy: %w", err)
		}
		o = o.WithWitnesses(group, &tessera.WitnessOptions{Timeout: l.cfg.Timeout, FailOpen: l.cfg.Optional})
	}
	living, cut := context.WithCancel(context.WithoutCancel(ctx))
	a, _, reader, err := tessera.NewAppender(living, driver, o)
	if err != nil {
		cut()
		return nil, err
	}
	return &tree{a.Add, reader, cut}, nil
}

// noteSigner is the key in the form of package note.
func (l *Log) noteSigner() (note.Signer, error) {
	hash := strings.Split(l.vkey, "+")[1]
	seed := append([]byte{1}, l.cfg.Key.Seed()...) // 1 is Ed25519
	return note.NewSigner("PRIVATE+KEY+" + l.cfg.Origin + "+" + hash + "+" + base64.StdEncoding.EncodeToString(seed))
}

// Added implements runner.Log.
func (l *Log) Added() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Wait implements runner.Log: it returns once the entry is on the disk in one of the log's own files, its tree or its
// notes.
func (l *Log) Wait(ctx context.Context, entry provenance.Link) error {
	e, err := l.cfg.Store.Entry(ctx, entry)
	if err != nil {
		return fmt.Errorf("wait for the log: %w", err)
	}
	there, grown, err := lookFor(l, e.Index)
	if err == nil && !there {
		there, err = noteEntry(ctx, l, e)
	}
	for err == nil && !there { // there is no room for notes
		select {
		case <-grown:
			there, grown, err = lookFor(l, e.Index)
		case <-ctx.Done():
			return fmt.Errorf("wait for the log to take in entry %d: %w", e.Index, context.Cause(ctx))
		}
	}
	if err != nil {
		return fmt.Errorf("wait for the log: %w", err)
	}
	return nil
}

// lookFor says whether the tree has an entry, and what is closed when it grows; or why it takes nothing any more.
func lookFor(l *Log, index uint64) (there bool, grown <-chan struct{}, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if there = l.integrated > index; !there {
		err = l.broken
	}
	return there, l.grown, err
}

// feedEntries takes the store's entries into the tree, in their order.
func (l *Log) feedEntries(ctx context.Context) {
	pause := 10 * time.Millisecond
	for {
		select {
		case <-l.kick:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(gather): // others come meanwhile, such as the end of a short run
		case <-ctx.Done():
			return
		}
		for {
			n, err := l.takeBatch(ctx, l.tree)
			if err == nil && n == 0 || ctx.Err() != nil {
				break
			}
			if err == nil {
				pause = 10 * time.Millisecond
				continue
			}
			if errors.Is(err, ErrForked) {
				l.mu.Lock()
				l.broken = err
				close(l.grown) // wakes those who wait
				l.grown = make(chan struct{})
				l.mu.Unlock()
				l.log.ErrorContext(ctx, "the log is stopped", "err", err)
				return
			}
			l.log.ErrorContext(ctx, "the log does not take entries; trying again", "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
				pause = min(2*pause, 5*time.Second)
			}
		}
	}
}

// takeBatch takes one batch into a tree and returns how many entries it had. Whatever was begun is waited for.
func (l *Log) takeBatch(ctx context.Context, t *tree) (int, error) {
	if err := l.cfg.Store.Fence(ctx); err != nil { // another process that has the store has the log too
		return 0, err
	}
	from, err := t.reader.IntegratedSize(ctx)
	if err != nil {
		return 0, err
	}
	entries, err := l.cfg.Store.Entries(ctx, from, batch)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	futures := make([]tessera.IndexFuture, len(entries))
	for i, e := range entries {
		futures[i] = t.add(context.WithoutCancel(ctx), tessera.NewEntry(e.Logged[:]))
	}
	var failed error
	for i, f := range futures {
		switch at, err := f(); {
		case err != nil:
			failed = errors.Join(failed, err)
		case at.Index != entries[i].Index:
			return 0, fmt.Errorf("entry %d came to stand at %d: %w", entries[i].Index, at.Index, ErrForked)
		}
	}
	if failed != nil {
		return 0, failed
	}
	if t == l.tree {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.integrated = from + uint64(len(entries))
		close(l.grown)
		l.grown = make(chan struct{})
	}
	return len(entries), nil
}

// Published returns the newest checkpoint, or nil before the first.
func (l *Log) Published() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.published)
}

// followCheckpoints watches for new checkpoints and makes receipts under them.
func (l *Log) followCheckpoints(ctx context.Context) {
	const idle = time.Second
	next, _, err := l.cfg.Store.Unreceipted(ctx)
	for wait := time.Duration(0); ; {
		l.mu.Lock()
		grown := l.grown
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-grown:
		case <-time.After(wait):
		}
		if err != nil { // the store could not say; ask it again
			if next, _, err = l.cfg.Store.Unreceipted(ctx); err != nil {
				wait = idle
				continue
			}
		}
		// Looked for often only while one is due.
		next, err = l.readCheckpoint(ctx, next)
		if err != nil && ctx.Err() == nil {
			l.log.ErrorContext(ctx, "receipts not made; trying again", "err", err)
		}
		l.mu.Lock()
		wait = idle
		if next < l.integrated && err == nil {
			wait = min(l.cfg.Interval/20, 20*time.Millisecond)
		}
		l.mu.Unlock()
	}
}

// readCheckpoint reads the newest checkpoint and, if it covers more than next entries, makes the receipts.
func (l *Log) readCheckpoint(ctx context.Context, next uint64) (uint64, error) {
	raw, err := l.tree.reader.ReadCheckpoint(ctx)
	if errors.Is(err, os.ErrNotExist) {
		return next, nil
	} else if err != nil {
		return next, err
	}
	l.mu.Lock()
	same := string(raw) == string(l.published)
	l.mu.Unlock()
	if same { // its receipts are made
		return next, nil
	}
	c, err := l.policy.OpenCheckpoint(raw)
	if err != nil {
		return next, err
	}
	l.noteMissing(ctx, raw)
	made, err := l.makeReceipts(ctx, raw, c, next)
	if err == nil {
		l.mu.Lock()
		l.published = raw
		l.mu.Unlock()
	}
	return made, err
}

// noteMissing notes who of the witnesses has not cosigned a checkpoint.
func (l *Log) noteMissing(ctx context.Context, raw []byte) {
	if !l.quorum.Wants() {
		return
	}
	c, err := logproof.Policy{Logs: l.policy.Logs, Quorum: l.quorum}.OpenCheckpoint(raw)
	if err == nil {
		return
	}
	var missing []string
	for _, w := range l.quorum.Witnesses() {
		if !slices.Contains(c.Cosigned, w.Name) {
			missing = append(missing, w.Name)
		}
	}
	l.log.WarnContext(ctx, "checkpoint published without its quorum of witnesses", "missing", missing)
}

// newProofBuilder makes proofs in the tree of one checkpoint.
func (l *Log) newProofBuilder(ctx context.Context, size uint64) (*client.ProofBuilder, error) {
	return client.NewProofBuilder(ctx, size, l.tree.reader.ReadTile)
}

// folder is where Tessera keeps what the tree is, apart from what it publishes.
func statePath(dir string) string { return filepath.Join(dir, ".state", "treeState") }
