package api

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/blobs"
	"github.com/writ-run/writ/provenance"
)

// A Shelf keeps files until a request attaches them. *blobs.Shelf is one.
type Shelf interface {
	Put(ctx context.Context, owner, cid string, size, offset uint64, piece []byte) (blobs.State, error)
	Take(ctx context.Context, owner, cid string, size uint64) ([]byte, error)
}

// putBlob takes in a piece of a file.
func putBlob(c *Call, ctx context.Context, p wire.BlobParams) (any, error) {
	shelf := c.api.cfg.Files
	if shelf == nil {
		return nil, errNoFiles
	}
	piece, err := base64.StdEncoding.Strict().DecodeString(p.Data)
	if err != nil || len(piece) > blobs.MaxPiece {
		return nil, wire.Errorf(wire.CodeParams, "data must be standard base64 of at most %d bytes.", blobs.MaxPiece)
	}
	if p.Size == 0 {
		return nil, wire.Errorf(wire.CodeParams, "An empty file is not taken.")
	}
	st, err := shelf.Put(ctx, c.seat.session.Owner(), p.CID, p.Size, p.Offset, piece)
	if errors.Is(err, blobs.ErrPiece) {
		return nil, wire.Errorf(wire.CodeConflict,
			"The next piece begins at %d, and none ends beyond %d; ask how much is there with an empty piece.", st.Have, p.Size)
	}
	if err != nil {
		return nil, err
	}
	return wire.Blob{CID: p.CID, Have: st.Have, Whole: st.Whole, Type: st.Type, Until: st.Until}, nil
}

var errNoFiles = wire.Errorf(wire.CodeForbidden, "This server takes no files.")

// findFiles returns the files that a request attaches. Those that are not here any more are missing: a request that was
// made before with its key needs them no more, and any other one is refused without them.
func findFiles(ctx context.Context, c *Call, named []wire.Attached) (pieces []provenance.Piece, missing, err error) {
	switch {
	case len(named) == 0:
		return nil, nil, nil
	case c.api.cfg.Files == nil:
		return nil, nil, errNoFiles
	}
	if err := attach.Check(named); err != nil {
		return nil, nil, err
	}
	for _, f := range named {
		data, err := c.api.cfg.Files.Take(ctx, c.seat.session.Owner(), f.CID, f.Size)
		if errors.Is(err, blobs.ErrAbsent) {
			return nil, wire.Errorf(wire.CodeNotFound,
				"The file %s is not here, or not whole: put it first, with blob.put.", f.CID), nil
		}
		if err == nil {
			err = attach.CheckData(f, data)
		}
		if err != nil {
			return nil, nil, err
		}
		pieces = append(pieces, attach.Split(data)...)
	}
	return pieces, nil, nil
}

// explainFile says why a file is not taken, in its own words, or that it is missing.
func explainFile(err, missing error) error {
	if f, ok := errors.AsType[*attach.FileError](err); ok {
		if missing != nil {
			return missing
		}
		return wire.Errorf(wire.CodeParams, "A file cannot be attached: %s.", f.Says)
	}
	return err
}
