package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const root = "../.."

// missing skips a test for what is not installed here, unless CI is set: there it must run.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// node returns a command that runs a program of web/e2e. Without Node or its packages the test does not run; see missing.
func node(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(root, "web/e2e"))
	if err != nil {
		t.Fatal(err)
	}
	bin, err := exec.LookPath("node")
	if err != nil {
		missing(t, "there is no Node here: install Node 20 or later")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules/viem")); err != nil {
		missing(t, "web/e2e has no packages: run npm ci there, or make test")
	}
	cmd := exec.CommandContext(t.Context(), bin, append([]string{script}, args...)...)
	cmd.Dir = dir
	cmd.Stderr = new(bytes.Buffer)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said: %s", script, cmd.Stderr)
		}
	})
	return cmd
}
