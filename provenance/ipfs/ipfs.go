// Package ipfs serves the blocks of a store to the IPFS world.
//
// [NewGateway] is boxo's trustless gateway over a [Source]: single blocks (format=raw) and whole histories
// (format=car), which any IPFS client can fetch and check by hash, and which equal the files that provenance.Export
// writes. Nothing is rendered, resolved by name or fetched from elsewhere. [NewBlockstore] is the read-only boxo
// blockstore below it, for other users of boxo such as bitswap.
package ipfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/path"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multihash"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/provenance"
)

// A Source hands out blocks. Block returns the bytes under a full CID, codec included, whose hash it has checked on
// this read, and an error that wraps provenance.ErrAbsent if it has none. It may be called by many goroutines at once.
type Source interface {
	Block(ctx context.Context, c provenance.Link) ([]byte, error)
}

var errReadOnly = errors.New("this blockstore is read-only")

// A Blockstore is a [Source] as boxo wants it. Unlike boxo's own it keeps a block under its whole CID: the same hash
// under another codec is another block, and not there. It cannot be written, nor can its keys be listed.
type Blockstore struct{ src Source }

var _ blockstore.Blockstore = Blockstore{}

// NewBlockstore returns src as a blockstore.
func NewBlockstore(src Source) Blockstore { return Blockstore{src} }

// Get returns a block, or an error for which format.IsNotFound holds.
func (b Blockstore) Get(ctx context.Context, c cid.Cid) (blocks.Block, error) {
	data, err := b.src.Block(ctx, c)
	if errors.Is(err, provenance.ErrAbsent) {
		return nil, format.ErrNotFound{Cid: c}
	}
	if err != nil {
		return nil, err
	}
	return blocks.NewBlockWithCid(data, c)
}

// Has says whether there is such a block. It reads the block, so that a damaged one is an error and not there.
func (b Blockstore) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := b.src.Block(ctx, c)
	if errors.Is(err, provenance.ErrAbsent) {
		return false, nil
	}
	return err == nil, err
}

// GetSize returns the length of a block in bytes.
func (b Blockstore) GetSize(ctx context.Context, c cid.Cid) (int, error) {
	block, err := b.Get(ctx, c)
	if err != nil {
		return -1, err // as boxo's own
	}
	return len(block.RawData()), nil
}

// Put refuses: blocks come in with their step.
func (Blockstore) Put(context.Context, blocks.Block) error { return errReadOnly }

// PutMany refuses.
func (Blockstore) PutMany(context.Context, []blocks.Block) error { return errReadOnly }

// DeleteBlock refuses.
func (Blockstore) DeleteBlock(context.Context, cid.Cid) error { return errReadOnly }

// AllKeysChan refuses: a gateway never says what else there is.
func (Blockstore) AllKeysChan(context.Context) (<-chan cid.Cid, error) { return nil, errReadOnly }

// Bounds on a gateway's work.
const (
	maxRequests = 64               // at once; 429 beyond
	maxStall    = 30 * time.Second // without a byte read or written
	maxDuration = 5 * time.Minute  // of one response
	maxPath     = 256              // bytes of a request's path
)

// NewGateway returns the handler of /ipfs/{cid} with format=raw or format=car, or the same by Accept header, as the
// trustless gateway specification describes them. A block that src does not have is 404; a path that is not /ipfs/ and
// one CID is 400; any other format is 406. What goes wrong inside is 500 without details, which go to log; log may be
// nil.
func NewGateway(src Source, log *slog.Logger) (http.Handler, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	// Identity CIDs carry their block in themselves; the specification wants them answered.
	store := blockstore.NewIdStore(NewBlockstore(src))
	blocks, err := gateway.NewBlocksBackend(blockservice.New(store, offline.Exchange(store)))
	if err != nil {
		return nil, fmt.Errorf("make the IPFS gateway: %w", err)
	}
	handler := gateway.NewHandler(gateway.Config{
		DeserializedResponses: false,
		NoDNSLink:             true,
		DisableHTMLErrors:     true,
		DeprecatedXIpfsPath:   true, // the conformance suite of the specification still wants the header
		RetrievalTimeout:      maxStall,
		MaxRequestDuration:    maxDuration,
		MaxConcurrentRequests: maxRequests,
		MetricsRegistry:       prometheus.NewRegistry(), // its own, so that there can be two gateways
	}, backend{blocks, src, log})
	handler = gateway.NewHeaders(nil).WithDeprecatedXIpfsPath().ApplyCors().Wrap(handler)
	return checked(store, log, handler), nil
}

// checked answers what boxo would answer late or not at all: a CAR of an absent root has begun with 200 before boxo
// looks for it, and its errors say more of our inside than strangers need.
func checked(store blockstore.Blockstore, log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		name, ok := strings.CutPrefix(r.URL.Path, "/ipfs/")
		if !ok || len(r.URL.Path) > maxPath {
			http.Error(w, "Ask for /ipfs/{cid}?format=raw or ?format=car.", http.StatusBadRequest)
			return
		}
		c, err := cid.Decode(name)
		if err != nil {
			http.Error(w, "This is not a CID. Ask for /ipfs/{cid}?format=raw or ?format=car.", http.StatusBadRequest)
			return
		}
		switch has, err := store.Has(r.Context(), c); {
		case err != nil:
			log.ErrorContext(r.Context(), "block not read", "cid", c, "err", err)
			http.Error(w, "The block cannot be read. The operator has to look into it.", http.StatusInternalServerError)
		case !has:
			http.Error(w, "There is no block "+c.String()+" here.", http.StatusNotFound)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// A backend is boxo's, except that whole histories are written by provenance.Export: the same bytes, but a run is a
// chain with one link a step, and boxo's traversal takes time with the square of the depth (20,000 steps: a minute)
// and ends at 1,024 links.
type backend struct {
	*gateway.BlocksBackend
	src Source
	log *slog.Logger
}

// GetCAR implements gateway.IPFSBackend.
func (b backend) GetCAR(ctx context.Context, p path.ImmutablePath, params gateway.CarParams) (
	gateway.ContentPathMetadata, io.ReadCloser, error) {
	root := p.RootCid()
	whole := params.Scope == gateway.DagScopeAll && params.Range == nil && !params.Duplicates.Bool()
	if codec := root.Prefix().Codec; !whole || codec != cid.DagCBOR && codec != cid.Raw || root.Prefix().MhType != multihash.SHA2_256 {
		return b.BlocksBackend.GetCAR(ctx, p, params)
	}
	md, err := b.ResolvePath(ctx, p)
	if err != nil {
		return md, nil, err
	}
	r, w := io.Pipe()
	s := &stream{PipeReader: r, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_, err := provenance.Export(w, root, func(c provenance.Link) ([]byte, error) { return b.src.Block(ctx, c) })
		if err != nil && !errors.Is(err, io.ErrClosedPipe) {
			b.log.ErrorContext(ctx, "CAR not complete", "cid", root, "err", err)
			err = errors.New("a block of this history cannot be read")
		}
		w.CloseWithError(err)
	}()
	return md, s, nil
}

// A stream is a CAR file that is being written.
type stream struct {
	*io.PipeReader
	done chan struct{}
}

// Close ends the writing and waits for it.
func (s *stream) Close() error {
	err := s.PipeReader.Close()
	<-s.done
	return err
}
