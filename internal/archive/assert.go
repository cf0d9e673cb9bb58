package archive

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/provenance"
)

// Errors of [FindDoubt] and [Assert].
var (
	// ErrNoDoubt says that a step has no call of which it is not known whether it happened.
	ErrNoDoubt = errors.New("the step has no call of which it is not known whether it happened")
	// ErrAsserted says that the operator has said already what came of a call.
	ErrAsserted = errors.New("it is said already what came of this call")
)

// A Doubt is a call of which its run does not say whether it happened.
type Doubt struct {
	Of   provenance.Ref
	Step provenance.Link // that has the call as an effect
	At   int64           // ms UTC, of the step
	Tool provenance.Link
}

// FindDoubts returns the calls of a run that are in doubt, and what its head says of some of them. Of a transaction
// whose receipt came, and shows nothing, only the run's end tells; then the newest such call is one.
func FindDoubts(ctx context.Context, s journal.Records, info journal.RunInfo) (
	open []Doubt, said []*provenance.Assertion, err error,
) {
	d := doubts{open: map[provenance.Ref]asked{}}
	if err = d.readSteps(ctx, s, info); err != nil {
		return nil, nil, err
	}
	if !info.IsOpen() {
		for _, x := range d.open {
			d.found = append(d.found, x.Doubt)
		}
		if len(d.found) == 0 && info.Status == provenance.CloseInDoubt && d.receipt != nil {
			d.found = append(d.found, *d.receipt)
		}
	}
	if info.Head.Defined() {
		if said, err = readAssertions(ctx, s, info.Head); err != nil {
			return nil, nil, err
		}
	}
	d.found = slices.DeleteFunc(d.found, func(x Doubt) bool {
		return slices.ContainsFunc(said, func(a *provenance.Assertion) bool { return a.Of == x.Of })
	})
	slices.SortFunc(d.found, func(a, b Doubt) int {
		if a.Of.Seq != b.Of.Seq {
			return int(int64(a.Of.Seq) - int64(b.Of.Seq))
		}
		return int(int64(a.Of.Index) - int64(b.Of.Index))
	})
	return d.found, said, nil
}

// readAssertions reads those that a head names.
func readAssertions(ctx context.Context, s journal.BlockReader, at provenance.Link) ([]*provenance.Assertion, error) {
	var head provenance.Head
	if err := Read(ctx, s, at, &head); err != nil {
		return nil, err
	}
	var said []*provenance.Assertion
	for _, l := range head.Asserted {
		a := new(provenance.Assertion)
		if err := Read(ctx, s, l, a); err != nil {
			return nil, err
		}
		said = append(said, a)
	}
	return said, nil
}

// doubts are what the steps of a run leave open, read one after the other.
type doubts struct {
	open    map[provenance.Ref]asked
	found   []Doubt
	receipt *Doubt // the newest transaction that was answered with a receipt
}

type asked struct {
	Doubt
	call *provenance.Call
}

const stepPage = 100

func (d *doubts) readSteps(ctx context.Context, s journal.Records, info journal.RunInfo) error {
	for from := uint64(0); from < info.Steps; from += stepPage {
		page, err := s.Steps(ctx, info.ID, from, stepPage)
		if err != nil {
			return err
		}
		for _, b := range page {
			var step provenance.Step
			if err := provenance.Decode(b.Data, &step); err != nil {
				return fmt.Errorf("step of run %s: %w", info.ID, err)
			}
			d.take(b.CID, &step)
		}
	}
	return nil
}

func (d *doubts) take(at provenance.Link, step *provenance.Step) {
	of, answers := provenance.AnsweredBy(step.Event)
	if x, is := d.open[of]; is && answers {
		delete(d.open, of)
		r, isResult := step.Event.(*provenance.Result)
		switch {
		case provenance.LeavesDoubt(x.call, step.Event):
			d.found = append(d.found, x.Doubt)
		case isResult && r.Status == provenance.StatusOK && x.call.Class == "chain":
			d.receipt = &x.Doubt
		}
	}
	for i, e := range step.Does {
		if c, is := e.(*provenance.Call); is && provenance.MayAct(c) {
			of := provenance.Ref{Seq: step.Seq, Index: uint64(i)}
			d.open[of] = asked{Doubt{Of: of, Step: at, At: step.At, Tool: c.Tool}, c}
		}
	}
}

// FindDoubt returns the one call in doubt of a step of a closed run; index says which, if the step has several.
// ErrConflict if the run is open, ErrAsserted if it is said already what came of the call, and ErrNoDoubt if there is
// none, or several and no index.
func FindDoubt(ctx context.Context, s journal.Records, info journal.RunInfo, seq uint64, index *uint64) (Doubt, error) {
	if info.IsOpen() || !info.Head.Defined() {
		return Doubt{}, fmt.Errorf("run %s has not ended: %w", info.ID, journal.ErrConflict)
	}
	open, said, err := FindDoubts(ctx, s, info)
	if err != nil {
		return Doubt{}, err
	}
	isIt := func(of provenance.Ref) bool { return of.Seq == seq && (index == nil || of.Index == *index) }
	open = slices.DeleteFunc(open, func(d Doubt) bool { return !isIt(d.Of) })
	switch {
	case len(open) == 1:
		return open[0], nil
	case len(open) == 0 && slices.ContainsFunc(said, func(a *provenance.Assertion) bool { return isIt(a.Of) }):
		return Doubt{}, ErrAsserted
	case len(open) > 1:
		return Doubt{}, fmt.Errorf("%d calls of step %d are in doubt, and none is named: %w", len(open), seq, ErrNoDoubt)
	}
	return Doubt{}, ErrNoDoubt
}

// An Asserter is what an assertion asks of a store.
type Asserter interface {
	journal.Records
	journal.Assertions
}

// Assert makes what the operator's wallet has signed part of a closed run: its record, a new head that names it, and
// what the ledgers count. Whoever calls has checked the signature. It returns the new head.
func Assert(
	ctx context.Context, s Asserter, key ed25519.PrivateKey, rec *provenance.Assertion, now func() time.Time,
) (provenance.Link, error) {
	info, err := s.Run(ctx, rec.Run)
	if err != nil {
		return provenance.Link{}, err
	}
	if _, err := FindDoubt(ctx, s, info, rec.Of.Seq, &rec.Of.Index); err != nil {
		return provenance.Link{}, err
	}
	x := journal.Assertion{Run: rec.Run, Old: info.Head, Of: rec.Of, Done: rec.As == provenance.AssertedDone}
	if x.Callers, err = findCallers(ctx, s, rec.Run); err != nil {
		return provenance.Link{}, err
	}
	if x.Record, err = provenance.Encode(rec); err != nil {
		return provenance.Link{}, err
	}
	var head provenance.Head
	if err := Read(ctx, s, info.Head, &head); err != nil {
		return provenance.Link{}, err
	}
	head.At, head.Asserted = max(now().UnixMilli(), head.At, rec.At), append(head.Asserted, x.Record.CID)
	if err := head.Sign(key); err != nil {
		return provenance.Link{}, err
	}
	if x.Head, err = provenance.Encode(&head); err != nil {
		return provenance.Link{}, err
	}
	if err := s.Assert(ctx, x); err != nil {
		return provenance.Link{}, err
	}
	return x.Head.CID, nil
}
