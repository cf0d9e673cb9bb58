package openapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/tools"
)

// Bounds of a call.
const (
	defaultBytes   = 1 << 20
	defaultTimeout = 20 * time.Second
	maxText        = 64 << 10 // bytes of an answer that are told
	maxTries       = 3        // of what may be repeated
	maxURL         = 8 << 10
)

// An Auth is how calls are authorised. At most one of its ways is set.
type Auth struct {
	Bearer         string // a token
	User, Password string // HTTP basic
	Header, Query  string // where an API key goes: one of them
	Key            string // the API key
	OAuth          *OAuth
}

// OAuth is a client that gets tokens for itself (RFC 6749, section 4.4).
type OAuth struct {
	TokenURL, ID, Secret string
	Scopes               []string
}

// A Config says where calls go. URL is required.
type Config struct {
	Name      string
	URL       string // base address, before the document's paths
	Auth      Auth
	KeyHeader string // header for the idempotency key of class keyed; Idempotency-Key if empty
	MaxBytes  int64  // of an answer that are read; 1 MiB if 0
	Timeout   time.Duration
	Gate      reach.Gate
}

// A Client calls one HTTP interface. It is safe for concurrent use.
type Client struct {
	cfg  Config
	base *url.URL
	http *http.Client
	// tokens are those of OAuth; nil if there is none.
	tokens oauth2.TokenSource
}

// NewClient returns a client, or an error that names what is wrong with the config.
func NewClient(c Config) (*Client, error) {
	base, err := checkAddress(c.URL, c.Gate.Private)
	if err != nil {
		return nil, fmt.Errorf("the url %w", err)
	}
	c.MaxBytes, c.Timeout = cmp.Or(c.MaxBytes, defaultBytes), cmp.Or(c.Timeout, defaultTimeout)
	c.KeyHeader = cmp.Or(c.KeyHeader, "Idempotency-Key")
	client := &Client{cfg: c, base: base, http: &http.Client{
		Transport: c.Gate.Transport(),
		// A redirect could lead the credentials, and the arguments, to somebody else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if o := c.Auth.OAuth; o != nil {
		if _, err := checkAddress(o.TokenURL, c.Gate.Private); err != nil {
			return nil, fmt.Errorf("the token_url %w", err)
		}
		// Tokens are asked for with the same bounds as calls.
		asking := &http.Client{
			Transport: client.http.Transport, CheckRedirect: client.http.CheckRedirect, Timeout: c.Timeout,
		}
		ctx := context.WithValue(context.Background(), oauth2.HTTPClient, asking)
		config := clientcredentials.Config{ClientID: o.ID, ClientSecret: o.Secret, TokenURL: o.TokenURL, Scopes: o.Scopes}
		client.tokens = config.TokenSource(ctx)
	}
	return client, nil
}

func checkAddress(raw string, private bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.RawQuery != "" ||
		u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("is not an http or https address without password, query and fragment")
	case u.Scheme == "http" && !private:
		return nil, errors.New("must be https; set private for one on your own network")
	}
	return u, nil
}

// Close ends idle connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

func (c *Client) errorf(code, format string, args ...any) *tools.Error {
	said := fmt.Sprintf(format, args...)
	return &tools.Error{Code: code, Message: fmt.Sprintf("The interface %s: %s.", c.cfg.Name, said)}
}

// failure is an error of a call that may have reached the other side.
func (c *Client) failure(t *Tool, code, format string, args ...any) error {
	e := c.errorf(code, format, args...)
	if t.spec.Class == tools.Read {
		return e
	}
	return errors.New(e.Message)
}

// call makes a call. What is refused now says nothing about an earlier try with the same key, in this process or in one
// before it: whoever is not let in any more may have been let in then.
func (c *Client) call(ctx context.Context, t *Tool, in tools.Input) ([]byte, error) {
	out, tries, err := c.callUntilAnswered(ctx, t, in)
	e, certain := errors.AsType[*tools.Error](err)
	if certain && t.spec.Class == tools.Keyed && (in.Again || tries > 1) {
		return nil, errors.New(e.Message)
	}
	return out, err
}

// callUntilAnswered makes a call, again if it may be. It returns with which try it ended.
func (c *Client) callUntilAnswered(ctx context.Context, t *Tool, in tools.Input) (out []byte, n int, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	if host := strings.ToLower(c.base.Hostname()); len(in.Hosts) > 0 && !slices.Contains(in.Hosts, host) {
		return nil, 0, c.errorf("host_not_allowed", "its host %s is not one that the wallet's grant names", host)
	}
	tries := 1
	if t.spec.Class == tools.Read || t.spec.Class == tools.Keyed {
		tries = maxTries
	}
	for n = 1; ; n++ {
		req, err := c.request(ctx, t, in)
		if err != nil {
			return nil, n, err
		}
		res, err := c.http.Do(req)
		again := n < tries && ctx.Err() == nil
		switch {
		case errors.Is(err, reach.ErrPrivate):
			return nil, n, c.errorf("address_not_allowed", "its host leads into a private network; "+
				"the operator sets private for that")
		case err != nil && !again:
			return nil, n, c.describeBroken(ctx, t)
		case err == nil && !(again && isPassing(res.StatusCode)):
			defer res.Body.Close()
			out, err = c.read(t, res)
			return out, n, err
		case err == nil:
			res.Body.Close()
		}
		select {
		case <-time.After(time.Duration(n) * 200 * time.Millisecond):
		case <-ctx.Done():
			return nil, n, c.describeBroken(ctx, t)
		}
	}
}

func (c *Client) describeBroken(ctx context.Context, t *Tool) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return c.failure(t, "timeout", "it did not answer within %s", c.cfg.Timeout)
	}
	return c.failure(t, "unreachable", "it cannot be reached, or its answer broke off")
}

// isPassing says whether a status may be another one in a moment.
func isPassing(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable ||
		status == http.StatusGatewayTimeout
}

// A placed is the arguments of a call in the parts of its request.
type placed struct {
	path    string
	query   url.Values
	header  http.Header
	members map[string]json.RawMessage // of the body
	body    []byte
}

// request makes the request of a call. Its errors say for certain that nothing was done.
func (c *Client) request(ctx context.Context, t *Tool, in tools.Input) (*http.Request, error) {
	var args map[string]json.RawMessage
	if err := json.Unmarshal(in.Args.JSON, &args); err != nil {
		return nil, c.errorf("bad_argument", "the arguments cannot be read")
	}
	at := placed{t.op.Path, url.Values{}, http.Header{}, map[string]json.RawMessage{}, nil}
	for _, p := range t.places {
		raw, ok := args[p.arg]
		if !ok {
			continue
		}
		if err := at.put(p, raw); err != nil {
			return nil, c.errorf("bad_argument", "the argument %q %v", p.arg, err)
		}
	}
	if strings.ContainsAny(at.path, "{}") {
		return nil, c.errorf("bad_argument", "an argument of its path is missing")
	}
	if len(at.members) > 0 || at.body == nil && t.takesMembers() {
		var err error
		if at.body, err = json.Marshal(at.members); err != nil {
			return nil, c.errorf("bad_argument", "the arguments cannot be written")
		}
	}
	req, err := c.address(ctx, t, at)
	if err != nil {
		return nil, err
	}
	if t.spec.Class == tools.Keyed {
		req.Header.Set(c.cfg.KeyHeader, hex.EncodeToString(in.Key[:]))
	}
	return req, c.authorise(req)
}

// put places one argument.
func (at *placed) put(p place, raw json.RawMessage) error {
	switch p.in {
	case "path":
		segment, err := pathSegment(raw)
		if err != nil {
			return err
		}
		at.path = strings.ReplaceAll(at.path, "{"+p.name+"}", segment)
	case "query":
		for _, v := range textsOf(raw) {
			at.query.Add(p.name, v)
		}
	case "header":
		v := strings.Join(textsOf(raw), ",")
		if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return errors.New("has control characters")
		}
		at.header.Set(p.name, v)
	case "body":
		at.body = raw
	default:
		at.members[p.name] = raw
	}
	return nil
}

func (t *Tool) takesMembers() bool {
	return slices.ContainsFunc(t.places, func(p place) bool { return p.in == "member" })
}

// address puts a request together.
func (c *Client) address(ctx context.Context, t *Tool, at placed) (*http.Request, error) {
	if c.cfg.Auth.Query != "" {
		at.query.Set(c.cfg.Auth.Query, c.cfg.Auth.Key)
	}
	address := strings.TrimSuffix(c.base.String(), "/") + at.path
	if q := at.query.Encode(); q != "" {
		address += "?" + q
	}
	if len(address) > maxURL {
		return nil, c.errorf("bad_argument", "the arguments make an address of more than %d bytes", maxURL)
	}
	var reader io.Reader
	if at.body != nil {
		reader = bytes.NewReader(at.body)
	}
	req, err := http.NewRequestWithContext(ctx, t.op.Method, address, reader)
	if err != nil || req.URL.Host != c.base.Host || req.URL.Scheme != c.base.Scheme {
		return nil, c.errorf("bad_argument", "the arguments make no address of it")
	}
	req.Header = at.header
	req.Header.Set("User-Agent", "writ")
	req.Header.Set("Accept", "application/json, text/plain;q=0.5")
	if at.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// authorise adds what the operator's settings say.
func (c *Client) authorise(req *http.Request) error {
	switch a := c.cfg.Auth; {
	case a.Bearer != "":
		req.Header.Set("Authorization", "Bearer "+a.Bearer)
	case a.User != "":
		req.SetBasicAuth(a.User, a.Password)
	case a.Header != "":
		req.Header.Set(a.Header, a.Key)
	case c.tokens != nil:
		token, err := c.tokens.Token()
		if err != nil { // whose text may hold what the other side said
			return c.errorf("unauthorised", "no access token can be had; the operator looks at its OAuth client")
		}
		req.Header.Set("Authorization", "Bearer "+token.AccessToken)
	}
	return nil
}

// pathSegment returns a value as one segment of a path, which it cannot leave.
func pathSegment(raw json.RawMessage) (string, error) {
	values := textsOf(raw)
	v := strings.Join(values, ",")
	if v == "" || v == "." || v == ".." {
		return "", errors.New("stands in a path, where it can be neither empty nor a dot or two")
	}
	return url.PathEscape(v), nil
}

// textsOf returns the texts of a value: of a list those of its elements, of an object its JSON.
func textsOf(raw json.RawMessage) []string {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && len(raw) > 0 && raw[0] == '[' {
		var out []string
		for _, e := range list {
			out = append(out, textOf(e))
		}
		return out
	}
	return []string{textOf(raw)}
}

func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// An answer is what a model reads of a response.
type answer struct {
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body,omitempty"` // if it is JSON
	Text   string          `json:"text,omitempty"` // if it is not
	Type   string          `json:"type,omitempty"` // of what is neither
	Bytes  int             `json:"bytes,omitempty"`
	Cut    bool            `json:"cut,omitempty"` // there was more
}

// read makes the answer of a response. A status of 400 and more is an error; whether something was done is certain of
// what the other side refused.
func (c *Client) read(t *Tool, res *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(res.Body, c.cfg.MaxBytes+1))
	if err != nil {
		return nil, c.failure(t, "unreachable", "its answer broke off")
	}
	out := answer{Status: res.StatusCode}
	if int64(len(body)) > c.cfg.MaxBytes {
		body, out.Cut = body[:c.cfg.MaxBytes], true
	}
	c.fill(&out, t, res.Header.Get("Content-Type"), body)
	switch code := res.StatusCode; {
	case code >= 300 && code < 400:
		return nil, c.failure(t, "redirected", "it leads to another address, which is not followed")
	case code >= 400:
		said := cleanText(cmp.Or(out.Text, string(out.Body)), 500)
		sentence := fmt.Sprintf("it answers %d %s: %s", code, http.StatusText(code), said)
		if code < 500 && !slices.Contains([]int{408, 409, 425, 429}, code) {
			return nil, c.errorf("refused", "%s", sentence)
		}
		return nil, c.failure(t, "failed", "%s", sentence)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return tools.CanonicalJSON(b)
}

// fill puts the body into an answer.
func (c *Client) fill(out *answer, t *Tool, contentType string, body []byte) {
	media, _, _ := mime.ParseMediaType(contentType)
	isJSON := media == "application/json" || strings.HasSuffix(media, "+json")
	if isJSON && !out.Cut {
		if raw, err := tools.CanonicalJSON(body); err == nil {
			if len(t.fields) > 0 && out.Status < 300 {
				raw = project(raw, t.fields)
			}
			if len(raw) <= maxText {
				out.Body = raw
				return
			}
			out.Text, out.Cut = cleanText(string(raw), maxText), true
			return
		}
	}
	if !isJSON && !strings.HasPrefix(media, "text/") && len(body) > 0 || !utf8.Valid(body) && !out.Cut {
		out.Type, out.Bytes = cleanText(media, 100), len(body)
		return
	}
	if len(t.fields) > 0 && out.Status < 300 && len(body) > 0 { // nothing that was not chosen is told
		out.Type, out.Bytes = cleanText(media, 100), len(body)
		return
	}
	out.Cut = out.Cut || len(body) > maxText
	out.Text = cleanText(string(body), maxText)
}

func cleanText(s string, n int) string {
	if len(s) > 2*n {
		s = s[:2*n]
	}
	return wording.Clip(wording.Visible(strings.ToValidUTF8(s, "\uFFFD")), n)
}

// project keeps the members at some paths. A path goes through lists.
func project(raw []byte, fields []string) []byte {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return []byte("null")
	}
	var paths [][]string
	for _, f := range fields {
		paths = append(paths, strings.Split(f, "."))
	}
	out, err := json.Marshal(keep(v, paths))
	if err != nil {
		return []byte("null")
	}
	return out
}

func keep(v any, paths [][]string) any {
	switch x := v.(type) {
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = keep(x[i], paths)
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for name, inner := range x {
			var rest [][]string
			for _, p := range paths {
				switch {
				case p[0] == name && len(p) == 1:
					rest = nil
					out[name] = inner
				case p[0] == name:
					rest = append(rest, p[1:])
				}
			}
			if _, whole := out[name]; !whole && len(rest) > 0 {
				out[name] = keep(inner, rest)
			}
		}
		return out
	}
	return nil // a path leads on where nothing is
}
