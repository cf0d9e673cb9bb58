package config

import (
	"net/netip"
	"strings"
)

// Bounds of limits that are limits, and let a request through.
const (
	maxRate  = 1_000_000
	minBytes = 4096
)

// checkIdle refuses settings that can never do what they are for: an operator would believe in them.
func (c *Config) checkIdle() error {
	for _, h := range c.Hosts {
		if !isHost(h) {
			return c.badSetting("hosts", "%q is no name that a client calls a server by: write a host alone, such as "+
				"agents.example.com, without scheme, port or *", h)
		}
	}
	switch {
	case strings.Contains(c.Transparency.Origin, "://"):
		return c.badSetting("transparency.origin", "%q has a scheme, and the log's name has none: write for instance "+
			"log.example.com/writ", c.Transparency.Origin)
	case c.origins["proxies.header"] != "" && len(c.Proxies.Trusted) == 0:
		return c.badSetting("proxies.header", "is not heeded, since no proxy is trusted: name yours in proxies.trusted, or "+
			"take it out")
	case c.Fetch.Private && len(c.Fetch.Hosts) == 0:
		return c.badSetting("fetch.private", "lets web.fetch read nothing, since fetch.hosts names no host: name them, or "+
			"take it out")
	case c.Limits.Rate > maxRate:
		return c.badSetting("limits.rate", "%d requests a second are no limit; write at most %d", c.Limits.Rate, maxRate)
	case c.Limits.Burst > maxRate:
		return c.badSetting("limits.burst", "%d requests at once are no limit; write at most %d", c.Limits.Burst, maxRate)
	case c.Limits.Bytes > 0 && c.Limits.Bytes < minBytes:
		return c.badSetting("limits.bytes", "%d bytes a second let no request through; write %d or more", c.Limits.Bytes,
			minBytes)
	}
	for _, m := range c.Models {
		if m.Window > 0 && m.MaxTokens > 0 && m.Window <= m.MaxTokens || m.Window > 0 && m.Window < 256 {
			return c.badSetting("models", "model %q: a window of %d tokens has no room for a prompt beside its answer",
				m.Name, m.Window)
		}
	}
	return nil
}

// isHost says whether a text is the name of a host, or its address.
func isHost(h string) bool {
	if _, err := netip.ParseAddr(h); err == nil {
		return true
	}
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-_."
	return h != "" && len(h) < 254 && strings.Trim(strings.ToLower(h), letters) == "" && !strings.HasPrefix(h, ".")
}
