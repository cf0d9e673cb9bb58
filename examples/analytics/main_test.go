package analytics

import (
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command, has the exact sums, and ends in a verified run.
func TestAnalytics(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || !strings.HasPrefix(lines[len(lines)-1], "VERIFIED ") || !strings.Contains(string(out), `"display":"2025.75 USDC"`) ||
		!strings.Contains(string(out), `different 3`) || !strings.Contains(string(out), "to block hash 0x") {
		t.Errorf("%v: %s", err, out)
	}
}
