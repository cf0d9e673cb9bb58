package agent

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/writ-run/writ/provenance"
)

// An Erasure deletes leaf keys of one closed run and gives the run a new head, which says so.
type Erasure struct {
	Run    provenance.Link
	Old    provenance.Link   // the run's head that Head was made from
	Head   provenance.Block  // the new head, of the same step
	Record provenance.Block  // the provenance.Erasure that Head names
	Leaves []provenance.Link // whose keys are deleted
	Shared bool              // some of Leaves are not the run's alone: its session's other runs need them too

	Callers []provenance.Link // of a sub-agent's run, the runs above it: a hold on one of them is on this one too
}

// An Eraser is a [Store] that can erase.
type Eraser interface {
	Store
	// Erase makes erasures, all of them or none. ErrConflict if a run is not closed, or has another head than Old;
	// ErrOnHold if a run or its wallet is under a legal hold; ErrShared if
	// an erasure is Shared and another run of the session is open, or one of the wallet under a hold.
	Erase(ctx context.Context, all ...Erasure) error
}

// Errors of [Erase].
var (
	// ErrNoLeaf says that a run has no such leaf, or that its key is gone already.
	ErrNoLeaf = errors.New("the run has no such sealed leaf, or its key is gone already")
	// ErrOnHold says that a legal hold keeps the payloads of a run.
	ErrOnHold = errors.New("the run is under a legal hold")
	// ErrShared says that a leaf is not only this run's, and that another run still needs it.
	ErrShared = errors.New("another run needs it too, which is open or under a legal hold")
	// ErrRetained says that a run has not ended long enough ago.
	ErrRetained = errors.New("the run ended less than 184 days ago")
)

// RetentionFloor is how long payloads are kept at least after their run's end, unless somebody says otherwise in so many
// words: six months, as laws about logs of such systems ask (Regulation (EU) 2024/1689, Articles 19 and 26(6)).
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

// Erase deletes the keys of leaves of a closed run and signs a new head that names the erasure, for the run and for each
// run of a sub-agent that has some of them. It returns the run's new head and how many keys were deleted. ErrNoLeaf
// names the leaf.
func Erase(ctx context.Context, s Eraser, key ed25519.PrivateKey, q EraseRequest) (head provenance.Link, n int, err error) {
	head, n, err = erase(ctx, s, key, q)
	if err != nil {
		err = fmt.Errorf("erase leaves of %s: %w", q.Run, err)
	}
	return head, n, err
}

func erase(ctx context.Context, s Eraser, key ed25519.PrivateKey, q EraseRequest) (head provenance.Link, n int, err error) {
	info, err := s.Run(ctx, q.Run)
	if err != nil {
		return head, 0, err
	}
	own, err := belongings(ctx, s, info)
	if err != nil {
		return head, 0, err
	}
	if !q.Early {
		var last provenance.Step
		if err := decodeFrom(ctx, s, info.Last, &last); err != nil {
			return head, 0, err
		}
		if q.Now().UnixMilli()-last.At < RetentionFloor.Milliseconds() {
			return head, 0, ErrRetained
		}
	}
	leaves := q.Leaves
	if len(leaves) == 0 {
		for l := range own.keys {
			if !own.shared[l] {
				leaves = append(leaves, l)
			}
		}
	}
	for _, l := range leaves {
		if !own.keys[l] {
			return head, 0, fmt.Errorf("leaf %s: %w", l, ErrNoLeaf)
		}
	}
	if len(leaves) == 0 {
		return head, 0, ErrNoLeaf
	}
	leaves = slices.Clone(leaves)
	slices.SortFunc(leaves, func(a, b provenance.Link) int { return strings.Compare(a.KeyString(), b.KeyString()) })
	leaves = slices.Compact(leaves)
	for some := range slices.Chunk(leaves, maxErased) {
		all := make([]Erasure, 0, 1+len(own.below))
		for _, run := range append([]provenance.Link{q.Run}, own.below...) {
			e, err := erasure(ctx, s, run, some)
			if err != nil {
				return head, n, err
			}
			if len(e.Leaves) > 0 {
				all = append(all, e)
			}
		}
		for i := range all { // only now, since a head must not say a time long before it is in the log
			if err := all[i].sign(ctx, s, key, q); err != nil {
				return head, n, err
			}
		}
		if err := s.Erase(ctx, all...); err != nil {
			return head, n, err
		}
		head, n = all[0].Head.CID, n+len(some)
	}
	return head, n, nil
}

// erasure says what the erasure of one run is, without its records: of those of some that it has.
func erasure(ctx context.Context, s Eraser, run provenance.Link, some []provenance.Link) (e Erasure, err error) {
	info, err := s.Run(ctx, run)
	if err != nil {
		return e, err
	}
	if open(info.Status) || !info.Head.Defined() {
		return e, fmt.Errorf("run %s has not ended: %w", run, ErrConflict)
	}
	own, err := belongings(ctx, s, info)
	if err != nil {
		return e, err
	}
	for _, l := range some {
		if own.keys[l] {
			e.Leaves = append(e.Leaves, l)
			e.Shared = e.Shared || own.shared[l]
		}
	}
	if len(e.Leaves) == 0 {
		return e, nil
	}
	e.Run, e.Old = run, info.Head
	e.Callers, err = callers(ctx, s, run)
	return e, err
}

// sign makes the record of an erasure and the run's new head.
func (e *Erasure) sign(ctx context.Context, s Store, key ed25519.PrivateKey, q EraseRequest) error {
	var head provenance.Head
	err := decodeFrom(ctx, s, e.Old, &head)
	if err != nil {
		return err
	}
	at := max(q.Now().UnixMilli(), head.At)
	if e.Record, err = provenance.Encode(&provenance.Erasure{At: at, Why: q.Why, Leaves: e.Leaves}); err != nil {
		return err
	}
	head.At, head.Erased = at, append(head.Erased, e.Record.CID)
	if err := head.Sign(key); err != nil {
		return err
	}
	e.Head, err = provenance.Encode(&head)
	return err
}

// What belongs to a run: its history and those of its sub-agents, and nothing of who called it, or of another session
// whose key ended its own.
type belonging struct {
	keys   map[provenance.Link]bool // leaves whose key is here
	shared map[provenance.Link]bool // leaves of records that runs share: of who permitted, who ended it, what a chain said
	below  []provenance.Link        // runs of sub-agents
}

func belongings(ctx context.Context, s Store, info RunInfo) (belonging, error) {
	b := belonging{keys: map[provenance.Link]bool{}, shared: map[provenance.Link]bool{}}
	seen := map[provenance.Link]bool{}
	for todo := []provenance.Link{info.Head}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[c] || !c.Defined() {
			continue
		}
		seen[c] = true
		if c.Prefix().Codec == rawCodec {
			if _, err := s.LeafKey(ctx, c); err == nil {
				b.keys[c] = true
			} else if !errors.Is(err, ErrNotFound) { // else public, or erased
				return b, err
			}
			continue
		}
		data, err := s.Block(ctx, c)
		if err != nil {
			return b, err
		}
		rec, err := provenance.DecodeAny(data)
		if err != nil {
			return b, fmt.Errorf("record %s: %w", c, err)
		}
		var others []provenance.Link
		shared := false
		switch rec := rec.(type) {
		case *provenance.Run:
			if c != info.ID {
				b.below = append(b.below, c)
			}
			if rec.Parent != nil {
				others = append(others, rec.Parent.Step)
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
		for _, l := range provenance.Links(rec) {
			if slices.Contains(others, l) {
				continue
			}
			if shared && l.Prefix().Codec == rawCodec {
				b.shared[l] = true
			}
			todo = append(todo, l)
		}
	}
	return b, nil
}

// callers returns the run that has called a sub-agent's run, the one that has called that, and so on up. One whose step
// was cut off is not known.
func callers(ctx context.Context, s Store, run provenance.Link) (up []provenance.Link, err error) {
	for {
		var rec provenance.Run
		if err := decodeFrom(ctx, s, run, &rec); err != nil || rec.Parent == nil {
			return up, err
		}
		var call provenance.Step
		if err := decodeFrom(ctx, s, rec.Parent.Step, &call); errors.Is(err, ErrNotFound) {
			return up, nil
		} else if err != nil {
			return up, err
		}
		run = call.Run
		up = append(up, run)
	}
}

func decodeFrom(ctx context.Context, s Store, c provenance.Link, rec provenance.Record) error {
	data, err := s.Block(ctx, c)
	if err != nil {
		return err
	}
	return provenance.Decode(data, rec)
}
