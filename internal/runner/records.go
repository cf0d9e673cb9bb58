package runner

import (
	"context"
	"fmt"

	"github.com/writ-run/writ/agent/authority"
	"github.com/writ-run/writ/internal/archive"
	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/policies"
	"github.com/writ-run/writ/provenance"
)

// records reads records and their payloads, and seals the payloads of new ones. It has no state of its own.
type records struct {
	store   journal.Store
	leafKey func(run provenance.Link, seq uint64, i int) provenance.LeafKey
}

func (r *records) readRecord(ctx context.Context, c provenance.Link, rec provenance.Record) error {
	return archive.Read(ctx, r.store, c, rec)
}

// Keys returns the leaf keys of a run; see [archive.Keys].
func (r *Runner) Keys(ctx context.Context, run provenance.Link) (map[provenance.Link]provenance.LeafKey, error) {
	return archive.Keys(ctx, r.cfg.Store, run)
}

// A StepView is a committed step with those payloads opened whose keys are here.
type StepView = archive.StepView

// Steps returns a run's steps from seq on, in order, at most limit.
func (r *Runner) Steps(ctx context.Context, run provenance.Link, from uint64, limit int) ([]StepView, error) {
	return archive.Steps(ctx, r.cfg.Store, run, from, limit)
}

func (r *records) readSteps(ctx context.Context, run provenance.Link, from uint64, limit int) ([]StepView, error) {
	return archive.Steps(ctx, r.store, run, from, limit)
}

// leaves are what sealing a record's payloads makes.
type leaves struct {
	blocks []provenance.Block
	keys   []provenance.Leaf
}

// sealRecord gives every payload of rec, which belongs to no step, that has none a leaf.
func (r *records) sealRecord(rec provenance.Record) (leaves, error) {
	var out leaves
	err := r.sealStep(&out, rec, provenance.Link{}, 0, nil)
	return out, err
}

// sealWith seals a record that belongs to no step, and returns its CID and all that is to be stored with it: extra, its
// own leaves, and the record.
func (r *records) sealWith(rec provenance.Record, extra leaves) (provenance.Link, leaves, error) {
	own, err := r.sealRecord(rec)
	if err != nil {
		return provenance.Link{}, leaves{}, err
	}
	b, err := provenance.Encode(rec)
	return b.CID, leaves{
		blocks: append(append(extra.blocks, own.blocks...), b), keys: append(extra.keys, own.keys...),
	}, err
}

// A sealer gives payloads leaves.
type sealer struct {
	records *records
	run     provenance.Link
	seq     uint64
	modes   map[*provenance.Payload]policies.Mode // how those are kept that are not to be sealed
	out     *leaves
	failed  error
}

// sealStep gives every payload of rec, which is a step or its event, that has none a leaf, and adds them to out. The
// keys of out are those of the step so far: the number of a leaf is its place among them.
func (r *records) sealStep(
	out *leaves, rec provenance.Record, run provenance.Link, seq uint64, modes map[*provenance.Payload]policies.Mode,
) error {
	s := &sealer{records: r, run: run, seq: seq, modes: modes, out: out}
	provenance.EachPayload(rec, s.sealPayload)
	return s.failed
}

func (s *sealer) sealPayload(p *provenance.Payload) {
	if s.failed == nil && !p.Leaf().Defined() {
		s.failed = s.addLeaf(p)
	}
}

// addLeaf makes a payload's leaf. This is the one place where a mode that provenance.publish chose becomes a way of
// keeping.
func (s *sealer) addLeaf(p *provenance.Payload) error {
	mode := s.modes[p]
	if mode == policies.Public {
		b, err := p.Publish()
		if err == nil {
			s.out.blocks = append(s.out.blocks, b)
		}
		return err
	}
	k := s.records.leafKey(s.run, s.seq, len(s.out.keys))
	b, err := p.Seal(k)
	if err != nil {
		return err
	}
	leaf := provenance.Leaf{CID: b.CID, Key: k, Ends: mode == policies.CommitOnly || mode == policies.Ephemeral}
	if mode == policies.CommitOnly {
		leaf.Withheld = b.Data
	} else {
		s.out.blocks = append(s.out.blocks, b)
	}
	s.out.keys = append(s.out.keys, leaf)
	return nil
}

// readDelegations reads the delegations from a session's grant down to delegation, which may be undefined.
func (r *records) readDelegations(
	ctx context.Context, session, delegation provenance.Link,
) ([]authority.Delegated, error) {
	var chain []authority.Delegated
	for at := delegation; at.Defined() && at != session; {
		if len(chain) == provenance.MaxDelegations {
			return nil, fmt.Errorf("delegation %s: more than %d deep", delegation, provenance.MaxDelegations)
		}
		d := new(provenance.Delegation)
		if err := r.readRecord(ctx, at, d); err != nil {
			return nil, err
		}
		chain = append([]authority.Delegated{{CID: at, Delegation: d}}, chain...)
		at = d.From
	}
	return chain, nil
}

// A Lineage says how a run came to be, and what was said of it since. Of a run that the user asked for, and of which
// nothing was left open, it is zero.
type Lineage struct {
	Delegation provenance.Link         // what a sub-agent's run acts under
	Callers    []provenance.Link       // the runs that wait for it, innermost first; at most provenance.MaxDelegations
	Asserted   []*provenance.Assertion // what the operator's wallet says of its calls in doubt, oldest first
}

// Lineage returns a run's.
func (r *Runner) Lineage(ctx context.Context, run provenance.Link) (Lineage, error) {
	l, err := r.records.readLineage(ctx, run)
	if err == nil {
		l.Asserted, err = r.records.readAssertions(ctx, run)
	}
	return l, err
}

// readAssertions reads what is said of the calls of a run that were in doubt.
func (r *records) readAssertions(ctx context.Context, run provenance.Link) (all []*provenance.Assertion, err error) {
	info, err := r.store.Run(ctx, run)
	if err != nil || info.IsOpen() || !info.Head.Defined() {
		return nil, err
	}
	var head provenance.Head
	if err := r.readRecord(ctx, info.Head, &head); err != nil {
		return nil, err
	}
	for _, l := range head.Asserted {
		a := new(provenance.Assertion)
		if err := r.readRecord(ctx, l, a); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

func (r *records) readLineage(ctx context.Context, run provenance.Link) (l Lineage, err error) {
	for at := run; len(l.Callers) <= provenance.MaxDelegations; {
		var rec provenance.Run
		if err := r.readRecord(ctx, at, &rec); err != nil {
			return Lineage{}, fmt.Errorf("lineage of run %s: %w", run, err)
		}
		if at == run {
			l.Delegation = rec.Delegation
		}
		if !rec.Delegation.Defined() || rec.Parent == nil {
			return l, nil
		}
		var step provenance.Step
		if err := r.readRecord(ctx, rec.Parent.Step, &step); err != nil {
			return Lineage{}, fmt.Errorf("lineage of run %s: %w", run, err)
		}
		at = step.Run
		l.Callers = append(l.Callers, at)
	}
	return l, nil
}
