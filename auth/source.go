package auth

import (
	"net/netip"
	"slices"
	"strings"
)

// ParseSource returns an entry of [Caveats.From] as it is signed. An address stands for a network of its own, of a
// network the part behind its length is cleared, and the capitals of an origin are made small. The error is a [*Fault]:
// a network of length 0 would bind nothing, and one of IPv4 written as IPv6 no address is ever compared with.
func ParseSource(s string) (string, error) {
	wrong := func(why string) (string, error) { return "", newFault(CodeCaveats, "from", "%s", why) }
	if strings.Contains(s, "://") {
		if s = strings.ToLower(s); !isSource(s) {
			return wrong("an origin is written https://host or https://host:port, without a port that is the scheme's own")
		}
		return s, nil
	}
	p, err := netip.ParsePrefix(s)
	if a, bad := netip.ParseAddr(s); bad == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil {
		return wrong("an entry is no address, no network such as 192.0.2.0/24 and no origin such as https://app.example")
	}
	if s = p.Masked().String(); !isSource(s) {
		return wrong("a network of length 0 is everybody's, and one of IPv4 is written as such; name a smaller one")
	}
	return s, nil
}

// isSource says whether s is an entry of Caveats.From in its one spelling.
func isSource(s string) bool {
	if scheme, domain, ok := strings.Cut(s, "://"); ok {
		return isOrigin(scheme, domain) && domain[0] != '[' // pages have names
	}
	p, err := netip.ParsePrefix(s)
	return err == nil && p.Bits() > 0 && !p.Addr().Is4In6() && p.Masked().String() == s
}

// CaveatsOf returns the limits in a text that a wallet has signed. It reads them only: that the signature holds was
// checked when the text came in, as [Desk.Open] does, and [Reread] checks it again.
func CaveatsOf(message []byte) (Caveats, error) {
	m, err := Parse(message)
	if err != nil {
		return Caveats{}, err
	}
	g, err := readGrant(m)
	if err != nil {
		return Caveats{}, err
	}
	return g.Caveats, nil
}

// LetsIn says whether a session with these caveats may be used from an address, by the page of an origin; "" is none.
// If networks are named, one of them must hold the address; if origins are, the page's must be one. An address that is
// not known is in no network.
func (c *Caveats) LetsIn(address netip.Addr, origin string) bool {
	networks, origins := c.sources()
	if len(origins) > 0 && !containsSorted(origins, origin) {
		return false
	}
	address = address.Unmap().WithZone("")
	for _, s := range networks {
		if p, err := netip.ParsePrefix(s); err == nil && p.Contains(address) {
			return true
		}
	}
	return len(networks) == 0
}

// sources returns the networks and the origins of From.
func (c *Caveats) sources() (networks, origins []string) {
	for _, s := range c.From {
		if strings.Contains(s, "://") {
			origins = append(origins, s)
		} else {
			networks = append(networks, s)
		}
	}
	return networks, origins
}

// isWithinSources says whether from lets in nobody whom outer does not. Neither of the two kinds may be let go of.
func (c *Caveats) isWithinSources(outer *Caveats) bool {
	networks, origins := c.sources()
	outerNetworks, outerOrigins := outer.sources()
	if len(outerOrigins) > 0 && (len(origins) == 0 || !isSubset(origins, outerOrigins)) {
		return false
	}
	for _, s := range networks {
		inner, _ := netip.ParsePrefix(s)
		if len(outerNetworks) > 0 && !holdsNetwork(outerNetworks, inner) {
			return false
		}
	}
	return len(outerNetworks) == 0 || len(networks) > 0
}

func holdsNetwork(networks []string, inner netip.Prefix) bool {
	for _, s := range networks {
		if outer, err := netip.ParsePrefix(s); err == nil && outer.Bits() <= inner.Bits() &&
			outer.Contains(inner.Addr()) {
			return true
		}
	}
	return false
}

// intersectSources returns whence both let in. ok is false if that is nowhere, or takes more entries than there may be.
func (c *Caveats) intersectSources(outer *Caveats) (both []string, ok bool) {
	networks, origins := c.sources()
	outerNetworks, outerOrigins := outer.sources()
	origins, ok = intersectLists(origins, outerOrigins)
	if !ok {
		return nil, false
	}
	if len(networks) == 0 || len(outerNetworks) == 0 {
		networks = append(networks, outerNetworks...)
	} else {
		var held []string // of two networks that meet, one lies in the other
		for _, x := range []struct{ these, in []string }{{networks, outerNetworks}, {outerNetworks, networks}} {
			for _, s := range x.these {
				if p, err := netip.ParsePrefix(s); err == nil && holdsNetwork(x.in, p) {
					held = append(held, s)
				}
			}
		}
		if networks = held; len(held) == 0 {
			return nil, false
		}
	}
	both = append(networks, origins...)
	slices.Sort(both)
	both = slices.Compact(both)
	return both, len(both) <= maxEntries
}

// fromSentence says whence a session may be used, as the wallet shows it; nothing if from anywhere.
func (c *Caveats) fromSentence() (s string) {
	networks, origins := c.sources()
	if len(networks) > 0 {
		s = " It may be used from " + strings.Join(networks, " or ") + " only."
	}
	if len(origins) > 0 {
		s += " It may be used by pages of " + strings.Join(origins, " or ") + " only."
	}
	return s
}
