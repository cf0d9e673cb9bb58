package wasm

import (
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command, refuses a module that was not accepted, and ends in a run whose result was computed
// again.
func TestWasm(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || !strings.HasPrefix(lines[len(lines)-1], "VERIFIED ") ||
		!strings.Contains(string(out), "each 333, left 1") || !strings.Contains(string(out), "is not the module that was accepted") ||
		!strings.Contains(string(out), "computed again and are the same: 1") {
		t.Errorf("%v: %s", err, out)
	}
}
