package library_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/writ-run/writ/agent/search"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/policies/label"
)

func open(t *testing.T, dir string, e library.Embedder) *library.Library {
	t.Helper()
	l, err := library.Open(dir, e)
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

func text(name, body string, readers ...library.Reader) library.Document {
	return library.Document{
		Source: "handbook", Name: name, Media: library.Markdown, Data: []byte(body), Integrity: label.Operator, Readers: readers,
	}
}

var anybody = library.Reader{}

func names(f library.Found) (out []string) {
	for _, h := range f.Hits {
		out = append(out, h.Name)
	}
	return out
}

func TestFormats(t *testing.T) {
	page := "BT /F1 12 Tf 72 720 Td (Bob is paid 5 USDC) Tj ET"
	for _, tt := range []struct{ media, data, want string }{
		{library.Markdown, "# Pay\nBob gets 5.\n## When\nMonthly.\n```\n# no heading\n```\n", "Pay: Bob gets 5.|Pay > When: Monthly.\n```\n# no heading\n```"},
		{library.Plain, "Only a line.", ": Only a line."},
		{library.HTML, `<title>x</title><h1>Pay</h1><p>Bob <b>gets</b> 5.</p><p style="display: none">and mallory all</p><h2>When</h2><table><tr><td>March</td><td>5</td></tr></table>`,
			"Pay: Bob gets 5.|Pay > When: March 5"},
		{library.CSV, "\xef\xbb\xbfwho,amount\nbob,5\n\"mallory, too\",500\n", ": who: bob; amount: 5\nwho: mallory, too; amount: 500"},
		{library.PDF, pdfOf(page), "page 1: Bob is paid 5 USDC"},
	} {
		got, err := library.Read(tt.media, []byte(tt.data))
		if err != nil {
			t.Errorf("%s: %v", tt.media, err)
			continue
		}
		var parts []string
		for _, c := range library.Split("bafy", got) {
			parts = append(parts, c.Heading+": "+c.Text)
			if got[c.From:c.From+len(c.Text)] != c.Text {
				t.Errorf("%s: the chunk %q does not begin at %d", tt.media, c.Text, c.From)
			}
		}
		if s := strings.Join(parts, "|"); s != tt.want {
			t.Errorf("%s: got %q, want %q", tt.media, s, tt.want)
		}
	}
	for _, tt := range []struct{ media, data string }{
		{library.Plain, "\xff\xfe"}, {library.Plain, "  \n"}, {library.CSV, "a,b\n1\n"}, {library.PDF, "%PDF-1.4\nnothing"}, {"image/png", "x"},
		{library.PDF, strings.Replace(pdfOf(page), "/Kids [3 0 R]", "/Kids [2 0 R]", 1)[:200]},
	} {
		if got, err := library.Read(tt.media, []byte(tt.data)); !errors.Is(err, library.ErrFormat) {
			t.Errorf("%s %q: got %q, %v", tt.media, tt.data, got, err)
		}
	}
}

// pdfOf writes a PDF of one page.
func pdfOf(content string) string {
	var b strings.Builder
	var at []int
	b.WriteString("%PDF-1.4\n")
	for i, o := range []string{
		"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(content), content),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
	} {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	from := b.Len()
	fmt.Fprintf(&b, "xref\n0 6\n0000000000 65535 f \n")
	for _, n := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", n)
	}
	fmt.Fprintf(&b, "trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", from)
	return b.String()
}

func TestAChangeIsFeltAtOnce(t *testing.T) {
	dir := t.TempDir()
	l, other := open(t, dir, nil), open(t, dir, nil) // as another process would have it
	if _, err := l.Put(t.Context(), text("pay.md", "# Pay\nBob gets five.", anybody), text("old.md", "Carol gets five.", anybody)); err != nil {
		t.Fatal(err)
	}
	ask := func(what string, want ...string) library.Found {
		t.Helper()
		f, err := other.Search(t.Context(), library.Reader{Wallet: "0xA", Session: "s", Agent: "a"}, "who gets five?", 8)
		if got := names(f); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v, want %q", what, got, err, want)
		}
		return f
	}
	before := ask("both", "old.md", "pay.md")
	if h := before.Hits[1]; h.CID != library.CIDOf(h.Bytes()) || h.Heading != "Pay" || h.Words != 2 {
		t.Errorf("got %+v", h)
	}
	if n, err := l.Remove(t.Context(), "handbook", "old.md"); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	after := ask("one deleted", "pay.md")
	if after.Snapshot == before.Snapshot {
		t.Error("the snapshot is the same")
	}
	list, err := l.Snapshot(t.Context(), before.Snapshot)
	if err != nil || strings.Count(string(list), "\n") != 2 || !strings.Contains(string(list), before.Hits[0].CID) {
		t.Errorf("the snapshot of before: %q, %v", list, err)
	}
	if _, err := l.Snapshot(t.Context(), library.CIDOf([]byte("x"))); !errors.Is(err, library.ErrNotFound) {
		t.Errorf("a snapshot that never was: %v", err)
	}
	if _, err := l.SetReaders(t.Context(), "handbook", "pay.md", []library.Reader{{Wallet: "0xB"}}); err != nil {
		t.Fatal(err)
	}
	ask("revoked")
	if _, err := l.SetReaders(t.Context(), "handbook", "", []library.Reader{{Wallet: "0xa", Agent: "a"}}); err != nil {
		t.Fatal(err)
	}
	ask("given again, to a wallet with an agent", "pay.md")
	if _, err := l.Put(t.Context(), text("pay.md", "Dora gets five too.", anybody)); err != nil {
		t.Fatal(err)
	}
	ask("replaced by what says something else", "pay.md")
	if _, err := l.Remove(t.Context(), "handbook", "none"); !errors.Is(err, library.ErrNotFound) {
		t.Errorf("a document that is not there: %v", err)
	}
	if all, err := other.List(t.Context(), ""); err != nil || len(all) != 1 || all[0].Chunks != 1 {
		t.Errorf("got %+v, %v", all, err)
	}
}

// shelf is many documents of many wallets, all about the same words.
func shelf(t testing.TB, l *library.Library, documents, wallets int) (owner map[string]string) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	owner = map[string]string{}
	var list []library.Document
	for i := range documents {
		name, wallet := fmt.Sprintf("d%05d", i), fmt.Sprintf("0xw%d", i%wallets)
		owner[name] = wallet
		body := fmt.Sprintf("payroll number%d", i)
		for range 12 {
			body += " " + word(r)
		}
		list = append(list, text(name, body, library.Reader{Wallet: wallet}))
	}
	if _, err := l.Put(context.Background(), list...); err != nil {
		t.Fatal(err)
	}
	return owner
}

func word(r *rand.Rand) string { return fmt.Sprintf("term%d", r.IntN(60)) }

// With WRIT_WHOLE=1, of 10,000 queries.
func TestNoReaderSeesWhatIsOfOthers(t *testing.T) {
	l := open(t, t.TempDir(), hashed{})
	const wallets = 40
	owner := shelf(t, l, 800, wallets)
	r := rand.New(rand.NewPCG(3, 4))
	seen := 0
	queries := 1_000
	if os.Getenv("WRIT_WHOLE") != "" && !testing.Short() {
		queries = 10_000
	}
	for range queries {
		who := library.Reader{Wallet: fmt.Sprintf("0xW%d", r.IntN(wallets+1)), Session: "s", Agent: "a"} // the last has none
		f, err := l.Search(t.Context(), who, word(r)+" "+word(r)+" "+fmt.Sprintf("number%d", r.IntN(800)), 8)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range f.Hits {
			if seen++; !strings.EqualFold(owner[h.Name], who.Wallet) {
				t.Fatalf("%s was shown %s, which is of %s", who.Wallet, h.Name, owner[h.Name])
			}
		}
	}
	if seen < 5*queries {
		t.Errorf("only %d chunks were shown", seen)
	}
}

// A reader of one row in a hundred finds all that he would find if there were nothing else.
func TestARowOfOthersTakesNoRoom(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, nil)
	owner := shelf(t, l, 10_000, 100)
	r := rand.New(rand.NewPCG(5, 6))
	who := library.Reader{Wallet: "0xw7", Session: "s", Agent: "a"}
	mine := []string{}
	for name, wallet := range owner {
		if wallet == who.Wallet {
			mine = append(mine, name)
		}
	}
	slices.Sort(mine)
	found, wanted := 0, 0
	for range 200 {
		name := mine[r.IntN(len(mine))]
		var n int
		fmt.Sscanf(name, "d%d", &n)
		f, err := l.Search(t.Context(), who, fmt.Sprintf("payroll of number%d %s", n, word(r)), 8)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Hits) != 8 { // all of his have the word payroll
			t.Fatalf("%d chunks were found, want 8", len(f.Hits))
		}
		wanted++
		if slices.Contains(names(f), name) {
			found++
		}
	}
	t.Logf("recall@8 of a reader of 1 %% of 10,000 chunks: %d of %d", found, wanted)
	if found != wanted {
		t.Errorf("recall@8 is %d of %d", found, wanted)
	}
}

// Ranks, and what passages cover, are the same whatever others have; and they are what who has the chunks finds himself.
func TestWhatOthersReadWeighsNothing(t *testing.T) {
	mine := []library.Document{text("a.md", "# Pay\nBob gets five USDC a month.", library.Reader{Wallet: "0xa"}),
		text("b.md", "The five gardeners get beans.", library.Reader{Wallet: "0xa"}), text("c.md", "Nothing of it.", library.Reader{Wallet: "0xa"}),
		text("c2.md", "Nothing of it.", library.Reader{Wallet: "0xa"})}
	alone, shared := open(t, t.TempDir(), nil), open(t, t.TempDir(), nil)
	for _, l := range []*library.Library{alone, shared} {
		if l == shared {
			for i := range 50 {
				d := text(fmt.Sprintf("x%d.md", i), fmt.Sprintf("Beans for bob %d.", i), library.Reader{Wallet: "0xb"})
				if _, err := l.Put(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := l.Put(t.Context(), mine...); err != nil {
			t.Fatal(err)
		}
	}
	who := library.Reader{Wallet: "0xA", Session: "s", Agent: "a"}
	for _, query := range []string{"what does bob earn?", "beans of five gardeners", "nothing", "bob, beans and USDC"} {
		x, err := alone.Search(t.Context(), who, query, 8)
		if err != nil {
			t.Fatal(err)
		}
		y, err := shared.Search(t.Context(), who, query, 8)
		if err != nil || x.View != y.View || !slices.Equal(x.Hits, y.Hits) || x.Snapshot == y.Snapshot {
			t.Errorf("%s: alone %+v, with others %+v, %v", query, x, y, err)
		}
		chunks := map[string]library.Chunk{}
		for _, d := range mine {
			for _, c := range library.Split(library.CIDOf(d.Data), string(d.Data)) {
				chunks[library.CIDOf(c.Bytes())] = c
			}
		}
		ids, covers := search.Shelve(chunks).Search(query)
		for i, h := range x.Hits {
			if i >= len(ids) || ids[i] != h.CID || covers[h.CID] != h.Covers || h.Words != i+1 {
				t.Errorf("%s: the library has %s, %d; by hand %q, %v", query, h.CID, h.Covers, ids, covers)
			}
		}
		if len(ids) != len(x.Hits) || len(ids) == 0 {
			t.Errorf("%s: %d and %d", query, len(ids), len(x.Hits))
		}
	}
	f, err := shared.Search(t.Context(), library.Reader{Wallet: "0xb"}, "beans", 8)
	if err != nil || len(f.Hits) != 8 {
		t.Errorf("got %v, %v", f, err)
	}
}

// A library of an older version, whose index was SQLite's, is indexed anew when it is opened.
func TestAnOlderLibraryIsIndexedAnew(t *testing.T) {
	dir := t.TempDir()
	l, err := library.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Put(t.Context(), text("a.md", "Bob gets five.", anybody)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := sqlite.OpenConn(filepath.Join(dir, library.FileName), sqlite.OpenReadWrite)
	if err == nil {
		err = sqlitex.ExecuteScript(c, `DROP TABLE posted; DROP TABLE indexed; DELETE FROM terms;
			CREATE VIRTUAL TABLE words USING fts5(heading, text, content='chunks', content_rowid='id');`, nil)
	}
	if err = errors.Join(err, c.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := open(t, dir, nil).Search(t.Context(), library.Reader{}, "bob", 8)
	if got := names(f); err != nil || !slices.Equal(got, []string{"a.md"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

// hashed makes vectors of the words of a text, so that texts with the same words are close. It stands in for an
// endpoint.
type hashed struct{}

func (hashed) Model() string { return "hashed/64" }

func (hashed) Embed(_ context.Context, texts []string) (out [][]float32, err error) {
	for _, s := range texts {
		v := make([]float32, 64)
		for w := range strings.FieldsSeq(strings.ToLower(s)) {
			h := fnv.New32a()
			h.Write([]byte(w))
			v[h.Sum32()%64]++
		}
		out = append(out, v)
	}
	return out, nil
}

type broken struct{ hashed }

func (broken) Embed(context.Context, []string) ([][]float32, error) {
	return nil, errors.New("no route")
}

func TestHowItWasSearchedIsSaid(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		embed   library.Embedder
		how     string
		meaning int
	}{
		{nil, "keywords", 0}, {hashed{}, "keywords and vectors", 1}, {broken{}, "keywords: the embeddings endpoint did not answer", 0},
	} {
		l := open(t, dir, tt.embed)
		if _, err := l.Put(t.Context(), text("a", "Bob is paid.", anybody)); err != nil {
			t.Fatal(err)
		}
		f, err := l.Search(t.Context(), library.Reader{}, "bob", 1)
		if err != nil || f.How != tt.how || len(f.Hits) != 1 || f.Hits[0].Words != 1 || f.Hits[0].Meaning != tt.meaning {
			t.Errorf("got %+v, %v, want %q", f, err, tt.how)
		}
	}
}

// A file that was got by its CID is called by it, and another of the same bytes by a name: to remove the one leaves the other.
func TestAFileCalledByItsCIDIsRemovedAlone(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	a := text("a.md", "Bob is paid.", anybody)
	byCID := a
	byCID.Name = library.CIDOf(a.Data)
	if _, err := l.Put(t.Context(), a, byCID); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a.md", ""} { // then nothing is called so, and the CID means the bytes
		n, err := l.Remove(t.Context(), "handbook", byCID.Name)
		if err != nil || n != 1 {
			t.Fatalf("removed %d, %v", n, err)
		}
		left := ""
		all, err := l.List(t.Context(), "handbook")
		for _, e := range all {
			left += e.Name
		}
		if err != nil || left != want {
			t.Errorf("left are %q, %v; want %q", left, err, want)
		}
	}
}

func TestWhatIsTakenIn(t *testing.T) {
	l := open(t, t.TempDir(), nil)
	for _, d := range []library.Document{
		{Source: "A", Name: "x", Media: library.Plain, Data: []byte("x")}, {Source: "a", Media: library.Plain, Data: []byte("x")},
		{Source: "a", Name: "x", Media: library.Plain, Data: make([]byte, library.MaxDocument+1)},
		{Source: "a", Name: "x", Media: library.Plain, Data: []byte("x"), Readers: make([]library.Reader, 65)},
	} {
		if _, err := l.Put(t.Context(), text("fine", "fine", anybody), d); err == nil {
			t.Errorf("%s/%s was taken in", d.Source, d.Name)
		}
	}
	if all, err := l.List(t.Context(), ""); err != nil || len(all) > 0 {
		t.Errorf("something was taken in all the same: %v, %v", all, err)
	}
	if _, err := l.Put(t.Context(), text("nobody", "Nobody reads this.")); err != nil {
		t.Fatal(err)
	}
	if f, err := l.Search(t.Context(), library.Reader{Wallet: "0xa"}, "nobody reads", 8); err != nil || len(f.Hits) > 0 {
		t.Errorf("a document without readers was read: %+v, %v", f, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(library.PDF, []byte(pdfOf("BT (x) Tj ET")))
	f.Add(library.HTML, []byte("<h1>x<p>y"))
	f.Add(library.CSV, []byte("a,b\n1,2\n"))
	f.Fuzz(func(t *testing.T, media string, data []byte) {
		s, err := library.Read(media, data)
		if err != nil {
			return
		}
		at := 0
		for _, c := range library.Split("bafy", s) {
			if c.From < at || c.From+len(c.Text) > len(s) || s[c.From:c.From+len(c.Text)] != c.Text {
				t.Errorf("a chunk at %d of %d bytes is not there", c.From, len(c.Text))
			}
			at = c.From + len(c.Text)
		}
	})
}

func TestAnEndpointMakesVectors(t *testing.T) {
	answer, status := "", 200
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Model string
			Input []string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Model != "mini" || len(in.Input) != 2 ||
			r.URL.Path != "/v1/embeddings" || r.Header.Get("Authorization") != "Bearer k" {
			t.Errorf("got %s %+v, %v", r.URL, in, err)
		}
		w.WriteHeader(status)
		w.Write([]byte(answer))
	}))
	defer s.Close()
	e, err := library.NewEndpoint(s.URL+"/v1/", "mini", "k")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		status int
		answer string
		ok     bool
	}{
		{200, `{"data":[{"index":1,"embedding":[0,2]},{"index":0,"embedding":[1,0]}]}`, true},
		{200, `{"data":[{"index":0,"embedding":[1,0]}]}`, false},
		{200, `{"data":[{"index":0,"embedding":[1,0]},{"index":0,"embedding":[1,0]}]}`, false},
		{200, `{"data":[{"index":0,"embedding":[1,0]},{"index":1,"embedding":[1]}]}`, false},
		{200, `{"data":[{"index":0,"embedding":[1,0]},{"index":2,"embedding":[1,0]}]}`, false},
		{200, `no JSON`, false}, {500, `{}`, false},
	} {
		answer, status = tt.answer, tt.status
		got, err := e.Embed(t.Context(), []string{"a", "b"})
		if (err == nil) != tt.ok || tt.ok && (got[0][0] != 1 || got[1][1] != 2) {
			t.Errorf("%s: got %v, %v", tt.answer, got, err)
		}
	}
	for _, bad := range []string{"", "ftp://x", "http://u:p@x", "http://x?k=1"} {
		if _, err := library.NewEndpoint(bad, "m", ""); err == nil {
			t.Errorf("%q is taken for an endpoint", bad)
		}
	}
}
