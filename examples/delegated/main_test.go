package delegated

import (
	"os/exec"
	"strings"
	"testing"
)

// The example runs by its one command: the agent pays from the user's account within her delegation and not after its
// end, and the run is verified.
func TestDelegated(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "./run.sh").CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || !strings.HasPrefix(lines[len(lines)-1], "VERIFIED ") {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{
		"This session has no delegation for USDC", "995 USDC", "5 USDC paid", "The delegation was revoked on the chain",
		"the chain alone would have stopped at 25 USDC in all",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not there: %s", want, out)
		}
	}
	if n := strings.Count(string(out), "1 found on the chain"); n != 1 {
		t.Errorf("the payment is found on the chain %d times, want where it was asked: %s", n, out)
	}
	if n := strings.Count(string(out), "alice holds 995 USDC"); n != 2 {
		t.Errorf("alice holds 995 USDC %d times, want after the payment and after the revocation: %s", n, out)
	}
}
