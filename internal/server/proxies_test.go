package server

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestTheClientIsWhoATrustedProxyNames(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	xff, forwarded := Proxies{Trusted: trusted}, Proxies{Trusted: trusted, Forwarded: true}
	for _, tt := range []struct {
		rule    string
		proxies Proxies
		remote  string
		header  http.Header
		want    string
	}{
		{"no proxy is trusted: the connection counts", Proxies{}, "127.0.0.1:9",
			http.Header{"X-Forwarded-For": {"192.0.2.1"}}, "127.0.0.1"},
		{"a client that is no proxy says what it likes", xff, "198.51.100.7:9",
			http.Header{"X-Forwarded-For": {"192.0.2.1"}}, "198.51.100.7"},
		{"a proxy names its client", xff, "127.0.0.1:9", http.Header{"X-Forwarded-For": {"192.0.2.1"}}, "192.0.2.1"},
		{"what the client wrote before is not believed", xff, "127.0.0.1:9",
			http.Header{"X-Forwarded-For": {"203.0.113.5, 192.0.2.1"}}, "192.0.2.1"},
		{"two proxies in a row", xff, "127.0.0.1:9",
			http.Header{"X-Forwarded-For": {"203.0.113.5, 192.0.2.1, 10.1.2.3"}}, "192.0.2.1"},
		{"several lines are one list", xff, "127.0.0.1:9",
			http.Header{"X-Forwarded-For": {"203.0.113.5", "192.0.2.1", "10.1.2.3"}}, "192.0.2.1"},
		{"with ports and brackets", xff, "127.0.0.1:9",
			http.Header{"X-Forwarded-For": {"[2001:db8::1]:443, 10.0.0.1:80"}}, "2001:db8::1"},
		{"what is no address ends the belief", xff, "127.0.0.1:9",
			http.Header{"X-Forwarded-For": {"192.0.2.1, unknown, 10.1.2.3"}}, "10.1.2.3"},
		{"an empty header", xff, "127.0.0.1:9", http.Header{"X-Forwarded-For": {""}}, "127.0.0.1"},
		{"only proxies: the outermost", xff, "127.0.0.1:9", http.Header{"X-Forwarded-For": {"10.0.0.2, 10.0.0.1"}}, "10.0.0.2"},
		{"the other header is the client's own word", xff, "127.0.0.1:9",
			http.Header{"Forwarded": {"for=203.0.113.5"}, "X-Forwarded-For": {"192.0.2.1"}}, "192.0.2.1"},
		{"RFC 7239", forwarded, "127.0.0.1:9",
			http.Header{"Forwarded": {`for=203.0.113.5;proto=https, For="[2001:db8:cafe::17]:4711";by=10.0.0.1`}},
			"2001:db8:cafe::17"},
		{"RFC 7239, hidden", forwarded, "127.0.0.1:9", http.Header{"Forwarded": {"for=203.0.113.5, for=_hidden"}}, "127.0.0.1"},
		{"RFC 7239, of the other kind only", forwarded, "127.0.0.1:9",
			http.Header{"X-Forwarded-For": {"192.0.2.1"}}, "127.0.0.1"},
	} {
		r := &http.Request{RemoteAddr: tt.remote, Header: tt.header}
		if got := tt.proxies.clientOf(r).String(); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.rule, got, tt.want)
		}
	}
}

func trustLoopback(c *Config) {
	c.Proxies = Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
}

// Twenty idle sockets of one client behind a proxy leave the others theirs.
func TestLimitsStandOnTheClientBehindAProxy(t *testing.T) {
	f := serve(t, Limits{PerAddress: 2}, nil, trustLoopback)
	get := func(client string) int {
		status, ws := f.handshake(http.Header{"X-Forwarded-For": {client}})
		if ws != nil {
			t.Cleanup(func() { ws.Close() })
		}
		return status
	}
	for i, want := range []int{101, 101, 429, 429} {
		if got := get("192.0.2.1"); got != want {
			t.Errorf("socket %d of one client: got %d, want %d", i+1, got, want)
		}
	}
	if got := get("192.0.2.2"); got != 101 {
		t.Errorf("another client: got %d, want 101", got)
	}
}

// One client with many wallets is one client.
func TestSocketsOfOneAddressAreBounded(t *testing.T) {
	f := serve(t, Limits{PerAddress: 10, PerNetwork: 2}, nil)
	for i, want := range []int{101, 101, 429} {
		status, ws := f.handshake(nil)
		if ws != nil {
			defer ws.Close()
		}
		if status != want {
			t.Errorf("socket %d: got %d, want %d", i+1, status, want)
		}
	}
}

// What the operator alone may see is not shown through a proxy, whichever header it names its client by.
func TestAProxyIsKnownByAnyOfItsHeaders(t *testing.T) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-Forwarded-Host", "X-Real-IP", "Via",
		"CF-Connecting-IP", "CF-Ray", "True-Client-IP", "Fly-Client-IP", "Fastly-Client-IP", "X-Client-IP", "CDN-Loop"} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		if isForwarded(r) {
			t.Fatal("a request without such a header counts as a proxy's")
		}
		r.Header.Set(name, "192.0.2.1")
		if !isForwarded(r) {
			t.Errorf("a request with %s does not count as a proxy's", name)
		}
	}
}
