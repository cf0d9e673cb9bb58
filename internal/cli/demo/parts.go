package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/writ-run/writ/internal/cli"
)

// showBox draws a frame around a text on a terminal, and a bar beside it elsewhere.
func (d *demo) showBox(text string) {
	text = cli.Plain(text)
	if d.paint {
		style := lipgloss.NewStyle().Border(lipgloss.RoundedBorder()).Padding(0, 1).MarginLeft(2).Width(100)
		fmt.Fprintln(d.w, style.Render(text))
		return
	}
	for line := range strings.Lines(text) {
		fmt.Fprint(d.w, "  | "+line)
	}
	fmt.Fprintln(d.w)
}

// A gate stands between the server and the chain and passes everything on. When told to, it delivers the next
// transaction to the chain and keeps the answer back: what happens to a server whose network, or life, ends there.
type gate struct {
	url    string
	server *http.Server
	wait   sync.WaitGroup

	mu   sync.Mutex // guards the rest
	held chan struct{}
	free chan struct{}
}

func newGate(target string) (*gate, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{url: "http://" + ln.Addr().String()}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	g.server = &http.Server{ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
			if err != nil {
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			g.mu.Lock()
			held, free := g.held, g.free
			if held != nil && bytes.Contains(body, []byte(`"eth_sendRawTransaction"`)) {
				g.held = nil
			} else {
				held = nil
			}
			g.mu.Unlock()
			if held == nil {
				proxy.ServeHTTP(w, r)
				return
			}
			proxy.ServeHTTP(&deaf{header: http.Header{}}, r)
			close(held)
			<-free
		})}
	g.wait.Go(func() { g.server.Serve(ln) })
	return g, nil
}

// holdNext keeps the answer to the next transaction back. The channel is closed once the chain has the transaction.
func (g *gate) holdNext() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held, g.free = make(chan struct{}), make(chan struct{})
	return g.held
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.free)
}

func (g *gate) close() {
	g.server.Close()
	g.wait.Wait()
}

// deaf is a response that goes nowhere.
type deaf struct{ header http.Header }

func (d *deaf) Header() http.Header         { return d.header }
func (d *deaf) Write(b []byte) (int, error) { return len(b), nil }
func (d *deaf) WriteHeader(int)             {}

// findAuditor returns the path of writ-audit: beside this program, on the PATH, or built from the source that this
// program was built from.
func findAuditor(ctx context.Context, dir string) (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", err
	}
	beside := filepath.Join(filepath.Dir(exe), "writ-audit")
	if _, err := os.Stat(beside); err == nil {
		return beside, nil
	}
	if found, err := exec.LookPath("writ-audit"); err == nil {
		return found, nil
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", errors.New("writ-audit is not installed beside writ")
	}
	out := filepath.Join(dir, "writ-audit")
	build := exec.CommandContext(ctx, "go", "build", "-o", out, info.Main.Path+"/cmd/writ-audit")
	if msg, err := build.CombinedOutput(); err != nil {
		return "", cli.Failf(cli.ExitInternal, "writ-audit",
			"writ-audit is not beside writ, and cannot be built here (%s); install it: go install %s/cmd/writ-audit",
			strings.TrimSpace(string(msg)), info.Main.Path)
	}
	return out, nil
}
