package auth

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestASourceHasOneSpelling(t *testing.T) {
	for _, tt := range []struct{ given, want string }{
		{"192.0.2.7", "192.0.2.7/32"},
		{"192.0.2.7/24", "192.0.2.0/24"},
		{"2001:DB8:0:0::1", "2001:db8::1/128"},
		{"2001:db8::1/32", "2001:db8::/32"},
		{"https://App.Example", "https://app.example"},
		{"http://localhost:3000", "http://localhost:3000"},
		{"", ""}, {"api.example.org", ""}, {"0.0.0.0/0", ""}, {"::/0", ""}, {"::ffff:192.0.2.7", ""}, {"fe80::1%eth0", ""},
		{"192.0.2.0/33", ""}, {"192.0.2/24", ""}, {"https://app.example/", ""}, {"https://app.example:443", ""},
		{"https://[::1]:8443", ""}, {"ftp://app.example", ""}, {"https://", ""}, {"192.0.2.0/24 ", ""},
	} {
		got, err := ParseSource(tt.given)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("ParseSource(%q) = %q, %v; want %q", tt.given, got, err, tt.want)
		}
	}
}

func TestASessionIsUsedOnlyFromWhereItsWalletSaid(t *testing.T) {
	const page, other = "https://app.example", "https://evil.example"
	both := []string{"10.0.0.0/8", "2001:db8::/32", page}
	for _, tt := range []struct {
		name            string
		from            []string
		address, origin string
		want            bool
	}{
		{"anywhere, if nothing is said", nil, "203.0.113.9", other, true},
		{"anywhere, also where nobody knows it", nil, "", "", true},
		{"within a network", both[:2], "10.9.8.7", "", true},
		{"within another one", both[:2], "2001:db8:1::7", "", true},
		{"an address of IPv4 that came over IPv6", both[:2], "::ffff:10.9.8.7", "", true},
		{"outside of all", both[:2], "11.0.0.1", "", false},
		{"an address that is not known", both[:2], "", "", false},
		{"by its page", both[2:], "203.0.113.9", page, true},
		{"by another page", both[2:], "203.0.113.9", other, false},
		{"by no page", both[2:], "203.0.113.9", "", false},
		{"both hold", both, "10.0.0.1", page, true},
		{"the page alone is not enough", both, "203.0.113.9", page, false},
		{"the network alone is not enough", both, "10.0.0.1", "", false},
	} {
		var address netip.Addr
		if tt.address != "" {
			address = netip.MustParseAddr(tt.address)
		}
		c := Caveats{From: tt.from}
		if got := c.LetsIn(address, tt.origin); got != tt.want {
			t.Errorf("%s: LetsIn(%s, %q) of %v = %v", tt.name, address, tt.origin, tt.from, got)
		}
	}
}

// What is within something, or narrowed by it, lets in nobody whom that does not.
func TestNarrowerSourcesLetInNobodyElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := genCaveats(t), genCaveats(t)
		at := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 2).Draw(t, "second")), 0, 1})
		origin := rapid.SampledFrom([]string{"", "https://app.example", "https://evil.example"}).Draw(t, "origin")
		if a.isWithinSources(&b) && a.LetsIn(at, origin) && !b.LetsIn(at, origin) {
			t.Fatalf("%v is within %v and lets in %s %q", a.From, b.From, at, origin)
		}
		from, ok := a.intersectSources(&b)
		both := Caveats{From: from}
		if ok && both.LetsIn(at, origin) != (a.LetsIn(at, origin) && b.LetsIn(at, origin)) {
			t.Fatalf("%v of %v and %v, for %s %q", from, a.From, b.From, at, origin)
		}
		if ok && (!both.isWithinSources(&a) || !both.isWithinSources(&b) || !slices.IsSorted(from)) {
			t.Fatalf("%v is not within %v and %v", from, a.From, b.From)
		}
	})
}

func FuzzSource(f *testing.F) {
	for _, s := range []string{"192.0.2.0/24", "2001:DB8::1", "https://App.Example:8443", "::ffff:1.2.3.4/100", "fe80::1%a", "://"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		one, err := ParseSource(s)
		if err != nil {
			return
		}
		if again, err := ParseSource(one); err != nil || again != one {
			t.Errorf("ParseSource(%q) = %q, and that is %q, %v", s, one, again, err)
		}
		if !isSource(one) {
			t.Errorf("%q of %q is no source", one, s)
		}
	})
}
