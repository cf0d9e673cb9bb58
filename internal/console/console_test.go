package console

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestThePageLoadsNothingFromElsewhere(t *testing.T) {
	h, err := New()
	if err != nil {
		t.Fatal(err)
	}
	get := func(path, tag string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		if tag != "" {
			r.Header.Set("If-None-Match", tag)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	for path, kind := range map[string]string{
		"/": "text/html", "/console/main.js": "text/javascript", "/console/style.css": "text/css",
	} {
		res := get(path, "")
		csp := res.Header.Get("Content-Security-Policy")
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) {
			t.Errorf("%s: status %d, %s", path, res.StatusCode, res.Header.Get("Content-Type"))
		}
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "require-trusted-types-for 'script'") ||
			strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
		if again := get(path, res.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: asked again with its tag: status %d", path, again.StatusCode)
		}
	}
	if res := get("/console/other.js", ""); res.StatusCode != http.StatusNotFound {
		t.Errorf("a file that is not there: status %d", res.StatusCode)
	}
}

// The auditor's worker may run WebAssembly, by a policy that no page has; it may load nothing else than what this server gives.
func TestTheAuditorsWorkerHasAPolicyOfItsOwn(t *testing.T) {
	f := newFile("auditor.js", []byte("1"), auditorPolicy)
	w := httptest.NewRecorder()
	f.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/console/auditor.js", nil))
	if got := w.Result().Header.Get("Content-Security-Policy"); got != "default-src 'none'; script-src 'wasm-unsafe-eval'; connect-src 'self'" {
		t.Errorf("the worker's policy is %q", got)
	}
	if strings.Contains(policy, "wasm") {
		t.Errorf("the page's policy is %q", policy)
	}
}
