// Package ipfs serves the blocks of a store to the IPFS world.
//
// [NewGateway] is boxo's trustless gateway over a [Source]: single blocks (format=raw) and whole histories
// (format=car), which any IPFS client can fetch and check by hash, and which equal the files that provenance.Export
// writes. Nothing is rendered, resolved by name or fetched from elsewhere. [NewBlockstore] is the read-only boxo
// blockstore below it, for other users of boxo such as bitswap.
package ipfs

import (
	"context"
	"errors"

	"github.com/ipfs/boxo/blockstore"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"

	"github.com/writ-run/writ/provenance"
)

// A Source hands out blocks. Block returns the bytes under a full CID, codec included, whose hash it has checked on
// this read, and an error that wraps provenance.ErrAbsent if it has none, or provenance.ErrWithheld if it gives it to
// nobody. It may be called by many goroutines at once.
type Source interface {
	Block(ctx context.Context, c provenance.Link) ([]byte, error)
}

var errReadOnly = errors.New("this blockstore is read-only")

// A Blockstore is a [Source] as boxo wants it. Unlike boxo's own it keeps a block under its whole CID: the same hash
// under another codec is another block, and not there. It cannot be written, nor can its keys be listed.
type Blockstore struct{ src Source }

var _ blockstore.Blockstore = Blockstore{}

// NewBlockstore returns src as a blockstore.
func NewBlockstore(src Source) Blockstore { return Blockstore{src} }

// Get returns a block, or an error for which format.IsNotFound holds.
func (b Blockstore) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	data, err := b.src.Block(ctx, c)
	if isAbsent(err) {
		return nil, format.ErrNotFound{Cid: c}
	}
	if err != nil {
		return nil, err
	}
	return blocks.NewBlockWithCid(data, c)
}

// Has says whether there is such a block. It reads the block, so that a damaged one is an error and not there.
func (b Blockstore) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := b.src.Block(ctx, c)
	if isAbsent(err) {
		return false, nil
	}
	return err == nil, err
}

// isAbsent says whether an error is that there is no such block for strangers.
func isAbsent(err error) bool {
	return errors.Is(err, provenance.ErrAbsent) || errors.Is(err, provenance.ErrWithheld)
}

// GetSize returns the length of a block in bytes.
func (b Blockstore) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	block, err := b.Get(ctx, c)
	if err != nil {
		return -1, err // as boxo's own
	}
	return len(block.RawData()), nil
}

// Put refuses: blocks come in with their step.
func (Blockstore) Put(context.Context, blocks.Block) error { return errReadOnly }

// PutMany refuses.
func (Blockstore) PutMany(context.Context, []blocks.Block) error { return errReadOnly }

// DeleteBlock refuses.
func (Blockstore) DeleteBlock(context.Context, cid.Cid) error { return errReadOnly }

// AllKeysChan refuses: a gateway never says what else there is.
func (Blockstore) AllKeysChan(context.Context) (<-chan cid.Cid, error) { return nil, errReadOnly }
