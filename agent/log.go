package agent

import (
	"context"
	"time"

	"github.com/writ-run/writ/provenance"
)

// A Log is the transparency log that heads go to. provenance/translog has one. It is a projection of the journal: the
// store gives each head its place in the log in the transaction that commits the head, and the log takes them in from
// there.
type Log interface {
	// Added says that there are new entries in the store. It does not block.
	Added()
	// Wait returns once the entry, which is in the store, is durable in the log's tree; or when ctx ends.
	Wait(ctx context.Context, entry provenance.Link) error
}

// An Entry is one place in the transparency log, as the store has assigned it.
type Entry struct {
	Index   uint64
	CID     provenance.Link
	Receipt provenance.Link // of a provenance.Receipt; undefined while there is none
}

// Entries is the part of a [Store] that says what stands in the transparency log, and in which order. Places are
// given out in the order of commits, from 0 on, without gaps, and never change: the tree can be built again from them
// at any time, hash for hash.
type Entries interface {
	// Entries returns the entries from index on, in order, at most limit.
	Entries(ctx context.Context, from uint64, limit int) ([]Entry, error)
	// Entry returns the entry of a CID, or ErrNotFound.
	Entry(ctx context.Context, c provenance.Link) (Entry, error)
	// AddEntry stores a block that is not a head and gives it the next place; one that has a place keeps it.
	AddEntry(ctx context.Context, b provenance.Block) (Entry, error)
	// PutReceipts stores receipts with the blocks that they link to, and the checkpoint that they were made under, all
	// or nothing. An entry keeps its first receipt; one without a Receipt is noted as wanting none.
	PutReceipts(ctx context.Context, receipts []Entry, blocks []provenance.Block, checkpoint []byte) error
	// Unreceipted returns the lowest index for which PutReceipts was not called, and the newest checkpoint that was
	// stored.
	Unreceipted(ctx context.Context) (index uint64, checkpoint []byte, err error)
}

// logPause is how long one wait for the log lasts before it is said that the log does not take entries.
const logPause = 10 * time.Second

// logged returns once the run's head is in the log, or ctx ends, and says whether it is. The first model call and
// what cannot be taken back wait for it: nobody can then pretend that the run, or the act, was never there. A log that
// takes nothing holds the effect up, which the run's own deadline bounds.
func (a *actor) logged(ctx context.Context, head provenance.Link) bool {
	for a.r.cfg.HeadLog != nil && head.Defined() {
		one, cancel := context.WithTimeout(ctx, logPause)
		err := a.r.cfg.HeadLog.Wait(one, head)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		a.r.log.ErrorContext(ctx, "the log does not take the run's head; the run waits", "run", a.info.ID, "err", err)
		select { // an error may come at once
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return ctx.Err() == nil
}

// needsLog says which effects wait for the log.
func (a *actor) needsLog(e provenance.Effect) bool {
	if a.r.cfg.HeadLog == nil {
		return false
	}
	switch e := e.(type) {
	case *provenance.AskModel:
		return true
	case *provenance.Call:
		return e.Phase == provenance.PhaseSend || e.Class == "once"
	}
	return false
}

// A Receipt is what a client of a run keeps: a head, and the proof that it stands in the log.
type Receipt struct {
	Run, Head provenance.Link
	Seq       uint64
	CID       provenance.Link // of the provenance.Receipt, the root of the run's history
	// Text is a tlog-proof (c2sp.org/tlog-proof) with the head's block as its extra data, so that it can be checked by
	// itself.
	Text []byte
}
