package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/internal/verifier"
	"github.com/writ-run/writ/provenance"
	"github.com/writ-run/writ/provenance/translog/reader"
)

// Bounds on fetching from gateways, which are not trusted.
const (
	maxFetched   = 400_000 // blocks, and as many links that wait
	maxFetchSize = 4 << 30 // bytes
	maxTries     = 60      // of one block, while a gateway says that it was asked too much
	maxWait      = 60      // seconds before the next, at most
	fetchers     = 16      // requests at once
	fetchTime    = 30 * time.Second
)

// gateways is the flag --gateway, which may be given more than once.
type gateways []string

func (g *gateways) String() string { return strings.Join(*g, " ") }

func (g *gateways) Set(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q is not the address of a gateway, such as https://ipfs.example.com", s)
	}
	*g = append(*g, strings.TrimSuffix(strings.TrimSuffix(s, "/"), "/ipfs"))
	return nil
}

// A fetch collects the blocks that a root leads to in a CAR file. Every worker takes a link, gets the block from the
// file at hand or a gateway, hashes it, writes it and adds its links; records go first, since more hangs on them. So
// the leaves come in parallel with the chain, and where there is an index of the steps, all of them do.
type fetch struct {
	gateways []string
	have     *provenance.CAR // may be nil
	client   *http.Client

	mu      sync.Mutex // guards what follows
	more    *sync.Cond
	records []provenance.Link // to be fetched, last first
	leaves  []provenance.Link
	seen    map[provenance.Link]struct{}
	busy    int // workers that may add links
	out     *bufio.Writer
	size    int64
	err     error
}

// fetchCAR collects what root leads to in w. Leaves that nobody has are left out; so is a record, which then is what
// the verifier will miss.
func fetchCAR(ctx context.Context, w io.Writer, root provenance.Link, have *provenance.CAR, gateways []string) error {
	f := &fetch{
		gateways: gateways, have: have, client: gatewayClient(), seen: map[provenance.Link]struct{}{},
		out: bufio.NewWriterSize(w, 64<<10),
	}
	f.more = sync.NewCond(&f.mu)
	f.out.WriteString(provenance.CARHeader(root))
	f.addLinks([]provenance.Link{root})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(ctx, func() { f.failWith(ctx.Err()) })()
	var wg sync.WaitGroup
	for range fetchers {
		wg.Go(func() { f.fetchLinks(ctx) })
	}
	wg.Wait()
	if f.err != nil {
		return f.err
	}
	if err := f.out.Flush(); err != nil {
		return fmt.Errorf("write what was fetched: %w", err)
	}
	return nil
}

func (f *fetch) failWith(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
	f.more.Broadcast()
}

// addLinks takes in links; f.mu is held, or nobody works yet.
func (f *fetch) addLinks(links []provenance.Link) {
	for _, l := range links {
		if _, again := f.seen[l]; again {
			continue
		}
		if len(f.seen) == maxFetched {
			f.err = fmt.Errorf("more than %d blocks; fetch a CAR file in another way", maxFetched)
			return
		}
		f.seen[l] = struct{}{}
		if l.Prefix().Codec == cid.Raw {
			f.leaves = append(f.leaves, l)
		} else {
			f.records = append(f.records, l)
		}
	}
}

// takeLink waits for a link, and returns false when there will be none.
func (f *fetch) takeLink() (l provenance.Link, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.err == nil {
		for _, list := range []*[]provenance.Link{&f.records, &f.leaves} {
			if n := len(*list); n > 0 {
				l, *list = (*list)[n-1], (*list)[:n-1]
				f.busy++
				return l, true
			}
		}
		if f.busy == 0 {
			break
		}
		f.more.Wait()
	}
	f.more.Broadcast()
	return l, false
}

func (f *fetch) fetchLinks(ctx context.Context) {
	for {
		l, ok := f.takeLink()
		if !ok {
			return
		}
		data, err := f.getBlock(ctx, l)
		var links []provenance.Link
		absent := errors.Is(err, provenance.ErrAbsent)
		if err == nil && l.Prefix().Codec != cid.Raw {
			if links, err = provenance.BlockLinks(data); err != nil {
				err = nil // the verifier says so, with its code
			}
		}
		f.mu.Lock()
		f.busy--
		switch {
		case err != nil && !absent:
			if f.err == nil {
				f.err = err
			}
		case !absent:
			f.writeSection(l, data)
			f.addLinks(links)
		}
		f.more.Broadcast()
		f.mu.Unlock()
	}
}

// writeSection writes a section; f.mu is held.
func (f *fetch) writeSection(l provenance.Link, data []byte) {
	b := l.Bytes()
	if f.size += int64(len(b) + len(data)); f.size > maxFetchSize {
		f.err = fmt.Errorf("more than %d bytes; fetch a CAR file in another way", int64(maxFetchSize))
		return
	}
	f.out.Write(binary.AppendUvarint(nil, uint64(len(b)+len(data))))
	f.out.Write(b)
	if _, err := f.out.Write(data); err != nil && f.err == nil {
		f.err = fmt.Errorf("write what was fetched: %w", err)
	}
}

func gatewayClient() *http.Client {
	return &http.Client{Timeout: fetchTime, CheckRedirect: reader.StayThere}
}

// newFetch returns a fetch of single blocks.
func newFetch(gateways []string) *fetch {
	return &fetch{gateways: gateways, client: gatewayClient()}
}

// getBlock returns a block whose hash is right. The error is provenance.ErrAbsent if every gateway says that it has
// none.
func (f *fetch) getBlock(ctx context.Context, l provenance.Link) ([]byte, error) {
	if f.have != nil {
		if data, err := f.have.Get(l); !errors.Is(err, provenance.ErrAbsent) {
			return data, err
		}
	}
	var errs []error
	for _, g := range f.gateways {
		data, err := f.askGateway(ctx, g, l)
		if err == nil {
			return data, nil
		}
		if !errors.Is(err, provenance.ErrAbsent) {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, verifier.Unreachable(errors.Join(errs...))
	}
	return nil, fmt.Errorf("block %s: %w", l, provenance.ErrAbsent)
}

// askGateway asks one gateway for one block, as the trustless gateway specification has it.
func (f *fetch) askGateway(ctx context.Context, gateway string, l provenance.Link) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, gateway+"/ipfs/"+l.String()+"?format=raw", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/vnd.ipld.raw")
	resp, err := f.client.Do(req)
	for tries := 0; err == nil && resp.StatusCode == http.StatusTooManyRequests && tries < maxTries; tries++ {
		wait, bad := strconv.Atoi(resp.Header.Get("Retry-After"))
		resp.Body.Close()
		if bad != nil || wait < 1 || wait > maxWait {
			wait = 1
		}
		select {
		case <-time.After(time.Duration(wait) * time.Second):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		resp, err = f.client.Do(req)
	}
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return nil, provenance.ErrAbsent
	default:
		return nil, fmt.Errorf("gateway %s: %s for block %s", gateway, resp.Status, l)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, provenance.MaxBlock+1))
	if err != nil {
		return nil, fmt.Errorf("gateway %s: block %s: %w", gateway, l, err)
	}
	if len(data) > provenance.MaxBlock || provenance.Sum(l.Prefix().Codec, data) != l {
		return nil, fmt.Errorf("gateway %s answers with other bytes than block %s", gateway, l)
	}
	return data, nil
}

// openAny opens a CAR file; or, with gateways, the history that a CID names, or what a file that lacks blocks leads to.
// The second result is to be closed.
func (c *command) openAny(what string) (*provenance.CAR, io.Closer, error) {
	if len(c.gateways) == 0 {
		return openCAR(what)
	}
	var have *provenance.CAR
	root, err := cid.Decode(what)
	if err != nil {
		car, file, err := openCAR(what)
		if err != nil {
			return nil, nil, err
		}
		defer file.Close()
		have, root = car, car.Root()
	} else if !provenance.IsLink(root) || root.Prefix().Codec != cid.DagCBOR {
		return nil, nil, usage("%s is not the CID of a head: CIDv1, dag-cbor, sha2-256", what)
	}
	f, err := os.CreateTemp("", "writ-audit-*.car")
	if err != nil {
		return nil, nil, fmt.Errorf("a place for what is fetched: %w", err)
	}
	t := tempFile{f}
	if err := fetchCAR(c.ctx, f, root, have, c.gateways); err != nil {
		t.Close()
		return nil, nil, err
	}
	size, err := f.Seek(0, io.SeekCurrent)
	if err == nil {
		var car *provenance.CAR
		if car, err = provenance.OpenCAR(f, size); err == nil {
			return car, t, nil
		}
	}
	t.Close()
	if fault, ok := errors.AsType[*provenance.Fault](err); ok && fault.Code == provenance.CodeCARRootMissing {
		err = &provenance.Fault{Code: provenance.CodeLinksMissing, At: root, Detail: "no gateway has the head"}
	}
	return nil, nil, err
}

// A tempFile is gone when it is closed.
type tempFile struct{ *os.File }

func (t tempFile) Close() error { return errors.Join(t.File.Close(), os.Remove(t.Name())) }
