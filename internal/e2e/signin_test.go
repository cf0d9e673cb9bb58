package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ready is what a server writes when clients can come.
type ready struct {
	URL      string
	Operator string `json:"operator_key"`
	Chain    string
}

// programs is the folder of the programs; they are compiled once, by the first test that needs them. TEST_BIN names one that
// tests of several packages share.
var programs struct {
	once   sync.Once
	folder string
	own    bool // to be removed
	err    error
}

func compilePrograms() {
	if programs.folder = os.Getenv("TEST_BIN"); programs.folder == "" {
		programs.own = true
		if programs.folder, programs.err = os.MkdirTemp("", "writ-e2e-*"); programs.err != nil {
			return
		}
	}
	out, err := exec.Command("go", "build", "-o", programs.folder+"/", "../../cmd/writ", "../../cmd/writ-audit").CombinedOutput()
	if err != nil {
		programs.err = fmt.Errorf("%w: %s", err, out)
	}
}

func TestMain(m *testing.M) {
	if part := os.Getenv("WRIT_FLOOD"); part != "" {
		os.Exit(playPart(part))
	}
	if err := flag.Set("test.parallel", "3"); err != nil { // they wait for programs more than they work themselves
		panic(err)
	}
	code := m.Run()
	if programs.own {
		os.RemoveAll(programs.folder)
	}
	os.Exit(code)
}

// build returns the folder that the compiled programs are in.
func build(t *testing.T) (bin string) {
	t.Helper()
	programs.once.Do(compilePrograms)
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return programs.folder
}

// dev runs `writ dev`, the real binary, until the test ends.
func dev(t *testing.T) (r ready, bin, home string) {
	t.Helper()
	bin, home = filepath.Join(build(t), "writ"), t.TempDir()
	return serve(t, bin, home, "dev"), bin, home
}

// serve runs a server, the real binary, until the test ends, and returns once it is ready. It lets clients be as fast as
// tests are.
func serve(t *testing.T, bin, home string, args ...string) (r ready) {
	t.Helper()
	return serveWith(t, []string{"WRIT_LIMITS_RATE=1000", "WRIT_LIMITS_BURST=1000"}, bin, home, args...)
}

// serveWith runs a server that finds env in its environment.
func serveWith(t *testing.T, env []string, bin, home string, args ...string) (r ready) {
	t.Helper()
	r, stop := startServer(t, env, bin, home, args...)
	t.Cleanup(stop)
	return r
}

// serveUntil runs a server until it is told to stop, or the test ends.
func serveUntil(t *testing.T, bin, home string, args ...string) (r ready, stop func()) {
	t.Helper()
	r, end := startServer(t, nil, bin, home, args...)
	stop = sync.OnceFunc(end)
	t.Cleanup(stop)
	return r, stop
}

// startServer runs a server, and returns what stops it. A server that does not come up is stopped.
func startServer(t *testing.T, env []string, bin, home string, args ...string) (r ready, stop func()) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	if !slices.Contains(args, "--listen") {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	cmd := exec.Command(bin, append(args, "--ready-file", file)...)
	cmd.Env = slices.Concat(os.Environ(), []string{"WRIT_HOME=" + home}, env)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("writ %s ended with %v and said: %s", args[0], err, &log)
		}
	}
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) { // another process writes the file
		if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &r) == nil {
			return r, stop
		}
		if time.Now().After(end) {
			stop()
			t.Fatal("the server is not ready after two minutes")
		}
	}
}

// viem, ethers and npm's siwe sign in at the real server over a real WebSocket, with a session key of WebCrypto; each
// asks something, and approves a payment by EIP-712 after an approval of one unit more was refused.
func TestNodeLibrariesSignInRunAndApprove(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a server and starts it")
	}
	cmd := node(t, "signin.mjs")
	r, _, _ := dev(t)
	cmd.Args = append(cmd.Args, r.URL, "1337")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	type run struct {
		Run, Reason string
		Says        []string
	}
	var seen []string
	for line := range strings.Lines(string(out)) {
		var got struct {
			Library, Account, Amount string
			Asked, Paid              run
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		seen = append(seen, got.Library)
		if got.Asked.Reason != "answered" || !strings.Contains(strings.Join(got.Asked.Says, " "), "USDC") {
			t.Errorf("%s: asked for a balance, got %+v", got.Library, got.Asked)
		}
		if got.Paid.Reason != "answered" || !strings.Contains(strings.Join(got.Paid.Says, " "), "Sent 5 USDC to bob in block ") || got.Amount != "5000000" {
			t.Errorf("%s: paid, got %+v, amount %s", got.Library, got.Paid, got.Amount)
		}
	}
	if strings.Join(seen, " ") != "viem ethers siwe" {
		t.Errorf("got answers of %v, want viem, ethers and siwe", seen)
	}
}
