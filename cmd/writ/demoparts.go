package main

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
	"syscall"
	"time"

	"charm.land/lipgloss/v2"
)

// box draws a frame around a text on a terminal, and a bar beside it elsewhere.
func (d *demo) box(text string) {
	text = plain(text)
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

// A child is another process of this program.
type child struct {
	cmd    *exec.Cmd
	stderr bytes.Buffer
	done   chan struct{} // closed when it has ended
}

func startChild(args ...string) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	c := &child{cmd: exec.Command(exe, args...), done: make(chan struct{})}
	c.cmd.Stderr = &c.stderr
	detach(c.cmd)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go func() {
		c.cmd.Wait() // how it ended is asked of its output
		close(c.done)
	}()
	return c, nil
}

func (c *child) failed() error {
	select {
	case <-c.done:
		return failf(exitInternal, "server", "the server ended: %s", strings.TrimSpace(c.stderr.String()))
	default:
		return nil
	}
}

// kill ends the process without giving it a chance to do anything.
func (c *child) kill() {
	c.cmd.Process.Kill()
	<-c.done
}

func (c *child) stop() {
	select {
	case <-c.done:
		return
	default:
	}
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(10 * time.Second):
		c.kill()
	}
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
	g.server = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

// hold keeps the answer to the next transaction back. The channel is closed once the chain has the transaction.
func (g *gate) hold() <-chan struct{} {
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

// auditor returns the path of writ-audit: beside this program, on the PATH, or built from the source that this
// program was built from.
func auditor(ctx context.Context, dir string) (string, error) {
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
		return "", failf(exitInternal, "writ-audit", "writ-audit is not beside writ, and cannot be built here (%s); install it: go install %s/cmd/writ-audit", strings.TrimSpace(string(msg)), info.Main.Path)
	}
	return out, nil
}
