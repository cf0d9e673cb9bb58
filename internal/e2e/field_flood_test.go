package e2e

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/writ-run/writ/agent/wire"
	"github.com/writ-run/writ/auth"
	"github.com/writ-run/writ/internal/client"
	"github.com/writ-run/writ/internal/eth/devchain"
)

// freePort returns an address of this machine that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startCaddy runs Caddy before a server until the test ends, and returns its address.
func startCaddy(t *testing.T, server string) (url string) {
	t.Helper()
	bin, err := exec.LookPath("caddy")
	if err != nil {
		t.Skip("there is no Caddy here: floods through a proxy are not tried")
	}
	at := freePort(t)
	_, port, _ := net.SplitHostPort(at)
	file := filepath.Join(t.TempDir(), "Caddyfile")
	text := fmt.Sprintf("{\n\tadmin off\n\tauto_https off\n}\nhttp://localhost:%s {\n\tbind 127.0.0.1\n\treverse_proxy %s\n}\n",
		port, strings.TrimPrefix(server, "http://"))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "run", "--config", file, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	url = "http://localhost:" + port
	for range 200 {
		if resp, err := http.Get(url + "/healthz"); err == nil {
			resp.Body.Close()
			return url
		}
		time.Sleep(50 * time.Millisecond) // another process begins to listen
	}
	t.Fatal("Caddy does not listen")
	return ""
}

// A flood is what one client without a session sends again and again, from an address of its own.
type flood struct {
	name string
	run  func(ctx context.Context, url string, from net.Addr)
}

func floodKinds() []flood {
	const mask = "\x80\x00\x00\x00\x00" // no bytes, and a mask
	frames := func(first, again string) func(context.Context, string, net.Addr) {
		return func(ctx context.Context, url string, from net.Addr) {
			for ctx.Err() == nil {
				sendFrames(ctx, url, from, first, again)
				wait(ctx, 20*time.Millisecond) // it is bounded: client, proxy and server share a machine
			}
		}
	}
	challenge := `{"jsonrpc":"2.0","id":1,"method":"session.challenge","params":{"account":` +
		`"0x7FE753706CbC8e115AD065b1F2ECdcac6F143792","chain":1337,"agent":"reader",` +
		`"key":"did:key:z6Mksjjm79suCydtUjbTTPwczFax4jaNWnhzALxZcZC422EC"}}`
	start := `{"jsonrpc":"2.0","id":1,"method":"run.start","params":{"agent":"reader","input":"how much has bob","idempotency_key":"1"}}`
	return []flood{
		{"handshakes", frames("", "")},
		{"pings", frames("", strings.Repeat("\x89"+mask, 200))},
		{"fragments", frames("\x01"+mask, strings.Repeat("\x00"+mask, 200))},
		{"big frames", frames("", "\x81\xfe\xea\x60\x00\x00\x00\x00"+strings.Repeat(" ", 60_000))},
		{"sign-ins", frames("", textFrame(challenge))},
		{"runs without a session", frames("", textFrame(start))},
		{"runs of another wallet", startRuns},
		{"posted requests", postRequests("/rpc", `{"jsonrpc":"2.0","id":1,"method":"hello"}`)},
		{"posted bodies that are nothing", postRequests("/rpc", strings.Repeat("[", 30_000))},
		{"pages and records", postRequests("/ipfs/bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku?format=car", "")},
	}
}

// startRuns starts runs as another wallet.
func startRuns(ctx context.Context, url string, _ net.Addr) {
	c, err := signInAt(ctx, url)
	if err != nil {
		return // others have taken all that an address may have
	}
	defer c.Close()
	for ctx.Err() == nil {
		_, _ = c.Start(ctx, wire.StartParams{Agent: "reader", Input: "what is bob's USDC balance?", Key: client.NewKey()})
	}
}

// postRequests posts a body again and again, or gets a page if there is none.
func postRequests(path, body string) func(context.Context, string, net.Addr) {
	return func(ctx context.Context, url string, from net.Addr) {
		c := &http.Client{Transport: &http.Transport{
			DialContext: (&net.Dialer{LocalAddr: from}).DialContext, MaxIdleConnsPerHost: 1,
		}}
		defer c.CloseIdleConnections()
		for ctx.Err() == nil {
			method := http.MethodPost
			if body == "" {
				method = http.MethodGet
			}
			req, err := http.NewRequestWithContext(ctx, method, url+path, strings.NewReader(body))
			if err != nil {
				return
			}
			req.Header.Set("Content-Type", "application/json")
			if resp, err := c.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			wait(ctx, 2*time.Millisecond) // it is bounded, as the others are
		}
	}
}

// signInAt signs a new wallet in.
func signInAt(ctx context.Context, url string) (*client.Client, error) {
	c, err := client.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	wallet, err := auth.NewWallet(rand.Reader)
	if err != nil {
		return nil, err
	}
	key, err := auth.Generate(auth.Ed25519, rand.Reader)
	if err != nil {
		return nil, err
	}
	p := wire.ChallengeParams{Account: wallet.Address().Hex(), Chain: 1337, Agent: "reader"}
	if _, err := c.SignIn(ctx, p, key, wallet.SignText); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// textFrame writes a short text as one frame of a client.
func textFrame(text string) string {
	n := len(text)
	return "\x81\xfe" + string([]byte{byte(n >> 8), byte(n), 0, 0, 0, 0}) + text
}

// sendFrames opens one socket and sends until it is closed.
func sendFrames(ctx context.Context, url string, from net.Addr, first, again string) {
	d := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}, HandshakeTimeout: 2 * time.Second,
		NetDialContext: (&net.Dialer{LocalAddr: from}).DialContext}
	ws, _, err := d.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http")+"/ws", nil)
	if err != nil {
		return
	}
	defer ws.Close()
	if again == "" {
		return
	}
	stop := context.AfterFunc(ctx, func() { ws.NetConn().Close() })
	defer stop()
	go func() { // ended by the socket's end
		for {
			if _, _, err := ws.NextReader(); err != nil {
				return
			}
		}
	}()
	c := ws.NetConn()
	if _, err := c.Write([]byte(first)); err != nil {
		return
	}
	for ctx.Err() == nil {
		if _, err := c.Write([]byte(again)); err != nil {
			return
		}
		wait(ctx, 5*time.Millisecond)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// playPart is what another process of this test does until its input ends: it is a chain, or floods a server in the way
// that is named, from four addresses. What measures shares a process with neither.
func playPart(part string) (exit int) {
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	if part == "chain" {
		chain, err := devchain.Start(ctx, devchain.Config{Addr: "127.0.0.1:0"})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(chain.URL())
		<-ctx.Done()
		chain.Close()
		return 0
	}
	var wg sync.WaitGroup
	for _, f := range floodKinds() {
		if f.name != part {
			continue
		}
		for i := range 4 {
			wg.Go(func() { f.run(ctx, os.Getenv("WRIT_FLOOD_URL"), &net.TCPAddr{IP: net.IPv4(127, byte(20+i), 1, 1)}) })
		}
	}
	wg.Wait()
	return 0
}

// startPart starts a process that plays a part. It yields to others, as clients on other machines do. first is the first
// line that it writes, if it writes one.
func startPart(t *testing.T, part, url string) (first string, stop func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	if nice, err := exec.LookPath("nice"); err == nil {
		cmd = exec.Command(nice, "-n", "10", os.Args[0])
	}
	cmd.Env = append(os.Environ(), "WRIT_FLOOD="+part, "WRIT_FLOOD_URL="+url)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if url == "" {
		if first, err = bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Error(err)
		}
	}
	return strings.TrimSpace(first), sync.OnceFunc(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process %q ended with %v", part, err)
		}
	})
}

// testFloodsThroughAProxy has clients without a session flood a server behind Caddy, and measures how long somebody who
// is signed in waits for answers. The figures are told. They fail the test only where WRIT_FLOOD_P95 is set: what else a
// machine does would be taken for the flood's doing.
func testFloodsThroughAProxy(t *testing.T, bin string) {
	if _, err := exec.LookPath("caddy"); err != nil {
		t.Skip("there is no Caddy here: floods through a proxy are not tried")
	}
	chain, endChain := startPart(t, "chain", "")
	t.Cleanup(endChain)
	home := t.TempDir()
	config := filepath.Join(home, "writ.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "wallets: [any]\nhosts: [localhost]\nproxies: {trusted: [127.0.0.1]}\n"+
		"chain: {rpc: [%s]}\n", chain), 0o600); err != nil {
		t.Fatal(err)
	}
	r := serveWith(t, nil, filepath.Join(bin, "writ"), home,
		"serve", "--config", config, "--data", filepath.Join(home, "data"))
	url := startCaddy(t, r.URL)
	c, err := signInAt(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before := measurePings(t, c, time.Second)
	for _, f := range floodKinds() {
		_, stop := startPart(t, f.name, url)
		wait(t.Context(), 1200*time.Millisecond) // a new client may do more at once; a flood is what goes on
		during := measurePings(t, c, 2*time.Second)
		stop()
		after := measurePings(t, c, time.Second)
		quiet := (before + after) / 2
		before = after
		t.Logf("a flood of %s: p95 %v, quiet %v, %.1f times", f.name, during.Round(time.Microsecond),
			quiet.Round(time.Microsecond), float64(during)/float64(quiet))
		if os.Getenv("WRIT_FLOOD_P95") != "" && during > 2*quiet {
			t.Errorf("a flood of %s doubles what others wait", f.name)
		}
	}
}

// measurePings returns what 95 of 100 pings take at most.
func measurePings(t *testing.T, c *client.Client, within time.Duration) time.Duration {
	t.Helper()
	var took []time.Duration
	for end := time.Now().Add(within); time.Now().Before(end); {
		begun := time.Now()
		if err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(begun))
		wait(t.Context(), 25*time.Millisecond) // slower than the server lets one ask
	}
	slices.Sort(took)
	return took[len(took)*95/100]
}
