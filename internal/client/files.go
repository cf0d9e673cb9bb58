package client

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/writ-run/writ/agent/attach"
	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/internal/blobs"
)

// Attach puts files of this machine on the server, and returns how a request names them. What is none that is taken is
// refused before anything is sent.
func Attach(ctx context.Context, c *Client, paths []string) (named []wire.Attached, err error) {
	all := make([][]byte, len(paths))
	for i, path := range paths {
		if all[i], err = readFile(path); err != nil {
			return nil, err
		}
		name := filepath.Base(path)
		is := attach.TypeOf(name, all[i])
		named = append(named, wire.Attached{
			CID: attach.CIDOf(all[i]), Size: uint64(len(all[i])), Name: name, Type: cmp.Or(is, "application/octet-stream"),
		})
	}
	if err := attach.Check(named); err != nil {
		return nil, err
	}
	for i, f := range named {
		if err := putFile(ctx, c, f, all[i]); err != nil {
			return nil, fmt.Errorf("attach %s: %w", paths[i], err)
		}
	}
	return named, nil
}

// readFile reads a file that may be attached, and no more than is taken of one.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, attach.MaxImage+1))
	if err == nil && len(data) > attach.MaxImage {
		err = fmt.Errorf("%s has more than %d bytes; at most that many are taken", path, attach.MaxImage)
	}
	return data, err
}

// putFile puts the pieces of a file that are not there yet.
func putFile(ctx context.Context, c *Client, f wire.Attached, data []byte) error {
	at := uint64(0)
	p := wire.BlobParams{CID: f.CID, Size: f.Size} // asks first: it may be there
	for {
		var st wire.Blob
		if err := c.callWithRetries(ctx, wire.BlobPut, p, &st, true); err != nil {
			return err
		}
		if st.Whole {
			return nil
		}
		if at = st.Have; at >= f.Size {
			return fmt.Errorf("the server has %d of %d bytes and says that it is not whole", at, f.Size)
		}
		p.Offset = at
		p.Data = base64.StdEncoding.EncodeToString(data[at:min(at+blobs.MaxPiece, f.Size)])
	}
}
