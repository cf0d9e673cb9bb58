package reader

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
)

// FuzzBundle: entries that are read are written as they stood.
func FuzzBundle(f *testing.F) {
	f.Add([]byte{0, 1, 'a', 0, 0}, uint8(2))
	f.Add([]byte{255, 255, 1}, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, count uint8) {
		l := &Log{read: func(context.Context, string, int64) ([]byte, error) { return data, nil }}
		entries, err := l.readBundle(t.Context(), 0, int(count))
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			again = append(binary.BigEndian.AppendUint16(again, uint16(len(e))), e...)
		}
		if len(entries) != int(count) || !bytes.HasPrefix(data, again) {
			t.Errorf("%d entries of %x are %x", count, data, again)
		}
	})
}

func TestNumbersOfTiles(t *testing.T) {
	for n, want := range map[int64]string{0: "000", 7: "007", 999: "999", 1000: "x001/000", 1234067: "x001/x234/067",
		1_000_000_000: "x001/x000/x000/000"} {
		if got := tilePath(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

// A server that answers with something else than a log is not reached; one that has nothing has nothing.
func TestServersThatAnswerOtherwise(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/none/checkpoint":
			http.NotFound(w, r)
		case "/long/checkpoint":
			w.Write(make([]byte, logproof.MaxProof+1))
		case "/cut/checkpoint":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("short"))
		default:
			http.Error(w, "no", http.StatusBadGateway)
		}
	}))
	defer srv.Close()
	for path, want := range map[string]error{"/none": fs.ErrNotExist, "/long": ErrUnreachable, "/cut": ErrUnreachable,
		"/bad": ErrUnreachable} {
		l, err := Open(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Checkpoint(t.Context()); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", path, err, want)
		}
	}
	for _, bad := range []string{"ftp://example.com/log", "http://", "http://example.com/log?x=1", "/no/such/folder"} {
		if _, err := Open(bad); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
	l, err := Open(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	huge := logproof.Checkpoint{Size: 1 << 60}
	var f *provenance.Fault
	if _, err := l.Consistency(t.Context(), logproof.Checkpoint{Size: 1}, huge); !errors.As(err, &f) {
		t.Errorf("a log of 2^60 entries: %v", err)
	}
	for _, err := range l.Entries(t.Context(), huge, 0) {
		if !errors.As(err, &f) && !errors.Is(err, ErrUnreachable) {
			t.Errorf("a log of 2^60 entries: %v", err)
		}
	}
}
