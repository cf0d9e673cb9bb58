package vectors

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// A Place is where an index is kept, and as what.
type Place struct {
	URL        string // base URL, without a user and a password
	Key        string // password, API key or token; empty for none
	Collection string // letters, digits and '_', beginning with a letter; what the table, class or index is called
	Dimensions int    // of its vectors
}

// Bounds of a call to an index.
const (
	callTime  = 20 * time.Second
	maxAnswer = 8 << 20
	maxName   = 60
)

var collectionName = regexp.MustCompile(fmt.Sprintf(`^[a-zA-Z][a-zA-Z0-9_]{0,%d}$`, maxName-1))

// check says what is wrong with a place.
func (p Place) check(schemes ...string) error {
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" {
		return fmt.Errorf("its URL is not an address such as %s://127.0.0.1", schemes[0])
	}
	known := false
	for _, s := range schemes {
		known = known || u.Scheme == s
	}
	switch {
	case !known:
		return fmt.Errorf("its URL begins with %s://", strings.Join(schemes, ":// or "))
	case hasPassword(u):
		return errors.New("its URL has a password; give it as the key, a secret of its own")
	case p.Dimensions < 1 || p.Dimensions > MaxDimensions:
		return fmt.Errorf("vectors have 1 to %d dimensions, not %d", MaxDimensions, p.Dimensions)
	case !collectionName.MatchString(p.Collection):
		return fmt.Errorf("%q is no name of a collection: letters, digits and '_', at most %d", p.Collection, maxName)
	}
	return nil
}

func hasPassword(u *url.URL) bool { _, there := u.User.Password(); return there }

// A caller makes calls of a database's HTTP interface.
type caller struct {
	base   string
	header http.Header
	client *http.Client
}

func newCaller(base string, header http.Header) *caller {
	return &caller{
		base: strings.TrimSuffix(base, "/"), header: header,
		client: &http.Client{
			Timeout:       callTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it redirects") },
		},
	}
}

// call sends in as JSON, and reads the answer into out unless it is nil. A status beyond 299 is ErrRefused.
func (c *caller) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return ErrSilent // the error names its address
	}
	for k, v := range c.header {
		req.Header[k] = v
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return silence(ctx)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return silence(ctx)
	case resp.StatusCode > 299:
		return fmt.Errorf("%w: status %d", ErrRefused, resp.StatusCode)
	case len(data) > maxAnswer:
		return fmt.Errorf("%w: its answer is larger than %d bytes", ErrRefused, maxAnswer)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%w: its answer is not what its interface says", ErrRefused)
	}
	return nil
}

// silence tells a caller that gave up from a database that did not answer.
func silence(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return ErrSilent
}

// uuidOf makes the name of a point for databases that take UUIDs only: of version 8, from the hash of its CID.
func uuidOf(cid string) string {
	b := sha256.Sum256([]byte(cid))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func uuidsOf(cids []string) []string {
	out := make([]string, len(cids))
	for i, id := range cids {
		out[i] = uuidOf(id)
	}
	return out
}
