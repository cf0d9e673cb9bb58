package journal

import (
	"context"

	"github.com/writ-run/writ/provenance"
)

// A BlockReader has blocks.
type BlockReader interface {
	// Block returns the bytes of a block, or ErrNotFound. The hash has been checked on this read. A leaf that is
	// withheld is provenance.ErrWithheld: it is for nobody but its run.
	Block(ctx context.Context, c provenance.Link) ([]byte, error)
}

// A KeyReader has the keys of sealed leaves.
type KeyReader interface {
	// LeafKey returns the key of a sealed leaf, or ErrNotFound if it was erased or never known here.
	LeafKey(ctx context.Context, c provenance.Link) (provenance.LeafKey, error)
}

// Blocks is the part of a store that keeps records and sealed leaves under their CIDs, and the keys of leaves.
type Blocks interface {
	BlockReader
	KeyReader
	// PutBlocks stores blocks and leaf keys that belong to no step: agents, tools, policy sets, runtimes, grants.
	// Blocks that are there already are left as they are. A key takes the place of another one of the same leaf, so that
	// a wrong one never keeps out the right one, which only the caller can tell; that of a leaf that was erased, or has
	// ended with its run, is not stored.
	PutBlocks(ctx context.Context, blocks []provenance.Block, leaves []provenance.Leaf) error
	// Withheld returns the bytes of a leaf that is withheld, or ErrNotFound if there is none or its run has closed.
	Withheld(ctx context.Context, c provenance.Link) ([]byte, error)
}
