package walletpays

import (
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command: the user's own wallet pays once, and the run is verified.
func TestWalletPays(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || !strings.HasPrefix(lines[len(lines)-1], "VERIFIED ") || !strings.Contains(string(out), "995 USDC") ||
		!strings.Contains(string(out), "cast send --from 0x") || !strings.Contains(string(out), "\n  simulated: ") {
		t.Errorf("%v: %s", err, out)
	}
}
