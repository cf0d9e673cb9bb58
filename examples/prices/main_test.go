package prices

import (
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command, tells a price and then that it is too old, and ends in a verified run.
func TestPrices(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || !strings.HasPrefix(lines[len(lines)-1], "VERIFIED ") || !strings.Contains(string(out), "3412.57 USD") ||
		!strings.Contains(string(out), "is too old to rely on") || !strings.Contains(string(out), `bob.eth`) ||
		!strings.Contains(string(out), "has two hyphens after two letters") {
		t.Errorf("%v: %s", err, out)
	}
}
