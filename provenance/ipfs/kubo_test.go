package ipfs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	carv2 "github.com/ipld/go-car/v2"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/ipfs"
)

// A fakeKubo answers as Kubo's RPC does, and fails on demand. kubo_interop_test.go has the real one.
type fakeKubo struct {
	mu     sync.Mutex
	pins   map[string]bool
	blocks int
	calls  int
	fail   func(call int, command string) bool // with status 500
	lie    bool                                // pins what it says it pins not
	noPin  bool                                // says that it could not pin
}

// RoundTrip implements http.RoundTripper, so that a test's time is its own.
func (k *fakeKubo) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	k.serve(w, r)
	if r.Body != nil {
		r.Body.Close()
	}
	return w.Result(), nil
}

func (k *fakeKubo) serve(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	command := strings.TrimPrefix(r.URL.Path, "/api/v0/")
	k.calls++
	if r.Method != http.MethodPost || r.Header.Get("Authorization") != "Bearer secret" {
		http.Error(w, "no", http.StatusForbidden)
		return
	}
	if k.fail != nil && k.fail(k.calls, command) {
		w.WriteHeader(500)
		fmt.Fprint(w, `{"Message":"it hurts","Code":0,"Type":"error"}`)
		return
	}
	arg := r.URL.Query().Get("arg")
	switch command {
	case "version":
		fmt.Fprint(w, `{"Version":"0.43.0"}`)
	case "dag/import":
		part, err := r.MultipartReader()
		var file io.Reader
		if err == nil {
			file, err = part.NextPart()
		}
		if err != nil {
			http.Error(w, "not a form", 400)
			return
		}
		car, err := carv2.NewBlockReader(file)
		for err == nil {
			if _, err = car.Next(); err == nil {
				k.blocks++
			}
		}
		if err != io.EOF {
			w.WriteHeader(500)
			fmt.Fprintf(w, `{"Message":%q}`, err)
			return
		}
		root := car.Roots[0].String()
		msg := ""
		if k.noPin {
			msg = "no room"
		}
		fmt.Fprintf(w, "{\"Root\":{\"Cid\":{\"/\":%q},\"PinErrorMsg\":%q}}\n{\"Stats\":{\"BlockCount\":%d}}\n", root,
			msg, k.blocks)
		if !k.lie && !k.noPin {
			k.pins[root] = true
		}
	case "pin/ls":
		if !k.pins[arg] {
			w.WriteHeader(500)
			fmt.Fprintf(w, `{"Message":"path '%s' is not pinned"}`, arg)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"Keys": map[string]any{arg: map[string]string{"Type": "recursive"}}})
	case "pin/rm":
		if !k.pins[arg] {
			w.WriteHeader(500)
			fmt.Fprint(w, `{"Message":"not pinned or pinned indirectly: is not pinned"}`)
			return
		}
		delete(k.pins, arg)
	default:
		http.Error(w, "unknown", 404)
	}
}

func (k *fakeKubo) pinned() (list []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.pins {
		list = append(list, c)
	}
	slices.Sort(list)
	return list
}

// A queue is one in memory.
type queue struct {
	mu    sync.Mutex
	heads []ipfs.Push // newest heads
	done  map[provenance.Link]provenance.Link
}

func (q *queue) Unpushed(_ context.Context, limit int) (list []ipfs.Push, _ error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, p := range q.heads {
		if old := q.done[p.Run]; old != p.Head && len(list) < limit {
			p.Old = old
			list = append(list, p)
		}
	}
	return list, nil
}

func (q *queue) NotePushed(_ context.Context, run, head provenance.Link) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.done[run] = head
	return nil
}

func (q *queue) head(i int, l provenance.Link) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.heads[i].Head = l
}

func TestPushSurvivesHoursWithoutKubo(t *testing.T) {
	s, root := history(t, 3)
	older := root
	newest := s.put(t, &provenance.Head{Run: root, Seq: 2, Step: root, Key: make([]byte, 32), Sig: make([]byte, 64)})
	synctest.Test(t, func(t *testing.T) {
		fake := &fakeKubo{pins: map[string]bool{}}
		until := time.Now().Add(9 * time.Hour)
		tries := 0
		fake.fail = func(int, string) bool { tries++; return time.Now().Before(until) }
		k, err := ipfs.NewKuboFor("http://kubo.test:5001", "Bearer secret", fake)
		if err != nil {
			t.Fatal(err)
		}
		q := &queue{heads: []ipfs.Push{{Run: root, Head: older}}, done: map[provenance.Link]provenance.Link{}}
		ctx, cancel := context.WithCancel(t.Context())
		var told []error
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.Push(ctx, q, s, func(err error) { told = append(told, err) })
		}()
		time.Sleep(8 * time.Hour) // the fake clock of synctest
		if n := len(fake.pinned()); n != 0 || tries < 90 || tries > 120 {
			t.Errorf("after 8 hours without Kubo: %d pins, %d tries", n, tries)
		}
		time.Sleep(2 * time.Hour)
		if got := fake.pinned(); !slices.Equal(got, []string{older.String()}) {
			t.Errorf("pins when Kubo is back: %v, want %s", got, older)
		}
		q.head(0, newest) // the run went on: the newer head is pinned, the older let go
		time.Sleep(time.Minute)
		if got := fake.pinned(); !slices.Equal(got, []string{newest.String()}) {
			t.Errorf("pins after a newer head: %v, want %s", got, newest)
		}
		cancel()
		<-done
		if len(told) != 2 || told[0] == nil || told[1] != nil {
			t.Errorf("told %v, want one failure and one recovery", told)
		}
		if strings.Contains(fmt.Sprint(told), "secret") {
			t.Error("the error shows the authorization")
		}
	})
}

func TestPushBelievesNoImportWithoutAPin(t *testing.T) {
	s, root := history(t, 1)
	for name, fake := range map[string]*fakeKubo{
		"it lists no pin": {lie: true}, "it could not pin": {noPin: true},
	} {
		fake.pins = map[string]bool{}
		synctest.Test(t, func(t *testing.T) {
			k, _ := ipfs.NewKuboFor("http://kubo.test:5001", "Bearer secret", fake)
			q := &queue{heads: []ipfs.Push{{Run: root, Head: root}}, done: map[provenance.Link]provenance.Link{}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			failures := 0
			k.Push(ctx, q, s, func(error) { failures++ })
			if len(q.done) != 0 || failures != 1 {
				t.Errorf("%s: noted %v after %d failures", name, q.done, failures)
			}
		})
	}
}

func TestAnImportOfABrokenHistoryEndsWithItsError(t *testing.T) {
	s, root := history(t, 2)
	k, _ := ipfs.NewKuboFor("http://kubo.test:5001", "Bearer secret", &fakeKubo{pins: map[string]bool{}})
	broken := errors.New("the disk is on fire")
	err := k.Import(t.Context(), root, func(w io.Writer) error {
		io.Copy(w, bytes.NewReader(s[root][:20]))
		return broken
	})
	if err == nil {
		t.Error("half a file was imported")
	}
}

// What is pushed, and the secret that opens the RPC, go to no host that the RPC names.
func TestAKuboThatSendsElsewhereIsNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s was sent on to another host", r.URL.Path)
		fmt.Fprint(w, `{"Version":"0"}`)
	}))
	t.Cleanup(other.Close)
	sends := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(sends.Close)
	k, err := ipfs.NewKubo(sends.URL, "Bearer secret")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := k.Version(t.Context()); err == nil || !strings.Contains(err.Error(), "status 307") {
		t.Errorf("version %q, %v; want status 307", v, err)
	}
}

func TestKuboURLs(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:5001", "ftp://x", "http://", "http://u:p@x", "http://x?y=z",
		"http://%zz"} {
		if _, err := ipfs.NewKubo(bad, ""); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}
