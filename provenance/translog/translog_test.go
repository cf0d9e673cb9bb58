package translog

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/journal"
	"github.com/writ-run/writ/internal/store/storetest"

	"github.com/ipfs/go-cid"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera/client"

	"github.com/writ-run/writ/internal/store"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/logproof"
	"github.com/writ-run/writ/provenance/translog/reader"
)

// A rig is a log with a store in memory, into which heads are put as a runner would.
type rig struct {
	t       testing.TB
	store   *store.DB
	session journal.Session
	cfg     Config
	n       int
}

func key(name string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte("writ translog test: " + name))
	return ed25519.NewKeyFromSeed(sum[:])
}

func link(text string) provenance.Link { return provenance.Sum(cid.DagCBOR, []byte(text)) }

func newRig(t testing.TB) *rig {
	r := &rig{t: t, store: storetest.Memory(t), session: journal.Session{ID: link("session"), Expires: 1 << 60}}
	r.cfg = Config{
		Dir: filepath.Join(t.TempDir(), "log"), Store: r.store, Key: key("log"), Origin: "example.com/log",
		Interval: 100 * time.Millisecond,
	}
	r.must(r.store.PutSession(t.Context(), r.session))
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// head opens a run and returns it with its head.
func (r *rig) head() (run, head provenance.Link) {
	r.t.Helper()
	r.n++
	run = link(fmt.Sprintf("run %d", r.n))
	step, err := provenance.Encode(&provenance.PolicySet{Name: "stands for a step", Source: fmt.Sprint(r.n)})
	r.must(err)
	h := &provenance.Head{Run: run, Step: step.CID, At: int64(r.n)}
	r.must(h.Sign(key("operator")))
	hb, err := provenance.Encode(h)
	r.must(err)
	r.must(r.store.Commit(r.t.Context(), journal.Commit{
		Run: run, Step: step, Head: &hb, Status: "running",
		Open: &journal.Opening{Session: r.session.ID, Owner: "test"},
	}))
	return run, hb.CID
}

func (r *rig) open() *Log {
	r.t.Helper()
	l, err := Open(r.t.Context(), r.cfg)
	r.must(err)
	return l
}

func (r *rig) await(l *Log, run provenance.Link) Receipt {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	got, err := l.Await(ctx, run)
	r.must(err)
	return got
}

// proven checks a receipt as a stranger does.
func (r *rig) proven(l *Log, got Receipt) logproof.Checkpoint {
	r.t.Helper()
	k, err := logproof.ParseKey(l.VKey())
	r.must(err)
	p, err := logproof.ParseProof(got.Text)
	r.must(err)
	c, err := p.Verify(provenance.NewLogEntry(got.Run, got.Seq, got.Head), logproof.Policy{Logs: []logproof.Key{k}})
	r.must(err)
	if provenance.Sum(cid.DagCBOR, p.Extra) != got.Head {
		r.t.Error("the receipt does not hold the head's block")
	}
	return c
}

func TestEachHeadGetsAReceipt(t *testing.T) {
	r := newRig(t)
	before, beforeHead := r.head()
	l := r.open()
	defer l.Close()
	r.must(l.Wait(t.Context(), beforeHead))
	r.proven(l, r.await(l, before)) // what was there before the log
	for range 3 {
		run, head := r.head()
		news, stop := l.Watch(run)
		l.Added()
		r.must(l.Wait(t.Context(), head))
		got := r.await(l, run)
		if c := r.proven(l, got); got.Head != head || got.Run != run || c.Size < uint64(r.n) {
			t.Errorf("receipt: %+v under a checkpoint of size %d", got, c.Size)
		}
		select {
		case told := <-news:
			if !bytes.Equal(told.Text, got.Text) {
				t.Error("the watcher was told something else")
			}
		case <-time.After(10 * time.Second):
			t.Error("the watcher was not told")
		}
		stop()
	}
	_, err := l.Receipt(t.Context(), link("nobody's"))
	if !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a run that is not there: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	run, _ := r.head() // and the log is not told
	if _, err := l.Await(short, run); !errors.Is(err, journal.ErrNotFound) {
		t.Errorf("a receipt that does not come: %v", err)
	}
}

func TestTheLogGoesOnAfterAStop(t *testing.T) {
	r := newRig(t)
	var sizes []uint64
	for range 3 {
		l := r.open()
		for range 5 {
			r.head()
		}
		run, _ := r.head()
		l.Added()
		sizes = append(sizes, r.proven(l, r.await(l, run)).Size)
		l.Close()
		r.head() // while it is away
	}
	if !slices.IsSorted(sizes) || sizes[0] < 6 || sizes[2] < 19 {
		t.Errorf("sizes %v", sizes)
	}
}

// damage does to a log's folder what a crash or a bad disk may do.
var damages = []struct {
	name string
	do   func(t *testing.T, dir string)
}{
	{"the folder is gone", func(t *testing.T, dir string) { check(t, os.RemoveAll(dir)) }},
	{"the checkpoint is gone", func(t *testing.T, dir string) {
		check(t, os.Remove(filepath.Join(dir, "checkpoint")))
	}},
	{"the checkpoint is torn", cut("checkpoint")},
	{"the checkpoint is empty", empty("checkpoint")},
	{"the checkpoint's signature is garbled", edit("checkpoint", func(b []byte) []byte {
		copy(b[len(b)-40:], "AAAAAAAAAAAAAAAAAAAA")
		return b
	})},
	{"the checkpoint's name is garbled", flip0("checkpoint")},
	{"Tessera's version is torn", empty(".state/version")},
	{"the tree's state is torn", cut(".state/treeState")},
	{"the tree's state is gone", func(t *testing.T, dir string) { check(t, os.Remove(statePath(dir))) }},
	{"a tile is torn", cut("tile/0/000.p/9")},
	{"a tile is gone", func(t *testing.T, dir string) { check(t, os.Remove(filepath.Join(dir, "tile/0/000.p/9"))) }},
	{"a bundle of entries is torn", cut("tile/entries/000.p/9")},
	{"a byte of a tile is another", flip("tile/0/000.p/9")},
	{"the tree is an older one", func(t *testing.T, dir string) {
		check(t, os.WriteFile(statePath(dir),
			[]byte(`{"size":0,"root":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}`), 0o644))
	}},
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func edit(name string, change func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		check(t, err)
		check(t, os.WriteFile(path, change(b), 0o644))
	}
}

func cut(name string) func(*testing.T, string) {
	return edit(name, func(b []byte) []byte { return b[:len(b)/2] })
}

func empty(name string) func(*testing.T, string) {
	return edit(name, func([]byte) []byte { return nil })
}

func flip0(name string) func(*testing.T, string) {
	return edit(name, func(b []byte) []byte { b[0] ^= 4; return b })
}

func flip(name string) func(*testing.T, string) {
	return edit(name, func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
}

// TestDamagedFilesAreBuiltAgain: the same tree comes of the journal, so that what was published stays true.
func TestDamagedFilesAreBuiltAgain(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			l := r.open()
			var run provenance.Link
			for range 9 {
				run, _ = r.head()
			}
			l.Added()
			before := r.proven(l, r.await(l, run))
			l.Close()
			d.do(t, r.cfg.Dir)

			l = r.open()
			defer l.Close()
			r.proven(l, r.await(l, run))
			run, _ = r.head()
			l.Added()
			after := r.proven(l, r.await(l, run))
			hashes, err := proofBetween(t, l, before.Size, after.Size)
			check(t, err)
			if err := before.Consistent(after, hashes); err != nil || after.Size != 10 {
				t.Errorf("from %d to %d: %v", before.Size, after.Size, err)
			}
		})
	}
}

func proofBetween(t *testing.T, l *Log, a, b uint64) (out [][32]byte, err error) {
	pb, err := l.newProofBuilder(t.Context(), b)
	if err != nil {
		return nil, err
	}
	hashes, err := pb.ConsistencyProof(t.Context(), a, b)
	for _, h := range hashes {
		out = append(out, [32]byte(h))
	}
	return out, err
}

// TestALogThatKnowsMoreIsNotExtended: an older journal would make a second history.
func TestALogThatKnowsMoreIsNotExtended(t *testing.T) {
	r := newRig(t)
	l := r.open()
	for range 4 {
		r.head()
	}
	run, _ := r.head()
	l.Added()
	r.await(l, run)
	checkpoint := l.Published()
	l.Close()
	full := r.store
	r.must(Compare(t.Context(), full, checkpoint))

	refuse := func(what string, want error) {
		t.Helper()
		l, err := Open(t.Context(), r.cfg)
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
		if err == nil {
			l.Close()
		}
		if want != ErrOrigin { // who signed it is not what Compare looks at
			if err := Compare(t.Context(), r.store, checkpoint); !errors.Is(err, want) {
				t.Errorf("%s: Compare says %v, want %v", what, err, want)
			}
		}
	}
	restore := func(heads int, from int) {
		r.store, r.n = storetest.Memory(r.t), from
		r.cfg.Store = r.store
		r.must(r.store.PutSession(t.Context(), r.session))
		for range heads {
			r.head()
		}
	}
	restore(4, 0) // the same heads, one fewer
	refuse("a journal that is older", ErrBehind)
	restore(5, 100)
	refuse("a journal with other heads", ErrForked)
	restore(6, 100)
	refuse("a longer journal with other heads", ErrForked)
	restore(0, 0)
	refuse("an empty journal", ErrBehind)
	r.store, r.cfg.Store = full, full
	other := r.cfg
	r.cfg.Origin = "example.com/other"
	refuse("another origin", ErrOrigin)
	r.cfg = other
	r.cfg.Key = key("another")
	refuse("another key", ErrOrigin)
	r.cfg = other
	r.open().Close()
}

// TestStrangersReadTheLog: Tessera's own client follows it over HTTP.
func TestStrangersReadTheLog(t *testing.T) {
	r := newRig(t)
	l := r.open()
	defer l.Close()
	var run provenance.Link
	for range 300 { // more than a tile
		run, _ = r.head()
	}
	l.Added()
	c := r.proven(l, r.await(l, run))
	srv := httptest.NewServer(http.StripPrefix("/log", l))
	defer srv.Close()
	root, err := url.Parse(srv.URL + "/log/")
	r.must(err)
	f, err := client.NewHTTPFetcher(root, srv.Client())
	r.must(err)
	raw, err := f.ReadCheckpoint(t.Context())
	r.must(err)
	got, err := logproof.ParseCheckpoint(raw)
	r.must(err)
	if got.Size != 300 || got.Root != c.Root {
		t.Errorf("checkpoint over HTTP: %+v, want %+v", got, c)
	}
	bundle, err := client.GetEntryBundle(t.Context(), f.ReadEntryBundle, 1, got.Size)
	r.must(err)
	entries, err := r.store.Entries(t.Context(), 256, 100)
	r.must(err)
	if len(bundle.Entries) != 44 || !bytes.Equal(bundle.Entries[43], entries[43].Logged[:]) {
		t.Errorf("%d entries in the second bundle", len(bundle.Entries))
	}
	n := uint64(0)
	// our own reader, over HTTP and of a copy of the files
	for _, where := range []string{srv.URL + "/log", r.cfg.Dir} {
		reader, err := reader.Open(where)
		r.must(err)
		for e, err := range reader.Entries(t.Context(), got, 0) {
			r.must(err)
			want, err := r.store.Entries(t.Context(), e.Index, 1)
			r.must(err)
			if !bytes.Equal(e.Data, want[0].Logged[:]) {
				t.Fatalf("%s: entry %d is %x", where, e.Index, e.Data)
			}
			n++
		}
		for _, size := range []uint64{1, 2, 255, 256, 257, 299} {
			old := logproof.Checkpoint{Origin: got.Origin, Size: size}
			f := compact.RangeFactory{Hash: hasher.HashChildren}
			prefix := f.NewEmptyRange(0)
			all, err := r.store.Entries(t.Context(), 0, int(size))
			r.must(err)
			for _, e := range all {
				r.must(prefix.Append(hasher.HashLeaf(e.Logged[:]), nil))
			}
			h, err := prefix.GetRootHash(nil)
			r.must(err)
			old.Root = [32]byte(h)
			hashes, err := reader.Consistency(t.Context(), old, got)
			r.must(err)
			if err := old.Consistent(got, hashes); err != nil {
				t.Errorf("%s: from %d to %d: %v", where, size, got.Size, err)
			}
		}
	}
	if n != 600 {
		t.Errorf("our reader saw %d entries of 2 x 300", n)
	}
	for path, want := range map[string]int{
		"/log/": 200, "/log/checkpoint": 200, "/log/tile/0/000": 200, "/log/tile/1/000.p/1": 200,
		"/log/tile/entries/000": 200,
		"/log/tile/0/999":       404, "/log/.state/treeState": 404, "/log/tile/0/../../.state/treeState": 404,
		"/log/tile": 404, "/log/tile/0": 404,
		"/log/tile/0/..%2f..%2f.state%2ftreeState": 404,
	} {
		resp, err := http.Get(srv.URL + path)
		r.must(err)
		body, err := io.ReadAll(resp.Body)
		r.must(err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d %q, want %d", path, resp.StatusCode, body, want)
		}
		if path == "/log/" && strings.TrimSpace(string(body)) != l.VKey() {
			t.Errorf("key: %q", body)
		}
	}
	resp, err := http.Post(srv.URL+"/log/checkpoint", "text/plain", strings.NewReader("x"))
	r.must(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", resp.StatusCode)
	}
}

// A witness that sends on to another host is one that does not cosign: nobody asks that host.
func TestAWitnessThatSendsElsewhereIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was sent on to another host", r.URL.Path)
	}))
	t.Cleanup(other.Close)
	sends := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(sends.Close)
	l, err := newLog(newRig(t).cfg)
	check(t, err)
	resp, err := l.asked.client(time.Second).Post(sends.URL+"/add-checkpoint", "text/plain", strings.NewReader("a checkpoint"))
	check(t, err)
	resp.Body.Close()
	if why := l.Missing()[strings.TrimPrefix(sends.URL, "http://")]; !strings.HasPrefix(why, "307") {
		t.Errorf("of the witness is said %q; want 307", why)
	}
}

func TestConfigsThatAreRefused(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"no folder":                 func(c *Config) { c.Dir = "" },
		"no store":                  func(c *Config) { c.Store = nil },
		"no key":                    func(c *Config) { c.Key = nil },
		"no origin":                 func(c *Config) { c.Origin = "" },
		"an origin with a space":    func(c *Config) { c.Origin = "a b" },
		"an origin with a plus":     func(c *Config) { c.Origin = "a+b" },
		"too many checkpoints":      func(c *Config) { c.Interval = time.Millisecond },
		"a policy without a quorum": func(c *Config) { c.Witnesses = []byte("# nobody\n") },
	} {
		r := newRig(t)
		change(&r.cfg)
		if l, err := Open(t.Context(), r.cfg); err == nil {
			l.Close()
			t.Errorf("%s is accepted", what)
		}
	}
}
