package collect

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/gather"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/internal/reach"
)

func openLibrary(t *testing.T) *library.Library {
	t.Helper()
	l, err := library.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// namesOf are the documents of a collection, and why it was not made anew.
func namesOf(t *testing.T, l *library.Library, source string) (names, fault string) {
	t.Helper()
	list, err := l.List(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names += e.Name + " "
	}
	places, err := l.Places(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		fault += p.Fault
	}
	return strings.TrimSpace(names), fault
}

// A followed folder is what the collection is. One that is gone, empty or damaged keeps what it had, is told, and is
// tried again; beside it others are followed.
func TestAFollowedPlace(t *testing.T) {
	l, dir := openLibrary(t), t.TempDir()
	place := filepath.Join(dir, "docs")
	write(t, filepath.Join(place, "a.md"), "Pay Bob.")
	write(t, filepath.Join(place, "b.md"), "Pay Carol.")
	as := library.Document{Source: "a", Readers: []library.Reader{{}}}
	gone := library.Document{Source: "gone", Readers: []library.Reader{{}}}
	list := []Followed{
		{Place{Name: place, As: as}, 20 * time.Millisecond},
		{Place{Name: filepath.Join(dir, "nowhere"), As: gone}, time.Hour},
	}
	ctx, stop := context.WithCancel(t.Context())
	outcomes := make(chan Outcome, 1000)
	ended := make(chan error)
	go func() {
		ended <- Follow(ctx, l, list, slog.New(slog.DiscardHandler), func(o Outcome) { outcomes <- o })
	}()
	// wait waits until the collection is so, and the place was or was not read.
	wait := func(names, fault string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			is, why := namesOf(t, l, "a")
			if is == names && strings.Contains(why, fault) && (fault != "") == (why != "") {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("got %q, %q, want %q, %q", is, why, names, fault)
			}
		}
	}
	wait("a.md b.md", "")
	write(t, filepath.Join(place, "c.md"), "Pay Dave.")
	if err := os.Remove(filepath.Join(place, "b.md")); err != nil {
		t.Fatal(err)
	}
	wait("a.md c.md", "")
	if err := os.Rename(place, place+"2"); err != nil {
		t.Fatal(err)
	}
	wait("a.md c.md", "cannot be read")
	if err := os.Mkdir(place, 0o700); err != nil {
		t.Fatal(err)
	}
	wait("a.md c.md", "there is no Markdown")
	write(t, filepath.Join(place, "d.md"), "Pay Erin.")
	write(t, filepath.Join(place, "e.pdf"), "%PDF-1.7")
	wait("a.md c.md", "it cannot be read as a document")
	if err := os.Remove(filepath.Join(place, "e.pdf")); err != nil {
		t.Fatal(err)
	}
	wait("d.md", "")
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if names, why := namesOf(t, l, "gone"); names != "" || !strings.Contains(why, "cannot be read") {
		t.Errorf("of the place that is not there: %q, %q", names, why)
	}
	failed := int64(0)
	for close(outcomes); len(outcomes) > 0; {
		if o := <-outcomes; o.Source == "a" {
			failed = max(failed, o.Failures)
		}
	}
	if failed == 0 {
		t.Error("no failure was told")
	}
}

// Places whose servers send a byte now and then hold up no other one, however many they are, and are still read.
func TestSlowPlacesHoldUpOnlyOneAnother(t *testing.T) {
	l, dir := openLibrary(t), t.TempDir()
	write(t, filepath.Join(dir, "a.md"), "Pay Bob.")
	ctx, stop := context.WithCancel(t.Context())
	asked := make(chan string, 1000)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		if r.URL.Path == "/slow.md" { // it ends
			w.Write([]byte("Pay"))
			w.(http.Flusher).Flush()
			time.Sleep(500 * time.Millisecond)
			w.Write([]byte(" Dave."))
			return
		}
		for r.Context().Err() == nil {
			w.Write([]byte("."))
			w.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	}))
	defer s.Close()
	turns := newLanes(100 * time.Millisecond)
	var wg sync.WaitGroup
	defer func() { stop(); wg.Wait() }()
	outcomes := make(chan Outcome, 1000)
	start := func(source, name string, every time.Duration) {
		f := Followed{Place{
			Name: name, From: gather.Getter{Gate: reach.Gate{Private: true}},
			As: library.Document{Source: source, Readers: []library.Reader{{}}},
		}, every}
		wg.Go(func() {
			f.follow(ctx, l, turns, slog.New(slog.DiscardHandler), func(o Outcome) { outcomes <- o })
		})
	}
	next := func(want string) {
		t.Helper()
		select {
		case o := <-outcomes:
			if o.Source != want || o.Failures > 0 {
				t.Fatalf("got %+v, want that %s was read", o, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s was not read", want)
		}
	}
	start("slow", s.URL+"/slow.md", time.Hour)
	next("slow")
	for range 2 * atOnce {
		start("drips", s.URL+"/drips.md", time.Hour)
	}
	for n := map[string]int{}; n["/drips.md"] < atOnce; { // they were first
		n[<-asked]++
	}
	start("a", dir, time.Millisecond)
	for range 3 {
		next("a")
	}
	if names, fault := namesOf(t, l, "drips"); names != "" || fault != "" {
		t.Errorf("of places that are still being read: %q, %q", names, fault)
	}
}

// What a server keeps is never read as documents: its data folder is refused, and passed over below another one.
func TestADataFolderIsNotRead(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "docs", "writ-data")
	for _, name := range []string{"writ.db", "operator.key", "receipts.txt", "below/notes.md"} {
		write(t, filepath.Join(data, name), "Kept.")
	}
	write(t, filepath.Join(dir, "docs", "a.md"), "Pay Bob.")
	write(t, filepath.Join(dir, "docs", "half", "writ.db"), "No server's.")
	write(t, filepath.Join(dir, "docs", "half", "b.md"), "Pay Carol.")
	var all Gathered
	if err := (Place{Name: filepath.Join(dir, "docs")}).Read(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Documents) != 2 || all.Documents[0].Name != "a.md" || all.Documents[1].Name != "half/b.md" {
		t.Errorf("beside a data folder: got %+v", all.Documents)
	}
	err := Place{Name: data}.Read(t.Context(), &all)
	if err == nil || !strings.Contains(err.Error(), "is a data folder of writ") || len(all.Documents) != 2 {
		t.Errorf("of a data folder: got %+v, %v", all.Documents, err)
	}
}

// A place that cannot be read is tried again sooner, then less and less often.
func TestWaitAfterFailures(t *testing.T) {
	for _, test := range []struct {
		every    time.Duration
		failures int64
		want     time.Duration
	}{
		{time.Hour, 0, time.Hour}, {time.Hour, 1, 30 * time.Second}, {time.Hour, 3, 2 * time.Minute},
		{time.Hour, 1 << 60, time.Hour}, {time.Second, 1, time.Second}, {time.Second, 4, 8 * time.Second},
		{time.Second, 1 << 60, 10 * time.Minute}, {10 * time.Minute, 9, 10 * time.Minute},
	} {
		if got := waitAfter(test.every, test.failures); got != test.want {
			t.Errorf("after %d failures of one read every %s: %s, want %s", test.failures, test.every, got, test.want)
		}
	}
}
