package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/internal/reach"
	"github.com/writ-run/writ/tools"
)

// A site answers for every test host, over http and https, on a loopback address.
func site(t *testing.T) (mux *http.ServeMux, addr string, secure *httptest.Server) {
	t.Helper()
	mux = http.NewServeMux()
	plain := httptest.NewServer(mux)
	secure = httptest.NewTLSServer(mux)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	return mux, plain.Listener.Addr().String(), secure
}

func loopback(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

func open(t *testing.T, c Config) *Tool {
	t.Helper()
	tool, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

// call reads a URL as the runtime does, through the tool's own schema.
func call(t *testing.T, tool *Tool, url string, granted ...string) (*Page, error) {
	t.Helper()
	def, err := tools.Compile(tool.Spec())
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := json.Marshal(map[string]string{"url": url})
	args, err := def.Read(raw)
	if err != nil {
		return nil, err
	}
	out, err := tool.Call(t.Context(), tools.Input{Args: args, Hosts: granted})
	if err != nil {
		return nil, err
	}
	p := new(Page)
	return p, json.Unmarshal(out, p)
}

func code(err error) string {
	if e, ok := errors.AsType[*tools.Error](err); ok {
		return e.Code
	}
	return fmt.Sprint(err)
}

func TestReadsAPage(t *testing.T) {
	mux, addr, _ := site(t)
	_, port, _ := net.SplitHostPort(addr)
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" || r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" || r.Host != "docs.example.com:"+port {
			t.Errorf("the request carries too much: %v %v", r.Host, r.Header)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<html><head><title> A  page </title><script>evil()</script><style>p{}</style></head><body><h1>Prices</h1>
			<p>Tea is <b>3</b> USDC.</p><!-- send all --><p hidden>hidden order</p><div style="display: none">another</div>
			<span aria-hidden="true">third</span>zero`+"\u200b"+`width</body></html>`)
	})
	mux.HandleFunc("/old", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://www.example.com:"+port+"/page2#part", http.StatusFound)
	})
	mux.HandleFunc("/page2", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=iso-8859-1")
		w.Write([]byte("caf\xe9 " + strings.Repeat("x", 500)))
	})
	tool := open(t, Config{Hosts: []string{"docs.example.com", "www.example.com"}, Private: true, Lookup: loopback, MaxText: 100})
	p, err := call(t, tool, "http://docs.example.com:"+port+"/page")
	if err != nil {
		t.Fatal(err)
	}
	if p.Title != "A page" || p.Text != "Prices\nTea is 3 USDC.\nzerowidth" || strings.Join(p.Origins, " ") != "web:docs.example.com" {
		t.Errorf("got %+v", p)
	}
	p, err = call(t, tool, "http://docs.example.com:"+port+"/old")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p.Text, "café xxx") || !p.Cut || len(p.Text) > 100 || !strings.HasSuffix(p.URL, "/page2") ||
		strings.Join(p.Origins, " ") != "web:docs.example.com web:www.example.com" {
		t.Errorf("got %+v", p)
	}
}

// What a model reads beside the text is cleaned and bounded as the text is: a title and a media type are a page's words.
func TestWhatSurroundsATextIsCleanedAndBounded(t *testing.T) {
	mux, addr, _ := site(t)
	_, port, _ := net.SplitHostPort(addr)
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			http.Redirect(w, r, "/long?"+strings.Repeat("q", 4000), http.StatusFound)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<title>Pay\u202e\u200bme\U000e0061\u2028 "+strings.Repeat("x", 60_000)+"</title><p>a\u2029\u2061b\u3164")
	})
	mux.HandleFunc("/type", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/"+strings.Repeat("x", 5000))
		fmt.Fprint(w, "a")
	})
	tool := open(t, Config{Hosts: []string{"docs.example.com"}, Private: true, Lookup: loopback})
	p, err := call(t, tool, "http://docs.example.com:"+port+"/long")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(p.Title, "Payme xxx") || len(p.Title) > 310 || p.Text != "a b" || len(p.URL) > 2010 {
		t.Errorf("title %d %+q, text %+q, URL %d", len(p.Title), p.Title[:min(20, len(p.Title))], p.Text, len(p.URL))
	}
	if p, err = call(t, tool, "http://docs.example.com:"+port+"/type"); err != nil || len(p.Type) > 110 {
		t.Errorf("type %v, %v", p, err)
	}
}

func TestHostsAreExact(t *testing.T) {
	mux, addr, _ := site(t)
	_, port, _ := net.SplitHostPort(addr)
	hits := 0
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		hits++
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "ok")
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://evil.example:"+port+"/", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "file:///etc/passwd")
		w.WriteHeader(http.StatusFound)
	})
	tool := open(t, Config{Hosts: []string{"docs.example.com", "www.example.com"}, Private: true, Lookup: loopback})
	at := func(host, path string) string { return "http://" + host + ":" + port + path }
	for _, c := range []struct{ name, url, want string }{
		{"another host", at("evil.example", "/"), "host_not_allowed"},
		{"a host below", at("a.docs.example.com", "/"), "host_not_allowed"},
		{"a host that ends so", at("evildocs.example.com", "/"), "host_not_allowed"},
		{"a trailing dot", at("docs.example.com.", "/"), "host_not_allowed"},
		{"the address itself", at("127.0.0.1", "/"), "host_not_allowed"},
		{"a redirect away", at("docs.example.com", "/away"), "host_not_allowed"},
		{"a redirect without end", at("docs.example.com", "/loop"), "too_many_redirects"},
		{"a redirect to a file", at("docs.example.com", "/file"), "host_not_allowed"},
		{"a user", "http://docs.example.com@evil.example/", "bad_argument"},
		{"a backslash", `http://docs.example.com\@evil.example/`, "bad_argument"},
		{"a fragment", at("docs.example.com", "/#x"), "bad_argument"},
		{"another scheme", "gopher://docs.example.com/", "bad_argument"},
		{"no scheme", "docs.example.com/", "bad_argument"},
		{"a line break", "http://docs.example.com/\r\nHost: evil", "bad_argument"},
	} {
		if _, err := call(t, tool, c.url); code(err) != c.want {
			t.Errorf("%s: %s, want %s", c.name, code(err), c.want)
		}
	}
	if hits > 0 {
		t.Errorf("%d requests went out", hits)
	}
	if _, err := call(t, tool, at("DOCS.example.com", "/")); err != nil {
		t.Errorf("capitals: %v", err)
	}
	if _, err := call(t, tool, at("docs.example.com", "/"), "www.example.com"); code(err) != "host_not_allowed" {
		t.Errorf("a host that the grant does not name: %v", err)
	}
	if _, err := call(t, tool, at("www.example.com", "/"), "www.example.com"); err != nil {
		t.Errorf("a host that the grant names: %v", err)
	}
}

func TestOnlyPublicAddresses(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
		"224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "::", "::1", "fc00::1", "fe80::1", "ff02::1", "::ffff:127.0.0.1",
		"::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "fec0::1", "::7f00:1"} {
		tool := open(t, Config{Hosts: []string{"inside.example"}, Lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("93.184.216.34"), netip.MustParseAddr(a)}, nil
		}})
		if _, err := call(t, tool, "https://inside.example/"); code(err) != "address_not_allowed" {
			t.Errorf("a name that also leads to %s: %v", a, err)
		}
	}
	for _, a := range []string{"93.184.216.34", "1.1.1.1", "2606:4700::1111"} {
		if !reach.IsPublic(netip.MustParseAddr(a)) {
			t.Errorf("%s is public", a)
		}
	}
	tool := open(t, Config{Hosts: []string{"inside.example", "127.0.0.1"}, Lookup: loopback})
	for url, want := range map[string]string{
		"http://inside.example/": "host_not_allowed", "https://inside.example:8443/": "host_not_allowed", "https://127.0.0.1/": "address_not_allowed",
	} {
		if _, err := call(t, tool, url); code(err) != want {
			t.Errorf("%s: %s, want %s", url, code(err), want)
		}
	}
}

// A name cannot mean one address to the check and another to the connection: it is looked up once a request.
func TestANameIsLookedUpOnce(t *testing.T) {
	mux, addr, _ := site(t)
	_, port, _ := net.SplitHostPort(addr)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") })
	asked := 0
	tool := open(t, Config{Hosts: []string{"rebind.example"}, Private: true, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		if asked++; asked > 1 {
			return []netip.Addr{netip.MustParseAddr("169.254.169.254")}, nil
		}
		return loopback(t.Context(), "")
	}})
	if _, err := call(t, tool, "http://rebind.example:"+port+"/"); err != nil || asked != 1 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	mux, _, secure := site(t)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, "secret")
	})
	_, port, _ := net.SplitHostPort(secure.Listener.Addr().String())
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	for _, c := range []struct {
		host  string
		roots *x509.CertPool
		want  string
	}{{"example.com", roots, "<nil>"}, {"other.example", roots, "unreachable"}, {"example.com", nil, "unreachable"}} {
		tool := open(t, Config{Hosts: []string{c.host}, Private: true, Lookup: loopback, TLS: &tls.Config{RootCAs: c.roots}})
		if _, err := call(t, tool, "https://"+c.host+":"+port+"/"); code(err) != c.want {
			t.Errorf("%s: %s, want %s", c.host, code(err), c.want)
		}
	}
}

func TestBounds(t *testing.T) {
	mux, addr, _ := site(t)
	_, port, _ := net.SplitHostPort(addr)
	mux.HandleFunc("/image", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		fmt.Fprint(w, "x")
	})
	mux.HandleFunc("/zip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(w, "x")
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X", strings.Repeat("x", 100<<10))
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		for i := 0; i < 1<<20 && r.Context().Err() == nil; i++ {
			if _, err := fmt.Fprintln(w, "and on"); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/deep", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, strings.Repeat("<div>", 100_000), "deep")
	})
	tool := open(t, Config{Hosts: []string{"a.example"}, Private: true, Lookup: loopback, MaxBytes: 600_000, MaxText: 2000, Timeout: 2 * time.Second})
	at := func(path string) string { return "http://a.example:" + port + path }
	for path, want := range map[string]string{"/image": "not_text", "/zip": "not_text", "/header": "unreachable", "/missing": "<nil>"} {
		if _, err := call(t, tool, at(path)); code(err) != want {
			t.Errorf("%s: %s, want %s", path, code(err), want)
		}
	}
	if p, err := call(t, tool, at("/endless")); err != nil || !p.Cut || len(p.Text) > 2000 {
		t.Errorf("endless: %v", err)
	}
	if p, err := call(t, tool, at("/deep")); err == nil && len(p.Text) > 2000 {
		t.Errorf("deep: %v", err)
	}
	slow := open(t, Config{Hosts: []string{"a.example"}, Private: true, Lookup: loopback, Timeout: 50 * time.Millisecond})
	if _, err := call(t, slow, at("/slow")); code(err) != "timeout" {
		t.Errorf("slow: %v", err)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	for _, h := range []string{"", "https://a.example", "a.example:443", "A.example", "*.example.com", "a..b", "127.1", "a_b.example", "-a.example", "é.example"} {
		if _, err := New(Config{Hosts: []string{h}}); err == nil {
			t.Errorf("the host %q was taken", h)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("no host was taken")
	}
}

func FuzzWords(f *testing.F) {
	f.Add("<p>a<script>b</script><p hidden>c")
	f.Add("<table><svg><style><!--</style><img title=\"-->&lt;script>\">")
	f.Fuzz(func(t *testing.T, s string) {
		_, text, err := readPage(s)
		if err == nil && strings.Contains(text, "\x00") {
			t.Errorf("%q gave %q", s, text)
		}
	})
}
