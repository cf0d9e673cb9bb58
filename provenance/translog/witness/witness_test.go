package witness

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/formats/note"
	xnote "golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/writ-run/writ/provenance/logproof"
)

func key(name string) ed25519.PrivateKey {
	sum := sha256.Sum256([]byte("writ witness test: " + name))
	return ed25519.NewKeyFromSeed(sum[:])
}

// A history is a log in memory.
type history struct {
	origin string
	key    ed25519.PrivateKey
	stored []tlog.Hash
}

func (h *history) ReadHashes(at []int64) (out []tlog.Hash, err error) {
	for _, i := range at {
		out = append(out, h.stored[i])
	}
	return out, nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newHistory is a log whose entries from fork on are others than those of the log without a fork.
func newHistory(n, fork int) *history {
	h := &history{origin: "example.com/log", key: key("log")}
	for i := range n {
		text := fmt.Sprintf("entry %d", i)
		if i >= fork {
			text += " of a second history"
		}
		h.stored = append(h.stored, must(tlog.StoredHashes(int64(i), []byte(text), h))...)
	}
	return h
}

func (h *history) vkey() string {
	return must(xnote.NewEd25519VerifierKey(h.origin, h.key.Public().(ed25519.PublicKey)))
}

func (h *history) checkpoint(size int) []byte {
	root := must(tlog.TreeHash(int64(size), h))
	text := fmt.Sprintf("%s\n%d\n%s\n", h.origin, size, root)
	hash := must(strconv.ParseUint(strings.Split(h.vkey(), "+")[1], 16, 32))
	sig := append([]byte{byte(hash >> 24), byte(hash >> 16), byte(hash >> 8), byte(hash)},
		ed25519.Sign(h.key, []byte(text))...)
	return fmt.Appendf(nil, "%s\n— %s %s\n", text, h.origin, base64.StdEncoding.EncodeToString(sig))
}

func (h *history) body(old, size int) string {
	b := fmt.Sprintf("old %d\n", old)
	if old > 0 && old < size {
		for _, x := range must(tlog.ProveTree(int64(size), int64(old), h)) {
			b += x.String() + "\n"
		}
	}
	return b + "\n" + string(h.checkpoint(size))
}

func newWitness(t testing.TB, keep Keeper) *Witness {
	t.Helper()
	w, err := New(Config{
		Name: "witness.example/1", Key: key("witness"), Keep: keep,
		Logs: []logproof.Key{must(logproof.ParseKey(newHistory(0, 0).vkey()))},
		Now:  func() time.Time { return time.Unix(1_750_000_000, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func ask(w http.Handler, body string) *httptest.ResponseRecorder {
	r := httptest.NewRecorder()
	w.ServeHTTP(r, httptest.NewRequest(http.MethodPost, "/add-checkpoint", strings.NewReader(body)))
	return r
}

// signed checks a signature line with Tessera's own reader of cosignatures.
func signed(t testing.TB, w *Witness, checkpoint []byte, line string) {
	t.Helper()
	v, err := note.NewVerifierForCosignatureV1(w.VKey())
	if err != nil {
		t.Fatal(err)
	}
	n, err := xnote.Open(append(bytes.Clone(checkpoint), line...), xnote.VerifierList(v))
	if err != nil || len(n.Sigs) != 1 {
		t.Fatalf("not a cosignature of %q: %q: %v", checkpoint, line, err)
	}
}

// TestAnswers: each rule of c2sp.org/tlog-witness, in the order of one witness's life.
func TestAnswers(t *testing.T) {
	h, fork := newHistory(600, 600), newHistory(600, 3)
	stranger := newHistory(600, 600)
	stranger.key = key("stranger")
	elsewhere := newHistory(600, 600)
	elsewhere.origin = "example.com/other"
	dir := t.TempDir()
	w := newWitness(t, Folder(dir))
	big := strings.Repeat("A", maxBody+1)
	for _, tc := range []struct {
		name, body string
		status     int
		text       string // the whole answer, where it is part of the protocol
	}{
		{"nothing", "", 400, ""},
		{"no checkpoint", "old 0\n\n", 400, ""},
		{"no old size", "\n" + string(h.checkpoint(5)), 400, ""},
		{"an old size with a zero before it", strings.Replace(h.body(0, 5), "old 0", "old 00", 1), 400, ""},
		{"an old size below zero", strings.Replace(h.body(0, 5), "old 0", "old -1", 1), 400, ""},
		{"two empty lines", h.body(0, 5) + "\n\n", 400, ""},
		{"a line that is no hash", strings.Replace(h.body(0, 5), "old 0\n", "old 0\nAAAA\n", 1), 400, ""},
		{"64 lines of proof", strings.Replace(h.body(0, 5), "old 0\n",
			"old 0\n"+strings.Repeat(tlog.Hash{}.String()+"\n", 64), 1), 400, ""},
		{"too long", big, 413, ""},
		{"an unknown origin", elsewhere.body(0, 5), 404, ""},
		{"another key", stranger.body(0, 5), 403, ""},
		{"an old size that was never cosigned", h.body(3, 5), 409, "0\n"},
		{"a proof from nothing", strings.Replace(h.body(0, 5), "old 0\n", "old 0\n"+tlog.Hash{}.String()+"\n", 1),
			422, ""},
		{"the first", h.body(0, 5), 200, ""},
		{"the same again, by who does not know", h.body(0, 5), 409, "5\n"},
		{"the same again", h.body(5, 5), 200, ""},
		{"another root for the same size", fork.body(5, 5), 409, ""},
		{"an old size above the checkpoint's", h.body(7, 6), 400, ""},
		{"a step back", h.body(4, 5), 409, "5\n"},
		{"a proof that does not lead there", strings.Replace(h.body(5, 9), "\n\n", "\n"+tlog.Hash{}.String()+"\n\n",
			1), 422, ""},
		{"no proof", strings.Join([]string{"old 5\n\n", string(h.checkpoint(9))}, ""), 422, ""},
		{"a second history", fork.body(5, 9), 422, ""},
		{"the next", h.body(5, 9), 200, ""},
		{"many more", h.body(9, 600), 200, ""},
		{"what was before", h.body(5, 9), 409, "600\n"},
	} {
		r := ask(w, tc.body)
		if r.Code != tc.status || tc.text != "" && r.Body.String() != tc.text {
			t.Errorf("%s: got %d %q, want %d %q", tc.name, r.Code, r.Body, tc.status, tc.text)
		}
		if isSize := r.Header().Get("Content-Type") == "text/x.tlog.size"; isSize != (tc.text != "") {
			t.Errorf("%s: content type %q", tc.name, r.Header().Get("Content-Type"))
		}
		if r.Code == 200 {
			_, checkpoint, _ := strings.Cut(tc.body, "\n\n")
			signed(t, w, []byte(checkpoint), r.Body.String())
		}
	}
	convicted, err := filepath.Glob(filepath.Join(dir, "*.convicted"))
	if err != nil || len(convicted) != 1 {
		t.Fatalf("the second root is not kept: %v %v", convicted, err)
	}
	if got := must(os.ReadFile(convicted[0])); !bytes.Equal(got, fork.checkpoint(5)) {
		t.Errorf("kept: %q", got)
	}

	// Another process goes on from what is remembered.
	w = newWitness(t, Folder(dir))
	if r := ask(w, h.body(0, 9)); r.Code != 409 || r.Body.String() != "600\n" {
		t.Errorf("after a restart: %d %q", r.Code, r.Body)
	}
	if r := ask(w, h.body(600, 600)); r.Code != 200 {
		t.Errorf("after a restart: %d %q", r.Code, r.Body)
	}
	for path, want := range map[string]int{"/": 200, "/add-checkpoint": 405, "/other": 404} {
		r := httptest.NewRecorder()
		w.ServeHTTP(r, httptest.NewRequest(http.MethodGet, path, nil))
		if r.Code != want || path == "/" && strings.TrimSpace(r.Body.String()) != w.VKey() {
			t.Errorf("GET %s: %d %q", path, r.Code, r.Body)
		}
	}

	// Without its memory, or with a damaged one, it does not begin anew.
	files := must(filepath.Glob(filepath.Join(dir, "*.checkpoint")))
	for what, data := range map[string][]byte{"torn": h.checkpoint(600)[:90], "empty": {},
		"of another key": stranger.checkpoint(600)} {
		if err := os.WriteFile(files[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := New(Config{Name: "w", Key: key("witness"), Keep: Folder(dir), Logs: w.cfg.Logs}); err == nil {
			t.Errorf("a memory that is %s is accepted", what)
		}
	}
}

// A failing keeper fails on demand, before or after it has written.
type failing struct {
	Folder
	before, after bool
	saves         int
}

func (f *failing) Save(origin string, checkpoint []byte) error {
	f.saves++
	if f.before {
		return errors.New("disk on fire")
	}
	err := f.Folder.Save(origin, checkpoint)
	if f.after {
		return errors.New("disk on fire, after all was written")
	}
	return err
}

// TestNoSignatureBeforeItIsRemembered: a save that failed, and one that failed but was written.
func TestNoSignatureBeforeItIsRemembered(t *testing.T) {
	h, fork := newHistory(20, 20), newHistory(20, 3)
	keep := &failing{Folder: Folder(t.TempDir())}
	w := newWitness(t, keep)
	if r := ask(w, h.body(0, 5)); r.Code != 200 {
		t.Fatal(r.Code)
	}
	keep.before = true
	if r := ask(w, h.body(5, 9)); r.Code != 500 || strings.Contains(r.Body.String(), "—") {
		t.Errorf("not written: %d %q", r.Code, r.Body)
	}
	keep.before, keep.after = false, true
	if r := ask(w, h.body(5, 9)); r.Code != 500 || strings.Contains(r.Body.String(), "—") {
		t.Errorf("written, and failed: %d %q", r.Code, r.Body)
	}
	keep.after = false
	// It was written: the other history is no more cosigned for that size, though nobody has a signature.
	if r := ask(w, fork.body(5, 9)); r.Code != 409 || r.Body.String() != "9\n" {
		t.Errorf("a second history after a failure: %d %q", r.Code, r.Body)
	}
	saves := keep.saves
	if r := ask(w, h.body(9, 9)); r.Code != 200 || keep.saves != saves+1 {
		t.Errorf("the same again: %d, and %d saves: it was signed before it was durable", r.Code, keep.saves-saves)
	}
	if r := ask(w, h.body(9, 9)); r.Code != 200 || keep.saves != saves+1 {
		t.Errorf("what is durable is written again: %d, %d saves", r.Code, keep.saves-saves)
	}
	// What a process finds at its start may not be durable yet.
	w = newWitness(t, keep)
	if r := ask(w, h.body(9, 9)); r.Code != 200 || keep.saves != saves+2 {
		t.Errorf("after a restart: %d, and %d saves", r.Code, keep.saves-saves)
	}
}

// TestRacesCosignOneHistory: hundreds of requests for two histories at once. All that is cosigned is of one.
func TestRacesCosignOneHistory(t *testing.T) {
	h, fork := newHistory(40, 40), newHistory(40, 3)
	for range 20 {
		w := newWitness(t, Folder(t.TempDir()))
		var mu sync.Mutex
		var by [2]int
		var wg sync.WaitGroup
		for n := range 40 {
			wg.Go(func() {
				which, of := n%2, h
				if n%2 == 1 {
					of = fork
				}
				old := 0
				for range 50 {
					size := 4 + n%7
					r := ask(w, of.body(min(old, size), size))
					if r.Code == 409 && r.Header().Get("Content-Type") == "text/x.tlog.size" {
						old = must(strconv.Atoi(strings.TrimSpace(r.Body.String())))
						if old <= size {
							continue
						}
					}
					if r.Code == 200 {
						mu.Lock()
						by[which]++
						mu.Unlock()
					}
					return
				}
			})
		}
		wg.Wait()
		if by[0] > 0 == (by[1] > 0) {
			t.Fatalf("cosigned %d of one history and %d of the other", by[0], by[1])
		}
	}
}

// TestTooManyAtOnceAreToldToComeAgain: requests are bounded.
func TestTooManyAtOnceAreToldToComeAgain(t *testing.T) {
	w := newWitness(t, Folder(t.TempDir()))
	for range maxAtOnce {
		w.places <- struct{}{}
	}
	if r := ask(w, newHistory(5, 5).body(0, 5)); r.Code != 503 || r.Header().Get("Retry-After") == "" {
		t.Errorf("got %d", r.Code)
	}
	<-w.places
	if r := ask(w, newHistory(5, 5).body(0, 5)); r.Code != 200 {
		t.Errorf("got %d", r.Code)
	}
}

func FuzzParse(f *testing.F) {
	h := newHistory(20, 20)
	f.Add([]byte(h.body(5, 9)))
	f.Add([]byte(h.body(0, 1)))
	f.Add([]byte("old 0\n\n\n\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		old, hashes, checkpoint, err := parseRequest(body)
		if err != nil {
			return
		}
		again := fmt.Sprintf("old %d\n", old)
		for _, x := range hashes {
			again += base64.StdEncoding.EncodeToString(x[:]) + "\n"
		}
		if again += "\n" + string(checkpoint); again != string(body) {
			t.Errorf("two spellings of one request: %q and %q", body, again)
		}
	})
}

// TestAMemoryThatGoesIsNotBegunAnew: after a save that failed the memory is read again. If it is gone by then, or an
// older one, nothing is cosigned, and of neither history.
func TestAMemoryThatGoesIsNotBegunAnew(t *testing.T) {
	h, fork := newHistory(20, 20), newHistory(20, 3)
	for what, lose := range map[string]func(path string) error{
		"gone":  os.Remove,
		"older": func(path string) error { return os.WriteFile(path, h.checkpoint(5), 0o600) },
	} {
		dir := t.TempDir()
		keep := &failing{Folder: Folder(dir)}
		w := newWitness(t, keep)
		if w.Remembers(h.origin) || w.Remembers("example.com/other") {
			t.Error("something is remembered at the start")
		}
		if r := ask(w, h.body(0, 9)); r.Code != 200 || !w.Remembers(h.origin) {
			t.Fatal(r.Code)
		}
		keep.before = true
		if r := ask(w, h.body(9, 12)); r.Code != 500 {
			t.Fatal(r.Code)
		}
		keep.before = false
		if err := lose(must(filepath.Glob(filepath.Join(dir, "*.checkpoint")))[0]); err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{fork.body(0, 9), fork.body(5, 9), h.body(9, 12), h.body(0, 9)} {
			if r := ask(w, body); r.Code == 200 || strings.Contains(r.Body.String(), "—") {
				t.Errorf("%s: cosigned: %d %q", what, r.Code, r.Body)
			}
		}
	}
}

// TestSlowBodiesHoldNoPlace: however many send slowly, others are answered.
func TestSlowBodiesHoldNoPlace(t *testing.T) {
	w := newWitness(t, Folder(t.TempDir()))
	var wg sync.WaitGroup
	begun := make(chan struct{}, maxAtOnce)
	var writers []*io.PipeWriter
	for range maxAtOnce {
		body, write := io.Pipe()
		writers = append(writers, write)
		wg.Go(func() {
			w.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/add-checkpoint", body))
		})
		wg.Go(func() {
			io.WriteString(write, "o") // returns when it was read
			begun <- struct{}{}
		})
	}
	for range maxAtOnce {
		<-begun
	}
	if r := ask(w, newHistory(5, 5).body(0, 5)); r.Code != 200 {
		t.Errorf("got %d", r.Code)
	}
	for _, write := range writers {
		write.Close()
	}
	wg.Wait()
}
