// Package fetch is a tool that reads a page of the web.
//
// [New] makes "web.fetch" of a list of hosts. A call reaches those hosts alone, and of them only those that the
// wallet's grant names if it names any; redirects are checked in the same way before they are followed. A host's
// addresses are looked up once, each must be a public one, and the connection goes to the address that was checked, so
// that a name cannot mean one thing to the check and another to the connection. There is no proxy, no cookie, no
// stored credential, and nothing but GET.
//
// What comes back is text: of HTML the words without markup, scripts and hidden parts. Its label is untrusted, with
// the hosts that it came from; see docs/labels.md.
package fetch

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/internal/wording"
	"github.com/writ-run/writ/policies/label"
	"github.com/writ-run/writ/tools"
)

// Name is what the tool is called.
const Name = "web.fetch"

// Bounds of one call.
const (
	maxRedirects = 5
	maxHeader    = 64 << 10 // bytes of the response's header
	defaultBytes = 1 << 20  // of the body
	defaultText  = 32 << 10 // of what is returned
	maxTitle     = 300      // of a title
	maxType      = 100      // of a media type, as a model reads it
	maxURL       = 2000     // of an address, as a model reads it
	defaultTime  = 15 * time.Second
)

// Config says what the tool may reach.
type Config struct {
	// Hosts are the exact names that may be reached, lower case and without port; at least one. There are no patterns.
	Hosts []string
	// Private lets names lead to addresses of private and local networks, and lets http and any port be used. It is for
	// tests and for an operator's own services; without it only https on port 443 and public addresses are reached.
	Private bool

	MaxBytes int64         // of a body; 1 MiB if 0
	MaxText  int           // bytes of text that are returned; 32 KiB if 0
	Timeout  time.Duration // of a call with its redirects; 15 s if 0

	// Lookup finds a host's addresses. The system's resolver if nil.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// TLS says by which certificates a host is known. The system's if nil.
	TLS *tls.Config
}

// A Tool is web.fetch. It is safe for concurrent use.
type Tool struct {
	cfg  Config
	spec tools.Spec
}

// New returns the tool, or an error that names what is wrong with the config.
func New(c Config) (*Tool, error) {
	if len(c.Hosts) == 0 {
		return nil, errors.New("fetch: no host is named, so nothing could be reached; " +
			"list exact names such as docs.example.com")
	}
	for _, h := range c.Hosts {
		if err := CheckHost(h); err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
	}
	if c.MaxBytes < 0 || c.MaxText < 0 || c.Timeout < 0 {
		return nil, errors.New("fetch: a bound is below zero")
	}
	c.Hosts = slices.Clone(c.Hosts)
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultBytes
	}
	if c.MaxText == 0 {
		c.MaxText = defaultText
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTime
	}
	return &Tool{cfg: c, spec: tools.Spec{
		Name:  Name,
		About: "Reads a web page and returns its text. Only these hosts can be reached: " + listHosts(c.Hosts) + ".",
		Class: tools.Read,
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["url"],"properties":{` +
			`"url":{"type":"string","format":"url","description":"the page's address"}}}`),
		Utterances: []string{"fetch {url}", "read {url}", "open {url}", "get {url}", "what does {url} say", "show me {url}",
			"summarise {url}", "summarize {url}"},
		Output: &tools.Output{Integrity: label.Untrusted, Secrecy: label.Public, Origins: true},
	}}, nil
}

// CheckHost says whether h is a host as Config.Hosts has it: a lower-case name or an IP address, without port.
func CheckHost(h string) error {
	if a, err := netip.ParseAddr(h); err == nil && a.String() == h && a.Zone() == "" {
		return nil
	}
	ok := h != "" && len(h) <= 253 && strings.Trim(h, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
	for part := range strings.SplitSeq(h, ".") {
		ok = ok && part != "" && len(part) <= 63 && part[0] != '-' && part[len(part)-1] != '-'
	}
	if last := h[strings.LastIndexByte(h, '.')+1:]; ok && strings.Trim(last, "0123456789") == "" {
		ok = false // "127.1" and the like: some readers take it for an address
	}
	if !ok {
		return fmt.Errorf("%q is not a host: write a lower-case name without scheme, port or path, such as docs.example.com",
			h)
	}
	return nil
}

func listHosts(hosts []string) string {
	if len(hosts) > 12 {
		return strings.Join(hosts[:12], ", ") + " and others"
	}
	return strings.Join(hosts, ", ")
}

// Spec describes the tool.
func (t *Tool) Spec() tools.Spec { return t.spec }

// A Page is what the tool returns.
type Page struct {
	URL     string   `json:"url"`    // the last one, after redirects
	Status  int      `json:"status"` // HTTP
	Type    string   `json:"type"`   // media type
	Title   string   `json:"title,omitempty"`
	Text    string   `json:"text"`
	Cut     bool     `json:"cut,omitempty"` // there was more
	Origins []string `json:"origins"`       // every host that had a hand in it
}

// Call reads the page. Its errors are [*tools.Error]: host_not_allowed, address_not_allowed, too_many_redirects,
// not_text, timeout, unreachable.
func (t *Tool) Call(ctx context.Context, in tools.Input) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	raw := ""
	for _, v := range in.Args.Values {
		if v.Name == "url" {
			raw = v.Text
		}
	}
	p, err := t.readURL(ctx, raw, in.Hosts)
	if err != nil {
		if _, told := errors.AsType[*tools.Error](err); told {
			return nil, err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, &tools.Error{Code: "timeout", Message: fmt.Sprintf("The page did not come within %s.", t.cfg.Timeout)}
		}
		// Not the error's text, which can hold what a stranger's server says.
		return nil, &tools.Error{Code: "unreachable",
			Message: "The page could not be read; check its address, or try again later."}
	}
	return json.Marshal(p)
}

func (t *Tool) readURL(ctx context.Context, raw string, granted []string) (*Page, error) {
	var origins []string
	for hop := 0; ; hop++ {
		u, host, err := t.checkAllowed(raw, granted)
		if err != nil {
			return nil, err
		}
		if o := "web:" + host; !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
		res, err := t.getPage(ctx, u, host)
		if err != nil {
			return nil, err
		}
		next := res.Header.Get("Location")
		if res.StatusCode < 300 || res.StatusCode > 399 || next == "" {
			p, err := ReadPage(res, t.cfg.MaxBytes, t.cfg.MaxText)
			res.Body.Close()
			if err != nil {
				return nil, err
			}
			p.URL, p.Origins = wording.Clip(wording.Visible(u.String()), maxURL), origins
			return p, nil
		}
		res.Body.Close()
		if hop == maxRedirects {
			return nil, &tools.Error{Code: "too_many_redirects", Message: fmt.Sprintf("The page leads on more than %d times.",
				maxRedirects)}
		}
		to, err := u.Parse(next)
		if err != nil {
			return nil, err
		}
		to.Fragment = ""
		raw = to.String()
	}
}

// checkAllowed checks one address against everything but the network. It is asked again for each redirect.
func (t *Tool) checkAllowed(raw string, granted []string) (*url.URL, string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.User != nil || u.Hostname() == "" || strings.ContainsFunc(raw,
		func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return nil, "", &tools.Error{Code: "host_not_allowed", Message: "That is not an address that can be read."}
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !t.cfg.Private):
		return nil, "", &tools.Error{Code: "host_not_allowed", Message: "Only https addresses can be read."}
	case u.Port() != "" && u.Port() != "443" && !t.cfg.Private:
		return nil, "", &tools.Error{Code: "host_not_allowed", Message: "Only the usual port of https can be reached."}
	case CheckHost(host) != nil || !slices.Contains(t.cfg.Hosts, host):
		return nil, "", &tools.Error{Code: "host_not_allowed",
			Message: fmt.Sprintf("The host %q is not one that the operator lets be reached: %s.", clipURL(host),
				listHosts(t.cfg.Hosts))}
	case len(granted) > 0 && !slices.Contains(granted, host):
		return nil, "", &tools.Error{Code: "host_not_allowed",
			Message: fmt.Sprintf("The host %q is not one that the wallet's grant names: %s.", clipURL(host), listHosts(granted))}
	}
	return u, host, nil
}

func clipURL(s string) string { return s[:min(len(s), 100)] }

// getPage makes one request, to an address that has been looked up and checked here.
func (t *Tool) getPage(ctx context.Context, u *url.URL, host string) (*http.Response, error) {
	addrs, err := t.lookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	tr := &http.Transport{
		Proxy: nil, DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSClientConfig: t.cfg.TLS.Clone(),
		MaxResponseHeaderBytes: maxHeader, DisableCompression: true, // a small body cannot become a large one
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return reach.DialFirst(ctx, network, addrs, port)
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "writ")
	req.Header.Set("Accept", "text/html, text/plain, application/json;q=0.9, */*;q=0.1")
	return tr.RoundTrip(req) // not a client: redirects are ours to judge
}

// lookupHost returns a host's addresses that may be reached.
func (t *Tool) lookupHost(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := reach.Gate{Private: t.cfg.Private, Lookup: t.cfg.Lookup}.Addresses(ctx, host)
	if errors.Is(err, reach.ErrPrivate) {
		return nil, &tools.Error{Code: "address_not_allowed",
			Message: fmt.Sprintf("The host %q leads into a private network, which is not read.", clipURL(host))}
	}
	return addrs, err
}

// ReadPage reads a response's body as text, up to bounds: bytes of the body, and bytes of text that are returned. Its
// URL and Origins are the caller's to set. Its errors are not_text and those of reading.
func ReadPage(res *http.Response, maxBytes int64, maxText int) (*Page, error) {
	media, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		media = "application/octet-stream"
	}
	if !isText(media) || res.Header.Get("Content-Encoding") != "" {
		return nil, &tools.Error{Code: "not_text", Message: "The page is not text, so it is not read."}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBytes+1))
	if err != nil {
		return nil, err
	}
	p := &Page{Status: res.StatusCode, Type: wording.Clip(wording.Visible(media), maxType)}
	if int64(len(body)) > maxBytes {
		body, p.Cut = body[:maxBytes], true
	}
	s := decodeText(body, params["charset"])
	if media == "text/html" || media == "application/xhtml+xml" {
		if p.Title, s, err = readPage(s); err != nil {
			return nil, &tools.Error{Code: "not_text", Message: "The page's markup cannot be read."}
		}
	}
	p.Title = wording.Clip(wording.Visible(p.Title), maxTitle)
	s = wording.Visible(s)
	if len(s) > maxText {
		s, p.Cut = s[:maxText], true
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	p.Text = s
	return p, nil
}

// isText says whether a media type is one of text.
func isText(media string) bool {
	return strings.HasPrefix(media, "text/") || media == "application/json" || media == "application/xhtml+xml" ||
		strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml") || media == "application/xml"
}

// decodeText returns bytes as text: Latin-1 if they say so, and UTF-8 otherwise.
func decodeText(body []byte, charset string) string {
	switch strings.ToLower(charset) {
	case "iso-8859-1", "latin1", "windows-1252":
		r := make([]rune, len(body))
		for i, b := range body {
			r[i] = rune(b)
		}
		return string(r)
	}
	return strings.ToValidUTF8(string(body), "\uFFFD")
}
