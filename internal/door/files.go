package door

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/blobs"
)

// Images of a conversation become files that the request attaches, by the way of all others: they are put with the
// key's own signature, and named in the request by their CIDs.

// An image is one of a part: OpenAI's with an address in the form of a data URL, Anthropic's with its bytes beside.
type image struct {
	URL    json.RawMessage `json:"image_url"` // {"url"} of Chat Completions, a text of Responses
	Source struct {
		Type  string `json:"type"`
		Media string `json:"media_type"`
		Data  string `json:"data"`
		URL   string `json:"url"`
	} `json:"source"`
}

var errRemote = wire.Errorf(wire.CodeParams, "An image is named by a URL, and this server fetches nothing for a "+
	"request: send the image itself, as a data: URL or as base64.")

// bytes returns the image, whose form is by its bytes and not by what it is called.
func (i image) bytes() ([]byte, error) {
	data := i.Source.Data
	if len(i.URL) > 0 {
		var url string
		var object struct {
			URL string `json:"url"`
		}
		if json.Unmarshal(i.URL, &url) != nil && json.Unmarshal(i.URL, &object) != nil {
			return nil, wire.Errorf(wire.CodeParams, "%q must be a text, or an object with a url.", "image_url")
		}
		if url == "" {
			url = object.URL
		}
		form, rest, found := strings.Cut(url, ";base64,")
		if !found || !strings.HasPrefix(form, "data:image/") {
			return nil, errRemote
		}
		data = rest
	} else if i.Source.Type != "base64" {
		return nil, errRemote
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil || attach.ImageType(b) == "" {
		return nil, wire.Errorf(wire.CodeParams, "An image is not PNG, JPEG, WebP or GIF in base64.")
	}
	return b, nil
}

// addFile notes a file of a conversation, once.
func (r *request) addFile(data []byte) error {
	f := wire.Attached{CID: attach.CIDOf(data), Size: uint64(len(data)), Type: attach.ImageType(data)}
	if slices.ContainsFunc(r.files, func(o wire.Attached) bool { return o.CID == f.CID }) {
		return nil
	}
	r.files, r.data = append(r.files, f), append(r.data, data)
	if err := attach.Check(r.files); err != nil {
		return explain(err)
	}
	return nil
}

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
