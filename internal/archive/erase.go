package archive

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Errors of [Erase].
var (
	// ErrNoLeaf says that a run has no such leaf, or that its key is gone already.
	ErrNoLeaf = errors.New("the run has no such sealed leaf, or its key is gone already")
	// ErrRetained says that a run has not ended long enough ago.
	ErrRetained = errors.New("the run ended less than 184 days ago")
)

// RetentionFloor is how long payloads are kept at least after their run's end, unless somebody says otherwise in so
// many words: six months, as laws about logs of such systems ask (Regulation (EU) 2024/1689, Articles 19 and 26(6)).
const RetentionFloor = 184 * 24 * time.Hour

// An EraseRequest says what is to be erased.
type EraseRequest struct {
	Run provenance.Link
	// Leaves of the run or of its sub-agents' runs. If there are none, all payloads of their steps are erased; those of
	// grants, revocations and what chains said of wallets, which runs share, are erased only by name.
	Leaves []provenance.Link
	Why    string           // for the record, in clear
	Now    func() time.Time // the clock; it is asked for each head right before that is signed
	Early  bool             // also before [RetentionFloor] has passed since the run's end
}

// maxErased bounds the leaves of one erasure; more are erased by several, one after the other.
const maxErased = 2048

// An Eraser is what erasing asks of a store.
type Eraser interface {
	KeyedRecords
	journal.Erasures
}

// Erase deletes the keys of leaves of a closed run and signs a new head that names the erasure, for the run and for
// each run of a sub-agent that has some of them. It returns the run's new head and how many keys were deleted.
// ErrNoLeaf names the leaf.
func Erase(
	ctx context.Context, s Eraser, key ed25519.PrivateKey, q EraseRequest,
) (head provenance.Link, n int, err error) {
	e := &eraser{store: s, key: key, EraseRequest: q}
	if err = e.findLeaves(ctx); err == nil {
		for some := range slices.Chunk(e.leaves, maxErased) {
			var newest provenance.Link
			if newest, err = e.eraseLeaves(ctx, some); err != nil {
				break
			}
			head, n = newest, n+len(some)
		}
	}
	if err != nil {
		err = fmt.Errorf("erase leaves of %s: %w", q.Run, err)
	}
	return head, n, err
}

// An eraser carries out one request.
type eraser struct {
	EraseRequest
	store  Eraser
	key    ed25519.PrivateKey
	leaves []provenance.Link // all that are to be erased, sorted
	runs   []provenance.Link // that may have some of them: the run itself, then those of its sub-agents
}

// findLeaves says which leaves are to be erased, if they may be.
func (e *eraser) findLeaves(ctx context.Context) error {
	info, err := e.store.Run(ctx, e.Run)
	if err != nil {
		return err
	}
	own, err := findBelongings(ctx, e.store, info)
	if err != nil {
		return err
	}
	if err := e.checkRetained(ctx, info); err != nil {
		return err
	}
	e.leaves = slices.Clone(e.Leaves)
	if len(e.leaves) == 0 {
		for l := range own.keys {
			if !own.shared[l] {
				e.leaves = append(e.leaves, l)
			}
		}
	}
	for _, l := range e.leaves {
		if !own.keys[l] {
			return fmt.Errorf("leaf %s: %w", l, ErrNoLeaf)
		}
	}
	if len(e.leaves) == 0 {
		return ErrNoLeaf
	}
	slices.SortFunc(e.leaves, func(a, b provenance.Link) int { return strings.Compare(a.KeyString(), b.KeyString()) })
	e.leaves = slices.Compact(e.leaves)
	e.runs = append([]provenance.Link{e.Run}, own.below...)
	return nil
}

// checkRetained says whether the run has ended long enough ago.
func (e *eraser) checkRetained(ctx context.Context, info journal.RunInfo) error {
	if e.Early {
		return nil
	}
	var last provenance.Step
	if err := Read(ctx, e.store, info.Last, &last); err != nil {
		return err
	}
	if e.Now().UnixMilli()-last.At < RetentionFloor.Milliseconds() {
		return ErrRetained
	}
	return nil
}

// eraseLeaves erases some leaves in all runs that have them, and returns the new head of the first one.
func (e *eraser) eraseLeaves(ctx context.Context, some []provenance.Link) (head provenance.Link, err error) {
	all := make([]journal.Erasure, 0, len(e.runs))
	for _, run := range e.runs {
		x, err := e.prepareErasure(ctx, run, some)
		if err != nil {
			return head, err
		}
		if len(x.Leaves) > 0 {
			all = append(all, x)
		}
	}
	for i := range all { // only now, since a head must not say a time long before it is in the log
		if err := e.signErasure(ctx, &all[i]); err != nil {
			return head, err
		}
	}
	if err := e.store.Erase(ctx, all...); err != nil {
		return head, err
	}
	return all[0].Head.CID, nil
}

// prepareErasure says what the erasure of one run is, without its records: of those of some that it has.
func (e *eraser) prepareErasure(
	ctx context.Context, run provenance.Link, some []provenance.Link,
) (x journal.Erasure, err error) {
	info, err := e.store.Run(ctx, run)
	if err != nil {
		return x, err
	}
	if info.IsOpen() || !info.Head.Defined() {
		return x, fmt.Errorf("run %s has not ended: %w", run, journal.ErrConflict)
	}
	own, err := findBelongings(ctx, e.store, info)
	if err != nil {
		return x, err
	}
	for _, l := range some {
		if own.keys[l] {
			x.Leaves = append(x.Leaves, l)
			x.Shared = x.Shared || own.shared[l]
		}
	}
	if len(x.Leaves) == 0 {
		return x, nil
	}
	x.Run, x.Old = run, info.Head
	x.Callers, err = findCallers(ctx, e.store, run)
	return x, err
}

// signErasure makes the record of an erasure and the run's new head.
func (e *eraser) signErasure(ctx context.Context, x *journal.Erasure) error {
	var head provenance.Head
	err := Read(ctx, e.store, x.Old, &head)
	if err != nil {
		return err
	}
	at := max(e.Now().UnixMilli(), head.At)
	if x.Record, err = provenance.Encode(&provenance.Erasure{At: at, Why: e.Why, Leaves: x.Leaves}); err != nil {
		return err
	}
	head.At, head.Erased = at, append(head.Erased, x.Record.CID)
	if err := head.Sign(e.key); err != nil {
		return err
	}
	x.Head, err = provenance.Encode(&head)
	return err
}

// What belongs to a run: its history and those of its sub-agents, and nothing of who called it, or of another session
// whose key ended its own.
type belongings struct {
	keys   map[provenance.Link]bool // leaves whose key is here
	shared map[provenance.Link]bool // leaves of records that runs share: of who permitted, who ended it, what a chain said
	below  []provenance.Link        // runs of sub-agents
}

func findBelongings(ctx context.Context, s Eraser, info journal.RunInfo) (belongings, error) {
	b := belongings{keys: map[provenance.Link]bool{}, shared: map[provenance.Link]bool{}}
	err := walkHistory(ctx, s, info.Head,
		func(c provenance.Link, _ provenance.LeafKey) { b.keys[c] = true },
		func(c provenance.Link, rec provenance.Record) []provenance.Link {
			if _, run := rec.(*provenance.Run); run && c != info.ID {
				b.below = append(b.below, c)
			}
			return b.linksOf(rec)
		})
	return b, err
}

// linksOf lists what a record names that belongs to the run, and notes which of its leaves are shared.
func (b *belongings) linksOf(rec provenance.Record) []provenance.Link {
	var others []provenance.Link
	shared := false
	switch rec := rec.(type) {
	case *provenance.Run:
		if rec.Parent != nil {
			others = append(others, rec.Parent.Step)
		}
	case *provenance.Step:
		if ask, ok := rec.Event.(*provenance.Ask); ok { // the run before in its thread, whose user may keep it
			others = append(others, ask.After)
		}
		if r, ok := rec.Event.(*provenance.Reply); ok && r.From != nil { // likewise
			others = append(others, r.From.Head, r.From.Step)
		}
	case *provenance.Delegation:
		others = append(others, rec.Call.Step)
	case *provenance.Revocation:
		shared = true
		others = append(others, rec.Grant)
		if rec.Frame != nil {
			others = append(others, rec.Frame.From)
		}
	case *provenance.Grant, *provenance.Verification:
		shared = true
	}
	links := slices.DeleteFunc(provenance.Links(rec), func(l provenance.Link) bool { return slices.Contains(others, l) })
	for _, l := range links {
		if shared && l.Prefix().Codec == cid.Raw {
			b.shared[l] = true
		}
	}
	return links
}

// findCallers returns the run that has called a sub-agent's run, the one that has called that, and so on up. One whose
// step was cut off is not known.
func findCallers(ctx context.Context, s journal.BlockReader, run provenance.Link) (up []provenance.Link, err error) {
	for {
		var rec provenance.Run
		if err := Read(ctx, s, run, &rec); err != nil || rec.Parent == nil {
			return up, err
		}
		var call provenance.Step
		if err := Read(ctx, s, rec.Parent.Step, &call); errors.Is(err, journal.ErrNotFound) {
			return up, nil
		} else if err != nil {
			return up, err
		}
		run = call.Run
		up = append(up, run)
	}
}
