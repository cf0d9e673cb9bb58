package backend

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command; without Node it does not run, unless CI is set.
func TestBackendSession(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil && os.Getenv("CI") != "true" {
		t.Skip("there is no Node here: install Node 20 or later")
	}
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	said := string(out)
	for _, want := range []string{"at most 3 USDC in total", "answered: alice holds 1,000 USDC", "answered: Sent 0.5 USDC to bob",
		"waiting: erc20.transfer: 2 USDC", "denied: ", "revoked\nsession_revoked: "} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if err != nil || t.Failed() {
		t.Errorf("%v: %s", err, said)
	}
}
