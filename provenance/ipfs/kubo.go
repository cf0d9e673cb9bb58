package ipfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/writ-run/writ/provenance"
)

// A Kubo is the RPC of a Kubo node, as far as pushing needs it. Its methods may be called by many goroutines at once.
type Kubo struct {
	api    string // URL without a slash at the end
	auth   string // the Authorization header; empty for none
	client *http.Client
}

// kuboAnswer bounds what is read of an answer.
const kuboAnswer = 1 << 20

// NewKubo returns the Kubo whose RPC is at api, for instance http://127.0.0.1:5001. auth is sent as the Authorization
// header if it is not empty ("Bearer ..." of Kubo's API.Authorizations). Nothing is asked yet.
func NewKubo(api, auth string) (*Kubo, error) {
	u, err := url.Parse(api)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("not the URL of a Kubo RPC; write for instance http://127.0.0.1:5001")
	}
	client := &http.Client{ // what is private to the owner's node goes to no other host
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Kubo{api: strings.TrimRight(api, "/"), auth: auth, client: client}, nil
}

// callCommand posts to a command of the RPC and gives its answer, of at most 1 MiB, to read.
func (k *Kubo) callCommand(ctx context.Context, command string, args url.Values, body io.Reader, kind string,
	read func(io.Reader) error) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, k.api+"/api/v0/"+command+"?"+args.Encode(), body)
	if err != nil {
		return fmt.Errorf("Kubo %s: %w", command, err)
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	if k.auth != "" {
		r.Header.Set("Authorization", k.auth)
	}
	a, err := k.client.Do(r)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // without the URL
		}
		return fmt.Errorf("Kubo %s: %w", command, err)
	}
	defer a.Body.Close()
	answer := io.LimitReader(a.Body, kuboAnswer)
	if a.StatusCode != http.StatusOK {
		var e struct{ Message string }
		_ = json.NewDecoder(answer).Decode(&e)
		if strings.Contains(e.Message, "not pinned") {
			return errNotPinned
		}
		if len(e.Message) > 200 {
			e.Message = e.Message[:200]
		}
		return fmt.Errorf("Kubo %s: status %d %q", command, a.StatusCode, e.Message)
	}
	if err := read(answer); err != nil {
		return fmt.Errorf("Kubo %s: %w", command, err)
	}
	return nil
}

var errNotPinned = errors.New("Kubo: not pinned")

// Version returns the node's version.
func (k *Kubo) Version(ctx context.Context) (string, error) {
	var v struct{ Version string }
	err := k.callCommand(ctx, "version", nil, nil, "", func(r io.Reader) error { return json.NewDecoder(r).Decode(&v) })
	return v.Version, err
}

// Import stores the CAR file that car writes and pins its root, which must be root, with everything below it.
func (k *Kubo) Import(ctx context.Context, root provenance.Link, car func(io.Writer) error) error {
	r, w := io.Pipe()
	form := multipart.NewWriter(w)
	written := make(chan struct{})
	go func() {
		defer close(written)
		part, err := form.CreateFormFile("file", root.String()+".car")
		if err == nil {
			err = car(part)
		}
		if err == nil {
			err = form.Close()
		}
		w.CloseWithError(err)
	}()
	pinned := false
	err := k.callCommand(ctx, "dag/import", url.Values{"pin-roots": {"true"}}, r, form.FormDataContentType(),
		func(answer io.Reader) error {
			for lines := json.NewDecoder(answer); ; {
				var line struct {
					Root *struct {
						Cid struct {
							CID string `json:"/"`
						}
						PinErrorMsg string
					}
				}
				if err := lines.Decode(&line); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if line.Root == nil {
					continue
				}
				if got, err := cid.Decode(line.Root.Cid.CID); err != nil || got != root {
					return fmt.Errorf("it says that it imported %q", line.Root.Cid.CID)
				}
				if line.Root.PinErrorMsg != "" {
					return errors.New("it could not pin the root")
				}
				pinned = true
			}
		})
	r.CloseWithError(errors.New("the request is over"))
	<-written
	if err == nil && !pinned {
		err = errors.New("Kubo dag/import: it says nothing of the root")
	}
	return err
}

// Pinned says whether the node keeps root and everything below it.
func (k *Kubo) Pinned(ctx context.Context, root provenance.Link) (bool, error) {
	var list struct {
		Keys map[string]struct{ Type string }
	}
	err := k.callCommand(ctx, "pin/ls", url.Values{"arg": {root.String()}, "type": {"recursive"}}, nil, "",
		func(r io.Reader) error { return json.NewDecoder(r).Decode(&list) })
	if errors.Is(err, errNotPinned) {
		return false, nil
	}
	return len(list.Keys) > 0, err
}

// Unpin lets the node forget what only root keeps. It is no error if it kept nothing.
func (k *Kubo) Unpin(ctx context.Context, root provenance.Link) error {
	err := k.callCommand(ctx, "pin/rm", url.Values{"arg": {root.String()}}, nil, "",
		func(io.Reader) error { return nil })
	if errors.Is(err, errNotPinned) {
		return nil
	}
	return err
}

// A Push is a run whose newest head is not at the Kubo node yet.
type Push struct {
	Run  provenance.Link
	Head provenance.Link // the newest
	Old  provenance.Link // the one that is there; undefined if none is
}

// A Queue knows what is to be pushed. It is made from the journal, so that nothing is lost however long a node is away.
type Queue interface {
	// Unpushed returns at most limit runs whose newest head was not noted by NotePushed, oldest run first.
	Unpushed(ctx context.Context, limit int) ([]Push, error)
	// NotePushed notes that a head of a run is at the node.
	NotePushed(ctx context.Context, run, head provenance.Link) error
}

// Times of a [Pusher].
const (
	pushPoll    = 5 * time.Second // between looks at the queue
	pushWait    = time.Second     // after a failure, then twice as long each time
	pushMaxWait = 5 * time.Minute
	pushTimeout = 5 * time.Minute // of one run
	pushBatch   = 32
)

// Push brings heads with their histories to k as they come, until ctx ends. While k is away it tries again after one
// second, two, four, up to five minutes, and the queue keeps. down is told when k stops and starts to answer: with the
// error, and with nil. A head that is replaced by a newer one of its run is unpinned.
func (k *Kubo) Push(ctx context.Context, q Queue, src Source, down func(error)) {
	wait, away := pushWait, false
	for ctx.Err() == nil {
		n, err := k.pushSome(ctx, q, src)
		pause := pushPoll
		switch {
		case err != nil && ctx.Err() == nil:
			if !away {
				down(err)
			}
			away, pause = true, wait
			wait = min(2*wait, pushMaxWait)
		case err == nil && away:
			down(nil)
			away, wait = false, pushWait
		}
		if err == nil && n == pushBatch {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// pushSome pushes what is first in the queue and returns how much that was.
func (k *Kubo) pushSome(ctx context.Context, q Queue, src Source) (int, error) {
	todo, err := q.Unpushed(ctx, pushBatch)
	if err != nil {
		return 0, err
	}
	for _, p := range todo {
		if err := k.pushOne(ctx, q, src, p); err != nil {
			return 0, fmt.Errorf("push run %s: %w", p.Run, err)
		}
	}
	return len(todo), nil
}

func (k *Kubo) pushOne(ctx context.Context, q Queue, src Source, p Push) error {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	err := k.Import(ctx, p.Head, func(w io.Writer) error {
		_, err := provenance.Export(w, p.Head, func(c provenance.Link) ([]byte, error) { return src.Block(ctx, c) })
		return err
	})
	if err != nil {
		return err
	}
	// What the node says of an import is its intention; what it lists is a fact.
	if ok, err := k.Pinned(ctx, p.Head); err != nil {
		return err
	} else if !ok {
		return errors.New("Kubo has imported the root and does not list its pin")
	}
	if err := q.NotePushed(ctx, p.Run, p.Head); err != nil {
		return err
	}
	if p.Old.Defined() {
		// A pin too many harms nobody, so this is not tried again.
		_ = k.Unpin(ctx, p.Old)
	}
	return nil
}
