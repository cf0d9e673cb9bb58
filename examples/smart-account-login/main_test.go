package smartaccount

import (
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command: a contract wallet signs in, is verified, and its permission ends with its owner.
func TestSmartAccountLogin(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	said := strings.TrimSpace(string(out))
	if err != nil || !strings.Contains(said, "\nVERIFIED ") || !strings.Contains(said, "exit code 27") ||
		!strings.Contains(said, "The session has ended. Sign in again.") {
		t.Errorf("%v: %s", err, said)
	}
}
