package shelfdoor

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/policies/label"
)

// open returns a library, what keeps it over HTTP, and its address. Whoever says "let me in" has a pass.
func open(t *testing.T) (*library.Library, *Client, *httptest.Server, *door) {
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
	d := New(Config{Library: l, Log: slog.New(slog.DiscardHandler), Check: func(pass string) error {
		if pass != "let me in" {
			return errors.New("this is no pass")
		}
		return nil
	}}).(*door)
	s := httptest.NewServer(d)
	t.Cleanup(s.Close)
	return l, &Client{URL: s.URL, Pass: "let me in", HTTP: s.Client()}, s, d
}

var pay = library.Document{
	Source: "a", Name: "folder/pay.md", Media: library.Markdown, Data: []byte("# Pay\n\nBob is paid.\n"),
	Integrity: label.Operator, Secrecy: label.Wallet, Readers: []library.Reader{{Wallet: "0xaa", Agent: "b"}},
}

// What is kept over HTTP is as if it had been kept in the data folder.
func TestDocumentsAreKeptOverHTTP(t *testing.T) {
	l, c, _, _ := open(t)
	ctx := t.Context()
	for range 2 { // the second time nothing happens
		list, err := c.Put(ctx, pay)
		if err != nil || len(list) != 1 || !pay.IsIn(list) {
			t.Fatalf("%+v, %v", list, err)
		}
	}
	again := order{Do: doPut, Source: pay.Source, Name: pay.Name, Media: pay.Media, Integrity: "operator", Secrecy: "wallet",
		Readers: pay.Readers}
	if out, err := c.ask(ctx, again, pay.Data); err != nil || out.Changed != 0 {
		t.Errorf("put again it changes %d, %v", out.Changed, err)
	}
	before, err := l.Search(ctx, library.Reader{Wallet: "0xaa", Session: "s", Agent: "b"}, "who is paid", 4)
	if err != nil || len(before.Hits) != 1 {
		t.Fatalf("%+v, %v", before, err)
	}
	there, err := l.List(ctx, "")
	if err != nil || len(there) != 1 || !pay.IsIn(there) {
		t.Errorf("%+v, %v", there, err)
	}
	if list, err := c.List(ctx, "a"); err != nil || !pay.IsIn(list) {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err := c.List(ctx, "other"); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	if n, err := c.SetReaders(ctx, "a", "", nil); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if after, err := l.Search(ctx, library.Reader{Wallet: "0xaa", Session: "s", Agent: "b"}, "who is paid", 4); err != nil ||
		len(after.Hits) != 0 {
		t.Errorf("who was shut out finds %+v, %v", after, err)
	}
	if err := c.NotePlace(ctx, "a", "./a", "it is gone"); err != nil {
		t.Error(err)
	}
	if list, err := c.Places(ctx, "a"); err != nil || len(list) != 1 || list[0].Fault != "it is gone" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := c.NoteName(ctx, "k51", 5, time.Now(), "x"); err != nil {
		t.Error(err)
	}
	if err := c.NoteName(ctx, "k51", 4, time.Now(), "x"); err == nil || !strings.Contains(err.Error(), "older") {
		t.Errorf("an older name: %v", err)
	}
	if n, err := c.Remove(ctx, "a", pay.Name); err != nil || n != 1 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := c.Remove(ctx, "a", pay.Name); !errors.Is(err, library.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// What is not in order is refused in a sentence, and changes nothing.
func TestWhatIsNotTaken(t *testing.T) {
	l, c, s, d := open(t)
	post := func(pass, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+Path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+pass)
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	put := `{"do":"put","source":"a","name":"a.md","media":"text/markdown"}` + "\nPay Bob."
	for _, test := range []struct {
		what, pass, body string
		status           int
		says             string
	}{
		{"no pass", "", put, 403, "no pass"},
		{"another's pass", "let me out", put, 403, "no pass"},
		{"no line", "let me in", `{"do":"list"}`, 400, "begins with a line"},
		{"a line without end", "let me in", strings.Repeat("x", maxOrder+1) + "\n", 400, "begins with a line"},
		{"no JSON", "let me in", "put a\nPay Bob.", 400, "no order"},
		{"an unknown key", "let me in", `{"do":"list","everyone":true}` + "\n", 400, "everyone"},
		{"an unknown order", "let me in", `{"do":"copy","source":"a"}` + "\n", 422, "no order \\\"copy\\\""},
		{"a document where none goes", "let me in", `{"do":"list"}` + "\nPay Bob.", 400, "only put brings a document"},
		{"no collection", "let me in", `{"do":"remove"}` + "\n", 422, "names no collection"},
		{"a wrong collection", "let me in", strings.Replace(put, `"a"`, `"A b"`, 1), 422, "is not a name of lower-case"},
		{"a wrong label", "let me in", strings.Replace(put, `"media"`, `"integrity":"all","media"`, 1), 422, "all"},
		{"no text", "let me in", strings.Replace(put, "Pay Bob.", "", 1), 422, "no text"},
		{"too large", "let me in", put + strings.Repeat("x", library.MaxDocument), 422, "more than 16777216 bytes"},
	} {
		if status, text := post(test.pass, test.body); status != test.status || !strings.Contains(text, test.says) {
			t.Errorf("%s: %d %s, want %d %s", test.what, status, text, test.status, test.says)
		}
	}
	for range maxAtOnce {
		d.turns <- struct{}{}
	}
	if _, err := c.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "ask again") {
		t.Errorf("while others are at it: %v", err)
	}
	for range maxAtOnce {
		<-d.turns
	}
	if list, err := l.List(t.Context(), ""); err != nil || len(list) > 0 {
		t.Errorf("something was taken in: %+v, %v", list, err)
	}
	if _, err := c.Put(t.Context(), pay, library.Document{Source: "a", Name: "b.md", Media: library.Markdown}); err == nil ||
		!strings.HasSuffix(err.Error(), "; 1 of 2 documents were taken in") {
		t.Errorf("the second of two: %v", err)
	}
}
