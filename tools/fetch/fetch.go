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
		return nil, errors.New("fetch: no host is named, so nothing could be reached; list exact names such as docs.example.com")
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
	if c.Lookup == nil {
		c.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return &Tool{cfg: c, spec: tools.Spec{
		Name:  Name,
		About: "Reads a web page and returns its text. Only these hosts can be reached: " + listed(c.Hosts) + ".",
		Class: tools.Read,
		Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["url"],"properties":{` +
			`"url":{"type":"string","format":"url","description":"the page's address"}}}`),
		Utterances: []string{"fetch {url}", "read {url}", "open {url}", "get {url}", "what does {url} say", "show me {url}", "summarise {url}", "summarize {url}"},
		Output:     &tools.Output{Integrity: label.Untrusted, Secrecy: label.Public, Origins: true},
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
		return fmt.Errorf("%q is not a host: write a lower-case name without scheme, port or path, such as docs.example.com", h)
	}
	return nil
}

func listed(hosts []string) string {
	if len(hosts) > 12 {
		return strings.Join(hosts[:12], ", ") + " and others"
	}
	return strings.Join(hosts, ", ")
}

// Spec describes the tool.
func (t *Tool) Spec() tools.Spec { return t.spec }

// A page is what the tool returns.
type page struct {
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
	p, err := t.read(ctx, raw, in.Hosts)
	if err != nil {
		if _, told := errors.AsType[*tools.Error](err); told {
			return nil, err
		}
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, &tools.Error{Code: "timeout", Message: fmt.Sprintf("The page did not come within %s.", t.cfg.Timeout)}
		}
		// Not the error's text, which can hold what a stranger's server says.
		return nil, &tools.Error{Code: "unreachable", Message: "The page could not be read; check its address, or try again later."}
	}
	return json.Marshal(p)
}

func (t *Tool) read(ctx context.Context, raw string, granted []string) (*page, error) {
	var origins []string
	for hop := 0; ; hop++ {
		u, host, err := t.allowed(raw, granted)
		if err != nil {
			return nil, err
		}
		if o := "web:" + host; !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
		res, err := t.get(ctx, u, host)
		if err != nil {
			return nil, err
		}
		next := res.Header.Get("Location")
		if res.StatusCode < 300 || res.StatusCode > 399 || next == "" {
			p, err := t.text(res)
			res.Body.Close()
			if err != nil {
				return nil, err
			}
			p.URL, p.Origins = u.String(), origins
			return p, nil
		}
		res.Body.Close()
		if hop == maxRedirects {
			return nil, &tools.Error{Code: "too_many_redirects", Message: fmt.Sprintf("The page leads on more than %d times.", maxRedirects)}
		}
		to, err := u.Parse(next)
		if err != nil {
			return nil, err
		}
		to.Fragment = ""
		raw = to.String()
	}
}

// allowed checks one address against everything but the network. It is asked again for each redirect.
func (t *Tool) allowed(raw string, granted []string) (*url.URL, string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.User != nil || u.Hostname() == "" || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }) {
		return nil, "", &tools.Error{Code: "host_not_allowed", Message: "That is not an address that can be read."}
	}
	host := strings.ToLower(u.Hostname())
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !t.cfg.Private):
		return nil, "", &tools.Error{Code: "host_not_allowed", Message: "Only https addresses can be read."}
	case u.Port() != "" && u.Port() != "443" && !t.cfg.Private:
		return nil, "", &tools.Error{Code: "host_not_allowed", Message: "Only the usual port of https can be reached."}
	case CheckHost(host) != nil || !slices.Contains(t.cfg.Hosts, host):
		return nil, "", &tools.Error{Code: "host_not_allowed", Message: fmt.Sprintf("The host %q is not one that the operator lets be reached: %s.", clip(host), listed(t.cfg.Hosts))}
	case len(granted) > 0 && !slices.Contains(granted, host):
		return nil, "", &tools.Error{Code: "host_not_allowed", Message: fmt.Sprintf("The host %q is not one that the wallet's grant names: %s.", clip(host), listed(granted))}
	}
	return u, host, nil
}

func clip(s string) string { return s[:min(len(s), 100)] }

// get makes one request, to an address that has been looked up and checked here.
func (t *Tool) get(ctx context.Context, u *url.URL, host string) (*http.Response, error) {
	addrs, err := t.lookup(ctx, host)
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
			var failed error
			for _, a := range addrs {
				c, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(a.String(), port))
				if err == nil {
					return c, nil
				}
				failed = err
			}
			return nil, failed
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

// lookup returns a host's addresses, at most four. One that is not public refuses the host whole: a name that leads
// inside is either a mistake or an attack.
func (t *Tool) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs := []netip.Addr{}
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, a)
	} else if addrs, err = t.cfg.Lookup(ctx, host); err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, errors.New("no address")
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap().WithZone("")
		if !t.cfg.Private && !public(addrs[i]) {
			return nil, &tools.Error{Code: "address_not_allowed", Message: fmt.Sprintf("The host %q leads into a private network, which is not read.", clip(host))}
		}
	}
	return addrs[:min(len(addrs), 4)], nil
}

// special are the blocks of the IANA special-purpose registries (RFC 6890 and its successors) that netip does not
// name, with those that carry an IPv4 address inside.
var special = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23",
	"2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10", "::/96")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// public says whether an address is one of the open internet.
func public(a netip.Addr) bool {
	return a.IsValid() && a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

// text reads a response's body up to the bounds.
func (t *Tool) text(res *http.Response) (*page, error) {
	media, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		media = "application/octet-stream"
	}
	readable := strings.HasPrefix(media, "text/") || media == "application/json" || media == "application/xhtml+xml" ||
		strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml") || media == "application/xml"
	if !readable || res.Header.Get("Content-Encoding") != "" {
		return nil, &tools.Error{Code: "not_text", Message: "The page is not text, so it is not read."}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, t.cfg.MaxBytes+1))
	if err != nil {
		return nil, err
	}
	p := &page{Status: res.StatusCode, Type: media}
	if int64(len(body)) > t.cfg.MaxBytes {
		body, p.Cut = body[:t.cfg.MaxBytes], true
	}
	s := string(body)
	if c := strings.ToLower(params["charset"]); c == "iso-8859-1" || c == "latin1" || c == "windows-1252" {
		r := make([]rune, len(body))
		for i, b := range body {
			r[i] = rune(b)
		}
		s = string(r)
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if media == "text/html" || media == "application/xhtml+xml" {
		if p.Title, s, err = words(s); err != nil {
			return nil, &tools.Error{Code: "not_text", Message: "The page's markup cannot be read."}
		}
	}
	s = visible(s)
	if len(s) > t.cfg.MaxText {
		s, p.Cut = s[:t.cfg.MaxText], true
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	p.Text = s
	return p, nil
}

// visible takes out what a reader would not see: control characters but line breaks and tabs, and characters that
// have no width or change the direction of the text. Instructions are hidden in those.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r < ' ' || r >= 0x7f && r < 0xa0, r == 0xad, r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e,
			r >= 0x2060 && r <= 0x206f, r == 0xfeff, r >= 0xe0000 && r <= 0xe007f, r >= 0xfe00 && r <= 0xfe0f:
			return -1
		}
		return r
	}, s)
}
