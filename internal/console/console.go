// Package console is the page that a server shows at /: connect a wallet, narrow what it allows, talk to an agent,
// approve, and look back. Its sources are in web/console; what is built of them is committed, so that the program
// needs no Node to be built. It asks nothing of anybody but this server.
package console

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
)

//go:embed dist
var files embed.FS

// policy lets the page load what this server gives and nothing else, and write no HTML from text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// auditorPolicy lets the auditor's worker, which has a policy of its own, run the WebAssembly that this server gives.
const auditorPolicy = "default-src 'none'; script-src 'wasm-unsafe-eval'; connect-src 'self'"

// New returns what serves the page at / and what it loads under /console/.
func New() (http.Handler, error) {
	mux := http.NewServeMux()
	for _, folder := range []struct {
		fs.ReadFileFS
		name, policy string
	}{{files, "dist", policy}, {auditor, "auditor", auditorPolicy}} {
		all, err := fs.ReadDir(folder, folder.name)
		if errors.Is(err, fs.ErrNotExist) && folder.name == "auditor" {
			continue // built without it: the page says so when it is asked for
		}
		if err != nil {
			return nil, fmt.Errorf("console: %w", err)
		}
		for _, entry := range all {
			data, err := folder.ReadFile(folder.name + "/" + entry.Name())
			if err != nil {
				return nil, fmt.Errorf("console: %w", err)
			}
			at := "GET /console/" + entry.Name()
			if entry.Name() == "index.html" {
				at = "GET /{$}"
			}
			mux.Handle(at, newFile(entry.Name(), data, folder.policy))
		}
	}
	return mux, nil
}

// A file is one of the page's, with what a browser has to know of it.
type file struct {
	data   []byte
	kind   string
	tag    string // of the bytes, so that a browser that has them is told so
	policy string
}

func newFile(name string, data []byte, policy string) *file {
	sum := sha256.Sum256(data)
	return &file{data, mime.TypeByExtension(path.Ext(name)), `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, policy}
}

// ServeHTTP sends the file, or says that the browser has it.
func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Content-Security-Policy", f.policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin-allow-popups") // wallets open windows
	h.Set("Cache-Control", "no-cache")                              // ask, and be told that it is the same
	h.Set("ETag", f.tag)
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(f.data) // whether it arrives only the browser can know
}
