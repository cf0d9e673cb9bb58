// Package reach says which addresses of the network a tool may connect to, and connects to no other.
//
// A [Gate] looks a host's addresses up, refuses the host if one of them is not public, and dials an address that it has
// checked, so that a name cannot mean one thing to the check and another to the connection. web.fetch, servers of tools
// and HTTP interfaces all go through it.
package reach

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
)

// ErrPrivate says that a host leads into a private network.
var ErrPrivate = errors.New("the host leads into a private network")

const (
	maxAddresses = 4        // of one host that are tried
	maxHeader    = 64 << 10 // bytes of a response's header
)

// A Gate is what all connections of a tool go through. The zero Gate reaches public addresses only.
type Gate struct {
	// Private lets names lead to addresses of private and local networks.
	Private bool
	// Lookup finds a host's addresses. The system's resolver if nil.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// TLS says by which certificates a host is known. The system's if nil.
	TLS *tls.Config
}

// Addresses returns a host's addresses, at most four. One that is not public refuses the host whole, with [ErrPrivate]:
// a name that leads inside is either a mistake or an attack.
func (g Gate) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, a)
	} else if addrs, err = g.lookup(ctx, host); err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, errors.New("no address")
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap().WithZone("")
		if !g.Private && !IsPublic(addrs[i]) {
			return nil, ErrPrivate
		}
	}
	return addrs[:min(len(addrs), maxAddresses)], nil
}

func (g Gate) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if g.Lookup != nil {
		return g.Lookup(ctx, host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Transport returns a transport whose every connection is to an address that was looked up and checked for it. It uses
// no proxy, and takes no compressed body, so that a small one cannot become a large one. Redirects are the caller's to
// judge.
func (g Gate) Transport() *http.Transport {
	return &http.Transport{
		Proxy: nil, DisableCompression: true, ForceAttemptHTTP2: true, TLSClientConfig: g.TLS.Clone(),
		MaxResponseHeaderBytes: maxHeader, MaxConnsPerHost: 16, MaxIdleConnsPerHost: 2, DialContext: g.Dial,
	}
}

// Dial connects to a host and port.
func (g Gate) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := g.Addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	return DialFirst(ctx, network, addrs, port)
}

// DialFirst connects to the first of the addresses that answers.
func DialFirst(ctx context.Context, network string, addrs []netip.Addr, port string) (net.Conn, error) {
	failed := errors.New("no address")
	for _, a := range addrs {
		c, err := (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return c, nil
		}
		failed = err
	}
	return nil, failed
}

// special are the blocks of the IANA special-purpose registries (RFC 6890 and its successors) that netip does not
// name, with those that carry an IPv4 address inside.
var special = parsePrefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24",
	"198.18.0.0/15",
	"198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")

func parsePrefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// assigned is what of IPv6 is given to the open internet (RFC 4291 and IANA's registry); the rest may be led anywhere.
var assigned = netip.MustParsePrefix("2000::/3")

// IsPublic says whether an address is one of the open internet.
func IsPublic(a netip.Addr) bool {
	return a.IsValid() && (a.Is4() || assigned.Contains(a)) &&
		a.IsGlobalUnicast() && !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}
