package ipfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/gateway"
	format "github.com/ipfs/go-ipld-format"
	carv2 "github.com/ipld/go-car/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/ipfs"
)

var withheldLeaf = provenance.NewRaw([]byte("held back"))

// A source is blocks in a map; a nil block cannot be read.
type source map[provenance.Link][]byte

func (s source) Block(_ context.Context, c provenance.Link) ([]byte, error) {
	data, there := s[c]
	switch {
	case c == withheldLeaf.CID:
		return nil, provenance.ErrWithheld
	case !there:
		return nil, fmt.Errorf("block %s: %w", c, provenance.ErrAbsent)
	case data == nil:
		return nil, errors.New("secret details of the disk")
	}
	return data, nil
}

func (s source) put(t testing.TB, r provenance.Record) provenance.Link {
	t.Helper()
	b, err := provenance.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	s[b.CID] = b.Data
	return b.CID
}

func (s source) raw(data string) provenance.Link {
	b := provenance.NewRaw([]byte(data))
	s[b.CID] = b.Data
	return b.CID
}

func (s source) payload(t testing.TB, text string) *provenance.Payload {
	t.Helper()
	p := provenance.NewPayload([]byte(text))
	b, err := p.Seal(provenance.LeafKey{1})
	if err != nil {
		t.Fatal(err)
	}
	s[b.CID] = b.Data
	return p
}

// history makes a run of some steps and returns its newest step.
func history(t testing.TB, steps int) (source, provenance.Link) {
	t.Helper()
	s := source{}
	tool := s.put(t, &provenance.ToolDef{Name: "erc20.balance", About: "a balance", Class: "read", Schema: "{}",
		Book: s.raw("{}")})
	agent := s.put(t, &provenance.Agent{Name: "reader", Instructions: "Read.", Tools: []provenance.Link{tool},
		Routes: []provenance.AgentRoute{{ID: "all", When: "true", Use: "planner"}},
		Limits: provenance.Limits{Turns: 1, Calls: 1, Tokens: 1, Cost: 1, Wall: 1}})
	grant := s.put(t, &provenance.Grant{Message: s.payload(t, "message"), Sig: s.payload(t, "signature"),
		Method: "eoa"})
	rules := s.put(t, &provenance.PolicySet{Name: "none", Source: "rules: []"})
	runtime := s.put(t, &provenance.Runtime{Version: "1", Build: "unknown", Key: make([]byte, 32),
		Models: []provenance.ModelInfo{{Name: "planner", Kind: "rules", Provider: "writ", Model: "planner",
			MaxTokens: 1}}})
	run := s.put(t, &provenance.Run{Agent: agent, Grant: grant, Rules: rules, Runtime: runtime, Opened: 1,
		Nonce: [32]byte{1}})
	ask := &provenance.Ask{Request: s.payload(t, "request"), Method: "run.start", Key: "did:key:z",
		Sig: make([]byte, 64)}
	last := s.put(t, &provenance.Step{Run: run, At: 1, Event: ask,
		Does: []provenance.Effect{&provenance.Say{Text: s.payload(t, "text 0")}}})
	for i := 1; i < steps; i++ {
		last = s.put(t, &provenance.Step{Run: run, Seq: uint64(i), Prev: last, At: 1,
			Event: &provenance.Lapse{Why: provenance.LapseCancelled},
			Does:  []provenance.Effect{&provenance.Say{Text: s.payload(t, fmt.Sprintf("text %d", i%7))}}})
	}
	return s, last
}

func serve(t testing.TB, s ipfs.Source) *httptest.Server {
	t.Helper()
	h, err := ipfs.NewGateway(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

func get(t testing.TB, url string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

func TestRaw(t *testing.T) {
	s, _ := history(t, 3)
	server := serve(t, s)
	for c := range s {
		r, body := get(t, server.URL+"/ipfs/"+c.String()+"?format=raw")
		if r.StatusCode != 200 || provenance.Sum(c.Prefix().Codec, body) != c {
			t.Errorf("block %s: status %d, %d bytes that hash to something else", c, r.StatusCode, len(body))
		}
		for name, want := range map[string]string{
			"Content-Type":                "application/vnd.ipld.raw",
			"X-Content-Type-Options":      "nosniff",
			"X-Ipfs-Path":                 "/ipfs/" + c.String(),
			"X-Ipfs-Roots":                c.String(),
			"Access-Control-Allow-Origin": "*",
			"Cache-Control":               "public, max-age=29030400, immutable",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("header %s: got %q, want %q", name, got, want)
			}
		}
	}
}

func TestCAR(t *testing.T) {
	// 3,000 steps are deeper than boxo's own bound of 1,024 links.
	for _, steps := range []int{1, 3, 3000} {
		s, root := history(t, steps)
		server := serve(t, s)
		var want bytes.Buffer
		stats, err := provenance.Export(&want, root, func(c provenance.Link) ([]byte, error) {
			return s.Block(t.Context(), c)
		})
		if err != nil {
			t.Fatal(err)
		}
		r, got := get(t, server.URL+"/ipfs/"+root.String()+"?format=car")
		if r.StatusCode != 200 || !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%d steps, %d blocks: status %d, %d bytes of CAR that are not the %d of Export",
				steps, stats.Blocks, r.StatusCode, len(got), want.Len())
		}
		if got := r.Header.Get("Content-Type"); !strings.HasPrefix(got,
			"application/vnd.ipld.car; version=1; order=dfs; dups=n") {
			t.Errorf("content type: got %q", got)
		}
	}
}

// TestSameAsBoxo compares whole histories, which provenance.Export writes, with what boxo makes of the same blocks.
func TestSameAsBoxo(t *testing.T) {
	for _, steps := range []int{1, 2, 300} {
		s, root := history(t, steps)
		store := ipfs.NewBlockstore(s)
		backend, err := gateway.NewBlocksBackend(blockservice.New(store, offline.Exchange(store)))
		if err != nil {
			t.Fatal(err)
		}
		boxo := httptest.NewServer(gateway.NewHandler(gateway.Config{DeprecatedXIpfsPath: true,
			MetricsRegistry: prometheus.NewRegistry()}, backend))
		path := "/ipfs/" + root.String() + "?format=car"
		wantR, want := get(t, boxo.URL+path)
		boxo.Close()
		gotR, got := get(t, serve(t, s).URL+path)
		if !bytes.Equal(got, want) {
			t.Errorf("%d steps: %d bytes that are not the %d of boxo", steps, len(got), len(want))
		}
		for name := range wantR.Header {
			if got, want := gotR.Header.Get(name), wantR.Header.Get(name); got != want && name != "Date" {
				t.Errorf("header %s: got %q, want %q", name, got, want)
			}
		}
	}
}

// TestScopes asks for parts of a history, which boxo writes.
func TestScopes(t *testing.T) {
	s, root := history(t, 3)
	server := serve(t, s)
	blocks := func(query string) (n int) {
		t.Helper()
		r, body := get(t, server.URL+"/ipfs/"+root.String()+"?format=car"+query)
		car, err := carv2.NewBlockReader(bytes.NewReader(body))
		if r.StatusCode != 200 || err != nil {
			t.Fatalf("%s: status %d, %v", query, r.StatusCode, err)
		}
		for {
			_, err := car.Next()
			if err == io.EOF {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if n := blocks("&dag-scope=block"); n != 1 {
		t.Errorf("the scope of one block has %d", n)
	}
	if all, doubled := blocks(""), blocks("&car-dups=y"); all != len(s) || doubled <= all {
		t.Errorf("of %d blocks came %d, and %d with doubles", len(s), all, doubled)
	}
}

// TestIncomplete asks for a history with a hole: what comes is not a CAR file that anyone could take for whole.
func TestIncomplete(t *testing.T) {
	s, root := history(t, 3)
	s[provenance.NewRaw([]byte("{}")).CID] = nil
	var log bytes.Buffer
	h, err := ipfs.NewGateway(s, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ipfs/"+root.String()+"?format=car", nil))
	car, err := carv2.NewBlockReader(w.Body)
	for err == nil {
		_, err = car.Next()
	}
	if err == io.EOF {
		t.Error("the file reads as a whole one")
	}
	if strings.Contains(fmt.Sprint(w.Result().Header, w.Body), "secret") {
		t.Error("the answer tells of our inside")
	}
	if !strings.Contains(log.String(), "secret details of the disk") {
		t.Errorf("the log does not say what happened: %q", log.String())
	}
}

func TestRefusals(t *testing.T) {
	s, root := history(t, 1)
	broken := provenance.NewRaw([]byte("broken")).CID
	s[broken] = nil
	server := serve(t, s)
	withheld := withheldLeaf.CID
	unknown := provenance.NewRaw([]byte("unknown")).CID
	other := provenance.Sum(0x55, s[root])
	const pages = "Records are handed out here as blocks that can be checked, and not as pages. Ask for /ipfs/{cid}?format="
	for _, test := range []struct {
		name, path string
		code       int
		body       string
	}{
		{"an unknown block", "/ipfs/" + unknown.String() + "?format=raw", 404,
			"There is no block " + unknown.String() + " here that anybody may fetch; check the CID, or ask another gateway"},
		{"a CAR of an unknown block", "/ipfs/" + unknown.String() + "?format=car", 404, "There is no block"},
		{"a leaf that is for nobody", "/ipfs/" + withheld.String() + "?format=raw", 404, "There is no block"},
		{"a hash under another codec", "/ipfs/" + other.String() + "?format=raw", 404, "There is no block"},
		{"a block that cannot be read", "/ipfs/" + broken.String() + "?format=raw", 500, "the block cannot be read"},
		{"a web page", "/ipfs/" + root.String(), 406, pages},
		{"another format", "/ipfs/" + root.String() + "?format=tar", 406, pages},
		{"a conversion", "/ipfs/" + root.String() + "?format=dag-json", 406, pages},
		{"no CID", "/ipfs/hello?format=raw", 400, "This is not a CID."},
		{"an empty CID", "/ipfs/?format=raw", 400, "This is not a CID."},
		{"a block by a path, which nobody could check", "/ipfs/" + root.String() + "/prev?format=raw", 406,
			"Nobody could check a single block by a path; ask for the path with ?format=car."},
		{"a path up", "/ipfs/" + root.String() + "/../../x?format=car", 400, "This is not a path below a CID."},
		{"a path out", "/ipfs/../../etc/passwd", 400, "This is not a CID."},
		{"an escaped path out", "/ipfs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 400, "This is not a CID."},
		{"a null byte", "/ipfs/" + root.String() + "%00", 400, "This is not a CID."},
		{"a long path", "/ipfs/" + root.String() + strings.Repeat("/b", 500), 400, "Ask for /ipfs/{cid}"},
		{"a name", "/ipns/example.com?format=raw", 400, "Ask for /ipfs/{cid}"},
		{"nothing", "/", 400, "Ask for /ipfs/{cid}"},
		{"an identity CID", "/ipfs/bafkqaddimvwgy3zao5xxe3debi?format=raw", 200, "hello world"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, body := get(t, server.URL+test.path)
			if r.StatusCode != test.code || !strings.HasPrefix(string(body), test.body) {
				t.Errorf("got %d %q, want %d %q", r.StatusCode, body, test.code, test.body)
			}
			if bytes.Contains(body, []byte("secret")) {
				t.Errorf("the body tells of our inside: %q", body)
			}
			if allowed := r.Header["Access-Control-Allow-Origin"]; !slices.Equal(allowed, []string{"*"}) {
				t.Errorf("pages may read the answer: got %q", allowed)
			}
		})
	}
	r, err := http.Post(server.URL+"/ipfs/"+root.String(), "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: got %d", r.StatusCode)
	}
}

func TestBlockstore(t *testing.T) {
	s, root := history(t, 1)
	b := ipfs.NewBlockstore(s)
	block, err := b.Get(t.Context(), root)
	if err != nil || block.Cid() != root || !bytes.Equal(block.RawData(), s[root]) {
		t.Errorf("get: got %v, %v", block, err)
	}
	if n, err := b.GetSize(t.Context(), root); err != nil || n != len(s[root]) {
		t.Errorf("size: got %d, %v", n, err)
	}
	// Boxo's own blockstores would find this one, since they forget the codec.
	other := provenance.Sum(0x55, s[root])
	if has, err := b.Has(t.Context(), other); has || err != nil {
		t.Errorf("the same hash under another codec: got %v, %v", has, err)
	}
	if _, err := b.Get(t.Context(), other); !format.IsNotFound(err) {
		t.Errorf("get what is not there: got %v", err)
	}
	if err := b.Put(t.Context(), block); err == nil {
		t.Error("a block was put into a read-only blockstore")
	}
	if err := b.DeleteBlock(t.Context(), root); err == nil {
		t.Error("a block was deleted from a read-only blockstore")
	}
	if _, err := b.AllKeysChan(t.Context()); err == nil {
		t.Error("the keys were listed")
	}
}

// FuzzPath asks for any path: the answer is a block that hashes to its CID, or a refusal that is not an inner error.
func FuzzPath(f *testing.F) {
	s, root := history(f, 2)
	h, err := ipfs.NewGateway(s, nil)
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range []string{"/ipfs/" + root.String(), "/ipfs/", "/ipns/x", "//", "/ipfs/../x",
		"/ipfs/" + root.String() + "/prev"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		r.Header.Set("Accept", "application/vnd.ipld.raw")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case 200, 301, 400, 404, 406:
		default:
			t.Errorf("path %q: status %d, %q", path, w.Code, w.Body)
		}
	})
}

func BenchmarkCAR(b *testing.B) {
	s, root := history(b, 3000)
	server := serve(b, s)
	for b.Loop() {
		get(b, server.URL+"/ipfs/"+root.String()+"?format=car")
	}
}
