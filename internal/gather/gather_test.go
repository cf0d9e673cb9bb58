package gather_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"

	"github.com/writ-run/writ/internal/gather"
	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/internal/reach"
)

// A tree is a CAR file that is made.
type tree struct{ sections bytes.Buffer }

func (x *tree) add(c cid.Cid, data []byte) {
	x.sections.Write(binary.AppendUvarint(nil, uint64(len(c.Bytes())+len(data))))
	x.sections.Write(c.Bytes())
	x.sections.Write(data)
}

func (x *tree) raw(text string) cid.Cid {
	n := merkledag.NewRawNode([]byte(text))
	x.add(n.Cid(), n.RawData())
	return n.Cid()
}

func (x *tree) file(parts ...cid.Cid) cid.Cid { return x.node(unixfs.FilePBData(nil, 0), nil, parts) }

func (x *tree) folder(names []string, of ...cid.Cid) cid.Cid {
	return x.node(unixfs.FolderPBData(), names, of)
}

func (x *tree) node(data []byte, names []string, of []cid.Cid) cid.Cid {
	n := merkledag.NodeWithData(data)
	n.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: 0x12})
	for i, c := range of {
		name := ""
		if names != nil {
			name = names[i]
		}
		if err := n.AddRawLink(name, &ipld.Link{Cid: c}); err != nil {
			panic(err)
		}
	}
	x.add(n.Cid(), n.RawData())
	return n.Cid()
}

func (x *tree) car(root cid.Cid) []byte {
	head := []byte("\xa2\x65roots\x81\xd8\x2a\x58\x25\x00" + root.KeyString() + "\x67version\x01")
	return append(binary.AppendUvarint(nil, uint64(len(head))), append(head, x.sections.Bytes()...)...)
}

// A folder in a CAR file is read file by file; what is no document is passed over, and what is wrong takes nothing in.
func TestAFolderOfUnixFSIsRead(t *testing.T) {
	var x tree
	a := x.file(x.raw("# Pay\nBob "), x.raw("is paid."))
	root := x.folder([]string{"a.md", "deep", "pic.png", ".hidden.md"}, a,
		x.folder([]string{"b.txt"}, x.raw("Carol is late.")), x.raw("no picture"), x.raw("hidden"))
	good := x.car(root)
	files, err := gather.CAR(bytes.NewReader(good))
	got := ""
	for _, f := range files {
		got += f.Name + " " + f.Media + " " + string(f.Data) + "|"
	}
	if want := "a.md text/markdown # Pay\nBob is paid.|deep/b.txt text/plain Carol is late.|"; err != nil || got != want {
		t.Fatalf("got %q, %v, want %q", got, err, want)
	}
	one, err := gather.CAR(bytes.NewReader(x.car(a)))
	if err != nil || len(one) != 1 || one[0].Name != a.String() || one[0].Media != library.Markdown {
		t.Errorf("a file alone: %+v, %v", one, err)
	}
	loop := tree{}
	at := loop.folder([]string{"x.md"}, loop.raw("x"))
	for range 40 {
		at = loop.folder([]string{"d"}, at)
	}
	var escapes tree
	up := escapes.folder([]string{"..", "b.md"}, escapes.raw("x"), escapes.raw("y"))
	var weak, short tree
	weakly := func(x *tree, function uint64, length int) cid.Cid {
		sum, err := multihash.Sum([]byte("x"), function, length)
		if err != nil {
			t.Fatal(err)
		}
		c := cid.NewCidV1(cid.Raw, sum)
		x.add(c, []byte("x"))
		return x.folder([]string{"a.md"}, c)
	}
	var twice tree
	both := twice.folder([]string{"a.md", "a.md"}, twice.raw("x"), twice.raw("y"))
	var missing tree
	lost := missing.folder([]string{"a.md"}, a)
	for what, data := range map[string][]byte{
		"changed bytes": bytes.Replace(good, []byte("is paid."), []byte("is rich."), 1), "cut": good[:len(good)-3], "no CAR": []byte("hello"),
		"too deep": loop.car(at), "a name that leads out": escapes.car(up), "a block that is missing": missing.car(lost),
		"a weak hash": weak.car(weakly(&weak, multihash.MURMUR3X64_64, -1)), "a hash cut short": short.car(weakly(&short, multihash.SHA2_256, 4)),
		"a name that is there twice": twice.car(both),
		"a root that is no file":     x.car(cid.NewCidV1(cid.DagCBOR, root.Hash())),
	} {
		if files, err := gather.CAR(bytes.NewReader(data)); err == nil {
			t.Errorf("%s: read as %+v", what, files)
		}
	}
}

// A few blocks that link to each other many times are no more work than a CAR file may be.
func TestBlocksThatAreLinkedTooOftenAreNotRead(t *testing.T) {
	repeat := func(c cid.Cid, n int) []cid.Cid { return slices.Repeat([]cid.Cid{c}, n) }
	var fans tree
	fan := fans.file(repeat(fans.file(repeat(fans.raw(""), 40_000)...), 100)...)
	var heavy tree
	large := heavy.node(unixfs.FilePBData(make([]byte, 19<<16), 19<<16), nil, nil)
	var names []string
	for i := range 500 {
		names = append(names, fmt.Sprint(i, ".bin"))
	}
	for what, data := range map[string][]byte{
		"empty blocks": fans.car(fan), "large blocks": heavy.car(heavy.folder(names, repeat(large, 500)...)),
	} {
		if files, err := gather.CAR(bytes.NewReader(data)); err == nil || !strings.Contains(err.Error(), "too often") {
			t.Errorf("%s: %d files, %v", what, len(files), err)
		}
	}
}

// A gateway is held to what was asked for.
func TestAGatewayIsNotTrusted(t *testing.T) {
	var x tree
	root := x.folder([]string{"a.md"}, x.raw("Bob is paid."))
	other := x.folder([]string{"a.md"}, x.raw("Bob is rich."))
	answer := x.car(root)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ipfs/"+root.String() || r.URL.Query().Get("format") != "car" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		w.Write(answer)
	}))
	defer s.Close()
	g := gather.Getter{Gateway: s.URL}
	if files, err := g.CID(t.Context(), root); err != nil || len(files) != 1 || string(files[0].Data) != "Bob is paid." {
		t.Errorf("got %+v, %v", files, err)
	}
	answer = x.car(other)
	if files, err := g.CID(t.Context(), root); err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("another root: %+v, %v", files, err)
	}
	if _, err := g.CID(t.Context(), other); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("a redirect: %v", err)
	}
	if _, err := new(gather.Getter).CID(t.Context(), root); err == nil {
		t.Error("without a gateway it was got")
	}
}

// A web address is reached as web.fetch reaches it: https, public, also after a redirect, and its type is one that is read.
func TestAnAddressIsReachedIfItMayBe(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/terms":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<h1>Terms</h1><p>Five.")
		case "/pic":
			w.Header().Set("Content-Type", "image/png")
		case "/away":
			http.Redirect(w, r, "ftp://example.com/x", http.StatusFound)
		case "/user":
			http.Redirect(w, r, "http://u:p@"+r.Host+"/terms", http.StatusFound)
		case "/again":
			http.Redirect(w, r, "/again", http.StatusFound)
		case "/large":
			w.Header().Set("Content-Type", "text/plain")
			w.Write(make([]byte, library.MaxDocument+1))
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	own := gather.Getter{Gate: reach.Gate{Private: true}}
	f, err := own.URL(t.Context(), s.URL+"/terms")
	if err != nil || f.Media != library.HTML || !strings.HasSuffix(f.Name, "/terms") || !strings.Contains(string(f.Data), "Five") {
		t.Errorf("got %+v, %v", f, err)
	}
	for _, bad := range []string{"/pic", "/away", "/user", "/again", "/large", "/none"} {
		if f, err := own.URL(t.Context(), s.URL+bad); err == nil {
			t.Errorf("%s was taken: %s", bad, f.Name)
		}
	}
	var public gather.Getter
	for _, bad := range []string{s.URL + "/terms", "https://example.com:8443/", "https://u:p@example.com/"} {
		if _, err := public.URL(t.Context(), bad); err == nil || strings.Contains(err.Error(), "u:p@") {
			t.Errorf("%s was reached, or its password told: %v", bad, err)
		}
	}
	if _, err := public.URL(t.Context(), "https://127.0.0.1/"); !errors.Is(err, reach.ErrPrivate) {
		t.Errorf("a private address: %v", err)
	}
}
