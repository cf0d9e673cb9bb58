package reach

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func lookUp(addrs ...string) func(context.Context, string) ([]netip.Addr, error) {
	return func(context.Context, string) (out []netip.Addr, err error) {
		for _, a := range addrs {
			out = append(out, netip.MustParseAddr(a))
		}
		return out, nil
	}
}

func TestOneAddressThatIsNotPublicRefusesTheHost(t *testing.T) {
	for _, a := range []string{
		"127.0.0.1", "10.1.2.3", "192.168.1.1", "169.254.169.254", "::1", "fc00::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
		"1::1", "4000::1", "5f00::1", "fec0::1", "::7f00:1", "100::1",
	} {
		_, err := Gate{Lookup: lookUp("93.184.216.34", a)}.Addresses(t.Context(), "x.example")
		if !errors.Is(err, ErrPrivate) {
			t.Errorf("%s: %v, want ErrPrivate", a, err)
		}
	}
	got, err := Gate{Lookup: lookUp("93.184.216.34", "2606:4700::1111")}.Addresses(t.Context(), "x.example")
	if err != nil || len(got) != 2 {
		t.Errorf("public addresses: %v, %v", got, err)
	}
	if _, err := (Gate{Lookup: lookUp()}).Addresses(t.Context(), "x.example"); err == nil {
		t.Error("a host without addresses: no error")
	}
}

// A transport asks for the addresses of each connection, and a server on this machine is reached only if that is meant.
func TestATransportConnectsToCheckedAddressesOnly(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	for private, want := range map[bool]error{true: nil, false: ErrPrivate} {
		tr := Gate{Private: private, Lookup: lookUp("127.0.0.1")}.Transport()
		res, err := (&http.Client{Transport: tr}).Get("http://inside.example" + port)
		if !errors.Is(err, want) {
			t.Errorf("private %v: %v, want %v", private, err, want)
		}
		if err == nil {
			res.Body.Close()
		}
		tr.CloseIdleConnections()
	}
}

// An address that carries one of IPv4 is none of the open internet by itself: who asks unmaps it first.
func TestIsPublic(t *testing.T) {
	for a, want := range map[string]bool{"93.184.216.34": true, "2606:4700::1111": true, "::ffff:93.184.216.34": false,
		"1::1": false, "4000::1": false, "2002:7f00:1::": false, "2001:db8::1": false, "3fff::1": false, "203.0.113.9": false} {
		if got := IsPublic(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v, want %v", a, got, want)
		}
	}
}
