package journal

import (
	"context"

	"github.com/writ-run/writ/provenance"
)

// An Entry is one place in the transparency log, as the store has assigned it.
type Entry struct {
	Index   uint64
	CID     provenance.Link
	Logged  provenance.LogEntry // what stands in the log, which does not name CID
	Receipt provenance.Link     // of a provenance.Receipt; undefined while there is none
}

// An EntryReader has the entries of the transparency log.
type EntryReader interface {
	// Entries returns the entries from index on, in order, at most limit.
	Entries(ctx context.Context, from uint64, limit int) ([]Entry, error)
	// Entry returns the entry of a CID, or ErrNotFound.
	Entry(ctx context.Context, c provenance.Link) (Entry, error)
}

// Entries is the part of a store that says what stands in the transparency log, and in which order. Places are
// given out in the order of commits, from 0 on, without gaps, and never change: the tree can be built again from them
// at any time, hash for hash.
type Entries interface {
	EntryReader
	// AddEntry stores a block that is not a head and gives it the next place; one that has a place keeps it.
	AddEntry(ctx context.Context, b provenance.Block) (Entry, error)
	// PutReceipts stores receipts with the blocks that they link to, and the checkpoint that they were made under, all
	// or nothing. An entry keeps its first receipt; one without a Receipt is noted as wanting none.
	PutReceipts(ctx context.Context, receipts []Entry, blocks []provenance.Block, checkpoint []byte) error
	// Unreceipted returns the lowest index for which PutReceipts was not called, and the newest checkpoint that was
	// stored.
	Unreceipted(ctx context.Context) (index uint64, checkpoint []byte, err error)
	// LogEpochs returns the epochs of the log after its first, in order.
	LogEpochs(ctx context.Context) ([]LogEpoch, error)
}

// A LogEpoch is a life of the log under a name of its own, begun where the one before could not go on.
type LogEpoch struct {
	N         int    // 2 for the first that is noted
	VKey      string // the log's name and key from then on
	Statement []byte // signed under the name before; see translog.Statement
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
