package walletpage

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/writ-run/writ/auth"
)

// ask sends the page a request as its own page would, with one thing changed.
func ask(p *Page, path, secret, body string, change func(*http.Request)) (status int, message string, h http.Header) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Host = p.host
	r.Header.Set("Origin", "http://"+p.host)
	r.Header.Set("X-Writ-Code", secret)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	var out Reply
	if json.Unmarshal(w.Body.Bytes(), &out) != nil {
		out.Message = w.Body.String()
	}
	return w.Code, out.Message, w.Header()
}

const someAccount = `{"account":"0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"}`

func TestTheLoginPageAnswersItselfOnly(t *testing.T) {
	now := time.Unix(1e9, 0)
	sig := `{"signature":"0x` + strings.Repeat("11", auth.SigSize) + `"}`
	for _, c := range []struct {
		name, path, secret, body string
		change                   func(*http.Request)
		want                     int
	}{
		{"another origin", "/account", "code", someAccount, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		{"an origin with another port", "/account", "code", someAccount, func(r *http.Request) { r.Header.Set("Origin", "http://127.0.0.1:1") }, http.StatusForbidden},
		{"no origin", "/account", "code", someAccount, func(r *http.Request) { r.Header.Del("Origin") }, http.StatusForbidden},
		{"another name of this host", "/account", "code", someAccount, func(r *http.Request) { r.Host = "localhost:4242" }, http.StatusMisdirectedRequest},
		{"a name that was rebound", "/account", "code", someAccount, func(r *http.Request) { r.Host = "evil.example" }, http.StatusMisdirectedRequest},
		{"no code", "/account", "", someAccount, nil, http.StatusForbidden},
		{"a wrong code", "/account", "guess", someAccount, nil, http.StatusForbidden},
		{"the ticket for the code", "/account", "ticket", someAccount, nil, http.StatusForbidden},
		{"the code for the ticket", "/signature", "code", sig, nil, http.StatusForbidden},
		{"a wrong ticket", "/signature", "guess", sig, nil, http.StatusForbidden},
		{"an account that is none", "/account", "code", `{"account":"bob.eth"}`, nil, http.StatusBadRequest},
		{"a signature that is none", "/signature", "ticket", `{"signature":"yes"}`, nil, http.StatusBadRequest},
		{"no JSON", "/account", "code", `account=1`, nil, http.StatusBadRequest},
		{"a body of a megabyte", "/account", "code", `{"account":"` + strings.Repeat("a", 1<<20) + `"}`, nil, http.StatusBadRequest},
		{"an unknown page", "/other", "code", `{}`, nil, http.StatusNotFound},
		{"another method", "/account", "code", someAccount, func(r *http.Request) { r.Method = http.MethodPut }, http.StatusMethodNotAllowed},
		{"cancelling without a code", "/cancel", "", `{}`, nil, http.StatusForbidden},
	} {
		p := newPage("127.0.0.1:4242", func() time.Time { return now })
		secret := map[string]string{"code": p.code, "ticket": p.ticket}[c.secret]
		if secret == "" {
			secret = c.secret
		}
		status, message, h := ask(p, c.path, secret, c.body, c.change)
		if status != c.want || message == "" {
			t.Errorf("%s: got %d %q, want %d and a sentence", c.name, status, message, c.want)
		}
		if csp := h.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; script-src 'self'; ") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %q", c.name, csp)
		}
		if len(p.accounts)+len(p.signatures)+len(p.cancelled) != 0 || p.code == "" || p.ticket == "" {
			t.Errorf("%s: it had an effect", c.name)
		}
	}
}

func TestALoginCodeIsGoodOnceAndForFiveMinutes(t *testing.T) {
	now := time.Unix(1e9, 0)
	p := newPage("127.0.0.1:4242", func() time.Time { return now })
	code := p.code
	p.texts <- Text{Ticket: p.ticket, Message: "text"}
	if status, message, _ := ask(p, "/account", code, someAccount, nil); status != http.StatusOK {
		t.Fatalf("got %d %q", status, message)
	}
	if len(<-p.accounts) != 20 {
		t.Error("no account came")
	}
	if status, message, _ := ask(p, "/account", code, someAccount, nil); status != http.StatusForbidden || !strings.Contains(message, "used already") {
		t.Errorf("the code again: got %d %q", status, message)
	}
	now = now.Add(Life)
	if status, message, _ := ask(p, "/signature", p.ticket, `{}`, nil); status != http.StatusGone || !strings.Contains(message, "five minutes") {
		t.Errorf("after five minutes: got %d %q", status, message)
	}
	p.End(Reply{Message: "over"})
	p.End(Reply{Account: "0x1"}) // the first counts
	if p.outcome.Message != "over" {
		t.Errorf("it ended as %+v", p.outcome)
	}
}

func TestTheLoginPageIsWhole(t *testing.T) {
	p := newPage("127.0.0.1:4242", time.Now)
	for path, want := range map[string]string{"/": "text/html", "/page.js": "text/javascript", "/style.css": "text/css", "/auth.go": "application/json", "/../browser.go": "application/json"} {
		r := httptest.NewRequest(http.MethodGet, "http://"+p.host+path, nil)
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, want) || w.Body.Len() == 0 {
			t.Errorf("%s: got %q with %d bytes", path, got, w.Body.Len())
		}
		if bytes.Contains(w.Body.Bytes(), []byte(p.code)) || bytes.Contains(w.Body.Bytes(), []byte(p.ticket)) {
			t.Errorf("%s holds a secret", path)
		}
	}
}

// Another user of the machine sees the arguments of the browser, and so must not find the code there.
func TestTheCodeIsNotInTheBrowsersArguments(t *testing.T) {
	p, closePage, err := Open(t.Context(), Purpose{Again: "writ login"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	browser := filepath.Join(dir, "browser")
	if err := os.WriteFile(browser, []byte("#!/bin/sh\necho \"$@\" >"+dir+"/half && mv "+dir+"/half "+dir+"/seen\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.Show(browser); err != nil {
		t.Fatal(err)
	}
	var args []byte
	for args == nil { // the test's own time ends a browser that does not start
		time.Sleep(10 * time.Millisecond)
		args, _ = os.ReadFile(dir + "/seen")
	}
	if bytes.Contains(args, []byte(p.code)) {
		t.Fatalf("the browser is called with %s", args)
	}
	file := strings.TrimSpace(string(args))
	page, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(page, []byte("url="+p.URL())) {
		t.Errorf("the file leads to %s: %v", page, err)
	}
	for _, of := range []string{file, filepath.Dir(file)} {
		if info, err := os.Stat(of); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may look into %s: %v, %v", of, info, err)
		}
	}
	closePage()
	if _, err := os.Stat(filepath.Dir(file)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file stays behind: %v", err)
	}
}
