package contract

import (
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command, and ends in a verified run.
func TestContract(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || !strings.HasPrefix(lines[len(lines)-1], "VERIFIED ") ||
		!strings.Contains(string(out), `values {"0":"3000000"}`) || !strings.Contains(string(out), "ERC20InsufficientAllowance") {
		t.Errorf("%v: %s", err, out)
	}
}
