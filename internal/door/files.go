package door

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/blobs"
)

// Images of a conversation become files that the request attaches, by the way of all others: they are put with the
// key's own signature, and named in the request by their CIDs.

func explain(err error) error {
	if f, ok := errors.AsType[*attach.FileError](err); ok {
		return wire.Errorf(wire.CodeParams, "A file cannot be attached: %s.", f.Says)
	}
	return err
}

// put puts a file, in pieces.
func (v *visitor) put(ctx context.Context, f wire.Attached, data []byte) (st wire.Blob, err error) {
	for at := uint64(0); at < f.Size; at += blobs.MaxPiece {
		piece := data[at:min(at+blobs.MaxPiece, f.Size)]
		a := v.call(ctx, wire.BlobPut, wire.BlobParams{
			CID: f.CID, Size: f.Size, Offset: at, Data: base64.StdEncoding.EncodeToString(piece),
		}, true)
		if a.Error != nil {
			return st, a.Error
		}
		var ok bool
		if st, ok = a.Result.(wire.Blob); !ok {
			return st, wire.Errorf(wire.CodeInternal, "Something went wrong on our side.")
		}
	}
	return st, nil
}

// putBlob answers PUT /v1/blobs/CID: the whole file as the body.
func (d *Door) putBlob(w http.ResponseWriter, r *http.Request) {
	st, err := d.takeBlob(w, r)
	if err != nil {
		writeFailure(w, chat{}, failureOf(explain(err)))
		return
	}
	writeJSON(w, http.StatusOK, st)
}

func (d *Door) takeBlob(w http.ResponseWriter, r *http.Request) (st wire.Blob, err error) {
	key, err := keyOf(r.Header)
	if err != nil {
		return st, err
	}
	v, err := d.enter(r.Context(), key, wire.BlobPut)
	if err != nil {
		return st, err
	}
	defer v.leave()
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, attach.MaxImage))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return st, attach.Refuse("it has more than %d bytes", int64(attach.MaxImage))
	}
	if err != nil {
		return st, wire.Errorf(wire.CodeParams, "The body did not come whole.")
	}
	f := wire.Attached{CID: attach.CIDOf(data), Size: uint64(len(data))}
	if named := r.PathValue("cid"); named != f.CID {
		return st, wire.Errorf(wire.CodeParams, "The body's CID is %s (CIDv1, raw, sha2-256), and not %.80q.", f.CID, named)
	}
	if len(data) == 0 {
		return st, attach.Refuse("it is empty")
	}
	return v.put(r.Context(), f, data)
}
