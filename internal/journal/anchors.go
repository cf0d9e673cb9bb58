package journal

import (
	"context"

	"github.com/writ-run/writ/provenance/logproof"
)

// Anchors is the part of a store that keeps the transactions that anchor the log on a chain.
type Anchors interface {
	// PutAnchoring stores a signed transaction, before it is first sent. Storing it again changes nothing.
	PutAnchoring(ctx context.Context, a Anchoring) error
	// FinishAnchoring notes what came of a transaction: the block that has it and that block's time, or that it failed.
	FinishAnchoring(ctx context.Context, hash [32]byte, block uint64, time int64, failed bool) error
	// Anchorings returns the newest transactions, at most limit, the newest last.
	Anchorings(ctx context.Context, limit int) ([]Anchoring, error)
}

// An Anchoring is a transaction that anchors the log on a chain, as the journal has it from before it is first sent.
type Anchoring struct {
	logproof.Anchor        // Block and Time are 0 until it is mined
	Slot            int64  // the interval that it is for, counted from 1970
	Nonce           uint64 // of the anchoring account
	Hash            [32]byte
	Tx              []byte // signed, as it is sent and sent again
	// Failed says that it came to nothing: it was mined and reverted, or another one with its nonce was mined.
	Failed bool
}

// Open says whether the chain may still take it in.
func (a *Anchoring) Open() bool { return a.Block == 0 && !a.Failed }
