package translog

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// resource is what of the folder may be read: tiles and bundles of entries, as c2sp.org/tlog-tiles names them.
var resource = regexp.MustCompile(`^tile/(entries|[0-9]{1,2})/(x[0-9]{3}/){0,6}[0-9]{3}(\.p/[0-9]{1,3})?$`)

// ServeHTTP serves the log under the path that the request's ends with: "checkpoint", "tile/...", and "" for its key
// as text; and "epoch/N" for the statement that began its epoch N. It is to be mounted with http.StripPrefix.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*") // it is public, and read by pages that check it
	switch path := strings.TrimPrefix(r.URL.Path, "/"); {
	case path == "":
		h.Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, l.vkey)
	case path == "checkpoint":
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Type", "text/plain; charset=utf-8")
		l.serveFile(w, r, path)
	case strings.HasPrefix(path, "epoch/"):
		l.serveEpoch(w, strings.TrimPrefix(path, "epoch/"))
	case resource.MatchString(path):
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("Content-Type", "application/octet-stream")
		l.serveFile(w, r, path)
	default:
		http.Error(w, "the log has /checkpoint, /tile/... and /epoch/2 and so on", http.StatusNotFound)
	}
}

// serveEpoch serves the statement that began an epoch of the log.
func (l *Log) serveEpoch(w http.ResponseWriter, n string) {
	for _, e := range l.epochs {
		if strconv.Itoa(e.N) == n {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = w.Write(e.Statement) // a client that is gone
			return
		}
	}
	http.Error(w, "the log has no such epoch", http.StatusNotFound)
}

func (l *Log) serveFile(w http.ResponseWriter, r *http.Request, path string) {
	f, err := os.Open(filepath.Join(l.cfg.Dir, filepath.FromSlash(path)))
	if err != nil {
		w.Header().Del("Cache-Control")
		http.Error(w, "the log has no "+path, http.StatusNotFound)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		w.Header().Del("Cache-Control")
		http.Error(w, "the log has no "+path, http.StatusNotFound)
		return
	}
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// asked is the way to the witnesses: it notes who answers and says so when that changes.
type asked struct {
	base http.RoundTripper
	log  *slog.Logger

	mu       sync.Mutex
	state    map[string]string // by host, what was wrong last; empty if nothing
	conflict map[string]bool   // by host, that its last answer was that it has another size
}

// client asks the witnesses that are named, and nobody whom they name.
func (a *asked) client(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport: a, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip implements http.RoundTripper.
func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.base.RoundTrip(r)
	state := ""
	switch {
	case err != nil && r.Context().Err() != nil:
		state = "no answer in time"
	case err != nil:
		state = "not reached"
	case resp.StatusCode == http.StatusConflict: // it says what it has, and is asked again
	case resp.StatusCode != http.StatusOK:
		state = resp.Status
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state == nil {
		a.state, a.conflict = map[string]string{}, map[string]bool{}
	}
	conflict := err == nil && resp.StatusCode == http.StatusConflict
	if conflict && a.conflict[r.URL.Host] { // asked again, and still
		state = "it has cosigned a longer log, or another one of this name"
	}
	a.conflict[r.URL.Host] = conflict
	before, known := a.state[r.URL.Host]
	switch a.state[r.URL.Host] = state; {
	case state != "" && state != before:
		a.log.Warn("a witness does not cosign", "witness", r.URL.Host, "why", state)
	case state == "" && known && before != "":
		a.log.Info("a witness cosigns again", "witness", r.URL.Host)
	}
	return resp, err
}

// Missing lists the witnesses that did not answer, or refused, when they were asked last, with the reason.
func (l *Log) Missing() map[string]string {
	l.asked.mu.Lock()
	defer l.asked.mu.Unlock()
	out := map[string]string{}
	for host, state := range l.asked.state {
		if state != "" {
			out[host] = state
		}
	}
	return out
}
