package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/writ-run/writ/internal/tamper"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/ipfs"
)

// vectorFolder returns a new folder with the tampering vectors, with a slash at its end.
func vectorFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir() + "/"
	check(t, tamper.Write(dir))
	return dir
}

func vectorFile(t *testing.T, name string) []byte {
	t.Helper()
	files, err := tamper.Files()
	check(t, err)
	if files[name] == nil {
		t.Fatalf("there is no %s among the vectors", name)
	}
	return files[name]
}

// A shelf is what a gateway has: a CAR file less some blocks.
type shelf struct {
	car     *provenance.CAR
	without map[provenance.Link]bool
}

func (s shelf) Block(_ context.Context, c provenance.Link) ([]byte, error) {
	if s.without[c] {
		return nil, fmt.Errorf("block %s: %w", c, provenance.ErrAbsent)
	}
	return s.car.Get(c)
}

func serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// gatewayOf is the gateway that the writ server has, over one of the vectors.
func gatewayOf(t *testing.T, file string, without ...provenance.Link) (url string, car *provenance.CAR) {
	t.Helper()
	b := vectorFile(t, file)
	car, err := provenance.OpenCAR(bytes.NewReader(b), int64(len(b)))
	check(t, err)
	s := shelf{car, map[provenance.Link]bool{}}
	for _, l := range without {
		s.without[l] = true
	}
	h, err := ipfs.NewGateway(s, nil)
	check(t, err)
	return serve(t, h), car
}

func answers(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

func TestARunIsVerifiedFromGateways(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	good, car := gatewayOf(t, "base.car")
	root := car.Root().String()
	_, ev := provenance.Verify(car, provenance.Options{})
	leaf := ev.Grant.Message.Leaf()
	lacksLeaf, _ := gatewayOf(t, "base.car", leaf)
	lacksStep, _ := gatewayOf(t, "base.car", ev.StepCID(4))
	lies := serve(t, answers(200, "another block"))
	fails := serve(t, answers(500, ""))
	empty := serve(t, answers(404, ""))
	endless := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for b := make([]byte, 1<<16); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	}))
	stranger, _ := gatewayOf(t, "small.car")
	whole := filepath.Join(t.TempDir(), "part.car")
	check(t, os.WriteFile(whole, vectorFile(t, "truncated-at-block.car"), 0o600))
	vectors := vectorFolder(t)
	for _, tt := range []struct {
		what, says string
		exit       int
		from       string
		gateways   []string
	}{
		{"one gateway has it all", "VERIFIED 10 steps", 0, root, []string{good}},
		{"the first lies, the second does not answer as it should", "VERIFIED 10 steps", 0, root, []string{lies, fails, good}},
		{"an endless answer is cut", "VERIFIED 10 steps", 0, root, []string{endless, good}},
		{"two have it together", "VERIFIED 10 steps", 0, root, []string{lacksStep, lacksLeaf}},
		{"a leaf that nobody has is withheld", "VERIFIED WITH GAPS", 20, root, []string{lacksLeaf}},
		{"a record that nobody has is missing", "FAILED links.missing", 4, root, []string{lacksStep}},
		{"nobody has the head", "FAILED links.missing", 4, root, []string{empty}},
		{"a file that lacks a record", "VERIFIED 4 steps", 0, whole, []string{stranger}},
		{"all lie", "answers with other bytes", 6, root, []string{lies}},
		{"none answers", "gateway: ", 6, root, []string{"http://127.0.0.1:1"}},
		{"not a CID of ours", "is not the CID of a head", 64, "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", []string{good}},
		{"not a gateway", "is not the address of a gateway", 64, root, []string{"ftp://x"}},
	} {
		args := []string{"verify", tt.from, "--keys", vectors + "keys.json", "--operator-key", "cf52c4c3eb15998fa496cff09ed54920a9c17dbcc725c2c316beabf3e6bf4e86"}
		for _, g := range tt.gateways {
			args = append(args, "--gateway", g)
		}
		exit, out := audited(args...)
		if exit != tt.exit || !strings.Contains(out, tt.says) {
			t.Errorf("%s: exit %d, want %d and %q: %s", tt.what, exit, tt.exit, tt.says, out)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "writ-audit-*.car")); len(left) > 0 {
		t.Errorf("files left behind: %v", left)
	}
}

func TestFetchingEndsWhenItIsInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	hangs := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stop()
		<-r.Context().Done()
	}))
	var out bytes.Buffer
	err := fetchCAR(ctx, &out, provenance.Sum(0x71, nil), nil, []string{hangs})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancelled context", err)
	}
}
