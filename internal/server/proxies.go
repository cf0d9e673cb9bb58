package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the reverse proxies in front of this server. Limits stand on the client that they name.
type Proxies struct {
	Trusted []netip.Prefix // addresses of proxies whose word counts; nobody's does if empty
	// Forwarded says that they name the client in Forwarded (RFC 7239); else in X-Forwarded-For. Only one header is
	// read, since a proxy passes the other on as its client wrote it.
	Forwarded bool
}

// maxHops bounds how many addresses of one request are looked at.
const maxHops = 32

// clientOf returns the address that a request came from: that of the connection, or, if that is a trusted proxy, the
// nearest one in its header that is none. What stands behind the first word that is no address is not believed.
func (p Proxies) clientOf(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := from.Addr().Unmap().WithZone("")
	hops := p.listHops(r.Header)
	for i := len(hops) - 1; i >= 0 && len(hops)-i <= maxHops && p.isTrusted(client); i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			break
		}
		client = hop
	}
	return client
}

func (p Proxies) isTrusted(a netip.Addr) bool {
	for _, t := range p.Trusted {
		if t.Contains(a) {
			return true
		}
	}
	return false
}

// listHops returns the addresses that the header names, the client's own word first.
func (p Proxies) listHops(h http.Header) []string {
	name := "X-Forwarded-For"
	if p.Forwarded {
		name = "Forwarded"
	}
	var hops []string
	for part := range strings.SplitSeq(strings.Join(h.Values(name), ","), ",") {
		if p.Forwarded {
			part = forParameter(part)
		}
		hops = append(hops, strings.TrimSpace(part))
	}
	return hops
}

// forParameter returns the value of for in one element of Forwarded, without its quotation marks.
func forParameter(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// parseHop reads an address as proxies write it: alone, with a port, or in brackets.
func parseHop(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	ap, err := netip.ParseAddrPort(s)
	return ap.Addr().Unmap().WithZone(""), err == nil
}

// forwarding are headers that proxies add, besides those that begin with X-Forwarded.
var forwarding = []string{
	"Forwarded", "Forwarded-For", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "X-Original-Forwarded-For",
	"X-Original-Host", "X-Envoy-External-Address", "True-Client-Ip", "Cf-Connecting-Ip", "Cf-Ray", "Cdn-Loop",
	"Fastly-Client-Ip", "Fly-Client-Ip", "X-Azure-Clientip",
}

// isForwarded says whether a request came by a proxy, trusted or not.
func isForwarded(r *http.Request) bool {
	for name, values := range r.Header {
		if len(values) > 0 && (strings.HasPrefix(name, "X-Forwarded") || slices.Contains(forwarding, name)) {
			return true
		}
	}
	return false
}
