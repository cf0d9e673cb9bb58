package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// python returns the interpreter of an environment that has what the example's requirements name. It is made once and
// kept in the user's cache. Where it cannot be made the test does not run.
func python(t *testing.T, example string) string {
	t.Helper()
	requirements, err := os.ReadFile(filepath.Join(example, "requirements.txt"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("there is no cache folder here for Python's packages")
	}
	sum := sha256.Sum256(requirements)
	env := filepath.Join(cache, "writ", "python-"+hex.EncodeToString(sum[:6]))
	ready := filepath.Join(env, "ready") // written last: an environment that was half made is made again
	if _, err := os.Stat(ready); err != nil {
		for _, args := range [][]string{
			{"python3", "-m", "venv", "--clear", env},
			{filepath.Join(env, "bin/pip"), "install", "--quiet", "-r", filepath.Join(example, "requirements.txt")},
		} {
			if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Skipf("Python's packages cannot be had here: %v: %.200s", err, out)
			}
		}
		if err := os.WriteFile(ready, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(env, "bin/python")
}

// The client that was written from docs/protocol.md alone signs in, asks, approves, and is refused.
func TestAClientInPython(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a server and may fetch Python's packages")
	}
	t.Parallel()
	example := filepath.Join(root, "examples/python-client")
	interpreter := python(t, example)
	r, bin, home := dev(t)
	key, err := os.ReadFile(filepath.Join(home, "dev", "dev-wallet.key"))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct{ text, reason, said string }{
		{"send 5 USDC to bob", "answered", "Sent 5 USDC to bob"}, // above 1 USDC, so it approves
		{"what is bob's USDC balance?", "answered", "bob holds 30 USDC"},
		{"send 500 USDC to mallory", "denied", "Not done"},
	} {
		cmd := exec.CommandContext(t.Context(), interpreter, "client.py", c.text, "--chain", "1337",
			"--server", strings.Replace(r.URL, "http", "ws", 1)+"/ws")
		cmd.Dir = example
		cmd.Env = append(os.Environ(), "WALLET_KEY="+strings.TrimSpace(string(key)))
		var progress bytes.Buffer
		cmd.Stderr = &progress
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", c.text, err, &progress)
		}
		var got struct{ Run, Reason, Said string }
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatal(err)
		}
		if got.Reason != c.reason || !strings.HasPrefix(got.Said, c.said) {
			t.Errorf("%s: got %+v", c.text, got)
		}
		file, keys := filepath.Join(home, fmt.Sprint(i, ".car")), filepath.Join(home, fmt.Sprint(i, ".keys"))
		for _, args := range [][]string{
			{"export", got.Run, "--data", filepath.Join(home, "dev"), "--out", file, "--keys", keys},
			{"verify", file, "--keys", keys, "--operator-key", filepath.Join(home, "dev", "operator.pub")},
		} {
			if out, err := exec.CommandContext(t.Context(), bin, args...).CombinedOutput(); err != nil {
				t.Errorf("%s: writ %s: %v: %s", c.text, args[0], err, out)
			}
		}
	}
}
