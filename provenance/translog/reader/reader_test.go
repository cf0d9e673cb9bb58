package reader

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
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

// Who was named is asked, and nobody else.
func TestARedirectLeadsToNobodyElse(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked = true }))
	defer other.Close()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/log/checkpoint":
			http.Redirect(w, r, "/elsewhere/checkpoint", http.StatusMovedPermanently)
		case "/elsewhere/checkpoint":
			w.Write([]byte("it"))
		case "/round/checkpoint":
			http.Redirect(w, r, "/round/checkpoint", http.StatusFound)
		default:
			http.Redirect(w, r, other.URL+"/checkpoint", http.StatusTemporaryRedirect)
		}
	}))
	defer srv.Close()
	for path, want := range map[string]string{"/log": "", "/round": "again and again", "/away": "which is not asked"} {
		l, err := Open(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Checkpoint(t.Context())
		if want == "" && (err != nil || string(got) != "it") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	if asked {
		t.Error("another host was asked")
	}
	for to, ok := range map[string]bool{"https://bafy.ipfs.gate.example/": true, "https://gate.example/x": true,
		"http://gate.example/": false, "https://evilgate.example/": false, "https://gate.example.evil.example/": false} {
		first, _ := http.NewRequest(http.MethodGet, "https://gate.example/ipfs/bafy", nil)
		next, _ := http.NewRequest(http.MethodGet, to, nil)
		if err := StayThere(next, []*http.Request{first}); (err == nil) != ok {
			t.Errorf("from gate.example to %s: %v", to, err)
		}
	}
}
