package ipfs_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/hamt"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	format "github.com/ipfs/go-ipld-format"
	carv2 "github.com/ipld/go-car/v2"

	"github.com/writ-run/writ/provenance"
)

// A tree is UnixFS content made with boxo, of every shape that the trustless gateway specification speaks of, and the
// source that serves it.
type tree struct {
	t    *testing.T
	src  source
	dag  format.DAGService
	bs   blockstore.Blockstore
	hash cid.Builder
}

func newTree(t *testing.T) *tree {
	bs := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	return &tree{t: t, src: source{}, bs: bs, hash: merkledag.V1CidPrefix(),
		dag: merkledag.NewDAGService(blockservice.New(bs, offline.Exchange(bs)))}
}

func (x *tree) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

func (x *tree) add(n format.Node) format.Node {
	x.must(x.dag.Add(x.t.Context(), n))
	x.src[n.Cid()] = n.RawData()
	return n
}

// file adds text in chunks of 256 bytes with raw leaves.
func (x *tree) file(text string) format.Node {
	p := helpers.DagBuilderParams{Maxlinks: 174, RawLeaves: true, CidBuilder: x.hash, Dagserv: x.dag}
	b, err := p.New(chunk.NewSizeSplitter(strings.NewReader(text), 256))
	x.must(err)
	n, err := balanced.Layout(b)
	x.must(err)
	x.copyAll(n.Cid())
	return n
}

// copyAll makes everything below c part of the source.
func (x *tree) copyAll(c cid.Cid) {
	x.must(merkledag.Walk(x.t.Context(), merkledag.GetLinksWithDAG(x.dag), c, func(c cid.Cid) bool {
		n, err := x.dag.Get(x.t.Context(), c)
		x.must(err)
		x.src[c] = n.RawData()
		return true
	}))
}

func (x *tree) dir(names []string, nodes ...format.Node) *merkledag.ProtoNode {
	d := ft.EmptyDirNode()
	x.must(d.SetCidBuilder(x.hash))
	for i, name := range names {
		x.must(d.AddNodeLink(name, nodes[i]))
	}
	x.add(d)
	return d
}

// below returns the children of c in order, each once, with what is below them.
func (x *tree) below(c cid.Cid) (list []cid.Cid) {
	n, err := x.dag.Get(x.t.Context(), c)
	x.must(err)
	for _, l := range n.Links() {
		list = append(append(list, l.Cid), x.below(l.Cid)...)
	}
	return list
}

// TestTrustlessGatewaySpecification asks for what https://specs.ipfs.tech/http-gateways/trustless-gateway/ names,
// mandatory and optional, of content that boxo made: paths through directories, sharded directories and dag-cbor;
// dag-scope; entity-bytes, also where other bytes are missing; order and duplicates; identity CIDs; headers. The
// blocks must be exactly those and in that order, each of them its CID's.
func TestTrustlessGatewaySpecification(t *testing.T) {
	x := newTree(t)
	small := x.file("hello application/vnd.ipld.car\n")
	other := x.file("hello hello\n")
	var long strings.Builder
	for i := range 256 {
		fmt.Fprintf(&long, "%03d\n", i)
	}
	multi := x.file(long.String() + "ab") // 4 chunks of 256 bytes and one of 2
	chunks := x.below(multi.Cid())
	subdir := x.dir([]string{"ascii.txt", "hello.txt", "multiblock.txt"}, small, other, multi)
	root := x.dir([]string{"subdir"}, subdir)
	doubles := x.dir([]string{"ascii-copy.txt", "ascii.txt", "multiblock.txt"}, small, small, multi)

	shard, err := hamt.NewShard(x.dag, 256)
	x.must(err)
	shard.SetCidBuilder(x.hash)
	files := map[string]format.Node{}
	for i := range 600 {
		name := strconv.Itoa(i) + ".txt"
		files[name] = x.file(strings.Repeat(name, 50))
		x.must(shard.Set(t.Context(), name, files[name]))
	}
	sharded, err := shard.Node()
	x.must(err)
	x.must(x.dag.Add(t.Context(), sharded))
	x.copyAll(sharded.Cid())
	// The way to a name in a shard is the shards whose link names begin its hash.
	wayTo := func(target cid.Cid) []cid.Cid {
		var find func(c cid.Cid) []cid.Cid
		find = func(c cid.Cid) []cid.Cid {
			n, err := x.dag.Get(t.Context(), c)
			x.must(err)
			for _, l := range n.Links() {
				if l.Cid == target {
					return []cid.Cid{c}
				}
				if len(l.Name) == 2 { // a shard below
					if way := find(l.Cid); way != nil {
						return append([]cid.Cid{c}, way...)
					}
				}
			}
			return nil
		}
		return find(sharded.Cid())
	}
	var shards func(c cid.Cid) []cid.Cid
	shards = func(c cid.Cid) []cid.Cid {
		list := []cid.Cid{c}
		n, err := x.dag.Get(t.Context(), c)
		x.must(err)
		for _, l := range n.Links() {
			if len(l.Name) == 2 {
				list = append(list, shards(l.Cid)...)
			}
		}
		return list
	}

	// {"files": {"single": link to small}} and a link to the multi-block file.
	doc := []byte("\xa2\x65files\xa1\x66single\xd8\x2a\x58\x25\x00" + small.Cid().KeyString() +
		"\x65multi\xd8\x2a\x58\x25\x00" + multi.Cid().KeyString())
	document := provenance.Sum(cid.DagCBOR, doc)
	x.src[document] = doc

	holes := newTree(t)
	missing := holes.file(long.String() + "ab")
	mid := holes.below(missing.Cid())[2]
	holes.src[mid] = nil
	delete(holes.src, mid)

	server, gaps := serve(t, x.src), serve(t, holes.src)
	list := func(parts ...any) (all []cid.Cid) {
		for _, p := range parts {
			switch p := p.(type) {
			case cid.Cid:
				all = append(all, p)
			case []cid.Cid:
				all = append(all, p...)
			case format.Node:
				all = append(all, p.Cid())
			}
		}
		return all
	}
	some := files["17.txt"]
	entity := url.Values{"dag-scope": {"entity"}}
	bytesOf := func(r string) url.Values { return url.Values{"dag-scope": {"entity"}, "entity-bytes": {r}} }
	for _, test := range []struct {
		name, base, path string
		query            url.Values
		accept           string // instead of format=car
		want             []cid.Cid
	}{
		{"a path through directories", server.URL, root.Cid().String() + "/subdir/ascii.txt", nil, "",
			list(root, subdir, small)},
		{"a path through a sharded directory", server.URL, sharded.Cid().String() + "/17.txt", nil, "",
			list(wayTo(some.Cid()), some, x.below(some.Cid()))},
		{"a path through dag-cbor", server.URL, document.String() + "/files/single", nil, "", list(document, small)},
		{"one block of a directory on a path", server.URL, root.Cid().String() + "/subdir",
			url.Values{"dag-scope": {"block"}}, "", list(root, subdir)},
		{"one block of a file on a path", server.URL, root.Cid().String() + "/subdir/multiblock.txt",
			url.Values{"dag-scope": {"block"}}, "", list(root, subdir, multi)},
		{"one block below a sharded directory", server.URL, sharded.Cid().String() + "/17.txt",
			url.Values{"dag-scope": {"block"}}, "", list(wayTo(some.Cid()), some)},
		{"a directory as entity", server.URL, root.Cid().String(), entity, "", list(root)},
		{"a sharded directory as entity", server.URL, sharded.Cid().String(), entity, "", shards(sharded.Cid())},
		{"a file as entity", server.URL, root.Cid().String() + "/subdir/ascii.txt", entity, "",
			list(root, subdir, small)},
		{"a chunked file as entity", server.URL, root.Cid().String() + "/subdir/multiblock.txt", entity, "",
			list(root, subdir, multi, chunks)},
		{"a dag-cbor document as entity", server.URL, document.String(), entity, "", list(document)},
		{"everything", server.URL, root.Cid().String() + "/subdir", url.Values{"dag-scope": {"all"}}, "",
			list(root, subdir, small, other, multi, chunks)},
		{"everything of a chunked file", server.URL, root.Cid().String() + "/subdir/multiblock.txt",
			url.Values{"dag-scope": {"all"}}, "", list(root, subdir, multi, chunks)},
		{"bytes before a hole", gaps.URL, missing.Cid().String(), bytesOf("0:500"), "", list(missing, chunks[:2])},
		{"bytes after a hole", gaps.URL, missing.Cid().String(), bytesOf("768:*"), "", list(missing, chunks[3:])},
		{"all bytes", server.URL, root.Cid().String() + "/subdir/multiblock.txt", bytesOf("0:*"), "",
			list(root, subdir, multi, chunks)},
		{"bytes of a directory are the directory", server.URL, sharded.Cid().String(), bytesOf("0:*"), "",
			shards(sharded.Cid())},
		{"from the middle to the end", server.URL, multi.Cid().String(), bytesOf("512:*"), "", list(multi, chunks[2:])},
		{"in the middle", server.URL, multi.Cid().String(), bytesOf("512:1023"), "", list(multi, chunks[2:4])},
		{"to before the end", server.URL, multi.Cid().String(), bytesOf("512:-256"), "", list(multi, chunks[2:4])},
		{"the last bytes", server.URL, multi.Cid().String(), bytesOf("-5:*"), "", list(multi, chunks[3:])},
		{"more last bytes than there are", server.URL, multi.Cid().String(), bytesOf("-9999:*"), "",
			list(multi, chunks)},
		{"more last bytes than there are, but not the end", server.URL, multi.Cid().String(), bytesOf("-9999:-3"), "",
			list(multi, chunks[:4])},
		{"the first byte", server.URL, multi.Cid().String(), bytesOf("0:0"), "", list(multi, chunks[0])},
		{"duplicates, asked for", server.URL, doubles.Cid().String(), nil,
			"application/vnd.ipld.car; version=1; order=dfs; dups=y",
			list(doubles, small, small, multi, chunks)},
		{"no duplicates", server.URL, doubles.Cid().String(), nil,
			"application/vnd.ipld.car; version=1; order=dfs; dups=n", list(doubles, small, multi, chunks)},
		{"any order", server.URL, doubles.Cid().String(), nil, "application/vnd.ipld.car; version=1; order=unk",
			list(doubles, small, multi, chunks)},
		{"an identity CID is no block", server.URL, "bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa", nil,
			"application/vnd.ipld.car; dups=y", nil},
		{"the Accept header is heard before the query", server.URL, doubles.Cid().String(),
			url.Values{"format": {"car"}},
			"application/vnd.ipld.car; version=1; order=dfs; dups=y", list(doubles, small, small, multi, chunks)},
	} {
		t.Run(test.name, func(t *testing.T) {
			query := url.Values{}
			for k, v := range test.query {
				query[k] = v
			}
			if test.accept == "" {
				query.Set("format", "car")
			}
			r := ask(t, http.MethodGet, test.base+"/ipfs/"+test.path+"?"+query.Encode(), test.accept)
			if r.StatusCode != 200 {
				t.Fatalf("status %d, %q", r.StatusCode, r.body)
			}
			if got := carBlocks(t, r.body); r.StatusCode != 200 || !slices.Equal(got, test.want) {
				t.Errorf("status %d, blocks\n%v, want\n%v", r.StatusCode, got, test.want)
			}
			name, _, _ := strings.Cut(test.path, "/")
			kind := r.Header.Get("Content-Type")
			for _, part := range []string{"application/vnd.ipld.car", "version=1", "order=", "dups="} {
				if !strings.Contains(kind, part) {
					t.Errorf("content type %q is without %s", kind, part)
				}
			}
			for header, want := range map[string]string{
				"Content-Disposition": `^attachment; filename=.+\.car`, "X-Content-Type-Options": "^nosniff$",
				"Etag":        `^W/".+"$`,
				"X-Ipfs-Path": "^/ipfs/" + name, "X-Ipfs-Roots": "^" + name, "Accept-Ranges": "^none$",
			} {
				if got := r.Header.Get(header); !regexp.MustCompile(want).MatchString(got) {
					t.Errorf("%s: got %q, want %s", header, got, want)
				}
			}
			if head := ask(t, http.MethodHead, test.base+"/ipfs/"+test.path+"?"+query.Encode(),
				test.accept); head.StatusCode != 200 || len(head.body) > 0 {
				t.Errorf("HEAD: status %d, %d bytes", head.StatusCode, len(head.body))
			}
			// The same in a conditional request costs nothing.
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet,
				test.base+"/ipfs/"+test.path+"?"+query.Encode(), nil)
			req.Header.Set("Accept", test.accept)
			req.Header.Set("If-None-Match", r.Header.Get("Etag"))
			if again := do(t, req); again.StatusCode != 304 {
				t.Errorf("If-None-Match: status %d", again.StatusCode)
			}
		})
	}

	t.Run("a file that is not there", func(t *testing.T) {
		// The specification allows 404, or the blocks that show that there is no such file.
		r := ask(t, http.MethodGet, server.URL+"/ipfs/"+root.Cid().String()+"/subdir/none?format=car", "")
		if r.StatusCode != 404 && (r.StatusCode != 200 || !slices.Equal(carBlocks(t, r.body), list(root, subdir))) {
			t.Errorf("status %d, %q", r.StatusCode, r.body)
		}
	})
	t.Run("another version of CAR", func(t *testing.T) {
		if r := ask(t, http.MethodGet, server.URL+"/ipfs/"+root.Cid().String(),
			"application/vnd.ipld.car; version=2"); r.StatusCode != 400 {
			t.Errorf("status %d", r.StatusCode)
		}
	})
	t.Run("a raw block", func(t *testing.T) {
		for _, accept := range []string{"", "application/vnd.ipld.raw"} {
			query := "?filename=foobar.bin"
			if accept == "" {
				query += "&format=raw"
			}
			r := ask(t, http.MethodGet, server.URL+"/ipfs/"+small.Cid().String()+query, accept)
			if r.StatusCode != 200 || !bytes.Equal(r.body, small.RawData()) ||
				r.Header.Get("Content-Type") != "application/vnd.ipld.raw" ||
				r.Header.Get("Content-Length") != strconv.Itoa(len(small.RawData())) || r.Header.Get("Etag") == "" ||
				!strings.Contains(r.Header.Get("Content-Disposition"), `filename="foobar.bin"`) {
				t.Errorf("status %d, headers %v, body %q", r.StatusCode, r.Header, r.body)
			}
		}
	})
	t.Run("a raw block, if it is here", func(t *testing.T) {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet,
			gaps.URL+"/ipfs/"+mid.String()+"?format=raw", nil)
		req.Header.Set("Cache-Control", "only-if-cached")
		if r := do(t, req); r.StatusCode != 404 && r.StatusCode != 412 {
			t.Errorf("status %d", r.StatusCode)
		}
	})
}

type answer struct {
	*http.Response
	body []byte
}

func ask(t *testing.T, method, url, accept string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	return do(t, r)
}

func do(t *testing.T, r *http.Request) answer {
	t.Helper()
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{a, body}
}

// carBlocks reads the CIDs of a CAR file, of which each block must be its CID's.
func carBlocks(t *testing.T, data []byte) (list []cid.Cid) {
	t.Helper()
	r, err := carv2.NewBlockReader(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("not a CAR file: %v", err)
	}
	for {
		b, err := r.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, b.Cid())
	}
}
