package treasuryapproval

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The example runs by its one command: what was refused is not paid, what was approved is, and the run is verified.
func TestTreasuryApproval(t *testing.T) {
	if found, _ := filepath.Glob("../../web/anvil/node_modules/@foundry-rs/anvil-*/bin/anvil"); len(found) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("web/anvil has no packages: run npm ci there, or make test")
		}
		t.Skip("web/anvil has no packages: run npm ci there, or make test")
	}
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || !strings.HasPrefix(lines[len(lines)-1], "VERIFIED ") || !strings.Contains(string(out), "94 USDC") {
		t.Errorf("%v: %s", err, out)
	}
}
