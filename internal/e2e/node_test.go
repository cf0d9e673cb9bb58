package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const root = "../.."

// node returns a command that runs a program of web/e2e. Without Node or its packages the test is skipped, unless CI is
// set: there it must run.
func node(t *testing.T, script string, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(root, "web/e2e"))
	if err != nil {
		t.Fatal(err)
	}
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	bin, err := exec.LookPath("node")
	if err != nil {
		missing("there is no Node here: install Node 20 or later")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules/viem")); err != nil {
		missing("web/e2e has no packages: run npm ci there, or make test")
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
