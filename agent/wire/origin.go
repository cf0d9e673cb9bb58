package wire

import (
	"net/url"
	"strings"
)

// IsOrigin says whether s is written as clients write the Origin header of a page: scheme://host or scheme://host:port
// and nothing else. The scheme is that of the web, http or https, or one that the shell of an app has for its pages, as
// capacitor://localhost or tauri://localhost. A page without an origin of its own, which says null, is none.
func IsOrigin(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || s != u.Scheme+"://"+u.Host || strings.ContainsAny(u.Host, "*,\\") {
		return false
	}
	switch u.Scheme {
	case "file", "data", "blob", "about", "javascript", "ws", "wss": // of no page, or of one whose origin is null
		return false
	}
	return true
}

// IsWebOrigin says whether s is an origin of a page of the web: one of http or https.
func IsWebOrigin(s string) bool {
	return IsOrigin(s) && (strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://"))
}
