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
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-run/writ/provenance"
)

// Bounds on a gateway's work.
const (
	maxRequests = 64               // at once; 429 beyond
	maxStall    = 30 * time.Second // without a byte read or written
	maxDuration = 5 * time.Minute  // of one response
	maxPath     = 1024             // bytes of a request's path
)

// NewGateway returns the handler of /ipfs/{cid} and of paths below one, with format=raw or format=car, or the same by
// Accept header, as the trustless gateway specification describes them: with dag-scope, entity-bytes, order and dups.
// A block that src does not have is 404, a path that does not begin with /ipfs/ and a CID 400, any other format 406.
// What goes wrong inside is 500 without details, which go to log; log may be nil.
func NewGateway(src Source, log *slog.Logger) (http.Handler, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	src = quiet{src, log}
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
	headers := gateway.NewHeaders(nil).WithDeprecatedXIpfsPath().ApplyCors() // of refusals too, or no page could read them
	return headers.Wrap(refuseEarly(store, handler)), nil
}

// errUnreadable is all that strangers hear of a block that is there and cannot be read.
var errUnreadable = errors.New("the block cannot be read; ask the operator to look into it, or another gateway for it")

// A quiet source tells the log what goes wrong inside, and the asker only that something did.
type quiet struct {
	src Source
	log *slog.Logger
}

// Block implements Source.
func (q quiet) Block(ctx context.Context, c provenance.Link) ([]byte, error) {
	data, err := q.src.Block(ctx, c)
	if err == nil || isAbsent(err) || ctx.Err() != nil {
		return data, err
	}
	q.log.ErrorContext(ctx, "block not read", "cid", c, "err", err)
	return nil, errUnreadable
}

// refuseEarly answers what boxo would answer late or with another status: a CAR of an absent root has begun with 200
// before boxo looks for it, and a path that is none is an error of ours to boxo.
func refuseEarly(store blockstore.Blockstore, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		const want = "Ask for /ipfs/{cid}?format=raw or ?format=car."
		rest, ok := strings.CutPrefix(r.URL.Path, "/ipfs/")
		if !ok || len(r.URL.Path) > maxPath {
			http.Error(w, want, http.StatusBadRequest)
			return
		}
		name, _, _ := strings.Cut(rest, "/")
		c, err := cid.Decode(name)
		if err != nil {
			http.Error(w, "This is not a CID. "+want, http.StatusBadRequest)
			return
		}
		if _, err := path.NewPath(r.URL.Path); err != nil || strings.ContainsRune(rest, 0) {
			http.Error(w, "This is not a path below a CID. "+want, http.StatusBadRequest)
			return
		}
		format := r.URL.Query().Get("format")
		byHeader := strings.Contains(strings.Join(r.Header.Values("Accept"), ","), "application/vnd.ip")
		switch has, err := store.Has(r.Context(), c); {
		case err != nil:
			http.Error(w, errUnreadable.Error(), http.StatusInternalServerError)
		case !has: // one that is for nobody is not told from one that never was
			http.Error(w, "There is no block "+c.String()+" here that anybody may fetch; check the CID, or ask another "+
				"gateway for it.", http.StatusNotFound)
		case format == "raw" && strings.Trim(rest, "/") != name:
			http.Error(w, "Nobody could check a single block by a path; ask for the path with ?format=car.",
				http.StatusNotAcceptable)
		case format != "raw" && format != "car" && !byHeader:
			http.Error(w, "Records are handed out here as blocks that can be checked, and not as pages. "+want,
				http.StatusNotAcceptable)
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
	whole := len(p.Segments()) == 2 && params.Scope == gateway.DagScopeAll && params.Range == nil &&
		!params.Duplicates.Bool()
	if codec := root.Prefix().Codec; !whole || codec != cid.DagCBOR && codec != cid.Raw ||
		root.Prefix().MhType != multihash.SHA2_256 {
		return b.BlocksBackend.GetCAR(ctx, p, params)
	}
	md, err := b.ResolvePath(ctx, p) // that of a bare CID: nothing is read
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
