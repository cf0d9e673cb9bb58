package manual

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/docs"
	"github.com/writ-run/writ/internal/fault"
)

func newManual(t *testing.T) *Manual {
	t.Helper()
	m, err := New(docs.Files)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *Manual) get(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

var (
	linkForm   = regexp.MustCompile(`href="([^"]*)"`)
	anchorForm = regexp.MustCompile(` id="([^"]*)"`)
)

// Every file has its page, every code has one, and every link on every page leads somewhere: to a page, to a place that
// is on it, or to what this server has at another address.
func TestEveryPageIsThereAndEveryLinkResolves(t *testing.T) {
	m := newManual(t)
	names, err := fs.Glob(docs.Files, "*.md")
	if err != nil || len(names) < 15 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		if w := m.get("/docs/" + strings.TrimSuffix(name, ".md")); w.Code != http.StatusOK {
			t.Errorf("%s has no page", name)
		}
	}
	others := map[string]bool{"/": true, "/docs/style.css": true, "/docs/search": true, "/openrpc.json": true, "data:,": true}
	index := m.get("/docs/").Body.String()
	for name := range m.pages {
		if !strings.Contains(name, "/") && !strings.Contains(index, `href="/docs/`+name+`"`) {
			t.Errorf("%s is not in the index", name)
		}
		w := m.get("/docs/" + name)
		body := w.Body.String()
		for _, match := range linkForm.FindAllStringSubmatch(body, -1) {
			link, err := url.Parse(match[1])
			switch {
			case err != nil:
				t.Errorf("%s: %q: %v", name, match[1], err)
			case link.Host != "": // elsewhere, and not loaded
			case link.Path == "" && link.Fragment == "main", others[match[1]]:
			default:
				to := body
				if link.Path != "" {
					there := m.get(link.Path)
					if there.Code != http.StatusOK {
						t.Errorf("%s: %q leads nowhere", name, match[1])
						continue
					}
					to = there.Body.String()
				}
				if link.Fragment != "" && !hasAnchor(to, link.Fragment) {
					t.Errorf("%s: %q leads to no place of its page", name, match[1])
				}
			}
		}
	}
}

func hasAnchor(body, name string) bool {
	for _, match := range anchorForm.FindAllStringSubmatch(body, -1) {
		if match[1] == name {
			return true
		}
	}
	return false
}

func TestEveryCodeHasAPage(t *testing.T) {
	m := newManual(t)
	for _, code := range wire.Codes() {
		p := m.pages["errors/"+string(code)]
		if p == nil || p.Title != string(code) || p.About == "" {
			t.Errorf("the error %s has no page", code)
		}
	}
	for _, code := range fault.Codes() {
		if p := m.pages["errors/"+string(code)]; p == nil || p.About == "" {
			t.Errorf("the failure %s has no page", code)
		}
	}
	list := m.get("/docs/errors").Body.String()
	for name := range m.pages {
		if strings.HasPrefix(name, "errors/") && !strings.Contains(list, `href="/docs/`+name+`"`) {
			t.Errorf("%s is not in the list of errors", name)
		}
	}
}

// A page loads its style sheet and nothing else, and has no script.
func TestPagesLoadNothing(t *testing.T) {
	m := newManual(t)
	loads := regexp.MustCompile(`<(script|img|iframe|link|style|object|embed)\b[^>]*>| style="| on\w+="`)
	for _, path := range []string{"/docs/", "/docs/record", "/docs/errors/conflict", "/docs/search?q=grant", "/docs/nothing"} {
		w := m.get(path)
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "script-src") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
		for _, found := range loads.FindAllString(w.Body.String(), -1) {
			if found != `<link rel="icon" href="data:,">` && found != `<link rel="stylesheet" href="/docs/style.css">` {
				t.Errorf("%s: loads by %s", path, found)
			}
		}
	}
	if w := m.get("/docs/nothing"); w.Code != http.StatusNotFound {
		t.Errorf("a page that is not there: status %d", w.Code)
	}
}

// Who comes anew begins with these, in this order, and finds them by their words.
func TestTheIndexBeginsWithTheConcepts(t *testing.T) {
	m := newManual(t)
	var first []string
	for _, p := range m.order[:4] {
		first = append(first, p.Name)
	}
	if got := strings.Join(first, " "); got != "concepts permissions chains threat-model" {
		t.Errorf("the index begins with %s", got)
	}
	for words, page := range map[string]string{
		"who has to be trusted": "/docs/threat-model", "a payment's life": "/docs/chains", "taking it back": "/docs/permissions",
		"one request": "/docs/concepts", "after a reload": "/docs/sdk",
	} {
		if hits := m.search(words); len(hits) == 0 || !strings.HasPrefix(hits[0].Address, page) {
			t.Errorf("%q finds %+v first, want %s", words, hits[:min(1, len(hits))], page)
		}
	}
}

func TestSearch(t *testing.T) {
	m := newManual(t)
	if hits := m.search("idempotency_key"); len(hits) == 0 || !strings.Contains(string(hits[0].Part), "<mark>") {
		t.Errorf("got %+v", hits)
	}
	if hits := m.search("what is signed"); len(hits) == 0 || hits[0].Title != "What is signed" || hits[0].Address != "/docs/protocol#what-is-signed" {
		t.Errorf("a title is found first: %+v", hits)
	}
	if hits := m.search("seq_wrong"); len(hits) == 0 || hits[0].Address != "/docs/errors/seq_wrong" {
		t.Errorf("a code is found first: %+v", hits)
	}
	if hits := m.search("zebra unicorn"); hits != nil {
		t.Errorf("got %+v", hits)
	}
	body := m.get("/docs/search?q=" + url.QueryEscape(`<script>"x`)).Body.String()
	if strings.Contains(body, "<script>") {
		t.Error("what was searched for is on the page as it is")
	}
	long := m.get("/docs/search?q=" + strings.Repeat("ä", 5000))
	if long.Code != http.StatusOK || long.Body.Len() > 10_000 {
		t.Errorf("a long search: status %d, %d bytes", long.Code, long.Body.Len())
	}
}

func FuzzMarkWords(f *testing.F) {
	f.Add("A grant İ that ends", "grant")
	f.Add("İİİ", "i̇")
	f.Fuzz(func(t *testing.T, text, query string) {
		words := strings.Fields(strings.ToLower(query))
		if len(words) == 0 {
			return
		}
		out := string(markWords(text, words))
		bare := strings.ReplaceAll(strings.ReplaceAll(out, "<mark>", ""), "</mark>", "")
		if strings.ContainsAny(bare, "<>") {
			t.Errorf("%q in %q: %q", query, text, out)
		}
	})
}
