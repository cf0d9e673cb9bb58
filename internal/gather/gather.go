// Package gather brings documents in from elsewhere: a web address, a CAR file, or a CID or a name of IPNS by a
// gateway.
//
// A [Getter] connects to addresses that package reach has checked, and to its gateway. Of a CAR file, also of one
// that a gateway sends, every block is held to its CID, so that who sends it can withhold a file and change none; a
// record of IPNS is held to the signature of its name. Everything is bounded: bytes, blocks, files, depth. What
// comes back are files; who may read them is the caller's to say.
package gather

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/verifcid"
	"github.com/ipfs/go-cid"
	car "github.com/ipld/go-car/v2"

	"github.com/writ-run/writ/internal/library"
	"github.com/writ-run/writ/internal/reach"
)

// Bounds.
const (
	maxRedirects = 5
	maxTime      = 2 * time.Minute
	maxBytes     = 256 << 20 // of all blocks of a CAR file
	maxBlock     = 2 << 20
	maxBlocks    = 1 << 17
	maxDepth     = 32
	maxRead      = 2 * maxBytes // of blocks, each as often as it is linked to
)

// A File is a document without its labels and readers.
type File struct {
	Name, Media string
	Data        []byte
}

// A Getter gets files. The zero Getter reaches public addresses only, and has no gateway.
type Getter struct {
	Gate    reach.Gate
	Gateway string // base URL of a gateway that sends CAR files, such as http://127.0.0.1:8080
}

// IsURL says whether a name is a web address.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "https://") || strings.HasPrefix(name, "http://")
}

// Shown returns a name of a place without the password that a web address may have in it.
func Shown(name string) string {
	if u, err := url.Parse(name); IsURL(name) && err == nil && u.User != nil {
		return u.Redacted()
	}
	return name
}

// ParseCID reads a CID, alone or as ipfs://CID.
func ParseCID(name string) (cid.Cid, bool) {
	c, err := cid.Decode(strings.TrimPrefix(name, "ipfs://"))
	return c, err == nil
}

// URL gets the page at an address. Redirects are followed to addresses that may be reached.
func (g *Getter) URL(ctx context.Context, address string) (File, error) {
	u, err := url.Parse(address)
	if err == nil {
		address = Shown(address)
		err = g.checkURL(u)
	}
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", address, err)
	}
	client := &http.Client{Transport: g.Gate.Transport(), Timeout: maxTime,
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("it redirects more than %d times", maxRedirects)
			}
			return g.checkURL(r.URL)
		}}
	defer client.CloseIdleConnections()
	resp, data, err := get(ctx, client, u.String(), library.MaxDocument)
	if err != nil {
		return File{}, fmt.Errorf("%s: %w", address, err)
	}
	at := resp.Request.URL
	f := File{Name: strings.TrimSuffix(u.Host+u.EscapedPath(), "/"), Data: data}
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch f.Media = library.MediaOf(at.Path); {
	case slices.Contains([]string{library.Markdown, library.HTML, library.CSV, library.PDF}, media):
		f.Media = media
	case media != library.Plain && media != "" && media != "application/octet-stream":
		return f, fmt.Errorf("%s: its type is %q, and not one of Markdown, text, HTML, CSV and PDF", address, media)
	case f.Media == "":
		f.Media = mediaOf(data)
	}
	return f, nil
}

// checkURL refuses what is not reached: without Gate.Private all but https on its own port.
func (g *Getter) checkURL(u *url.URL) error {
	switch {
	case u.User != nil || u.Host == "":
		return errors.New("it is no address without a name and password in it")
	case g.Gate.Private && u.Scheme == "http":
		return nil
	case u.Scheme != "https" || !g.Gate.Private && u.Port() != "" && u.Port() != "443":
		return errors.New("only https addresses on port 443 are reached")
	}
	return nil
}

func get(ctx context.Context, client *http.Client, address string, most int64) (*http.Response, []byte, error) {
	return getAs(ctx, client, address, "", most)
}

// getAs gets what is at an address, as the media type that is asked for, or as any if that is empty.
func getAs(
	ctx context.Context, client *http.Client, address, media string, most int64,
) (*http.Response, []byte, error) {
	ctx, stop := context.WithTimeout(ctx, maxTime)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("User-Agent", "writ")
	if media != "" {
		req.Header.Set("Accept", media)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("it answers %s", resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("it broke off: %w", err)
	case int64(len(data)) > most:
		return nil, nil, fmt.Errorf("it has more than %d bytes", most)
	}
	return resp, data, nil
}

// CID gets the file or folder of a CID by the gateway.
func (g *Getter) CID(ctx context.Context, root cid.Cid) ([]File, error) {
	base, client, err := g.gateway()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	_, data, err := get(ctx, client, base+"/ipfs/"+root.String()+"?format=car&dag-scope=all", maxBytes)
	if err != nil {
		return nil, fmt.Errorf("%s by the gateway: %w", root, err)
	}
	return readCAR(bytes.NewReader(data), root)
}

// CAR reads the file or folder that is the root of a CAR file.
func CAR(r io.Reader) ([]File, error) { return readCAR(r, cid.Undef) }

// readCAR reads a CAR file of one root; of want, if that is one.
func readCAR(r io.Reader, want cid.Cid) ([]File, error) {
	in, err := car.NewBlockReader(io.LimitReader(r, maxBytes+1), car.MaxAllowedSectionSize(maxBlock+100),
		car.MaxAllowedHeaderSize(1<<10)) // and holds each block to its CID
	if err != nil {
		return nil, fmt.Errorf("it is no CAR file: %w", err)
	}
	if len(in.Roots) != 1 || want.Defined() && !in.Roots[0].Equals(want) {
		return nil, errors.New("its root is not the one that was asked for, or it has several")
	}
	w := &walk{blocks: map[string][]byte{}, names: map[string]bool{}}
	size := 0
	for {
		b, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("block %d of the CAR file: %w", len(w.blocks)+1, err)
		}
		if verifcid.ValidateCid(verifcid.DefaultAllowlist, b.Cid()) != nil { // other bytes could have the same
			return nil, fmt.Errorf("block %d of the CAR file: the hash of its CID %s is weak, or cut short", len(w.blocks)+1,
				b.Cid())
		}
		if size += len(b.RawData()); size > maxBytes || len(w.blocks) >= maxBlocks {
			return nil, fmt.Errorf("the CAR file has more than %d bytes or %d blocks", maxBytes, maxBlocks)
		}
		w.blocks[b.Cid().KeyString()] = b.RawData()
	}
	if err := w.enter("", in.Roots[0], 0); err != nil {
		return nil, err
	}
	return w.files, nil
}

// A walk goes through a file or folder of UnixFS.
type walk struct {
	blocks map[string][]byte
	files  []File
	names  map[string]bool
	steps  int // blocks that were read, each as often as it was
	read   int // bytes of these
	bytes  int // of the files
}

// errFolder says that a node is a folder where a file was expected.
var errFolder = errors.New("it is a folder")

// enter takes in what is at a name.
func (w *walk) enter(name string, c cid.Cid, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s lies more than %d folders deep", name, maxDepth)
	}
	if name != "" && library.MediaOf(name) == "" {
		if c.Prefix().Codec == cid.Raw {
			return nil // no document: its blocks need not be there
		}
		if _, fs, err := w.node(c); err != nil || !fs.IsDir() {
			return err
		}
	}
	data, err := w.readFile(nil, c, 0)
	switch {
	case errors.Is(err, errFolder):
		return w.enterFolder(name, c, depth)
	case err != nil:
		return fmt.Errorf("%s: %w", path.Join("/", name), err)
	case len(w.files) >= library.MaxDocuments:
		return fmt.Errorf("there are more than %d files", library.MaxDocuments)
	case w.names[name]:
		return fmt.Errorf("%s is there twice", path.Join("/", name))
	}
	w.names[name] = true
	f := File{Name: name, Media: library.MediaOf(name), Data: data}
	if name == "" {
		f.Name, f.Media = c.String(), mediaOf(data)
	}
	if f.Media != "" {
		w.files = append(w.files, f)
		w.bytes += len(data)
	}
	return nil
}

// block returns a block. A few blocks that link to each other often enough are as much work as a large file.
func (w *walk) block(c cid.Cid) ([]byte, error) {
	data, there := w.blocks[c.KeyString()]
	if !there {
		return nil, fmt.Errorf("the block %s is missing", c)
	}
	w.steps++
	if w.read += len(data); w.steps > 4*maxBlocks || w.read > maxRead {
		return nil, errors.New("its blocks are linked too often")
	}
	return data, nil
}

// node reads a block of UnixFS.
func (w *walk) node(c cid.Cid) (*merkledag.ProtoNode, *unixfs.FSNode, error) {
	data, err := w.block(c)
	if err != nil {
		return nil, nil, err
	}
	if c.Prefix().Codec != cid.DagProtobuf {
		return nil, nil, fmt.Errorf("the block %s is neither a file nor a folder of UnixFS", c)
	}
	n, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		return nil, nil, fmt.Errorf("the block %s: %w", c, err)
	}
	fs, err := unixfs.FSNodeFromBytes(n.Data())
	if err != nil {
		return nil, nil, fmt.Errorf("the block %s: %w", c, err)
	}
	return n, fs, nil
}

// readFile appends a file's bytes.
func (w *walk) readFile(data []byte, c cid.Cid, depth int) ([]byte, error) {
	if c.Prefix().Codec == cid.Raw {
		b, err := w.block(c)
		if err != nil {
			return nil, err
		}
		return w.grow(data, b)
	}
	n, fs, err := w.node(c)
	if err != nil {
		return nil, err
	}
	switch fs.Type() {
	case unixfs.TDirectory, unixfs.THAMTShard:
		return nil, errFolder
	case unixfs.TFile, unixfs.TRaw:
	default:
		return nil, errors.New("it is a link or something else that is not read")
	}
	if depth > maxDepth {
		return nil, errors.New("its blocks are nested too deep")
	}
	if data, err = w.grow(data, fs.Data()); err != nil {
		return nil, err
	}
	for _, l := range n.Links() {
		if data, err = w.readFile(data, l.Cid, depth+1); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func (w *walk) grow(data, more []byte) ([]byte, error) {
	if len(data)+len(more) > library.MaxDocument || w.bytes+len(data)+len(more) > maxBytes {
		return nil, fmt.Errorf("it has more than %d bytes, or all together more than %d", library.MaxDocument, maxBytes)
	}
	return append(data, more...), nil
}

// enterFolder takes in what is in a folder. The names of a sharded one begin with the digits of their place.
func (w *walk) enterFolder(name string, c cid.Cid, depth int) error {
	n, fs, err := w.node(c)
	if err != nil {
		return fmt.Errorf("%s: %w", path.Join("/", name), err)
	}
	digits := 0
	if fs.Type() == unixfs.THAMTShard {
		digits = len(fmt.Sprintf("%X", fs.Fanout()-1))
	}
	for _, l := range n.Links() {
		if len(l.Name) < digits {
			return fmt.Errorf("%s: a name of the folder has no place", path.Join("/", name))
		}
		part := l.Name[digits:]
		if part == "" && digits > 0 { // more of the same folder
			if depth > maxDepth {
				return fmt.Errorf("%s lies too deep", name)
			}
			if err := w.enterFolder(name, l.Cid, depth+1); err != nil {
				return err
			}
			continue
		}
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\x00") || !utf8.ValidString(part) {
			return fmt.Errorf("%s: %q is no name of a file", path.Join("/", name), part)
		}
		if strings.HasPrefix(part, ".") {
			continue // hidden
		}
		if err := w.enter(path.Join(name, part), l.Cid, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// mediaOf tells the type of bytes without a name.
func mediaOf(data []byte) string {
	head := strings.ToLower(strings.TrimSpace(string(data[:min(len(data), 200)])))
	switch {
	case strings.HasPrefix(head, "%pdf-"):
		return library.PDF
	case strings.HasPrefix(head, "<!doctype html"), strings.HasPrefix(head, "<html"):
		return library.HTML
	}
	return library.Markdown
}
